//! Introspection: the call to the byte, every answer, and the gateway's own client.

use integration::{Gate, Reply};
use tokio::sync::OnceCell;

use super::*;

static RIG: OnceCell<Running> = OnceCell::const_new();

async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let post = json!({
            "client_id": "gateway", "client_secret_env": "OIDC_CLIENT_SECRET",
            "auth_method": "client_secret_post",
        });
        let none = json!({"client_id": "gateway", "auth_method": "none"});
        let two = json!({
            "introspection_endpoint": {
                "regionCodeHeader": "X-Region",
                "regionCodeValue": {"FR": "http://fr.idp.example/introspect"},
                "defaultURI": "http://idp.example/introspect",
            },
            "introspection_client": {
                "FR": {"client_id": "fr", "client_secret": "f"},
                "default": {"client_id": "d", "client_secret": "d"},
            },
        });
        let cached = json!({"cache": {"shared": true, "negative_ttl": "1m"}});
        let kept = introspecting(cached);
        start(vec![
            ("basic", introspecting(json!({}))),
            ("post", introspecting(json!({"introspection_client": post}))),
            ("none", introspecting(json!({"introspection_client": none}))),
            ("regions", introspecting(two)),
            ("answers", introspecting(json!({}))),
            ("cached", kept.clone()),
            ("refused", introspecting(json!({"cache": {"stale_if_error": "10m", "ttl": "1s"}}))),
            ("joined", kept),
            ("shown", introspecting(json!({}))),
            ("texts", introspecting(json!({"require_subject": true}))),
        ])
        .await
    });
    rig.await.gateway(name)
}

fn active() -> Reply {
    Reply::json(200, &json!({"active": true, "sub": "alice"}))
}

#[tokio::test]
async fn call_is_a_form_that_presents_the_client() {
    // "gateway" and the secret, each form-encoded.
    let pair = "gateway:s3cret%3A%2F%2B%C3%BC";
    let basic = base64::engine::general_purpose::STANDARD.encode(pair);
    let form = "token=to%2Bk%2Fen%3D&token_type_hint=access_token";
    for (name, authorization, body) in [
        ("basic", Some(format!("Basic {basic}")), form.to_owned()),
        ("post", None, format!("{form}&client_id=gateway&client_secret=s3cret%3A%2F%2B%C3%BC")),
        ("none", None, format!("{form}&client_id=gateway")),
    ] {
        let gw = gateway(name).await;
        gw.provider.answer(active());
        let request = gw.get("/orders").bearer("to+k/en=").header("cookie", "c=1");
        for response in [request.clone().send().await, request.send_h2().await] {
            assert_eq!(response.status, 200, "{name}: {response:?}");
            assert_eq!(response.upstream_header("x-user-id").as_deref(), Some("alice"));
            assert_eq!(response.upstream_header("authorization"), None);
        }
        for call in gw.provider.take_calls() {
            assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/introspect"));
            assert_eq!(call.headers.get("authorization"), authorization, "{name}");
            assert_eq!(String::from_utf8_lossy(&call.body), body, "{name}");
            let length = body.len().to_string();
            for (header, value) in [
                ("content-type", Some("application/x-www-form-urlencoded")),
                ("content-length", Some(&*length)),
                ("accept", Some("application/json")),
                ("cookie", None),
            ] {
                assert_eq!(call.headers.get(header).as_deref(), value, "{name} {header}");
            }
        }
    }
}

#[tokio::test]
async fn every_region_is_asked_as_its_own_client() {
    let gw = gateway("regions").await;
    gw.provider.answer(active());
    for (region, client) in [("FR", "ZnI6Zg=="), ("", "ZDpk"), ("XX", "ZDpk")] {
        let request = gw.get("/orders").bearer("t").header("x-region", region);
        assert_eq!(request.send().await.status, 200, "{region}");
        let [call] = &gw.provider.take_calls()[..] else { panic!("not one call for {region}") };
        let authorization = call.headers.get("authorization");
        assert_eq!(authorization, Some(format!("Basic {client}")), "{region}");
    }
}

#[tokio::test]
async fn only_an_active_access_token_passes() {
    let gw = gateway("answers").await;
    let old = json!(1);
    for (row, (answer, status, told)) in [
        (json!({"active": true}), 200, "pass"),
        (json!({"active": true, "token_type": "bearer", "exp": 99_999_999_999_u64}), 200, "pass"),
        (json!({"active": false}), 401, "invalid_token"),
        (json!({"active": false, "sub": "alice"}), 401, "invalid_token"),
        (json!({"active": true, "token_type": "DPoP"}), 401, "invalid_token"),
        (json!({"active": true, "typ": "Refresh"}), 401, "invalid_token"),
        (json!({"active": true, "token_use": "refresh_token"}), 401, "invalid_token"),
        (json!({"active": true, "cnf": {"jkt": "k"}}), 401, "invalid_token"),
        (json!({"active": true, "exp": old}), 401, "invalid_token"),
        (json!({"active": true, "nbf": 99_999_999_999_u64}), 401, "invalid_token"),
        (json!({"active": "true"}), 502, "unusable"),
        (json!({"active": 1}), 502, "unusable"),
        (json!({"sub": "alice"}), 502, "unusable"),
        (json!([{"active": true}]), 502, "unusable"),
    ]
    .into_iter()
    .enumerate()
    {
        gw.provider.answer(Reply::json(200, &answer));
        let path = format!("/answers/{row}");
        let response = gw.get(&path).bearer(&format!("t{row}")).send().await;
        assert_eq!(response.status, status, "{answer}");
        assert_eq!(outcome(&gw, &path).await, format!("{told};asked;default"), "{answer}");
        let is_challenged = challenge(&response).contains(r#"error="invalid_token""#);
        assert_eq!(is_challenged, status == 401, "{answer}");
    }
    let signed = Reply::text(200, "e30.e30.c2ln")
        .header("content-type", "application/token-introspection+jwt");
    gw.provider.answer(signed);
    assert_eq!(gw.get("/orders").bearer("signed").send().await.status, 502);
}

#[tokio::test]
async fn verdicts_are_kept_and_a_good_one_passes_again() {
    let gw = gateway("cached").await;
    for (token, answer, status, told) in [
        ("good", active(), 200, "pass"),
        ("bad", Reply::json(200, &json!({"active": false})), 401, "invalid_token"),
    ] {
        gw.provider.answer_token(token, answer);
        for (round, source) in ["asked", "hit", "hit"].iter().enumerate() {
            let path = format!("/kept/{token}/{round}");
            assert_eq!(gw.get(&path).bearer(token).send().await.status, status, "{token}");
            assert_eq!(outcome(&gw, &path).await, format!("{told};{source};default"));
        }
        assert_eq!(gw.provider.calls_with(token).len(), 1, "{token}");
    }
}

#[tokio::test]
async fn requests_at_the_same_time_share_one_call() {
    let gw = gateway("joined").await;
    let gate = Gate::closed();
    gw.provider.answer_token("crowd", active().held_by(&gate));
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let request = gw.get("/orders").bearer("crowd");
        requests.spawn(async move { request.send().await.status });
    }
    gw.provider.wait_calls(1).await;
    gw.envoy.wait_stat("wasmcustom.oidc_requests_waiting", |waiting| waiting >= 8).await;
    gate.open();
    assert_eq!(requests.join_all().await, [200; 8]);
    assert_eq!(gw.provider.calls_with("crowd").len(), 1);
}

/// A provider may tell each client something else: no verdict of the one serves the other.
#[tokio::test]
async fn two_clients_have_verdicts_of_their_own() {
    let cached = introspecting(json!({"cache": {"shared": true, "negative_ttl": "1m"}}));
    let as_other = json!({"introspection_client": {"client_id": "other", "client_secret": "x"}});
    let listener = Listener::reference().config(cached.clone());
    let listener = listener.instance("other", "/other", merged(cached, as_other));
    let setup = Setup::new().environment("OIDC_CLIENT_SECRET", SECRET).listener(listener);
    let gw = setup.start().await.gateway("gateway");
    gw.provider.answer_with(|call| {
        let as_other = call.headers.get("authorization").as_deref() == Some("Basic b3RoZXI6eA==");
        Some(Reply::json(200, &json!({"active": !as_other, "sub": "alice"})))
    });
    for _ in 0..2 {
        assert_eq!(gw.get("/orders").bearer("both").send().await.status, 200);
        assert_eq!(gw.get("/other").bearer("both").send().await.status, 401);
    }
    assert_eq!(gw.provider.calls_with("both").len(), 2);
}

#[tokio::test]
async fn refused_client_is_no_verdict_and_no_outage() {
    let gw = gateway("refused").await;
    for status in [400, 401, 403, 404, 410] {
        let token = format!("t{status}");
        gw.provider.answer_token(&token, active());
        assert_eq!(gw.get("/orders").bearer(&token).send().await.status, 200);
        let refusal = Reply::json(status, &json!({"error": "invalid_token"}))
            .header("www-authenticate", r#"Bearer error="invalid_token""#);
        gw.provider.answer_token(&token, refusal);
        // Until the verdict's second is over it serves; then only the client is refused.
        let refused = async {
            loop {
                let response = gw.get("/orders").bearer(&token).send().await;
                if response.status != 200 {
                    return response;
                }
            }
        };
        let response = refused.await;
        assert_eq!((response.status, challenge(&response)), (503, String::new()), "{status}");
        gw.provider.answer_token(&token, active());
        assert_eq!(gw.get("/orders").bearer(&token).send().await.status, 200, "{status}");
    }
    let reason = "wasmcustom.oidc_reason.introspection_client_refused";
    gw.envoy.wait_stat(reason, |number| number >= 5).await;
    gw.envoy
        .log()
        .wait_for("cluster idp_default_refused, region default: the endpoint refuses")
        .await;
}

/// The replies name the endpoint that is asked, and say that a machine's token has no subject.
#[tokio::test]
async fn replies_are_about_introspection() {
    let gw = gateway("texts").await;
    let unusable = r#"{"error":"TargetEndpointError","error_description":"No usable response from the introspection endpoint."}"#;
    let no_subject = r#"{"error":"invalid_token","error_description":"The provider does not name a subject of the access token, which this resource requires."}"#;
    let relayed = "Error Response retrieved from introspection endpoint. Response Code - 429";
    for (token, answer, status, body) in [
        ("machine", Reply::json(200, &json!({"active": true})), 401, no_subject),
        ("none", Reply::json(200, &json!({})), 502, unusable),
        ("client", Reply::status(401), 503, unusable),
        ("limited", Reply::status(429), 429, relayed),
    ] {
        gw.provider.answer_token(token, answer);
        let response = gw.get("/orders").bearer(token).send().await;
        assert_eq!((response.status, &*response.text()), (status, body), "{token}");
    }
}

/// Neither the secret nor a token is in anything that Envoy writes or shows.
#[tokio::test]
async fn nothing_shows_the_secret() {
    let gw = gateway("shown").await;
    gw.provider.answer(active());
    gw.get("/orders").bearer("canary-token").send().await;
    let log = gw.envoy.log().text();
    assert!(!log.contains(SECRET) && !log.contains("canary-token"), "{log}");
    let stats = gw.envoy.admin_get("/stats").await.expect("statistics").text();
    assert!(!stats.contains("s3cret") && !stats.contains("canary-token"));
}

#[tokio::test]
async fn secret_that_is_absent_is_a_problem_of_the_configuration() {
    let config = introspecting(json!({"introspection_client":
        {"client_id": "gateway", "client_secret_env": "ODD5EC2E7"}}));
    let failure = Gateway::try_start(Listener::reference().config(config)).await.err();
    let told = format!("{:?}", failure.expect("it does not start"));
    let problem =
        "introspection_client.client_secret_env: the variable is not in the VM's environment";
    assert!(told.contains(problem), "{told}");
    // Such a name may be the secret itself, in the wrong place.
    assert!(!told.contains("ODD5EC2E7"), "{told}");
}
