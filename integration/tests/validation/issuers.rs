//! `issuers`: the token's issuer chooses the provider, and nothing else.

use integration::{Provider, Reply};
use tokio::sync::OnceCell;

use super::*;

static RIG: OnceCell<Running> = OnceCell::const_new();

fn config(more: Value) -> Value {
    let config = json!({
        "userinfo_endpoint": {
            "issuers": {
                "https://a.example": {"name": "a", "uri": "http://fr.idp.example/a"},
                "https://b.example/": {"name": "b", "uri": "http://idp.example/b"},
            },
            "defaultURI": "http://idp.example/default",
        },
        "inject_headers": {
            "a": {"X-User-Id": "$.sub", "X-Tenant": {"path": "$.tenant", "of": "token"}},
            "default": {"X-User-Id": "$.sub"},
        },
        "region_header": "X-Issuer",
        "access_log_state": true,
    });
    merged(with_clusters(config), more)
}

async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let mut bare = config(json!({}));
        bare["userinfo_endpoint"].as_object_mut().unwrap().remove("defaultURI");
        start(vec![
            ("strict", config(json!({}))),
            ("lenient", config(json!({"unknown_issuer": "default"}))),
            ("bare", bare),
            ("named", config(json!({}))),
        ])
        .await
    });
    rig.await.gateway(name)
}

#[tokio::test]
async fn issuer_chooses_the_provider() {
    let of = |issuer: &str, n: u32| jwt(&json!({"iss": issuer, "tenant": "acme", "n": n}));
    let broken = format!("{}=", of("https://a.example", 3));
    for (name, token, path, region) in [
        ("strict", of("https://a.example", 1), Some("/a"), "a"),
        ("strict", of("https://b.example/", 1), Some("/b"), "b"),
        ("strict", "opaque".to_owned(), Some("/default"), "default"),
        ("strict", of("https://b.example", 1), None, "none"),
        ("strict", of("https://A.example", 1), None, "none"),
        ("strict", jwt(&json!({"iss": ["https://a.example"]})), None, "none"),
        ("strict", jwt(&json!({"sub": "a"})), None, "none"),
        ("strict", broken, None, "none"),
        ("lenient", of("https://c.example", 1), Some("/default"), "default"),
        ("bare", of("https://a.example", 1), Some("/a"), "a"),
        ("bare", "opaque".to_owned(), None, "none"),
    ] {
        let gw = gateway(name).await;
        gw.provider.answer(Provider::good());
        let request = format!("/issuers/{name}/{region}/{}", &token[..token.len().min(60)]);
        let response = gw.get(&request).bearer(&token).send().await;
        let calls = gw.provider.take_calls();
        let called: Vec<&str> = calls.iter().map(|call| call.target.as_str()).collect();
        assert_eq!(called, path.into_iter().collect::<Vec<_>>(), "{name} {token}");
        assert_eq!(response.status, if path.is_some() { 200 } else { 401 }, "{name} {token}");
        if path.is_some() {
            assert_eq!(response.upstream_header("x-issuer").as_deref(), Some(region));
            let tenant = response.upstream_header("x-tenant");
            assert_eq!(tenant.as_deref(), (region == "a").then_some("acme"));
        }
    }
    let gw = gateway("strict").await;
    let unknown = jwt(&json!({"iss": "https://c.example"}));
    let response = gw.get("/issuers/unknown").bearer(&unknown).send().await;
    assert!(challenge(&response).contains(r#"error="invalid_token""#), "{response:?}");
    assert_eq!(outcome(&gw, "/issuers/unknown").await, "wrong_issuer;none;none");
    let bare = gateway("bare").await.get("/orders").bearer("opaque").send().await;
    assert!(bare.text().contains("DefaultUserInfoURINotPresent"), "{bare:?}");
}

#[tokio::test]
async fn response_must_name_the_same_issuer_if_it_names_one() {
    let gw = gateway("named").await;
    for (n, (said, status)) in [
        (json!({"sub": "x"}), 200),
        (json!({"sub": "x", "iss": null}), 200),
        (json!({"sub": "x", "iss": "https://a.example"}), 200),
        (json!({"sub": "x", "iss": "https://b.example/"}), 401),
        (json!({"sub": "x", "iss": ["https://a.example"]}), 401),
    ]
    .into_iter()
    .enumerate()
    {
        let token = jwt(&json!({"iss": "https://a.example", "said": n}));
        gw.provider.answer_token(&token, Reply::json(200, &said));
        assert_eq!(gw.get("/orders").bearer(&token).send().await.status, status, "{said}");
    }
}
