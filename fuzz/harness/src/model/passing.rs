//! Time passes: calls are given up and repeated, requests let go, and the filter itself asks.

use oidc_token_connector::filter::{CallId, Event};
use oidc_token_connector::provider::call::Call;

use super::asking::asked_site;
use super::request::{asks_for, is_plain, sent};
use super::setup::Settings;
use super::sites::{Change, Closed, Leave};
use super::step::stands_in;
use super::{GRACE, Made, Probe, Question, Step, Worker, World};
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
            let question = self.calls[call].question;
            let asked = &mut self.questions[question];
            asked.silence = "timed_out";
            asked.so_far.timed_out = true;
            asked.so_far.ended(true, None, self.now);
            self.is_over(question);
        }
        let given_up: Vec<usize> = lost.iter().map(|call| self.calls[*call].question).collect();
        let time = self.now;
        let late = self.let_go(at, |w| w.deadline <= time || given_up.contains(&w.question));
        // What they are told is what was known before anything goes on.
        let mut late: std::collections::BTreeMap<_, _> = late
            .into_iter()
            .map(|(stream, w)| (stream, (w, self.questions[w.question].so_far.is_outage())))
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
                    let asked = &self.questions[waiting.question];
                    assert!(asked.step == Step::Over, "let go before its deadline");
                    (waiting, asked.silence, asked.so_far.is_outage())
                }
            };
            self.diary.released(waiting.number, &release.decision);
            self.told_nothing(&waiting, &release.decision, silence, is_outage);
        }
        assert!(late.is_empty(), "held past the deadline at {} ms", self.now);
        let held = |question: usize| self.questions[question].step != Step::Over;
        let mut waiting = self.workers[at].streams.values().flatten();
        assert!(waiting.all(|waiting| held(waiting.question)), "held for nothing");
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
            .questions
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

    /// Questions that have paused long enough go on, with these calls; or are over, and the
    /// requests that wait for them are among those `released`.
    fn resume(&mut self, at: usize, calls: Vec<(CallId, Call)>, released: &[u32]) {
        for (id, call) in calls {
            let number = asks_for(&call);
            let is = |asked: &Question| {
                let pauses = matches!(asked.step, Step::Pausing { from, .. } if from <= self.now);
                pauses && asked.worker == at && Some(asked.number) == number
            };
            let question = self.questions.iter().position(is).expect("it has paused");
            let Question { key, lead, known, site, ends, .. } = self.questions[question];
            let left = ends.saturating_sub(self.now);
            if key.sites()[site] == call.cluster {
                assert!(self.is_waited_for(question), "asked again for nobody");
                assert!(left >= 1, "asked again too late");
                self.is_next(at, key, lead, known, site..site);
                self.workers[at].tally.repeated += 1;
                self.make(question, left.min(lead.timeout), id, &call);
            } else {
                self.not_repeated(question);
                let call = Some((id, call));
                self.goes_on(question, asked_site(call.as_ref()), call);
            }
        }
        for question in 0..self.questions.len() {
            let asked = &self.questions[question];
            let Step::Pausing { from, to, .. } = asked.step else { continue };
            if asked.worker != at || from > self.now {
                continue;
            }
            let waits = self.workers[at].streams.iter();
            let mut waits = waits.filter(|(_, w)| w.is_some_and(|w| w.question == question));
            let let_go = waits.any(|(stream, _)| released.contains(stream));
            if to <= self.now || let_go {
                self.not_repeated(question);
                self.goes_on(question, None, None);
            } else {
                let is_certain = self.is_waited_for(question);
                let from = self.now + 1;
                self.questions[question].step = Step::Pausing { from, to, is_certain };
            }
        }
    }

    /// The call of a question that has paused is not repeated, and rightly so.
    fn not_repeated(&mut self, question: usize) {
        let Question { worker, key, lead, known, site, ends, .. } = self.questions[question];
        if ends > self.now && self.is_waited_for(question) {
            let leave = self.leaves(worker, key, lead, known)[site];
            assert_ne!(leave, Leave::Surely, "not asked again");
            self.questions[question].so_far.no_stale |= leave != Leave::No(Closed::Open);
        }
        self.questions[question].so_far.ended(true, None, self.now);
    }

    /// The filter itself asks, as it is to now, and nothing else.
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

    /// The breakers by which the filter may ask now: somebody held their configuration when the event
    /// began.
    fn due_by_held(&self, at: usize) -> Vec<(&'static str, Settings)> {
        let due = self.workers[at].sites.iter().flat_map(|(name, site)| {
            site.due(self.now).into_iter().map(move |settings| (*name, settings))
        });
        due.filter(|(_, settings)| self.held.iter().any(|s| s.settings() == Some(*settings)))
            .collect()
    }

    /// The breakers by which the filter is to ask now, each with its site.
    fn due(&self, at: usize) -> Vec<(&'static str, Settings)> {
        let worker = &self.workers[at];
        let due = worker.sites.iter().flat_map(|(name, site)| {
            site.due(self.now).into_iter().map(move |settings| (*name, settings))
        });
        // Where nobody is left with such a breaker there is nobody to ask for.
        due.filter(|(_, settings)| worker.has(*settings)).collect()
    }

    /// A question of the filter's own is over.
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
    /// Nothing is known of breakers that nobody has any more.
    pub(super) fn forget_unused(&mut self) {
        let policies = &self.policies;
        let has = |settings| {
            let mut held = policies.iter().filter(|(_, policy)| policy.strong_count() > 0);
            held.any(|(setup, _)| setup.settings() == Some(settings))
        };
        self.sites.values_mut().for_each(|site| site.keep(has));
    }
}
