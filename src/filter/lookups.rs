//! All lookups of a worker: calls under way, who waits for them, and until when.
//!
//! Requests with the same key share one call, and where it fails it is repeated, or the next site is
//! asked, for all of them. A request is released by taking it out of here, so it is released once;
//! nobody waits past its own deadline; and how many wait for one call, and how many bytes all of it
//! takes, is bounded.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::entry::StoredResponse;
use super::ids::{CallId, StreamId};
use super::lookup::{CacheOwner, Lookup, RequestContext};
use crate::provider::key::TokenKey;
use crate::request::bearer::BearerToken;
use crate::time::MonotonicTime;

/// Most requests that wait for one call.
pub(super) const MOST_WAITING: usize = 4096;

/// Most requests that wait in all.
pub const MOST_HELD: usize = 16_384;

/// Most bytes that questions and those who wait for them take: far below the 1 GiB at which a VM
/// dies, whatever the number of sites. The allocator keeps small blocks by their size (`memory.rs`), so clients that
/// fill it with one length of token after the other get more: for each copy of a token [`MOST_HELD`] times 11 KiB, the
/// sum of all sizes, which are 180 MiB.
pub const MOST_BYTES: usize = 128 * 1024 * 1024;

/// All calls under way on one worker.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    by_key: HashMap<TokenKey, Lookup, FxBuildHasher>,
    /// What each call asks.
    calls: HashMap<CallId, TokenKey, FxBuildHasher>,
    /// The questions that pause before their call is repeated, by when that is.
    pausing: BTreeSet<(MonotonicTime, TokenKey)>,
    /// What each held request waits for.
    held: HashMap<StreamId, TokenKey, FxBuildHasher>,
    all: Load,
    /// What of it is about tokens that were not vouched for before.
    strangers: Load,
    /// Half of it is kept for tokens that were vouched for: some instance has a cache.
    pub(super) halves: bool,
    pub(super) next: u64,
}

/// What questions and those who wait for them take.
#[derive(Debug, Default, Clone, Copy)]
struct Load {
    requests: usize,
    /// About how many.
    bytes: usize,
}

impl Load {
    fn add(&mut self, requests: usize, bytes: usize) {
        self.requests = self.requests.saturating_add(requests);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn remove(&mut self, requests: usize, bytes: usize) {
        self.requests = self.requests.saturating_sub(requests);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether this many times of it would be too much.
    fn fills(self, part: usize) -> bool {
        self.requests.saturating_mul(part) >= MOST_HELD
            || self.bytes.saturating_mul(part) >= MOST_BYTES
    }
}

/// A request that has waited too long.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) stream: StreamId,
    pub(super) key: TokenKey,
    pub(super) token: BearerToken<'static>,
    pub(super) waiting: RequestContext,
    /// What it may be told.
    pub(super) declined: Option<Rc<StoredResponse>>,
    /// When the first call was made.
    pub(super) began: MonotonicTime,
    /// Whether an outdated verdict may serve.
    pub(super) stale: bool,
}

/// The wait queue is full.
#[derive(Debug)]
pub(super) struct Full(pub(super) RequestContext);

impl Lookups {
    /// Whether this is being asked.
    pub(super) fn under_way(&self, key: &TokenKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// Whether as many wait in all as may, or take as many bytes. Half of it is for tokens that were
    /// vouched for before.
    pub(super) fn is_full(&self, stranger: bool) -> bool {
        self.all.fills(1) || (stranger && self.halves && self.strangers.fills(2))
    }

    fn add(&mut self, stranger: bool, requests: usize, bytes: usize) {
        self.all.add(requests, bytes);
        if stranger {
            self.strangers.add(requests, bytes);
        }
    }

    fn remove(&mut self, stranger: bool, requests: usize, bytes: usize) {
        self.all.remove(requests, bytes);
        if stranger {
            self.strangers.remove(requests, bytes);
        }
    }

    /// A number for a call.
    pub(super) fn number(&mut self) -> CallId {
        let id = CallId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }

    /// A request waits for a call of its own, which is to be made now.
    pub(super) fn lead(&mut self, stream: StreamId, waiting: RequestContext, mut lookup: Lookup) {
        self.held.insert(stream, lookup.key);
        self.add(lookup.lead.is_strange(), 1, waiting.weight());
        lookup.most_bytes = waiting.policy.call.max_bytes;
        lookup.waiting.insert(stream, waiting);
        self.goes_on(lookup);
    }

    /// A request waits for the call that is under way for its key.
    pub(super) fn join(
        &mut self,
        key: &TokenKey,
        stream: StreamId,
        waiting: RequestContext,
        cache_owner: Option<CacheOwner>,
    ) -> Result<(), Full> {
        let stranger = self.by_key.get(key).is_some_and(|lookup| lookup.lead.is_strange());
        if self.is_full(stranger) {
            return Err(Full(waiting));
        }
        let weight = waiting.weight();
        match self.by_key.get_mut(key) {
            Some(lookup) if lookup.waiting.len() < MOST_WAITING => {
                lookup.most_bytes = lookup.most_bytes.max(waiting.policy.call.max_bytes);
                lookup.cache_owner = lookup.cache_owner.take().or(cache_owner);
                lookup.waiting.insert(stream, waiting);
            }
            Some(_) | None => return Err(Full(waiting)),
        }
        self.held.insert(stream, *key);
        self.add(stranger, 1, weight);
        Ok(())
    }

    /// The largest answer to a call that anybody reads, in bytes.
    pub(super) fn most_bytes(&self, call: CallId) -> Option<usize> {
        self.by_key.get(self.calls.get(&call)?).map(|lookup| lookup.most_bytes)
    }

    /// A call has ended; the question may go on with another.
    pub(super) fn ended(&mut self, call: CallId) -> Option<Lookup> {
        let key = self.calls.remove(&call)?;
        self.take(&key)
    }

    fn take(&mut self, key: &TokenKey) -> Option<Lookup> {
        let lookup = self.by_key.remove(key)?;
        self.remove(lookup.lead.is_strange(), 0, lookup.weight);
        Some(lookup)
    }

    fn put(&mut self, mut lookup: Lookup) {
        lookup.weight = lookup.weigh();
        self.add(lookup.lead.is_strange(), 0, lookup.weight);
        self.by_key.insert(lookup.key, lookup);
    }

    /// The question goes on with its call.
    pub(super) fn goes_on(&mut self, lookup: Lookup) {
        self.calls.insert(lookup.attempt.call, lookup.key);
        self.put(lookup);
    }

    /// The question goes on at that moment.
    pub(super) fn pauses(&mut self, lookup: Lookup, until: MonotonicTime) {
        self.pausing.insert((until, lookup.key));
        self.put(lookup);
    }

    /// A question that has paused long enough.
    pub(super) fn resumed(&mut self, now: MonotonicTime) -> Option<Lookup> {
        let (until, key) = *self.pausing.first()?;
        if until > now {
            return None;
        }
        self.pausing.pop_first();
        self.take(&key)
    }

    /// When the next question has paused long enough.
    pub(super) fn next_due(&self) -> Option<MonotonicTime> {
        self.pausing.first().map(|(until, _)| *until)
    }

    /// The question is over: nobody waits for it any more.
    pub(super) fn over(&mut self, lookup: &Lookup) {
        for (stream, waiting) in &lookup.waiting {
            self.held.remove(stream);
            self.remove(lookup.lead.is_strange(), 1, waiting.weight());
        }
    }

    /// A request stops waiting. The call goes on, for the other waiting requests and for the cache.
    pub(super) fn leave(&mut self, stream: StreamId) -> Option<RequestContext> {
        let key = self.held.remove(&stream)?;
        let lookup = self.by_key.get_mut(&key)?;
        let (waiting, stranger) = (lookup.waiting.remove(&stream)?, lookup.lead.is_strange());
        self.remove(stranger, 1, waiting.weight());
        Some(waiting)
    }

    /// The questions whose call has ended without a report.
    pub(super) fn lost(&mut self, now: MonotonicTime) -> Vec<Lookup> {
        // In the order of the calls: that decides when a breaker asks.
        let over = |key: &TokenKey| {
            self.by_key.get(key).is_some_and(|lookup| lookup.attempt.deadline() <= now)
        };
        let mut lost: Vec<CallId> =
            self.calls.iter().filter(|(_, key)| over(key)).map(|(call, _)| *call).collect();
        lost.sort_unstable();
        lost.into_iter().filter_map(|call| self.ended(call)).collect()
    }

    /// Everybody who has waited too long for a call that goes on.
    pub(super) fn late(&mut self, now: MonotonicTime) -> Vec<Late> {
        let (mut late, mut gone): (Vec<Late>, Vec<(bool, usize)>) = (Vec::new(), Vec::new());
        for lookup in self.by_key.values_mut() {
            for (stream, waiting) in lookup.waiting.extract_if(.., |_, w| w.deadline <= now) {
                self.held.remove(&stream);
                let stale = lookup.so_far.stale_for(&waiting.policy, &lookup.lead.policy);
                gone.push((lookup.lead.is_strange(), waiting.weight()));
                late.push(Late {
                    token: lookup.lead.token.clone(),
                    stream,
                    key: lookup.key,
                    waiting,
                    declined: lookup.declined.clone(),
                    began: lookup.began,
                    stale,
                });
            }
        }
        for (stranger, weight) in gone {
            self.remove(stranger, 1, weight);
        }
        late.sort_by_key(|late| late.stream);
        late
    }

    /// Forgets everything; numbers are never used again, also then.
    pub(super) fn abandon(&mut self) {
        *self = Lookups { next: self.next, halves: self.halves, ..Lookups::default() };
    }

    /// How many calls are under way.
    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// About how many bytes questions and those who wait take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.all.bytes.max(self.strangers.bytes)
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.held.len()
    }
}
