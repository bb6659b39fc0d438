//! How values are written, and UserInfo as a JWT.

use integration::Reply;
use tokio::sync::OnceCell;

use super::*;
use base::one;

static RIG: OnceCell<Running> = OnceCell::const_new();

async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let headers = json!({"inject_headers": {"default": {
            "X-Percent": {"path": "$.text", "encode": "percent"},
            "X-Base64": {"path": "$.text", "encode": "base64url"},
            "X-List": {"path": "$.list", "list": true},
            "X-Many": {"path": "$.list[*]", "list": true},
            "X-Token": {"path": "$.tenant", "of": "token"},
        }}});
        let signed = |choice: &str| {
            let endpoint = json!({"defaultURI": "https://idp.example/userinfo"});
            one(json!({"userinfo_endpoint": endpoint, "userinfo_jwt": choice,
                       "userinfo_unavailable": {"status": 503}}))
        };
        start(vec![
            ("values", one(headers)),
            ("trusts", signed("trust_tls")),
            ("refuses", signed("refuse")),
        ])
        .await
    });
    rig.await.gateway(name)
}

#[tokio::test]
async fn every_encoding_and_list() {
    let gw = gateway("values").await;
    let token = jwt(&json!({"tenant": "acme"}));
    let names = ["x-percent", "x-base64", "x-list", "x-many", "x-token"];
    for (body, expected) in [
        (
            json!({"text": "1 Rue\nÉ~._-/%", "list": "a"}),
            [
                Some("1%20Rue%0A%C3%89~._-%2F%25"),
                Some("MSBSdWUKw4l-Ll8tLyU"),
                Some(r#"["a"]"#),
                None,
            ],
        ),
        (
            json!({"text": " a ", "list": ["a", 1]}),
            [Some("%20a%20"), Some("IGEg"), Some(r#"["a",1]"#), Some(r#"["a",1]"#)],
        ),
        (json!({"text": "", "list": null}), [None; 4]),
        (json!({"text": null, "list": ""}), [None; 4]),
        (json!({"list": []}), [None, None, Some("[]"), None]),
        (json!({"list": {"a": 1}}), [None, None, Some(r#"[{"a":1}]"#), Some("[1]")]),
        (json!({"text": "é".repeat(2048)}), [None; 4]),
    ] {
        gw.provider.answer(Reply::json(200, &body));
        let response = gw.get("/orders").bearer(&token).forging(&names).send().await;
        let seen = names.map(|name| response.upstream_header(name));
        let expected = expected.into_iter().chain([Some("acme")]).map(|v| v.map(str::to_owned));
        assert_eq!(seen.to_vec(), expected.collect::<Vec<_>>(), "{body}");
    }
}

#[tokio::test]
async fn signed_userinfo_counts_where_tls_is_trusted() {
    let signed = |text: String| Reply::text(200, text).header("content-type", "application/jwt");
    let good = signed(jwt(&json!({"sub": "alice", "aud": "client"})));
    let encrypted = signed("e30.e30.e30.e30.e30".to_owned());
    let json = Reply::json(200, &json!({"sub": "alice"}));
    for (name, reply, status) in [
        ("trusts", good.clone(), 200),
        ("trusts", json.clone(), 200),
        ("trusts", signed(jwt(&json!({"sub": "alice", "exp": 1}))), 401),
        (
            "trusts",
            Reply::text(200, jwt(&json!({"sub": "alice"})))
                .header("content-type", "application/token-introspection+jwt"),
            502,
        ),
        ("trusts", encrypted.clone(), 502),
        ("trusts", signed(jwt_of(&json!({"alg": "none"}), br#"{"sub":"alice"}"#)), 502),
        ("trusts", signed(jwt_of(&json!({"alg": "RS256"}), b"alice")), 502),
        ("refuses", good, 502),
        ("refuses", json, 200),
        ("refuses", encrypted, 502),
    ] {
        let gw = gateway(name).await;
        gw.provider.answer(reply);
        let response = gw.get("/orders").bearer("t").send().await;
        assert_eq!(response.status, status, "{name}: {response:?}");
        if status == 200 {
            assert_eq!(response.upstream_header("x-user-id").as_deref(), Some("alice"));
        }
    }
}
