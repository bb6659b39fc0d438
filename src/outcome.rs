//! What became of a request, in words from closed lists, for counters and the access log.
//!
//! No byte of a request, an answer or a claim ever becomes part of these words; the region is the
//! configured code.

use crate::provider::challenge::ErrorCode;
use crate::request::bearer::CredentialFault;
use crate::request::endpoint::EndpointFault;
use crate::verdict::{NoAnswer, Refusal, Unusable};

/// How a request ended, one counter each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Forwarded: the provider vouched for the token.
    Pass,
    /// Forwarded: a CORS preflight, unauthenticated by configuration.
    Preflight,
    /// Refused: no credentials, or none of the scheme `Bearer`.
    NoCredentials,
    /// Refused: `Bearer` credentials that are not one token.
    Malformed,
    /// Refused: a region code that is not configured.
    UnknownRegion,
    /// Refused: no UserInfo endpoint is configured for it.
    Misconfigured,
    /// Refused: the provider does not vouch for the token. It answered 401, named the error
    /// `invalid_token`, or said 200 without the subject that is required.
    InvalidToken,
    /// Refused: the provider answered 403, or named the error `insufficient_scope`.
    Forbidden,
    /// Refused: the provider answered another error.
    ProviderError,
    /// Refused: the provider gave no answer, or was not asked.
    Unavailable,
    /// Refused: the provider answered 200 with what cannot be used.
    Unusable,
    /// The client left, or Envoy gave the request up, before there was a decision.
    ClientGone,
    /// Answered 500: Envoy refused to read or edit the request's headers.
    Internal,
}

impl Outcome {
    /// All of them, in the order of their counters.
    pub const ALL: [Outcome; 13] = [
        Outcome::Pass,
        Outcome::Preflight,
        Outcome::NoCredentials,
        Outcome::Malformed,
        Outcome::UnknownRegion,
        Outcome::Misconfigured,
        Outcome::InvalidToken,
        Outcome::Forbidden,
        Outcome::ProviderError,
        Outcome::Unavailable,
        Outcome::Unusable,
        Outcome::ClientGone,
        Outcome::Internal,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Preflight => "preflight",
            Outcome::NoCredentials => "no_credentials",
            Outcome::Malformed => "malformed",
            Outcome::UnknownRegion => "unknown_region",
            Outcome::Misconfigured => "misconfigured",
            Outcome::InvalidToken => "invalid_token",
            Outcome::Forbidden => "forbidden",
            Outcome::ProviderError => "provider_error",
            Outcome::Unavailable => "unavailable",
            Outcome::Unusable => "unusable",
            Outcome::ClientGone => "client_gone",
            Outcome::Internal => "internal",
        }
    }
}

/// Where the verdict came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The filter alone: nobody was asked.
    Filter,
    /// The provider was asked for this request.
    Asked,
    /// The provider was asked for another request at the same time.
    Joined,
    /// This worker knew it already.
    Hit,
    /// Another worker knew it already.
    Shared,
    /// It was known, and nobody answers who could say whether it is still so.
    Stale,
}

impl Source {
    /// All of them, in the order of their counters.
    pub const ALL: [Source; 6] =
        [Source::Filter, Source::Asked, Source::Joined, Source::Hit, Source::Shared, Source::Stale];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Filter => "none",
            Source::Asked => "asked",
            Source::Joined => "joined",
            Source::Hit => "hit",
            Source::Shared => "shared",
            Source::Stale => "stale",
        }
    }
}

/// Every reason of a refusal, in the order of their counters.
pub const REASONS: [&str; 24] = [
    "absent",
    "empty",
    "other_scheme",
    "no_token",
    "not_a_token",
    "too_long",
    "several",
    "no_userinfo_endpoint",
    "no_default_uri",
    "unknown_code",
    "provider_4xx",
    "provider_5xx",
    "no_subject",
    "too_large",
    "encoded",
    "jwt",
    "not_a_json_object",
    "not_sent",
    "cut_off",
    "unreachable",
    "timed_out",
    "unexpected_status",
    "too_many_waiting",
    "breaker_open",
];

impl Refusal {
    /// The counter that a refusal belongs to.
    pub fn outcome(&self) -> Outcome {
        match self {
            Refusal::Credentials(fault) if fault.tried_bearer() => Outcome::Malformed,
            Refusal::Credentials(_) => Outcome::NoCredentials,
            Refusal::Endpoint(EndpointFault::UnknownRegion) => Outcome::UnknownRegion,
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
            Refusal::NotVouched => Outcome::InvalidToken,
            Refusal::Unusable(_) => Outcome::Unusable,
            Refusal::Unavailable(_) => Outcome::Unavailable,
        }
    }

    /// The reason in one word, finer than the outcome.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Credentials(fault) => match fault {
                CredentialFault::Absent => "absent",
                CredentialFault::Empty => "empty",
                CredentialFault::OtherScheme => "other_scheme",
                CredentialFault::NoToken => "no_token",
                CredentialFault::NotAToken => "not_a_token",
                CredentialFault::TooLong => "too_long",
                CredentialFault::Several => "several",
            },
            Refusal::Endpoint(fault) => match fault {
                EndpointFault::NotConfigured => "no_userinfo_endpoint",
                EndpointFault::NoDefault => "no_default_uri",
                EndpointFault::UnknownRegion => "unknown_code",
            },
            Refusal::Provider(error) => match error.status {
                400..=499 => "provider_4xx",
                _ => "provider_5xx",
            },
            Refusal::NotVouched => "no_subject",
            Refusal::Unusable(why) => match why {
                Unusable::TooLarge => "too_large",
                Unusable::Encoded => "encoded",
                Unusable::Jwt => "jwt",
                Unusable::NotAnObject => "not_a_json_object",
            },
            Refusal::Unavailable(cause) => match cause {
                NoAnswer::NotSent => "not_sent",
                NoAnswer::CutOff => "cut_off",
                NoAnswer::Unreachable { .. } => "unreachable",
                NoAnswer::TimedOut => "timed_out",
                NoAnswer::UnexpectedStatus => "unexpected_status",
                NoAnswer::Crowded => "too_many_waiting",
                NoAnswer::BreakerOpen => "breaker_open",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let endpoints =
            [EndpointFault::NotConfigured, EndpointFault::NoDefault, EndpointFault::UnknownRegion];
        let unusable =
            [Unusable::TooLarge, Unusable::Encoded, Unusable::Jwt, Unusable::NotAnObject];
        let answers = [
            NoAnswer::NotSent,
            NoAnswer::CutOff,
            NoAnswer::Unreachable { bytes_came: false },
            NoAnswer::TimedOut,
            NoAnswer::UnexpectedStatus,
            NoAnswer::Crowded,
            NoAnswer::BreakerOpen,
        ];
        let provider = |status| {
            let error = ProviderError::read(
                status,
                &crate::request::headers::HeaderView::default(),
                crate::provider::userinfo::Body::Read(b""),
                &crate::config::ProviderText::Withheld,
            );
            Refusal::Provider(Box::new(error))
        };
        let refusals = credentials.map(Refusal::Credentials).into_iter();
        let refusals = refusals.chain(endpoints.map(Refusal::Endpoint));
        let refusals = refusals.chain([401, 500].map(provider));
        let refusals = refusals.chain([Refusal::NotVouched]);
        let refusals = refusals.chain(unusable.map(Refusal::Unusable));
        let refusals = refusals.chain(answers.map(Refusal::Unavailable));
        let reasons: Vec<&str> = refusals.map(|refusal| refusal.reason()).collect();
        assert_eq!(reasons, REASONS);
    }
}
