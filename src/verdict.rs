//! What an answer of the provider means for the request that waits for it.
//!
//! This is the only place that can make a [`Permit`], and nothing reaches the upstream without
//! one: a complete answer with status exactly 200 that is what the policy calls a success, or a
//! CORS preflight where the configuration lets these pass.

use std::time::Duration;

use crate::bearer::CredentialFault;
use crate::claims;
use crate::config::{Preflight, ReplyPolicy, Success};
use crate::endpoint::EndpointFault;
use crate::expiry;
use crate::head::{Field, Head};
use crate::json::{self, Json};
use crate::provider_error::ProviderError;
use crate::sabotage::Guard;
use crate::time::Date;
use crate::userinfo::{self, Answer, Body, Unreadable};

/// Evidence that a request may be forwarded.
#[derive(Debug)]
pub struct Permit<'b> {
    claims: Option<Json<'b>>,
}

impl<'b> Permit<'b> {
    /// What the provider says of the user; `None` for a preflight, and where `accept_any_200` let
    /// something pass that is not JSON.
    pub fn claims(&self) -> Option<&Json<'b>> {
        self.claims.as_ref()
    }

    /// The permit of a CORS preflight: `OPTIONS` with `Origin` and
    /// `Access-Control-Request-Method`, where the configuration lets these pass.
    pub fn preflight(policy: Preflight, head: &Head<'_>) -> Option<Permit<'static>> {
        let is_preflight = head.field(":method") == Field::One(b"OPTIONS")
            && head.field("origin") != Field::Absent
            && head.field("access-control-request-method") != Field::Absent;
        match policy {
            Preflight::Pass if is_preflight => Some(Permit { claims: None }),
            Preflight::Pass | Preflight::Authenticate => None,
        }
    }
}

/// Why a request is not forwarded.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It carries no usable bearer token.
    Credentials(CredentialFault),
    /// No UserInfo endpoint serves it.
    Endpoint(EndpointFault),
    /// The provider answered with an error of its own.
    Provider(Box<ProviderError>),
    /// The provider gave no usable answer.
    Unavailable(NoAnswer),
}

/// Why there is no usable answer from the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// Envoy did not make the call: no such cluster, no healthy host, circuit breaker open.
    NotSent,
    /// The answer ended early, came too late, or was over Envoy's own limit.
    CutOff,
    /// Connection refused or reset, TLS failure, or no HTTP: Envoy answered in its place.
    Unreachable,
    /// Nothing came within the timeout.
    TimedOut,
    /// A status other than 200 and 400 to 599.
    UnexpectedStatus,
    /// A 200 larger than `max_userinfo_bytes`.
    TooLarge,
    /// A 200 with a `content-encoding`.
    Encoded,
    /// A 200 that is not a JSON object.
    NotAnObject,
    /// A 200 without a string `sub` that a header can carry, where that is required.
    NoSubject,
    /// Nobody was asked: too many calls are under way, or too many requests wait for one.
    Crowded,
    /// Nobody was asked: the provider has not answered lately.
    Shut,
    /// Nobody was asked: the provider wants to be asked less.
    Slowed {
        /// For so many seconds more.
        seconds: u32,
    },
}

impl NoAnswer {
    /// The pause that the provider asked for, in seconds.
    pub(crate) fn retry_after(self) -> Option<u32> {
        match self {
            NoAnswer::Slowed { seconds } => Some(seconds),
            NoAnswer::NotSent
            | NoAnswer::CutOff
            | NoAnswer::Unreachable
            | NoAnswer::TimedOut
            | NoAnswer::UnexpectedStatus
            | NoAnswer::TooLarge
            | NoAnswer::Encoded
            | NoAnswer::NotAnObject
            | NoAnswer::NoSubject
            | NoAnswer::Crowded
            | NoAnswer::Shut => None,
        }
    }
}

/// Whether anybody was heard, whatever is said: decides about asking elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// An answer that no other site would better.
    Answered,
    /// The provider's own 429 or 5xx.
    Declined {
        /// Its status.
        status: u16,
        /// How long it wants to be left in peace.
        retry_after: Option<Duration>,
    },
    /// No answer.
    Silent {
        /// Whether it speaks against the site: nothing came, or not in time. A call that was not
        /// made, and an answer that broke off at once or was over Envoy's limit, may be the doing
        /// of a caller.
        counts: bool,
    },
}

/// How much before its time the host may give up a call: it counts from the time that its event
/// loop has cached, in whole milliseconds. Never more than a tenth of the call's own time.
const EARLY: Duration = Duration::from_millis(20);

/// Listens to what became of a call that was given `timeout` and has taken `taken`.
pub(crate) fn hear(
    answer: &Answer<'_>,
    taken: Option<Duration>,
    timeout: Duration,
    date: Date,
) -> Hearing {
    let (head, own) = match answer {
        Answer::NotSent => return Hearing::Silent { counts: false },
        Answer::CutOff => {
            let nearly =
                timeout.saturating_sub(EARLY.min(timeout.checked_div(10).unwrap_or_default()));
            return Hearing::Silent { counts: taken.is_some_and(|taken| taken >= nearly) };
        }
        Answer::Whole { head, .. } => (head, is_envoys_own(head)),
    };
    match userinfo::status(head) {
        // Envoy's own limit on the cluster: who sends much meets it, and the site may be well.
        Some(502..=504) if own => {
            Hearing::Silent { counts: head.field("x-envoy-overloaded") == Field::Absent }
        }
        Some(status @ (429 | 500..=599)) => {
            Hearing::Declined { status, retry_after: expiry::retry_after(head, date) }
        }
        Some(_) | None => Hearing::Answered,
    }
}

/// Judges an answer.
pub fn judge<'b>(
    success: Success,
    replies: &ReplyPolicy,
    answer: &Answer<'b>,
) -> Result<Permit<'b>, Refusal> {
    let (head, body) = match answer {
        Answer::NotSent => return Err(Refusal::Unavailable(NoAnswer::NotSent)),
        Answer::CutOff => return Err(Refusal::Unavailable(NoAnswer::CutOff)),
        Answer::Whole { head, body } => (head, *body),
    };
    let own = is_envoys_own(head);
    match userinfo::status(head) {
        Some(_) if !Guard::Status.stands() => {
            userinfo_200(success, head, body).map_err(Refusal::Unavailable)
        }
        Some(200) => userinfo_200(success, head, body).map_err(Refusal::Unavailable),
        Some(502 | 503) if own => Err(Refusal::Unavailable(NoAnswer::Unreachable)),
        Some(504) if own => Err(Refusal::Unavailable(NoAnswer::TimedOut)),
        Some(status @ 400..=599) => {
            let error = ProviderError::read(status, head, body, &replies.provider_text);
            Err(Refusal::Provider(Box::new(error)))
        }
        Some(_) | None => Err(Refusal::Unavailable(NoAnswer::UnexpectedStatus)),
    }
}

/// Envoy marks what a provider really sent; its own 502, 503 and 504 lack the mark.
pub(crate) fn is_envoys_own(head: &Head<'_>) -> bool {
    head.field("x-envoy-upstream-service-time") == Field::Absent
}

fn userinfo_200<'b>(
    success: Success,
    head: &Head<'_>,
    body: Body<'b>,
) -> Result<Permit<'b>, NoAnswer> {
    let bytes = body.plain(head).map_err(|why| match why {
        Unreadable::TooLarge => NoAnswer::TooLarge,
        Unreadable::Encoded => NoAnswer::Encoded,
    })?;
    let document = if userinfo::is_json(head) { json::parse(bytes).ok() } else { None };
    let is_object = matches!(document, Some(Json::Object(_)));
    let has_subject = || {
        let subject = document.as_ref().and_then(|d| d.member("sub"));
        matches!(subject, Some(Json::String(sub)) if claims::is_identity(sub))
    };
    match success {
        Success::Object | Success::ObjectWithSubject if !is_object => Err(NoAnswer::NotAnObject),
        Success::ObjectWithSubject if !has_subject() => Err(NoAnswer::NoSubject),
        Success::Object | Success::ObjectWithSubject | Success::Any => {
            Ok(Permit { claims: document })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::sim::head;

    const REAL: (&str, &str) = ("x-envoy-upstream-service-time", "3");

    fn replies() -> ReplyPolicy {
        config::read(b"{}").unwrap().policy.replies
    }

    fn judged(success: Success, pairs: &[(&str, &str)], body: &[u8]) -> Result<bool, Refusal> {
        let answer = Answer::Whole { head: head(pairs), body: Body::Read(body) };
        judge(success, &replies(), &answer).map(|permit| permit.claims().is_some())
    }

    #[track_caller]
    fn no_answer(result: Result<bool, Refusal>) -> NoAnswer {
        match result {
            Err(Refusal::Unavailable(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_a_200_is_a_success() {
        for status in 100..=999_u16 {
            let pairs = [(":status", &*status.to_string()), REAL];
            let result = judged(Success::Object, &pairs, b"{}");
            match status {
                200 => assert_eq!(result, Ok(true)),
                400..=599 => assert!(matches!(result, Err(Refusal::Provider(_))), "{status}"),
                _ => assert_eq!(no_answer(result), NoAnswer::UnexpectedStatus, "{status}"),
            }
        }
    }

    #[test]
    fn envoys_own_answers_are_not_the_providers() {
        for (status, why) in [
            ("502", NoAnswer::Unreachable),
            ("503", NoAnswer::Unreachable),
            ("504", NoAnswer::TimedOut),
        ] {
            let result = judged(Success::Object, &[(":status", status)], b"");
            assert_eq!(no_answer(result), why);
        }
        for answer in [Answer::NotSent, Answer::CutOff] {
            assert!(matches!(
                judge(Success::Any, &replies(), &answer),
                Err(Refusal::Unavailable(NoAnswer::NotSent | NoAnswer::CutOff))
            ));
        }
    }

    #[test]
    fn which_200_vouches() {
        use NoAnswer::*;
        use Success::*;
        let typed = |t| vec![(":status", "200"), ("content-type", t), REAL];
        let none = vec![(":status", "200"), REAL];
        let json = || typed("application/json");
        let gzip = [&json()[..], &[("content-encoding", "gzip")]].concat();
        let cases: Vec<(Success, Vec<(&str, &str)>, &[u8], Result<bool, NoAnswer>)> = vec![
            (Object, json(), b"{}", Ok(true)),
            (Object, none, br#"{"sub":"a"}"#, Ok(true)),
            (Object, typed("application/scim+json"), b"{}", Ok(true)),
            (Object, typed("text/html"), b"{}", Err(NotAnObject)),
            (Object, typed("application/jwt"), b"e30.e30.x", Err(NotAnObject)),
            (Object, json(), b"", Err(NotAnObject)),
            (Object, json(), b"[]", Err(NotAnObject)),
            (Object, json(), b"\"x\"", Err(NotAnObject)),
            (Object, json(), b"\xef\xbb\xbf{}", Err(NotAnObject)),
            (Object, json(), br#"{"sub":"a","sub":"b"}"#, Err(NotAnObject)),
            (Object, json(), b"{} {}", Err(NotAnObject)),
            (Object, gzip.clone(), b"{}", Err(Encoded)),
            (ObjectWithSubject, json(), br#"{"sub":"a"}"#, Ok(true)),
            (ObjectWithSubject, json(), br#"{"sub":""}"#, Err(NoSubject)),
            (ObjectWithSubject, json(), br#"{"sub":1}"#, Err(NoSubject)),
            (ObjectWithSubject, json(), br#"{"sub":" a"}"#, Err(NoSubject)),
            (ObjectWithSubject, json(), br#"{"sub":"a\u0000"}"#, Err(NoSubject)),
            (ObjectWithSubject, json(), br#"{"ok":true}"#, Err(NoSubject)),
            (ObjectWithSubject, json(), b"[]", Err(NotAnObject)),
            (Any, json(), b"[]", Ok(true)),
            (Any, typed("text/html"), b"<html>", Ok(false)),
            (Any, json(), b"", Ok(false)),
            (Any, gzip, b"{}", Err(Encoded)),
        ];
        for (success, pairs, body, expected) in cases {
            let result = judged(success, &pairs, body);
            let result = result.map_err(|refusal| no_answer(Err(refusal)));
            assert_eq!(result, expected, "{success:?} {}", String::from_utf8_lossy(body));
        }
        let large = Answer::Whole { head: head(&json()), body: Body::TooLarge };
        let refusal = judge(Any, &replies(), &large).unwrap_err();
        assert_eq!(refusal, Refusal::Unavailable(TooLarge));
    }

    #[test]
    fn a_preflight_is_options_with_both_headers() {
        let all =
            [(":method", "OPTIONS"), ("origin", "o"), ("access-control-request-method", "GET")];
        let passes =
            |pairs: &[(&str, &str)]| Permit::preflight(Preflight::Pass, &head(pairs)).is_some();
        assert!(passes(&all));
        for missing in 0..3 {
            let mut pairs = all.to_vec();
            pairs.remove(missing);
            assert!(!passes(&pairs));
        }
        assert!(Permit::preflight(Preflight::Authenticate, &head(&all)).is_none());
    }
}
