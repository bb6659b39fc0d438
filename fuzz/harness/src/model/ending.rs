//! The endings of calls in the model: what the provider says, and what that is to an instance.

use oidc_token_connector::outcome::Outcome;
use oidc_token_connector::userinfo::{Answer, Body};

use super::setup::Setup;
use super::sites::Heard;
use crate::message;

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// 200 with a JSON object.
    Good,
    /// The same, longer than some instances read.
    Long,
    /// 200 with a JSON object that has no `sub`.
    NoSubject,
    /// 200 that says it ends in two seconds.
    EndsSoon,
    /// 200 that says it ended a second ago.
    Ended,
    /// 200 that may be kept for a second.
    MaxAge,
    /// 200 that must not be kept.
    NoStore,
    /// The provider's 401.
    Refused,
    /// The provider's 403.
    Forbidden,
    /// A 401 that must not be kept.
    RefusedNoStore,
    /// A 401 with a body too large to read.
    RefusedTooLarge,
    /// The provider's 429.
    TooMany,
    /// The provider's 500.
    Broken,
    /// 200 with a web page.
    WebPage,
    /// 200, too large to read.
    TooLarge,
    /// 204.
    NoContent,
    /// A 503 that Envoy made.
    Unreachable,
    /// Never sent.
    NotSent,
    /// Broken off.
    CutOff,
}

/// Every ending.
pub const ENDINGS: [Ending; 19] = [
    Ending::Good,
    Ending::Long,
    Ending::NoSubject,
    Ending::EndsSoon,
    Ending::Ended,
    Ending::MaxAge,
    Ending::NoStore,
    Ending::Refused,
    Ending::Forbidden,
    Ending::RefusedNoStore,
    Ending::RefusedTooLarge,
    Ending::TooMany,
    Ending::Broken,
    Ending::WebPage,
    Ending::TooLarge,
    Ending::NoContent,
    Ending::Unreachable,
    Ending::NotSent,
    Ending::CutOff,
];

/// The endings after which another site may know more.
pub(super) const OUTAGES: [Ending; 5] =
    [Ending::Unreachable, Ending::TooMany, Ending::CutOff, Ending::Broken, Ending::NotSent];

/// What an answer is to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// The token is good.
    Good,
    /// The token is bad: the status.
    Bad(u16),
    /// Nothing of the token: how a request ends by it, and with which status.
    Nothing(Outcome, u16),
}

impl Ending {
    /// What an instance makes of it.
    pub(super) fn says(self, setup: &Setup) -> Says {
        let unavailable = Says::Nothing(Outcome::Unavailable, 401);
        match self {
            Ending::Good | Ending::EndsSoon | Ending::Ended | Ending::MaxAge | Ending::NoStore => {
                Says::Good
            }
            Ending::Long if setup.limit < 200 => unavailable,
            Ending::Long => Says::Good,
            Ending::NoSubject if setup.needs_subject => unavailable,
            Ending::NoSubject => Says::Good,
            Ending::Refused | Ending::RefusedNoStore | Ending::RefusedTooLarge => Says::Bad(401),
            Ending::Forbidden => Says::Bad(403),
            Ending::TooMany => Says::Nothing(Outcome::ProviderError, 429),
            Ending::Broken => Says::Nothing(Outcome::ProviderError, 500),
            Ending::WebPage
            | Ending::TooLarge
            | Ending::NoContent
            | Ending::Unreachable
            | Ending::NotSent
            | Ending::CutOff => unavailable,
        }
    }

    /// What is heard of the site, where the call has taken its whole timeout or not.
    pub(super) fn heard(self, took_all: bool) -> Heard {
        match self {
            Ending::Unreachable => Heard::Nothing { counts: true },
            Ending::CutOff => Heard::Nothing { counts: took_all },
            Ending::NotSent => Heard::Nothing { counts: false },
            Ending::TooMany | Ending::Broken => Heard::Word,
            _ => Heard::Answer,
        }
    }

    /// Whether the provider says that the token is bad, to whomever.
    pub(super) fn is_refusal(self) -> bool {
        matches!(
            self,
            Ending::Refused | Ending::Forbidden | Ending::RefusedNoStore | Ending::RefusedTooLarge
        )
    }

    /// Whether all of it is there to be kept.
    pub(super) fn is_whole(self) -> bool {
        self != Ending::RefusedTooLarge
    }

    /// Whether the provider does not want it kept.
    pub(super) fn is_no_store(self) -> bool {
        matches!(self, Ending::NoStore | Ending::RefusedNoStore)
    }

    /// How long the provider wants it kept at most, in milliseconds.
    pub(super) fn max_age(self) -> u64 {
        if self == Ending::MaxAge { 1_000 } else { u64::MAX }
    }

    /// The `exp` in an answer on this date.
    pub(super) fn exp(self, date: u64) -> Option<u64> {
        match self {
            Ending::EndsSoon => Some(date + 2),
            Ending::Ended => Some(date - 1),
            _ => None,
        }
    }

    /// Lets `with` see the answer. It carries the call's number wherever it can: what a request
    /// gets tells which answer decided it.
    pub(super) fn answer<T>(
        self,
        call: usize,
        exp: Option<u64>,
        with: impl FnOnce(&Answer<'_>) -> T,
    ) -> T {
        let number = call.to_string();
        let mut body = format!(r#"{{"call":{call},"email":"mail{call}""#);
        if self != Ending::NoSubject {
            body.push_str(&format!(r#","sub":"user{call}""#));
        }
        if let Some(exp) = exp {
            body.push_str(&format!(r#","exp":{exp}"#));
        }
        if self == Ending::Long {
            body.push_str(&format!(r#","padding":"{}""#, "-".repeat(200)));
        }
        body.push('}');
        let (status, body) = match self {
            Ending::NotSent => return with(&Answer::NotSent),
            Ending::CutOff => return with(&Answer::CutOff),
            Ending::Refused | Ending::RefusedNoStore => ("401", Body::Read(body.as_bytes())),
            Ending::RefusedTooLarge => ("401", Body::TooLarge),
            Ending::Forbidden => ("403", Body::Read(b"")),
            Ending::TooMany => ("429", Body::Read(b"")),
            Ending::Broken => ("500", Body::Read(b"")),
            Ending::NoContent => ("204", Body::Read(b"")),
            Ending::Unreachable => ("503", Body::Read(b"upstream connect error")),
            Ending::TooLarge => ("200", Body::TooLarge),
            _ => ("200", Body::Read(body.as_bytes())),
        };
        let mut pairs = vec![(":status", status.as_bytes()), ("x-why", number.as_bytes())];
        let kind = if self == Ending::WebPage { &b"text/html"[..] } else { b"application/json" };
        pairs.push(("content-type", kind));
        if self != Ending::Unreachable {
            pairs.push(("x-envoy-upstream-service-time", b"1"));
        }
        match self {
            Ending::MaxAge => pairs.push(("cache-control", b"private, max-age=1")),
            Ending::NoStore | Ending::RefusedNoStore => pairs.push(("cache-control", b"no-store")),
            _ => {}
        }
        with(&Answer::Whole { head: message::head(&pairs), body })
    }
}
