//! `credentials: "optional"`: a request without credentials goes on, and only that.

use integration::Provider;
use tokio::sync::OnceCell;

use super::*;
use base::one;

static RIG: OnceCell<Running> = OnceCell::const_new();

async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let optional = json!({
            "credentials": "optional", "anonymous_header": "X-Anonymous", "access_log_state": true,
        });
        start(vec![
            ("optional", one(optional.clone())),
            ("forwards", one(merged(optional, json!({"block_authorization_header": false})))),
            ("required", one(json!({}))),
        ])
        .await
    });
    rig.await.gateway(name)
}

const FORGED: [&str; 3] = ["x-user-id", "x.anonymous", "x-anonymous"];

#[tokio::test]
async fn request_without_credentials_goes_on_without_an_identity() {
    for name in ["optional", "forwards"] {
        let gw = gateway(name).await;
        let path = format!("/{name}/anonymous");
        let request = gw.get(&path).forging(&FORGED);
        for response in [request.clone().send().await, request.send_h2().await] {
            assert_eq!(response.status, 200, "{response:?}");
            let seen = base::upstream_saw(&response, &["x-user-id", "x.anonymous", "x-anonymous"]);
            assert_eq!(seen, base::pairs(&[("x-anonymous", "true")]));
        }
        assert_eq!(outcome(&gw, &path).await, "anonymous;none;none");
    }
    gateway("optional")
        .await
        .envoy
        .wait_stat("wasmcustom.oidc_outcome.anonymous", |n| n >= 2)
        .await;
}

#[tokio::test]
async fn request_with_credentials_is_no_stranger() {
    let gw = gateway("optional").await;
    gw.provider.answer_token("good", Provider::good());
    let response = gw.get("/orders").bearer("good").forging(&FORGED).send().await;
    assert_eq!(response.status, 200);
    let seen = base::upstream_saw(&response, &["x-user-id", "x.anonymous", "x-anonymous"]);
    assert_eq!(seen, base::pairs(&[("x-user-id", "248289761001")]));
}

#[tokio::test]
async fn bad_credentials_are_refused_as_always() {
    let gw = gateway("optional").await;
    gw.provider.answer_token("expired", Provider::expired());
    for (value, status) in [
        ("", 401),
        ("Bearer", 401),
        ("Bearer a b", 401),
        ("Basic dTpw", 401),
        ("Bearer a, Bearer b", 401),
        ("Bearer expired", 401),
    ] {
        let response = gw.get("/orders").header("authorization", value).send().await;
        assert_eq!(response.status, status, "{value}");
    }
    let doubled = gw.get("/orders").bearer("a").bearer("b").send().await;
    assert_eq!(doubled.status, 401);
    assert_eq!(gateway("required").await.get("/orders").send().await.status, 401);
    assert_eq!(gw.provider.calls_with("expired").len(), 1);
}
