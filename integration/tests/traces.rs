//! The traces of a request on the real Envoy: the call at the provider, the headers at the
//! upstream, the line in the access log, the counters.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use base::{one, pairs, regions, upstream_saw};
use integration::{Gate, Gateway, Listener, Provider, Reply, Running, Setup};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static RIG: OnceCell<Running> = OnceCell::const_new();

/// The listener of one test, in the Envoy that all tests of this file share.
async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let named = |name: &str, config: Value| Listener::named(name).config(config);
        Setup::new()
            .listener(named("get", one(json!({"userinfo_method": "GET"}))))
            .listener(named("post", one(json!({"userinfo_method": "POST"}))))
            .listener(named("retries", one(json!({}))))
            .listener(named("told", one(json!({}))))
            .listener(named(
                "fixed",
                one(json!({"userinfo_headers": {
                    "User-Agent": "gateway/1 (ops@example.com)",
                    "X-Tenant": "travel",
                    "Accept": "application/json, application/scim+json",
                }})),
            ))
            .listener(named("region_header", regions(json!({"region_header": "X-User-Region"}))))
            .listener(named("forwarded", one(json!({"block_authorization_header": false}))))
            .listener(named("removed", one(json!({"block_authorization_header": true}))))
            .listener(named("logged", regions(json!({"access_log_state": true}))))
            .listener(named("unlogged", one(json!({}))))
            .start()
            .await
    });
    rig.await.gateway(name)
}

/// The headers that Envoy itself adds to a call.
const OF_ENVOY: [&str; 3] =
    ["x-envoy-internal", "x-envoy-expected-rq-timeout-ms", "x-forwarded-proto"];

#[tokio::test]
async fn provider_gets_only_token_and_well_formed_identifiers() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for method in ["GET", "POST"] {
        let gw = gateway(&method.to_lowercase()).await;
        let r = gw
            .post("/orders?secret=query", "secret body")
            .bearer("good")
            .host("secret.example")
            .header("cookie", "session=secret")
            .header("user-agent", "secret-browser")
            .header("accept", "secret/*")
            .header("content-type", "secret/type")
            .header("x-forwarded-for", "203.0.113.9")
            .header("x-request-id", "secret-id")
            .header("x-envoy-retry-on", "5xx")
            .header("x-envoy-max-retries", "9")
            .header("x-envoy-upstream-rq-timeout-ms", "1")
            .header("x-custom", "secret")
            .header("traceparent", PARENT)
            .header("tracestate", "secret")
            .header("x-b3-traceid", "secret")
            .header("baggage", "user=secret")
            .send()
            .await;
        assert_eq!(r.status, 200, "{r:?}");
        assert_eq!(gw.upstream.only().body, b"secret body");
        // Envoy gives every request from outside one of its own.
        let id = r.upstream_header("x-request-id").expect("an identifier");
        assert_ne!(id, "secret-id");

        let call = gw.provider.only_call();
        assert_eq!((call.method.as_str(), call.target.as_str()), (method, "/userinfo"));
        assert_eq!(call.body, b"");
        let mut lines: Vec<(String, String)> = call
            .headers
            .0
            .iter()
            .filter(|(name, _)| !OF_ENVOY.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).unwrap()))
            .collect();
        lines.sort();
        let agent = format!("oidc-token-connector/{}", env!("CARGO_PKG_VERSION"));
        let mut expected = pairs(&[
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("authorization", "Bearer good"),
            ("host", "idp.example"),
            ("traceparent", PARENT),
            ("user-agent", &agent),
            ("x-request-id", &id),
        ]);
        if method == "POST" {
            expected.insert(3, ("content-length".to_owned(), "0".to_owned()));
        }
        assert_eq!(lines, expected, "{call:?}");
        let of_envoy = call.headers.0.iter().filter(|(n, _)| OF_ENVOY.contains(&n.as_str()));
        assert!(of_envoy.clone().all(|(_, v)| !v.starts_with(b"secret")), "{call:?}");
        assert_eq!(call.headers.all("x-envoy-expected-rq-timeout-ms"), ["5000"]);
    }
}

#[tokio::test]
async fn client_retry_headers_cause_no_second_call() {
    let gw = gateway("retries").await;
    gw.provider.answer(Reply::status(503));
    let r = gw
        .get("/")
        .bearer("t")
        .header("x-envoy-retry-on", "5xx")
        .header("x-envoy-max-retries", "3")
        .send()
        .await;
    assert_eq!(r.status, 503, "{r:?}");
    assert_eq!(gw.provider.count(), 1);
}

#[tokio::test]
async fn userinfo_headers_are_sent_with_every_call() {
    let gw = gateway("fixed").await;
    let r = gw
        .get("/")
        .bearer("good")
        .header("user-agent", "browser")
        .header("x-tenant", "forged")
        .header("accept", "*/*")
        .send()
        .await;
    assert_eq!(r.status, 200, "{r:?}");
    let call = gw.provider.only_call();
    assert_eq!(call.headers.all("user-agent"), ["gateway/1 (ops@example.com)"]);
    assert_eq!(call.headers.all("x-tenant"), ["travel"]);
    assert_eq!(call.headers.all("accept"), ["application/json, application/scim+json"]);
    // They concern the provider alone.
    assert_eq!(r.upstream_header("user-agent").as_deref(), Some("browser"));
    assert_eq!(r.upstream_header("x-tenant").as_deref(), Some("forged"));
}

/// Such a server compresses unless the request forbids it: without the field any coding is allowed.
#[tokio::test]
async fn call_asks_for_identity_encoding() {
    let gw = gateway("told").await;
    gw.provider.answer_with(|call| {
        let told = call.headers.all("accept-encoding") == ["identity"];
        Some(if told { Provider::good() } else { Provider::good().gzip() })
    });
    // The client's own coding concerns only the backend.
    let request = gw.get("/").bearer("good").header("accept-encoding", "gzip, br");
    for r in [request.clone().send().await, request.send_h2().await] {
        assert_eq!(r.status, 200, "{r:?}");
        assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("248289761001"));
        assert_eq!(r.upstream_header("accept-encoding").as_deref(), Some("gzip, br"));
    }
}

#[tokio::test]
async fn region_header_has_the_used_region() {
    let gw = gateway("region_header").await;
    gw.provider.answer(Provider::good());
    for (code, used) in
        [(Some("FR"), "FR"), (Some("DE"), "DE"), (Some("SE"), "default"), (None, "default")]
    {
        let mut request = gw.get("/").bearer("t").header("x-user-region", "forged");
        request = request.header("X-User-Region", "forged again");
        if let Some(code) = code {
            request = request.header("x-region", code);
        }
        let r = request.send().await;
        assert_eq!(upstream_saw(&r, &["x-user-region"]), pairs(&[("x-user-region", used)]));
    }
}

#[tokio::test]
async fn forwarded_authorization_is_unchanged() {
    let gw = gateway("forwarded").await;
    for value in ["Bearer good", "bearer good", "BEARER   good", "bEaReR  good"] {
        let r = gw.get("/").header("AUTHORIZATION", value).send().await;
        assert_eq!(r.status, 200, "{value:?} {r:?}");
        let received = gw.upstream.received().pop().unwrap();
        assert_eq!(received.headers.bytes("authorization"), [value.as_bytes()]);
        // The provider gets the canonical form.
        assert_eq!(
            gw.provider.calls().pop().unwrap().headers.all("authorization"),
            ["Bearer good"]
        );
    }
    let gw = gateway("removed").await;
    let r = gw.get("/").header("authorization", "bEaReR  good").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert!(!gw.upstream.only().headers.has("authorization"));
}

#[tokio::test]
async fn access_log_has_the_outcome() {
    let gw = gateway("logged").await;
    gw.provider
        .answer_token("forbidden", Reply::status(403))
        .answer_token("busy", Reply::status(429))
        .answer_token("cut", Reply::close())
        .answer_token("empty", Reply::status(204))
        .answer_token("page", Reply::text(200, "<html>"));
    let rows = [
        (Some("Bearer good"), Some("FR"), 200, "pass;asked;FR", "via_upstream"),
        (Some("Bearer good"), Some("SE"), 200, "pass;asked;default", "via_upstream"),
        (None, Some("FR"), 401, "no_credentials;none;none", "no_credentials:absent"),
        (Some(""), None, 401, "no_credentials;none;none", "no_credentials:empty"),
        (Some("Basic eA=="), None, 401, "no_credentials;none;none", "no_credentials:other_scheme"),
        (Some("Bearer a b"), None, 401, "malformed;none;none", "malformed:not_a_token"),
        (
            Some("Bearer old"),
            Some("US"),
            401,
            "invalid_token;asked;US",
            "invalid_token:provider_4xx",
        ),
        (Some("Bearer forbidden"), None, 403, "forbidden;asked;default", "forbidden:provider_4xx"),
        (
            Some("Bearer busy"),
            None,
            429,
            "provider_error;asked;default",
            "provider_error:provider_4xx",
        ),
        (Some("Bearer cut"), None, 401, "unavailable;asked;default", "unavailable:unreachable"),
        (
            Some("Bearer empty"),
            None,
            401,
            "unavailable;asked;default",
            "unavailable:unexpected_status",
        ),
        (Some("Bearer page"), Some("DE"), 401, "unusable;asked;DE", "unusable:not_a_json_object"),
    ];
    for (number, (authorization, region, status, outcome, details)) in rows.iter().enumerate() {
        let path = format!("/logged/{number}");
        let mut request = gw.get(&path);
        for (name, value) in [("authorization", authorization), ("x-region", region)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        assert_eq!(request.send().await.status, *status, "{outcome}");
        let entry = gw.envoy.access_entry(&format!("\"{path}\"")).await;
        assert_eq!(entry["outcome"], *outcome, "{entry}");
        let expected = match *details {
            "via_upstream" => "via_upstream".to_owned(),
            reason => format!("oidc_token_connector{{{reason}}}"),
        };
        assert_eq!(entry["details"], expected, "{entry}");
    }
}

#[tokio::test]
async fn without_access_log_state_only_details_are_set() {
    let gw = gateway("unlogged").await;
    gw.get("/unlogged/1").bearer("good").send().await;
    gw.get("/unlogged/2").send().await;
    let passed = gw.envoy.access_entry("\"/unlogged/1\"").await;
    assert_eq!((&passed["outcome"], &passed["status"]), (&Value::Null, &json!(200)), "{passed}");
    let refused = gw.envoy.access_entry("\"/unlogged/2\"").await;
    assert_eq!(refused["outcome"], Value::Null, "{refused}");
    assert_eq!(refused["details"], "oidc_token_connector{no_credentials:absent}", "{refused}");
}

/// In an Envoy of its own: the counters are one set for all listeners.
#[tokio::test]
async fn counters_add_up() {
    let config = regions(json!({"unknown_region": "reject", "preflight": "pass"}));
    let gw = Gateway::start(
        Listener::reference().without_filter("envoy.filters.http.cors").config(config),
    )
    .await;
    let held = Gate::closed();
    gw.provider
        .answer_token("forbidden", Reply::status(403))
        .answer_token("busy", Reply::status(500))
        .answer_token("cut", Reply::reset())
        .answer_token("page", Reply::text(200, "<html>"))
        .answer_token("held", Provider::good().held_by(&held));
    for token in ["good", "good", "good", "old", "old", "forbidden", "busy", "cut", "page", "a,b"] {
        gw.get("/").bearer(token).send().await;
    }
    gw.get("/").send().await;
    gw.get("/").header("x-region", "SE").bearer("good").send().await;
    let preflight = gw.request("OPTIONS", "/").header("origin", "https://app.example");
    preflight.header("access-control-request-method", "GET").send().await;
    let mut leaving = gw.connect().await.unwrap();
    leaving.write(gw.get("/").bearer("held").to_bytes()).await.unwrap();
    gw.envoy.wait_stat("wasmcustom.oidc_requests_waiting", |n| n == 1).await;
    leaving.reset().unwrap();
    gw.envoy.wait_stat("wasmcustom.oidc_outcome.client_gone", |n| n == 1).await;

    let stats = gw.envoy.stats().await;
    let outcomes: Vec<(&str, u64)> = stats
        .iter()
        .filter_map(|(n, v)| Some((n.strip_prefix("wasmcustom.oidc_outcome.")?, *v)))
        .collect();
    let expected = [
        ("anonymous", 0),
        ("claim_refused", 0),
        ("client_gone", 1),
        ("forbidden", 1),
        ("internal", 0),
        ("invalid_token", 2),
        ("malformed", 1),
        ("metadata", 0),
        ("misconfigured", 0),
        ("no_credentials", 1),
        ("pass", 3),
        ("preflight", 1),
        ("provider_error", 1),
        ("unavailable", 1),
        ("unknown_region", 1),
        ("unusable", 1),
        ("wrong_audience", 0),
        ("wrong_issuer", 0),
    ];
    assert_eq!(outcomes, expected);
    let sum: u64 = outcomes.iter().map(|(_, count)| count).sum();
    assert_eq!(stats["wasmcustom.oidc_requests"], sum);
    gw.envoy.assert_no_vm_restart().await;
}
