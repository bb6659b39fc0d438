//! A scope for each route.

use super::*;

#[tokio::test]
async fn each_route_requires_its_scopes_of_one_verdict() {
    let gw = start("scope").await;
    let token = |scope: &str| unsigned(&json!({"sub": "alice", "scope": scope}));
    gw.provider.answer(claims(&json!({"sub": "alice"})));
    let user = [("x-user-id", "alice")];
    let read = token("orders:read");
    assert_passes(&gw, gw.get("/orders").bearer(&read), &user).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = gw.request(method, "/orders/1").bearer(&read);
        let told = challenge(&assert_refused(&gw, request, 403).await);
        let wanted = r#"scope="orders:read orders:write", error="insufficient_scope""#;
        assert!(told.ends_with(wanted), "{told}");
    }
    // The routes share what the provider has said.
    assert_eq!(gw.provider.calls_with(&read).len(), 1);
    let write = token("orders:write orders:read");
    assert_passes(&gw, gw.request("DELETE", "/orders/2").bearer(&write), &user).await;
    assert_passes(&gw, gw.get("/orders/2?").bearer(&write), &user).await;
    assert_eq!(gw.provider.calls_with(&write).len(), 1);
}

#[tokio::test]
async fn no_route_lets_strangers_pass() {
    let gw = start("scope_refused").await;
    assert_refuses_strangers(&gw, "/orders").await;
    gw.provider.answer(claims(&json!({"sub": "alice"})));
    let other = unsigned(&json!({"sub": "alice", "scope": "orders:readable"}));
    for token in [&*other, "opaque"] {
        for method in ["GET", "HEAD", "POST"] {
            assert_refused(&gw, gw.request(method, "/orders").bearer(token), 403).await;
        }
    }
    gw.provider.answer(integration::Provider::expired());
    for method in ["GET", "POST"] {
        assert_refused(&gw, gw.request(method, "/orders").bearer("expired"), 401).await;
    }
}
