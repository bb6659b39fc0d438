//! The other events: calls end, requests end, configurations come and go.

use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use oidc_token_connector::filter::{self, CallId, Slot, StreamId};
use oidc_token_connector::outcome::Outcome;
use oidc_token_connector::provider::call::Call;

use super::check;
use super::known::{Fresh, Known};
use super::meaning::OfTheToken;
use super::request::asks_for;
use super::sites::was_waited_for;
use super::{
    Ending, Event, Lookup, Made, Place, Probe, Request, SETUPS, Setup, Step, Tally, WORKERS,
    WaitingRequest, Who, Worker, World,
};
use crate::drive::{self, Done};

impl World {
    /// Lets one thing happen and compares.
    pub fn step(&mut self, event: Event) {
        match event {
            Event::Admit { worker, setup, who, region } => {
                let hostile = usize::from(matches!(who, Who::Hostile(_)));
                let number = 2 * self.requests[hostile] + hostile as u64;
                self.requests[hostile] += 1;
                let request = Request { who, region, number };
                self.admit(usize::from(worker) % WORKERS, setup, request);
            }
            Event::Answer(back, ending) => self.answers(false, back, ending),
            Event::AnswerStranger(back, ending) => self.answers(true, back, ending),
            Event::AnswerProbe(back, ending) => {
                if let Some(probe) = nth_last(self.probes.len(), back) {
                    self.answer_probe(probe, ending);
                }
            }
            Event::Gone { worker, back } => self.gone(usize::from(worker) % WORKERS, false, back),
            Event::HostileGone { worker, back } => {
                self.gone(usize::from(worker) % WORKERS, true, back);
            }
            Event::Wait(millis) => self.now += u64::from(millis),
            Event::SetDate(seconds) => self.date_off += i64::from(seconds),
            Event::Tick(worker) => self.tick(usize::from(worker) % WORKERS),
            Event::Due(worker) => {
                let worker = usize::from(worker) % WORKERS;
                if let Some(due) = self.next_due(worker) {
                    self.now = self.now.max(due);
                    self.tick(worker);
                }
            }
            Event::Configure { worker, setup } => {
                let worker = usize::from(worker) % WORKERS;
                let setup = &SETUPS[usize::from(setup) % SETUPS.len()];
                self.put_to_work(worker, setup);
                // The new one is there before the old one goes.
                self.configure(worker, setup);
            }
            Event::Retire { worker, setup } => {
                let worker = usize::from(worker) % WORKERS;
                // Sites that no instance names any more may be dropped, and validated tokens if no
                // instance has a cache: two stay.
                self.put_to_work(worker, &SETUPS[0]);
                self.put_to_work(worker, &SETUPS[1]);
                match usize::from(setup) % SETUPS.len() {
                    0 | 1 => {}
                    setup => {
                        let worker = &mut self.workers[worker];
                        worker.retire(&SETUPS[setup]);
                        worker.doubt(&self.calls);
                    }
                }
            }
            Event::Damage { place, at } => self.damage(place, at),
            Event::Misplace { from, to } => self.misplace(from, to),
        }
        self.audit();
    }

    /// No request waits forever, and afterwards none is left that could be released.
    pub fn finish(mut self) -> Tally {
        self.end()
    }

    pub(super) fn end(&mut self) -> Tally {
        self.now += 60_000;
        for worker in 0..WORKERS {
            self.tick(worker);
            assert!(self.workers[worker].streams.values().all(Option::is_none));
        }
        self.audit();
        for call in 0..self.calls.len() {
            self.answer(call, Ending::Good);
        }
        for probe in 0..self.probes.len() {
            self.answer_probe(probe, Ending::Good);
        }
        self.audit();
        for worker in 0..WORKERS {
            for hostile in [false, true] {
                while self.streams(worker, hostile).next().is_some() {
                    self.gone(worker, hostile, 0);
                }
            }
            // No instance names the sites any more.
            SETUPS.iter().for_each(|setup| self.workers[worker].retire(setup));
            self.workers[worker].sites.clear();
            self.tick(worker);
        }
        assert!(self.lookups.iter().all(|asked| asked.step == Step::Over));
        self.audit();
        self.workers.iter().map(|worker| worker.tally).fold(Tally::default(), Tally::plus)
    }

    /// An instance is at work from now on, if it was not.
    pub(super) fn put_to_work(&mut self, worker: usize, setup: &'static Setup) {
        if self.workers[worker].at_work[setup.at].is_none() {
            self.configure(worker, setup);
            // Data that no instance could use until now may have been dropped.
            self.workers[worker].doubt(&self.calls);
        }
    }

    fn configure(&mut self, worker: usize, setup: &'static Setup) {
        let policy = setup.policy();
        let worker = &mut self.workers[worker];
        worker.gate.configured(&policy);
        worker.policies.push((setup, Rc::downgrade(&policy)));
        worker.forget_unused();
        worker.retire(setup);
        worker.at_work[setup.at] = Some(policy);
    }

    fn answers(&mut self, hostile: bool, back: u8, ending: Ending) {
        let of = |call: &usize| self.is_hostile(*call) == hostile;
        let calls: Vec<usize> = (0..self.calls.len()).filter(of).collect();
        if let Some(nth) = nth_last(calls.len(), back) {
            self.answer(calls[nth], ending);
        }
    }

    fn answer(&mut self, call: usize, ending: Ending) {
        let exp = ending.exp(self.date());
        let Made { lookup, id, number, .. } = self.calls[call];
        let Lookup { worker: at, first_setup, step, limit, .. } = self.lookups[lookup];
        let is_under_way = step == Step::Asking(call);
        let now = self.now(at);
        let bridges = self.workers[at].setups().any(Setup::bridges);
        self.held = self.workers[at].setups().collect();
        let gate = &mut self.workers[at].gate;
        assert_eq!(gate.answer_limit(id), if is_under_way { limit } else { 0 });
        let stored = gate.stats().stored;
        let (places, told) = (&self.places, &self.told);
        let settled = ending.answer(number, exp, |answer| {
            let ended = filter::Event::CallEnded { call: id, answer };
            drive::handle(gate, ended, now, |slot| stands_in(places, told, slot))
        });
        let kept = gate.stats().stored > stored;
        let Done { releases, calls, written, took, .. } = settled;
        let share =
            self.tells(call, written, is_under_way && bridges && ending.means(first_setup).serves);
        let [mut next, probes] = self.told_apart(calls);
        assert!(next.len() <= 1, "several calls for one lookup");
        let taken = took.as_ref().map(|took| {
            let policy = Rc::as_ptr(&took.policy);
            (policy, took.region.to_string(), took.time.as_millis())
        });
        let tells = is_under_way && ending.tells_time();
        assert_eq!(taken, tells.then(|| self.taken(call)), "how long it took, and where");
        let is_over = if is_under_way {
            self.calls[call].ended = Some((ending, exp));
            let meaning = ending.means(first_setup);
            let waited = self.over(call, Some(meaning));
            if meaning.is_open {
                let next = next.pop();
                self.without_a_verdict(call, (ending, meaning), waited, next)
            } else {
                self.lookups[lookup].step = Step::Over;
                true
            }
        } else {
            false
        };
        assert!(next.is_empty(), "goes on though it is over");
        if is_over {
            self.learns(call, kept, share.is_some());
            if let Some((slot, value)) = share {
                self.places.insert(slot.name(), Place { value, call: Some(call) });
            }
            let is_open = ending.means(first_setup).is_open;
            let mut expected = self.let_go(at, |waiting| waiting.lookup == lookup);
            self.workers[at].tally.released += releases.len() as u64;
            for release in releases {
                let waiting = expected.remove(&release.stream.0).expect("waits for this call");
                self.diary.released(waiting.number, &release.decision);
                if is_open {
                    let Lookup { silence, .. } = self.lookups[lookup];
                    let is_outage = self.lookups[lookup].so_far.is_outage();
                    self.told_nothing(&waiting, &release.decision, silence, is_outage);
                } else {
                    let WaitingRequest { setup, source, .. } = waiting;
                    let key = self.lookups[lookup].key;
                    check::decision(&release.decision, source, setup, key, (number, ending));
                    if release.decision.record.outcome == Outcome::Pass {
                        self.passes(at, key, call, &[]);
                    }
                }
            }
            assert!(expected.is_empty(), "not released");
        } else {
            assert!(releases.is_empty() && share.is_none() && !kept, "it is not over now");
        }
        self.probed(at, probes);
        drop(took);
    }

    /// The data that a worker shares after a call: a report that its site answers, if others are
    /// `to_know` and had no report recently, and the rest.
    fn tells(
        &mut self,
        call: usize,
        share: Vec<(Slot, Vec<u8>)>,
        to_know: bool,
    ) -> Option<(Slot, Vec<u8>)> {
        let Made { lookup, key, site, .. } = self.calls[call];
        let worker = &mut self.workers[self.lookups[lookup].worker];
        let name = key.sites()[site];
        let (told, mut rest): (Vec<_>, Vec<_>) =
            share.into_iter().partition(|(slot, _)| is_told(slot));
        let due = to_know && worker.sites.get_mut(name).expect("asked").is_to_be_told(self.now);
        assert_eq!(told.len(), usize::from(due), "whether others are told that a site serves");
        for (slot, value) in told {
            self.told.insert(slot.name(), value);
            self.served.insert(name, self.now);
        }
        assert!(rest.len() <= 1, "one verdict");
        rest.pop()
    }

    /// The configuration of a call, its worker, and its duration.
    fn taken(&self, call: usize) -> (*const oidc_token_connector::policy::Policy, String, u128) {
        let Made { lookup, key, asked, .. } = &self.calls[call];
        let policy = Weak::as_ptr(&self.lookups[*lookup].policy);
        (policy, key.region.to_owned(), u128::from(self.now - asked))
    }

    /// The calls about tokens, and the probes.
    pub(super) fn told_apart(&mut self, calls: Vec<(CallId, Call)>) -> [Vec<(CallId, Call)>; 2] {
        let [mut about_tokens, mut probes] = [Vec::new(), Vec::new()];
        for (id, call) in calls {
            if let Some(number) = asks_for(&call) {
                self.diary.called(number, &call);
                about_tokens.push((id, call));
            } else {
                probes.push((id, call));
            }
        }
        [about_tokens, probes]
    }

    /// A worker's knowledge after this answer, and whether it was right to cache and to share it.
    fn learns(&mut self, call: usize, kept: bool, shared: bool) {
        let Made { lookup, key, ended, .. } = self.calls[call];
        let Lookup { worker: at, cache_owner, .. } = self.lookups[lookup];
        let (ending, _) = ended.expect("answered");
        match cache_owner.map_or(Fresh::No, |cache_owner| self.fresh(at, call, cache_owner)) {
            Fresh::Surely => assert!(kept, "{ending:?} was not kept"),
            Fresh::Perhaps => {}
            Fresh::No => assert!(!kept, "{ending:?} was kept"),
        }
        // Of a refusal others always learn, if not what it said.
        let refused = ending.ends_good(key);
        let shares = cache_owner.is_some_and(Setup::shares);
        assert_eq!(shared, shares && (kept || refused), "{ending:?}: shared");
        self.calls[call].is_mark = !kept;
        // Of two refusals of the same moment the first stays, with its text.
        let told = self.workers[at].known.get(&key).map(|known| known.call);
        let again = told.is_some_and(|k| self.refuses(k) && self.compare(k, call).is_eq());
        let worker = &mut self.workers[at];
        if kept {
            worker.tally.stored += 1;
            worker.known.insert(key, Known { call, surely: true });
        } else if refused && !again {
            // That it was good once counts no more, also where the refusal itself is not kept.
            worker.known.insert(key, Known { call, surely: false });
        }
        let validates = |cache_owner| ending.means(cache_owner).of_the_token == OfTheToken::Good;
        if cache_owner.is_some_and(validates) {
            self.hears_good(at, key, call, true);
        }
        if refused {
            self.hears_refusal(at, key, call);
        }
    }

    /// Requests that wait for this wait no more.
    pub(super) fn let_go(
        &mut self,
        worker: usize,
        such: impl Fn(&WaitingRequest) -> bool,
    ) -> std::collections::BTreeMap<u32, WaitingRequest> {
        let streams = self.workers[worker].streams.iter_mut();
        let taken = streams
            .filter_map(|(stream, waits)| Some((*stream, waits.take_if(|waiting| such(waiting))?)));
        taken.collect()
    }

    /// A probe ends.
    pub(super) fn answer_probe(&mut self, probe: usize, ending: Ending) {
        let Probe { worker: at, site, settings, id, asked, is_over } = self.probes[probe];
        let now = self.now(at);
        let gate = &mut self.workers[at].gate;
        assert_eq!(gate.answer_limit(id), 0);
        let settled = ending.answer(0, None, |answer| {
            drive::handle(gate, filter::Event::CallEnded { call: id, answer }, now, |_| None)
        });
        let Done { releases, calls, written, took, .. } = settled;
        let [next, probes] = self.told_apart(calls);
        assert!(releases.is_empty() && written.is_empty() && took.is_none() && next.is_empty());
        if !is_over {
            self.probes[probe].is_over = true;
            let is_answer = ending.means(&SETUPS[0]).is_answer;
            let taken = self.now - asked;
            let waited = (was_waited_for(taken, settings.0), taken * 10 < settings.0 * 9);
            self.probe_over(at, site, (settings, probe), is_answer, waited);
        }
        self.probed(at, probes);
    }

    /// The streams of the hostile caller, or of others.
    fn streams(&self, worker: usize, hostile: bool) -> impl Iterator<Item = u32> {
        let streams = self.workers[worker].streams.keys().copied();
        streams.filter(move |stream| stream % 2 == u32::from(hostile))
    }

    fn gone(&mut self, at: usize, hostile: bool, back: u8) {
        let count = self.streams(at, hostile).count();
        let Some(nth) = nth_last(count, back) else { return };
        let stream = self.streams(at, hostile).nth(nth).expect("there are more");
        let now = self.now(at);
        let worker = &mut self.workers[at];
        let waited = worker.streams.remove(&stream).flatten().is_some();
        worker.tally.gone += u64::from(waited);
        let before = worker.gate.stats().waiting;
        let event = filter::Event::Gone(StreamId(stream));
        let done = drive::handle(&mut worker.gate, event, now, |_| None);
        assert!(done.releases.is_empty() && done.calls.is_empty() && done.read.is_empty());
        assert_eq!(before - worker.gate.stats().waiting, usize::from(waited));
    }

    fn damage(&mut self, place: u8, at: u8) {
        let Some(nth) = nth_last(self.places.len(), place) else { return };
        let place = self.places.values_mut().nth(nth).expect("there are more");
        if place.call.take().is_none() {
            return; // a second bit might mend it
        }
        let index = usize::from(at / 2) % place.value.len().max(1);
        if at.is_multiple_of(2) {
            place.value.truncate(index);
        } else if let Some(byte) = place.value.get_mut(index) {
            *byte ^= 1 << (at % 8);
        }
        self.workers[0].tally.torn += 1;
    }

    fn misplace(&mut self, from: u8, to: u8) {
        let nth = |back| nth_last(self.places.len(), back);
        let (Some(from), Some(to)) = (nth(from), nth(to)) else { return };
        let place = self.places.values().nth(from).expect("there are more").clone();
        *self.places.values_mut().nth(to).expect("there are more") = place;
        self.workers[0].tally.torn += u64::from(from != to);
    }
}

impl Worker {
    /// An instance is at work no more.
    fn retire(&mut self, setup: &Setup) {
        if let Some(policy) = self.at_work[setup.at].take() {
            setup.give_back(policy);
        }
    }
}

fn nth_last(len: usize, back: u8) -> Option<usize> {
    let back = usize::from(back).checked_rem(len)?;
    Some(len - 1 - back)
}

/// Whether a place says when a site last served anybody.
pub(super) fn is_told(slot: &Slot) -> bool {
    slot.name().starts_with("oidc_token_connector.served.")
}

/// The content of a place of the shared data.
pub(super) fn stands_in(
    places: &BTreeMap<String, Place>,
    told: &BTreeMap<String, Vec<u8>>,
    slot: &Slot,
) -> Option<Vec<u8>> {
    let name = slot.name();
    places.get(&name).map(|place| &place.value).or_else(|| told.get(&name)).cloned()
}
