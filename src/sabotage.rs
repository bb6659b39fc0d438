//! Guards that the test suite takes away, one at a time, to prove that it would notice.
//!
//! Only the cargo feature `sabotage` can take one away, and nothing that is shipped is built with
//! it: without the feature every guard stands, and the compiler removes the question.

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
        };
        std::env::var_os("OIDC_SABOTAGE").is_none_or(|removed| removed != name)
    }
}
