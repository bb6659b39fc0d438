//! What became of a request, in words from closed lists, for counters and the access log.
//!
//! No byte of a request, an answer or a claim ever becomes part of these words; the region is the
//! configured code.

use crate::claims::required::Unmet;
use crate::provider::challenge::ErrorCode;
use crate::refusal::{EndpointFault, NoAnswer, NotVouched, Refusal, Unusable};
use crate::request::bearer::CredentialFault;

/// An enum whose values are words of a closed list, in the order of their counters: one line each.
macro_rules! words {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$meaning:meta])* $value:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$meaning])* $value,)* }

        impl $name {
            /// All of them, in the order of their counters.
            pub const ALL: [$name; [$($word),*].len()] = [$($name::$value),*];

            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$value => $word,)* }
            }
        }
    };
}

words! {
    /// How a request ended, one counter each.
    pub enum Outcome {
        /// Forwarded: the provider vouched for the token.
        Pass = "pass",
        /// Forwarded: a CORS preflight, unauthenticated by configuration.
        Preflight = "preflight",
        /// Forwarded: without credentials and without an identity, by configuration.
        Anonymous = "anonymous",
        /// Answered: the metadata of the protected resource (RFC 9728).
        Metadata = "metadata",
        /// Refused: no credentials, or none of the scheme `Bearer`.
        NoCredentials = "no_credentials",
        /// Refused: `Bearer` credentials that are not one token.
        Malformed = "malformed",
        /// Refused: a region code that is not configured.
        UnknownRegion = "unknown_region",
        /// Refused: no UserInfo endpoint is configured for it.
        Misconfigured = "misconfigured",
        /// Refused: the provider does not vouch for the token. It answered 401, named the error
        /// `invalid_token`, or said 200 without the subject that is required.
        InvalidToken = "invalid_token",
        /// Refused: the provider answered 403, or named the error `insufficient_scope`; or the token has
        /// not all scopes of `require_scope`.
        Forbidden = "forbidden",
        /// Refused: the token was issued for another API (`require_audience`).
        WrongAudience = "wrong_audience",
        /// Refused: the token was issued by another issuer (`require_issuer`, `issuers`).
        WrongIssuer = "wrong_issuer",
        /// Refused: the user has not what the route requires (`require_claims`, `required`).
        ClaimRefused = "claim_refused",
        /// Refused: the provider answered another error.
        ProviderError = "provider_error",
        /// Refused: the provider gave no answer, or was not asked.
        Unavailable = "unavailable",
        /// Refused: the provider answered 200 with what cannot be used.
        Unusable = "unusable",
        /// The client left, or Envoy gave the request up, before there was a decision.
        ClientGone = "client_gone",
        /// Answered 500: Envoy refused to read or edit the request's headers.
        Internal = "internal",
    }
}

impl Outcome {
    /// Whether a request ended so because its provider gave no verdict.
    pub fn is_without_verdict(self) -> bool {
        matches!(self, Outcome::ProviderError | Outcome::Unavailable | Outcome::Unusable)
    }
}

words! {
    /// Where the verdict came from.
    pub enum Source {
        /// The filter alone: nobody was asked.
        Filter = "none",
        /// The provider was asked for this request.
        Asked = "asked",
        /// The provider was asked for another request at the same time.
        Joined = "joined",
        /// This worker knew it already.
        Hit = "hit",
        /// Another worker knew it already.
        Shared = "shared",
        /// It was known, and nobody answers who could say whether it is still so.
        Stale = "stale",
    }
}

words! {
    /// Why a request is refused, one counter each.
    pub enum Reason {
        /// No `Authorization` header.
        Absent = "absent",
        /// `Authorization` has no value.
        Empty = "empty",
        /// Another authentication scheme than `Bearer`.
        OtherScheme = "other_scheme",
        /// `Bearer` without a token.
        NoToken = "no_token",
        /// Not the syntax of a token (RFC 6750 §2.1).
        NotAToken = "not_a_token",
        /// Longer than `max_token_bytes`.
        TooLong = "too_long",
        /// More than one credential.
        Several = "several",
        /// `userinfo_endpoint` is not configured.
        NoUserinfoEndpoint = "no_userinfo_endpoint",
        /// `defaultURI` is not configured.
        NoDefaultUri = "no_default_uri",
        /// The region code is not configured.
        UnknownCode = "unknown_code",
        /// The token names an issuer that `issuers` does not list.
        UnknownIssuer = "unknown_issuer",
        /// The provider responded with a status of 400 to 499.
        Provider4xx = "provider_4xx",
        /// The provider responded with a status of 500 to 599.
        Provider5xx = "provider_5xx",
        /// A 200 without the required subject.
        NoSubject = "no_subject",
        /// `"active": false`.
        Inactive = "inactive",
        /// A refresh token, an ID token, or of another type than `Bearer`.
        OtherKind = "other_kind",
        /// Bound to a key (`cnf`).
        KeyBound = "key_bound",
        /// Its `exp` is over.
        Expired = "expired",
        /// Its `nbf` is ahead.
        NotYetValid = "not_yet_valid",
        /// The response names another issuer than the one that was chosen.
        OtherIssuer = "other_issuer",
        /// Not all scopes of `require_scope`.
        ScopeMissing = "scope_missing",
        /// No audience of `require_audience`.
        AudienceMissing = "audience_missing",
        /// No issuer of `require_issuer`.
        IssuerMissing = "issuer_missing",
        /// A claim of `require_claims` is not as required.
        ClaimUnmet = "claim_unmet",
        /// No valid value for a header with `required`.
        HeaderMissing = "header_missing",
        /// A 200 over `max_userinfo_bytes`.
        TooLarge = "too_large",
        /// A 200 with a `content-encoding`.
        Encoded = "encoded",
        /// A 200 that is a JWT.
        Jwt = "jwt",
        /// A 200 that is not a JSON object.
        NotAJsonObject = "not_a_json_object",
        /// An introspection response without a boolean `active`.
        NoActive = "no_active",
        /// Envoy did not make the call.
        NotSent = "not_sent",
        /// The response ended early.
        CutOff = "cut_off",
        /// The connection failed.
        Unreachable = "unreachable",
        /// No response within the timeout.
        TimedOut = "timed_out",
        /// A status of 300 to 399: the endpoint's URI is another, often one with or without a slash at the end.
        Redirect = "redirect",
        /// A status other than 200 and 300 to 599.
        UnexpectedStatus = "unexpected_status",
        /// The introspection endpoint refuses the gateway's own client or its request.
        ClientRefused = "introspection_client_refused",
        /// Too many calls are under way, or too many requests wait for one.
        TooManyWaiting = "too_many_waiting",
        /// The circuit breaker is open.
        BreakerOpen = "breaker_open",
    }
}

impl Refusal {
    /// The counter that a refusal belongs to.
    pub fn outcome(&self) -> Outcome {
        match self {
            Refusal::Credentials(fault) if fault.tried_bearer() => Outcome::Malformed,
            Refusal::Credentials(_) => Outcome::NoCredentials,
            Refusal::Endpoint(EndpointFault::UnknownRegion) => Outcome::UnknownRegion,
            Refusal::Endpoint(EndpointFault::UnknownIssuer) => Outcome::WrongIssuer,
            Refusal::Endpoint(EndpointFault::NotConfigured | EndpointFault::NoDefault) => {
                Outcome::Misconfigured
            }
            Refusal::Provider(error) => match (error.status, error.said) {
                (401, _) | (400 | 403, Some(ErrorCode::InvalidToken)) => Outcome::InvalidToken,
                (400 | 403, Some(ErrorCode::InsufficientUserAuthentication)) => {
                    Outcome::InvalidToken
                }
                (403, _) | (400, Some(ErrorCode::InsufficientScope)) => Outcome::Forbidden,
                _ => Outcome::ProviderError,
            },
            Refusal::NotVouched(_) => Outcome::InvalidToken,
            Refusal::Unmet(Unmet::Scope) => Outcome::Forbidden,
            Refusal::Unmet(Unmet::Audience) => Outcome::WrongAudience,
            Refusal::Unmet(Unmet::Issuer) => Outcome::WrongIssuer,
            Refusal::Unmet(Unmet::Claim | Unmet::Header) => Outcome::ClaimRefused,
            Refusal::Unusable(_) => Outcome::Unusable,
            Refusal::Unavailable(_) => Outcome::Unavailable,
        }
    }

    /// The reason in one word, finer than the outcome.
    pub fn reason(&self) -> Reason {
        match self {
            Refusal::Credentials(fault) => match fault {
                CredentialFault::Absent => Reason::Absent,
                CredentialFault::Empty => Reason::Empty,
                CredentialFault::OtherScheme => Reason::OtherScheme,
                CredentialFault::NoToken => Reason::NoToken,
                CredentialFault::NotAToken => Reason::NotAToken,
                CredentialFault::TooLong => Reason::TooLong,
                CredentialFault::Several => Reason::Several,
            },
            Refusal::Endpoint(fault) => match fault {
                EndpointFault::NotConfigured => Reason::NoUserinfoEndpoint,
                EndpointFault::NoDefault => Reason::NoDefaultUri,
                EndpointFault::UnknownRegion => Reason::UnknownCode,
                EndpointFault::UnknownIssuer => Reason::UnknownIssuer,
            },
            Refusal::Provider(error) => match error.status {
                400..=499 => Reason::Provider4xx,
                _ => Reason::Provider5xx,
            },
            Refusal::NotVouched(why) => match why {
                NotVouched::NoSubject => Reason::NoSubject,
                NotVouched::Inactive => Reason::Inactive,
                NotVouched::OtherKind => Reason::OtherKind,
                NotVouched::KeyBound => Reason::KeyBound,
                NotVouched::Expired => Reason::Expired,
                NotVouched::NotYetValid => Reason::NotYetValid,
                NotVouched::OtherIssuer => Reason::OtherIssuer,
            },
            Refusal::Unmet(what) => match what {
                Unmet::Scope => Reason::ScopeMissing,
                Unmet::Audience => Reason::AudienceMissing,
                Unmet::Issuer => Reason::IssuerMissing,
                Unmet::Claim => Reason::ClaimUnmet,
                Unmet::Header => Reason::HeaderMissing,
            },
            Refusal::Unusable(why) => match why {
                Unusable::TooLarge => Reason::TooLarge,
                Unusable::Encoded => Reason::Encoded,
                Unusable::Jwt => Reason::Jwt,
                Unusable::NotAnObject => Reason::NotAJsonObject,
                Unusable::NoActive => Reason::NoActive,
            },
            Refusal::Unavailable(cause) => match cause {
                NoAnswer::NotSent => Reason::NotSent,
                NoAnswer::CutOff => Reason::CutOff,
                NoAnswer::Unreachable { .. } => Reason::Unreachable,
                NoAnswer::TimedOut => Reason::TimedOut,
                NoAnswer::Redirect => Reason::Redirect,
                NoAnswer::UnexpectedStatus => Reason::UnexpectedStatus,
                NoAnswer::ClientRefused => Reason::ClientRefused,
                NoAnswer::Crowded => Reason::TooManyWaiting,
                NoAnswer::BreakerOpen => Reason::BreakerOpen,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_decided_is_a_verdict() {
        let without = Outcome::ALL.into_iter().filter(|outcome| outcome.is_without_verdict());
        let words: Vec<&str> = without.map(Outcome::as_str).collect();
        assert_eq!(words, ["provider_error", "unavailable", "unusable"]);
    }

    #[test]
    fn every_outcome_has_its_own_name_and_place() {
        let words: std::collections::HashSet<_> = Outcome::ALL.iter().map(|o| o.as_str()).collect();
        assert_eq!(words.len(), Outcome::ALL.len());
        for (place, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, place);
        }
        let words: std::collections::HashSet<_> = Source::ALL.iter().map(|s| s.as_str()).collect();
        assert_eq!(words.len(), Source::ALL.len());
        for (place, source) in Source::ALL.iter().enumerate() {
            assert_eq!(*source as usize, place);
        }
    }

    /// One refusal for each reason; the `match` in [`Refusal::reason`] has as many arms.
    #[test]
    fn every_reason_has_a_counter() {
        use crate::provider::error::ProviderError;
        let credentials = [
            CredentialFault::Absent,
            CredentialFault::Empty,
            CredentialFault::OtherScheme,
            CredentialFault::NoToken,
            CredentialFault::NotAToken,
            CredentialFault::TooLong,
            CredentialFault::Several,
        ];
        let endpoints = [
            EndpointFault::NotConfigured,
            EndpointFault::NoDefault,
            EndpointFault::UnknownRegion,
            EndpointFault::UnknownIssuer,
        ];
        let unusable = [
            Unusable::TooLarge,
            Unusable::Encoded,
            Unusable::Jwt,
            Unusable::NotAnObject,
            Unusable::NoActive,
        ];
        let vouched = [
            NotVouched::NoSubject,
            NotVouched::Inactive,
            NotVouched::OtherKind,
            NotVouched::KeyBound,
            NotVouched::Expired,
            NotVouched::NotYetValid,
            NotVouched::OtherIssuer,
        ];
        let unmet = [Unmet::Scope, Unmet::Audience, Unmet::Issuer, Unmet::Claim, Unmet::Header];
        let answers = [
            NoAnswer::NotSent,
            NoAnswer::CutOff,
            NoAnswer::Unreachable { bytes_came: false },
            NoAnswer::TimedOut,
            NoAnswer::Redirect,
            NoAnswer::UnexpectedStatus,
            NoAnswer::ClientRefused,
            NoAnswer::Crowded,
            NoAnswer::BreakerOpen,
        ];
        let provider = |status| {
            let error = ProviderError::read(
                status,
                &crate::request::headers::HeaderView::default(),
                crate::provider::response::Body::Read(b""),
                &crate::policy::ProviderText::Withheld,
            );
            Refusal::Provider(Box::new(error))
        };
        let refusals = credentials.map(Refusal::Credentials).into_iter();
        let refusals = refusals.chain(endpoints.map(Refusal::Endpoint));
        let refusals = refusals.chain([401, 500].map(provider));
        let refusals = refusals.chain(vouched.map(Refusal::NotVouched));
        let refusals = refusals.chain(unmet.map(Refusal::Unmet));
        let refusals = refusals.chain(unusable.map(Refusal::Unusable));
        let refusals = refusals.chain(answers.map(Refusal::Unavailable));
        let reasons: Vec<Reason> = refusals.map(|refusal| refusal.reason()).collect();
        assert_eq!(reasons, Reason::ALL);
    }
}
