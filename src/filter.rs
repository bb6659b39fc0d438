//! The gate that every request comes to: start reading here.
//!
//! A request is admitted, and is then decided at once or held until the provider has answered, the
//! call has failed, its deadline has passed, or its client has gone. One gate serves all filter
//! instances of a worker: requests that ask the same share one call, and what a provider has said
//! may be kept for a while. Each request is decided by the rules of its own instance. The gate
//! reads no clock and makes no call: it is told the time and says which call is due.

mod asking;
mod breaker;
pub(crate) mod cache;
mod decision;
mod effects;
mod entry;
pub mod header_edit;
mod health;
mod ids;
mod known_tokens;
mod lookup;
mod lookups;
pub(crate) mod observability;
mod outdated;
mod pending;
mod questions;
mod served;
mod shared;
mod stats;
mod waits;

use std::rc::Rc;

use crate::outcome::{Outcome, Source};
use crate::policy::Policy;
use crate::provider::endpoint;
pub use crate::provider::key::Seed;
use crate::refusal::Refusal;
use crate::reply::{self, Dialect};
use crate::request::bearer;
use crate::request::headers::HeaderView;
use crate::request::strip::StripPlan;
use crate::time::{MonotonicTime, Now};
use crate::verdict::Permit;
use decision::unasked;
pub use decision::{Action, Decision, Record, Release};
pub use effects::{Effect, Effects, Event, ReadShared, Took};
use header_edit::{MappedClaims, Whose};
pub use health::SiteEvent;
use ids::GRACE;
pub use ids::{CallId, StreamId};
use lookup::{LookupContext, RequestContext};
pub use lookups::{MOST_BYTES, MOST_HELD};
use questions::Questions;
pub use shared::{SLOTS, Slot};
pub use stats::{Kind, Stats};

/// Holds the requests of one worker.
#[derive(Debug)]
pub struct Gate {
    seed: Seed,
    questions: Questions,
}

impl Gate {
    /// A gate that knows nothing yet, and whose keys are made with this seed.
    pub fn new(seed: Seed) -> Gate {
        Gate { seed, questions: Questions::default() }
    }

    /// Something has happened: what is to be done about it.
    pub fn handle(&mut self, event: Event<'_>, now: Now) -> Effects {
        self.questions.store.saw(now.date);
        let mut effects = Effects::default();
        let questions = &mut self.questions;
        match event {
            Event::Request { stream, policy, headers } => {
                self.admit(stream, policy, headers, now, &mut effects);
            }
            Event::SharedData { read, values } => questions.read(read, &values, now, &mut effects),
            Event::CallEnded { call, answer } => {
                questions.answered(call, answer, now, &mut effects);
            }
            Event::Gone(stream) => questions.gone(stream),
            Event::Tick => questions.tick(now, &mut effects),
        }
        effects
    }

    /// The headers of a request have come, at the instance with this configuration.
    fn admit(
        &mut self,
        stream: StreamId,
        policy: &Rc<Policy>,
        head: &HeaderView<'_>,
        now: Now,
        effects: &mut Effects,
    ) {
        let mut decided = |action, record| {
            let decision = Decision { action, record };
            effects.push(Effect::Release(Release { stream, decision }));
        };
        if let Some(reply) = policy.metadata.as_ref().and_then(|metadata| metadata.answer(head)) {
            return decided(Action::Reply(reply), unasked(Outcome::Metadata, None));
        }
        let pass = |permit: &Permit<'_>, whose| {
            let strip_plan = StripPlan::of_unasked(head, &policy.forward);
            let vouched = Rc::new(MappedClaims::none(permit));
            Action::Forward(header_edit::edit(&vouched, &policy.forward, whose, strip_plan))
        };
        if let Some(permit) = Permit::preflight(policy.preflight, head) {
            let action = pass(&permit, Whose::Preflight);
            return decided(action, unasked(Outcome::Preflight, None));
        }
        let dialect = Dialect::of(head);
        let parsed = bearer::parse(head, policy.max_token_bytes);
        let fault = parsed.as_ref().err().copied();
        if let Some(permit) = fault.and_then(|f| Permit::anonymous(policy.credentials, f)) {
            let action = pass(&permit, Whose::Nobody);
            return decided(action, unasked(Outcome::Anonymous, None));
        }
        let chosen = parsed.map_err(Refusal::Credentials).and_then(|token| {
            let endpoint = endpoint::choose(&policy.endpoints, head, &token);
            Ok((token, endpoint.map_err(Refusal::Endpoint)?))
        });
        match chosen {
            Err(refusal) => {
                let record = unasked(refusal.outcome(), Some(refusal.reason()));
                let action = Action::Reply(reply::reply(&refusal, &policy.replies, dialect));
                decided(action, record);
            }
            Ok((token, endpoint)) => {
                let patience = LookupContext::patience(policy, endpoint);
                let waiting = RequestContext {
                    policy: Rc::clone(policy),
                    endpoint: Rc::clone(endpoint),
                    strip_plan: StripPlan::of(head, &policy.forward),
                    dialect,
                    source: Source::Asked,
                    deadline: now.moment.after(patience).after(GRACE),
                };
                let key = endpoint.key.key(&token, self.seed);
                self.questions.consult((stream, key), token, waiting, head, now, effects);
            }
        }
    }

    /// A configuration is at work from now on, until nobody holds it any more.
    pub fn configured(&mut self, policy: &Rc<Policy>) {
        self.questions.configured(policy);
    }

    /// The largest answer to a call that anybody reads, in bytes.
    pub fn answer_limit(&self, call: CallId) -> usize {
        self.questions.answer_limit(call)
    }

    /// When the next call is due that nothing but time leads to.
    pub fn next_due(&self) -> Option<MonotonicTime> {
        self.questions.next_due()
    }

    /// What an operator wants to know since the last time.
    pub fn take_site_events(&mut self) -> Vec<SiteEvent> {
        self.questions.take_site_events()
    }

    /// The calls under way will never be reported: nobody is left to hear of them.
    pub fn abandon(&mut self) {
        self.questions.abandon();
    }

    /// The counters and gauges.
    pub fn stats(&self) -> Stats {
        self.questions.stats()
    }
}

#[cfg(test)]
mod tests;
