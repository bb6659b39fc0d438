//! `protected_resource`: the metadata, and the challenges that lead to it.

use integration::{Provider, Reply};
use tokio::sync::OnceCell;

use super::*;
use base::one;

static RIG: OnceCell<Running> = OnceCell::const_new();

const PATH: &str = "/.well-known/oauth-protected-resource/mcp";

async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let resource = json!({
            "protected_resource": {
                "resource": "https://api.example.com/mcp",
                "authorization_servers": ["https://idp.example"],
                "scopes_supported": ["orders:read"],
            },
            "require_scope": ["orders:read"],
            "access_log_state": true,
        });
        let optional = json!({"credentials": "optional", "preflight": "pass"});
        let grpc = json!({"protected_resource": {
            "resource": "https://api.example.com/grpc",
            "authorization_servers": ["https://idp.example"],
        }});
        start(vec![
            ("grpc", one(grpc)),
            ("resource", one(resource.clone())),
            ("optional", one(merged(resource, optional))),
        ])
        .await
    });
    rig.await.gateway(name)
}

#[tokio::test]
async fn metadata_is_answered_before_any_token_is_looked_at() {
    for name in ["resource", "optional"] {
        let gw = gateway(name).await;
        for credentials in [None, Some("Bearer x"), Some("Basic y")] {
            let mut request = gw.get(PATH).host("api.example.com");
            if let Some(value) = credentials {
                request = request.header("authorization", value);
            }
            for response in [request.clone().send().await, request.send_h2().await] {
                assert_eq!(response.status, 200, "{response:?}");
                let expected = json!({
                    "resource": "https://api.example.com/mcp",
                    "authorization_servers": ["https://idp.example"],
                    "bearer_methods_supported": ["header"],
                    "scopes_supported": ["orders:read"],
                });
                assert_eq!(response.json(), expected);
                assert_eq!(response.header("content-type").as_deref(), Some("application/json"));
                assert_eq!(response.header("cache-control").as_deref(), Some("max-age=3600"));
            }
        }
        assert_eq!(outcome(&gw, PATH).await, "metadata;none;none");
        assert!(gw.provider.calls_with("x").is_empty());
    }
}

#[tokio::test]
async fn every_method_has_its_reply() {
    let gw = gateway("optional").await;
    for (method, status, body) in
        [("HEAD", 200, ""), ("OPTIONS", 204, ""), ("POST", 405, ""), ("DELETE", 405, "")]
    {
        let request = gw.request(method, PATH).host("api.example.com");
        let response = request.send().await;
        assert_eq!((response.status, response.text()), (status, body.to_owned()), "{method}");
        let origin = response.header("access-control-allow-origin");
        assert_eq!(origin.as_deref(), Some("*"), "{method}");
    }
    gw.upstream.assert_untouched();
    // Another host, and another path, are requests like any other.
    let other = gw.get(PATH).host("other.example").send().await;
    assert_eq!(other.status, 200);
    assert_eq!(other.json()["path"], PATH);
}

/// Envoy answers gRPC with status 200 and no body, which a cache would keep as the document.
#[tokio::test]
async fn a_grpc_request_is_authenticated_like_any_other() {
    let gw = gateway("grpc").await;
    let path = PATH.replace("mcp", "grpc");
    assert_eq!(gw.get(&path).host("api.example.com").send().await.status, 200);
    for method in ["GET", "POST", "OPTIONS"] {
        let request = gw.request(method, &path).host("api.example.com");
        let response = request.header("content-type", "application/grpc").send_h2().await;
        assert_eq!(response.header("grpc-status").as_deref(), Some("16"), "{response:?}");
        let caching = response.header("cache-control");
        assert!(!caching.is_some_and(|value| value.contains("max-age")), "{response:?}");
    }
    gw.upstream.assert_untouched();
}

#[tokio::test]
async fn challenges_lead_to_the_metadata_before_all_that_the_provider_says() {
    let gw = gateway("resource").await;
    let own = format!(
        r#"Bearer realm="api", resource_metadata="https://api.example.com{PATH}", scope="orders:read""#
    );
    gw.provider.answer(Provider::good());
    let scoped = jwt(&json!({"scope": "other"}));
    let evil = r#"Bearer error="invalid_token", error_description="a, scope=admin resource_metadata=x", scope="b""#;
    let refused = Reply::status(401).header("www-authenticate", evil);
    gw.provider.answer_token("refused", refused);
    let plain = r#"Bearer error="invalid_token", error_description="revoked""#;
    gw.provider.answer_token("plain", Reply::status(401).header("www-authenticate", plain));
    for (token, status, more) in [
        (None, 401, String::new()),
        (Some(""), 401, r#", error="invalid_request""#.to_owned()),
        (Some("refused"), 401, r#", error="invalid_token""#.to_owned()),
        (Some("plain"), 401, r#", error="invalid_token", error_description="revoked""#.to_owned()),
        (Some(&*scoped), 403, r#", error="insufficient_scope""#.to_owned()),
    ] {
        let mut request = gw.get("/orders");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.send().await;
        let found = (response.status, challenge(&response));
        assert_eq!(found, (status, format!("{own}{more}")), "{token:?}");
    }
}
