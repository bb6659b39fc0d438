//! Another backend by the token.

use super::*;

/// Requests that a backend of this listener has got.
async fn sent(gw: &Recipe, backend: &str, listener: &str, wanted: u64) {
    let name = format!("cluster.{backend}_{listener}.upstream_rq_total");
    assert_eq!(gw.envoy.wait_stat(&name, |sent| sent >= wanted).await, wanted, "{name}");
}

#[tokio::test]
async fn token_chooses_the_backend_which_does_not_see_it() {
    let gw = start("routing").await;
    gw.provider.answer(claims(&json!({"sub": "alice"})));
    let user = [("x-user-id", "alice")];
    // Over HTTP/1.1 and HTTP/2 each, and again from the cache.
    for _ in 0..2 {
        assert_passes(&gw, gw.get("/partner").bearer("partner_1"), &user).await;
    }
    sent(&gw, "partners", "routing", 4).await;
    sent(&gw, "upstream", "routing", 0).await;
    assert_passes(&gw, gw.get("/usual").bearer("1partner_1"), &user).await;
    sent(&gw, "partners", "routing", 4).await;
    sent(&gw, "upstream", "routing", 2).await;
}

#[tokio::test]
async fn prefix_of_the_token_proves_nothing() {
    let gw = start("routing_refused").await;
    assert_refuses_strangers(&gw, "/strangers").await;
    gw.provider.answer(integration::Provider::expired());
    for token in ["partner_expired", "partner_", "expired"] {
        assert_refused(&gw, gw.get("/expired").bearer(token), 401).await;
    }
    sent(&gw, "partners", "routing_refused", 0).await;
    sent(&gw, "upstream", "routing_refused", 0).await;
}
