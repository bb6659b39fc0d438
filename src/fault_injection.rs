//! Safeguards that the test suite switches off, one at a time, to prove that it would notice.
//!
//! Only the cargo feature `fault_injection` can take one away, and nothing that is shipped is built with
//! it: without the feature every safeguard is active, and the compiler removes the check. With the feature
//! a request can also stop the whole VM, or ask for host calls that Envoy refuses, to show what comes of that.

use crate::request::headers::HeaderView;

/// A safeguard between a request and the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safeguard {
    /// Identity headers of the client are stripped.
    Strip,
    /// The body waits for the verdict.
    BodyPause,
    /// An answer without headers is no answer.
    NoHeaders,
    /// Only a `b64token` is a token.
    TokenSyntax,
    /// Only status 200 vouches.
    Status,
    /// The timer ticks often; without it, what needs the timer hangs.
    Tick,
}

impl Safeguard {
    /// Whether this safeguard is active.
    #[cfg(not(feature = "fault-injection"))]
    pub const fn is_active(self) -> bool {
        true
    }

    /// Whether this safeguard is active: the VM's environment variable `OIDC_FAULT_INJECTION` names the one that
    /// does not.
    #[cfg(feature = "fault-injection")]
    pub fn is_active(self) -> bool {
        let name = match self {
            Safeguard::Strip => "strip",
            Safeguard::BodyPause => "body_pause",
            Safeguard::NoHeaders => "no_headers",
            Safeguard::TokenSyntax => "token_syntax",
            Safeguard::Status => "status",
            Safeguard::Tick => "tick",
        };
        std::env::var_os("OIDC_FAULT_INJECTION").is_none_or(|removed| removed != name)
    }
}

/// A request that carries this header stops the VM where `OIDC_FAULT_INJECTION` is `panic`.
#[cfg(feature = "fault-injection")]
const TRAP: &str = "x-fault-injection-trap";

/// Whether this request asks for host calls that Envoy refuses, where `OIDC_FAULT_INJECTION` is `refused`.
#[cfg(feature = "fault-injection")]
pub fn asks_for_refusals(head: &HeaderView<'_>) -> bool {
    head.values("x-fault-injection-refused").next().is_some()
        && std::env::var_os("OIDC_FAULT_INJECTION").is_some_and(|removed| removed == "refused")
}

/// No request stops the VM.
#[cfg(not(feature = "fault-injection"))]
pub const fn trap(_: &HeaderView<'_>) {}

/// Stops the VM by a panic whose message holds the header's value: it must not come into the log.
#[cfg(feature = "fault-injection")]
#[expect(clippy::panic, reason = "the panic is the purpose, and nothing shipped has the feature")]
pub fn trap(head: &HeaderView<'_>) {
    if let Some(value) = head.values(TRAP).next()
        && std::env::var_os("OIDC_FAULT_INJECTION").is_some_and(|removed| removed == "panic")
    {
        panic!("a request said {}", String::from_utf8_lossy(value));
    }
}
