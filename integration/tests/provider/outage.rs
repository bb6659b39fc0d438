//! The provider goes away in the middle and comes back, with its tokens or without.

use integration::{Gateway, OpenIdProvider, Setup};
use serde_json::json;

use crate::{ALL, ask, came, listener};
use integration::login::Login;

async fn assert_passes(gw: &Gateway, path: &str, token: &str) {
    let (r, line) = ask(gw, path, token).await;
    assert_eq!(r.status, 200, "{r:?} {line}");
    assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("alice"), "{r:?}");
}

#[tokio::test]
async fn no_request_passes_during_an_outage_and_tokens_work_after_it() {
    let mut provider = OpenIdProvider::start().await;
    let running = Setup::new().listener(listener("outage", json!({}), &provider)).start().await;
    let gw = running.gateway("outage");
    let token = Login::of("alice", ALL).tokens(provider.address()).await.access;
    assert_passes(&gw, "/before", &token).await;

    provider.down();
    for path in ["/meanwhile/1", "/meanwhile/2"] {
        let (r, line) = ask(&gw, path, &token).await;
        assert_eq!(r.status, 503, "{r:?} {line}");
        assert_eq!(r.header("retry-after").as_deref(), Some("7"), "{r:?}");
        assert!(!r.headers.has("www-authenticate"), "the token is not at fault: {r:?}");
        assert_eq!(r.json()["error"], "TargetEndpointError", "{r:?}");
        let details = line["details"].as_str().unwrap_or_default();
        assert!(details.starts_with("oidc_token_connector{unavailable:"), "{line}");
        assert_eq!(came(&gw, path).len(), 0, "{path} went through");
    }

    // As providers with a data base do.
    provider.up().await;
    assert_passes(&gw, "/after", &token).await;

    // As those that keep tokens in memory do: the same token is unknown now, a new one is good.
    provider.down();
    provider.forget();
    provider.up().await;
    let (r, line) = ask(&gw, "/forgotten", &token).await;
    assert_eq!((r.status, &line["details"]), (401, &FORGOTTEN.into()), "{r:?} {line}");
    let token = Login::of("alice", ALL).tokens(provider.address()).await.access;
    assert_passes(&gw, "/again", &token).await;
    gw.envoy.assert_no_vm_restart().await;
}

const FORGOTTEN: &str = "oidc_token_connector{invalid_token:provider_4xx}";
