//! The gate that every request comes to: start reading here.
//!
//! A request is admitted, and is then decided at once or held until the provider has answered, the
//! call has failed, its deadline has passed, or its client has gone. One gate serves all filter
//! instances of a worker: requests that ask the same share one call, and what a provider has said
//! may be kept for a while. Each request is decided by the rules of its own instance. The gate
//! reads no clock and makes no call: it is told the time and says which call is due.

mod asking;
mod cache;
mod decision;
mod familiar;
mod flight;
mod health;
mod ledger;
mod served;
mod shared;
mod statement;
mod waits;

use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::bearer::{self, BearerToken};
use crate::config::{CacheScope, Caching, Policy};
use crate::correlation::Correlation;
use crate::endpoint;
use crate::enrich::{self, Cleansing, Vouched};
use crate::expiry;
use crate::head::Head;
use crate::outcome::{Outcome, Source};
use crate::reply::{self, Dialect};
use crate::time::{Date, Moment, Now};
pub use crate::token_key::Seed;
use crate::token_key::{SharedKey, TokenKey};
use crate::userinfo::{Answer, Call};
use crate::verdict::{self, Permit, Refusal};
use asking::Found;
use cache::Store;
pub use decision::{Action, Decision, Record, Release};
use decision::{decided, unasked};
use familiar::Familiar;
use flight::{Flight, Flights, Full, Keeper, Lead, Waiting};
pub use health::Notice;
use health::{Closed, Sites};
pub use ledger::Ledger;
pub use served::Watched;
pub use shared::{SLOTS, Slot};
pub(crate) use statement::PAIR;
use statement::{Judged, Kind, Statement};
use waits::TokenWaits;

/// How long after a call's own timeout its answer is waited for: the host reports a timeout as an
/// answer, so only a lost report runs into this.
const GRACE: Duration = Duration::from_millis(150);

/// A request, as the host numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// A call to a provider, numbered by the gate and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(u64);

/// Holds the requests of one worker.
#[derive(Debug)]
pub struct Gate {
    seed: Seed,
    store: Store,
    familiar: Familiar,
    flights: Flights,
    waits: TokenWaits,
    sites: Sites,
    /// The latest date that it was told: what has been seen to end must not begin again because
    /// somebody sets the clock back.
    latest: Date,
    /// The configurations at work, for the bounds that they set.
    policies: Vec<Weak<Policy>>,
    ledger: Ledger,
}

/// What comes of a request that just arrived.
pub enum Arrival {
    /// It is known what it gets.
    Admitted(Admission),
    /// These places of the shared memory are to be read for it first: see [`Gate::looked_up`].
    LookUp(Question, [Slot; 2]),
}

/// What a request gets.
pub enum Admission {
    /// A decision at once.
    Decided(Decision),
    /// It waits; this call is to be made.
    Lead(CallId, Call),
    /// It waits for a call that is under way.
    Follow,
}

/// What a request wants to know of a provider. It has no `Debug`: it carries the token.
pub struct Question {
    stream: StreamId,
    key: TokenKey,
    /// What other workers know it by, where they are to be asked.
    shared: Option<SharedKey>,
    token: BearerToken<'static>,
    correlation: Correlation,
    waiting: Waiting,
}

/// What the end of a call leads to, or the passing of time.
#[derive(Default)]
pub struct Settled {
    /// Everybody who waits no more.
    pub releases: Vec<Release>,
    /// The calls that are to be made.
    pub calls: Vec<(CallId, Call)>,
    /// What is to be written into the shared memory.
    pub share: Vec<(Slot, Vec<u8>)>,
    /// How long the call took that has ended.
    pub took: Option<Took>,
}

/// How long a call took.
#[derive(Debug)]
pub struct Took {
    /// By whose configuration it was made.
    pub policy: Rc<Policy>,
    /// At which region's endpoint.
    pub region: Rc<str>,
    /// The time from the dispatch to its end.
    pub time: Duration,
}

impl Gate {
    /// A gate that knows nothing yet, and whose keys are made with this seed.
    pub fn new(seed: Seed) -> Gate {
        Gate {
            seed,
            store: Store::new(),
            familiar: Familiar::default(),
            flights: Flights::default(),
            waits: TokenWaits::default(),
            sites: Sites::default(),
            latest: Date(0),
            policies: Vec::new(),
            ledger: Ledger::default(),
        }
    }

    /// A configuration is at work from now on, until nobody holds it any more.
    pub fn configured(&mut self, policy: &Rc<Policy>) {
        self.policies.push(Rc::downgrade(policy));
        self.bound_store();
    }

    /// A request has arrived at the instance with this configuration.
    pub fn admit(
        &mut self,
        policy: &Rc<Policy>,
        stream: StreamId,
        head: &Head<'_>,
        now: Now,
    ) -> Arrival {
        let now = self.forward_only(now);
        if let Some(permit) = Permit::preflight(policy.preflight, head) {
            let cleansing = Cleansing::of(head, &policy.forward);
            let vouched = Rc::new(Vouched::of(&permit, None));
            let (edit, claims) = enrich::edit(&vouched, &policy.forward, None, cleansing);
            let record = Record { claims, ..unasked(Outcome::Preflight, None) };
            let action = Action::Forward(edit);
            return Arrival::Admitted(Admission::Decided(Decision { action, record }));
        }
        let dialect = Dialect::of(head);
        let chosen = bearer::parse(head, policy.max_token_bytes)
            .map_err(Refusal::Credentials)
            .and_then(|token| {
                let endpoint = endpoint::choose(&policy.endpoints, head);
                Ok((token, endpoint.map_err(Refusal::Endpoint)?))
            });
        match chosen {
            Err(refusal) => {
                let record = unasked(refusal.outcome(), Some(refusal.reason()));
                let action = Action::Reply(reply::reply(&refusal, &policy.replies, dialect));
                Arrival::Admitted(Admission::Decided(Decision { action, record }))
            }
            Ok((token, endpoint)) => {
                let patience = Lead::patience(policy, endpoint);
                let waiting = Waiting {
                    policy: Rc::clone(policy),
                    endpoint: Rc::clone(endpoint),
                    cleansing: Cleansing::of(head, &policy.forward),
                    dialect,
                    source: Source::Asked,
                    deadline: now.moment.after(patience).after(GRACE),
                };
                let key = endpoint.key.key(&token, self.seed);
                self.consult(stream, key, token, waiting, head, now)
            }
        }
    }

    /// What stood in the places of [`Arrival::LookUp`].
    pub fn looked_up(
        &mut self,
        question: Question,
        found: [Option<&[u8]>; 2],
        now: Now,
    ) -> Admission {
        let now = self.forward_only(now);
        let Question { key, shared, waiting, .. } = &question;
        let (Caching::On(cache), Some(shared)) = (waiting.policy.cache, shared) else {
            return self.ask(question, now);
        };
        let statements = found.into_iter().flatten().filter_map(|text| shared::read(text, shared));
        let statements: Vec<Statement> = statements.filter(|s| s.asked <= now.moment).collect();
        // A refusal of which another worker knows ends what this one knew, of use here or not.
        let refused = statements.iter().filter(|s| s.kind == Kind::Bad).map(|s| s.asked).max();
        if let Some(refused) = refused.filter(|asked| Some(*asked) >= self.store.asked(key)) {
            self.store.refused(key, refused);
            self.familiar.remove(key);
        }
        // Beside a refusal only what was asked later counts; of one moment the refusal does.
        let refused = refused.max(self.store.refused_at(key));
        let counts = |s: &Statement| s.kind == Kind::Bad || Some(s.asked) > refused;
        let statements: Vec<Statement> = statements.into_iter().filter(counts).collect();
        if statements.iter().any(|s| s.kind == Kind::Good) {
            self.familiar.insert(*key);
        }
        // What was heard later may be of no use here, but it must not be unlearned.
        let heard = self.store.asked(key).max(refused);
        let usable = statements.into_iter();
        let usable = usable.filter(|s| s.is_fresh(key, &cache, now) && Some(s.asked) >= heard);
        let newest = usable.max_by_key(|s| s.asked);
        if let Some(statement) = newest {
            let judged = Judged::of(&statement.answer(), &waiting.policy, &waiting.endpoint);
            if judged.kind().is_some() {
                self.ledger.shared_hits = self.ledger.shared_hits.saturating_add(1);
                let reading = (Rc::clone(&waiting.endpoint), judged.clone());
                self.store.keep(*key, statement, reading);
                return decided(question.waiting, Source::Shared, &judged);
            }
        }
        self.ledger.misses = self.ledger.misses.saturating_add(1);
        self.ask(question, now)
    }

    /// The largest answer to a call that anybody reads, in bytes.
    pub fn answer_limit(&self, call: CallId) -> usize {
        self.flights.most_bytes(call).unwrap_or(0)
    }

    /// A call has ended.
    pub fn answered(&mut self, call: CallId, answer: &Answer<'_>, now: Now) -> Settled {
        let now = self.forward_only(now);
        let mut settled = match self.flights.ended(call) {
            Some(flight) => {
                let taken = now.moment.since(flight.attempt.started);
                let took = taken.map(|time| Took {
                    policy: Rc::clone(&flight.lead.policy),
                    region: Rc::clone(&flight.lead.endpoint.region),
                    time,
                });
                Settled { took, ..self.call_ended(flight, answer, now) }
            }
            None => {
                self.sites.probe_ended(call, verdict::is_providers(answer), now.moment);
                Settled::default()
            }
        };
        settled.calls.extend(self.probes(now));
        settled
    }

    /// A request has ended by itself while it was held.
    pub fn gone(&mut self, stream: StreamId) -> Option<Outcome> {
        self.flights.leave(stream).map(|_| Outcome::ClientGone)
    }

    /// Time has passed: calls are repeated, whoever is past its deadline is let go, and what is too
    /// old is forgotten.
    pub fn tick(&mut self, now: Now) -> Settled {
        let now = self.forward_only(now);
        let configured = self.policies.len();
        self.policies.retain(|policy| policy.strong_count() > 0);
        if self.policies.len() < configured {
            self.bound_store();
        }
        self.store.sweep(now);
        let mut settled = Settled::default();
        for flight in self.flights.lost(now.moment) {
            settled.releases.extend(self.lost(flight, now).releases);
        }
        for late in self.flights.late(now.moment) {
            settled.releases.push(self.late(late, now));
        }
        while let Some(flight) = self.flights.resumed(now.moment) {
            let resumed = self.resume(flight, now);
            settled.releases.extend(resumed.releases);
            settled.calls.extend(resumed.calls);
        }
        for call in self.sites.lost_probes(now.moment) {
            self.sites.probe_ended(call, false, now.moment);
        }
        settled.calls.extend(self.probes(now));
        settled
    }

    /// When the next call is due that nothing but time leads to.
    pub fn next_due(&self) -> Option<Moment> {
        self.flights.next_due().into_iter().chain(self.sites.next_due(&self.policies)).min()
    }

    /// What an operator wants to know since the last time.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.sites.take_notices()
    }

    /// The calls under way will never be reported: nobody is left to hear of them.
    pub fn abandon(&mut self) {
        self.flights.abandon();
        self.waits = TokenWaits::default();
        self.sites.abandon();
    }

    /// What has happened so far, and what there is now.
    pub fn ledger(&self) -> Ledger {
        let turnover = self.store.turnover();
        Ledger {
            evicted: turnover.evicted,
            expired: turnover.expired,
            entries: self.store.entries(),
            bytes: self.store.bytes(),
            calls: self.flights.calls(),
            waiting: self.flights.waiting(),
            opened: self.sites.opened,
            probed: self.sites.probed,
            open: self.sites.open(),
            ..self.ledger
        }
    }

    fn bound_store(&mut self) {
        let policies: Vec<Rc<Policy>> = self.policies.iter().filter_map(Weak::upgrade).collect();
        self.store.bound(policies.iter().filter_map(|policy| match &policy.cache {
            Caching::On(cache) => Some(cache),
            Caching::Off => None,
        }));
        let entries = policies.iter().filter_map(|policy| match &policy.cache {
            Caching::On(cache) => Some(cache.max_entries),
            Caching::Off => None,
        });
        self.familiar.bound(entries.max().unwrap_or(0));
        self.sites.retain(&self.policies);
    }

    /// The moment, and a date that never goes back.
    fn forward_only(&mut self, now: Now) -> Now {
        self.latest = self.latest.max(now.date);
        Now { date: self.latest, ..now }
    }

    /// Answers from what is known, else looks further.
    fn consult(
        &mut self,
        stream: StreamId,
        key: TokenKey,
        token: BearerToken<'_>,
        waiting: Waiting,
        head: &Head<'_>,
        now: Now,
    ) -> Arrival {
        let cache = match waiting.policy.cache {
            Caching::On(cache) => Some(cache),
            Caching::Off => None,
        };
        if let Some(cache) = &cache
            && let Some(judged) =
                self.store.find(&key, &waiting.policy, cache, &waiting.endpoint, now)
        {
            let count = match judged.kind() {
                Some(Kind::Bad) => &mut self.ledger.negative_hits,
                Some(Kind::Good) | None => &mut self.ledger.hits,
            };
            *count = count.saturating_add(1);
            return Arrival::Admitted(decided(waiting, Source::Hit, &judged));
        }
        let under_way = self.flights.under_way(&key);
        let correlation = Correlation::of(head);
        let token = token.into_owned();
        let mut question = Question { stream, key, shared: None, token, correlation, waiting };
        match cache.map(|cache| cache.scope) {
            Some(CacheScope::Process) if !under_way => {
                let shared = question.waiting.endpoint.key.shared_key(&question.token);
                question.shared = Some(shared);
                let slots = [Kind::Good, Kind::Bad].map(|kind| Slot::of(&shared, kind));
                Arrival::LookUp(question, slots)
            }
            Some(CacheScope::Process | CacheScope::Worker) => {
                self.ledger.misses = self.ledger.misses.saturating_add(1);
                Arrival::Admitted(self.ask(question, now))
            }
            None => Arrival::Admitted(self.ask(question, now)),
        }
    }

    /// Waits for the provider's answer, in a call of its own only if none is under way.
    fn ask(&mut self, question: Question, now: Now) -> Admission {
        let Question { stream, key, token, correlation, mut waiting, .. } = question;
        let (policy, endpoint) = (Rc::clone(&waiting.policy), Rc::clone(&waiting.endpoint));
        let keeper = match policy.cache {
            Caching::Off => None,
            Caching::On(_) => Some(Keeper {
                policy: Rc::clone(&policy),
                endpoint: Rc::clone(&endpoint),
                token_exp: expiry::of_token(&token),
            }),
        };
        if self.flights.under_way(&key) {
            waiting.source = Source::Joined;
            return match self.flights.join(&key, stream, waiting, keeper) {
                Ok(()) => {
                    self.ledger.joined = self.ledger.joined.saturating_add(1);
                    Admission::Follow
                }
                Err(Full(waiting)) => self.refused(&key, waiting, Closed::Full, now),
            };
        }
        if let Some(wait) = self.waits.of(&key, now.moment) {
            return self.waits(&key, waiting, wait, now);
        }
        let ends = now.moment.after(Lead::patience(&policy, &endpoint));
        let timeout = policy.call.timeout;
        let known = self.familiar.knows(&key);
        let lead = Lead { policy, endpoint, token, correlation, known };
        if self.flights.is_full(lead.is_strange()) {
            return self.refused(&key, waiting, Closed::Full, now);
        }
        let Found { made, crowded } = self.first_from(&lead, 0, timeout, now);
        match made {
            Some((attempt, call)) => {
                let mut flight = Flight::new(key, lead, attempt, ends, keeper);
                flight.so_far.passed_over(crowded);
                self.flights.lead(stream, waiting, flight);
                Admission::Lead(attempt.call, call)
            }
            // That we are crowded says nothing of the provider.
            None if crowded => self.refused(&key, waiting, Closed::Full, now),
            None => self.refused(&key, waiting, Closed::Open, now),
        }
    }
}

#[cfg(test)]
mod tests;
