//! A second provider that shares nothing with the first: PyPI's `django-oauth-toolkit`. Its UserInfo
//! endpoint breaks on tokens of machines.

use std::net::SocketAddr;

use integration::{DjangoProvider, Gateway, Listener, Request, Response, Running, Setup};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::base::{merged, pairs, upstream_saw};
use crate::login::encoded;
use crate::{ask, came};

/// Every header that the filter injects here.
const IDENTITY: [&str; 2] = ["x-user-id", "x-user-name"];
const ORDERS: &str = "https://orders.example";
/// Seeded: all tokens of this provider live equally long.
const EXPIRED: &str = "expired-token-of-alice";

struct Rig {
    provider: DjangoProvider,
    running: Running,
}

static RIG: OnceCell<Rig> = OnceCell::const_new();

/// One provider, and one Envoy with a listener for each configuration.
async fn rig() -> &'static Rig {
    RIG.get_or_init(|| async {
        let provider = DjangoProvider::start().await;
        let userinfo = |name, more| listener(name, merged(by_userinfo(), more), &provider);
        let running = Setup::new()
            .listener(userinfo("userinfo", json!({"require_subject": true})))
            .start()
            .await;
        Rig { provider, running }
    })
    .await
}

fn by_userinfo() -> Value {
    json!({
        "userinfo_endpoint": {"defaultURI": "https://dot.example/o/userinfo/"},
        "inject_headers": {"X-User-Id": "$.sub", "X-User-Name": "$.name"},
    })
}

/// The reference, with this provider and these keys.
fn listener(name: &str, keys: Value, provider: &DjangoProvider) -> Listener {
    let config = json!({
        "clusters": {DjangoProvider::NAME: "idp_default"},
        "error_metadata_location": "ResponsePayload",
        "userinfo_unavailable": {"status": 503, "retry_after": "7s"},
        "access_log_state": true,
    });
    Listener::named(name)
        .tls()
        .provider_at(provider.tls_address())
        .cluster("idp_default", |cluster| {
            let tls = &mut cluster["transport_socket"]["typed_config"];
            tls["sni"] = json!(DjangoProvider::NAME);
            let names = &mut tls["common_tls_context"]["validation_context"];
            names["match_typed_subject_alt_names"][0]["matcher"]["exact"] =
                json!(DjangoProvider::NAME);
        })
        .config(merged(config, keys))
}

async fn on(name: &str) -> (Gateway, SocketAddr) {
    let rig = rig().await;
    (rig.running.gateway(name), rig.provider.address())
}

fn post(provider: SocketAddr, target: &str, form: &[(&str, &str)]) -> Request {
    Request::new(provider, "POST", target)
        .host(DjangoProvider::NAME)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded(form))
}

/// The tokens of a user, by password; for an API (RFC 8707) where one is given.
async fn alice(
    provider: SocketAddr,
    client: &str,
    scope: &str,
    resource: Option<&str>,
) -> (String, String) {
    let secret = format!("secret-of-{client}");
    let mut form = vec![
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", "secret-of-alice"),
        ("client_id", client),
        ("client_secret", &secret),
        ("scope", scope),
    ];
    form.extend(resource.map(|resource| ("resource", resource)));
    let answer = post(provider, "/o/token/", &form).send().await;
    assert_eq!(answer.status, 200, "no tokens: {answer:?}");
    let answer = answer.json();
    let text = |name: &str| answer[name].as_str().expect("a token").to_owned();
    (text("access_token"), text("refresh_token"))
}

async fn machine(provider: SocketAddr, scope: &str, resource: Option<&str>) -> String {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", "machine"),
        ("client_secret", "secret-of-machine"),
        ("scope", scope),
    ];
    form.extend(resource.map(|resource| ("resource", resource)));
    let answer = post(provider, "/o/token/", &form).send().await;
    assert_eq!(answer.status, 200, "no token: {answer:?}");
    answer.json()["access_token"].as_str().expect("a token").to_owned()
}

async fn revoke(provider: SocketAddr, token: &str) {
    let form = [("token", token), ("client_id", "web"), ("client_secret", "secret-of-web")];
    let answer = post(provider, "/o/revoke_token/", &form).send().await;
    assert_eq!(answer.status, 200, "not revoked: {answer:?}");
}

/// The request goes through with exactly these values, and without the token.
async fn assert_passes(gw: &Gateway, path: &str, token: &str, expected: &[(&str, &str)]) {
    let (r, line) = ask(gw, path, token).await;
    assert_eq!(r.status, 200, "{path} {r:?} {line}");
    assert_eq!(upstream_saw(&r, &IDENTITY), pairs(expected), "{path}");
    let [received] = came(gw, path).try_into().expect("it came once");
    assert!(!format!("{received:?}").contains(token), "{received:?}");
    assert_eq!(line["outcome"], "pass;asked;default", "{path}");
}

/// A refusal with this status and these details, at this path; nothing of its request came through.
async fn assert_refused(
    gw: &Gateway,
    path: &str,
    token: &str,
    (status, details): (u16, &str),
) -> Response {
    let (r, line) = ask(gw, path, token).await;
    let details = format!("oidc_token_connector{{{details}}}");
    assert_eq!((r.status, &line["details"]), (status, &details.into()), "{path} {r:?}");
    assert_eq!(came(gw, path).len(), 0, "{path} went through");
    r
}

/// A 401 that says `invalid_token`.
async fn assert_invalid_token(gw: &Gateway, path: &str, token: &str, details: &str) {
    let r = assert_refused(gw, path, token, (401, details)).await;
    let said = r.header("www-authenticate").unwrap_or_default();
    assert!(said.contains(r#"error="invalid_token""#), "{path} {said}");
}

const BY_PROVIDER: &str = "invalid_token:provider_4xx";
#[tokio::test]
async fn users_pass_by_userinfo_and_machines_do_not() {
    let (gw, provider) = on("userinfo").await;
    let (token, refresh) = alice(provider, "web", "openid orders", None).await;
    let known = [("x-user-id", "1"), ("x-user-name", "Alice Zoë Åström")];
    assert_passes(&gw, "/userinfo/user", &token, &known).await;

    let robot = machine(provider, "orders", None).await;
    assert_invalid_token(&gw, "/userinfo/machine", &robot, BY_PROVIDER).await;
    // The provider fails on a token with this scope that no user stands behind.
    let robot = machine(provider, "openid orders", None).await;
    let r =
        assert_refused(&gw, "/userinfo/500", &robot, (500, "provider_error:provider_5xx")).await;
    assert!(!r.headers.has("www-authenticate"), "{r:?}");

    let bound = alice(provider, "web", "openid orders", Some(ORDERS)).await.0;
    for (path, token) in [
        ("/userinfo/refresh", refresh.as_str()),
        ("/userinfo/expired", EXPIRED),
        ("/userinfo/unknown", "x"),
        ("/userinfo/bound", &bound),
    ] {
        assert_invalid_token(&gw, path, token, BY_PROVIDER).await;
    }
    revoke(provider, &token).await;
    assert_invalid_token(&gw, "/userinfo/revoked", &token, BY_PROVIDER).await;
}
