//! From the reason why a request is refused to the reply that its client gets: the only table of
//! statuses, bodies and challenges. A reply contains nothing of the client's request, and of the
//! provider only what [`ProviderError`] let through.

pub mod metadata;
pub(crate) mod settings;

use self::settings::{ErrorSet, OwnErrors, ProviderErrors, ReplyPolicy, Unavailable};
use crate::claims::required::Unmet;
use crate::provider::call_outcome::CallOutcome;
use crate::provider::challenge::{Challenge, ErrorCode};
use crate::provider::error::{ErrorText, ProviderError};
use crate::provider::method::Words;
use crate::refusal::{EndpointFault, NotVouched, Refusal};
use crate::request::bearer::CredentialFault;
use crate::request::headers::{Field, HeaderView};

/// An answer that the filter gives itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// HTTP status; for a gRPC client Envoy turns it into a gRPC status.
    pub status: u16,
    /// Header names, lower-cased, and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body, or the gRPC message.
    pub body: String,
    /// `%RESPONSE_CODE_DETAILS%` of the access log.
    pub details: String,
}

/// What kind of reply the client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Status, headers and body.
    Http,
    /// A gRPC status; the body becomes `grpc-message` and is a fixed text.
    Grpc,
}

impl Dialect {
    /// The dialect of a request, as Envoy sees it: the two must agree, because Envoy makes the
    /// gRPC status.
    pub fn of(head: &HeaderView<'_>) -> Dialect {
        match head.field("content-type") {
            Field::One(value) => match value.strip_prefix(b"application/grpc") {
                Some([] | [b'+', ..]) => Dialect::Grpc,
                Some(_) | None => Dialect::Http,
            },
            Field::Absent | Field::Several => Dialect::Http,
        }
    }
}

/// An error that the connector itself raises, by the name its users know.
struct OwnError {
    name: &'static str,
    description: Text,
}

/// A text of the filter's own: to the letter that of the source system where UserInfo is called.
#[derive(Clone, Copy)]
enum Text {
    /// The same for every endpoint.
    Fixed(&'static str),
    /// With the endpoint's name between these two.
    Endpoint(&'static str, &'static str),
    /// Why a token without the required subject is refused.
    NoSubject,
}

impl Text {
    fn with(self, words: &Words) -> String {
        match self {
            Text::Fixed(text) => text.to_owned(),
            Text::Endpoint(before, after) => [before, words.endpoint, after].concat(),
            Text::NoSubject => words.no_subject.to_owned(),
        }
    }
}

const INVALID_AUTHORIZATION: OwnError = OwnError {
    name: "InvalidAuthorizationHeaderValue",
    description: Text::Fixed("The Authorization header is missing, empty or not one Bearer token."),
};
const NO_USERINFO_ENDPOINT: OwnError = OwnError {
    name: "InvalidPreInputConfigurationForUserInfoEndpointURI",
    description: Text::Endpoint("The ", " is not configured."),
};
const NO_DEFAULT_URI: OwnError = OwnError {
    name: "DefaultUserInfoURINotPresent",
    description: Text::Endpoint("No default ", " is configured."),
};
const INVALID_REGION: OwnError = OwnError {
    name: "InvalidRegionCode",
    description: Text::Fixed("The region code is not configured."),
};
const TARGET_ENDPOINT: OwnError = OwnError {
    name: "TargetEndpointError",
    description: Text::Endpoint("No usable response from the ", "."),
};

// What the provider says, in this filter's words: never replaced by the error set.
const INVALID_TOKEN: OwnError = OwnError {
    name: "invalid_token",
    description: Text::Fixed("The provider does not vouch for the access token."),
};
const NO_SUBJECT: OwnError = OwnError { name: "invalid_token", description: Text::NoSubject };
const INSUFFICIENT_SCOPE: OwnError = OwnError {
    name: "insufficient_scope",
    description: Text::Fixed(
        "The access token does not give the privileges that the provider requires.",
    ),
};
const REQUIRED_SCOPE: OwnError = OwnError {
    name: "insufficient_scope",
    description: Text::Fixed(
        "The access token does not have the scopes that this resource requires.",
    ),
};
const OTHER_AUDIENCE: OwnError = OwnError {
    name: "invalid_token",
    description: Text::Fixed("The access token was not issued for this resource."),
};
const OTHER_ISSUER: OwnError = OwnError {
    name: "invalid_token",
    description: Text::Fixed(
        "The access token was not issued by an issuer that this resource accepts.",
    ),
};
const CLAIM_REFUSED: OwnError = OwnError {
    name: "access_denied",
    description: Text::Fixed("The user or client may not access this resource."),
};
const DENIED: OwnError = OwnError {
    name: "access_denied",
    description: Text::Fixed("The provider denied the access token."),
};

/// The reply to a refused request.
pub fn reply(refusal: &Refusal, policy: &ReplyPolicy, dialect: Dialect) -> LocalReply {
    let mut reply = match refusal {
        Refusal::Credentials(fault) => {
            own(&INVALID_AUTHORIZATION, &credential_challenge(*fault), policy)
        }
        Refusal::Endpoint(fault) => match fault {
            EndpointFault::NotConfigured => {
                own(&NO_USERINFO_ENDPOINT, &Challenge::default(), policy)
            }
            EndpointFault::NoDefault => own(&NO_DEFAULT_URI, &Challenge::default(), policy),
            EndpointFault::UnknownRegion => own(&INVALID_REGION, &Challenge::default(), policy),
            EndpointFault::UnknownIssuer => {
                challenged(&OTHER_ISSUER, 401, ErrorCode::InvalidToken, policy)
            }
        },
        Refusal::Provider(error) => match policy.provider_errors {
            ProviderErrors::Relay => provider(error, policy),
            ProviderErrors::Map => mapped(error, policy),
        },
        Refusal::NotVouched(why) => {
            challenged(not_vouched(*why), 401, ErrorCode::InvalidToken, policy)
        }
        Refusal::Unmet(what) => match what {
            Unmet::Scope => challenged(&REQUIRED_SCOPE, 403, ErrorCode::InsufficientScope, policy),
            Unmet::Audience => challenged(&OTHER_AUDIENCE, 401, ErrorCode::InvalidToken, policy),
            Unmet::Issuer => challenged(&OTHER_ISSUER, 401, ErrorCode::InvalidToken, policy),
            // Without a challenge: a client would ask for another token for ever.
            Unmet::Claim | Unmet::Header => named(&CLAIM_REFUSED, 403, None, policy),
        },
        Refusal::Unusable(_) => unusable(policy),
        Refusal::Unavailable(_) => unavailable(None, policy),
    };
    reply.details = format!(
        "oidc_token_connector{{{}:{}}}",
        refusal.outcome().as_str(),
        refusal.reason().as_str()
    );
    match dialect {
        Dialect::Http => reply,
        Dialect::Grpc => for_grpc(reply, refusal, &policy.words),
    }
}

fn not_vouched(why: NotVouched) -> &'static OwnError {
    match why {
        NotVouched::NoSubject => &NO_SUBJECT,
        NotVouched::Inactive
        | NotVouched::OtherKind
        | NotVouched::KeyBound
        | NotVouched::Expired
        | NotVouched::NotYetValid
        | NotVouched::OtherIssuer => &INVALID_TOKEN,
    }
}

/// RFC 6750 §3.1: a request without credentials is not told an error code.
fn credential_challenge(fault: CredentialFault) -> Challenge {
    if fault.tried_bearer() {
        Challenge::error(ErrorCode::InvalidRequest)
    } else {
        Challenge::default()
    }
}

fn challenged(error: &OwnError, status: u16, code: ErrorCode, policy: &ReplyPolicy) -> LocalReply {
    named(error, status, Some(&Challenge::error(code)), policy)
}

fn own(error: &OwnError, challenge: &Challenge, policy: &ReplyPolicy) -> LocalReply {
    match &policy.own_errors {
        OwnErrors::Named => named(error, 401, Some(challenge), policy),
        OwnErrors::ErrorSet(set) => error_set(set, challenge, policy),
    }
}

/// `said` is the provider's own `Retry-After`, which counts before the configured one.
fn unavailable(said: Option<String>, policy: &ReplyPolicy) -> LocalReply {
    match policy.unavailable {
        Unavailable::AsOwnError => own(&TARGET_ENDPOINT, &Challenge::default(), policy),
        Unavailable::Unauthorized => {
            named(&TARGET_ENDPOINT, 401, Some(&Challenge::default()), policy)
        }
        Unavailable::ServiceUnavailable { retry_after } => {
            let retry_after = said.or_else(|| retry_after.map(|seconds| seconds.to_string()));
            let mut reply = named(&TARGET_ENDPOINT, 503, None, policy);
            reply.headers.extend(retry_after.map(|value| ("retry-after", value)));
            reply
        }
    }
}

/// A 200 that cannot be used: trying again does not help, so no client is told to.
fn unusable(policy: &ReplyPolicy) -> LocalReply {
    match policy.unavailable {
        Unavailable::AsOwnError | Unavailable::Unauthorized => unavailable(None, policy),
        Unavailable::ServiceUnavailable { .. } => named(&TARGET_ENDPOINT, 502, None, policy),
    }
}

/// The reply under `provider_errors: "map"`: the client never called the provider, so it gets what
/// the provider's answer means here.
fn mapped(error: &ProviderError, policy: &ReplyPolicy) -> LocalReply {
    match error.call_outcome() {
        CallOutcome::Refused => {
            let scope = error.status != 401 && error.said == Some(ErrorCode::InsufficientScope);
            let (status, words) =
                if scope { (403, &INSUFFICIENT_SCOPE) } else { (401, &INVALID_TOKEN) };
            let challenge = error.challenge.clone().unwrap_or_default();
            match &error.text {
                Some(text) => {
                    let challenge = Some(challenge);
                    provider_text(status, text.clone(), challenge.as_ref(), policy)
                }
                None => named(words, status, Some(&challenge), policy),
            }
        }
        CallOutcome::Denied => named(&DENIED, 403, None, policy),
        CallOutcome::Accepted
        | CallOutcome::NotVouched
        | CallOutcome::Rejected
        | CallOutcome::Misdirected
        | CallOutcome::Limited
        | CallOutcome::Paused
        | CallOutcome::Failed
        | CallOutcome::Down
        | CallOutcome::NoAnswer
        | CallOutcome::NotSent
        | CallOutcome::Unusable
        | CallOutcome::UnexpectedStatus
        | CallOutcome::ClientRefused
        | CallOutcome::Crowded
        | CallOutcome::BreakerOpen => {
            // "Now" would be no reason to come sooner than the configuration says.
            unavailable(error.retry_after.clone().filter(|said| said != "0"), policy)
        }
    }
}

fn named(
    error: &OwnError,
    status: u16,
    challenge: Option<&Challenge>,
    policy: &ReplyPolicy,
) -> LocalReply {
    let description = error.description.with(&policy.words);
    let body = format!("{{\"error\":\"{}\",\"error_description\":\"{description}\"}}", error.name);
    let mut reply = bare(status, "application/json".to_owned(), body);
    reply.headers.extend(
        challenge.map(|c| ("www-authenticate", c.header(&policy.realm, &policy.parameters))),
    );
    if status == 401 {
        reply.headers.push(mashery_401());
    }
    reply
}

fn error_set(set: &ErrorSet, challenge: &Challenge, policy: &ReplyPolicy) -> LocalReply {
    let mut reply = bare(set.code, set.content_type.clone(), set.response_body.clone());
    reply.headers.push(("x-error-detail-header", set.detail_header.clone()));
    reply.headers.push(("x-mashery-error-code", "ERR_403_NOT_AUTHORIZED".to_owned()));
    if set.code == 401 {
        // Every 401 carries a challenge (RFC 9110 §11.6.1).
        reply
            .headers
            .push(("www-authenticate", challenge.header(&policy.realm, &policy.parameters)));
    }
    reply
}

/// The nine scenarios of the source system: status and text are the provider's.
fn provider(error: &ProviderError, policy: &ReplyPolicy) -> LocalReply {
    let standard = || ErrorText {
        text: format!(
            "Error Response retrieved from {}. Response Code - {}",
            policy.words.endpoint, error.status
        ),
        content_type: "text/plain".to_owned(),
    };
    let text = error.text.clone().unwrap_or_else(standard);
    let mut reply = provider_text(error.status, text, error.challenge.as_ref(), policy);
    reply.headers.extend(error.retry_after.clone().map(|value| ("retry-after", value)));
    reply
}

fn provider_text(
    status: u16,
    ErrorText { text, content_type }: ErrorText,
    challenge: Option<&Challenge>,
    policy: &ReplyPolicy,
) -> LocalReply {
    let mut reply = bare(status, content_type, text);
    reply.headers.push(("x-content-type-options", "nosniff".to_owned()));
    reply.headers.extend(
        challenge.map(|c| ("www-authenticate", c.header(&policy.realm, &policy.parameters))),
    );
    if status == 401 {
        reply.headers.push(mashery_401());
    }
    reply
}

fn mashery_401() -> (&'static str, String) {
    ("x-mashery-error-code", "ERR_401_UNAUTHORIZED".to_owned())
}

fn bare(status: u16, content_type: String, body: String) -> LocalReply {
    let headers = vec![("content-type", content_type), ("cache-control", "no-store".to_owned())];
    LocalReply { status, headers, body, details: String::new() }
}

/// Envoy makes the gRPC status from the HTTP one, sets the content type itself and turns the body
/// into `grpc-message`: a fixed text that a developer can read. A status that is not about the token
/// becomes UNAVAILABLE: Envoy would make UNIMPLEMENTED of a 404, and UNKNOWN of a 500.
fn for_grpc(mut reply: LocalReply, refusal: &Refusal, words: &Words) -> LocalReply {
    reply.headers.retain(|(name, _)| !matches!(*name, "content-type" | "x-content-type-options"));
    reply.body = match refusal {
        Refusal::Credentials(_) => INVALID_AUTHORIZATION.description,
        Refusal::Endpoint(EndpointFault::NotConfigured) => NO_USERINFO_ENDPOINT.description,
        Refusal::Endpoint(EndpointFault::NoDefault) => NO_DEFAULT_URI.description,
        Refusal::Endpoint(EndpointFault::UnknownRegion) => INVALID_REGION.description,
        Refusal::Endpoint(EndpointFault::UnknownIssuer) => OTHER_ISSUER.description,
        Refusal::Provider(error) => match (error.call_outcome(), error.status) {
            (CallOutcome::Refused, _) => {
                // A 400 would become INTERNAL.
                if reply.status == 400 {
                    reply.status = 401;
                }
                Text::Endpoint("The ", " refused the token.")
            }
            (CallOutcome::Denied, 403) => Text::Endpoint("The ", " denied the token."),
            _ => {
                reply.status = 503;
                // A challenge says that the token is at fault.
                reply.headers.retain(|(name, _)| *name != "www-authenticate");
                Text::Endpoint("The ", " gave no verdict on the token.")
            }
        },
        Refusal::NotVouched(why) => not_vouched(*why).description,
        Refusal::Unmet(Unmet::Scope) => REQUIRED_SCOPE.description,
        Refusal::Unmet(Unmet::Audience) => OTHER_AUDIENCE.description,
        Refusal::Unmet(Unmet::Issuer) => OTHER_ISSUER.description,
        Refusal::Unmet(Unmet::Claim | Unmet::Header) => CLAIM_REFUSED.description,
        Refusal::Unusable(_) | Refusal::Unavailable(_) => TARGET_ENDPOINT.description,
    }
    .with(words);
    reply
}

#[cfg(test)]
mod tests;
