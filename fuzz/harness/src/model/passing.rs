//! Time passes: calls end at their timeout and are repeated, requests are released, and probes are
//! sent.

use oidc_token_connector::filter::{CallId, Event};
use oidc_token_connector::provider::call::Call;

use super::asking::asked_site;
use super::request::{asks_for, is_plain, sent};
use super::setup::Settings;
use super::sites::{Change, NotAllowed, Permission};
use super::step::stands_in;
use super::{GRACE, Lookup, Made, Probe, Step, Worker, World};
use crate::drive::{self, Done};

impl World {
    /// Releases requests past their deadline, and those that wait for a call whose end was lost;
    /// calls that pause are repeated.
    pub(super) fn tick(&mut self, at: usize) {
        let now = self.now(at);
        self.workers[at].forget_unused();
        let keeps = self.workers[at].setups().any(|setup| setup.cache.is_some());
        let lost = self.lost(at);
        for call in lost.iter().copied() {
            self.over(call, None);
            let lookup = self.calls[call].lookup;
            let asked = &mut self.lookups[lookup];
            asked.silence = "timed_out";
            asked.so_far.timed_out = true;
            asked.so_far.ended(true, None, self.now);
            self.is_over(lookup);
        }
        let given_up: Vec<usize> = lost.iter().map(|call| self.calls[*call].lookup).collect();
        let time = self.now;
        let late = self.let_go(at, |w| w.deadline <= time || given_up.contains(&w.lookup));
        // Their answers use the knowledge before anything continues.
        let mut late: std::collections::BTreeMap<_, _> = late
            .into_iter()
            .map(|(stream, w)| (stream, (w, self.lookups[w.lookup].so_far.is_outage())))
            .collect();

        self.held = self.workers[at].setups().collect();
        let (places, told) = (&self.places, &self.told);
        let gate = &mut self.workers[at].gate;
        let done = drive::handle(gate, Event::Tick, now, |slot| stands_in(places, told, slot));
        let Done { releases, calls, written, took, .. } = done;
        assert!(written.is_empty() && took.is_none());
        let [next, probes] = self.told_apart(calls);
        let released: Vec<u32> = releases.iter().map(|release| release.stream.0).collect();
        self.resume(at, next, &released);
        self.workers[at].tally.released += releases.len() as u64;
        for release in releases {
            let stream = release.stream.0;
            let (waiting, silence, is_outage) = match late.remove(&stream) {
                Some((waiting, is_outage)) => (waiting, "timed_out", is_outage),
                None => {
                    let waiting = self.workers[at].streams.get_mut(&stream).and_then(Option::take);
                    let waiting = waiting.expect("waits");
                    let asked = &self.lookups[waiting.lookup];
                    assert!(asked.step == Step::Over, "let go before its deadline");
                    (waiting, asked.silence, asked.so_far.is_outage())
                }
            };
            self.diary.released(waiting.number, &release.decision);
            self.told_nothing(&waiting, &release.decision, silence, is_outage);
        }
        assert!(late.is_empty(), "held past the deadline at {} ms", self.now);
        let held = |lookup: usize| self.lookups[lookup].step != Step::Over;
        let mut waiting = self.workers[at].streams.values().flatten();
        assert!(waiting.all(|waiting| held(waiting.lookup)), "held for nothing");
        if !keeps {
            assert_eq!(self.workers[at].gate.stats().entries, 0, "kept for nobody");
        }
        for probe in 0..self.probes.len() {
            let Probe { worker, site, settings, asked, is_over, .. } = self.probes[probe];
            if worker == at && !is_over && asked + settings.0 + GRACE <= self.now {
                self.probes[probe].is_over = true;
                self.probe_over(at, site, (settings, probe), false, (true, false));
            }
        }
        self.probed(at, probes);
    }

    /// The calls whose end was never reported, in the order in which they were made.
    fn lost(&self, at: usize) -> Vec<usize> {
        let mut lost: Vec<usize> = self
            .lookups
            .iter()
            .filter_map(|asked| match asked.step {
                Step::Asking(call) if asked.worker == at => Some(call),
                Step::Asking(_) | Step::Pausing { .. } | Step::Over => None,
            })
            .filter(|call| {
                let Made { asked, timeout, .. } = self.calls[*call];
                asked + timeout + GRACE <= self.now
            })
            .collect();
        lost.sort_unstable();
        lost
    }

    /// Lookups that have paused long enough go on, with these calls; or are over, and the
    /// requests that wait for them are among those `released`.
    fn resume(&mut self, at: usize, calls: Vec<(CallId, Call)>, released: &[u32]) {
        for (id, call) in calls {
            let number = asks_for(&call);
            let is = |asked: &Lookup| {
                let pauses = matches!(asked.step, Step::Pausing { from, .. } if from <= self.now);
                pauses && asked.worker == at && Some(asked.number) == number
            };
            let lookup = self.lookups.iter().position(is).expect("it has paused");
            let Lookup { key, first_setup, known, site, ends, .. } = self.lookups[lookup];
            let left = ends.saturating_sub(self.now);
            if key.sites()[site] == call.cluster {
                assert!(self.is_waited_for(lookup), "asked again for nobody");
                assert!(left >= 1, "asked again too late");
                self.is_next(at, key, first_setup, known, site..site);
                self.workers[at].tally.repeated += 1;
                self.make(lookup, left.min(first_setup.timeout), id, &call);
            } else {
                self.not_repeated(lookup);
                let call = Some((id, call));
                self.goes_on(lookup, asked_site(call.as_ref()), call);
            }
        }
        for lookup in 0..self.lookups.len() {
            let asked = &self.lookups[lookup];
            let Step::Pausing { from, to, .. } = asked.step else { continue };
            if asked.worker != at || from > self.now {
                continue;
            }
            let waits = self.workers[at].streams.iter();
            let mut waits = waits.filter(|(_, w)| w.is_some_and(|w| w.lookup == lookup));
            let let_go = waits.any(|(stream, _)| released.contains(stream));
            if to <= self.now || let_go {
                self.not_repeated(lookup);
                self.goes_on(lookup, None, None);
            } else {
                let is_certain = self.is_waited_for(lookup);
                let from = self.now + 1;
                self.lookups[lookup].step = Step::Pausing { from, to, is_certain };
            }
        }
    }

    /// The call of a lookup that has paused is not repeated, and rightly so.
    fn not_repeated(&mut self, lookup: usize) {
        let Lookup { worker, key, first_setup, known, site, ends, .. } = self.lookups[lookup];
        if ends > self.now && self.is_waited_for(lookup) {
            let permission = self.permissions(worker, key, first_setup, known)[site];
            assert_ne!(permission, Permission::Surely, "not asked again");
            self.lookups[lookup].so_far.no_stale |= permission != Permission::No(NotAllowed::Open);
        }
        self.lookups[lookup].so_far.ended(true, None, self.now);
    }

    /// The filter sends exactly the probes that are due.
    pub(super) fn probed(&mut self, at: usize, probes: Vec<(CallId, Call)>) {
        let mut due = self.due(at);
        for (id, call) in probes {
            let by = |(name, settings): &(&str, Settings)| {
                let has_key = !sent(&call, "x-api-key").is_empty();
                let mut setups = self.workers[at].setups().chain(self.held.iter().copied());
                let asks = setups.any(|s| s.settings() == Some(*settings) && s.has_key == has_key);
                let timeout = u128::from(settings.0);
                *name == call.cluster && call.timeout.as_millis() == timeout && asks
            };
            let (site, settings) = match due.iter().position(by) {
                Some(place) => due.remove(place),
                None => {
                    let mut perhaps = self.due_by_held(at).into_iter();
                    perhaps.find(by).expect("a site is to be asked by such a breaker")
                }
            };
            is_plain(&call, !sent(&call, "x-api-key").is_empty());
            self.is_new(at, id);
            let probe = self.probes.len();
            let (asked, is_over) = (self.now, false);
            self.probes.push(Probe { worker: at, site, settings, id, asked, is_over });
            let worker = &mut self.workers[at];
            worker.sites.get_mut(site).expect("it was asked").probed(settings, probe);
            worker.tally.probed += 1;
        }
        assert!(due.is_empty(), "the filter was to ask {due:?}");
    }

    /// The breakers that may probe now: their configuration was in use when the event began.
    fn due_by_held(&self, at: usize) -> Vec<(&'static str, Settings)> {
        let due = self.workers[at].sites.iter().flat_map(|(name, site)| {
            site.due(self.now).into_iter().map(move |settings| (*name, settings))
        });
        due.filter(|(_, settings)| self.held.iter().any(|s| s.settings() == Some(*settings)))
            .collect()
    }

    /// The breakers that must probe now, each with its site.
    fn due(&self, at: usize) -> Vec<(&'static str, Settings)> {
        let worker = &self.workers[at];
        let due = worker.sites.iter().flat_map(|(name, site)| {
            site.due(self.now).into_iter().map(move |settings| (*name, settings))
        });
        // Without an instance with such a breaker there is no probe.
        due.filter(|(_, settings)| worker.has(*settings)).collect()
    }

    /// A probe is over.
    pub(super) fn probe_over(
        &mut self,
        at: usize,
        name: &'static str,
        of: (Settings, usize),
        is_answer: bool,
        waited: (bool, bool),
    ) {
        let worker = &mut self.workers[at];
        let site = worker.sites.get_mut(name);
        if let Some(change) = site.and_then(|s| s.probe_over(of, is_answer, waited, self.now)) {
            worker.changes.push((name, change));
            worker.tally.opened += u64::from(change == Change::Opened);
        }
    }
}

impl Worker {
    /// Breakers without an instance have no state.
    pub(super) fn forget_unused(&mut self) {
        let policies = &self.policies;
        let has = |settings| {
            let mut held = policies.iter().filter(|(_, policy)| policy.strong_count() > 0);
            held.any(|(setup, _)| setup.settings() == Some(settings))
        };
        self.sites.values_mut().for_each(|site| site.keep(has));
    }
}
