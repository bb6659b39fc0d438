//! A request arrives: what the gate may say to it.

use oidc_token_connector::gate::{Admission, Arrival, CallId, Decision, Slot, StreamId};
use oidc_token_connector::outcome::{Outcome, Source};
use oidc_token_connector::userinfo::Call;

use super::check;
use super::sites::Closed;
use super::{Fresh, GRACE, Key, Known, Place, Question, Request, SETUPS, Setup, Waiting, World};
use crate::message;

/// A request that has something to ask.
struct Asking {
    worker: usize,
    stream: u32,
    setup: &'static Setup,
    key: Key,
    /// The answers that stand in the places that the gate had read, where it did.
    found: Option<Vec<usize>>,
}

impl World {
    pub(super) fn admit(&mut self, at: usize, setup: u8, request: Request) {
        let setup = &SETUPS[usize::from(setup) % SETUPS.len()];
        self.put_to_work(at, setup);
        let now = self.now();
        let worker = &mut self.workers[at];
        let stream = (0..).find(|id| !worker.streams.contains_key(id)).expect("a free number");
        let policy = worker.at_work[setup.at].as_ref().expect("at work");
        let pairs = request.pairs();
        let pairs: Vec<(&str, &[u8])> = pairs.iter().map(|(n, v)| (*n, v.as_slice())).collect();
        let mut found = None;
        let arrival = worker.gate.admit(policy, StreamId(stream), &message::head(&pairs), now);
        let admission = match arrival {
            Arrival::Admitted(admission) => admission,
            Arrival::LookUp(question, slots) => {
                let places = slots.map(Slot::name).map(|name| self.places.get(&name));
                found = Some(places.iter().flatten().filter_map(|place| place.call).collect());
                let values = places.map(|place| place.map(|Place { value, .. }| value.as_slice()));
                worker.gate.looked_up(question, values, now)
            }
        };
        worker.streams.insert(stream, None);
        let key = match request.key(setup) {
            Ok(key) => key,
            Err(outcome) => {
                assert!(found.is_none(), "looked up without a question");
                let Admission::Decided(decision) = admission else { panic!("waits for nothing") };
                return check::unasked(&decision, outcome, setup);
            }
        };
        let asking = Asking { worker: at, stream, setup, key, found };
        self.heeds_refusals(&asking);
        match admission {
            Admission::Decided(decision) => self.decided(&asking, &decision),
            Admission::Lead(id, call) => self.led(&asking, id, &call),
            Admission::Follow => self.followed(&asking),
        }
    }

    /// A refusal that another worker has left ends what this one knew, of use to it or not.
    fn heeds_refusals(&mut self, asking: &Asking) {
        let Asking { worker, key, .. } = *asking;
        for call in asking.found.iter().flatten().copied() {
            let known = self.workers[worker].known.get(&key).map(|known| known.call);
            let newer = known.is_none_or(|known| self.compare(call, known).is_gt());
            if self.calls[call].key == key && self.refuses(call) && newer {
                self.workers[worker].known.insert(key, Known { call, surely: false });
            }
        }
    }

    /// Decided at once: only what is known can have done that.
    fn decided(&mut self, asking: &Asking, decision: &Decision) {
        let Asking { worker, setup, key, .. } = *asking;
        let (known, fresh) = self.known(worker, key, setup);
        let call = match decision.record.source {
            Source::Hit => {
                assert!(asking.found.is_none(), "knew it and looked all the same");
                assert_ne!(fresh, Fresh::No, "nothing is known that may decide it");
                let tally = &mut self.workers[worker].tally;
                let passed = decision.record.outcome == Outcome::Pass;
                *(if passed { &mut tally.hits } else { &mut tally.negative_hits }) += 1;
                known.expect("something is known")
            }
            Source::Shared => {
                let found = self.may_look(asking);
                let call = check::number(decision);
                assert!(found.contains(&call), "decided by what did not stand there");
                assert_ne!(self.fresh(call, setup), Fresh::No, "too old, or not for this instance");
                let newer = |other: usize| self.compare(other, call).is_gt();
                let best = found.iter().filter(|n| self.fresh(**n, setup) == Fresh::Surely);
                assert!(best.into_iter().all(|n| !newer(*n)), "not the newest word");
                assert!(!self.calls[call].is_mark, "decided by words that are not there");
                assert!(!found.iter().any(|n| self.refuses(*n) && newer(*n)), "refused since");
                let of_use = |n| {
                    SETUPS
                        .iter()
                        .any(|other| self.known(worker, key, other).1 == Fresh::Surely && newer(n))
                };
                assert!(!known.is_some_and(of_use), "the worker itself knew better");
                let worker = &mut self.workers[worker];
                worker.tally.shared_hits += 1;
                worker.known.insert(key, Known { call, surely: true });
                call
            }
            Source::Filter | Source::Stale => return self.turned_away(asking, decision),
            Source::Asked | Source::Joined => panic!("nobody was asked: {decision:?}"),
        };
        let (ending, _) = self.calls[call].ended.expect("answered");
        check::decision(decision, decision.record.source, setup, key, call, ending);
    }

    /// Nobody may be asked.
    fn turned_away(&mut self, asking: &Asking, decision: &Decision) {
        let Asking { worker, setup, key, .. } = *asking;
        self.asks(asking);
        let why = self.open_site(worker, key, setup, 0).expect_err("a site could be asked");
        if self.is_stale(worker, key, setup, decision) {
            return;
        }
        check::turned_away(decision, key, why);
        let tally = &mut self.workers[worker].tally;
        *(match why {
            Closed::Full => &mut tally.refused_by_cap,
            Closed::Shut => &mut tally.refused_by_breaker,
        }) += 1;
    }

    /// A call is to be made.
    fn led(&mut self, asking: &Asking, id: CallId, call: &Call) {
        let Asking { worker, stream, setup, key, .. } = *asking;
        self.asks(asking);
        let question = self.questions.len();
        self.questions.push(Question {
            worker,
            key,
            lead: setup,
            ends: self.now + setup.patience(key),
            keeper: setup.cache.as_ref().map(|_| setup),
            limit: setup.limit,
            call: None,
            word: None,
        });
        let site = self.open_site(worker, key, setup, 0).expect("no site may be asked");
        self.make(question, site, setup.timeout, id, call);
        let deadline = self.now + setup.patience(key) + GRACE;
        let waiting = Waiting { question, setup, deadline, source: Source::Asked };
        self.workers[worker].streams.insert(stream, Some(waiting));
    }

    /// It was right to ask, as far as that can be.
    fn asks(&mut self, asking: &Asking) {
        let Asking { worker, setup, key, .. } = *asking;
        self.missed(asking);
        if setup.shares() {
            let found = self.may_look(asking);
            let newest = found.into_iter().max_by(|one, other| self.compare(*one, *other));
            let of_use = |n: usize| !self.calls[n].is_mark && self.fresh(n, setup) == Fresh::Surely;
            let surely = newest.is_some_and(of_use);
            // Unless it was for the worker's own newer word that the shared one did not count.
            let known = self.workers[worker].known.get(&key).map(|known| known.call);
            let older = |known| newest.is_some_and(|newest| self.compare(known, newest).is_gt());
            assert!(!surely || known.is_some_and(older), "the other worker's answer went unused");
        } else {
            assert!(asking.found.is_none(), "looked without being told to share");
        }
        assert_eq!(self.under_way(worker, key), None, "a second call for one question");
    }

    /// It waits for a call that is under way.
    fn followed(&mut self, asking: &Asking) {
        let Asking { worker, stream, setup, key, .. } = *asking;
        self.missed(asking);
        assert!(asking.found.is_none(), "looked though it could join");
        let question = self.under_way(worker, key).expect("a call to follow");
        let asked = &mut self.questions[question];
        asked.keeper = asked.keeper.or(setup.cache.as_ref().map(|_| setup));
        asked.limit = asked.limit.max(setup.limit);
        let deadline = self.now + setup.patience(key) + GRACE;
        let waiting = Waiting { question, setup, deadline, source: Source::Joined };
        let worker = &mut self.workers[worker];
        worker.streams.insert(stream, Some(waiting));
        worker.tally.joined += 1;
    }

    /// It was right not to decide by what the worker knew.
    fn missed(&mut self, asking: &Asking) {
        let Asking { worker, setup, key, .. } = *asking;
        let (_, fresh) = self.known(worker, key, setup);
        assert_ne!(fresh, Fresh::Surely, "what was known went unused");
        self.workers[worker].tally.misses += u64::from(setup.cache.is_some());
    }

    /// Whoever looked was to look; the answers for its question that it found, whole.
    fn may_look(&self, asking: &Asking) -> Vec<usize> {
        let Asking { worker, setup, key, .. } = *asking;
        assert!(setup.shares() && self.under_way(worker, key).is_none());
        assert_ne!(self.known(worker, key, setup).1, Fresh::Surely);
        let found = asking.found.iter().flatten().copied();
        let found = found.filter(|call| self.calls[*call].key == key).collect();
        assert!(asking.found.is_some(), "did not look");
        found
    }
}
