//! Calls to providers: which site is called, by a repeat or as the next one, and the effect of an
//! outage.

use std::ops::Range;

use oidc_token_connector::filter::{CallId, Decision};
use oidc_token_connector::provider::call::Call;

use super::check;
use super::meaning::Meaning;
use super::sites::{Change, Heard, NotAllowed, Permission, was_waited_for};
use super::{Ending, Key, Lookup, Made, Setup, SoFar, Step, TokenWait, WaitingRequest, World};

/// The longest pause before a call is repeated, the first time and the second.
const PAUSES: [u64; 2] = [100, 400];

impl World {
    /// The sites that may be called.
    pub(super) fn permissions(
        &self,
        worker: usize,
        key: Key,
        setup: &Setup,
        known: Option<bool>,
    ) -> Vec<Permission> {
        let sites = &self.workers[worker].sites;
        let permission =
            |name| sites.get(name).map_or(Permission::Surely, |site| site.permission(setup, known));
        key.sites().iter().map(permission).collect()
    }

    /// The next site may be called, and those before it may not; whether one of these is not called
    /// because too many calls are under way.
    pub(super) fn is_next(
        &self,
        worker: usize,
        key: Key,
        setup: &Setup,
        known: Option<bool>,
        before: Range<usize>,
    ) -> bool {
        let permissions = self.permissions(worker, key, setup, known);
        let next = permissions.get(before.end);
        assert!(
            !matches!(next, Some(Permission::No(_))),
            "asked though it may not be: {permissions:?}"
        );
        let skipped = &permissions[before];
        assert!(!skipped.contains(&Permission::Surely), "not the first that may be asked");
        skipped.iter().any(|permission| *permission != Permission::No(NotAllowed::Open))
    }

    /// A call is made.
    pub(super) fn make(&mut self, lookup: usize, timeout: u64, id: CallId, call: &Call) {
        let Lookup { worker, key, site, number, known, .. } = self.lookups[lookup];
        key.is_asked_by(call, site, number);
        assert_eq!(call.timeout.as_millis(), u128::from(timeout));
        self.is_new(worker, id);
        let at = self.calls.len();
        self.lookups[lookup].step = Step::Asking(at);
        self.workers[worker].sites.entry(key.sites()[site]).or_default().asked(at, known);
        let hostile = key.is_hostile();
        let before = self.calls.iter().filter(|made| made.key.is_hostile() == hostile).count();
        self.calls.push(Made {
            lookup,
            id,
            number: 2 * before as u64 + u64::from(hostile),
            key,
            site,
            asked: self.now,
            timeout,
            ended: None,
            is_mark: false,
        });
    }

    /// No call of this worker ever had that number.
    pub(super) fn is_new(&self, worker: usize, id: CallId) {
        let of = |made: &Made| self.lookups[made.lookup].worker == worker && made.id == id;
        let probes = self.probes.iter().any(|probe| probe.worker == worker && probe.id == id);
        assert!(!probes && !self.calls.iter().any(of), "a number was used again");
    }

    /// A call is over: its site hears of it.
    pub(super) fn over(&mut self, call: usize, meaning: Option<Meaning>) -> bool {
        let Made { lookup, key, site, asked, timeout, .. } = self.calls[call];
        let Lookup { worker, first_setup, .. } = self.lookups[lookup];
        // A call whose end was never reported counts as slow.
        let waited = meaning.is_none() || was_waited_for(self.now - asked, timeout);
        let heard = Heard {
            is_answer: meaning.is_some_and(|meaning| meaning.is_answer),
            serves: meaning.is_some_and(|meaning| meaning.serves),
            waited,
        };
        let name = key.sites()[site];
        let worker = &mut self.workers[worker];
        let site = worker.sites.get_mut(name).expect("it was asked");
        if site.over(call, heard, first_setup, self.now) {
            worker.changes.push((name, Change::Closed));
        }
        waited
    }

    /// A call gave no verdict: the lookup pauses, continues with this call, or is over. Returns
    /// whether it is over.
    pub(super) fn without_a_verdict(
        &mut self,
        call: usize,
        (ending, meaning): (Ending, Meaning),
        waited: bool,
        next: Option<(CallId, Call)>,
    ) -> bool {
        let lookup = self.calls[call].lookup;
        let somebody_waits = self.is_waited_for(lookup);
        let asked = &mut self.lookups[lookup];
        if meaning.is_answer {
            asked.last_answer = Some(call);
        } else {
            asked.silence = meaning.told.2;
            asked.so_far.timed_out |= asked.silence == "timed_out";
        }
        let left = asked.ends.saturating_sub(self.now);
        let is_last = asked.site + 1 == asked.key.sites().len();
        let may_repeat = ending.may_be_a_dead_connection(asked.repeats > 0)
            && !waited
            && somebody_waits
            && asked.repeats < if is_last { 2 } else { 1 }
            && left >= 2;
        if may_repeat {
            assert!(next.is_none(), "asked again at once");
            let longest = PAUSES[asked.repeats].min(left.div_ceil(2));
            let (from, to) = (self.now + 1, self.now + longest);
            asked.repeats += 1;
            asked.step = Step::Pausing { from, to, is_certain: true };
            return false;
        }
        asked.so_far.ended(meaning.allows_stale, meaning.wait, self.now);
        self.goes_on(lookup, asked_site(next.as_ref()), next)
    }

    /// The lookup continues with this call to another site, or is over.
    pub(super) fn goes_on(
        &mut self,
        lookup: usize,
        cluster: Option<String>,
        next: Option<(CallId, Call)>,
    ) -> bool {
        let Lookup { worker, key, first_setup, known, site, ends, .. } = self.lookups[lookup];
        let left = ends.saturating_sub(self.now);
        let may = left >= 1 && self.is_waited_for(lookup);
        let Some((id, call)) = next else {
            if may {
                let permissions = &self.permissions(worker, key, first_setup, known)[site + 1..];
                assert!(!permissions.contains(&Permission::Surely), "the next site was not asked");
                let crowded = permissions
                    .iter()
                    .any(|permission| *permission != Permission::No(NotAllowed::Open));
                self.lookups[lookup].so_far.no_stale |= crowded;
            }
            self.is_over(lookup);
            return true;
        };
        assert!(may, "asked for nobody, or too late");
        let at = key.sites().iter().position(|site| Some(*site) == cluster.as_deref());
        let at = at.filter(|at| *at > site).expect("a further site");
        let crowded = self.is_next(worker, key, first_setup, known, site + 1..at);
        let asked = &mut self.lookups[lookup];
        asked.so_far.no_stale |= crowded;
        (asked.site, asked.repeats) = (at, 0);
        self.workers[worker].tally.failed_over += 1;
        self.make(lookup, left.min(first_setup.timeout), id, &call);
        false
    }

    /// The lookup is over without a verdict: its token may have to wait.
    pub(super) fn is_over(&mut self, lookup: usize) {
        let asked = &self.lookups[lookup];
        let since = asked.began.saturating_sub(1_000);
        let serves = self.serves_since(asked.worker, asked.key, since);
        let asked = &mut self.lookups[lookup];
        asked.step = Step::Over;
        let SoFar { no_stale, no_wait, waits, .. } = &asked.so_far;
        let until = waits.iter().map(|(until, _)| *until).min();
        if let (false, Some(until), Some(last_answer)) = (*no_wait, until, asked.last_answer) {
            let said = waits.iter().map(|(_, said)| *said).collect();
            let wait =
                TokenWait { until, said, allows_stale: !no_stale && !serves, answer: last_answer };
            self.workers[asked.worker].waits.insert(asked.key, wait);
        }
    }

    /// No site gave a verdict: the request passes by an outdated verdict, or gets the last answer
    /// of a provider, or the unavailable reply.
    pub(super) fn told_nothing(
        &mut self,
        waiting: &WaitingRequest,
        decision: &Decision,
        silence: &str,
        is_outage: bool,
    ) {
        let WaitingRequest { lookup, setup, source, .. } = *waiting;
        let Lookup { worker, key, last_answer, began, first_setup, .. } = self.lookups[lookup];
        // A shorter timeout of another instance is no outage.
        let timed_out = self.lookups[lookup].so_far.timed_out;
        let is_outage = is_outage && (!timed_out || setup.timeout <= first_setup.timeout);
        let since = began.saturating_sub(1_000);
        if self.is_stale((worker, key, setup), decision, is_outage, since) {
            return;
        }
        match last_answer
            .and_then(|call| Some((self.calls[call].number, self.calls[call].ended?.0)))
        {
            Some(said) => check::decision(decision, source, setup, key, said),
            None => check::unavailable(decision, source, key, silence),
        }
    }
}

impl SoFar {
    /// Whether an outdated verdict may serve.
    pub(super) fn is_outage(&self) -> bool {
        self.some && !self.no_stale
    }

    /// A site has given no verdict.
    pub(super) fn ended(&mut self, allows_stale: bool, wait: Option<(u64, u64)>, now: u64) {
        self.no_stale |= !allows_stale;
        self.some = true;
        match wait {
            Some((until, said)) => self.waits.push((now + until, now + said)),
            None => self.no_wait = true,
        }
    }
}

/// The site that a call goes to.
pub(super) fn asked_site(call: Option<&(CallId, Call)>) -> Option<String> {
    call.map(|(_, call)| call.cluster.clone())
}
