//! Envoy's RBAC and rate limit by claims.

use super::*;

fn user(name: &str, role: &str, plan: &str) -> Reply {
    claims(&json!({"sub": name, "role": role, "plan": plan}))
}

#[tokio::test]
async fn only_administrators_delete() {
    let gw = start("claims_role").await;
    gw.provider.answer_token("admin", user("alice", "admin", "pro"));
    gw.provider.answer_token("user", user("bob", "user", "pro"));
    gw.provider.answer_token("none", claims(&json!({"sub": "carol", "role": ["admin"]})));
    let delete = |token| gw.request("DELETE", "/orders/1").bearer(token);
    assert_passes(&gw, delete("admin"), &[("x-plan", "pro"), ("x-user-id", "alice")]).await;
    for token in ["user", "none"] {
        assert_refused(&gw, delete(token), 403).await;
    }
    assert_passes(&gw, gw.get("/b").bearer("user"), &[("x-plan", "pro"), ("x-user-id", "bob")])
        .await;
    assert_passes(&gw, gw.get("/c").bearer("none"), &[("x-user-id", "carol")]).await;
    assert_refuses_strangers(&gw, "/strangers").await;
    assert_refused(&gw, gw.get("/expired").bearer("expired"), 401).await;
}

#[tokio::test]
async fn each_user_of_the_free_plan_has_a_limit_of_its_own() {
    let gw = start("claims_plan").await;
    let statuses = async |token: &str| {
        let mut all = Vec::new();
        for _ in 0..5 {
            // What the client says of its plan and its name does not help.
            let request = gw.get("/orders").bearer(token).header("x-plan", "pro");
            all.push(request.header("x-user-id", "somebody").send().await.status);
        }
        all
    };
    for (token, plan) in [("a", "free"), ("b", "free"), ("c", "pro")] {
        gw.provider.answer_token(token, user(token, "user", plan));
    }
    gw.provider.answer_token("another-of-a", user("a", "user", "free"));
    assert_eq!(statuses("a").await, [200, 200, 200, 429, 429]);
    assert_eq!(statuses("another-of-a").await, [429; 5]);
    assert_eq!(statuses("b").await, [200, 200, 200, 429, 429]);
    assert_eq!(statuses("c").await, [200; 5]);
    // Many others do not give a user a new bucket.
    for n in 0..30 {
        let token = format!("other-{n}");
        gw.provider.answer_token(&token, user(&token, "user", "free"));
        assert_eq!(gw.get("/orders").bearer(&token).send().await.status, 200);
    }
    assert_eq!(statuses("a").await, [429; 5]);
}
