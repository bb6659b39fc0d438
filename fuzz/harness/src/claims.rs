//! Target: a provider's whole answer → what the upstream or the client gets. Input: a digit that
//! chooses the configuration (8 and 9 mean an answer too large to read), then the answer's headers,
//! `:status` among them, an empty line and the body.

use std::rc::Rc;

use oidc_token_connector::filter::header_edit::HeaderEdit;
use oidc_token_connector::filter::{Action, CallId, Event, Gate, Release, Seed, StreamId};
use oidc_token_connector::policy::{self, Policy};
use oidc_token_connector::provider::response::{Answer, Body};
use oidc_token_connector::request::headers::HeaderView;
use oidc_token_connector::time::{MonotonicTime, Now, UnixTime};

use crate::claimed::{claimed, is_carried, may_be_given_up};
use crate::document::Document;
use crate::drive::{self, Admission};
use crate::{message, rules};

const RULES: &str = r#"{"FR": {"X-Elsewhere": "$.fr"}, "default": {
    "X-Sub": "$.sub", "X-Email": "email",
    "X-Roles": {"path": "$.roles[*]", "join": ","}, "X-Groups": {"path": "groups", "join": " "},
    "X-Units": {"path": "$.units", "join": " || "},
    "X-All": "$..*", "X-Names": "$..name", "X-First": "$.list[0]", "X-Doc": "$",
    "X-Adults": "$.list[?(@.age >= 18 && @.name != $.sub)].name",
    "X-Match": "$.list[?(@.name =~ /(a|b)*c/i)]['name','age']"}}"#;

const NAMES: [&str; 11] = [
    "x-sub", "x-email", "x-roles", "x-groups", "x-units", "x-all", "x-names", "x-first", "x-doc",
    "x-adults", "x-match",
];

const VARIANTS: [&str; 5] = [
    r#""error_metadata_location": "ResponseHeaders", "error_header_name": "X-Error""#,
    r#""require_subject": true, "error_metadata_location": "ResponsePayload",
       "error_payload_location": "$..text",
       "userinfo_unavailable": {"status": 503, "retry_after": "2s"}"#,
    r#""accept_any_200": true, "error_metadata_location": "ResponsePayload""#,
    r#""block_authorization_header": false, "enable_error_set": true,
       "error_metadata_location": "ResponsePayload", "error_payload_location": "$.error""#,
    r#""require_subject": "$.data.id", "userinfo_unavailable": {"status": 503}"#,
];

thread_local! {
    static POLICIES: [Rc<Policy>; 5] = VARIANTS.map(policy);
}

fn policy(variant: &str) -> Rc<Policy> {
    let text = format!(
        r#"{{"userinfo_endpoint": {{"regionCodeHeader": "X-Region",
                "regionCodeValue": {{"FR": "https://fr.example/u"}},
                "defaultURI": "https://idp.example/u"}},
            "inject_headers": {RULES}, "region_header": "X-Idp-Region", {variant}}}"#
    );
    Rc::new(policy::read(text.as_bytes()).expect("a good configuration").policy)
}

/// Runs the target.
pub fn check(data: &[u8]) {
    let Some((choice, too_large, pairs, bytes)) = input(data) else { return };
    let policy = POLICIES.with(|policies| Rc::clone(&policies[choice]));
    let body = if too_large { Body::TooLarge } else { Body::Read(bytes) };

    let mut gate = Gate::new(Seed::new([1; 16]));
    let now = Now { moment: MonotonicTime::from_nanos(0), date: UnixTime(0) };
    let mut spoofed: Vec<(&str, &[u8])> = NAMES.map(|name| (name, &b"spoof"[..])).into();
    spoofed.extend([
        ("authorization", &b"Bearer t"[..]),
        ("x-elsewhere", b"spoof"),
        ("x_idp.region", b"spoof"),
    ]);
    let request = message::head(&spoofed);
    let admission = drive::arrives(&mut gate, StreamId(1), &policy, &request, now);
    let Admission::Call(call, _) = admission else {
        panic!("not held");
    };
    let answer = Answer::Whole { head: HeaderView::new(pairs.clone()), body };
    let release = released(&mut gate, call, &answer, now);
    let claims = claims(&pairs, bytes);
    let is_valid = valid(choice, too_large, &pairs, claims.as_ref());
    match &release.decision.action {
        Action::Forward(edit) => {
            assert!(is_valid, "forwarded: {edit:?}");
            stripped(edit, choice != 3);
            set(edit, claims.as_ref());
        }
        Action::Reply(reply) => {
            assert!(!is_valid, "a clean answer was refused: {reply:?}");
            rules::local_reply(reply);
            let is_read = !too_large && !is_encoded(&pairs);
            let own = match (message::only(&pairs, ":status"), &claims) {
                // An object without a subject is a refusal.
                (Some(b"200"), Some(Document::Members(_))) if is_read => 401,
                // No time makes it better.
                (Some(b"200"), _) => [401, 502, 401, 403, 502][choice],
                _ => [401, 503, 401, 403, 503][choice],
            };
            assert_eq!(reply.status, theirs(&pairs).unwrap_or(own), "{reply:?}");
        }
    }
}

/// Every call gets this answer, also a repeated one: the one request is
/// released, once.
fn released(gate: &mut Gate, call: CallId, answer: &Answer<'_>, mut now: Now) -> Release {
    let mut calls = vec![call];
    loop {
        let call = calls[calls.len() - 1];
        let mut ended = || drive::handle(gate, Event::CallEnded { call, answer }, now, |_| None);
        let mut releases = ended().releases;
        assert!(ended().releases.is_empty(), "released twice");
        if let Some(release) = releases.pop() {
            return release;
        }
        now.moment = gate.next_due().expect("asked again");
        let again = drive::handle(gate, Event::Tick, now, |_| None);
        calls.extend(again.calls.into_iter().map(|(call, _)| call));
        assert!(again.releases.is_empty() && calls.len() <= 3, "{} calls", calls.len());
    }
}

/// Whether the request is forwarded with a claim; nothing can be said where it goes without any.
pub fn accepts(data: &[u8]) -> Option<bool> {
    let (choice, too_large, pairs, bytes) = input(data)?;
    let claims = claims(&pairs, bytes);
    if !valid(choice, too_large, &pairs, claims.as_ref()) {
        return Some(false);
    }
    let claims = claims?;
    NAMES.iter().any(|name| claimed(name, &claims).is_some()).then_some(true)
}

/// A message's header fields.
type Pairs<'b> = Vec<(&'b [u8], &'b [u8])>;

/// The variant of the configuration, whether the body is too large, the headers and the body.
fn input(data: &[u8]) -> Option<(usize, bool, Pairs<'_>, &[u8])> {
    let (choice, text) = data.split_first()?;
    let (pairs, body) = message::split(text.strip_prefix(b"\n").unwrap_or(text));
    let variant = [0, 1, 2, 3, 4, 1, 2, 3][usize::from(choice % 8)];
    Some((variant, choice & 8 != 0, pairs, body))
}

/// The document, if that is what the answer says it is.
fn claims(pairs: &[(&[u8], &[u8])], body: &[u8]) -> Option<Document> {
    is_json(pairs).then(|| Document::read(body))?
}

/// Whether the answer validates the token.
fn valid(
    variant: usize,
    too_large: bool,
    pairs: &[(&[u8], &[u8])],
    claims: Option<&Document>,
) -> bool {
    let subject = claims.and_then(|claims| claims.member("sub")?.text());
    let says_enough = match variant {
        1 => subject.is_some_and(is_carried),
        2 => true,
        4 => {
            let id = claims.and_then(|claims| claims.member("data")?.member("id"));
            match id {
                Some(Document::Text(text)) => is_carried(text),
                Some(Document::Number(number)) => {
                    is_carried(number) && !number.contains(['.', 'e', 'E'])
                }
                _ => false,
            }
        }
        _ => matches!(claims, Some(Document::Members(_))),
    };
    let is_200 = message::only(pairs, ":status") == Some(b"200");
    is_200 && !too_large && !is_encoded(pairs) && says_enough
}

/// The status of an error of the provider's own; Envoy's lack the header that it adds to others.
fn theirs(pairs: &[(&[u8], &[u8])]) -> Option<u16> {
    let made_by_envoy = !pairs.iter().any(|(name, _)| *name == b"x-envoy-upstream-service-time");
    let text = std::str::from_utf8(message::only(pairs, ":status")?).ok()?;
    let status = (400..=599).find(|status| status.to_string() == text)?;
    (!(made_by_envoy && (502..=504).contains(&status))).then_some(status)
}

/// One content type that says JSON, or none at all.
fn is_json(pairs: &[(&[u8], &[u8])]) -> bool {
    let mut types = pairs.iter().filter(|(name, _)| *name == b"content-type");
    let (first, second) = (types.next(), types.next());
    let Some((_, value)) = first else { return true };
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let essence = text.split_once(';').map_or(&*text, |(essence, _)| essence);
    let essence = essence.trim_matches(|c: char| c.is_ascii_whitespace());
    let suffixed = essence.strip_suffix("+json").and_then(|rest| rest.split_once('/'));
    second.is_none()
        && (essence == "application/json"
            || suffixed.is_some_and(|(kind, sub)| !kind.contains(',') && !sub.contains([',', '/'])))
}

fn is_encoded(pairs: &[(&[u8], &[u8])]) -> bool {
    let mut codings = pairs.iter().filter(|(name, _)| *name == b"content-encoding");
    codings.any(|(_, v)| !v.is_empty() && !v.eq_ignore_ascii_case(b"identity"))
}

/// Everything goes that only the filter may say, in any spelling.
fn stripped(edit: &HeaderEdit, blocks_authorization: bool) {
    let removes = |name: &str| edit.remove.iter().any(|removed| **removed == *name.as_bytes());
    assert!(NAMES.into_iter().all(removes) && removes("x-elsewhere") && removes("x_idp.region"));
    assert_eq!(removes("authorization"), blocks_authorization);
}

/// Every header has the one value that its rule makes of the document, to the letter, or is absent.
fn set(edit: &HeaderEdit, claims: Option<&Document>) {
    let set: Vec<(&str, &str)> = edit.set().collect();
    let value = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    for (index, (name, text)) in set.iter().enumerate() {
        assert!(NAMES.contains(name) || *name == "x-idp-region", "{name} is set");
        assert!(set[..index].iter().all(|(other, _)| other != name), "{name} twice");
        rules::header_value(name, text);
    }
    assert_eq!(value("x-idp-region"), Some("default"));
    for name in NAMES {
        let expected = claims.and_then(|claims| claimed(name, claims));
        let given_up =
            value(name).is_none() && claims.is_some_and(|claims| may_be_given_up(name, claims));
        assert!(given_up || value(name) == expected.as_deref(), "{name}: {edit:?}, {expected:?}");
    }
}
