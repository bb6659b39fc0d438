//! A worker's knowledge about tokens in the model: the answer that it uses, and the answers that
//! must not be used again.

use std::cmp::Ordering;

use oidc_token_connector::filter::Decision;
use oidc_token_connector::outcome::Source;

use super::meaning::OfTheToken;
use super::{Key, Setup, Worker, World, check};

/// The answer that a worker uses.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) call: usize,
    /// Whether it is certainly not forgotten yet.
    pub(super) surely: bool,
}

/// A refusal or denial that a worker has heard of.
#[derive(Clone, Copy)]
pub(super) struct Refused {
    pub(super) call: usize,
    /// Until when it certainly knows.
    until: u64,
}

/// Whether an answer may still decide a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fresh {
    No,
    /// In the last tenth of its lifetime a new call may be made.
    Perhaps,
    Surely,
}

impl World {
    /// Whether the answer to this call may decide a request at this instance now.
    pub(super) fn fresh(&self, worker: usize, call: usize, setup: &Setup) -> Fresh {
        self.fresh_for(worker, call, setup, 0)
    }

    /// The same, if it may be so much older than usual.
    fn fresh_for(&self, worker: usize, call: usize, setup: &Setup, longer: u64) -> Fresh {
        let made = &self.calls[call];
        let (Some(cache), Some((ending, exp))) = (&setup.cache, made.ended) else {
            return Fresh::No;
        };
        let (ttl, ends) = match ending.means(setup).of_the_token {
            OfTheToken::Good => (cache.ttl, exp.into_iter().chain(made.key.token_exp()).min()),
            OfTheToken::Refused => (cache.negative_ttl, None),
            OfTheToken::Denied | OfTheToken::Nothing => return Fresh::No,
        };
        let refused = cache.honors_no_store && ending.is_no_store();
        // An expired answer stays expired, whatever the clock does.
        let ended = ends.is_some_and(|exp| self.workers[worker].date >= exp);
        let lifetime = ttl.min(ending.max_age());
        let age = self.now - made.asked;
        if refused || ended || age >= lifetime + longer || !ending.is_whole() {
            Fresh::No
        } else if age * 10 < lifetime * 9 + longer * 10 {
            Fresh::Surely
        } else {
            Fresh::Perhaps
        }
    }

    /// Whether what this worker knows may decide a request at this instance now.
    pub(super) fn known(&self, worker: usize, key: Key, setup: &Setup) -> (Option<usize>, Fresh) {
        match self.workers[worker].known.get(&key) {
            None => (None, Fresh::No),
            Some(Known { call, surely }) => {
                let most = if *surely { Fresh::Surely } else { Fresh::Perhaps };
                (Some(*call), self.fresh(worker, *call, setup).min(most))
            }
        }
    }

    /// The same for a valid verdict, while no site answers.
    fn stale(&self, worker: usize, key: Key, setup: &Setup) -> (Option<usize>, Fresh) {
        let stale = setup.cache.map_or(0, |cache| cache.stale);
        let known = self.workers[worker].known.get(&key);
        match known {
            Some(Known { call, surely }) if stale > 0 && !self.refuses(*call) => {
                let most = if *surely { Fresh::Surely } else { Fresh::Perhaps };
                (Some(*call), self.fresh_for(worker, *call, setup, stale).min(most))
            }
            Some(_) | None => (None, Fresh::No),
        }
    }

    /// Whether a request passes by an outdated verdict. It may do so if no site answers and this
    /// `is_outage`, and then it must. Never while one of the sites has answered others since then.
    pub(super) fn is_stale(
        &mut self,
        (worker, key, setup): (usize, Key, &Setup),
        decision: &Decision,
        is_outage: bool,
        since: u64,
    ) -> bool {
        let (known, fresh) = self.stale(worker, key, setup);
        let may = is_outage && !self.serves_since(worker, key, since);
        if decision.record.source != Source::Stale {
            assert!(!may || fresh != Fresh::Surely, "it was known, and nobody answers");
            return false;
        }
        assert!(is_outage, "let pass by an outdated verdict, and it is no outage");
        assert!(may, "let pass by an outdated verdict while the provider serves others");
        assert_ne!(fresh, Fresh::No, "nothing is known that may bridge this");
        let call = known.expect("something is known");
        let (ending, _) = self.calls[call].ended.expect("answered");
        check::decision(decision, Source::Stale, setup, key, (self.calls[call].number, ending));
        self.passes(worker, key, call, &[]);
        self.workers[worker].tally.stale += 1;
        true
    }

    /// Whether a site of this lookup has answered since then.
    pub(super) fn serves_since(&self, worker: usize, key: Key, since: u64) -> bool {
        let sites = &self.workers[worker].sites;
        // A report of another worker counts as if it had been seen here.
        let told = |name: &str| self.served.get(name).is_some_and(|served| *served >= since);
        let here = |name: &str| sites.get(name).is_some_and(|site| site.has_served_since(since));
        key.sites().iter().any(|name| told(name) || here(name))
    }

    /// Whether this call's answer was that the token is bad.
    pub(super) fn refuses(&self, call: usize) -> bool {
        let made = &self.calls[call];
        made.ended.is_some_and(|(ending, _)| ending.ends_good(made.key))
    }

    /// Which of two calls was made later, as far as a clock can tell.
    pub(super) fn compare(&self, one: usize, other: usize) -> Ordering {
        self.calls[one].asked.cmp(&self.calls[other].asked)
    }

    /// A request passes by this call's answer: the call was made after every refusal that the
    /// worker has seen, or that was in the place that it read.
    pub(super) fn passes(&self, worker: usize, key: Key, call: usize, found: &[usize]) {
        if self.refuses(call) {
            return;
        }
        let heard = self.workers[worker].refused.get(&key).filter(|heard| self.now < heard.until);
        let refuses = |found: &usize| self.calls[*found].key == key && self.refuses(*found);
        let found = found.iter().copied().filter(refuses);
        for refusal in heard.map(|heard| heard.call).into_iter().chain(found) {
            assert!(refusal < call, "passes by call {call}, refused by {refusal}");
        }
    }

    /// A worker has heard that the token is bad: by this call's answer, or where it looked.
    pub(super) fn hears_refusal(&mut self, worker: usize, key: Key, call: usize) {
        let until = self.calls[call].asked + self.workers[worker].remembers_for();
        let worker = &mut self.workers[worker];
        let heard = worker.refused.get(&key);
        if heard.is_none_or(|heard| heard.call < call) {
            worker.refused.insert(key, Refused { call, until });
        }
        match worker.validated.get_mut(&key) {
            // It may have been forgotten when that was.
            Some((validated, surely)) if *validated > call => *surely = false,
            Some(_) => _ = worker.validated.remove(&key),
            None => {}
        }
    }

    /// A worker has heard that the token is good, by an answer to a call of its own, or where it
    /// looked: there a clock has to tell whether that was later than a refusal.
    pub(super) fn hears_good(&mut self, worker: usize, key: Key, call: usize, is_own: bool) {
        let heard = self.workers[worker].refused.get(&key).copied();
        let refused = |heard: Refused| match is_own {
            true => heard.call > call,
            false => self.compare(heard.call, call).is_ge(),
        };
        let refused_since = heard.is_some_and(refused);
        let surely = heard.is_some_and(|heard| self.now < heard.until);
        let worker = &mut self.workers[worker];
        match worker.validated.get_mut(&key) {
            Some((validated, _)) if *validated > call => {}
            _ if refused_since && surely => {}
            _ => _ = worker.validated.insert(key, (call, !refused_since)),
        }
    }

    /// Whether the token was validated before; `None` if the worker may have forgotten.
    pub(super) fn is_validated(&self, worker: usize, key: Key) -> Option<bool> {
        match self.workers[worker].validated.get(&key) {
            Some((_, true)) => Some(true),
            Some((_, false)) => None,
            None => Some(false),
        }
    }
}

impl Worker {
    /// How long something may be of use to an instance at work.
    fn remembers_for(&self) -> u64 {
        self.setups().map(Setup::keeps_for).max().unwrap_or(0)
    }

    /// Other instances are active: data that no instance can use, or could until now, may be
    /// dropped.
    pub(super) fn doubt(&mut self, calls: &[super::Made]) {
        self.known.values_mut().for_each(|known| known.surely = false);
        let remembers_for = self.remembers_for();
        for refused in self.refused.values_mut() {
            refused.until = refused.until.min(calls[refused.call].asked + remembers_for);
        }
    }
}
