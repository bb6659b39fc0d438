//! Target: the provider's `WWW-Authenticate` → ours. Input: one byte that chooses the provider's
//! status, then its header's values, one per line; after an empty line its JSON body.

use std::rc::Rc;

use oidc_token_connector::config::{self, Policy};
use oidc_token_connector::gate::{Admission, Arrival, Gate, StreamId};
use oidc_token_connector::head::Head;
use oidc_token_connector::time::{Date, Moment, Now};
use oidc_token_connector::userinfo::{Answer, Body};

use crate::{message, rules};

thread_local! {
    static POLICY: Rc<Policy> = Rc::new(
        config::read(br#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"},
                          "error_metadata_location": "ResponseHeaders",
                          "error_header_name": "WWW-Authenticate"}"#)
            .expect("a good configuration")
            .policy,
    );
}

/// Runs the target.
pub fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let status = [401_u16, 403, 400, 429, 500][usize::from(choice % 5)];
    let at = text.windows(2).position(|two| two == b"\n\n");
    let (lines, body) = at.map_or((text, &b""[..]), |at| (&text[..at], &text[at + 2..]));

    let mut gate = Gate::default();
    let policy = POLICY.with(Rc::clone);
    let now = Now { moment: Moment::from_nanos(0), date: Date(0) };
    let request = message::head(&[("authorization", b"Bearer t")]);
    let arrival = gate.admit(&policy, StreamId(1), &request, now);
    let Arrival::Admitted(Admission::Lead(call, _)) = arrival else {
        panic!("not held");
    };
    let digits = status.to_string();
    let mut pairs: Vec<(&[u8], &[u8])> = vec![
        (b":status", digits.as_bytes()),
        (b"content-type", b"application/json"),
        (b"x-envoy-upstream-service-time", b"1"),
    ];
    pairs.extend(lines.split(|b| *b == b'\n').map(|value| (&b"www-authenticate"[..], value)));
    let answer = Answer::Whole { head: Head::new(pairs), body: Body::Read(body) };
    let release = gate.answered(call, &answer, now).releases.pop().expect("released");
    let reply = rules::replied(&release.decision);

    assert_eq!(reply.status, status);
    let ours = reply.headers.iter().find(|(name, _)| *name == "www-authenticate");
    match status {
        401 | 403 => {
            let (_, value) = ours.expect("a refused token is challenged");
            assert!(value.contains(", error=\""), "{value:?}");
        }
        400 => assert!(ours.is_none_or(|(_, value)| value.contains(", error=\""))),
        _ => assert_eq!(ours, None, "the token is not at fault"),
    }
}
