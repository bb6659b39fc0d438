//! A request's way through the filter on the real Envoy: each of the nine steps that the guide
//! names, its configuration example, and each region. Looks at what goes over the wire, never into
//! the filter.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;
mod guide;

use base::{one, pairs, regions, upstream_saw, with_clusters};
use integration::{Gateway, Listener, Provider, Reply, Response, Running, Setup};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Every header name that any listener of this file injects.
const IDENTITY: [&str; 6] =
    ["x-user-id", "x-user-email", "x-account-number", "x-unit-id", "x-roles", "x-user-region"];

static RIG: OnceCell<Running> = OnceCell::const_new();

/// The listener of one test, in the Envoy that all tests of this file share.
async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let named = |name: &str, config: Value| Listener::named(name).config(config);
        let blank = json!({"clusters": {"idp.example": "idp_default"}});
        let regions_only = json!({"userinfo_endpoint": {
            "regionCodeHeader": "X-Region",
            "regionCodeValue": {"FR": "http://fr.idp.example/userinfo"},
        }});
        let proxied = json!({
            "userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"},
            "http_proxy_server": "squid.example.com",
            "http_proxy_port": 3128,
        });
        Setup::new()
            .listener(named("step1", one(json!({}))))
            .listener(named("step2", one(json!({}))))
            .listener(named("step2_blank", blank))
            .listener(named("step2_no_default", with_clusters(regions_only.clone())))
            .listener(named("step3", regions(json!({}))))
            .listener(named("step4", with_clusters(regions_only)))
            .listener(named("step5", one(json!({}))))
            .listener(named("step5_proxy", with_clusters(proxied)))
            .listener(named("step6", one(json!({}))))
            .listener(named("step7", one(json!({"timeout": "300ms"}))))
            .listener(named("step8", regions(json!({}))))
            .listener(named("step9", one(json!({}))))
            .listener(Listener::named("example").config(&*example_with_clusters()))
            .listener(Listener::named("example_clusters").config(&*example_with_clusters()))
            .listener(
                Listener::named("example_bare")
                    .config(EXAMPLE)
                    .provider_cluster("uki.acme-travel.com")
                    .provider_cluster("uki.acme-travel.com:9001"),
            )
            .listener(named("regions", regions(json!({}))))
            .listener(named("reject", regions(json!({"unknown_region": "reject"}))))
            .start()
            .await
    });
    rig.await.gateway(name)
}

#[track_caller]
fn assert_error(r: &Response, name: &str) {
    assert_eq!((r.status, &r.json()["error"]), (401, &json!(name)), "{r:?}");
    assert!(r.json()["error_description"].as_str().is_some_and(|d| !d.is_empty()), "{r:?}");
    assert_eq!(r.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(r.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(r.header("x-mashery-error-code").as_deref(), Some("ERR_401_UNAUTHORIZED"));
    let challenge = r.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with(r#"Bearer realm="api""#), "{r:?}");
}

#[tokio::test]
async fn step_1_the_client_sends_its_token() {
    let gw = gateway("step1").await;
    let r = gw.get("/orders?page=2").bearer("good").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert_eq!(gw.provider.only_call().token().as_deref(), Some("good"));
    let received = gw.upstream.only();
    assert_eq!((received.method.as_str(), received.target.as_str()), ("GET", "/orders?page=2"));
    assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("248289761001"));
}

#[tokio::test]
async fn step_2_missing_bearer_token_is_blocked_before_endpoint_checks() {
    // The same answer without an endpoint: the header is checked first.
    for name in ["step2", "step2_blank", "step2_no_default"] {
        let gw = gateway(name).await;
        let absent = gw.get("/").send().await;
        assert_error(&absent, "InvalidAuthorizationHeaderValue");
        assert_eq!(absent.header("www-authenticate").as_deref(), Some(r#"Bearer realm="api""#));
        for value in ["", "Basic dXNlcjpwYXNz", "Token good", "Bearergood", "good", "Bearer"] {
            let r = gw.get("/").header("authorization", value).send().await;
            assert_error(&r, "InvalidAuthorizationHeaderValue");
        }
        assert_eq!(gw.provider.count(), 0, "{name}");
        gw.upstream.assert_untouched();
    }
}

#[tokio::test]
async fn step_3_region_header_selects_the_endpoint() {
    let gw = gateway("step3").await;
    gw.provider.answer(Provider::good());
    for (region, target) in [
        (Some("FR"), "/fr/userinfo"),
        (Some("DE"), "/realms/de/userinfo"),
        (Some("ZZ"), "/userinfo"),
        (Some(""), "/userinfo"),
        (None, "/userinfo"),
    ] {
        let mut request = gw.get("/").bearer("t");
        if let Some(region) = region {
            request = request.header("x-region", region);
        }
        assert_eq!(request.send().await.status, 200, "{region:?}");
        assert_eq!(gw.provider.calls().last().unwrap().target, target, "{region:?}");
    }
    assert_eq!(gw.provider.count(), 5);
}

#[tokio::test]
async fn step_4_missing_default_endpoint_is_blocked() {
    let gw = gateway("step4").await;
    let absent = gw.get("/").bearer("good").send().await;
    assert_error(&absent, "DefaultUserInfoURINotPresent");
    let unknown = gw.get("/").header("x-region", "US").bearer("good").send().await;
    assert_error(&unknown, "DefaultUserInfoURINotPresent");
    assert_eq!(gw.provider.count(), 0);
    gw.upstream.assert_untouched();
    // A region that is configured needs no default.
    let known = gw.get("/").header("x-region", "FR").bearer("good").send().await;
    assert_eq!(known.status, 200, "{known:?}");
    assert_eq!(gw.provider.count(), 1);
}

#[tokio::test]
async fn step_5_the_endpoint_is_called_with_the_clients_token() {
    let gw = gateway("step5").await;
    // All characters of a b64token (RFC 6750 §2.1).
    let token = "AZaz09-._~+/==";
    gw.provider.answer_token(token, Provider::good());
    assert_eq!(gw.get("/").bearer(token).send().await.status, 200);
    let call = gw.provider.only_call();
    assert_eq!(call.headers.all("authorization"), [format!("Bearer {token}")]);
    assert_eq!((call.method.as_str(), call.target.as_str()), ("GET", "/userinfo"));
}

/// The proxy itself is a property of the cluster; the filter says which cluster needs it.
#[tokio::test]
async fn step_5_log_names_forward_proxy_and_clusters() {
    let gw = gateway("step5_proxy").await;
    let line = gw.envoy.log().wait_for("forward proxy").await;
    let said = "cluster idp_default_step5_proxy must reach idp.example through the forward proxy \
                squid.example.com:3128";
    assert!(line.contains(said), "{line}");
    assert_eq!(gw.get("/").bearer("good").send().await.status, 200);
}

#[tokio::test]
async fn step_6_any_status_except_200_fails_validation() {
    let gw = gateway("step6").await;
    let claims = json!({"sub": "1"});
    for status in [400, 401, 403, 404, 429, 500, 502, 503, 504, 599] {
        gw.provider.answer(Reply::json(status, &claims));
        let r = gw.get("/").bearer("good").send().await;
        let body =
            format!("Error Response retrieved from UserInfo endpoint. Response Code - {status}");
        assert_eq!((r.status, r.text()), (status, body), "{r:?}");
    }
    for status in [201, 202, 203, 204, 206, 299, 300, 302, 307, 399, 600, 999] {
        let body = if status == 204 { Reply::status(204) } else { Reply::json(status, &claims) };
        gw.provider.answer(body.header("location", "/elsewhere"));
        let r = gw.get("/").bearer("good").send().await;
        assert_error(&r, "TargetEndpointError");
    }
    assert_eq!(gw.provider.count(), 22, "a redirect was followed or a call repeated");
    gw.upstream.assert_untouched();
}

#[tokio::test]
async fn step_7_no_answer_is_blocked() {
    let gw = gateway("step7").await;
    // Each with its number of calls: a call that ended at once without an answer is repeated twice.
    for (token, reply, calls) in [
        ("reset", Reply::reset(), 3),
        ("close", Reply::close(), 3),
        ("silence", Reply::silence(), 1),
        ("cut", Provider::good().cut_after(5), 3),
    ] {
        gw.provider.answer_token(token, reply);
        let r = gw.get("/").bearer(token).send().await;
        assert_error(&r, "TargetEndpointError");
        // No error code: the token is not known to be bad (RFC 6750 §3.1).
        assert_eq!(r.header("www-authenticate").as_deref(), Some(r#"Bearer realm="api""#));
        assert_eq!(gw.provider.calls_with(token).len(), calls, "{token}");
    }
    assert_eq!(gw.provider.count(), 10);
    gw.provider.down().await;
    assert_error(&gw.get("/").bearer("good").send().await, "TargetEndpointError");
    gw.upstream.assert_untouched();
}

#[tokio::test]
async fn step_8_headers_use_the_regions_map_or_the_default_map() {
    let gw = gateway("step8").await;
    gw.provider.answer(Reply::json(200, &json!({"sub": "s", "uid": "u", "unknown": "x"})));
    let r = gw.get("/").header("x-region", "US").bearer("t").send().await;
    // `erpAccountNumber` is not there: its header is silently left out.
    assert_eq!(upstream_saw(&r, &IDENTITY), pairs(&[("x-user-id", "u")]));
    gw.provider.answer(Provider::good());
    let r = gw.get("/").bearer("t").send().await;
    let email = "claes@example.com";
    let expected = pairs(&[("x-user-id", email), ("x-user-email", email)]);
    assert_eq!(upstream_saw(&r, &IDENTITY), expected);
}

#[tokio::test]
async fn step_9_authorization_is_removed_by_default() {
    let gw = gateway("step9").await;
    let r = gw.get("/").bearer("good").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    let received = gw.upstream.only();
    assert!(!received.headers.has("authorization"), "{received:?}");
    assert!(!format!("{received:?}").contains("good"), "{received:?}");
}

/// The configuration example of the connector's guide.
const EXAMPLE: &str = r#"{
  "userinfo_endpoint": {
    "regionCodeHeader": "HTTP-REQUEST-REGION-KEY",
    "regionCodeValue": {
      "FR": "https://uki.acme-travel.com:9001/fr/userinfo",
      "US": "https://uki.acme-travel.com:9001/en/userinfo",
      "DE": "https://uki.acme-travel.com:9001/de/userinfo"
    },
    "defaultURI": "https://uki.acme-travel.com/en/userinfo"
  },
  "inject_headers": {
    "US": { "X-User-Email": "$.uid", "X-Unit-Id": "$.b2bUnitId", "X-Account-Number": "$.erpAccountNumber" },
    "default": { "X-User-Id": "$.email", "X-Unit-Id": "$.b2bUnitId", "X-Account-Number": "$.erpAccountNumber" }
  },
  "block_authorization_header": false,
  "error_metadata_location": "ResponseHeaders",
  "error_header_name": "WWW-Authenticate",
  "enable_error_set": "true"
}"#;

fn example_with_clusters() -> String {
    let clusters = r#",
  "clusters": { "uki.acme-travel.com:9001": "idp_us", "uki.acme-travel.com": "idp_default" }
}"#;
    format!("{}{clusters}", EXAMPLE.strip_suffix("\n}").unwrap())
}

/// Unchanged, the authorities are the clusters' names; with `clusters` the names are free.
#[tokio::test]
async fn guide_example_works_unchanged_and_with_clusters() {
    for name in ["example", "example_bare"] {
        let gw = gateway(name).await;
        guide::each_region(&gw).await;
        guide::errors(&gw).await;
    }
}

#[tokio::test]
async fn guide_example_uses_its_named_clusters() {
    let gw = gateway("example_clusters").await;
    let sent = async || {
        let stats = gw.envoy.stats().await;
        let of = |cluster| stats[&format!("cluster.{cluster}_example_clusters.upstream_rq_total")];
        ["idp_us", "idp_default", "idp_fr", "idp_de"].map(of)
    };
    gw.get("/").header("http-request-region-key", "DE").bearer("t").send().await;
    assert_eq!(sent().await, [1, 0, 0, 0]);
    gw.get("/").bearer("t").send().await;
    assert_eq!(sent().await, [1, 1, 0, 0]);
}

/// Region header lines, and what they lead to: authority and target at the provider, headers at
/// the upstream.
type RegionRow =
    (&'static [&'static str], &'static str, &'static str, &'static [(&'static str, &'static str)]);

const FRANCE: &[(&str, &str)] = &[("x-user-id", "248289761001"), ("x-roles", r#"["buyer"]"#)];
const STATES: &[(&str, &str)] = &[("x-user-id", "claes"), ("x-account-number", "4711")];
const GERMANY: &[(&str, &str)] = &[("x-unit-id", "unit-17")];
const DEFAULT: &[(&str, &str)] =
    &[("x-user-id", "claes@example.com"), ("x-user-email", "claes@example.com")];

#[rustfmt::skip]
const REGIONS: [RegionRow; 10] = [
    (&["FR"], "fr.idp.example", "/fr/userinfo", FRANCE),
    (&["US"], "us.idp.example:8443", "/userinfo?schema=openid&scope=a%20b", STATES),
    (&["DE"], "de.idp.example", "/realms/de/userinfo", GERMANY),
    (&["SE"], "idp.example", "/userinfo", DEFAULT),
    (&["fr"], "idp.example", "/userinfo", DEFAULT),
    (&["default"], "idp.example", "/userinfo", DEFAULT),
    (&["FR,US"], "idp.example", "/userinfo", DEFAULT),
    (&["FR", "FR"], "idp.example", "/userinfo", DEFAULT),
    (&[""], "idp.example", "/userinfo", DEFAULT),
    (&[], "idp.example", "/userinfo", DEFAULT),
];

#[tokio::test]
async fn each_region_has_its_endpoint_and_its_header_map() {
    let gw = gateway("regions").await;
    gw.provider.answer(Provider::good());
    for (codes, authority, target, headers) in REGIONS {
        // Forged by every region's headers, also those of regions that are not chosen.
        let mut request = gw.get("/").forging(&IDENTITY).bearer("t");
        for code in codes {
            request = request.header("X-Region", code);
        }
        let r = request.send().await;
        assert_eq!(r.status, 200, "{codes:?} {r:?}");
        assert_eq!(upstream_saw(&r, &IDENTITY[..5]), in_order(headers), "{codes:?}");
        let call = gw.provider.calls().pop().unwrap();
        assert_eq!(call.headers.all("host"), [authority], "{codes:?}");
        assert_eq!(call.target, target, "{codes:?}");
    }
    assert_eq!(gw.provider.count(), REGIONS.len());
}

/// `expected` in the order of [`IDENTITY`].
fn in_order(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut expected = pairs(expected);
    expected.sort_by_key(|(name, _)| IDENTITY.iter().position(|known| known == name));
    expected
}

#[tokio::test]
async fn unknown_region_can_be_rejected() {
    let gw = gateway("reject").await;
    gw.provider.answer(Provider::good());
    for codes in [&["SE"][..], &["fr"], &["FR", "FR"], &["FR", "US"]] {
        let mut request = gw.get("/").bearer("t");
        for code in codes {
            request = request.header("x-region", code);
        }
        assert_error(&request.send().await, "InvalidRegionCode");
    }
    assert_eq!(gw.provider.count(), 0);
    gw.upstream.assert_untouched();
    for code in ["FR", ""] {
        let r = gw.get("/").header("x-region", code).bearer("t").send().await;
        assert_eq!(r.status, 200, "{code:?} {r:?}");
    }
    assert_eq!(gw.get("/").bearer("t").send().await.status, 200);
}
