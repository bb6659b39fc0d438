//! Calls under way, who waits for them, and until when.
//!
//! Requests with the same key share one call, and where it fails it is repeated, or the next site is
//! asked, for all of them. A request is released by taking it out of here, so it is released once;
//! nobody waits past its own deadline; and how many wait for one call, and how many bytes all of it
//! takes, is bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use rustc_hash::FxBuildHasher;

use super::entry::StoredResponse;
use super::health::CallPermit;
use super::ids::{CallId, GRACE, StreamId};
use super::waits::Wait;
use crate::outcome::Source;
use crate::policy::{Endpoint, Policy, Site};
use crate::provider::call::Call;
use crate::provider::key::TokenKey;
use crate::refusal::NoAnswer;
use crate::reply::Dialect;
use crate::request::bearer::BearerToken;
use crate::request::correlation::Correlation;
use crate::request::strip::StripPlan;
use crate::time::{MonotonicTime, UnixTime};

/// Most requests that wait for one call.
pub(super) const MOST_WAITING: usize = 4096;

/// Most requests that wait in all.
pub(super) const MOST_HELD: usize = 16_384;

/// Most bytes that questions and those who wait for them take: far below the 1 GiB at which a VM
/// dies, whatever the number of sites.
pub(super) const MOST_BYTES: usize = 128 * 1024 * 1024;

/// What a question takes beside its texts.
const QUESTION: usize = 1024;

/// What a request that waits takes beside its texts.
const REQUEST: usize = 512;

/// All calls under way on one worker.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    by_key: HashMap<TokenKey, Lookup, FxBuildHasher>,
    /// What each call asks.
    calls: BTreeMap<CallId, TokenKey>,
    /// The questions that pause before their call is repeated, by when that is.
    pausing: BTreeSet<(MonotonicTime, TokenKey)>,
    /// What each held request waits for.
    held: BTreeMap<StreamId, TokenKey>,
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

/// A question under way. It goes on when nobody waits for it any more: its call cannot be called
/// back, and its answer may be kept.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) key: TokenKey,
    pub(super) lead: LookupContext,
    /// The call that is under way, or that is to be repeated.
    pub(super) attempt: Attempt,
    /// When the first call was made.
    pub(super) began: MonotonicTime,
    /// When no further call may be made.
    pub(super) ends: MonotonicTime,
    /// The last that a provider really said, where it was no verdict.
    pub(super) declined: Option<Rc<StoredResponse>>,
    /// Why the last call had no answer.
    pub(super) silent: NoAnswer,
    /// What the calls so far are evidence of, taken together.
    pub(super) so_far: SoFar,
    /// Who has its answer kept.
    pub(super) cache_owner: Option<CacheOwner>,
    pub(super) waiting: BTreeMap<StreamId, RequestContext>,
    most_bytes: usize,
    /// What of it is counted, those who wait aside.
    weight: usize,
}

/// What the sites that were asked are evidence of, taken together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SoFar {
    /// One of them gave an answer beside which no outdated verdict may serve, or was passed over
    /// because too many calls are under way.
    no_stale: bool,
    /// One of them has been asked in vain: before that, being late says nothing of the provider.
    some: bool,
    /// One of them was given up when its time was over.
    timed_out: bool,
    /// One of them asked for no pause.
    no_wait: bool,
    /// The shortest pause that one of them asked for.
    wait: Option<Wait>,
}

impl SoFar {
    /// A site has given no verdict; whether an outdated one may serve, and the pause it asks for.
    pub(super) fn site_ended(&mut self, stale: bool, wait: Option<Wait>) {
        self.no_stale |= !stale;
        self.some = true;
        match (wait, self.wait) {
            (None, _) => self.no_wait = true,
            (Some(wait), Some(other)) if other.until <= wait.until => {}
            (Some(wait), _) => self.wait = Some(wait),
        }
    }

    /// A site was passed over, because too many calls are under way or not. That we are crowded is
    /// no outage: it might have refused the token.
    pub(super) fn passed_over(&mut self, crowded: bool) {
        self.no_stale |= crowded;
    }

    /// A site was given up when its time was over.
    pub(super) fn timed_out(&mut self) {
        self.timed_out = true;
    }

    /// Whether an outdated verdict may serve.
    pub(super) fn stale(self) -> bool {
        self.some && !self.no_stale
    }

    /// Whether an outdated verdict may serve a request of this instance, where the calls were made by
    /// that one's rules: that somebody else is less patient says nothing of the provider.
    pub(super) fn stale_for(self, own: &Policy, lead: &Policy) -> bool {
        self.stale() && (!self.timed_out || own.call.timeout <= lead.call.timeout)
    }

    /// How long the token waits, if every site that was asked wants it to.
    pub(super) fn wait(self) -> Option<Wait> {
        self.wait.filter(|_| !self.no_wait).map(|wait| Wait { stale: self.stale(), ..wait })
    }
}

/// Which site may be asked.
pub(super) struct Found {
    /// The call to it.
    pub(super) made: Option<(Attempt, Call)>,
    /// One before it was passed over because too many calls are under way.
    pub(super) crowded: bool,
}

/// What the first who asked has brought: by this the calls are made.
#[derive(Debug)]
pub(super) struct LookupContext {
    pub(super) policy: Rc<Policy>,
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) token: BearerToken<'static>,
    pub(super) correlation: Correlation,
    /// Whether the token was vouched for before.
    pub(super) known: bool,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) call: CallId,
    /// Which of the endpoint's sites is asked.
    pub(super) site: usize,
    /// How often it was asked before about this question.
    pub(super) repeated: u8,
    pub(super) leave: CallPermit,
    pub(super) started: MonotonicTime,
    pub(super) timeout: Duration,
}

/// The instance by whose rules an answer is kept.
#[derive(Debug)]
pub(super) struct CacheOwner {
    pub(super) policy: Rc<Policy>,
    pub(super) endpoint: Rc<Endpoint>,
    /// The end that the token itself states.
    pub(super) token_exp: Option<UnixTime>,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct RequestContext {
    pub(super) policy: Rc<Policy>,
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) strip_plan: StripPlan,
    pub(super) dialect: Dialect,
    pub(super) source: Source,
    pub(super) deadline: MonotonicTime,
}

/// A request that has waited too long.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) stream: StreamId,
    pub(super) key: TokenKey,
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

impl LookupContext {
    /// How long may be asked in all: one call takes `timeout`, further ones the `deadline`.
    pub(super) fn patience(policy: &Policy, endpoint: &Endpoint) -> Duration {
        match endpoint.sites.as_slice() {
            [_] => policy.call.timeout,
            _ => policy.call.deadline,
        }
    }

    /// Whether it is about a token that was not vouched for before. Without a cache nobody is known.
    pub(super) fn is_strange(&self) -> bool {
        !self.known
    }

    /// The call to this site.
    pub(super) fn call(&self, site: &Site, timeout: Duration) -> Call {
        {
            let Policy { method, call, .. } = &*self.policy;
            method.request(call, site, &self.token, &self.correlation, timeout)
        }
    }
}

impl RequestContext {
    /// About how many bytes it takes: its client chooses how many names are to be removed.
    fn weight(&self) -> usize {
        REQUEST.saturating_add(self.strip_plan.size())
    }
}

impl Attempt {
    /// Until when the host must have reported its end.
    fn deadline(&self) -> MonotonicTime {
        self.started.after(self.timeout).after(GRACE)
    }
}

impl Lookup {
    /// A question for which nobody waits yet.
    pub(super) fn new(
        key: TokenKey,
        lead: LookupContext,
        attempt: Attempt,
        ends: MonotonicTime,
        cache_owner: Option<CacheOwner>,
    ) -> Lookup {
        Lookup {
            key,
            lead,
            attempt,
            began: attempt.started,
            ends,
            declined: None,
            silent: NoAnswer::NotSent,
            so_far: SoFar::default(),
            cache_owner,
            waiting: BTreeMap::new(),
            most_bytes: 0,
            weight: 0,
        }
    }

    /// About how many bytes it takes, those who wait aside.
    fn weigh(&self) -> usize {
        let declined = self.declined.as_ref().map_or(0, |words| words.size());
        let LookupContext { token, correlation, .. } = &self.lead;
        [token.expose().len(), correlation.size(), declined]
            .into_iter()
            .fold(QUESTION, usize::saturating_add)
    }

    /// The site that is being asked.
    pub(super) fn site(&self) -> Option<&Site> {
        self.lead.endpoint.sites.get(self.attempt.site)
    }
}

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
        let lost: Vec<CallId> =
            self.calls.iter().filter(|(_, key)| over(key)).map(|(call, _)| *call).collect();
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
