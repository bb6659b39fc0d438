//! The gate that every request comes to: start reading here.
//!
//! A request is admitted, and is then decided at once or held until the provider has answered, the
//! call has failed, its deadline has passed, or its client has gone. A held request is released
//! exactly once, because releasing takes it out of the table. The gate reads no clock and makes no
//! call: it is told the time and says which call is due.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::bearer;
use crate::config::{Endpoint, Policy};
use crate::endpoint;
use crate::enrich::{self, ClaimFaults, Cleansing, HeaderEdit};
use crate::head::Head;
use crate::outcome::{Outcome, Source};
use crate::reply::{self, Dialect, LocalReply};
use crate::time::Moment;
use crate::userinfo::{self, Answer, Call};
use crate::verdict::{self, NoAnswer, Permit, Refusal};

/// How long after a call's own timeout its answer is waited for: the host reports a timeout as an
/// answer, so only a lost report runs into this.
const GRACE: Duration = Duration::from_millis(150);

/// A request, as the host numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// A call to a provider, numbered by the gate and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(u64);

/// Holds the requests of one filter configuration on one worker.
#[derive(Debug)]
pub struct Gate {
    policy: Rc<Policy>,
    flights: BTreeMap<CallId, Flight>,
    /// Which call each held request waits for.
    held: BTreeMap<StreamId, CallId>,
    next_call: u64,
}

/// A call under way and the request that waits for it.
#[derive(Debug)]
struct Flight {
    stream: StreamId,
    deadline: Moment,
    endpoint: Rc<Endpoint>,
    cleansing: Cleansing,
    dialect: Dialect,
}

/// What a request that just arrived gets.
pub enum Admission {
    /// A decision at once.
    Decided(Decision),
    /// It waits; this call is to be made.
    Hold(CallId, Call),
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

impl Gate {
    /// A gate with nobody waiting.
    pub fn new(policy: Rc<Policy>) -> Gate {
        Gate { policy, flights: BTreeMap::new(), held: BTreeMap::new(), next_call: 0 }
    }

    /// A request has arrived.
    pub fn admit(&mut self, stream: StreamId, head: &Head<'_>, now: Moment) -> Admission {
        let policy = Rc::clone(&self.policy);
        if let Some(permit) = Permit::preflight(policy.preflight, head) {
            let cleansing = Cleansing::of(head, &policy.forward);
            let (edit, claims) = enrich::edit(&permit, &policy.forward, None, cleansing);
            let record = Record { claims, ..unasked(Outcome::Preflight) };
            return Admission::Decided(Decision { action: Action::Forward(edit), record });
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
                Admission::Decided(Decision { action, record })
            }
            Ok((token, endpoint)) => {
                let call = userinfo::call(&policy.call, endpoint, &token);
                let id = CallId(self.next_call);
                self.next_call = self.next_call.wrapping_add(1);
                let flight = Flight {
                    stream,
                    deadline: now.after(call.timeout).after(GRACE),
                    endpoint: Rc::clone(endpoint),
                    cleansing: Cleansing::of(head, &policy.forward),
                    dialect,
                };
                self.flights.insert(id, flight);
                self.held.insert(stream, id);
                Admission::Hold(id, call)
            }
        }
    }

    /// A call has ended. Nothing if nobody waits for it any more.
    pub fn answered(&mut self, call: CallId, answer: &Answer<'_>) -> Option<Release> {
        let flight = self.take(call)?;
        let verdict = verdict::judge(self.policy.answer.success, &self.policy.replies, answer);
        Some(self.release(flight, verdict))
    }

    /// A request has ended by itself while it was held.
    pub fn gone(&mut self, stream: StreamId) -> Option<Outcome> {
        let call = *self.held.get(&stream)?;
        self.take(call).map(|_| Outcome::ClientGone)
    }

    /// Time has passed: whoever is past its deadline is let go.
    pub fn tick(&mut self, now: Moment) -> Vec<Release> {
        let late: Vec<CallId> =
            self.flights.iter().filter(|(_, f)| f.deadline <= now).map(|(id, _)| *id).collect();
        let flights: Vec<Flight> = late.into_iter().filter_map(|call| self.take(call)).collect();
        flights
            .into_iter()
            .map(|flight| self.release(flight, Err(Refusal::Unavailable(NoAnswer::TimedOut))))
            .collect()
    }

    fn take(&mut self, call: CallId) -> Option<Flight> {
        let flight = self.flights.remove(&call)?;
        self.held.remove(&flight.stream);
        Some(flight)
    }

    fn release(&self, flight: Flight, verdict: Result<Permit<'_>, Refusal>) -> Release {
        let Flight { stream, endpoint, cleansing, dialect, .. } = flight;
        let record = |outcome, claims| Record {
            outcome,
            source: Source::Asked,
            region: endpoint.region.clone(),
            claims,
        };
        let decision = match verdict {
            Ok(permit) => {
                let forward = &self.policy.forward;
                let (edit, claims) = enrich::edit(&permit, forward, Some(&endpoint), cleansing);
                Decision { action: Action::Forward(edit), record: record(Outcome::Pass, claims) }
            }
            Err(refusal) => Decision {
                record: record(refusal.outcome(), ClaimFaults::default()),
                action: Action::Reply(reply::reply(&refusal, &self.policy.replies, dialect)),
            },
        };
        Release { stream, decision }
    }
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
