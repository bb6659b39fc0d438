//! Guards that the test suite takes away, one at a time, to prove that it would notice.
//!
//! Only the cargo feature `sabotage` can take one away, and nothing that is shipped is built with
//! it: without the feature every guard stands, and the compiler removes the question. With the feature
//! a request can also stop the whole VM, to show what comes of that.

use crate::head::Head;

/// A guard between a request and the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
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

impl Guard {
    /// Whether this guard stands.
    #[cfg(not(feature = "sabotage"))]
    pub const fn stands(self) -> bool {
        true
    }

    /// Whether this guard stands: the VM's environment variable `OIDC_SABOTAGE` names the one that
    /// does not.
    #[cfg(feature = "sabotage")]
    pub fn stands(self) -> bool {
        let name = match self {
            Guard::Strip => "strip",
            Guard::BodyPause => "body_pause",
            Guard::NoHeaders => "no_headers",
            Guard::TokenSyntax => "token_syntax",
            Guard::Status => "status",
            Guard::Tick => "tick",
        };
        std::env::var_os("OIDC_SABOTAGE").is_none_or(|removed| removed != name)
    }
}

/// A request that carries this header stops the VM where `OIDC_SABOTAGE` is `panic`.
#[cfg(feature = "sabotage")]
const TRAP: &str = "x-sabotage-trap";

/// No request stops the VM.
#[cfg(not(feature = "sabotage"))]
pub const fn trap(_: &Head<'_>) {}

/// Stops the VM by a panic whose message holds the header's value: it must not come into the log.
#[cfg(feature = "sabotage")]
#[expect(clippy::panic, reason = "the panic is the purpose, and nothing shipped has the feature")]
pub fn trap(head: &Head<'_>) {
    if let Some(value) = head.values(TRAP).next()
        && std::env::var_os("OIDC_SABOTAGE").is_some_and(|removed| removed == "panic")
    {
        panic!("a request said {}", String::from_utf8_lossy(value));
    }
}
