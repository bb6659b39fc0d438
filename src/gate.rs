//! The gate that every request comes to: start reading here.
//!
//! A request is admitted, and is then decided at once or held until the provider has answered, the
//! call has failed, its deadline has passed, or its client has gone. One gate serves all filter
//! instances of a worker: requests that ask the same share one call, and what a provider has said
//! may be kept for a while. Each request is decided by the rules of its own instance. The gate
//! reads no clock and makes no call: it is told the time and says which call is due.

mod cache;
mod flight;
mod ledger;
mod shared;
mod statement;

use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::bearer::{self, BearerToken};
use crate::config::{CacheScope, Caching, Policy};
use crate::endpoint;
use crate::enrich::{self, ClaimFaults, Cleansing, HeaderEdit, Vouched};
use crate::expiry;
use crate::head::Head;
use crate::outcome::{Outcome, Source};
use crate::reply::{self, Dialect, LocalReply};
use crate::time::Now;
use crate::token_key::TokenKey;
use crate::userinfo::{self, Answer, Call};
use crate::verdict::{NoAnswer, Permit, Refusal};
use cache::Store;
use flight::{Flights, Full, Keeper, Waiting};
pub use ledger::Ledger;
pub use shared::{SLOTS, Slot};
pub(crate) use statement::PAIR;
use statement::{Judged, Kind, Statement};

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
    store: Store,
    flights: Flights,
    /// The configurations at work, for the bounds that they set.
    policies: Vec<Weak<Policy>>,
    ledger: Ledger,
}

/// What comes of a request that just arrived.
pub enum Arrival {
    /// It is known what it gets.
    Admitted(Admission),
    /// Two places of the shared memory are to be read for it first: see [`Gate::looked_up`].
    LookUp(Question),
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
    token: BearerToken,
    waiting: Waiting,
}

/// What the end of a call leads to.
#[derive(Debug, Default)]
pub struct Settled {
    /// Everybody who waited for it.
    pub releases: Vec<Release>,
    /// What is to be written into the shared memory.
    pub share: Option<(Slot, Vec<u8>)>,
}

/// A held request is let go.
#[derive(Debug)]
pub struct Release {
    /// The request.
    pub stream: StreamId,
    /// What becomes of it.
    pub decision: Decision,
}

/// What becomes of a request.
#[derive(Debug)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// What to count and log.
    pub record: Record,
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Edit its headers, then let it go on to the upstream.
    Forward(HeaderEdit),
    /// Answer it.
    Reply(LocalReply),
}

/// What to count and log of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// How the request ended.
    pub outcome: Outcome,
    /// Where the verdict came from.
    pub source: Source,
    /// The region whose endpoint was chosen, `none` if that never came up.
    pub region: String,
    /// Claims that gave no header.
    pub claims: ClaimFaults,
}

impl Record {
    /// The text of filter state `oidc_outcome`.
    pub fn access_log(&self) -> String {
        format!("{};{};{}", self.outcome.word(), self.source.word(), self.region)
    }
}

impl Default for Gate {
    fn default() -> Gate {
        Gate {
            store: Store::new(),
            flights: Flights::default(),
            policies: Vec::new(),
            ledger: Ledger::default(),
        }
    }
}

impl Gate {
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
        if let Some(permit) = Permit::preflight(policy.preflight, head) {
            let cleansing = Cleansing::of(head, &policy.forward);
            let vouched = Vouched::of(&permit, None);
            let (edit, claims) = enrich::edit(&vouched, &policy.forward, None, cleansing);
            let record = Record { claims, ..unasked(Outcome::Preflight) };
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
                let record = unasked(refusal.outcome());
                let action = Action::Reply(reply::reply(&refusal, &policy.replies, dialect));
                Arrival::Admitted(Admission::Decided(Decision { action, record }))
            }
            Ok((token, endpoint)) => {
                let waiting = Waiting {
                    policy: Rc::clone(policy),
                    endpoint: Rc::clone(endpoint),
                    cleansing: Cleansing::of(head, &policy.forward),
                    dialect,
                    source: Source::Asked,
                    deadline: now.moment.after(policy.call.timeout).after(GRACE),
                };
                let key = endpoint.key.key(&token);
                self.consult(Question { stream, key, token, waiting }, now)
            }
        }
    }

    /// What stood in the places of [`Question::slots`].
    pub fn looked_up(
        &mut self,
        question: Question,
        found: [Option<&[u8]>; 2],
        now: Now,
    ) -> Admission {
        let Question { key, waiting, .. } = &question;
        let Caching::On(cache) = waiting.policy.cache else {
            return self.ask(question, now);
        };
        let statements = found.into_iter().flatten().filter_map(|text| shared::read(text, key));
        // What this worker heard later may be of no use here, but it must not be unlearned.
        let heard = self.store.asked(key);
        let usable = statements.filter(|s| s.is_fresh(key, &cache, now) && Some(s.asked) >= heard);
        let newest = usable.max_by_key(|s| s.asked);
        if let Some(statement) = newest {
            let judged = Judged::of(&statement.answer(), &waiting.policy, &waiting.endpoint);
            if judged.kind().is_some() {
                self.ledger.shared_hits = self.ledger.shared_hits.saturating_add(1);
                let reading = (Rc::clone(&waiting.endpoint), judged.clone());
                self.store.keep(*key, statement, reading);
                return decided(question, Source::Shared, &judged);
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
        let Some(flight) = self.flights.land(call) else {
            return Settled::default();
        };
        let mut readings: Vec<(Rc<_>, Judged)> = Vec::new();
        // Most who wait are of the same instance and region: each reads the answer once.
        let mut judge = |policy: &Policy, endpoint: &Rc<_>| -> Judged {
            if let Some((_, known)) = readings.iter().find(|(e, _)| Rc::ptr_eq(e, endpoint)) {
                return known.clone();
            }
            let judged = Judged::of(answer, policy, endpoint);
            readings.push((Rc::clone(endpoint), judged.clone()));
            judged
        };
        let mut settled = Settled::default();
        if let Some(Keeper { policy, endpoint, token_exp }) = &flight.keeper
            && let Caching::On(cache) = policy.cache
        {
            let judged = judge(policy, endpoint);
            let statement = Statement::of(answer, &judged, flight.asked, *token_exp);
            if let Some(statement) = statement.filter(|s| s.is_fresh(&flight.key, &cache, now)) {
                settled.share = match cache.scope {
                    CacheScope::Process => shared::write(&statement, &flight.key),
                    CacheScope::Worker => None,
                };
                if self.store.keep(flight.key, statement, (Rc::clone(endpoint), judged)) {
                    self.ledger.stored = self.ledger.stored.saturating_add(1);
                }
            }
        }
        for (stream, waiting) in flight.waiting {
            let judged = judge(&waiting.policy, &waiting.endpoint);
            settled.releases.push(Release { stream, decision: waiting.decide(&judged) });
        }
        settled
    }

    /// A request has ended by itself while it was held.
    pub fn gone(&mut self, stream: StreamId) -> Option<Outcome> {
        self.flights.leave(stream).map(|_| Outcome::ClientGone)
    }

    /// Time has passed: whoever is past its deadline is let go, and what is too old is forgotten.
    pub fn tick(&mut self, now: Now) -> Vec<Release> {
        let configured = self.policies.len();
        self.policies.retain(|policy| policy.strong_count() > 0);
        if self.policies.len() < configured {
            self.bound_store();
        }
        self.store.sweep(now);
        let late = self.flights.late(now.moment).into_iter();
        let timed_out = Judged::Bad(Rc::new(Refusal::Unavailable(NoAnswer::TimedOut)));
        late.map(|(stream, w)| Release { stream, decision: w.decide(&timed_out) }).collect()
    }

    /// The calls under way will never be reported: nobody is left to hear of them.
    pub fn abandon(&mut self) {
        self.flights.abandon();
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
            ..self.ledger
        }
    }

    fn bound_store(&mut self) {
        let policies: Vec<Rc<Policy>> = self.policies.iter().filter_map(Weak::upgrade).collect();
        self.store.bound(policies.iter().filter_map(|policy| match &policy.cache {
            Caching::On(cache) => Some(cache),
            Caching::Off => None,
        }));
    }

    /// Answers from what is known, else looks further.
    fn consult(&mut self, question: Question, now: Now) -> Arrival {
        let Question { key, waiting, .. } = &question;
        let Caching::On(cache) = waiting.policy.cache else {
            return Arrival::Admitted(self.ask(question, now));
        };
        if let Some(judged) = self.store.find(key, &waiting.policy, &cache, &waiting.endpoint, now)
        {
            let count = match judged.kind() {
                Some(Kind::Bad) => &mut self.ledger.negative_hits,
                Some(Kind::Good) | None => &mut self.ledger.hits,
            };
            *count = count.saturating_add(1);
            return Arrival::Admitted(decided(question, Source::Hit, &judged));
        }
        match cache.scope {
            CacheScope::Process if !self.flights.under_way(key) => Arrival::LookUp(question),
            CacheScope::Process | CacheScope::Worker => {
                self.ledger.misses = self.ledger.misses.saturating_add(1);
                Arrival::Admitted(self.ask(question, now))
            }
        }
    }

    /// Waits for the provider's answer, in a call of its own only if none is under way.
    fn ask(&mut self, question: Question, now: Now) -> Admission {
        let Question { stream, key, token, mut waiting } = question;
        let keeper = match waiting.policy.cache {
            Caching::Off => None,
            Caching::On(_) => Some(Keeper {
                policy: Rc::clone(&waiting.policy),
                endpoint: Rc::clone(&waiting.endpoint),
                token_exp: expiry::of_token(&token),
            }),
        };
        let admitted = if self.flights.under_way(&key) {
            waiting.source = Source::Joined;
            self.flights.join(&key, stream, waiting, keeper).map(|()| {
                self.ledger.joined = self.ledger.joined.saturating_add(1);
                Admission::Follow
            })
        } else {
            let call = userinfo::call(&waiting.policy.call, &waiting.endpoint, &token);
            let led = self.flights.lead(key, stream, waiting, keeper, now.moment);
            led.map(|id| Admission::Lead(id, call))
        };
        admitted.unwrap_or_else(|Full(waiting)| {
            self.ledger.refused_by_cap = self.ledger.refused_by_cap.saturating_add(1);
            let crowded = Judged::Bad(Rc::new(Refusal::Unavailable(NoAnswer::Crowded)));
            Admission::Decided(Waiting { source: Source::Filter, ..waiting }.decide(&crowded))
        })
    }
}

impl Question {
    /// The places of the shared memory that may hold its answer.
    pub fn slots(&self) -> [Slot; 2] {
        [Kind::Good, Kind::Bad].map(|kind| Slot::of(&self.key, kind))
    }
}

impl Waiting {
    /// What becomes of this request, by its own instance's rules.
    fn decide(self, judged: &Judged) -> Decision {
        let Waiting { policy, endpoint, cleansing, dialect, source, .. } = self;
        let record =
            |outcome, claims| Record { outcome, source, region: endpoint.region.clone(), claims };
        match judged {
            Judged::Good(vouched) => {
                let (edit, claims) =
                    enrich::edit(vouched, &policy.forward, Some(&endpoint), cleansing);
                Decision { action: Action::Forward(edit), record: record(Outcome::Pass, claims) }
            }
            Judged::Bad(refusal) => Decision {
                record: record(refusal.outcome(), ClaimFaults::default()),
                action: Action::Reply(reply::reply(refusal, &policy.replies, dialect)),
            },
        }
    }
}

/// A request that need not wait.
fn decided(question: Question, source: Source, judged: &Judged) -> Admission {
    Admission::Decided(Waiting { source, ..question.waiting }.decide(judged))
}

fn unasked(outcome: Outcome) -> Record {
    Record {
        outcome,
        source: Source::Filter,
        region: "none".to_owned(),
        claims: ClaimFaults::default(),
    }
}

#[cfg(test)]
mod tests;
