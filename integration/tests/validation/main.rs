//! Ways to check a token beyond UserInfo, and rules about what comes back, on the real Envoy: allowed and
//! refused, cold, kept, shared and joined, over both protocols. The provider is scripted; real ones are
//! in `tests/provider`.

#[allow(dead_code, reason = "each file of tests uses its part")]
#[path = "../base/mod.rs"]
mod base;

mod anonymous;
mod introspection;
mod issuers;
mod metadata;
mod rules;
mod values;

use base::with_clusters;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration::{Gateway, Listener, Response, Running, Setup, merged};
use serde_json::{Value, json};

/// The secret of the gateway's own client.
const SECRET: &str = "s3cret:/+ü";

/// A configuration that introspects, and these keys more.
fn introspecting(more: Value) -> Value {
    let config = json!({
        "introspection_endpoint": {"defaultURI": "http://idp.example/introspect"},
        "introspection_client": {"client_id": "gateway", "client_secret_env": "OIDC_CLIENT_SECRET"},
        "inject_headers": {"X-User-Id": "$.sub"},
        "userinfo_unavailable": {"status": 503},
        "access_log_state": true,
    });
    merged(with_clusters(config), more)
}

/// One Envoy with a listener of each configuration, and the secret in the environment of its VMs.
async fn start(configs: Vec<(&str, Value)>) -> Running {
    let mut setup = Setup::new().environment("OIDC_CLIENT_SECRET", SECRET);
    for (name, config) in configs {
        setup = setup.listener(Listener::named(name).config(config));
    }
    setup.start().await
}

/// A signed JWT with this payload; nobody checks its signature here.
fn jwt(payload: &Value) -> String {
    jwt_of(&json!({"alg": "RS256", "typ": "at+jwt"}), payload.to_string().as_bytes())
}

fn jwt_of(header: &Value, payload: &[u8]) -> String {
    let header = header.to_string();
    let parts = [header.as_bytes(), payload, b"signature"];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

/// The outcome in the access log of the request with this path, of its own.
async fn outcome(gw: &Gateway, path: &str) -> String {
    let entry = gw.envoy.access_entry(&format!("\"path\":\"{path}\"")).await;
    entry["outcome"].as_str().unwrap_or_default().to_owned()
}

fn challenge(response: &Response) -> String {
    response.header("www-authenticate").unwrap_or_default()
}
