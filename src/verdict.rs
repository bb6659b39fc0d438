//! What an answer of the provider means for the request that waits for it.
//!
//! This is the only place that can make a [`Permit`], and nothing reaches the upstream without
//! one: a complete answer with status exactly 200 that is what the policy calls a success, or a
//! CORS preflight or a request without credentials, where the configuration lets these pass.

use crate::claims::json::Json;
use crate::provider::endpoint::table::Endpoint;
use crate::provider::error_text::ProviderText;
use crate::provider::method::Response;
use crate::provider::response::{Answer, is_envoys_own, status};
use crate::refusal::{NoAnswer, NotVouched, Refusal};
use crate::request::bearer::{CredentialFault, Credentials};
use crate::request::headers::{Field, HeaderView};
use crate::request::preflight::{Preflight, is_preflight};
use crate::time::UnixTime;

/// Evidence that a request may be forwarded.
#[derive(Debug)]
pub struct Permit<'b> {
    claims: Option<Json<'b>>,
}

impl<'b> Permit<'b> {
    /// What the provider says of the user; `None` where nobody was asked, and where `accept_any_200` let
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

impl Permit<'static> {
    /// The permit of a request without any credentials, where the configuration lets these pass.
    pub fn anonymous(policy: Credentials, fault: CredentialFault) -> Option<Permit<'static>> {
        match (policy, fault) {
            (Credentials::Optional, CredentialFault::Absent) => Some(Permit { claims: None }),
            (Credentials::Optional | Credentials::Required, _) => None,
        }
    }
}

/// Judges what came back from a call.
pub fn judge<'b>(
    endpoint: &Endpoint,
    error_text: &ProviderText,
    answer: &Answer<'b>,
    date: UnixTime,
) -> Result<Permit<'b>, Refusal> {
    let (head, body) = match answer {
        Answer::NotSent => return Err(Refusal::Unavailable(NoAnswer::NotSent)),
        Answer::CutOff => return Err(Refusal::Unavailable(NoAnswer::CutOff)),
        Answer::Whole { head, body } => (head, *body),
    };
    let status = status(head);
    if is_envoys_own(head) {
        let no_answer = |why| Err(Refusal::Unavailable(why));
        match status {
            // Envoy's own limits on the cluster.
            Some(503) if head.field("x-envoy-overloaded") != Field::Absent => {
                return no_answer(NoAnswer::NotSent);
            }
            Some(status @ (502 | 503)) => {
                return no_answer(NoAnswer::Unreachable { bytes_came: status == 502 });
            }
            Some(504) => return no_answer(NoAnswer::TimedOut),
            Some(_) | None => {}
        }
    }
    let response = Response { status, head, body, date, error_text };
    let claims = endpoint.method.classify(&response)?;
    if let Some(issuer) = &endpoint.issuer {
        // The token chose the provider, which must not vouch for another issuer's.
        match claims.as_ref().and_then(|claims| claims.member("iss")) {
            None | Some(Json::Null) => {}
            Some(Json::String(said)) if **said == **issuer => {}
            Some(
                Json::String(_)
                | Json::Bool(_)
                | Json::Number(_)
                | Json::Array(_)
                | Json::Object(_),
            ) => return Err(Refusal::NotVouched(NotVouched::OtherIssuer)),
        }
    }
    Ok(Permit { claims })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::claims;
    use crate::claims::jsonpath::JsonPath;
    use crate::provider::response::Body;
    use crate::provider::subject::SubjectPath;
    use crate::provider::subject::Success;
    use crate::provider::userinfo::{SignedUserInfo, UserInfo};
    use crate::refusal::Unusable;
    use crate::sim::{START, head};

    const REAL: (&str, &str) = ("x-envoy-upstream-service-time", "3");

    fn userinfo(success: Success) -> Endpoint {
        let method = UserInfo { method: "GET", jwt: SignedUserInfo::Refuse, success };
        crate::sim::endpoint(Rc::new(method))
    }

    fn verdict(success: Success, pairs: &[(&str, &str)], body: &[u8]) -> Result<bool, Refusal> {
        let answer = Answer::Whole { head: head(pairs), body: Body::Read(body) };
        judge(&userinfo(success), &ProviderText::Withheld, &answer, START)
            .map(|permit| permit.claims().is_some())
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
            let result = verdict(Success::Object, &pairs, b"{}");
            match status {
                200 => assert_eq!(result, Ok(true)),
                400..=599 => assert!(matches!(result, Err(Refusal::Provider(_))), "{status}"),
                300..=399 => assert_eq!(no_answer(result), NoAnswer::Redirect, "{status}"),
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
            let result = verdict(Success::Object, &[(":status", status)], b"");
            assert_eq!(no_answer(result), why);
        }
        for answer in [Answer::NotSent, Answer::CutOff] {
            assert!(matches!(
                judge(&userinfo(Success::Any), &ProviderText::Withheld, &answer, START),
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
            (
                ObjectWithSubject,
                json(),
                br#"{"sub":""}"#,
                Err(Refusal::NotVouched(NotVouched::NoSubject)),
            ),
            (
                ObjectWithSubject,
                json(),
                br#"{"sub":1}"#,
                Err(Refusal::NotVouched(NotVouched::NoSubject)),
            ),
            (
                ObjectWithSubject,
                json(),
                br#"{"sub":" a"}"#,
                Err(Refusal::NotVouched(NotVouched::NoSubject)),
            ),
            (
                ObjectWithSubject,
                json(),
                br#"{"sub":"a\u0000"}"#,
                Err(Refusal::NotVouched(NotVouched::NoSubject)),
            ),
            (
                ObjectWithSubject,
                json(),
                br#"{"ok":true}"#,
                Err(Refusal::NotVouched(NotVouched::NoSubject)),
            ),
            (ObjectWithSubject, json(), b"[]", unusable(NotAnObject)),
            (Any, json(), b"[]", Ok(true)),
            (Any, typed("text/html"), b"<html>", Ok(false)),
            (Any, json(), b"", Ok(false)),
            (Any, gzip, b"{}", unusable(Encoded)),
        ];
        for (success, pairs, body, expected) in cases {
            let named = format!("{success:?} {}", String::from_utf8_lossy(body));
            assert_eq!(verdict(success, &pairs, body), expected, "{named}");
        }
        let large = Answer::Whole { head: head(&json()), body: Body::TooLarge };
        let refusal = judge(&userinfo(Any), &ProviderText::Withheld, &large, START).unwrap_err();
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
            let result = verdict(at(path), &json, body.as_bytes());
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
            check(
                "$.id",
                &format!("{{\"id\":{none}}}"),
                Err(Refusal::NotVouched(NotVouched::NoSubject)),
            );
        }
        for body in [r#"{"code":401,"data":null}"#, r#"{"sub":"139"}"#, r#"{"data":{}}"#, "{}"] {
            check("$.data.sub", body, Err(Refusal::NotVouched(NotVouched::NoSubject)));
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
