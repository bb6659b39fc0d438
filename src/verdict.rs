//! What an answer of the provider means for the request that waits for it.
//!
//! This is the only place that can make a [`Permit`], and nothing reaches the upstream without
//! one: a complete answer with status exactly 200 that is what the policy calls a success, or a
//! CORS preflight where the configuration lets these pass.

use crate::claims;
use crate::claims::json::{self, Json};
use crate::claims::jsonpath::{Budget, Selection};
use crate::config::{Preflight, ReplyPolicy, SubjectPath, Success};
use crate::fault_injection::Safeguard;
use crate::provider::call_outcome::CallOutcome;
use crate::provider::error::ProviderError;
use crate::provider::userinfo::{self, Answer, Body, Unreadable};
use crate::request::bearer::CredentialFault;
use crate::request::endpoint::EndpointFault;
use crate::request::headers::{Field, HeaderView, media_type};

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

    /// The permit of a CORS preflight, where the configuration lets these pass.
    pub fn preflight(policy: Preflight, head: &HeaderView<'_>) -> Option<Permit<'static>> {
        match policy {
            Preflight::Pass if is_preflight(head) => Some(Permit { claims: None }),
            Preflight::Pass | Preflight::Authenticate => None,
        }
    }
}

/// Whether a browser would send this before a request of another origin (Fetch §4.8): one origin,
/// one method, and nothing beyond headers. With a body or an upgrade, any client could pass the
/// gateway by calling its request a preflight.
fn is_preflight(head: &HeaderView<'_>) -> bool {
    // Envoy makes one value of several lines, with commas between.
    let says_one = |name| match head.field(name) {
        Field::One(value) => {
            !value.is_empty() && value.iter().all(|b| matches!(b, b'!'..=b'~') && *b != b',')
        }
        Field::Absent | Field::Several => false,
    };
    head.field(":method") == Field::One(b"OPTIONS")
        && says_one("origin")
        && says_one("access-control-request-method")
        && [":protocol", "upgrade", "transfer-encoding"]
            .iter()
            .all(|name| head.field(name) == Field::Absent)
        && matches!(head.field("content-length"), Field::Absent | Field::One(b"0"))
        && head.ends()
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
    /// A complete 200 with a JSON object that names no subject, where one is required: the provider
    /// knows the token, but it identifies no user.
    NotVouched,
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
            Refusal::NotVouched => Some(CallOutcome::NotVouched),
            Refusal::Unusable(_) => Some(CallOutcome::Unusable),
            Refusal::Unavailable(why) => Some(match why {
                NoAnswer::CutOff | NoAnswer::Unreachable { .. } | NoAnswer::TimedOut => {
                    CallOutcome::NoAnswer
                }
                NoAnswer::NotSent => CallOutcome::NotSent,
                NoAnswer::UnexpectedStatus => CallOutcome::UnexpectedStatus,
                NoAnswer::Crowded => CallOutcome::Crowded,
                NoAnswer::BreakerOpen => CallOutcome::BreakerOpen,
            }),
        }
    }
}

/// Why a 200 cannot be used. It is about how gateway and provider are set up, or about one user's
/// data: no outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Larger than `max_userinfo_bytes`.
    TooLarge,
    /// With a `content-encoding`.
    Encoded,
    /// A signed or encrypted answer (OpenID Connect Core §5.3.2), which the filter does not read.
    Jwt,
    /// Not a JSON object.
    NotAnObject,
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
    /// A status other than 200 and 400 to 599.
    UnexpectedStatus,
    /// Nobody was asked: too many calls are under way, or too many requests wait for one.
    Crowded,
    /// Nobody was asked: the provider has not answered lately.
    BreakerOpen,
}

/// Judges an answer.
pub fn judge<'b>(
    success: &Success,
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
        Some(_) if !Safeguard::Status.is_active() => userinfo_200(success, head, body),
        Some(200) => userinfo_200(success, head, body),
        // Envoy's own limits on the cluster.
        Some(503) if own && head.field("x-envoy-overloaded") != Field::Absent => {
            Err(Refusal::Unavailable(NoAnswer::NotSent))
        }
        Some(status @ (502 | 503)) if own => {
            Err(Refusal::Unavailable(NoAnswer::Unreachable { bytes_came: status == 502 }))
        }
        Some(504) if own => Err(Refusal::Unavailable(NoAnswer::TimedOut)),
        Some(status @ 400..=599) => {
            let error = ProviderError::read(status, head, body, &replies.provider_text);
            Err(Refusal::Provider(Box::new(error)))
        }
        Some(_) | None => Err(Refusal::Unavailable(NoAnswer::UnexpectedStatus)),
    }
}

/// Whether an answer is the provider's own, of any status.
pub(crate) fn is_providers(answer: &Answer<'_>) -> bool {
    match answer {
        Answer::NotSent | Answer::CutOff => false,
        Answer::Whole { head, .. } => {
            !(is_envoys_own(head) && matches!(userinfo::status(head), Some(502..=504)))
        }
    }
}

/// Envoy marks what a provider really sent; its own 502, 503 and 504 lack the mark.
pub(crate) fn is_envoys_own(head: &HeaderView<'_>) -> bool {
    head.field("x-envoy-upstream-service-time") == Field::Absent
}

fn userinfo_200<'b>(
    success: &Success,
    head: &HeaderView<'_>,
    body: Body<'b>,
) -> Result<Permit<'b>, Refusal> {
    let bytes = body.plain(head).map_err(|why| {
        Refusal::Unusable(match why {
            Unreadable::TooLarge => Unusable::TooLarge,
            Unreadable::Encoded => Unusable::Encoded,
        })
    })?;
    let document = if userinfo::is_json(head) { json::parse(bytes).ok() } else { None };
    let is_object = matches!(document, Some(Json::Object(_)));
    let has_sub = || {
        let sub = document.as_ref().and_then(|d| d.member("sub"));
        matches!(sub, Some(Json::String(text)) if claims::is_identity(text))
    };
    let vouches = match success {
        Success::Object => is_object,
        Success::ObjectWithSubject => is_object && has_sub(),
        Success::ObjectWithSubjectAt(at) => {
            is_object && document.as_ref().is_some_and(|d| has_subject_at(at, d))
        }
        Success::Any => true,
    };
    match (vouches, is_object) {
        (true, _) => Ok(Permit { claims: document }),
        (false, true) => Err(Refusal::NotVouched),
        (false, false) => {
            Err(Refusal::Unusable(if is_jwt(head) { Unusable::Jwt } else { Unusable::NotAnObject }))
        }
    }
}

/// Whether there is one to be told by: what no header can carry would reach the upstream
/// authenticated and without an identity.
fn has_subject_at(at: &SubjectPath, document: &Json<'_>) -> bool {
    match at.path.select(document, &mut Budget::for_answer()) {
        Selection::One(Json::String(text)) => claims::is_identity(text),
        // As written: an integer that another reader rounds is another user's.
        Selection::One(Json::Number(text)) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            digits.bytes().all(|byte| byte.is_ascii_digit()) && claims::is_identity(text)
        }
        Selection::One(Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_))
        | Selection::Nothing
        | Selection::Many(_)
        | Selection::OverBudget => false,
    }
}

/// Whether the answer is a JWT (OpenID Connect Core §5.3.2).
fn is_jwt(head: &HeaderView<'_>) -> bool {
    match head.field("content-type") {
        Field::One(value) => media_type(value).eq_ignore_ascii_case(b"application/jwt"),
        Field::Absent | Field::Several => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::jsonpath::JsonPath;
    use crate::config;
    use crate::sim::head;

    const REAL: (&str, &str) = ("x-envoy-upstream-service-time", "3");

    fn replies() -> ReplyPolicy {
        config::read(b"{}").unwrap().policy.replies
    }

    fn verdict(success: &Success, pairs: &[(&str, &str)], body: &[u8]) -> Result<bool, Refusal> {
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
            let result = verdict(&Success::Object, &pairs, b"{}");
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
            ("502", NoAnswer::Unreachable { bytes_came: true }),
            ("503", NoAnswer::Unreachable { bytes_came: false }),
            ("504", NoAnswer::TimedOut),
        ] {
            let result = verdict(&Success::Object, &[(":status", status)], b"");
            assert_eq!(no_answer(result), why);
        }
        for answer in [Answer::NotSent, Answer::CutOff] {
            assert!(matches!(
                judge(&Success::Any, &replies(), &answer),
                Err(Refusal::Unavailable(NoAnswer::NotSent | NoAnswer::CutOff))
            ));
        }
    }

    #[test]
    fn which_200_vouches() {
        use Success::*;
        use Unusable::*;
        let unusable = |why| Err(Refusal::Unusable(why));
        let typed = |t| vec![(":status", "200"), ("content-type", t), REAL];
        let none = vec![(":status", "200"), REAL];
        let json = || typed("application/json");
        let gzip = [&json()[..], &[("content-encoding", "gzip")]].concat();
        let cases: Vec<(Success, Vec<(&str, &str)>, &[u8], Result<bool, Refusal>)> = vec![
            (Object, json(), b"{}", Ok(true)),
            (Object, none, br#"{"sub":"a"}"#, Ok(true)),
            (Object, typed("application/scim+json"), b"{}", Ok(true)),
            (Object, typed("text/html"), b"{}", unusable(NotAnObject)),
            (Object, typed("application/jwt"), b"e30.e30.x", unusable(Jwt)),
            (Object, json(), b"", unusable(NotAnObject)),
            (Object, json(), b"[]", unusable(NotAnObject)),
            (Object, json(), b"\"x\"", unusable(NotAnObject)),
            (Object, json(), b"\xef\xbb\xbf{}", unusable(NotAnObject)),
            (Object, json(), br#"{"sub":"a","sub":"b"}"#, unusable(NotAnObject)),
            (Object, json(), b"{} {}", unusable(NotAnObject)),
            (Object, gzip.clone(), b"{}", unusable(Encoded)),
            (ObjectWithSubject, json(), br#"{"sub":"a"}"#, Ok(true)),
            (ObjectWithSubject, json(), br#"{"sub":""}"#, Err(Refusal::NotVouched)),
            (ObjectWithSubject, json(), br#"{"sub":1}"#, Err(Refusal::NotVouched)),
            (ObjectWithSubject, json(), br#"{"sub":" a"}"#, Err(Refusal::NotVouched)),
            (ObjectWithSubject, json(), br#"{"sub":"a\u0000"}"#, Err(Refusal::NotVouched)),
            (ObjectWithSubject, json(), br#"{"ok":true}"#, Err(Refusal::NotVouched)),
            (ObjectWithSubject, json(), b"[]", unusable(NotAnObject)),
            (Any, json(), b"[]", Ok(true)),
            (Any, typed("text/html"), b"<html>", Ok(false)),
            (Any, json(), b"", Ok(false)),
            (Any, gzip, b"{}", unusable(Encoded)),
        ];
        for (success, pairs, body, expected) in cases {
            let result = verdict(&success, &pairs, body);
            assert_eq!(result, expected, "{success:?} {}", String::from_utf8_lossy(body));
        }
        let large = Answer::Whole { head: head(&json()), body: Body::TooLarge };
        let refusal = judge(&Any, &replies(), &large).unwrap_err();
        assert_eq!(refusal, Refusal::Unusable(TooLarge));
    }

    #[test]
    fn a_subject_may_stand_elsewhere() {
        let at = |text: &str| {
            let path = JsonPath::compile(text).unwrap();
            Success::ObjectWithSubjectAt(SubjectPath { text: text.into(), path })
        };
        let json = [(":status", "200"), ("content-type", "application/json"), REAL];
        let check = |path: &str, body: &str, expected: Result<bool, Refusal>| {
            let result = verdict(&at(path), &json, body.as_bytes());
            assert_eq!(result, expected, "{path} {body}");
        };
        check("$.data.sub", r#"{"code":200,"data":{"sub":"139"}}"#, Ok(true));
        check("data.sub", r#"{"code":200,"data":{"sub":"139"}}"#, Ok(true));
        check("$[0].id", r#"[{"id":"a"}]"#, Err(Refusal::Unusable(Unusable::NotAnObject)));
        check("$.ids[0]", r#"{"ids":["a"]}"#, Ok(true));
        for subject in [r#""a""#, r#""Claes Rosenlöf""#, "139", "-1", "12345678901234567890123"] {
            check("$.id", &format!("{{\"id\":{subject}}}"), Ok(true));
        }
        let long = format!("\"{}\"", "x".repeat(claims::MAX_VALUE + 1));
        for none in [
            r#""""#,
            r#"" a""#,
            r#""a\nb""#,
            "null",
            "true",
            "false",
            "1.5",
            "1e3",
            "1.0",
            "{}",
            "[]",
            r#"["a"]"#,
            &long,
        ] {
            check("$.id", &format!("{{\"id\":{none}}}"), Err(Refusal::NotVouched));
        }
        for body in [r#"{"code":401,"data":null}"#, r#"{"sub":"139"}"#, r#"{"data":{}}"#, "{}"] {
            check("$.data.sub", body, Err(Refusal::NotVouched));
        }
        check("$.data.sub", "<html>", Err(Refusal::Unusable(Unusable::NotAnObject)));
    }

    /// A preflight, but for what is changed: `None` takes a header away.
    fn preflight(policy: Preflight, changes: &[(&str, Option<&str>)], ends: bool) -> bool {
        let usual = [
            (":method", "OPTIONS"),
            ("origin", "https://shop.example"),
            ("access-control-request-method", "GET"),
        ];
        let kept = usual.iter().filter(|(name, _)| changes.iter().all(|(n, _)| n != name));
        let new = changes.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let pairs: Vec<(&str, &str)> = kept.copied().chain(new).collect();
        Permit::preflight(policy, &head(&pairs).ending(ends)).is_some()
    }

    #[test]
    fn a_preflight_is_what_a_browser_sends() {
        let method = "access-control-request-method";
        assert!(preflight(Preflight::Pass, &[], true));
        assert!(!preflight(Preflight::Authenticate, &[], true));
        for change in [
            ("origin", Some("null")),
            ("access-control-request-headers", Some("authorization,content-type")),
            ("content-length", Some("0")),
            ("connection", Some("close")),
            (method, Some("M-SEARCH")),
        ] {
            assert!(preflight(Preflight::Pass, &[change], true), "{change:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_preflight_is_none() {
        let method = "access-control-request-method";
        // A body comes, or may come.
        assert!(!preflight(Preflight::Pass, &[], false));
        for change in [
            (":method", None),
            (":method", Some("options")),
            (":method", Some("GET")),
            (":method", Some("CONNECT")),
            ("origin", None),
            ("origin", Some("")),
            ("origin", Some(" ")),
            ("origin", Some("https://a.example,https://b.example")),
            ("origin", Some("https://a.example https://b.example")),
            (method, None),
            (method, Some("")),
            (method, Some("GET,PUT")),
            ("upgrade", Some("websocket")),
            ("upgrade", Some("")),
            (":protocol", Some("websocket")),
            ("transfer-encoding", Some("chunked")),
            ("content-length", Some("1")),
            ("content-length", Some("00")),
            ("content-length", Some("")),
        ] {
            assert!(!preflight(Preflight::Pass, &[change], true), "{change:?}");
        }
        for (name, value) in [("origin", "null"), (method, "GET"), ("content-length", "0")] {
            let twice = [(name, Some(value)), (name, Some(value))];
            assert!(!preflight(Preflight::Pass, &twice, true), "{name}");
        }
    }
}
