//! What else can happen: calls end, requests go, time passes, configurations come and go.

use std::collections::BTreeMap;

use oidc_token_connector::gate::{Settled, StreamId};
use oidc_token_connector::outcome::Outcome;

use super::check;
use super::sites::Heard;
use super::{
    Ending, Event, Fresh, GRACE, Known, Made, Place, Question, Request, SETUPS, Setup, Tally,
    WORKERS, Waiting, Worker, World,
};

impl World {
    /// Lets one thing happen and compares.
    pub fn step(&mut self, event: Event) {
        match event {
            Event::Admit { worker, setup, who, region } => {
                self.admit(usize::from(worker) % WORKERS, setup, Request { who, region });
            }
            Event::Answer(back, ending) => {
                if let Some(call) = nth_last(self.calls.len(), back) {
                    self.answer(call, ending);
                }
            }
            Event::Gone { worker, back } => self.gone(usize::from(worker) % WORKERS, back),
            Event::Wait(millis) => self.now += u64::from(millis),
            Event::SetDate(seconds) => {
                self.date_off += i64::from(seconds);
                // What has ended may have been forgotten, and its end may lie ahead again.
                self.workers.iter_mut().for_each(Worker::doubt);
            }
            Event::Tick(worker) => self.tick(usize::from(worker) % WORKERS),
            Event::Configure { worker, setup } => {
                let worker = usize::from(worker) % WORKERS;
                let setup = &SETUPS[usize::from(setup) % SETUPS.len()];
                self.put_to_work(worker, setup);
                // The new one is there before the old one goes.
                let policy = setup.policy();
                self.workers[worker].gate.configured(&policy);
                self.workers[worker].at_work[setup.at] = Some(policy);
            }
            Event::Retire { worker, setup } => {
                let worker = usize::from(worker) % WORKERS;
                // Sites that nobody names any more may be forgotten: the first one stays.
                self.put_to_work(worker, &SETUPS[0]);
                match usize::from(setup) % SETUPS.len() {
                    0 => {}
                    setup => self.workers[worker].at_work[setup] = None,
                }
            }
            Event::Damage { place, at } => self.damage(place, at),
            Event::Misplace { from, to } => self.misplace(from, to),
        }
        self.audit();
    }

    /// Nobody waits for ever, and afterwards nothing is left that could be released.
    pub fn finish(mut self) -> Tally {
        self.now += 60_000;
        for worker in 0..WORKERS {
            self.tick(worker);
            assert!(self.workers[worker].streams.values().all(Option::is_none));
        }
        self.audit();
        for call in 0..self.calls.len() {
            self.answer(call, Ending::Good);
        }
        for worker in 0..WORKERS {
            while !self.workers[worker].streams.is_empty() {
                self.gone(worker, 0);
            }
            // Nobody names the sites any more.
            self.workers[worker].at_work = Default::default();
            self.workers[worker].sites.clear();
            self.tick(worker);
        }
        assert!(self.questions.iter().all(|asked| asked.call.is_none()));
        self.audit();
        self.workers.iter().map(|worker| worker.tally).fold(Tally::default(), Tally::plus)
    }

    /// An instance is at work from now on, if it was not.
    pub(super) fn put_to_work(&mut self, worker: usize, setup: &Setup) {
        let worker = &mut self.workers[worker];
        if worker.at_work[setup.at].is_none() {
            let policy = setup.policy();
            worker.gate.configured(&policy);
            worker.at_work[setup.at] = Some(policy);
            // What nobody could use until now may have been forgotten.
            worker.doubt();
        }
    }

    fn answer(&mut self, call: usize, ending: Ending) {
        let (now, exp) = (self.now(), ending.exp(self.date()));
        let Made { question, id, key, asked, timeout, .. } = self.calls[call];
        let at = self.questions[question].worker;
        let is_under_way = self.questions[question].call == Some(call);
        let worker = &mut self.workers[at];
        let limit = if is_under_way { self.questions[question].limit } else { 0 };
        assert_eq!(worker.gate.answer_limit(id), limit);
        let stored = worker.gate.ledger().stored;
        let Settled { releases, next, share, took } =
            ending.answer(call, exp, |answer| worker.gate.answered(id, answer, now));
        let kept = worker.gate.ledger().stored > stored;
        let took = took.map(|(region, time)| (region.to_string(), time.as_millis()));
        let taken = (key.region.to_owned(), u128::from(self.now - asked));
        assert_eq!(took, is_under_way.then_some(taken), "how long it took, and where");
        if !is_under_way {
            assert!(releases.is_empty() && share.is_none() && !kept, "ended twice");
            assert!(next.is_none(), "goes on twice");
            return;
        }
        self.calls[call].ended = Some((ending, exp));
        // Envoy's timers run a little early.
        let heard = ending.heard(self.now - asked >= timeout - (timeout / 10).min(20));
        self.over(call, heard);
        let next_site = if heard == Heard::Answer { None } else { self.next_site(call) };
        assert_eq!(next.is_some(), next_site.is_some(), "{ending:?}: asked next");
        if let (Some((id, call)), Some((site, left))) = (next, next_site) {
            assert!(releases.is_empty() && share.is_none() && !kept, "over, and goes on");
            self.workers[at].tally.failed_over += 1;
            return self.make(question, site, left, id, &call);
        }

        let keeper = self.questions[question].keeper;
        match keeper.map_or(Fresh::No, |keeper| self.fresh(call, keeper)) {
            Fresh::Surely => assert!(kept, "{ending:?} was not kept"),
            Fresh::Perhaps => {}
            Fresh::No => assert!(!kept, "{ending:?} was kept"),
        }
        // Of a refusal others always learn, if not what it said.
        let refused = ending.is_refusal() && keeper.is_some();
        if keeper.is_some_and(Setup::shares) {
            assert_eq!(share.is_some(), kept || refused, "{ending:?}");
        } else {
            assert!(share.is_none());
        }
        self.calls[call].is_mark = !kept;
        if let Some((slot, value)) = share {
            self.places.insert(slot.name(), Place { value, call: Some(call) });
        }
        // Of two refusals of the same moment the one that was there stays, with what it said.
        let told = self.workers[at].known.get(&key).map(|known| known.call);
        let again = told.is_some_and(|k| self.refuses(k) && self.compare(k, call).is_eq());
        let worker = &mut self.workers[at];
        if kept {
            worker.tally.stored += 1;
            worker.known.insert(key, Known { call, surely: true });
        } else if ending.is_refusal() && !again {
            // That it was good once counts no more, also where the refusal itself is not kept.
            worker.known.insert(key, Known { call, surely: false });
        }

        let mut expected = BTreeMap::new();
        for (stream, waits) in &mut worker.streams {
            if let Some(waiting) = waits.take_if(|waiting| waiting.question == question) {
                expected.insert(*stream, waiting);
            }
        }
        worker.tally.released += releases.len() as u64;
        for release in releases {
            let waiting = expected.remove(&release.stream.0).expect("waits for this call");
            if heard == Heard::Answer {
                let source = waiting.source;
                check::decision(&release.decision, source, waiting.setup, key, call, ending);
            } else {
                self.without_verdict(&waiting, &release.decision, ending);
            }
        }
        assert!(expected.is_empty(), "not released");
    }

    fn gone(&mut self, worker: usize, back: u8) {
        let worker = &mut self.workers[worker];
        let Some(nth) = nth_last(worker.streams.len(), back) else { return };
        let stream = *worker.streams.keys().nth(nth).expect("there are more");
        let waited = worker.streams.remove(&stream).flatten().is_some();
        worker.tally.gone += u64::from(waited);
        let outcome = worker.gate.gone(StreamId(stream));
        assert_eq!(outcome, waited.then_some(Outcome::ClientGone));
    }

    /// Everybody past its own deadline is let go, and whoever waits for a call whose end was lost.
    fn tick(&mut self, at: usize) {
        let now = self.now();
        let lost = |asked: &&Question| {
            let made = asked.call.filter(|_| asked.worker == at).map(|call| &self.calls[call]);
            made.is_some_and(|made| made.asked + made.timeout + GRACE <= self.now)
        };
        let lost: Vec<usize> = self.questions.iter().filter(lost).filter_map(|q| q.call).collect();
        let given_up: Vec<usize> = lost.iter().map(|call| self.calls[*call].question).collect();
        for call in lost {
            self.over(call, Heard::Nothing { counts: true });
        }
        let worker = &mut self.workers[at];
        let mut expected = BTreeMap::new();
        for (stream, waits) in &mut worker.streams {
            let ends = |w: &Waiting| w.deadline <= self.now || given_up.contains(&w.question);
            if let Some(waiting) = waits.take_if(|waiting| ends(waiting)) {
                expected.insert(*stream, waiting);
            }
        }
        let releases = worker.gate.tick(now);
        worker.tally.released += releases.len() as u64;
        for release in releases {
            let waiting = expected.remove(&release.stream.0).expect("past its deadline");
            self.without_verdict(&waiting, &release.decision, Ending::CutOff);
        }
        assert!(expected.is_empty(), "held past the deadline at {} ms", self.now);
        let worker = &self.workers[at];
        let keeps = SETUPS.iter().any(|s| s.cache.is_some() && worker.at_work[s.at].is_some());
        let busy = self.questions.iter().any(|asked| asked.worker == at && asked.call.is_some());
        if !keeps && !busy {
            assert_eq!(worker.gate.ledger().entries, 0, "kept for nobody");
        }
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

fn nth_last(len: usize, back: u8) -> Option<usize> {
    let back = usize::from(back).checked_rem(len)?;
    Some(len - 1 - back)
}
