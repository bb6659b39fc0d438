//! Making calls, and settling what they lead to.
//!
//! A call that ended at once without an answer is repeated: a connection that the provider closes as
//! the call arrives is everyday, and the call is safe to repeat (RFC 9110 §9.2.2). Never from the
//! callback that reports the failure, where the dying connection would be taken again, and never in
//! step with others: a pause of random length lies between.

use std::rc::Rc;
use std::time::Duration;

use super::decision::Release;
use super::effects::{Effect, Effects};
use super::entry::{CacheEntry, Judge, Kind, StoredResponse, Verdict};
use super::health::{Ended, NotAllowed, was_waited_for};
use super::lookup::{Attempt, CacheOwner, Found, Lookup, LookupContext, RequestContext};
use super::pending::NoVerdict;
use super::questions::Questions;
use super::waits::Wait;
use super::{served, shared};
use crate::outcome::Source;
use crate::policy::{CacheScope, Caching, Endpoint, Policy};
use crate::provider::call::{Call, LEAST};
use crate::provider::call_outcome::CallOutcome;
use crate::provider::expiry;
use crate::provider::response::Answer;
use crate::refusal::NoAnswer;
use crate::time::{MonotonicTime, Now};

/// The longest pause before a call is repeated for the first time, and for the second. Measured: see
/// `docs/operations.md`.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// What everybody who waits for a question is told.
enum LookupEnd<'a> {
    /// The provider's answer to a call that was made at this moment.
    Response(&'a Answer<'a>, MonotonicTime),
    /// The last that a provider really said, where it was no verdict.
    Stored(Rc<StoredResponse>),
    /// Nothing came.
    NoResponse(NoAnswer),
}

impl Questions {
    /// The call to the first site from this one on that may be asked.
    pub(super) fn first_from(
        &mut self,
        lead: &LookupContext,
        from: usize,
        timeout: Duration,
        now: Now,
    ) -> Found {
        let mut crowded = false;
        for place in from..lead.endpoint.sites.len() {
            match self.attempt(lead, place, 0, timeout, now) {
                Ok(made) => return Found { made: Some(made), crowded },
                Err(NotAllowed::Full) => crowded = true,
                Err(NotAllowed::Open) => {}
            }
        }
        Found { made: None, crowded }
    }

    /// The call to one site, if it may be made.
    fn attempt(
        &mut self,
        lead: &LookupContext,
        place: usize,
        repeated: u8,
        timeout: Duration,
        now: Now,
    ) -> Result<(Attempt, Call), NotAllowed> {
        let Some(site) = lead.endpoint.sites.get(place) else {
            return Err(NotAllowed::Open);
        };
        let leave = self.sites.enter(site, &lead.policy, lead.known, now.moment)?;
        let call = self.lookups.number();
        let started = now.moment;
        let attempt = Attempt { call, site: place, repeated, leave, started, timeout };
        Ok((attempt, lead.call(site, timeout)))
    }

    /// A call about a token has ended.
    pub(super) fn call_ended(
        &mut self,
        lookup: Lookup,
        answer: &Answer<'_>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Attempt { started, timeout, .. } = lookup.attempt;
        let verdict = lookup.lead.judge(now).verdict(answer);
        let outcome = verdict.outcome;
        let consequences = outcome.consequences();
        let taken = now.moment.since(started);
        let ended = Ended {
            answered: outcome.is_answer(),
            serving: consequences.serving,
            waited: taken.is_some_and(|taken| was_waited_for(taken, timeout)),
        };
        self.left(&lookup, ended, now);
        self.tell(&lookup, ended, now, effects);
        if let (CallOutcome::ClientRefused, Some(site)) = (outcome, lookup.site()) {
            self.sites.refuses_client(site, &lookup.lead.endpoint.region, now.moment);
        }
        if consequences.next_site {
            self.unsettled(lookup, answer, &verdict, ended, now, effects);
        } else {
            let end = LookupEnd::Response(answer, started);
            self.settle(lookup, &end, Some(verdict), now, effects);
        }
    }

    /// What other workers are told of a site that serves.
    fn tell(&mut self, lookup: &Lookup, ended: Ended, now: Now, effects: &mut Effects) {
        if let Some(site) = lookup.site().filter(|_| ended.serving && self.bridges())
            && self.sites.is_to_be_told(site, now.moment)
        {
            let (slot, value) = served::write(site, now.moment);
            effects.push(Effect::WriteShared(slot, value));
        }
    }

    /// Tells the site of a call how that ended.
    pub(super) fn left(&mut self, lookup: &Lookup, ended: Ended, now: Now) {
        if let Some(site) = lookup.site() {
            self.sites.leave(site, lookup.attempt.leave, ended, &lookup.lead.policy, now.moment);
        }
    }

    /// A call has given no verdict: it is repeated, the next site is asked, or the question is over.
    fn unsettled(
        &mut self,
        mut lookup: Lookup,
        answer: &Answer<'_>,
        verdict: &Verdict,
        ended: Ended,
        now: Now,
        effects: &mut Effects,
    ) {
        let repeated = lookup.attempt.repeated;
        if let Some(why) = verdict.no_answer() {
            lookup.silent = why;
            if why == NoAnswer::TimedOut {
                lookup.so_far.timed_out();
            }
        }
        let may_repeat = match verdict.no_answer() {
            Some(NoAnswer::CutOff | NoAnswer::Unreachable { bytes_came: false }) => true,
            // The cluster may be on its way: an update of it cut the call before this.
            Some(NoAnswer::NotSent) => repeated > 0,
            Some(
                NoAnswer::Unreachable { bytes_came: true }
                | NoAnswer::TimedOut
                | NoAnswer::Redirect
                | NoAnswer::UnexpectedStatus
                | NoAnswer::ClientRefused
                | NoAnswer::Crowded
                | NoAnswer::BreakerOpen,
            ) => false,
            // A 408 is of a server that gave the connection up before the request came.
            None => verdict.provider_error().is_some_and(|error| error.status == 408),
        };
        if ended.answered {
            lookup.declined = StoredResponse::declined(answer).map(Rc::new).or(lookup.declined);
        }
        if may_repeat
            && !ended.waited
            && !lookup.waiting.is_empty()
            && let Some(until) = pause(&lookup, now)
        {
            lookup.attempt.repeated = repeated.saturating_add(1);
            self.lookups.pauses(lookup, until);
            return;
        }
        let wait = wait(answer, verdict.outcome, now);
        lookup.so_far.site_ended(verdict.consequences().stale, wait);
        self.next_site(lookup, now, effects);
    }

    /// A question has paused long enough: its call is repeated, if somebody still waits for it.
    pub(super) fn resume(&mut self, mut lookup: Lookup, now: Now, effects: &mut Effects) {
        let Attempt { site, repeated, .. } = lookup.attempt;
        if !lookup.waiting.is_empty()
            && let Some(timeout) = time_left(&lookup, now)
        {
            match self.attempt(&lookup.lead, site, repeated, timeout, now) {
                Ok((attempt, call)) => {
                    self.stats.repeated = self.stats.repeated.saturating_add(1);
                    return self.goes_on(lookup, attempt, call, effects);
                }
                Err(closed) => lookup.so_far.passed_over(closed == NotAllowed::Full),
            }
        }
        lookup.so_far.site_ended(true, None);
        self.next_site(lookup, now, effects);
    }

    /// The question goes on with this call.
    fn goes_on(&mut self, mut lookup: Lookup, attempt: Attempt, call: Call, effects: &mut Effects) {
        lookup.attempt = attempt;
        self.lookups.goes_on(lookup);
        effects.push(Effect::Call(attempt.call, call));
    }

    /// Asks the next site, if there is one and somebody waits for its answer.
    fn next_site(&mut self, mut lookup: Lookup, now: Now, effects: &mut Effects) {
        let from = lookup.attempt.site.saturating_add(1);
        if !lookup.waiting.is_empty()
            && let Some(timeout) = time_left(&lookup, now)
        {
            let Found { made, crowded } = self.first_from(&lookup.lead, from, timeout, now);
            lookup.so_far.passed_over(crowded);
            if let Some((attempt, call)) = made {
                self.stats.failed_over = self.stats.failed_over.saturating_add(1);
                return self.goes_on(lookup, attempt, call, effects);
            }
        }
        self.without_a_verdict(NoVerdict::Unanswered(lookup), now, effects);
    }

    /// No site responded with a verdict.
    pub(super) fn unanswered(&mut self, lookup: Lookup, now: Now, effects: &mut Effects) {
        // An earlier site's own word is of more use than none of the last.
        let said = match &lookup.declined {
            Some(words) => LookupEnd::Stored(Rc::clone(words)),
            None => LookupEnd::NoResponse(lookup.silent),
        };
        if let (Some(wait), LookupEnd::Stored(words)) = (lookup.so_far.wait(), &said) {
            // What was no outage now is none because time passes.
            let stale = wait.stale && !self.serves_others(&lookup.lead.endpoint, lookup.began);
            self.waits.begin(lookup.key, Wait { stale, ..wait }, Rc::clone(words));
        }
        self.settle(lookup, &said, None, now, effects);
    }

    /// A lookup is over: keeps its cache entry, if any, and releases all waiting requests.
    /// `verdict` is what the first who asked makes of the answer, where that is known.
    fn settle(
        &mut self,
        lookup: Lookup,
        said: &LookupEnd<'_>,
        verdict: Option<Verdict>,
        now: Now,
        effects: &mut Effects,
    ) {
        self.lookups.over(&lookup);
        let Lookup { key, lead, cache_owner, waiting, began, so_far, .. } = lookup;
        let mut readings: Vec<(Rc<Endpoint>, Verdict)> =
            verdict.map(|verdict| (Rc::clone(&lead.endpoint), verdict)).into_iter().collect();
        // Most who wait are of the same instance and region: each reads the answer once.
        let mut judge = |policy: &Policy, endpoint: &Rc<Endpoint>| -> Verdict {
            if let Some((_, known)) = readings.iter().find(|(e, _)| Rc::ptr_eq(e, endpoint)) {
                return known.clone();
            }
            let judge = Judge { policy, endpoint, token: &lead.token, date: now.date };
            let verdict = match said {
                LookupEnd::Response(answer, _) => judge.verdict(answer),
                LookupEnd::Stored(words) => judge.verdict(&words.answer()),
                LookupEnd::NoResponse(why) => Verdict::unavailable(*why),
            };
            readings.push((Rc::clone(endpoint), verdict.clone()));
            verdict
        };
        if let LookupEnd::Response(answer, asked) = said {
            if let Some(CacheOwner { policy, endpoint, token_exp }) = &cache_owner
                && let Caching::On(cache) = policy.cache
            {
                let verdict = judge(policy, endpoint);
                let entry = CacheEntry::of(answer, &verdict, *asked, *token_exp);
                // Nothing that repeats the token is kept: what is kept may be read by others.
                let entry = entry.filter(|s| !s.words.holds(lead.token.expose().as_bytes()));
                let fresh = entry.filter(|s| s.is_fresh(&key, &cache, self.store.for_kept(now)));
                // A refusal that is not to be acted upon still ends what other workers know.
                let ends_good = verdict.consequences().ends_good;
                let mark = || ends_good.then(|| CacheEntry::mark(*asked));
                let shared = match cache.scope {
                    CacheScope::Process => {
                        let key = lead.endpoint.key.shared_key(&lead.token);
                        let entry = fresh.as_ref().and_then(|s| shared::write(s, &key));
                        entry.or_else(|| shared::write(&mark()?, &key))
                    }
                    CacheScope::Worker => None,
                };
                if let Some((slot, value)) = shared {
                    effects.push(Effect::WriteShared(slot, value));
                }
                match verdict.kind() {
                    Some(Kind::Accepted) => self.known_tokens.insert(key),
                    Some(Kind::Rejected) | None => {}
                }
                if let Some(entry) = fresh
                    && self.store.keep(key, entry, (Rc::clone(endpoint), verdict))
                {
                    self.stats.stored = self.stats.stored.saturating_add(1);
                }
            }
            // Also where nobody waits any more, and where the refusal itself is not kept.
            if judge(&lead.policy, &lead.endpoint).consequences().ends_good {
                self.store.refused(&key, *asked);
                self.known_tokens.remove(&key);
            }
        }
        for (stream, waiting) in waiting {
            let verdict = judge(&waiting.policy, &waiting.endpoint);
            let stale = match said {
                LookupEnd::Response(..) => None,
                LookupEnd::Stored(_) | LookupEnd::NoResponse(_)
                    if !so_far.stale_for(&waiting.policy, &lead.policy) =>
                {
                    None
                }
                LookupEnd::Stored(_) | LookupEnd::NoResponse(_) => {
                    self.stale(&key, waiting.judge(&lead.token, now), began, now)
                }
            };
            let decision = match stale {
                Some(stale) => RequestContext { source: Source::Stale, ..waiting }.decide(&stale),
                None => waiting.decide(&verdict),
            };
            effects.push(Effect::Release(Release { stream, decision }));
        }
    }

    /// A call whose end was never reported.
    pub(super) fn lost(&mut self, mut lookup: Lookup, now: Now, effects: &mut Effects) {
        self.left(&lookup, Ended { answered: false, serving: false, waited: true }, now);
        lookup.silent = NoAnswer::TimedOut;
        lookup.so_far.timed_out();
        lookup.so_far.site_ended(true, None);
        self.without_a_verdict(NoVerdict::Unanswered(lookup), now, effects);
    }

    /// The filter's own questions that are due: to sites of which nobody knows whether they answer.
    pub(super) fn probes(&mut self, now: Now, effects: &mut Effects) {
        let lookups = &mut self.lookups;
        for probe in self.sites.due(&self.policies, now.moment, || lookups.number()) {
            let policy = &probe.policy;
            let call = policy.method.probe(&policy.call, &probe.site, policy.call.timeout);
            effects.push(Effect::Call(probe.call, call));
        }
    }
}

/// Until when a question pauses before its call is repeated; `None` if it is not.
fn pause(lookup: &Lookup, now: Now) -> Option<MonotonicTime> {
    let last = lookup.attempt.site.saturating_add(1) >= lookup.lead.endpoint.sites.len();
    // With another site to ask, one repeat: a site that is down should not cost two pauses.
    let pauses = if last { PAUSES.as_slice() } else { PAUSES.get(..1)? };
    let longest = *pauses.get(usize::from(lookup.attempt.repeated))?;
    let left = lookup.ends.since(now.moment)?;
    let number = lookup.key.number() ^ now.moment.nanos() ^ u64::from(lookup.attempt.repeated);
    // The multiplier spreads any difference over the upper bits (Fibonacci hashing).
    let part = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    let micros = u64::try_from(longest.as_micros()).ok()?.saturating_mul(part) / 1024;
    let half = left.checked_div(2).unwrap_or_default();
    let pause = Duration::from_micros(micros).min(half).max(LEAST);
    (left >= pause.saturating_add(LEAST)).then(|| now.moment.after(pause))
}

/// How long a further call about a question may take; `None` if there is no time for one.
fn time_left(lookup: &Lookup, now: Now) -> Option<Duration> {
    let left = lookup.ends.since(now.moment)?;
    (left >= LEAST).then(|| left.min(lookup.lead.policy.call.timeout))
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
