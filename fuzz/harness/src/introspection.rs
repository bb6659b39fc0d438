//! Target: an introspection response → whether the token is vouched for. Input: the response's body.
//!
//! Whatever the body is, only a JSON object with `"active": true` that says nothing against the token may
//! pass; and the token is refused, or the response unusable, otherwise. It is read a second time here by
//! another reader of JSON.

use std::rc::Rc;

use oidc_token_connector::filter::{CallId, Event, Gate, Seed, StreamId};
use oidc_token_connector::outcome::Outcome;
use oidc_token_connector::policy::{self, Policy};
use oidc_token_connector::provider::response::{Answer, Body};
use oidc_token_connector::request::headers::HeaderView;
use oidc_token_connector::time::{MonotonicTime, Now, UnixTime};
use serde_json::Value;

use crate::drive::{self, Admission};

const DATE: u64 = 1_790_000_000;

thread_local! {
    static POLICY: Rc<Policy> = Rc::new(
        policy::read(
            br#"{"introspection_endpoint": {"defaultURI": "https://idp.example/i"},
                 "introspection_client": {"client_id": "gateway", "client_secret": "s"},
                 "inject_headers": {"X-User": "$.sub"}}"#,
        )
        .expect("a good configuration")
        .policy
    );
}

/// Runs the target.
pub fn check(data: &[u8]) {
    let _ = passes(data);
}

/// Whether a token passes by this response.
pub fn passes(data: &[u8]) -> bool {
    let policy = POLICY.with(Rc::clone);
    let now = |seconds| Now {
        moment: MonotonicTime::from_nanos(seconds * 1_000_000_000),
        date: UnixTime(DATE + seconds),
    };
    let mut gate = Gate::new(Seed::new([1; 16]));
    gate.configured(&policy);
    let headers = HeaderView::new(vec![(b"authorization", b"Bearer t")]);
    let admission = drive::arrives(&mut gate, StreamId(1), &policy, &headers, now(0));
    let Admission::Call(call, _) = admission else { panic!("nobody is asked") };
    let outcome = answered(&mut gate, call, data, now(1));
    let expected = expected(data);
    match outcome {
        Outcome::Pass => assert_eq!(expected, Some(true), "passes"),
        Outcome::InvalidToken => assert_ne!(expected, Some(true), "refused"),
        Outcome::Unusable => assert_eq!(expected, None, "unusable"),
        other => panic!("{other:?}"),
    }
    outcome == Outcome::Pass
}

fn answered(gate: &mut Gate, call: CallId, body: &[u8], now: Now) -> Outcome {
    let head = HeaderView::new(vec![
        (b":status", b"200"),
        (b"content-type", b"application/json"),
        (b"x-envoy-upstream-service-time", b"1"),
    ]);
    let answer = &Answer::Whole { head, body: Body::Read(body) };
    let done = drive::handle(gate, Event::CallEnded { call, answer }, now, |_| None);
    let [release] = &done.releases[..] else { panic!("one request waits") };
    release.decision.record.outcome
}

/// Whether such a response vouches: `None` where it has no boolean `active`, or is no document that every
/// reader takes for the same; `Some(false)` where it may be refused.
fn expected(body: &[u8]) -> Option<bool> {
    let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(body) else { return None };
    if repeats(body) {
        return None;
    }
    let said = |name: &str| members.get(name).filter(|value| !value.is_null());
    match members.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Some(false),
        _ => return None,
    }
    let bearer = said("token_type")
        .is_none_or(|kind| kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")));
    let texts = ["typ", "token_use"].iter().all(|name| said(name).is_none_or(Value::is_string));
    let other = ["typ", "token_use"].iter().any(|name| {
        let kind = said(name).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).collect();
        let whole =
            ["id", "idtoken", "idjwt", "serializedid", "rt", "rtjwt", "code", "authorizationcode"];
        let begins = ["refresh", "offline", "logout"];
        whole.contains(&&*kind) || begins.iter().any(|begin| kind.starts_with(begin))
    });
    let date = |name: &str| {
        said(name).map(|value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        })
    };
    let now = (DATE + 1) as f64;
    let over = date("exp").is_some_and(|exp| {
        exp.is_none_or(|exp| exp.is_nan() || exp.floor() <= now || exp >= 1.8e19)
    });
    let early = date("nbf")
        .is_some_and(|nbf| nbf.is_none_or(|nbf| nbf.is_nan() || nbf.floor() > now + 60.0));
    Some(bearer && texts && !other && said("cnf").is_none() && !over && !early)
}

/// Whether the strict reader refuses it although the other one does not: a name that repeats, a byte order
/// mark, a depth beyond the limit.
fn repeats(body: &[u8]) -> bool {
    oidc_token_connector::claims::json::parse(body).is_err()
}
