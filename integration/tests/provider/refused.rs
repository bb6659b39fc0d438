//! Tokens that this provider does not validate, or no longer: the status and the challenge for
//! each, and that nothing of its request reached the upstream.

use integration::{Gateway, Response};
use serde_json::{Value, json};

use crate::base::{pairs, upstream_saw};
use crate::{ALL, IDENTITY, ask, came, rig, until};
use integration::login::{Login, revoke, userinfo};

const INVALID_TOKEN: &str =
    r#"Bearer realm="api", error="invalid_token", error_description="invalid token provided""#;

/// A refusal with the provider's texts, at this path.
async fn assert_refused(gw: &Gateway, path: &str, token: &str, details: &str) -> Response {
    let (r, line) = ask(gw, path, token).await;
    assert_eq!(line["details"], format!("oidc_token_connector{{{details}}}"), "{r:?} {line}");
    assert_eq!(r.header("cache-control").as_deref(), Some("no-store"), "{r:?}");
    assert_eq!(came(gw, path).len(), 0, "{path} went through");
    r
}

/// The refusal of a token that is not, or no longer, good.
async fn assert_invalid_token(gw: &Gateway, path: &str, token: &str) {
    let r = assert_refused(gw, path, token, "invalid_token:provider_4xx").await;
    assert_says_invalid_token(&r);
}

#[track_caller]
fn assert_says_invalid_token(r: &Response) {
    assert_eq!(r.status, 401, "{r:?}");
    assert_eq!(r.header("www-authenticate").as_deref(), Some(INVALID_TOKEN), "{r:?}");
    assert_eq!(r.json()["error"], "invalid_token", "{r:?}");
}

async fn good(path: &str, name: &str) -> (Gateway, String) {
    let rig = rig().await;
    let gw = rig.gateway(name);
    let token = Login::of("alice", ALL).tokens(rig.provider()).await.access;
    assert_passes(&gw, path, &token, "asked").await;
    (gw, token)
}

async fn assert_passes(gw: &Gateway, path: &str, token: &str, source: &str) {
    let (r, line) = ask(gw, path, token).await;
    assert_eq!(r.status, 200, "{r:?} {line}");
    assert_eq!(line["outcome"], format!("pass;{source};default"), "{line}");
}

#[tokio::test]
async fn expired_token_is_refused() {
    let rig = rig().await;
    let (gw, provider) = (rig.gateway("asks"), rig.provider());
    let hasty = Login { client: "hasty", ..Login::of("alice", ALL) };
    let token = hasty.tokens(provider).await.access;
    assert_passes(&gw, "/expired/before", &token, "asked").await;
    until(401, || userinfo(provider, &token)).await;
    assert_invalid_token(&gw, "/expired/after", &token).await;
}

#[tokio::test]
async fn revoked_token_is_refused_at_once_without_cache() {
    let (gw, token) = good("/revoked/before", "asks").await;
    revoke(rig().await.provider(), &token).await;
    assert_invalid_token(&gw, "/revoked/after", &token).await;
}

#[tokio::test]
async fn revoked_token_is_refused_after_ttl() {
    let provider = rig().await.provider();
    let (gw, token) = good("/remembered/before", "remembers").await;
    revoke(provider, &token).await;
    assert_eq!(userinfo(provider, &token).await.status, 401);
    // The price of a cache.
    assert_passes(&gw, "/remembered/after", &token, "hit").await;

    let (gw, token) = good("/briefly/before", "remembers_briefly").await;
    revoke(provider, &token).await;
    let refused = until(401, || gw.get("/briefly/meanwhile").bearer(&token).send()).await;
    assert_says_invalid_token(&refused);
    // And from then on, by a call or by a cached refusal.
    assert_says_invalid_token(&gw.get("/briefly/after").bearer(&token).send().await);
    assert_eq!(came(&gw, "/briefly/after").len(), 0);
}

#[tokio::test]
async fn token_without_scope_openid_is_refused() {
    let rig = rig().await;
    let gw = rig.gateway("asks");
    let token = Login::of("alice", "email").tokens(rig.provider()).await.access;
    let r = assert_refused(&gw, "/no-openid", &token, "forbidden:provider_4xx").await;
    assert_eq!(r.status, 403, "{r:?}");
    let challenge = concat!(
        r#"Bearer realm="api", error="insufficient_scope", "#,
        r#"error_description="access token missing openid scope", scope="openid""#
    );
    assert_eq!(r.header("www-authenticate").as_deref(), Some(challenge), "{r:?}");
    assert_eq!(r.json()["error"], "insufficient_scope", "{r:?}");
}

#[tokio::test]
async fn foreign_token_is_refused() {
    let rig = rig().await;
    let gw = rig.gateway("asks");
    let tokens = Login::of("alice", ALL).tokens(rig.provider()).await;
    let id_token = tokens.id.expect("`openid` was asked for");
    assert_eq!(id_token.split('.').count(), 3, "not a JWT: {id_token}");
    let mut mistyped = tokens.access.clone();
    let last = mistyped.pop().expect("a token");
    mistyped.push(if last == 'A' { 'B' } else { 'A' });
    assert_invalid_token(&gw, "/id-token", &id_token).await;
    assert_invalid_token(&gw, "/mistyped", &mistyped).await;
    assert_invalid_token(&gw, "/unknown", "x").await;
    // The token that it was made from is valid.
    assert_passes(&gw, "/not-mistyped", &tokens.access, "asked").await;
}

/// A provider's access token for an API of its own is no token for its UserInfo endpoint.
#[tokio::test]
async fn token_for_an_api_is_refused() {
    let rig = rig().await;
    let gw = rig.gateway("asks");
    let for_api = Login {
        resource: Some("https://api.example"),
        ..Login::of("alice", "openid email orders")
    };
    let token = for_api.tokens(rig.provider()).await.access;
    assert_eq!(token.split('.').count(), 3, "not a JWT: {token}");
    assert_invalid_token(&gw, "/audience", &token).await;
}

/// A client that is registered for signed UserInfo answers: a JWT is not a JSON object with the
/// claims, unless the route says that it is to be read.
#[tokio::test]
async fn signed_answer_is_unusable_where_it_is_not_read() {
    let rig = rig().await;
    let signed = Login { client: "signed", ..Login::of("alice", ALL) };
    let token = signed.tokens(rig.provider()).await.access;
    let own = userinfo(rig.provider(), &token).await;
    let content_type = own.header("content-type").unwrap_or_default();
    assert!(own.status == 200 && content_type.starts_with("application/jwt"), "{own:?}");
    for name in ["asks", "refuses_jwt"] {
        let path = format!("/signed/{name}");
        let r = assert_refused(&rig.gateway(name), &path, &token, "unusable:jwt").await;
        // Trying again does not help.
        assert_eq!((r.status, r.header("retry-after")), (502, None), "{r:?}");
        let said: Value = r.json();
        assert_eq!(said["error"], json!("TargetEndpointError"), "{r:?}");
    }

    let gw = rig.gateway("reads_jwt");
    let (r, line) = ask(&gw, "/signed/read", &token).await;
    assert_eq!(r.status, 200, "{r:?} {line}");
    let expected = pairs(&[
        ("x-user-id", "alice"),
        ("x-user-name", "Alice Zoë Åström"),
        ("x-user-email", "alice@example.com"),
        ("x-user-verified", "true"),
        ("x-user-groups", "buyers,staff"),
        ("x-account", "4711"),
    ]);
    assert_eq!(upstream_saw(&r, &IDENTITY), expected);
}

/// Where signed answers are read, those that are not signed are read as everywhere, and the
/// provider's refusal is one.
#[tokio::test]
async fn plain_answers_are_read_where_signed_ones_are() {
    let rig = rig().await;
    let gw = rig.gateway("reads_jwt");
    let token = Login::of("alice", ALL).tokens(rig.provider()).await.access;
    assert_passes(&gw, "/plain/good", &token, "asked").await;
    revoke(rig.provider(), &token).await;
    assert_invalid_token(&gw, "/plain/revoked", &token).await;
}
