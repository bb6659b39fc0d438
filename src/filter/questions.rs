//! What the requests of one worker ask providers: whether it is known, being asked, or to be asked.
//!
//! Everything that requests have in common is here: what was said before, the calls under way and who
//! waits for them, and how the sites are doing. How a call ends is in `asking.rs`. It reads no clock
//! and makes no call.

use std::rc::{Rc, Weak};

use super::cache::Store;
use super::decision::{Release, decided};
use super::effects::{Effect, Effects, ReadShared, Took};
use super::entry::{CacheEntry, Kind};
use super::health::{SiteEvent, Sites};
use super::ids::{CallId, StreamId};
use super::known_tokens::KnownTokens;
use super::lookup::{CacheOwner, Found, Lookup, LookupContext, RequestContext};
use super::lookups::{Full, Lookups};
use super::pending::{NoVerdict, Pending, Question};
use super::shared::{self, Slot};
use super::stats::Stats;
use super::waits::TokenWaits;
use crate::outcome::Source;
use crate::policy::{CacheScope, Caching, Policy};
use crate::provider::expiry;
use crate::provider::key::TokenKey;
use crate::provider::response::Answer;
use crate::provider::response::{is_providers, tells_time};
use crate::request::bearer::BearerToken;
use crate::request::correlation::Correlation;
use crate::request::headers::HeaderView;
use crate::time::{MonotonicTime, Now};

/// What all requests of a worker have in common.
#[derive(Debug, Default)]
pub(super) struct Questions {
    pub(super) store: Store,
    pub(super) known_tokens: KnownTokens,
    pub(super) lookups: Lookups,
    pub(super) waits: TokenWaits,
    pub(super) sites: Sites,
    /// The configurations at work, for the bounds that they set.
    pub(super) policies: Vec<Weak<Policy>>,
    pub(super) stats: Stats,
}

impl Questions {
    /// A configuration is at work from now on, until nobody holds it any more.
    pub(super) fn configured(&mut self, policy: &Rc<Policy>) {
        self.policies.push(Rc::downgrade(policy));
        self.bound_store();
    }

    /// Answers from what is known, else looks further.
    pub(super) fn consult(
        &mut self,
        (stream, key): (StreamId, TokenKey),
        token: BearerToken<'_>,
        waiting: RequestContext,
        head: &HeaderView<'_>,
        now: Now,
        effects: &mut Effects,
    ) {
        let cache = match waiting.policy.cache {
            Caching::On(cache) => Some(cache),
            Caching::Off => None,
        };
        if let Some(cache) = &cache
            && let Some(verdict) = self.store.find(&key, waiting.judge(&token, now), cache, now)
        {
            let count = match verdict.kind() {
                Some(Kind::Rejected) => &mut self.stats.negative_hits,
                Some(Kind::Accepted) | None => &mut self.stats.hits,
            };
            *count = count.saturating_add(1);
            let decision = decided(waiting, Source::Hit, &verdict);
            return effects.push(Effect::Release(Release { stream, decision }));
        }
        let under_way = self.lookups.under_way(&key);
        let correlation = Correlation::of(head);
        let token = token.into_owned();
        let mut question = Question { stream, key, shared: None, token, correlation, waiting };
        match cache.map(|cache| cache.scope) {
            Some(CacheScope::Process) if !under_way => {
                let shared = question.waiting.endpoint.key.shared_key(&question.token);
                question.shared = Some(shared);
                let slots = [Kind::Accepted, Kind::Rejected].map(|kind| Slot::of(&shared, kind));
                let pending = Pending::Question(Box::new(question));
                let read = ReadShared { slots: slots.to_vec(), pending };
                effects.push(Effect::ReadShared(read));
            }
            Some(CacheScope::Process | CacheScope::Worker) => {
                self.stats.misses = self.stats.misses.saturating_add(1);
                self.ask(question, now, effects);
            }
            None => self.ask(question, now, effects),
        }
    }

    /// The shared memory has been read.
    pub(super) fn read(
        &mut self,
        read: ReadShared,
        values: &[Option<Vec<u8>>],
        now: Now,
        effects: &mut Effects,
    ) {
        match read.pending {
            Pending::Question(question) => self.looked_up(*question, values, now, effects),
            Pending::NoVerdict(endpoint, requests) => {
                self.heard(&endpoint, values, *requests, now, effects);
            }
        }
    }

    /// What other workers know of a question.
    fn looked_up(
        &mut self,
        question: Question,
        values: &[Option<Vec<u8>>],
        now: Now,
        effects: &mut Effects,
    ) {
        let Question { key, shared, waiting, .. } = &question;
        let (Caching::On(cache), Some(shared)) = (waiting.policy.cache, shared) else {
            return self.ask(question, now, effects);
        };
        let entries = values.iter().flatten().filter_map(|text| shared::read(text, shared));
        let entries: Vec<CacheEntry> = entries.filter(|s| s.asked <= now.moment).collect();
        // A refusal of which another worker knows ends what this one knew, of use here or not.
        let refused = entries.iter().filter(|s| s.kind == Kind::Rejected).map(|s| s.asked).max();
        if let Some(refused) = refused.filter(|asked| Some(*asked) >= self.store.asked(key)) {
            self.store.refused(key, refused);
            self.known_tokens.remove(key);
        }
        // Beside a refusal only what was asked later counts; of one moment the refusal does.
        let refused = refused.max(self.store.refused_at(key));
        let counts = |s: &CacheEntry| s.kind == Kind::Rejected || Some(s.asked) > refused;
        let entries: Vec<CacheEntry> = entries.into_iter().filter(counts).collect();
        if entries.iter().any(|s| s.kind == Kind::Accepted) {
            self.known_tokens.insert(*key);
        }
        // A newer answer may be of no use here, but older data must not overwrite it. Nor does a valid
        // verdict of the same moment: this worker's own may have come after a refusal.
        let known = self.store.asked(key);
        let replaces = |s: &CacheEntry| match s.kind {
            Kind::Accepted => Some(s.asked) > known.max(refused),
            Kind::Rejected => Some(s.asked) >= known.max(refused),
        };
        let kept = self.store.for_kept(now);
        let usable = entries.into_iter();
        let usable = usable.filter(|s| s.is_fresh(key, &cache, kept) && replaces(s));
        let newest = usable.max_by_key(|s| s.asked);
        if let Some(entry) = newest {
            let verdict = waiting.judge(&question.token, kept).verdict(&entry.answer());
            if verdict.kind() == Some(entry.kind) {
                self.stats.shared_hits = self.stats.shared_hits.saturating_add(1);
                let reading = (Rc::clone(&waiting.endpoint), verdict.clone());
                self.store.keep(*key, entry, reading);
                let Question { stream, waiting, .. } = question;
                let decision = decided(waiting, Source::Shared, &verdict);
                return effects.push(Effect::Release(Release { stream, decision }));
            }
        }
        self.stats.misses = self.stats.misses.saturating_add(1);
        self.ask(question, now, effects);
    }

    /// Waits for the provider's answer, in a call of its own only if none is under way.
    fn ask(&mut self, question: Question, now: Now, effects: &mut Effects) {
        let Question { stream, key, token, correlation, mut waiting, .. } = question;
        let (policy, endpoint) = (Rc::clone(&waiting.policy), Rc::clone(&waiting.endpoint));
        let cache_owner = match policy.cache {
            Caching::Off => None,
            Caching::On(_) => Some(CacheOwner {
                policy: Rc::clone(&policy),
                endpoint: Rc::clone(&endpoint),
                token_exp: expiry::of_token(&token),
            }),
        };
        if self.lookups.under_way(&key) {
            waiting.source = Source::Joined;
            match self.lookups.join(&key, stream, waiting, cache_owner) {
                Ok(()) => self.stats.joined = self.stats.joined.saturating_add(1),
                Err(Full(waiting)) => self.refuse(stream, waiting, effects),
            }
            return;
        }
        if let Some(wait) = self.waits.of(&key, now.moment) {
            let (wait, words) = wait;
            let requests = NoVerdict::Waits(stream, key, token, waiting, wait, words);
            return self.without_a_verdict(requests, now, effects);
        }
        let ends = now.moment.after(LookupContext::patience(&policy, &endpoint));
        let timeout = policy.call.timeout;
        let known = self.known_tokens.knows(&key);
        let lead = LookupContext { policy, endpoint, token, correlation, known };
        if self.lookups.is_full(lead.is_strange()) {
            return self.refuse(stream, waiting, effects);
        }
        let Found { made, crowded } = self.first_from(&lead, 0, timeout, now);
        match made {
            Some((attempt, call)) => {
                let mut lookup = Lookup::new(key, lead, attempt, ends, cache_owner);
                lookup.so_far.passed_over(crowded);
                self.lookups.lead(stream, waiting, lookup);
                effects.push(Effect::Call(attempt.call, call));
            }
            // That we are crowded says nothing of the provider.
            None if crowded => self.refuse(stream, waiting, effects),
            None => {
                let requests = NoVerdict::BreakersOpen(stream, key, lead.token, waiting);
                self.without_a_verdict(requests, now, effects);
            }
        }
    }

    /// There is no room for this request, or for its call.
    fn refuse(&mut self, stream: StreamId, waiting: RequestContext, effects: &mut Effects) {
        let decision = self.crowded(waiting);
        effects.push(Effect::Release(Release { stream, decision }));
    }

    /// The largest answer to a call that anybody reads, in bytes.
    pub(super) fn answer_limit(&self, call: CallId) -> usize {
        self.lookups.most_bytes(call).unwrap_or(0)
    }

    /// A call has ended.
    pub(super) fn answered(
        &mut self,
        call: CallId,
        answer: &Answer<'_>,
        now: Now,
        effects: &mut Effects,
    ) {
        match self.lookups.ended(call) {
            Some(lookup) => {
                let taken = now.moment.since(lookup.attempt.started);
                if let Some(time) = taken.filter(|_| tells_time(answer)) {
                    let LookupContext { policy, endpoint, .. } = &lookup.lead;
                    let (policy, region) = (Rc::clone(policy), Rc::clone(&endpoint.region));
                    effects.push(Effect::Took(Took { policy, region, time }));
                }
                self.call_ended(lookup, answer, now, effects);
            }
            None => {
                self.sites.probe_ended(call, is_providers(answer), now.moment);
            }
        }
        self.probes(now, effects);
    }

    /// A request has ended by itself, perhaps while it was held.
    pub(super) fn gone(&mut self, stream: StreamId) {
        self.lookups.leave(stream);
    }

    /// Time has passed: repeats calls, releases requests past their deadline, and drops what is too
    /// old is forgotten.
    pub(super) fn tick(&mut self, now: Now, effects: &mut Effects) {
        let configured = self.policies.len();
        self.policies.retain(|policy| policy.strong_count() > 0);
        if self.policies.len() < configured {
            self.bound_store();
        }
        self.store.sweep(now);
        for lookup in self.lookups.lost(now.moment) {
            self.lost(lookup, now, effects);
        }
        for late in self.lookups.late(now.moment) {
            self.without_a_verdict(NoVerdict::Late(late), now, effects);
        }
        while let Some(lookup) = self.lookups.resumed(now.moment) {
            self.resume(lookup, now, effects);
        }
        for call in self.sites.lost_probes(now.moment) {
            self.sites.probe_ended(call, false, now.moment);
        }
        self.probes(now, effects);
    }

    /// When the next call is due that nothing but time leads to.
    pub(super) fn next_due(&self) -> Option<MonotonicTime> {
        self.lookups.next_due().into_iter().chain(self.sites.next_due(&self.policies)).min()
    }

    /// What an operator wants to know since the last time.
    pub(super) fn take_site_events(&mut self) -> Vec<SiteEvent> {
        self.sites.take_site_events()
    }

    /// The calls under way will never be reported: nobody is left to hear of them.
    pub(super) fn abandon(&mut self) {
        self.lookups.abandon();
        self.waits = TokenWaits::default();
        self.sites.abandon();
    }

    /// The counters and gauges.
    pub(super) fn stats(&self) -> Stats {
        let turnover = self.store.turnover();
        Stats {
            evicted: turnover.evicted,
            expired: turnover.expired,
            entries: self.store.entries(),
            bytes: self.store.bytes(),
            calls: self.lookups.calls(),
            waiting: self.lookups.waiting(),
            opened: self.sites.opened,
            probed: self.sites.probed,
            open: self.sites.open(),
            ..self.stats
        }
    }

    fn bound_store(&mut self) {
        let policies: Vec<Rc<Policy>> = self.policies.iter().filter_map(Weak::upgrade).collect();
        self.store.bound(policies.iter().filter_map(|policy| match &policy.cache {
            Caching::On(cache) => Some(cache),
            Caching::Off => None,
        }));
        self.lookups.halves = policies.iter().any(|p| matches!(p.cache, Caching::On(_)));
        let entries = policies.iter().filter_map(|policy| match &policy.cache {
            Caching::On(cache) => Some(cache.max_entries),
            Caching::Off => None,
        });
        self.known_tokens.bound(entries.max().unwrap_or(0));
        self.sites.retain(&self.policies);
    }
}
