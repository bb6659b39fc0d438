//! Requests that are decided before any token is looked at, and what a token chooses before it is asked
//! about.

use super::*;
use crate::outcome::Reason;
use crate::sim::jwt;

const RESOURCE: &str = r#""protected_resource": {"resource": "https://api.example/mcp",
                          "authorization_servers": ["https://idp.example"]}"#;

#[test]
fn metadata_is_answered_without_a_token() {
    let mut world = World::new(RESOURCE);
    let path = (":path", "/.well-known/oauth-protected-resource/mcp");
    for token in [None, Some(("authorization", "Bearer t"))] {
        let mut headers = vec![(":method", "GET"), (":authority", "api.example"), path];
        headers.extend(token);
        let decision = world.decided(&headers);
        assert_eq!(decision.record.outcome, Outcome::Metadata);
        assert_eq!(decision.replied().status, 200);
    }
}

#[test]
fn only_a_request_without_any_credentials_is_anonymous() {
    let mut world = World::new(r#""credentials": "optional", "anonymous_header": "X-Anonymous""#);
    let decision = world.decided(&[("x-anonymous", "forged"), ("x_anonymous", "forged")]);
    assert_eq!(decision.record.outcome, Outcome::Anonymous);
    let Action::Forward(edit) = &decision.action else { panic!("{decision:?}") };
    assert_eq!(edit.set().collect::<Vec<_>>(), [("x-anonymous", "true")]);
    assert_eq!(edit.remove.len(), 2);
    for credentials in ["", " ", "Bearer", "Basic x", "Bearer a b"] {
        let decision = world.decided(&[("authorization", credentials)]);
        assert_eq!(decision.replied().status, 401, "{credentials:?}");
    }
    // With a user, the header is absent, and the client's own copy is removed.
    let decision = world.asked(&[("x-anonymous", "true")], "200", &JSON, br#"{"sub":"a"}"#);
    let Action::Forward(edit) = &decision.action else { panic!("{decision:?}") };
    assert_eq!((edit.set().count(), edit.remove.len()), (0, 2));
}

/// Nobody has looked at its credentials, so the backend does not get them either.
#[test]
fn a_preflight_passes_without_its_credentials() {
    let mut world = World::new(r#""preflight": "pass", "block_authorization_header": false"#);
    let preflight = [
        (":method", "OPTIONS"),
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
    ];
    let forged = [("authorization", "Bearer forged"), ("authorization", "Basic eDp5")];
    let decision = world.decided(&[&preflight[..], &forged].concat());
    assert_eq!(decision.record.outcome, Outcome::Preflight);
    assert_eq!(decision.forwarded().remove, [b"authorization"]);
    // What a provider vouches for is forwarded, as configured.
    let passed = world.asked(&[], "200", &JSON, br#"{"sub":"a"}"#);
    assert!(passed.forwarded().remove.is_empty());
}

/// The token chose the provider, which must not vouch for another issuer's user.
#[test]
fn response_names_the_issuer_that_chose_the_provider_or_none() {
    for (body, reason) in [
        (r#"{"sub":"a"}"#, None),
        (r#"{"sub":"a","iss":"https://a"}"#, None),
        (r#"{"sub":"a","iss":"https://b"}"#, Some(Reason::OtherIssuer)),
        (r#"{"sub":"a","iss":7}"#, Some(Reason::OtherIssuer)),
    ] {
        let mut world = World::of(
            r#"{"userinfo_endpoint": {"issuers": {
                "https://a": {"name": "a", "uri": "https://a.example/u"}}}}"#,
        );
        let token = jwt(r#"{"iss":"https://a"}"#);
        let (_, call, _) = world.held(&[("authorization", &token)]);
        let decision = only(world.answer(call, "200", &JSON, body.as_bytes()));
        assert_eq!(decision.record.reason, reason, "{body}");
    }
}

#[test]
fn filter_state_may_be_read_from_the_token() {
    let mut world = World::new(r#""filter_state": {"tenant": {"path": "$.t", "of": "token"}}"#);
    let token = jwt(r#"{"t":"acme"}"#);
    let (_, call, _) = world.held(&[("authorization", &token)]);
    let decision = only(world.answer(call, "200", &JSON, br#"{"sub":"a","t":"other"}"#));
    let Action::Forward(edit) = &decision.action else { panic!("{decision:?}") };
    assert_eq!(edit.state().collect::<Vec<_>>(), [("tenant", "acme")]);
}

#[track_caller]
fn only(releases: Vec<Release>) -> Decision {
    let [release] = <[Release; 1]>::try_from(releases).expect("one request waits");
    release.decision
}
