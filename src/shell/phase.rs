//! The phase of a request, and the action that its callbacks return to the host.

use proxy_wasm::types::Action;

use super::host;

/// The phase of a request. Only a forwarded one may continue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its headers have not been seen.
    New,
    /// The gate holds it.
    Held,
    /// It goes on to the upstream.
    Forwarding,
    /// It has had its reply.
    Answered,
}

impl Phase {
    pub(super) fn action(self) -> Action {
        match self {
            Phase::Forwarding => Action::Continue,
            Phase::New | Phase::Held | Phase::Answered => Action::Pause,
        }
    }

    /// Lets the request in effect go on, where that was decided while it was paused.
    pub(super) fn resume_if_forwarding(self) {
        match self {
            Phase::Forwarding => host::resume_request(),
            Phase::New | Phase::Held | Phase::Answered => {}
        }
    }
}
