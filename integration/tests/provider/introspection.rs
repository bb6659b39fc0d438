//! Tokens by introspection (RFC 7662) at the real provider: of users and of machines, for one API or
//! another, no longer good, and none at all. UserInfo vouches only for users' tokens that are for no
//! API.

use std::net::SocketAddr;

use integration::{Gateway, Listener, OpenIdProvider, Response, Running, Setup};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::base::merged;
use crate::{ask, assert_refused, came, passes_with, until};
use integration::login::{Login, bound, introspect, machine, revoke};

/// Every header that the filter injects here.
const IDENTITY: [&str; 3] = ["x-user-id", "x-client-id", "x-scope"];
/// What the filter may only say of a token.
const NO_SUCH_TOKEN: &str = r#"Bearer realm="api", error="invalid_token""#;

struct Rig {
    provider: OpenIdProvider,
    next: OpenIdProvider,
    running: Running,
}

static RIG: OnceCell<Rig> = OnceCell::const_new();

/// The provider in two releases, and one Envoy with a listener for each configuration.
async fn rig() -> &'static Rig {
    RIG.get_or_init(|| async {
        let (provider, next) =
            tokio::join!(OpenIdProvider::start(), OpenIdProvider::start_release_9());
        let named = |name, more| listener(name, more, &provider);
        let for_orders = json!({
            "require_audience": ["https://orders.example"],
            "require_scope": ["orders"],
        });
        let by_certificate = |listener: Listener| {
            let shown = provider.client_certificate();
            let shown = json!([{
                "certificate_chain": {"inline_string": shown.certificate},
                "private_key": {"inline_string": shown.key},
            }]);
            listener.cluster("idp_default", move |cluster| {
                let tls = &mut cluster["transport_socket"]["typed_config"];
                tls["common_tls_context"]["tls_certificates"] = shown.clone();
            })
        };
        let no_secret =
            json!({"introspection_client": {"client_id": "gateway_tls", "auth_method": "none"}});
        let running = Setup::new()
            .environment("OIDC_CLIENT_SECRET", "secret-of-gateway")
            .listener(named("introspects", json!({})))
            .listener(named("escapes", client("gateway:+%", "secret + 100%:&=/", "basic")))
            .listener(named("posts", client("gateway_post", "secret-of-gateway_post", "post")))
            .listener(by_certificate(named("shows_certificate", no_secret.clone())))
            .listener(named("no_certificate", no_secret))
            .listener(named("wrong_secret", client("gateway", "secret-of-nobody", "basic")))
            .listener(named("unknown_client", client("nobody", "secret-of-nobody", "post")))
            .listener(named("remembers", json!({"cache": {"ttl": "10m", "negative_ttl": "1s"}})))
            .listener(named("orders", for_orders.clone()))
            .listener(named("writes", json!({"require_scope": ["orders", "orders:write"]})))
            .listener(named("typed", json!({"require_claims": {"$.token_type": "Bearer"}})))
            .listener(listener("release_9", json!({}), &next))
            .start()
            .await;
        Rig { provider, next, running }
    })
    .await
}

/// The reference, with introspection at this provider and these keys more.
fn listener(name: &str, more: Value, provider: &OpenIdProvider) -> Listener {
    let at = format!("https://{}/token/introspection", OpenIdProvider::NAME);
    let config = json!({
        "introspection_endpoint": {"defaultURI": at},
        "introspection_client": {
            "client_id": "gateway",
            "client_secret_env": "OIDC_CLIENT_SECRET",
        },
        "clusters": {OpenIdProvider::NAME: "idp_default"},
        "inject_headers": {"default": {
            "X-User-Id": "$.sub",
            "X-Client-Id": "$.client_id",
            "X-Scope": "$.scope",
        }},
        "error_metadata_location": "ResponsePayload",
        "userinfo_unavailable": {"status": 503, "retry_after": "7s"},
        "access_log_state": true,
        "stat_name": name,
    });
    Listener::named(name).tls().provider_at(provider.tls_address()).config(merged(config, more))
}

fn client(id: &str, secret: &str, method: &str) -> Value {
    let method = format!("client_secret_{method}");
    let client = json!({"client_id": id, "client_secret": secret, "auth_method": method});
    json!({"introspection_client": client})
}

async fn on(name: &str) -> (Gateway, SocketAddr) {
    let rig = rig().await;
    let provider = if name == "release_9" { &rig.next } else { &rig.provider };
    (rig.running.gateway(name), provider.address())
}

fn orders(scope: &'static str) -> Login {
    Login { resource: Some("https://orders.example"), ..Login::of("alice", scope) }
}

/// The request goes through with exactly these values, and without the token.
async fn assert_passes(gw: &Gateway, path: &str, token: &str, expected: &[(&str, &str)]) {
    passes_with(gw, path, token, &IDENTITY, expected).await;
}

async fn assert_inactive(gw: &Gateway, path: &str, token: &str) {
    let r = assert_refused(gw, path, token, (401, INACTIVE)).await;
    assert_eq!(r.header("www-authenticate").as_deref(), Some(NO_SUCH_TOKEN), "{path} {r:?}");
}

const INACTIVE: &str = "invalid_token:inactive";

#[tokio::test]
async fn tokens_of_users_and_machines_pass_by_every_way_of_authentication() {
    for name in ["introspects", "escapes", "posts", "shows_certificate", "release_9"] {
        let (gw, provider) = on(name).await;
        let token = Login::of("alice", "openid email").tokens(provider).await.access;
        let alice = [("x-user-id", "alice"), ("x-client-id", "web"), ("x-scope", "openid email")];
        assert_passes(&gw, &format!("/{name}/user"), &token, &alice).await;

        // It has no subject and no scope.
        let token = machine(provider, None).await;
        assert_passes(&gw, &format!("/{name}/machine"), &token, &[("x-client-id", "machine")])
            .await;
    }
}

/// What the same token is worth at the UserInfo endpoint of the same provider.
#[tokio::test]
async fn userinfo_does_not_vouch_for_a_machine() {
    let rig = crate::rig().await;
    let token = machine(rig.provider(), None).await;
    let (r, line) = ask(&rig.gateway("asks"), "/machine", &token).await;
    let details = "oidc_token_connector{invalid_token:provider_4xx}";
    assert_eq!((r.status, &line["details"]), (401, &details.into()), "{r:?}");
}

#[tokio::test]
async fn tokens_that_are_no_longer_good_are_refused() {
    for name in ["introspects", "release_9"] {
        let (gw, provider) = on(name).await;
        let token = Login::of("alice", "openid").tokens(provider).await.access;
        revoke(provider, &token).await;
        assert_inactive(&gw, &format!("/{name}/revoked"), &token).await;

        let hasty = Login { client: "hasty", ..Login::of("alice", "openid") };
        let token = hasty.tokens(provider).await.access;
        let inactive = || async {
            let answer = introspect(provider, &token).await;
            Response { status: if answer.json()["active"] == false { 401 } else { 200 }, ..answer }
        };
        until(401, inactive).await;
        assert_inactive(&gw, &format!("/{name}/expired"), &token).await;
        assert_inactive(&gw, &format!("/{name}/unknown"), "x").await;
    }
}

/// The price of a cache, bounded by the token's own end.
#[tokio::test]
async fn cached_answer_ends_with_the_token() {
    let (gw, provider) = on("remembers").await;
    let token = Login::of("alice", "openid").tokens(provider).await.access;
    assert_eq!(gw.get("/kept/before").bearer(&token).send().await.status, 200);
    revoke(provider, &token).await;
    let (r, line) = ask(&gw, "/kept/after", &token).await;
    assert_eq!((r.status, &line["outcome"]), (200, &"pass;hit;default".into()), "{r:?}");

    let hasty = Login { client: "hasty", ..Login::of("alice", "openid") };
    let token = hasty.tokens(provider).await.access;
    assert_eq!(gw.get("/hasty/before").bearer(&token).send().await.status, 200);
    until(401, || gw.get("/hasty/meanwhile").bearer(&token).send()).await;
}

#[tokio::test]
async fn token_for_another_api_is_refused() {
    let (gw, provider) = on("orders").await;
    let token = orders("openid orders").tokens(provider).await.access;
    let alice = [("x-user-id", "alice"), ("x-client-id", "web"), ("x-scope", "orders")];
    assert_passes(&gw, "/audience/right", &token, &alice).await;
    let token = machine(provider, Some("https://orders.example")).await;
    let robot = [("x-client-id", "machine"), ("x-scope", "orders")];
    assert_passes(&gw, "/audience/machine", &token, &robot).await;

    let invoices = Some("https://invoices.example");
    let of_user = Login { resource: invoices, ..Login::of("alice", "openid orders") };
    let others = [
        ("/audience/other", of_user.tokens(provider).await.access),
        ("/audience/machine/other", machine(provider, invoices).await),
        // For no API: the provider's answer has no audience.
        ("/audience/none", Login::of("alice", "openid orders").tokens(provider).await.access),
    ];
    for (path, token) in others {
        assert_eq!(introspect(provider, &token).await.json()["active"], true, "{path}");
        let r = assert_refused(&gw, path, &token, (401, "wrong_audience:audience_missing")).await;
        let said = r.header("www-authenticate").unwrap_or_default();
        assert!(said.contains(r#"error="invalid_token""#), "{path} {said}");
    }
}

#[tokio::test]
async fn token_without_the_scope_is_told_which() {
    let (gw, provider) = on("writes").await;
    let token = orders("openid orders orders:write").tokens(provider).await.access;
    assert_eq!(gw.get("/scope/both").bearer(&token).send().await.status, 200);

    let narrow = orders("openid orders").tokens(provider).await.access;
    let machine = machine(provider, Some("https://orders.example")).await;
    for (path, token) in [("/scope/user", &narrow), ("/scope/machine", &machine)] {
        let r = assert_refused(&gw, path, token, (403, "forbidden:scope_missing")).await;
        let said = r.header("www-authenticate").unwrap_or_default();
        assert!(said.contains(r#"error="insufficient_scope""#), "{path} {said}");
        assert!(said.contains(r#"scope="orders orders:write""#), "{path} {said}");
    }
    // A route without the rule lets the same token pass.
    let alice = [("x-user-id", "alice"), ("x-client-id", "web"), ("x-scope", "orders")];
    assert_passes(&on("introspects").await.0, "/scope/elsewhere", &narrow, &alice).await;
}

/// The gateway's own mistake is not the token's fault, and no answer about it.
#[tokio::test]
async fn refused_gateway_is_unavailable_and_never_invalid_token() {
    for name in ["wrong_secret", "unknown_client", "no_certificate"] {
        let (gw, provider) = on(name).await;
        let token = Login::of("alice", "openid").tokens(provider).await.access;
        let paths = [format!("/{name}/good"), format!("/{name}/again"), format!("/{name}/junk")];
        for (path, token) in paths.iter().zip([token.as_str(), token.as_str(), "x"]) {
            let (r, line) = ask(&gw, path, token).await;
            assert_eq!((r.status, r.header("retry-after").as_deref()), (503, Some("7")), "{r:?}");
            assert!(!r.headers.has("www-authenticate"), "{path} {r:?}");
            assert!(!r.text().contains("invalid"), "the provider's text is about us: {r:?}");
            let details = line["details"].as_str().unwrap_or_default();
            assert!(details.starts_with("oidc_token_connector{unavailable:"), "{line}");
            assert_eq!(came(&gw, path).len(), 0, "{path} went through");
        }
        let reason = "wasmcustom.oidc_reason.introspection_client_refused.instance";
        assert_eq!(gw.envoy.stat(&format!("{reason}.{name}")).await, 3, "{name}");
        let said = gw.envoy.log().text() + &gw.envoy.access_log().text();
        assert!(!said.contains("secret-of-"), "{name}");
    }
}

/// This provider answers `active: true` for a refresh token and does not say what it is: only that
/// `token_type` is absent.
#[tokio::test]
async fn refresh_token_is_refused_where_a_rule_tells_it() {
    let (gw, provider) = on("orders").await;
    let mobile = Login { client: "mobile", ..orders("openid offline_access orders") };
    let tokens = mobile.tokens(provider).await;
    let refresh = tokens.refresh.expect("`offline_access` was asked for");
    let said = introspect(provider, &refresh).await.json();
    assert_eq!((&said["active"], &said["token_type"]), (&true.into(), &Value::Null), "{said}");
    assert_refused(&gw, "/refresh/audience", &refresh, (401, "wrong_audience:audience_missing"))
        .await;
    let typed = on("typed").await.0;
    assert_refused(&typed, "/refresh/type", &refresh, (403, "claim_refused:claim_unmet")).await;
    // The access token of the same login.
    for (gw, path) in [(&gw, "/access/audience"), (&typed, "/access/type")] {
        assert_eq!(gw.get(path).bearer(&tokens.access).send().await.status, 200, "{path}");
    }
}

/// A token that is bound to a certificate is not accepted from a bearer without the certificate.
#[tokio::test]
async fn token_that_is_bound_to_a_certificate_is_refused() {
    // Release 9 makes such tokens on Node.js 20 and later alone.
    let (gw, provider) = on("introspects").await;
    let token = bound(provider, &rig().await.provider.client_certificate().certificate).await;
    let said = introspect(provider, &token).await.json();
    assert_eq!(said["active"], true, "{said}");
    assert!(said["cnf"]["x5t#S256"].is_string(), "{said}");
    let r = assert_refused(&gw, "/bound", &token, (401, "invalid_token:key_bound")).await;
    assert_eq!(r.header("www-authenticate").as_deref(), Some(NO_SUCH_TOKEN), "{r:?}");
}

/// Release 8 stores no JWTs, so it answers `"active": false`; release 9 answers the error
/// `unsupported_token_type`.
#[tokio::test]
async fn jwt_for_an_api_does_not_pass() {
    for (name, expected) in [("introspects", (200, 401)), ("release_9", (400, 401))] {
        let (gw, provider) = on(name).await;
        let for_api = Login { resource: Some("https://api.example"), ..orders("openid orders") };
        let tokens = for_api.tokens(provider).await;
        for (kind, token) in [("jwt", &tokens.access), ("id", &tokens.id.expect("an ID Token"))] {
            assert_eq!(token.split('.').count(), 3, "not a JWT: {token}");
            assert_eq!(introspect(provider, token).await.status, expected.0, "{name} {kind}");
            let path = format!("/{name}/{kind}");
            let (r, line) = ask(&gw, &path, token).await;
            assert_eq!(r.status, expected.1, "{r:?} {line}");
            assert_eq!(came(&gw, &path).len(), 0, "{path} went through");
        }
    }
}

/// One caller's JWTs, each an error of the provider, take nobody else's tokens away.
#[tokio::test]
async fn errors_that_one_caller_causes_are_used_against_nobody_else() {
    let (gw, provider) = on("release_9").await;
    for number in 0..40 {
        let junk = format!("e30.e{number:03}.x");
        let r = gw.get("/junk").bearer(&junk).send().await;
        assert_eq!(r.status, 401, "{r:?}");
    }
    let token = Login::of("alice", "openid").tokens(provider).await.access;
    let r = gw.get("/after-junk").bearer(&token).send().await;
    assert_eq!(r.status, 200, "{r:?}");
}
