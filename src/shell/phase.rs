//! The phase of a request, and the action that its callbacks return to the host.

use super::host;

/// `proxy_action_t`: what a callback of a request asks Envoy to do with it.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Flow {
    /// On to the next filter.
    Continue = 0,
    /// Wait.
    Pause = 1,
}

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
    pub(super) fn flow(self) -> Flow {
        match self {
            Phase::Forwarding => Flow::Continue,
            Phase::New | Phase::Held | Phase::Answered => Flow::Pause,
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
