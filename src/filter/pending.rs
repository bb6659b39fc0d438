//! What waits for the shared memory to be read.

use std::rc::Rc;

use super::entry::StoredResponse;
use super::ids::StreamId;
use super::lookup::{Lookup, RequestContext};
use super::lookups::Late;
use super::waits::Wait;
use crate::policy::{Endpoint, Site};
use crate::provider::key::{SharedKey, TokenKey};
use crate::request::bearer::BearerToken;
use crate::request::correlation::Correlation;

/// What goes on once the shared memory has been read.
pub(super) enum Pending {
    /// A request: does another worker know its answer?
    Question(Box<Question>),
    /// Requests without a verdict that an outdated one may let pass: does another worker see a site
    /// of this endpoint serve?
    NoVerdict(Rc<Endpoint>, Box<NoVerdict>),
}

/// What a request wants to know of a provider. It has no `Debug`: it carries the token.
pub(super) struct Question {
    pub(super) stream: StreamId,
    pub(super) key: TokenKey,
    /// What other workers know it by, where they are asked.
    pub(super) shared: Option<SharedKey>,
    pub(super) token: BearerToken<'static>,
    pub(super) correlation: Correlation,
    pub(super) waiting: RequestContext,
}

/// Requests that no provider's verdict decides.
pub(super) enum NoVerdict {
    /// No site gave a verdict.
    Unanswered(Lookup),
    /// It has waited too long for a call that goes on.
    Late(Late),
    /// Every site's circuit breaker is open.
    BreakersOpen(StreamId, TokenKey, BearerToken<'static>, RequestContext),
    /// Its token waits, as the provider wants it to.
    Waits(StreamId, TokenKey, BearerToken<'static>, RequestContext, Wait, Rc<StoredResponse>),
}

impl NoVerdict {
    /// The endpoint that was asked, or would have been.
    pub(super) fn endpoint(&self) -> &Rc<Endpoint> {
        match self {
            NoVerdict::Unanswered(lookup) => &lookup.lead.endpoint,
            NoVerdict::Late(Late { waiting, .. })
            | NoVerdict::BreakersOpen(.., waiting)
            | NoVerdict::Waits(_, _, _, waiting, ..) => &waiting.endpoint,
        }
    }

    /// The sites that may have served others.
    pub(super) fn sites(&self) -> &[Site] {
        &self.endpoint().sites
    }
}
