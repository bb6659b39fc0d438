//! Calls under way, who waits for them, and until when.
//!
//! Requests with the same key share one call, and where it fails the next site is asked for all of
//! them. A request is released by taking it out of here, so it is released once; nobody waits past
//! its own deadline; and how many wait for one call is bounded.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use rustc_hash::FxBuildHasher;

use super::health::Leave;
use super::statement::Words;
use super::{CallId, GRACE, StreamId};
use crate::bearer::BearerToken;
use crate::config::{Endpoint, Policy, Site};
use crate::correlation::Correlation;
use crate::enrich::Cleansing;
use crate::outcome::Source;
use crate::reply::Dialect;
use crate::time::{Date, Moment};
use crate::token_key::TokenKey;
use crate::userinfo::{self, Call};

/// Most requests that wait for one call.
pub(super) const MOST_WAITING: usize = 4096;

/// Most requests that wait in all.
pub(super) const MOST_HELD: usize = 16_384;

/// All calls under way on one worker.
#[derive(Debug, Default)]
pub(super) struct Flights {
    by_key: HashMap<TokenKey, Flight, FxBuildHasher>,
    /// What each call asks.
    calls: BTreeMap<CallId, TokenKey>,
    /// What each held request waits for.
    held: BTreeMap<StreamId, TokenKey>,
    pub(super) next: u64,
}

/// A question under way. It goes on when nobody waits for it any more: its call cannot be called
/// back, and its answer may be kept.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) key: TokenKey,
    pub(super) lead: Lead,
    /// The call that is under way.
    pub(super) attempt: Attempt,
    /// When no further call may be made.
    pub(super) ends: Moment,
    /// The last that a provider really said, where it was no verdict.
    pub(super) declined: Option<Rc<Words>>,
    /// Who has its answer kept.
    pub(super) keeper: Option<Keeper>,
    pub(super) waiting: BTreeMap<StreamId, Waiting>,
    most_bytes: usize,
}

/// What the first who asked has brought: by this the calls are made.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) policy: Rc<Policy>,
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) token: BearerToken<'static>,
    pub(super) correlation: Correlation,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) call: CallId,
    /// Which of the endpoint's sites is asked.
    pub(super) site: usize,
    pub(super) leave: Leave,
    pub(super) started: Moment,
    pub(super) timeout: Duration,
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

/// A request that has waited too long.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) stream: StreamId,
    pub(super) key: TokenKey,
    pub(super) waiting: Waiting,
    /// What it may be told.
    pub(super) declined: Option<Rc<Words>>,
}

/// As many wait as may.
#[derive(Debug)]
pub(super) struct Full(pub(super) Waiting);

impl Lead {
    /// How long may be asked in all: one call takes `timeout`, further ones the `deadline`.
    pub(super) fn patience(policy: &Policy, endpoint: &Endpoint) -> Duration {
        match endpoint.sites.as_slice() {
            [_] => policy.call.timeout,
            _ => policy.call.deadline,
        }
    }

    /// The call to this site.
    pub(super) fn call(&self, site: &Site, timeout: Duration) -> Call {
        userinfo::call(&self.policy.call, site, &self.token, &self.correlation, timeout)
    }
}

impl Attempt {
    /// Until when the host must have reported its end.
    fn deadline(&self) -> Moment {
        self.started.after(self.timeout).after(GRACE)
    }
}

impl Flight {
    /// A question for which nobody waits yet.
    pub(super) fn new(
        key: TokenKey,
        lead: Lead,
        attempt: Attempt,
        ends: Moment,
        keeper: Option<Keeper>,
    ) -> Flight {
        let waiting = BTreeMap::new();
        Flight { key, lead, attempt, ends, declined: None, keeper, waiting, most_bytes: 0 }
    }

    /// The site that is being asked.
    pub(super) fn site(&self) -> Option<&Site> {
        self.lead.endpoint.sites.get(self.attempt.site)
    }
}

impl Flights {
    /// Whether this is being asked.
    pub(super) fn under_way(&self, key: &TokenKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// Whether as many wait in all as may.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= MOST_HELD
    }

    /// A number for a call.
    pub(super) fn number(&mut self) -> CallId {
        let id = CallId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }

    /// A request waits for a call of its own, which is to be made now.
    pub(super) fn lead(&mut self, stream: StreamId, waiting: Waiting, mut flight: Flight) {
        self.held.insert(stream, flight.key);
        flight.most_bytes = waiting.policy.answer.max_bytes;
        flight.waiting.insert(stream, waiting);
        self.goes_on(flight);
    }

    /// A request waits for the call that is under way for its key.
    pub(super) fn join(
        &mut self,
        key: &TokenKey,
        stream: StreamId,
        waiting: Waiting,
        keeper: Option<Keeper>,
    ) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full(waiting));
        }
        match self.by_key.get_mut(key) {
            Some(flight) if flight.waiting.len() < MOST_WAITING => {
                flight.most_bytes = flight.most_bytes.max(waiting.policy.answer.max_bytes);
                flight.keeper = flight.keeper.take().or(keeper);
                flight.waiting.insert(stream, waiting);
                self.held.insert(stream, *key);
                Ok(())
            }
            Some(_) | None => Err(Full(waiting)),
        }
    }

    /// The largest answer to a call that anybody reads, in bytes.
    pub(super) fn most_bytes(&self, call: CallId) -> Option<usize> {
        self.by_key.get(self.calls.get(&call)?).map(|flight| flight.most_bytes)
    }

    /// A call has ended; the question may go on with another.
    pub(super) fn ended(&mut self, call: CallId) -> Option<Flight> {
        let key = self.calls.remove(&call)?;
        self.by_key.remove(&key)
    }

    /// The question goes on with this call.
    pub(super) fn goes_on(&mut self, flight: Flight) {
        self.calls.insert(flight.attempt.call, flight.key);
        self.by_key.insert(flight.key, flight);
    }

    /// The question is over: nobody waits for it any more.
    pub(super) fn over(&mut self, flight: &Flight) {
        for stream in flight.waiting.keys() {
            self.held.remove(stream);
        }
    }

    /// A request waits no more. The call goes on, for whoever else waits for it and for what is
    /// kept of its answer.
    pub(super) fn leave(&mut self, stream: StreamId) -> Option<Waiting> {
        let key = self.held.remove(&stream)?;
        self.by_key.get_mut(&key)?.waiting.remove(&stream)
    }

    /// The questions whose call has ended without a report.
    pub(super) fn lost(&mut self, now: Moment) -> Vec<Flight> {
        // In the order of the calls: that decides how long a site is shut.
        let over = |key: &TokenKey| {
            self.by_key.get(key).is_some_and(|flight| flight.attempt.deadline() <= now)
        };
        let lost: Vec<CallId> =
            self.calls.iter().filter(|(_, key)| over(key)).map(|(call, _)| *call).collect();
        lost.into_iter().filter_map(|call| self.ended(call)).collect()
    }

    /// Everybody who has waited too long for a call that goes on.
    pub(super) fn late(&mut self, now: Moment) -> Vec<Late> {
        let mut late: Vec<Late> = Vec::new();
        for flight in self.by_key.values_mut() {
            for (stream, waiting) in flight.waiting.extract_if(.., |_, w| w.deadline <= now) {
                self.held.remove(&stream);
                let declined = flight.declined.clone();
                late.push(Late { stream, key: flight.key, waiting, declined });
            }
        }
        late.sort_by_key(|late| late.stream);
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
