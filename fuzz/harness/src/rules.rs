//! The promises about everything that leaves the filter, written down independently of the core.

use oidc_token_connector::filter::{Action, Decision};
use oidc_token_connector::reply::LocalReply;

/// Longest header value that a claim may become, in bytes.
const MAX_VALUE: usize = 4096;
/// Longest body of a reply, in bytes: the provider's text, which is larger than our own.
const MAX_BODY: usize = 8192;

/// A value that a header of a request may carry.
#[track_caller]
pub fn header_value(name: &str, value: &str) {
    assert!(!value.is_empty(), "{name}: empty");
    assert!(value.len() <= MAX_VALUE, "{name}: {} bytes", value.len());
    assert!(!value.chars().any(char::is_control), "{name}: control character in {value:?}");
    assert_eq!(value.trim(), value, "{name}: outer blank");
}

/// A reply that cannot be taken for a success, split, or read as more than it says.
#[track_caller]
pub fn local_reply(reply: &LocalReply) {
    assert!((400..=599).contains(&reply.status), "status {}", reply.status);
    for (index, (name, value)) in reply.headers.iter().enumerate() {
        let token = |b: u8| b.is_ascii_lowercase() || b == b'-';
        assert!(!name.is_empty() && name.bytes().all(token), "header name {name:?}");
        assert!(value.bytes().all(|b| matches!(b, 0x20..=0x7E)), "{name}: {value:?}");
        assert!(reply.headers[..index].iter().all(|(n, _)| n != name), "{name} twice");
    }
    let header = |name: &str| reply.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v);
    assert_eq!(header("cache-control").map(String::as_str), Some("no-store"));
    assert_eq!(reply.status == 401, header("www-authenticate").is_some() && reply.status == 401);
    if let Some(value) = header("www-authenticate") {
        challenge(value);
    }
    assert!(reply.body.len() <= MAX_BODY, "{} bytes of body", reply.body.len());
    let control = |c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t');
    assert!(!reply.body.chars().any(control), "control character in the body");
    let detail = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_{}:".contains(&b);
    assert!(reply.details.bytes().all(detail), "details {:?}", reply.details);
}

/// `Bearer realm="api"`, then at most one each of `error`, `error_description` and `scope`, in the
/// characters of RFC 6750 §3, and where a better login is wanted what RFC 9470 §3 adds.
#[track_caller]
pub fn challenge(value: &str) {
    let mut rest = value.strip_prefix("Bearer realm=\"api\"").expect("scheme and realm first");
    let mut login = false;
    for name in ["error", "error_description", "scope", "acr_values", "max_age"] {
        let Some(after) = rest.strip_prefix(&format!(", {name}=\"")) else { continue };
        let (text, after) = after.split_once('"').expect("closed");
        assert!((1..=256).contains(&text.len()), "{name}: {} bytes", text.len());
        assert!(text.bytes().all(|b| matches!(b, 0x20..=0x5B | 0x5D..=0x7E)), "{value:?}");
        match name {
            "error" => {
                login = text == "insufficient_user_authentication";
                let codes = ["invalid_request", "invalid_token", "insufficient_scope"];
                assert!(login || codes.contains(&text), "{value:?}");
            }
            "acr_values" => assert!(login, "{value:?}"),
            "max_age" => {
                assert!(login && text.bytes().all(|b| b.is_ascii_digit()), "{value:?}");
            }
            _ => {}
        }
        rest = after;
    }
    assert_eq!(rest, "", "after the challenge {value:?}");
}

/// The reply of a refused request.
#[track_caller]
pub fn replied(decision: &Decision) -> &LocalReply {
    match &decision.action {
        Action::Reply(reply) => {
            local_reply(reply);
            reply
        }
        Action::Forward(edit) => panic!("forwarded: {edit:?}"),
    }
}
