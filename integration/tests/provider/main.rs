//! Real OpenID Providers behind the filter on the real Envoy, over TLS as in the reference: npm's
//! certified `oidc-provider`, and in `django.rs` PyPI's `django-oauth-toolkit`. Tokens come from
//! their own login and token endpoints, and they answer about them themselves. The tests fail if
//! Node.js, npm or Python is missing, with the remedy.

#[allow(dead_code, reason = "each file of tests uses its part")]
#[path = "../base/mod.rs"]
mod base;
mod discovery;
mod django;
mod introspection;
mod mcp;
mod outage;
mod refused;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use base::{merged, pairs, upstream_saw};
use integration::login::Login;
use integration::{
    DEADLINE, Gateway, Listener, OpenIdProvider, Received, Response, Running, Setup,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Everything that a user of the provider has.
const ALL: &str = "openid profile email groups account";

/// Every header that the filter injects here.
const IDENTITY: [&str; 6] =
    ["x-user-id", "x-user-name", "x-user-email", "x-user-verified", "x-user-groups", "x-account"];

struct Rig {
    provider: OpenIdProvider,
    running: Running,
}

static RIG: OnceCell<Rig> = OnceCell::const_new();

/// One provider, and one Envoy with a listener for each configuration.
async fn rig() -> &'static Rig {
    RIG.get_or_init(|| async {
        let provider = OpenIdProvider::start().await;
        let named = |name, more| listener(name, more, &provider);
        let running = Setup::new()
            .listener(named("asks", json!({})))
            .listener(named("posts", json!({"userinfo_method": "POST"})))
            .listener(named("reads_jwt", json!({"userinfo_jwt": "trust_tls"})))
            .listener(named("refuses_jwt", json!({"userinfo_jwt": "refuse"})))
            .listener(named("remembers", json!({"cache": {"ttl": "10m"}})))
            .listener(named("remembers_briefly", json!({"cache": {"ttl": "1s"}})))
            .start()
            .await;
        Rig { provider, running }
    })
    .await
}

/// The reference, with this provider and these keys more.
fn listener(name: &str, more: Value, provider: &OpenIdProvider) -> Listener {
    let config = json!({
        "userinfo_endpoint": {"defaultURI": format!("https://{}/me", OpenIdProvider::NAME)},
        "clusters": {OpenIdProvider::NAME: "idp_default"},
        "inject_headers": {"default": {
            "X-User-Id": "$.sub",
            "X-User-Name": "$.name",
            "X-User-Email": "$.email",
            "X-User-Verified": "$.email_verified",
            "X-User-Groups": {"path": "$.groups", "join": ","},
            "X-Account": "$.account.number",
        }},
        "require_subject": true,
        "error_metadata_location": "ResponsePayload",
        "userinfo_unavailable": {"status": 503, "retry_after": "7s"},
        "access_log_state": true,
    });
    Listener::named(name).tls().provider_at(provider.tls_address()).config(merged(config, more))
}

impl Rig {
    fn gateway(&self, name: &str) -> Gateway {
        self.running.gateway(name)
    }

    /// The address at which tests call the provider itself.
    fn provider(&self) -> SocketAddr {
        self.provider.address()
    }
}

/// Sends a request, and finds its line in the access log: the path must be its own.
async fn ask(gw: &Gateway, path: &str, token: &str) -> (Response, Value) {
    ask_forging(gw, path, token, &IDENTITY).await
}

async fn ask_forging(
    gw: &Gateway,
    path: &str,
    token: &str,
    identity: &[&str],
) -> (Response, Value) {
    let response = gw.get(path).forging(identity).bearer(token).send().await;
    (response, gw.envoy.access_entry(&format!("\"path\":\"{path}\"")).await)
}

/// A request that forges these headers goes through with exactly the expected ones of them, and without
/// the token.
async fn passes_with(
    gw: &Gateway,
    path: &str,
    token: &str,
    identity: &[&str],
    expected: &[(&str, &str)],
) {
    let (r, line) = ask_forging(gw, path, token, identity).await;
    assert_eq!(r.status, 200, "{path} {r:?} {line}");
    assert_eq!(upstream_saw(&r, identity), pairs(expected), "{path}");
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
    assert_eq!(r.header("cache-control").as_deref(), Some("no-store"), "{path} {r:?}");
    assert_eq!(came(gw, path).len(), 0, "{path} went through");
    r
}

/// The requests at the upstream on this path: many tests share its listener.
fn came(gw: &Gateway, path: &str) -> Vec<Received> {
    let mut all = gw.upstream.received();
    all.retain(|received| received.target == path);
    all
}

/// Repeats a call until its answer is the expected one. No event reports that a token expires.
async fn until<F: Future<Output = Response>>(status: u16, ask: impl Fn() -> F) -> Response {
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let asking = async {
        loop {
            pace.tick().await;
            let response = ask().await;
            if response.status == status {
                return response;
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, asking).await;
    in_time.unwrap_or_else(|_| panic!("the answer never becomes {status}"))
}

#[tokio::test]
async fn valid_token_passes_with_claims_and_is_removed() {
    let rig = rig().await;
    let token = Login::of("alice", ALL).tokens(rig.provider()).await.access;
    for (name, path) in [("asks", "/claims/get"), ("posts", "/claims/post")] {
        let gw = rig.gateway(name);
        let (r, line) = ask(&gw, path, &token).await;
        assert_eq!(r.status, 200, "{r:?} {line}");
        let expected = pairs(&[
            ("x-user-id", "alice"),
            ("x-user-name", "Alice Zoë Åström"),
            ("x-user-email", "alice@example.com"),
            ("x-user-verified", "true"),
            ("x-user-groups", "buyers,staff"),
            ("x-account", "4711"),
        ]);
        assert_eq!(upstream_saw(&r, &IDENTITY), expected, "{name}");
        let [received] = came(&gw, path).try_into().expect("it came once");
        assert!(!received.headers.has("authorization"), "{received:?}");
        assert!(!format!("{received:?}").contains(&token), "{received:?}");
        assert_eq!(line["outcome"], "pass;asked;default", "{name}");
    }
}

#[tokio::test]
async fn claim_outside_the_scope_gives_no_header() {
    let rig = rig().await;
    let gw = rig.gateway("asks");
    let token = Login::of("alice", "openid").tokens(rig.provider()).await.access;
    let (r, line) = ask(&gw, "/scope/openid", &token).await;
    assert_eq!(r.status, 200, "{r:?} {line}");
    assert_eq!(upstream_saw(&r, &IDENTITY), pairs(&[("x-user-id", "alice")]));

    // A user without a name and in no group.
    let token = Login::of("bob", ALL).tokens(rig.provider()).await.access;
    let (r, line) = ask(&gw, "/scope/bob", &token).await;
    assert_eq!(r.status, 200, "{r:?} {line}");
    let expected = pairs(&[
        ("x-user-id", "bob"),
        ("x-user-email", "bob@example.com"),
        ("x-user-verified", "false"),
    ]);
    assert_eq!(upstream_saw(&r, &IDENTITY), expected);
}
