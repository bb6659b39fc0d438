//! Making calls, and settling what they lead to.

use std::rc::Rc;

use super::decision::{Release, decided, unavailable};
use super::flight::{Attempt, Flight, Keeper, Lead, Waiting};
use super::health::Closed;
use super::statement::{Judged, Kind, Statement, Words};
use super::{Admission, Gate, Settled, StreamId, shared};
use crate::config::{CachePolicy, CacheScope, Caching, Endpoint, Policy};
use crate::outcome::Source;
use crate::time::{Moment, Now};
use crate::token_key::{TokenDigest, TokenKey};
use crate::userinfo::{Answer, Call, LEAST};
use crate::verdict::{Hearing, NoAnswer};

impl Gate {
    /// The call to the first site from this one on that may be asked; why not, for the first of
    /// them that may not, or for one whose provider has said how long to wait.
    pub(super) fn attempt(
        &mut self,
        lead: &Lead,
        from: usize,
        ends: Moment,
        now: Now,
    ) -> Result<(Attempt, Call), Closed> {
        let mut why = None;
        let timeout = lead.policy.call.timeout;
        let timeout = match from {
            0 => timeout,
            _ => timeout.min(ends.since(now.moment).unwrap_or_default()),
        };
        if timeout < LEAST {
            return Err(Closed::Shut);
        }
        for (place, site) in lead.endpoint.sites.iter().enumerate().skip(from) {
            match self.sites.enter(site, &lead.policy.call, now.moment) {
                Ok(leave) => {
                    let call = self.flights.number();
                    let started = now.moment;
                    let attempt = Attempt { call, site: place, leave, started, timeout };
                    return Ok((attempt, lead.call(site, timeout)));
                }
                Err(closed) => {
                    why = match why {
                        Some(Closed::Full | Closed::Shut)
                            if matches!(closed, Closed::Slowed(_)) =>
                        {
                            Some(closed)
                        }
                        Some(first) => Some(first),
                        None => Some(closed),
                    }
                }
            }
        }
        Err(why.unwrap_or(Closed::Shut))
    }

    /// Tells the site of a call how that ended.
    pub(super) fn left(&mut self, flight: &Flight, hearing: &Hearing, now: Now) {
        if let Some(site) = flight.site() {
            let (leave, policy) = (flight.attempt.leave, &flight.lead.policy.call);
            let token = || TokenDigest::of(&flight.lead.token);
            self.sites.leave(site, leave, hearing, token, policy, now.moment);
        }
    }

    /// A question is over: keeps what was stated, if anything was at that moment, and lets go
    /// everybody who waits.
    pub(super) fn settle(
        &mut self,
        flight: Flight,
        answer: &Answer<'_>,
        stated: Option<Moment>,
        now: Now,
    ) -> Settled {
        self.flights.over(&flight);
        let Flight { key, lead, keeper, waiting, .. } = flight;
        let mut readings: Vec<(Rc<Endpoint>, Judged)> = Vec::new();
        // Most who wait are of the same instance and region: each reads the answer once.
        let mut judge = |policy: &Policy, endpoint: &Rc<Endpoint>| -> Judged {
            if let Some((_, known)) = readings.iter().find(|(e, _)| Rc::ptr_eq(e, endpoint)) {
                return known.clone();
            }
            let judged = Judged::of(answer, policy, endpoint);
            readings.push((Rc::clone(endpoint), judged.clone()));
            judged
        };
        let mut settled = Settled::default();
        if let (Some(Keeper { policy, endpoint, token_exp }), Some(asked)) = (&keeper, stated)
            && let Caching::On(cache) = policy.cache
        {
            let judged = judge(policy, endpoint);
            let statement = Statement::of(answer, &judged, asked, *token_exp);
            // Nothing that repeats the token is kept: what is kept may be read by others.
            let statement = statement.filter(|s| !s.words.holds(lead.token.expose().as_bytes()));
            let fresh = statement.filter(|s| s.is_fresh(&key, &cache, now));
            // A refusal that is not to be acted upon still ends what other workers know.
            let mark = || (judged.kind() == Some(Kind::Bad)).then(|| Statement::mark(asked));
            settled.share = match cache.scope {
                CacheScope::Process => {
                    let key = lead.endpoint.key.shared_key(&lead.token);
                    let statement = fresh.as_ref().and_then(|s| shared::write(s, &key));
                    statement.or_else(|| shared::write(&mark()?, &key))
                }
                CacheScope::Worker => None,
            };
            if let Some(statement) = fresh
                && self.store.keep(key, statement, (Rc::clone(endpoint), judged))
            {
                self.ledger.stored = self.ledger.stored.saturating_add(1);
            }
        }
        // Also where nobody waits any more, and where the refusal itself is not kept.
        if let Some(asked) = stated
            && judge(&lead.policy, &lead.endpoint).kind() == Some(Kind::Bad)
        {
            self.store.refused(&key, asked);
        }
        for (stream, waiting) in waiting {
            let judged = judge(&waiting.policy, &waiting.endpoint);
            let stale = match stated {
                None => self.stale(&key, &waiting, now),
                Some(_) => None,
            };
            let decision = match stale {
                Some(stale) => Waiting { source: Source::Stale, ..waiting }.decide(&stale),
                None => waiting.decide(&judged),
            };
            settled.releases.push(Release { stream, decision });
        }
        settled
    }

    /// A request that was not answered in time.
    pub(super) fn unanswered(
        &mut self,
        stream: StreamId,
        key: &TokenKey,
        waiting: Waiting,
        declined: Option<&Words>,
        now: Now,
    ) -> Release {
        let decision = match (self.stale(key, &waiting, now), declined) {
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
        if let Some(stale) = self.stale(key, &waiting, now) {
            return decided(waiting, Source::Stale, &stale);
        }
        let (count, why) = match why {
            Closed::Full => (&mut self.ledger.refused_by_cap, NoAnswer::Crowded),
            Closed::Shut => (&mut self.ledger.refused_by_breaker, NoAnswer::Shut),
            Closed::Slowed(left) => {
                // Whole seconds, and not before the time.
                let seconds = left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0));
                let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
                (&mut self.ledger.refused_by_breaker, NoAnswer::Slowed { seconds })
            }
        };
        *count = count.saturating_add(1);
        decided(waiting, Source::Filter, &unavailable(why))
    }

    /// What this request may still be let pass by, while nobody answers.
    pub(super) fn stale(&mut self, key: &TokenKey, waiting: &Waiting, now: Now) -> Option<Judged> {
        let Caching::On(cache @ CachePolicy { stale_if_error, .. }) = waiting.policy.cache else {
            return None;
        };
        if stale_if_error.is_zero() {
            return None;
        }
        let found = self.store.find_stale(key, &waiting.policy, &cache, &waiting.endpoint, now)?;
        self.ledger.stale = self.ledger.stale.saturating_add(1);
        Some(found)
    }
}
