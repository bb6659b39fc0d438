//! Machine and user tokens on one route.

use super::*;

#[tokio::test]
async fn machines_and_users_pass_by_introspection() {
    let gw = start("tokens").await;
    let of = |sub: &str, client: &str| {
        json!({"active": true, "sub": sub, "client_id": client, "scope": "orders:read",
               "aud": "https://api.example.com"})
    };
    gw.provider.answer_token("user", claims(&of("alice", "web")));
    let mut machine = of("", "robot");
    machine["sub"] = Value::Null;
    gw.provider.answer_token("machine", claims(&machine));
    let scope = ("x-scope", "orders:read");
    let user = [("x-client-id", "web"), scope, ("x-user-id", "alice")];
    assert_passes(&gw, gw.get("/user").bearer("user"), &user).await;
    assert_passes(&gw, gw.get("/machine").bearer("machine"), &[("x-client-id", "robot"), scope])
        .await;
    // The gateway's own client, with the secret of Envoy's environment.
    let asked = gw.provider.calls_with("user");
    let [call] = &asked[..] else { panic!("not one call: {asked:?}") };
    assert_eq!(call.headers.get("authorization").as_deref(), Some("Basic Z2F0ZXdheTpzM2NyZXQ="));
    assert!(!gw.envoy.log().text().contains("s3cret"));
    let dump = gw.envoy.admin_get("/config_dump").await.expect("a dump").text();
    assert!(dump.contains("OIDC_CLIENT_SECRET") && !dump.contains("s3cret"));
}

#[tokio::test]
async fn whatever_is_no_active_token_for_this_api_is_refused() {
    let gw = start("tokens_refused").await;
    assert_refuses_strangers(&gw, "/strangers").await;
    let aud = "https://api.example.com";
    for (token, answer, status) in [
        ("revoked", json!({"active": false}), 401),
        ("other", json!({"active": true, "client_id": "web", "aud": "https://other.example"}), 401),
        ("anybody", json!({"active": true, "client_id": "web"}), 401),
        ("refresh", json!({"active": true, "client_id": "web", "aud": aud, "typ": "Refresh"}), 401),
        (
            "useless",
            json!({"active": true, "client_id": "web", "aud": aud, "scope": "openid"}),
            403,
        ),
        ("nobody", json!({"active": true, "sub": "alice", "aud": aud}), 401),
    ] {
        gw.provider.answer_token(token, claims(&answer));
        assert_refused(&gw, gw.get(&format!("/{token}")).bearer(token), status).await;
    }
    // The provider does not know the gateway: that is no verdict about a token.
    gw.provider.answer_token("unasked", Reply::status(401));
    assert_refused(&gw, gw.get("/unasked").bearer("unasked"), 503).await;
}
