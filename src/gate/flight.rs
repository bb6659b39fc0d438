//! Calls under way, who waits for them, and until when.
//!
//! Requests with the same key share one call. A request is released by taking it out of here, so
//! it is released once; nobody waits past its own deadline; and both how many calls there are and
//! how many wait for one is bounded.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::{CallId, StreamId};
use crate::config::{Endpoint, Policy};
use crate::enrich::Cleansing;
use crate::outcome::Source;
use crate::reply::Dialect;
use crate::time::{Date, Moment};
use crate::token_key::TokenKey;

/// Most calls under way on one worker.
pub(super) const MOST_CALLS: usize = 1024;

/// Most requests that wait for one call.
pub(super) const MOST_WAITING: usize = 4096;

/// Most requests that wait in all.
pub(super) const MOST_HELD: usize = 16_384;

/// All calls under way on one worker.
#[derive(Debug, Default)]
pub(super) struct Flights {
    calls: BTreeMap<CallId, Flight>,
    /// The call for a key.
    by_key: HashMap<TokenKey, CallId>,
    /// Which call each held request waits for.
    held: BTreeMap<StreamId, CallId>,
    pub(super) next: u64,
}

/// A call under way. It goes on when nobody waits for it any more: it cannot be called back, and
/// its answer may be kept.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) key: TokenKey,
    pub(super) asked: Moment,
    /// Who has its answer kept.
    pub(super) keeper: Option<Keeper>,
    pub(super) waiting: BTreeMap<StreamId, Waiting>,
    deadline: Moment,
    most_bytes: usize,
}

/// The instance by whose rules an answer is kept.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) policy: Rc<Policy>,
    pub(super) endpoint: Rc<Endpoint>,
    /// The end that the token itself states.
    pub(super) token_exp: Option<Date>,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) policy: Rc<Policy>,
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) cleansing: Cleansing,
    pub(super) dialect: Dialect,
    pub(super) source: Source,
    pub(super) deadline: Moment,
}

/// There are as many calls, or as many wait, as may be.
#[derive(Debug)]
pub(super) struct Full(pub(super) Waiting);

impl Flights {
    /// Whether a call for this key is under way.
    pub(super) fn under_way(&self, key: &TokenKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// A request waits for a call of its own, which is to be made now.
    pub(super) fn lead(
        &mut self,
        key: TokenKey,
        stream: StreamId,
        waiting: Waiting,
        keeper: Option<Keeper>,
        asked: Moment,
    ) -> Result<CallId, Full> {
        if self.calls.len() >= MOST_CALLS || self.held.len() >= MOST_HELD {
            return Err(Full(waiting));
        }
        let id = CallId(self.next);
        self.next = self.next.wrapping_add(1);
        let flight = Flight {
            key,
            asked,
            keeper,
            deadline: waiting.deadline,
            most_bytes: waiting.policy.answer.max_bytes,
            waiting: BTreeMap::from([(stream, waiting)]),
        };
        self.calls.insert(id, flight);
        self.by_key.insert(key, id);
        self.held.insert(stream, id);
        Ok(id)
    }

    /// A request waits for the call that is under way for its key.
    pub(super) fn join(
        &mut self,
        key: &TokenKey,
        stream: StreamId,
        waiting: Waiting,
        keeper: Option<Keeper>,
    ) -> Result<(), Full> {
        let Some((id, flight)) =
            self.by_key.get(key).and_then(|id| Some((*id, self.calls.get_mut(id)?)))
        else {
            return Err(Full(waiting));
        };
        if flight.waiting.len() >= MOST_WAITING || self.held.len() >= MOST_HELD {
            return Err(Full(waiting));
        }
        flight.most_bytes = flight.most_bytes.max(waiting.policy.answer.max_bytes);
        flight.keeper = flight.keeper.take().or(keeper);
        flight.waiting.insert(stream, waiting);
        self.held.insert(stream, id);
        Ok(())
    }

    /// The largest answer to a call that anybody reads, in bytes.
    pub(super) fn most_bytes(&self, call: CallId) -> Option<usize> {
        self.calls.get(&call).map(|flight| flight.most_bytes)
    }

    /// A call has ended: everybody who waits for it comes along.
    pub(super) fn land(&mut self, call: CallId) -> Option<Flight> {
        let flight = self.calls.remove(&call)?;
        self.by_key.remove(&flight.key);
        for stream in flight.waiting.keys() {
            self.held.remove(stream);
        }
        Some(flight)
    }

    /// A request waits no more. The call goes on, for whoever else waits for it and for what is
    /// kept of its answer.
    pub(super) fn leave(&mut self, stream: StreamId) -> Option<Waiting> {
        let call = self.held.remove(&stream)?;
        self.calls.get_mut(&call)?.waiting.remove(&stream)
    }

    /// Everybody who has waited too long, with them the calls whose end was never reported.
    pub(super) fn late(&mut self, now: Moment) -> Vec<(StreamId, Waiting)> {
        let lost: Vec<CallId> =
            self.calls.iter().filter(|(_, f)| f.deadline <= now).map(|(id, _)| *id).collect();
        let mut late = Vec::new();
        for flight in lost.into_iter().filter_map(|call| self.land(call)).collect::<Vec<_>>() {
            late.extend(flight.waiting);
        }
        let joined = self.calls.values().flat_map(|flight| &flight.waiting);
        let joined: Vec<StreamId> =
            joined.filter(|(_, w)| w.deadline <= now).map(|(stream, _)| *stream).collect();
        for stream in joined {
            late.extend(self.leave(stream).map(|waiting| (stream, waiting)));
        }
        late
    }

    /// Forgets everything; numbers are never used again, also then.
    pub(super) fn abandon(&mut self) {
        *self = Flights { next: self.next, ..Flights::default() };
    }

    /// How many calls are under way.
    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.held.len()
    }
}
