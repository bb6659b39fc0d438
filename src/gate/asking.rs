//! Making calls, and settling what they lead to.
//!
//! A call that ended at once without an answer is repeated: a connection that the provider closes as
//! the call arrives is everyday, and the call is safe to repeat (RFC 9110 §9.2.2). Never from the
//! callback that reports the failure, where the dying connection would be taken again, and never in
//! step with others: a pause of random length lies between.

use std::rc::Rc;
use std::time::Duration;

use super::decision::{Release, decided, unavailable};
use super::flight::{Attempt, Flight, Keeper, Late, Lead, Waiting};
use super::health::{Closed, Ended, was_waited_for};
use super::statement::{Judged, Kind, Statement, Words};
use super::waits::Wait;
use super::{Admission, CallId, Gate, Settled, Slot, served, shared};
use crate::call_outcome::CallOutcome;
use crate::config::{CachePolicy, CacheScope, Caching, Endpoint, Policy};
use crate::expiry;
use crate::outcome::Source;
use crate::time::{Moment, Now};
use crate::token_key::TokenKey;
use crate::userinfo::{self, Answer, Call, LEAST};
use crate::verdict::{NoAnswer, Refusal};

/// The longest pause before a call is repeated for the first time, and for the second. Measured: see
/// `docs/operations.md`.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// How long before a question a site that served somebody counts as serving.
const SERVED_LATELY: Duration = Duration::from_secs(1);

/// What everybody who waits for a question is told.
enum Said<'a> {
    /// The provider's answer to a call that was made at this moment.
    Answer(&'a Answer<'a>, Moment),
    /// The last that a provider really said, where it was no verdict.
    Words(Rc<Words>),
    /// Nothing came.
    Nothing(NoAnswer),
}

/// Which site may be asked.
pub(super) struct Found {
    /// The call to it.
    pub(super) made: Option<(Attempt, Call)>,
    /// One before it was passed over because too many calls are under way.
    pub(super) crowded: bool,
}

impl Gate {
    /// The call to the first site from this one on that may be asked.
    pub(super) fn first_from(
        &mut self,
        lead: &Lead,
        from: usize,
        timeout: Duration,
        now: Now,
    ) -> Found {
        let mut crowded = false;
        for place in from..lead.endpoint.sites.len() {
            match self.attempt(lead, place, 0, timeout, now) {
                Ok(made) => return Found { made: Some(made), crowded },
                Err(Closed::Full) => crowded = true,
                Err(Closed::Open) => {}
            }
        }
        Found { made: None, crowded }
    }

    /// The call to one site, if it may be made.
    fn attempt(
        &mut self,
        lead: &Lead,
        place: usize,
        repeated: u8,
        timeout: Duration,
        now: Now,
    ) -> Result<(Attempt, Call), Closed> {
        let Some(site) = lead.endpoint.sites.get(place) else {
            return Err(Closed::Open);
        };
        let leave = self.sites.enter(site, &lead.policy, lead.known, now.moment)?;
        let call = self.flights.number();
        let started = now.moment;
        let attempt = Attempt { call, site: place, repeated, leave, started, timeout };
        Ok((attempt, lead.call(site, timeout)))
    }

    /// A call about a token has ended.
    pub(super) fn call_ended(&mut self, flight: Flight, answer: &Answer<'_>, now: Now) -> Settled {
        let Attempt { started, timeout, .. } = flight.attempt;
        let judged = Judged::of(answer, &flight.lead.policy, &flight.lead.endpoint);
        let outcome = judged.outcome();
        let consequences = outcome.consequences();
        let taken = now.moment.since(started);
        let ended = Ended {
            answered: outcome.is_answer(),
            serving: consequences.serving,
            waited: taken.is_some_and(|taken| was_waited_for(taken, timeout)),
        };
        self.left(&flight, ended, now);
        let told = self.tell(&flight, ended, now);
        let mut settled = if consequences.next_site {
            self.unsettled(flight, answer, &judged, ended, now)
        } else {
            self.settle(flight, &Said::Answer(answer, started), Some(judged), now)
        };
        settled.share.extend(told);
        settled
    }

    /// What other workers are told of a site that serves.
    fn tell(&mut self, flight: &Flight, ended: Ended, now: Now) -> Option<(Slot, Vec<u8>)> {
        let site = flight.site().filter(|_| ended.serving && self.bridges())?;
        let told = self.sites.is_to_be_told(site, now.moment);
        told.then(|| served::write(site, now.moment))
    }

    /// Tells the site of a call how that ended.
    pub(super) fn left(&mut self, flight: &Flight, ended: Ended, now: Now) {
        if let Some(site) = flight.site() {
            self.sites.leave(site, flight.attempt.leave, ended, &flight.lead.policy, now.moment);
        }
    }

    /// A call has given no verdict: it is repeated, the next site is asked, or the question is over.
    fn unsettled(
        &mut self,
        mut flight: Flight,
        answer: &Answer<'_>,
        judged: &Judged,
        ended: Ended,
        now: Now,
    ) -> Settled {
        let repeated = flight.attempt.repeated;
        let may_repeat = match judged {
            Judged::Bad(refusal) => match &**refusal {
                Refusal::Unavailable(why) => {
                    flight.silent = *why;
                    match why {
                        NoAnswer::CutOff | NoAnswer::Unreachable { bytes_came: false } => true,
                        // The cluster may be on its way: an update of it cut the call before this.
                        NoAnswer::NotSent => repeated > 0,
                        NoAnswer::Unreachable { bytes_came: true }
                        | NoAnswer::TimedOut
                        | NoAnswer::UnexpectedStatus
                        | NoAnswer::Crowded
                        | NoAnswer::BreakerOpen => false,
                    }
                }
                // A server that gave the connection up before the request came.
                Refusal::Provider(error) => error.status == 408,
                Refusal::NotVouched
                | Refusal::Unusable(_)
                | Refusal::Credentials(_)
                | Refusal::Endpoint(_) => false,
            },
            Judged::Good(_) => false,
        };
        if ended.answered {
            flight.declined = Words::declined(answer).map(Rc::new).or(flight.declined);
        }
        if may_repeat
            && !ended.waited
            && !flight.waiting.is_empty()
            && let Some(until) = pause(&flight, now)
        {
            flight.attempt.repeated = repeated.saturating_add(1);
            self.flights.pauses(flight, until);
            return Settled::default();
        }
        let wait = wait(answer, judged.outcome(), now);
        flight.so_far.site_ended(judged.consequences().stale, wait);
        self.next_site(flight, now)
    }

    /// A question has paused long enough: its call is repeated, if somebody still waits for it.
    pub(super) fn resume(&mut self, mut flight: Flight, now: Now) -> Settled {
        let Attempt { site, repeated, .. } = flight.attempt;
        if !flight.waiting.is_empty()
            && let Some(timeout) = time_left(&flight, now)
        {
            match self.attempt(&flight.lead, site, repeated, timeout, now) {
                Ok((attempt, call)) => {
                    self.ledger.repeated = self.ledger.repeated.saturating_add(1);
                    return self.goes_on(flight, attempt, call);
                }
                Err(closed) => flight.so_far.passed_over(closed == Closed::Full),
            }
        }
        flight.so_far.site_ended(true, None);
        self.next_site(flight, now)
    }

    /// The question goes on with this call.
    fn goes_on(&mut self, mut flight: Flight, attempt: Attempt, call: Call) -> Settled {
        flight.attempt = attempt;
        self.flights.goes_on(flight);
        Settled { calls: vec![(attempt.call, call)], ..Settled::default() }
    }

    /// Asks the next site, if there is one and somebody waits for its answer.
    fn next_site(&mut self, mut flight: Flight, now: Now) -> Settled {
        let from = flight.attempt.site.saturating_add(1);
        if !flight.waiting.is_empty()
            && let Some(timeout) = time_left(&flight, now)
        {
            let Found { made, crowded } = self.first_from(&flight.lead, from, timeout, now);
            flight.so_far.passed_over(crowded);
            if let Some((attempt, call)) = made {
                self.ledger.failed_over = self.ledger.failed_over.saturating_add(1);
                return self.goes_on(flight, attempt, call);
            }
        }
        // An earlier site's own word is of more use than none of the last.
        let said = match &flight.declined {
            Some(words) => Said::Words(Rc::clone(words)),
            None => Said::Nothing(flight.silent),
        };
        if let (Some(wait), Said::Words(words)) = (flight.so_far.wait(), &said) {
            // What was no outage now is none because time passes.
            let stale = wait.stale && !self.serves_others(&flight.lead.endpoint, flight.began);
            self.waits.begin(flight.key, Wait { stale, ..wait }, Rc::clone(words));
        }
        self.settle(flight, &said, None, now)
    }

    /// A question is over: keeps what was stated, if anything was, and lets go everybody who waits.
    /// `judged` is what the first who asked makes of the answer, where that is known.
    fn settle(
        &mut self,
        flight: Flight,
        said: &Said<'_>,
        judged: Option<Judged>,
        now: Now,
    ) -> Settled {
        self.flights.over(&flight);
        let Flight { key, lead, keeper, waiting, began, so_far, .. } = flight;
        let mut readings: Vec<(Rc<Endpoint>, Judged)> =
            judged.map(|judged| (Rc::clone(&lead.endpoint), judged)).into_iter().collect();
        // Most who wait are of the same instance and region: each reads the answer once.
        let mut judge = |policy: &Policy, endpoint: &Rc<Endpoint>| -> Judged {
            if let Some((_, known)) = readings.iter().find(|(e, _)| Rc::ptr_eq(e, endpoint)) {
                return known.clone();
            }
            let judged = match said {
                Said::Answer(answer, _) => Judged::of(answer, policy, endpoint),
                Said::Words(words) => Judged::of(&words.answer(), policy, endpoint),
                Said::Nothing(why) => unavailable(*why),
            };
            readings.push((Rc::clone(endpoint), judged.clone()));
            judged
        };
        let mut settled = Settled::default();
        if let Said::Answer(answer, asked) = said {
            if let Some(Keeper { policy, endpoint, token_exp }) = &keeper
                && let Caching::On(cache) = policy.cache
            {
                let judged = judge(policy, endpoint);
                let statement = Statement::of(answer, &judged, *asked, *token_exp);
                // Nothing that repeats the token is kept: what is kept may be read by others.
                let statement =
                    statement.filter(|s| !s.words.holds(lead.token.expose().as_bytes()));
                let fresh = statement.filter(|s| s.is_fresh(&key, &cache, now));
                // A refusal that is not to be acted upon still ends what other workers know.
                let ends_good = judged.consequences().ends_good;
                let mark = || ends_good.then(|| Statement::mark(*asked));
                let shared = match cache.scope {
                    CacheScope::Process => {
                        let key = lead.endpoint.key.shared_key(&lead.token);
                        let statement = fresh.as_ref().and_then(|s| shared::write(s, &key));
                        statement.or_else(|| shared::write(&mark()?, &key))
                    }
                    CacheScope::Worker => None,
                };
                settled.share.extend(shared);
                match judged.kind() {
                    Some(Kind::Good) => self.familiar.insert(key),
                    Some(Kind::Bad) | None => {}
                }
                if let Some(statement) = fresh
                    && self.store.keep(key, statement, (Rc::clone(endpoint), judged))
                {
                    self.ledger.stored = self.ledger.stored.saturating_add(1);
                }
            }
            // Also where nobody waits any more, and where the refusal itself is not kept.
            if judge(&lead.policy, &lead.endpoint).consequences().ends_good {
                self.store.refused(&key, *asked);
                self.familiar.remove(&key);
            }
        }
        for (stream, waiting) in waiting {
            let judged = judge(&waiting.policy, &waiting.endpoint);
            let stale = match said {
                Said::Answer(..) => None,
                Said::Words(_) | Said::Nothing(_) if !so_far.stale() => None,
                Said::Words(_) | Said::Nothing(_) => self.stale(&key, &waiting, began, now),
            };
            let decision = match stale {
                Some(stale) => Waiting { source: Source::Stale, ..waiting }.decide(&stale),
                None => waiting.decide(&judged),
            };
            settled.releases.push(Release { stream, decision });
        }
        settled
    }

    /// A call whose end was never reported.
    pub(super) fn lost(&mut self, mut flight: Flight, now: Now) -> Settled {
        self.left(&flight, Ended { answered: false, serving: false, waited: true }, now);
        flight.silent = NoAnswer::TimedOut;
        flight.so_far.site_ended(true, None);
        let said = match &flight.declined {
            Some(words) => Said::Words(Rc::clone(words)),
            None => Said::Nothing(NoAnswer::TimedOut),
        };
        self.settle(flight, &said, None, now)
    }

    /// A request that was not answered in time.
    pub(super) fn late(&mut self, late: Late, now: Now) -> Release {
        let Late { stream, key, waiting, declined, began, stale } = late;
        let stale = if stale { self.stale(&key, &waiting, began, now) } else { None };
        let decision = match (stale, declined) {
            (Some(stale), _) => Waiting { source: Source::Stale, ..waiting }.decide(&stale),
            (None, Some(words)) => {
                let judged = Judged::of(&words.answer(), &waiting.policy, &waiting.endpoint);
                waiting.decide(&judged)
            }
            (None, None) => waiting.decide(&unavailable(NoAnswer::TimedOut)),
        };
        Release { stream, decision }
    }

    /// A request for which nobody is asked, because nobody may be.
    pub(super) fn refused(
        &mut self,
        key: &TokenKey,
        waiting: Waiting,
        why: Closed,
        now: Now,
    ) -> Admission {
        let (count, why) = match why {
            // Being refused here is no outage there.
            Closed::Full => (&mut self.ledger.refused_by_cap, NoAnswer::Crowded),
            Closed::Open => {
                if let Some(stale) = self.stale(key, &waiting, now.moment, now) {
                    return decided(waiting, Source::Stale, &stale);
                }
                (&mut self.ledger.refused_by_breaker, NoAnswer::BreakerOpen)
            }
        };
        *count = count.saturating_add(1);
        decided(waiting, Source::Filter, &unavailable(why))
    }

    /// What a request gets whose token waits: the provider's answer again, with the time left.
    pub(super) fn waits(
        &mut self,
        key: &TokenKey,
        waiting: Waiting,
        (wait, words): (Wait, Rc<Words>),
        now: Now,
    ) -> Admission {
        if wait.stale
            && let Some(stale) = self.stale(key, &waiting, now.moment, now)
        {
            return decided(waiting, Source::Stale, &stale);
        }
        self.ledger.refused_by_wait = self.ledger.refused_by_wait.saturating_add(1);
        let judged = Judged::of(&words.answer(), &waiting.policy, &waiting.endpoint);
        let judged = judged.with_retry_after(wait.seconds_left(now.moment));
        decided(waiting, Source::Filter, &judged)
    }

    /// What this request may still be let pass by, while nobody answers: never while a site that was
    /// asked since `began`, or lately before, served anybody.
    fn stale(
        &mut self,
        key: &TokenKey,
        waiting: &Waiting,
        began: Moment,
        now: Now,
    ) -> Option<Judged> {
        let Caching::On(cache @ CachePolicy { stale_if_error, .. }) = waiting.policy.cache else {
            return None;
        };
        if stale_if_error.is_zero() {
            return None;
        }
        if self.serves_others(&waiting.endpoint, began) {
            return None;
        }
        let found = self.store.find_stale(key, &waiting.policy, &cache, &waiting.endpoint, now)?;
        self.ledger.stale = self.ledger.stale.saturating_add(1);
        Some(found)
    }

    /// Whether a site of this endpoint has served anybody since then, or lately before.
    fn serves_others(&self, endpoint: &Endpoint, began: Moment) -> bool {
        let since = began.before(SERVED_LATELY);
        endpoint.sites.iter().any(|site| self.sites.has_served_since(site, since))
    }

    /// The filter's own questions that are due: to sites of which nobody knows whether they answer.
    pub(super) fn probes(&mut self, now: Now) -> Vec<(CallId, Call)> {
        let flights = &mut self.flights;
        let probes = self.sites.due(&self.policies, now.moment, || flights.number());
        let calls = probes.into_iter().map(|probe| {
            let policy = &probe.policy.call;
            (probe.call, userinfo::probe(policy, &probe.site, policy.timeout))
        });
        calls.collect()
    }
}

/// Until when a question pauses before its call is repeated; `None` if it is not.
fn pause(flight: &Flight, now: Now) -> Option<Moment> {
    let last = flight.attempt.site.saturating_add(1) >= flight.lead.endpoint.sites.len();
    // With another site to ask, one repeat: a site that is down should not cost two pauses.
    let pauses = if last { PAUSES.as_slice() } else { PAUSES.get(..1)? };
    let longest = *pauses.get(usize::from(flight.attempt.repeated))?;
    let left = flight.ends.since(now.moment)?;
    let number = flight.key.number() ^ now.moment.nanos() ^ u64::from(flight.attempt.repeated);
    // The multiplier spreads any difference over the upper bits (Fibonacci hashing).
    let part = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    let micros = u64::try_from(longest.as_micros()).ok()?.saturating_mul(part) / 1024;
    let half = left.checked_div(2).unwrap_or_default();
    let pause = Duration::from_micros(micros).min(half).max(LEAST);
    (left >= pause.saturating_add(LEAST)).then(|| now.moment.after(pause))
}

/// How long a further call about a question may take; `None` if there is no time for one.
fn time_left(flight: &Flight, now: Now) -> Option<Duration> {
    let left = flight.ends.since(now.moment)?;
    (left >= LEAST).then(|| left.min(flight.lead.policy.call.timeout))
}

/// The pause that an answer asks for, where it has one to ask for.
fn wait(answer: &Answer<'_>, outcome: CallOutcome, now: Now) -> Option<Wait> {
    let Answer::Whole { head, .. } = answer else {
        return None;
    };
    let consequences = outcome.consequences();
    let longest = consequences.longest_wait?;
    let said = expiry::retry_after(head, now.date).filter(|wait| !wait.is_zero())?;
    Some(Wait {
        until: now.moment.after(said.min(longest)),
        said: now.moment.after(said),
        stale: consequences.stale,
    })
}
