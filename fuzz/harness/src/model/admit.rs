//! A request arrives: what the gate may say to it.

use std::cmp::Ordering;
use std::rc::Rc;

use oidc_token_connector::filter::{CallId, Decision, Slot, StreamId};
use oidc_token_connector::outcome::{Outcome, Source};
use oidc_token_connector::provider::call::Call;

use super::check;
use super::known::{Fresh, Known};
use super::sites::{NotAllowed, Permission};
use super::step::{is_told, stands_in};
use super::{
    GRACE, Key, Lookup, Request, SETUPS, Setup, SoFar, Step, TokenWait, WaitingRequest, World,
};
use crate::drive::{self, Admission};
use crate::message;

/// A request that needs a verdict.
struct Asking {
    worker: usize,
    stream: u32,
    setup: &'static Setup,
    key: Key,
    number: u64,
    /// The answers in the places that the gate had read, if it did.
    found: Option<Vec<usize>>,
}

impl World {
    pub(super) fn admit(&mut self, at: usize, setup: u8, request: Request) {
        let setup = &SETUPS[usize::from(setup) % SETUPS.len()];
        self.put_to_work(at, setup);
        let now = self.now(at);
        let stream = self.free_number(at, request.number);
        let worker = &mut self.workers[at];
        let policy = worker.at_work[setup.at].as_ref().expect("at work");
        let pairs = request.pairs();
        let pairs: Vec<(&str, &[u8])> = pairs.iter().map(|(n, v)| (*n, v.as_slice())).collect();
        let head = message::head(&pairs).ending(true);
        let event = oidc_token_connector::filter::Event::Request {
            stream: StreamId(stream),
            policy,
            headers: &head,
        };
        let (places, told) = (&self.places, &self.told);
        let mut done =
            drive::handle(&mut worker.gate, event, now, |slot| stands_in(places, told, slot));
        let looked: Vec<&Slot> = done.read.iter().filter(|slot| !is_told(slot)).collect();
        let looked: Vec<_> = looked.iter().map(|slot| places.get(&slot.name())).collect();
        let found = looked.iter().flatten().filter_map(|place| place.call).collect();
        let found: Option<Vec<usize>> = (!looked.is_empty()).then_some(found);
        let admission = done.admission(StreamId(stream));
        assert!(done.written.is_empty() && done.took.is_none());
        worker.streams.insert(stream, None);
        self.diary.arrived(request.number, &admission);
        let key = match request.key(setup) {
            Ok(key) => key,
            Err(outcome) => {
                assert!(found.is_none(), "looked up without a lookup");
                let Admission::Decided(decision) = admission else { panic!("waits for nothing") };
                return check::unasked(&decision, outcome, setup);
            }
        };
        let number = request.number;
        let asking = Asking { worker: at, stream, setup, key, number, found };
        self.heeds(&asking);
        match admission {
            Admission::Decided(decision) => self.decided(&asking, &decision),
            Admission::Call(id, call) => self.led(&asking, id, &call),
            Admission::Joined => self.followed(&asking),
        }
    }

    /// A number for a stream: odd ones are the hostile caller's, who must not change those of
    /// others.
    fn free_number(&self, worker: usize, request: u64) -> u32 {
        let mut numbers = (0..).map(|number| 2 * number + (request % 2) as u32);
        let streams = &self.workers[worker].streams;
        numbers.find(|id| !streams.contains_key(id)).expect("a free number")
    }

    /// The effect of another worker's entry: a refusal ends what this one knew, whether or not it
    /// can use it, and a valid verdict makes the token a validated one.
    fn heeds(&mut self, asking: &Asking) {
        let Asking { worker, key, .. } = *asking;
        let found = asking.found.iter().flatten().copied();
        let found = found.filter(|call| self.calls[*call].key == key);
        let (refusals, good): (Vec<usize>, Vec<usize>) =
            found.partition(|call| self.refuses(*call));
        for call in refusals {
            let known = self.workers[worker].known.get(&key).map(|known| known.call);
            let replaces = |known: usize| match self.compare(call, known) {
                Ordering::Less => false,
                // Of two refusals the first stays, with its text.
                Ordering::Equal => !self.refuses(known),
                Ordering::Greater => true,
            };
            if known.is_none_or(replaces) {
                self.workers[worker].known.insert(key, Known { call, surely: false });
            }
            self.hears_refusal(worker, key, call);
        }
        for call in good {
            self.hears_good(worker, key, call, false);
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
                // A rule of the instance's own may refuse by a good verdict.
                let good = matches!(decision.record.outcome, Outcome::Pass | Outcome::ClaimRefused);
                *(if good { &mut tally.hits } else { &mut tally.negative_hits }) += 1;
                known.expect("something is known")
            }
            Source::Shared => {
                let call = self.shared(asking, decision, known);
                let worker = &mut self.workers[worker];
                worker.tally.shared_hits += 1;
                worker.known.insert(key, Known { call, surely: true });
                call
            }
            Source::Filter | Source::Stale => return self.turned_away(asking, decision),
            Source::Asked | Source::Joined => panic!("nobody was asked: {decision:?}"),
        };
        let (ending, _) = self.calls[call].ended.expect("answered");
        let said = (self.calls[call].number, ending);
        check::decision(decision, decision.record.source, setup, key, said);
        self.passes(worker, key, call, asking.found.as_deref().unwrap_or_default());
    }

    /// Decided by what another worker has left: the call that it says it was.
    fn shared(&self, asking: &Asking, decision: &Decision, known: Option<usize>) -> usize {
        let Asking { worker, setup, key, .. } = *asking;
        let found = self.may_look(asking);
        let number = check::number(decision);
        let decides = |call: &&usize| {
            let made = &self.calls[**call];
            let says = made.ended.map(|(ending, _)| ending.means(setup));
            // A reply to a missing subject or header does not show the number.
            let hidden = says.is_some_and(|says| {
                matches!(says.told.2, "no_subject" | "header_missing") && !made.is_mark
            });
            if number.is_some() { number == Some(made.number) } else { hidden }
        };
        let call = found.iter().filter(decides).max_by(|one, other| self.compare(**one, **other));
        let call = *call.expect("decided by an entry that was not found");
        let fresh = self.fresh(worker, call, setup);
        assert_ne!(fresh, Fresh::No, "too old, or not for this instance");
        let newer = |other: usize| self.compare(other, call).is_gt();
        let best = found.iter().filter(|n| self.fresh(worker, **n, setup) == Fresh::Surely);
        assert!(best.into_iter().all(|n| !newer(*n)), "not the newest verdict");
        assert!(!self.calls[call].is_mark, "decided by a shared value that is not there");
        let of_use = |n| {
            let surely = |other| self.known(worker, key, other).1 == Fresh::Surely;
            SETUPS.iter().any(|other| surely(other) && newer(n))
        };
        assert!(!known.is_some_and(of_use), "the worker itself knew better");
        call
    }

    /// No call is made: the token waits, or no site may be called.
    fn turned_away(&mut self, asking: &Asking, decision: &Decision) {
        let Asking { worker, setup, key, .. } = *asking;
        self.asks(asking);
        let lately = self.now.saturating_sub(1_000);
        if let Some(wait) = self.wait(worker, key) {
            if self.is_stale((worker, key, setup), decision, wait.allows_stale, lately) {
                return;
            }
            let (ending, _) = self.calls[wait.answer].ended.expect("answered");
            let left = wait.said.iter().map(|said| (said - self.now).div_ceil(1_000).to_string());
            let told = check::header(decision, "retry-after").expect("told to wait").to_owned();
            assert!(left.into_iter().any(|left| left == told), "{told} s are not what is left");
            let said = (self.calls[wait.answer].number, ending);
            check::told_to_wait(decision, Source::Filter, setup, key, said, Some(&told));
            self.workers[worker].tally.refused_by_wait += 1;
            return;
        }
        let permissions = self.permissions(worker, key, setup, self.is_validated(worker, key));
        assert!(!permissions.contains(&Permission::Surely), "a site could be asked");
        // That the gateway is crowded says nothing of the provider.
        let open =
            permissions.iter().all(|permission| *permission == Permission::No(NotAllowed::Open));
        if self.is_stale((worker, key, setup), decision, open, lately) {
            return;
        }
        check::turned_away(decision, key, if open { NotAllowed::Open } else { NotAllowed::Full });
        let tally = &mut self.workers[worker].tally;
        *(if open { &mut tally.refused_by_breaker } else { &mut tally.refused_by_cap }) += 1;
    }

    /// The wait of a token, while it lasts.
    fn wait(&self, worker: usize, key: Key) -> Option<TokenWait> {
        let wait = self.workers[worker].waits.get(&key)?;
        (self.now < wait.until).then(|| wait.clone())
    }

    /// A call must be made.
    fn led(&mut self, asking: &Asking, id: CallId, call: &Call) {
        let Asking { worker, setup, key, number, .. } = *asking;
        self.asks(asking);
        assert!(self.wait(worker, key).is_none(), "asked though the token waits");
        let known = self.is_validated(worker, key);
        let site = key.sites().iter().position(|site| *site == call.cluster).expect("its site");
        let crowded = self.is_next(worker, key, setup, known, 0..site);
        let lookup = self.lookups.len();
        let policy = self.workers[worker].at_work[setup.at].as_ref().expect("at work");
        self.lookups.push(Lookup {
            worker,
            key,
            first_setup: setup,
            policy: Rc::downgrade(policy),
            number,
            known,
            began: self.now,
            ends: self.now + setup.patience(key),
            cache_owner: setup.cache.as_ref().map(|_| setup),
            limit: setup.limit,
            site,
            repeats: 0,
            step: Step::Over,
            last_answer: None,
            silence: "",
            so_far: SoFar { no_stale: crowded, ..SoFar::default() },
        });
        self.make(lookup, setup.timeout, id, call);
        self.holds(asking, lookup, Source::Asked);
    }

    /// The request waits.
    fn holds(&mut self, asking: &Asking, lookup: usize, source: Source) {
        let Asking { worker, stream, setup, key, number, .. } = *asking;
        let deadline = self.now + setup.patience(key) + GRACE;
        let waiting = WaitingRequest { lookup, setup, deadline, source, number };
        self.workers[worker].streams.insert(stream, Some(waiting));
    }

    /// The call was right, as far as that is certain.
    fn asks(&mut self, asking: &Asking) {
        let Asking { worker, setup, key, .. } = *asking;
        self.missed(asking);
        if setup.shares() {
            let found = self.may_look(asking);
            let newest = found.iter().copied().max_by(|one, other| self.compare(*one, *other));
            let of_use =
                |n: usize| !self.calls[n].is_mark && self.fresh(worker, n, setup) == Fresh::Surely;
            // Unless it did not count because of a newer verdict, the worker's own or also there;
            // of two verdicts of one moment the refusal counts.
            let known = self.workers[worker].known.get(&key).map(|known| known.call);
            let refused = self.workers[worker].refused.get(&key).map(|heard| heard.call);
            let since = |newest: usize| {
                // Of two valid verdicts of one moment the worker's own counts: it may have come after
                // a refusal that it no longer knows of.
                let own = |other: usize| other != newest && !self.refuses(newest);
                let newer = |other: usize| match self.compare(other, newest) {
                    Ordering::Less => false,
                    Ordering::Equal => own(other),
                    Ordering::Greater => true,
                };
                let refusal = |other: usize| self.compare(other, newest).is_ge();
                known.is_some_and(newer) || refused.is_some_and(refusal)
            };
            let surely = newest.is_some_and(|newest| of_use(newest) && !since(newest));
            assert!(!surely, "the other worker's answer went unused");
        } else {
            assert!(asking.found.is_none(), "looked without being told to share");
        }
        match self.under_way(worker, key) {
            Some((_, true)) => panic!("a second call for one lookup"),
            Some((lookup, false)) => self.lookups[lookup].step = Step::Over,
            None => {}
        }
    }

    /// It waits for a call that is under way.
    fn followed(&mut self, asking: &Asking) {
        let Asking { worker, setup, key, .. } = *asking;
        self.missed(asking);
        assert!(asking.found.is_none(), "looked though it could join");
        let (lookup, _) = self.under_way(worker, key).expect("a call to follow");
        let asked = &mut self.lookups[lookup];
        if let Step::Pausing { is_certain, .. } = &mut asked.step {
            *is_certain = true;
        }
        asked.cache_owner = asked.cache_owner.or(setup.cache.as_ref().map(|_| setup));
        asked.limit = asked.limit.max(setup.limit);
        self.holds(asking, lookup, Source::Joined);
        self.workers[worker].tally.joined += 1;
    }

    /// It was right not to decide by what the worker knew.
    fn missed(&mut self, asking: &Asking) {
        let Asking { worker, setup, key, .. } = *asking;
        let (_, fresh) = self.known(worker, key, setup);
        assert_ne!(fresh, Fresh::Surely, "what was known went unused");
        self.workers[worker].tally.misses += u64::from(setup.cache.is_some());
    }

    /// The gate read only where it should; returns the complete answers for its lookup that it
    /// found.
    fn may_look(&self, asking: &Asking) -> Vec<usize> {
        let Asking { worker, setup, key, .. } = *asking;
        assert!(setup.shares(), "looked without being told to share");
        assert!(self.under_way(worker, key).is_none_or(|(_, certain)| !certain));
        assert_ne!(self.known(worker, key, setup).1, Fresh::Surely);
        let found = asking.found.iter().flatten().copied();
        let found = found.filter(|call| self.calls[*call].key == key).collect();
        assert!(asking.found.is_some(), "did not look");
        found
    }
}
