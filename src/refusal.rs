//! Why a request is not forwarded. Every reason is here once; replies, outcomes and metrics follow from it
//! by `match` without `_`.

use crate::claims::required::Unmet;
use crate::provider::call_outcome::CallOutcome;
use crate::provider::error::ProviderError;
use crate::provider::response::Unreadable;
use crate::request::bearer::CredentialFault;

/// Why a request is not forwarded.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It carries no usable bearer token.
    Credentials(CredentialFault),
    /// No endpoint serves it.
    Endpoint(EndpointFault),
    /// The provider answered with an error of its own.
    Provider(Box<ProviderError>),
    /// A complete 200 with a JSON object that does not vouch for the token.
    NotVouched(NotVouched),
    /// The provider vouches for the token, and the route requires more.
    Unmet(Unmet),
    /// The provider answered 200 with what cannot be used.
    Unusable(Unusable),
    /// The provider gave no usable answer.
    Unavailable(NoAnswer),
}

impl Refusal {
    /// What it is evidence of; `None` where the provider has nothing to do with it.
    pub fn call_outcome(&self) -> Option<CallOutcome> {
        match self {
            Refusal::Credentials(_) | Refusal::Endpoint(_) => None,
            Refusal::Provider(error) => Some(error.call_outcome()),
            Refusal::NotVouched(_) => Some(CallOutcome::NotVouched),
            // What a route requires says nothing of the provider.
            Refusal::Unmet(_) => Some(CallOutcome::Accepted),
            Refusal::Unusable(_) => Some(CallOutcome::Unusable),
            Refusal::Unavailable(why) => Some(match why {
                NoAnswer::CutOff | NoAnswer::Unreachable { .. } | NoAnswer::TimedOut => {
                    CallOutcome::NoAnswer
                }
                NoAnswer::NotSent => CallOutcome::NotSent,
                NoAnswer::Redirect | NoAnswer::UnexpectedStatus => CallOutcome::UnexpectedStatus,
                NoAnswer::ClientRefused => CallOutcome::ClientRefused,
                NoAnswer::Crowded => CallOutcome::Crowded,
                NoAnswer::BreakerOpen => CallOutcome::BreakerOpen,
            }),
        }
    }
}

impl Refusal {
    /// The provider's own error, if it is one.
    pub fn provider_error(&self) -> Option<&ProviderError> {
        match self {
            Refusal::Provider(error) => Some(error),
            Refusal::Credentials(_)
            | Refusal::Endpoint(_)
            | Refusal::NotVouched(_)
            | Refusal::Unmet(_)
            | Refusal::Unusable(_)
            | Refusal::Unavailable(_) => None,
        }
    }

    /// Why there is no answer, if that is so.
    pub fn no_answer(&self) -> Option<NoAnswer> {
        match self {
            Refusal::Unavailable(why) => Some(*why),
            Refusal::Credentials(_)
            | Refusal::Endpoint(_)
            | Refusal::Provider(_)
            | Refusal::NotVouched(_)
            | Refusal::Unmet(_)
            | Refusal::Unusable(_) => None,
        }
    }
}

/// Why no endpoint serves a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointFault {
    /// `userinfo_endpoint` is not configured, or not an object.
    NotConfigured,
    /// No region applies and there is no `defaultURI`.
    NoDefault,
    /// The region code is not configured, and `unknown_region` is `reject`.
    UnknownRegion,
    /// The token's issuer is not listed, and `unknown_issuer` is `reject`.
    UnknownIssuer,
}

/// Why a 200 with a JSON object does not vouch for the token: the provider knows it, and says no, or less
/// than is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotVouched {
    /// No subject, where one is required: it identifies no user.
    NoSubject,
    /// `"active": false` (RFC 7662 §2.2).
    Inactive,
    /// A refresh token or an ID token, or of another type than `Bearer`: it is not for this use.
    OtherKind,
    /// Bound to a key (`cnf`), which a bearer does not show.
    KeyBound,
    /// Its `exp` is over, or cannot be understood.
    Expired,
    /// Its `nbf` is more than a minute ahead, or cannot be understood.
    NotYetValid,
    /// Another `iss` than that of the provider that was chosen.
    OtherIssuer,
}

/// Why a 200 cannot be used. It is about how gateway and provider are set up, or about one user's
/// data: no outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Larger than `max_userinfo_bytes`.
    TooLarge,
    /// With a `content-encoding`.
    Encoded,
    /// A signed or encrypted answer (OpenID Connect Core §5.3.2, RFC 9701), where the filter does not read it.
    Jwt,
    /// Not a JSON object.
    NotAnObject,
    /// An introspection response whose `active` is absent or no boolean.
    NoActive,
}

impl From<Unreadable> for Unusable {
    fn from(why: Unreadable) -> Unusable {
        match why {
            Unreadable::TooLarge => Unusable::TooLarge,
            Unreadable::Encoded => Unusable::Encoded,
        }
    }
}

/// Why there is no usable answer from the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// Envoy did not make the call: no such cluster, no healthy host, its own circuit breaker open.
    NotSent,
    /// The answer ended early, came too late, or was over Envoy's own limit.
    CutOff,
    /// Connection refused or reset, TLS failure, or no HTTP: Envoy answered in its place.
    Unreachable {
        /// Whether bytes came that were no HTTP: Envoy's 502.
        bytes_came: bool,
    },
    /// Nothing came within the timeout.
    TimedOut,
    /// A redirect, which is never followed: the token would go to another place.
    Redirect,
    /// A status other than 200 and 300 to 599.
    UnexpectedStatus,
    /// The introspection endpoint refuses the gateway's own client, or what it asks: nothing about the token.
    ClientRefused,
    /// Nobody was asked: too many calls are under way, or too many requests wait for one.
    Crowded,
    /// Nobody was asked: the provider has not answered lately.
    BreakerOpen,
}
