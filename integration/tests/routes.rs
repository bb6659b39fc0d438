//! The filter with other filters and on several routes, mostly in the unchanged reference
//! configuration: which instance decides, and what Envoy's own filters do before it. A route must
//! never be unprotected because of a missing line.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use base::{one, pairs, upstream_saw};
use integration::{
    Config, DEFAULT_INSTANCE, Gateway, Listener, Provider, Reply, Request, Response, Running, Setup,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const CORS: &str = "envoy.filters.http.cors";

static RIG: OnceCell<Running> = OnceCell::const_new();

/// The listener of one test, in the Envoy that all tests of this file share.
async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let pass = || one(json!({"preflight": "pass", "region_header": "X-User-Region"}));
        let added = json!({
            "name": "added later",
            "match": {"prefix": "/added"},
            "route": {"cluster": "upstream"},
        });
        let second = json!({
            "userinfo_endpoint": {"defaultURI": "http://idp.example/second/userinfo"},
            "clusters": {"idp.example": "idp_default"},
            "inject_headers": {"X-Second-Name": "$.name", "X-Shared": "$.email"},
            "block_authorization_header": false,
        });
        let first = one(json!({"inject_headers": {"X-User-Id": "$.sub", "X-Shared": "$.uid"}}));
        Setup::new()
            .listener(Listener::named("default"))
            .listener(Listener::named("partners"))
            .listener(Listener::named("public"))
            .listener(Listener::named("added").route_first(added))
            .listener(Listener::named("machines"))
            .listener(Listener::named("cors"))
            .listener(Listener::named("no_cors").without_filter(CORS))
            .listener(Listener::named("pass").without_filter(CORS).config(pass()))
            .listener(Listener::named("pass_first").config(pass()).edit(filter_before_cors))
            .listener(Listener::named("two").config(first).instance(
                "second",
                "/second",
                Config::Struct(second),
            ))
            .start()
            .await
    });
    rig.await.gateway(name)
}

/// The order in Istio, where the filter is before CORS.
fn filter_before_cors(listener: &mut Value) {
    let chain = &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
    let chain = chain.as_array_mut().unwrap();
    let of = |name: &str, chain: &[Value]| chain.iter().position(|f| f["name"] == name).unwrap();
    let filter = chain.remove(of(DEFAULT_INSTANCE, chain));
    chain.insert(of(CORS, chain), filter);
}

#[track_caller]
fn assert_no_credentials(r: &Response) {
    let error = &r.json()["error"];
    assert_eq!((r.status, error), (401, &json!("InvalidAuthorizationHeaderValue")), "{r:?}");
    assert_eq!(r.header("www-authenticate").as_deref(), Some(r#"Bearer realm="api""#), "{r:?}");
}

#[tokio::test]
async fn default_instance_decides_on_unconfigured_routes() {
    let gw = gateway("default").await;
    for path in ["/", "/orders", "/publicity", "/partnersx", "/x/public", "/x/../orders"] {
        assert_no_credentials(&gw.get(path).send().await);
    }
    // One spelling per path: neither of these is a public path, and the others are no path at all.
    for path in [
        "/public/../orders",
        "/public/%2e%2e/orders",
        "//orders",
        "/public/%2e%2e;/orders",
        "/public/..;/orders",
        "/public/..%3b/orders",
        "/public/%252e%252e/orders",
        "/public/..%09/orders",
        "/public/.hidden",
    ] {
        assert_no_credentials(&gw.get(path).send().await);
    }
    for path in ["/public/..%2forders", "/public%2f..%2forders", "/public%5c..%5corders"] {
        assert_eq!(gw.get(path).send().await.status, 400, "{path}");
    }
    assert_eq!(gw.provider.count(), 0);
    gw.upstream.assert_untouched();

    let request = gw.get("/orders").bearer("good").header("x-region", "FR");
    let r = request.forging(&IDENTITY).send().await;
    let names = ["x-user-id", "x-user-name", "x-user-groups", "x-user-email", "x-account-number"];
    let expected = [
        ("x-user-id", "248289761001"),
        ("x-user-name", "Claes Rosenlöf"),
        ("x-user-groups", "travel,approvers"),
    ];
    assert_eq!(upstream_saw(&r, &names), pairs(&expected), "{r:?}");
    assert_eq!(
        upstream_saw(&r, &["x-user-region", "authorization"]),
        pairs(&[("x-user-region", "FR")])
    );
    let call = gw.provider.only_call();
    assert_eq!((call.method.as_str(), call.target.as_str()), ("GET", "/userinfo"));
    assert_eq!(call.headers.all("host"), ["fr.idp.example"]);

    // One group as text, as some providers write it.
    gw.provider.answer(Reply::json(200, &json!({"sub": "1", "groups": "travel"})));
    let r = gw.get("/orders").bearer("other").header("x-region", "FR").send().await;
    assert_eq!(upstream_saw(&r, &["x-user-groups"]), pairs(&[("x-user-groups", "travel")]));
}

/// Names that the reference configuration's instances inject.
const IDENTITY: [&str; 8] = [
    "x-user-id",
    "x-user-name",
    "x-user-groups",
    "x-user-email",
    "x-account-number",
    "x-user-region",
    "x-partner-id",
    "x-partner-roles",
];

#[tokio::test]
async fn route_replaces_the_default_instance() {
    let gw = gateway("partners").await;
    gw.provider.answer_path("/partners/userinfo", Provider::good());
    gw.provider.answer_token("old", Provider::expired());
    let r = gw.get("/partners/logged").bearer("partner").forging(&IDENTITY).send().await;
    assert_eq!(r.status, 200, "{r:?}");
    let expected = [
        ("x-partner-id", "248289761001"),
        ("x-partner-roles", r#"["buyer"]"#),
        ("authorization", "Bearer partner"),
    ];
    let names = ["x-partner-id", "x-partner-roles", "authorization"];
    assert_eq!(upstream_saw(&r, &names), pairs(&expected));
    let call = gw.provider.only_call();
    assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/partners/userinfo"));
    let entry = gw.envoy.access_entry("\"/partners/logged\"").await;
    assert_eq!(entry["outcome"], "pass;asked;default", "the default instance decided too: {entry}");
    assert_eq!(entry["upstream"], "partners_partners", "{entry}");

    // Its own replies, too.
    let came = gw.upstream.count();
    let r = gw.get("/partners/offers").send().await;
    assert_eq!((r.status, r.text().as_str()), (403, r#"{"message":"Not a partner"}"#), "{r:?}");
    assert_eq!(r.header("x-error-detail-header").as_deref(), Some("Partner access denied"));
    let r = gw.get("/partners/offers").bearer("old").send().await;
    assert_eq!((r.status, r.text().as_str()), (401, "The access token expired"), "{r:?}");
    assert_eq!(gw.upstream.count(), came);

    // The default instance knows nothing of it.
    let r = gw.get("/orders").bearer("partner").send().await;
    assert_eq!(r.status, 401, "{r:?}");
    assert_eq!(gw.provider.calls().last().unwrap().target, "/userinfo");
}

#[tokio::test]
async fn public_route_makes_no_call_and_strips_identity() {
    let gw = gateway("public").await;
    for request in [gw.get("/public"), gw.get("/public/health").bearer("good")] {
        let r = request.forging(&IDENTITY).send().await;
        assert_eq!(r.status, 200, "{r:?}");
        let names = [&IDENTITY[..6], &["authorization"]].concat();
        assert_eq!(upstream_saw(&r, &names), []);
    }
    assert_eq!(gw.provider.count(), 0);
    let entry = gw.envoy.access_entry("\"/public/health\"").await;
    assert_eq!((&entry["outcome"], &entry["status"]), (&Value::Null, &json!(200)), "{entry}");
}

#[tokio::test]
async fn new_route_is_protected() {
    let gw = gateway("added").await;
    assert_no_credentials(&gw.get("/added/later").send().await);
    assert_eq!(gw.get("/added/later").bearer("old").send().await.status, 401);
    gw.upstream.assert_untouched();
    let r = gw.get("/added/later").bearer("good").forging(&IDENTITY).send().await;
    assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("248289761001"), "{r:?}");
    assert_eq!(gw.upstream.count(), 1);
}

#[tokio::test]
async fn the_key_check_runs_before_the_filter() {
    let gw = gateway("machines").await;
    let machine = || gw.get("/machines/7");
    for request in [machine(), machine().bearer("good"), machine().header("x-api-key", "wrong")] {
        let r = request.send().await;
        // With Envoy's own text, so it was Envoy's filter.
        assert_eq!(r.status, 401, "{r:?}");
        assert!(r.text().starts_with("Client authentication failed"), "{r:?}");
        assert_eq!(r.header("x-mashery-error-code"), None);
    }
    assert_eq!(gw.provider.count(), 0);
    assert_no_credentials(&machine().header("x-api-key", "demo-key").send().await);
    let r = machine().header("x-api-key", "demo-key").bearer("old").send().await;
    assert_eq!(r.status, 401, "{r:?}");
    assert_eq!(gw.provider.count(), 1);
    gw.upstream.assert_untouched();

    let r = machine().header("x-api-key", "demo-key").bearer("good").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    let headers = gw.upstream.only().headers;
    assert_eq!(headers.all("x-user-id"), ["248289761001"]);
    assert!(!headers.has("x-api-key") && !headers.has("authorization"), "{headers:?}");
    // The provider does not get the key.
    assert!(!gw.provider.calls().iter().any(|call| call.headers.has("x-api-key")));
}

/// A preflight as a browser sends it.
fn preflight(gw: &Gateway, path: &str) -> Request {
    gw.request("OPTIONS", path)
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type")
}

#[tokio::test]
async fn envoys_cors_filter_answers_preflights_and_opens_refusals_to_the_page() {
    let gw = gateway("cors").await;
    for path in ["/orders", "/partners/offers", "/machines/7"] {
        let r = preflight(&gw, path).send().await;
        assert_eq!(r.status, 200, "{path} {r:?}");
        let allowed = r.header("access-control-allow-origin");
        assert_eq!(allowed.as_deref(), Some("https://app.example"), "{path}");
        let headers = r.header("access-control-allow-headers");
        assert_eq!(headers.as_deref(), Some("authorization, content-type, x-region"), "{path}");
    }
    assert_eq!(gw.provider.count(), 0);
    gw.upstream.assert_untouched();

    let from_page = |path: &str| gw.get(path).header("origin", "https://app.example");
    for r in [from_page("/orders").send().await, from_page("/orders").bearer("old").send().await] {
        assert_eq!(r.status, 401, "{r:?}");
        let allowed = r.header("access-control-allow-origin");
        assert_eq!(allowed.as_deref(), Some("https://app.example"), "{r:?}");
        let exposed = r.header("access-control-expose-headers").unwrap_or_default();
        assert!(exposed.contains("www-authenticate"), "{r:?}");
        assert!(r.header("www-authenticate").is_some(), "{r:?}");
    }
    let stranger = gw.get("/orders").header("origin", "https://evil.example").send().await;
    assert_eq!(stranger.header("access-control-allow-origin"), None, "{stranger:?}");
}

#[tokio::test]
async fn preflight_is_authenticated_by_default() {
    let gw = gateway("no_cors").await;
    assert_no_credentials(&preflight(&gw, "/orders").send().await);
    gw.upstream.assert_untouched();
    let r = preflight(&gw, "/orders").bearer("good").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert_eq!(gw.provider.count(), 1);
}

#[tokio::test]
async fn passed_preflight_is_stripped() {
    let gw = gateway("pass").await;
    let r = preflight(&gw, "/orders")
        .bearer("good")
        .header("X-User-Id", "forged")
        .header("x-user-id", "forged twice")
        .header("X-User-Region", "FR")
        .header("x-other", "kept")
        .send()
        .await;
    assert_eq!(r.status, 200, "{r:?}");
    let received = gw.upstream.only();
    assert_eq!(received.method, "OPTIONS");
    for name in ["x-user-id", "x-user-region", "authorization"] {
        assert!(!received.headers.has(name), "{name} {received:?}");
    }
    for name in ["origin", "access-control-request-method", "x-other"] {
        assert!(received.headers.has(name), "{name} {received:?}");
    }
    assert_eq!(gw.provider.count(), 0);
}

#[tokio::test]
async fn only_a_preflight_passes_unauthenticated() {
    let gw = gateway("pass").await;
    let origin = |r: Request| r.header("origin", "https://app.example");
    let asking = |r: Request| r.header("access-control-request-method", "POST");
    for request in [
        gw.request("OPTIONS", "/orders"),
        origin(gw.request("OPTIONS", "/orders")),
        asking(gw.request("OPTIONS", "/orders")),
        asking(origin(gw.get("/orders"))),
        asking(origin(gw.request("HEAD", "/orders"))),
        asking(origin(gw.request("PUT", "/orders"))),
    ] {
        let (shown, r) = (format!("{request:?}"), request.send().await);
        assert_eq!(r.status, 401, "{shown} {r:?}");
    }
}

#[tokio::test]
async fn preflight_passed_before_cors_is_answered_by_cors() {
    let gw = gateway("pass_first").await;
    let r = preflight(&gw, "/orders").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    let allowed = r.header("access-control-allow-origin");
    assert_eq!(allowed.as_deref(), Some("https://app.example"), "{r:?}");
    gw.upstream.assert_untouched();
    let r = gw.get("/orders").header("origin", "https://app.example").send().await;
    assert_no_credentials(&r);
}

#[tokio::test]
async fn two_configurations_on_two_routes_are_separate() {
    let gw = gateway("two").await;
    gw.provider.answer_path(
        "/second/userinfo",
        Reply::json(200, &json!({"sub": "2", "name": "Second", "email": "second@example.com"})),
    );
    let names = ["x-user-id", "x-second-name", "x-shared", "authorization"];
    let forged = |request: Request| {
        request.header("x-shared", "forged").header("x-user-id", "forged").bearer("good")
    };
    for _ in 0..2 {
        let r = forged(gw.get("/orders")).send().await;
        let expected = [("x-user-id", "248289761001"), ("x-shared", "claes")];
        assert_eq!(upstream_saw(&r, &names), pairs(&expected), "{r:?}");
        assert_eq!(gw.provider.calls().last().unwrap().target, "/userinfo");

        let r = forged(gw.get("/second/orders")).header("x-second-name", "forged").send().await;
        let expected = [
            // This instance injects no X-User-Id, so it is the client's: see the reference
            // configuration about backends of several instances.
            ("x-user-id", "forged"),
            ("x-second-name", "Second"),
            ("x-shared", "second@example.com"),
            ("authorization", "Bearer good"),
        ];
        assert_eq!(upstream_saw(&r, &names), pairs(&expected), "{r:?}");
        assert_eq!(gw.provider.calls().last().unwrap().target, "/second/userinfo");
    }
    assert_eq!(gw.provider.count(), 4, "one instance decides per request");
    // A token that is good at one provider is not at the other.
    gw.provider.answer_path("/second/userinfo", Provider::expired());
    gw.provider.answer_path("/userinfo", Provider::good());
    assert_eq!(gw.get("/second").bearer("mixed").send().await.status, 401);
    assert_eq!(gw.get("/first").bearer("mixed").send().await.status, 200);
}
