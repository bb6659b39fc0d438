//! Target: a provider's whole answer → what the upstream or the client gets. Input: a digit that
//! chooses the configuration (8 and 9 mean an answer too large to read), then the answer's headers,
//! `:status` among them, an empty line and the body.

use std::rc::Rc;

use oidc_token_connector::config::{self, Policy, Success};
use oidc_token_connector::enrich::HeaderEdit;
use oidc_token_connector::gate::{Action, Admission, Arrival, Gate, StreamId};
use oidc_token_connector::head::Head;
use oidc_token_connector::time::{Date, Moment, Now};
use oidc_token_connector::userinfo::{Answer, Body};
use serde_json::Value;

use crate::{message, rules};

const RULES: &str = r#"{"FR": {"X-Elsewhere": "$.fr"}, "default": {
    "X-Sub": "$.sub", "X-Email": "email",
    "X-Roles": {"path": "$.roles[*]", "join": ","}, "X-Groups": {"path": "groups", "join": " "},
    "X-All": "$..*", "X-Names": "$..name", "X-First": "$.list[0]", "X-Doc": "$",
    "X-Adults": "$.list[?(@.age >= 18 && @.name != $.sub)].name",
    "X-Match": "$.list[?(@.name =~ /(a|b)*c/i)]['name','age']"}}"#;

const NAMES: [&str; 10] = [
    "x-sub", "x-email", "x-roles", "x-groups", "x-all", "x-names", "x-first", "x-doc", "x-adults",
    "x-match",
];

const VARIANTS: [&str; 4] = [
    r#""error_metadata_location": "ResponseHeaders", "error_header_name": "X-Error""#,
    r#""require_subject": true, "error_metadata_location": "ResponsePayload",
       "error_payload_location": "$..text",
       "userinfo_unavailable": {"status": 503, "retry_after": "2s"}"#,
    r#""accept_any_200": true, "error_metadata_location": "ResponsePayload""#,
    r#""block_authorization_header": false, "enable_error_set": true,
       "error_metadata_location": "ResponsePayload", "error_payload_location": "$.error""#,
];

thread_local! {
    static POLICIES: [Rc<Policy>; 4] = VARIANTS.map(policy);
}

fn policy(variant: &str) -> Rc<Policy> {
    let text = format!(
        r#"{{"userinfo_endpoint": {{"regionCodeHeader": "X-Region",
                "regionCodeValue": {{"FR": "https://fr.example/u"}},
                "defaultURI": "https://idp.example/u"}},
            "inject_headers": {RULES}, "region_header": "X-Idp-Region", {variant}}}"#
    );
    Rc::new(config::read(text.as_bytes()).expect("a good configuration").policy)
}

/// Runs the target.
pub fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let policy = POLICIES.with(|policies| Rc::clone(&policies[usize::from(choice % 4)]));
    let too_large = choice & 8 != 0;
    let (pairs, bytes) = message::split(text.strip_prefix(b"\n").unwrap_or(text));
    let body = if too_large { Body::TooLarge } else { Body::Read(bytes) };

    let mut gate = Gate::default();
    let now = Now { moment: Moment::from_nanos(0), date: Date(0) };
    let mut spoofed: Vec<(&str, &[u8])> = NAMES.map(|name| (name, &b"spoof"[..])).into();
    spoofed.extend([
        ("authorization", &b"Bearer t"[..]),
        ("x-elsewhere", b"spoof"),
        ("x_idp.region", b"spoof"),
    ]);
    let request = message::head(&spoofed);
    let arrival = gate.admit(&policy, StreamId(1), &request, now);
    let Arrival::Admitted(Admission::Lead(call, _)) = arrival else {
        panic!("not held");
    };
    let answer = Answer::Whole { head: Head::new(pairs.clone()), body };
    let release = gate.answered(call, &answer, now).releases.pop().expect("released");
    assert!(gate.answered(call, &answer, now).releases.is_empty(), "released twice");
    match &release.decision.action {
        Action::Forward(edit) => {
            assert_eq!(message::only(&pairs, ":status"), Some(&b"200"[..]));
            assert!(!too_large && !is_encoded(&pairs));
            stripped(edit, choice % 4 != 3);
            set(edit, policy.answer.success, &pairs, bytes);
        }
        Action::Reply(reply) => {
            rules::local_reply(reply);
            let own = [401, 403, 503].contains(&reply.status);
            let theirs = message::only(&pairs, ":status");
            assert!(own || theirs == Some(reply.status.to_string().as_bytes()), "{reply:?}");
        }
    }
}

fn is_encoded(pairs: &[(&[u8], &[u8])]) -> bool {
    let mut codings = pairs.iter().filter(|(name, _)| *name == b"content-encoding");
    codings.any(|(_, v)| !v.is_empty() && !v.eq_ignore_ascii_case(b"identity"))
}

/// Everything goes that only the filter may say, in any spelling.
fn stripped(edit: &HeaderEdit, blocks_authorization: bool) {
    let removes = |name: &str| edit.remove.iter().any(|removed| removed == name.as_bytes());
    assert!(NAMES.into_iter().all(removes) && removes("x-elsewhere") && removes("x_idp.region"));
    assert_eq!(removes("authorization"), blocks_authorization);
}

fn set(edit: &HeaderEdit, success: Success, pairs: &[(&[u8], &[u8])], body: &[u8]) {
    let value = |name: &str| edit.set.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    for (index, (name, text)) in edit.set.iter().enumerate() {
        assert!(NAMES.contains(&name.as_str()) || name == "x-idp-region", "{name} is set");
        assert!(edit.set[..index].iter().all(|(other, _)| other != name), "{name} twice");
        rules::header_value(name, text);
    }
    assert_eq!(value("x-idp-region"), Some("default"));

    let types: Vec<_> = pairs.iter().filter(|(name, _)| *name == b"content-type").collect();
    let may_be_json = types.len() <= 1;
    let document = serde_json::from_slice::<Value>(body);
    match success {
        Success::Any => {}
        Success::Object | Success::ObjectWithSubject => {
            assert!(may_be_json, "two content types were read as JSON");
            // Numbers beyond a float's range are numbers all the same.
            match &document {
                Ok(document) => assert!(document.is_object(), "{document:?}"),
                Err(error) => assert!(error.to_string().contains("out of range"), "{error}"),
            }
        }
    }
    let Ok(Value::Object(members)) = document else { return };
    let member = |name: &str| members.get(name);
    if success == Success::ObjectWithSubject {
        assert!(matches!(member("sub"), Some(Value::String(sub)) if !sub.is_empty()));
    }
    if edit.set.len() == 1 {
        return; // where any 200 will do, the body need not have been read
    }
    for (header, name) in [("x-sub", "sub"), ("x-email", "email")] {
        match member(name) {
            None | Some(Value::Null) => assert_eq!(value(header), None),
            Some(Value::String(text)) => assert!(value(header).is_none_or(|set| set == text)),
            Some(Value::Bool(truth)) => assert_eq!(value(header), Some(&*truth.to_string())),
            Some(Value::Number(_)) => {
                // As written, so it stands in the body to the letter.
                let literal = |v: &str| body.windows(v.len()).any(|at| at == v.as_bytes());
                assert!(value(header).is_none_or(literal));
            }
            Some(Value::Array(_)) => assert!(value(header).is_none_or(|v| v.starts_with('['))),
            Some(Value::Object(_)) => assert!(value(header).is_none_or(|v| v.starts_with('{'))),
        }
    }
    // As many elements as were joined: none became two.
    if let (Some(joined), Some(Value::Array(roles))) = (value("x-roles"), member("roles")) {
        assert_eq!(joined.split(',').count(), roles.len());
    }
    if let (Some(joined), Some(Value::Array(groups))) = (value("x-groups"), member("groups")) {
        assert_eq!(joined.split(' ').count(), groups.len());
    }
}
