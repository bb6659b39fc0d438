//! What becomes of a request, and what is counted and logged of it.

use std::rc::Rc;

use super::entry::Verdict;
use super::header_edit::{self, HeaderEdit, Whose};
use super::ids::StreamId;
use super::lookup::RequestContext;
use crate::claims::ClaimFaults;
use crate::outcome::{Outcome, Reason, Source};
use crate::provider::call_outcome::CallOutcome;
use crate::reply::{self, LocalReply};

/// A held request is released.
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
    /// Why the request is refused.
    pub reason: Option<Reason>,
    /// The region whose endpoint was chosen, if it came to that.
    pub region: Option<Rc<str>>,
    /// What the provider's answer is evidence of; `None` where it has nothing to do with it.
    pub call_outcome: Option<CallOutcome>,
    /// Claims that gave nothing, also where the request is refused for it.
    pub claims: ClaimFaults,
}

impl Record {
    /// The text of filter state `oidc_outcome`.
    pub fn access_log(&self) -> String {
        let region = self.region.as_deref().unwrap_or("none");
        format!("{};{};{region}", self.outcome.as_str(), self.source.as_str())
    }
}

impl RequestContext {
    /// What becomes of this request, by its own instance's rules.
    pub(super) fn decide(self, verdict: &Verdict) -> Decision {
        let RequestContext { policy, endpoint, strip_plan, dialect, source, .. } = self;
        let record = |outcome, reason| Record {
            outcome,
            source,
            reason,
            region: Some(Rc::clone(&endpoint.region)),
            call_outcome: Some(verdict.outcome),
            claims: verdict.faults,
        };
        match &verdict.decision {
            Ok(vouched) => {
                let edit =
                    header_edit::edit(vouched, &policy.forward, Whose::User(&endpoint), strip_plan);
                Decision { action: Action::Forward(edit), record: record(Outcome::Pass, None) }
            }
            Err(refusal) => Decision {
                record: record(refusal.outcome(), Some(refusal.reason())),
                action: Action::Reply(reply::reply(refusal, &policy.replies, dialect)),
            },
        }
    }
}

/// A request that need not wait.
pub(super) fn decided(waiting: RequestContext, source: Source, verdict: &Verdict) -> Decision {
    RequestContext { source, ..waiting }.decide(verdict)
}

pub(super) fn unasked(outcome: Outcome, reason: Option<Reason>) -> Record {
    let (source, claims) = (Source::Filter, ClaimFaults::default());
    Record { outcome, source, reason, region: None, call_outcome: None, claims }
}
