//! A second provider that shares nothing with the first: PyPI's `django-oauth-toolkit`. Its
//! introspection names no subject and no kind of token; its UserInfo endpoint breaks on tokens of
//! machines; and it answers a gateway that it does not know with a page.

use std::net::SocketAddr;

use integration::{DjangoProvider, Gateway, Listener, Request, Running, Setup};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::base::merged;
use crate::{assert_refused, passes_with};
use integration::login::encoded;

/// Every header that the filter injects here.
const IDENTITY: [&str; 4] = ["x-user-id", "x-user-name", "x-client-id", "x-scope"];
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
        let introspection =
            |name, more| listener(name, merged(by_introspection(), more), &provider);
        let client = |id: &str, secret: &str, method: &str| {
            json!({"introspection_client": {
                "client_id": id, "client_secret": secret, "auth_method": method,
            }})
        };
        let running = Setup::new()
            .environment("OIDC_CLIENT_SECRET", "secret-of-gateway")
            .listener(userinfo("userinfo", json!({"require_subject": true})))
            .listener(userinfo("userinfo_orders", for_orders()))
            .listener(userinfo(
                "userinfo_of_token",
                json!({"inject_headers": {"default": {
                    "X-User-Id": "$.sub",
                    "X-User-Name": "$.name",
                    "X-Client-Id": {"path": "$.client_id", "of": "token"},
                    "X-Scope": {"path": "$.scope", "of": "token"},
                }}}),
            ))
            .listener(introspection("introspects", json!({})))
            .listener(introspection(
                "posts",
                client("gateway", "secret-of-gateway", "client_secret_post"),
            ))
            .listener(introspection(
                "wrong_secret",
                client("gateway", "secret-of-nobody", "client_secret_basic"),
            ))
            .listener(introspection("introspects_orders", for_orders()))
            .start()
            .await;
        Rig { provider, running }
    })
    .await
}

fn by_userinfo() -> Value {
    json!({
        "userinfo_endpoint": {"defaultURI": "https://dot.example/o/userinfo/"},
        "inject_headers": {
            "X-User-Id": "$.sub",
            "X-User-Name": "$.name",
            // Not in its answers: a forged one is removed, and none is set.
            "X-Client-Id": "$.client_id",
            "X-Scope": "$.scope",
        },
    })
}

fn by_introspection() -> Value {
    json!({
        "introspection_endpoint": {"defaultURI": "https://dot.example/o/introspect/"},
        "introspection_client": {
            "client_id": "gateway",
            "client_secret_env": "OIDC_CLIENT_SECRET",
        },
        "inject_headers": {
            // Not in its answers.
            "X-User-Id": "$.sub",
            "X-User-Name": "$.username",
            "X-Client-Id": "$.client_id",
            "X-Scope": "$.scope",
        },
    })
}

fn for_orders() -> Value {
    json!({"require_audience": [ORDERS], "require_scope": ["orders"]})
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
pub(crate) async fn alice(
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
    passes_with(gw, path, token, &IDENTITY, expected).await;
}

/// A 401 that says `invalid_token`.
async fn assert_invalid_token(gw: &Gateway, path: &str, token: &str, details: &str) {
    let r = assert_refused(gw, path, token, (401, details)).await;
    let said = r.header("www-authenticate").unwrap_or_default();
    assert!(said.contains(r#"error="invalid_token""#), "{path} {said}");
}

const BY_PROVIDER: &str = "invalid_token:provider_4xx";
const INACTIVE: &str = "invalid_token:inactive";

#[tokio::test]
async fn users_pass_by_userinfo_and_machines_do_not() {
    let (gw, provider) = on("userinfo").await;
    let (token, refresh) = alice(provider, "web", "openid orders", None).await;
    let known = [("x-user-id", "1"), ("x-user-name", "Alice Zoë Åström")];
    assert_passes(&gw, "/userinfo/user", &token, &known).await;

    let robot = machine(provider, "orders", None).await;
    assert_invalid_token(&gw, "/userinfo/machine", &robot, BY_PROVIDER).await;
    // The provider fails on a machine's token with this scope.
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

#[tokio::test]
async fn users_and_machines_pass_by_introspection() {
    for name in ["introspects", "posts"] {
        let (gw, provider) = on(name).await;
        let (token, refresh) = alice(provider, "web", "openid orders", None).await;
        let user = [("x-user-name", "alice"), ("x-client-id", "web"), ("x-scope", "openid orders")];
        assert_passes(&gw, &format!("/{name}/user"), &token, &user).await;
        let robot = machine(provider, "orders", None).await;
        let as_robot = [("x-client-id", "machine"), ("x-scope", "orders")];
        assert_passes(&gw, &format!("/{name}/machine"), &robot, &as_robot).await;

        revoke(provider, &token).await;
        for (why, token) in
            [("revoked", token.as_str()), ("refresh", &refresh), ("expired", EXPIRED), ("no", "x")]
        {
            assert_invalid_token(&gw, &format!("/{name}/{why}"), token, INACTIVE).await;
        }
    }
}

/// This provider keeps its JWTs, so that it can be asked about them.
#[tokio::test]
async fn jwt_passes_by_introspection() {
    let (gw, provider) = on("introspects").await;
    let token = alice(provider, "signer", "openid orders", None).await.0;
    assert_eq!(token.split('.').count(), 3, "not a JWT: {token}");
    let user = [("x-user-name", "alice"), ("x-client-id", "signer"), ("x-scope", "openid orders")];
    assert_passes(&gw, "/jwt", &token, &user).await;
}

#[tokio::test]
async fn audience_and_scope_are_read_from_the_introspection_answer() {
    let (gw, provider) = on("introspects_orders").await;
    let right = alice(provider, "web", "orders", Some(ORDERS)).await.0;
    let user = [("x-user-name", "alice"), ("x-client-id", "web"), ("x-scope", "orders")];
    assert_passes(&gw, "/rules/right", &right, &user).await;
    let robot = machine(provider, "orders", Some(ORDERS)).await;
    let as_robot = [("x-client-id", "machine"), ("x-scope", "orders")];
    assert_passes(&gw, "/rules/machine", &robot, &as_robot).await;

    let other = alice(provider, "web", "orders", Some("https://admin.example")).await.0;
    assert_invalid_token(&gw, "/rules/other", &other, "wrong_audience:audience_missing").await;
    // The JWT itself has this audience. It is not asked: the answer says none.
    let jwt = alice(provider, "signer", "openid orders", None).await.0;
    assert_invalid_token(&gw, "/rules/jwt", &jwt, "wrong_audience:audience_missing").await;
    let narrow = alice(provider, "web", "admin", Some(ORDERS)).await.0;
    assert_needs_orders(&gw, "/rules/narrow", &narrow).await;
}

#[tokio::test]
async fn audience_and_scope_are_read_from_the_token_that_userinfo_vouched_for() {
    let (gw, provider) = on("userinfo_orders").await;
    let token = alice(provider, "signer", "openid orders", None).await.0;
    let known = [("x-user-id", "1"), ("x-user-name", "Alice Zoë Åström")];
    assert_passes(&gw, "/token/right", &token, &known).await;

    let other = alice(provider, "signer", "openid admin", None).await.0;
    assert_invalid_token(&gw, "/token/other", &other, "wrong_audience:audience_missing").await;
    // The provider vouches for it, and it says nothing of itself.
    let opaque = alice(provider, "web", "openid orders", None).await.0;
    assert_invalid_token(&gw, "/token/opaque", &opaque, "wrong_audience:audience_missing").await;

    // A payload of the caller's own under the provider's signature: nobody vouches for it.
    let wanted: Vec<&str> = token.split('.').collect();
    let had: Vec<&str> = other.split('.').collect();
    let swapped = [had[0], wanted[1], had[2]].join(".");
    assert_invalid_token(&gw, "/token/swapped", &swapped, BY_PROVIDER).await;
}

#[tokio::test]
async fn claims_of_the_token_reach_the_upstream() {
    let (gw, provider) = on("userinfo_of_token").await;
    let token = alice(provider, "signer", "openid orders", None).await.0;
    let known = [("x-user-id", "1"), ("x-user-name", "Alice Zoë Åström")];
    let of_token = [("x-client-id", "signer"), ("x-scope", "openid orders")];
    assert_passes(&gw, "/of-token/jwt", &token, &[known, of_token].concat()).await;
    let opaque = alice(provider, "web", "openid orders", None).await.0;
    assert_passes(&gw, "/of-token/opaque", &opaque, &known).await;
}

/// This provider answers a 403 with a page.
#[tokio::test]
async fn refused_gateway_is_unavailable_and_never_invalid_token() {
    let (gw, provider) = on("wrong_secret").await;
    let token = alice(provider, "web", "orders", None).await.0;
    for (path, token) in [("/gateway/good", token.as_str()), ("/gateway/junk", "x")] {
        let refused = (503, "unavailable:introspection_client_refused");
        let r = assert_refused(&gw, path, token, refused).await;
        assert_eq!(r.header("retry-after").as_deref(), Some("7"), "{path} {r:?}");
        assert!(!r.headers.has("www-authenticate"), "{path} {r:?}");
        assert!(!r.text().contains("<html"), "its page is not for clients: {r:?}");
    }
    let line = gw.envoy.log().wait_for("introspection_client_refused: ").await;
    assert!(line.contains("cluster idp_default_wrong_secret, region default: "), "{line}");
    assert!(!gw.envoy.log().text().contains("secret-of-"), "a secret in the log");
}

async fn assert_needs_orders(gw: &Gateway, path: &str, token: &str) {
    let r = assert_refused(gw, path, token, (403, "forbidden:scope_missing")).await;
    let said = r.header("www-authenticate").unwrap_or_default();
    assert!(said.contains(r#"error="insufficient_scope""#), "{path} {said}");
    assert!(said.contains(r#"scope="orders""#), "{path} {said}");
}
