//! Only the filter identifies the caller: a client's own identity headers, in any spelling, number
//! or place, never reach the upstream. Each test names the rows of the adversarial catalogue that
//! it covers.

mod connection;
mod trailers;

use integration::{DEFAULT_INSTANCE, Gateway, Listener, Reply, Request, Response, Running, Setup};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use integration::frames::{self, GOAWAY, HEADERS, RST_STREAM};

const EVIL: &str = "forged-by-the-client";
const SUB: &str = "248289761001";

/// Every header that some region injects, and the region header.
const IDENTITY: [&str; 6] =
    ["X-User-Id", "X-Fr-Name", "X-Us-Account", "X-De-Unit", "X-Default-Mail", "X-User-Region"];
const REGIONS: [&str; 4] = ["FR", "US", "DE", "default"];

fn config() -> Value {
    json!({
        "userinfo_endpoint": {
            "regionCodeHeader": "X-Region",
            "regionCodeValue": {
                "FR": "http://fr.idp.example/userinfo",
                "US": "http://us.idp.example/userinfo",
                "DE": "http://de.idp.example/userinfo",
            },
            "defaultURI": "http://idp.example/userinfo",
        },
        "clusters": {
            "fr.idp.example": "idp_fr",
            "us.idp.example": "idp_us",
            "de.idp.example": "idp_de",
            "idp.example": "idp_default",
        },
        "inject_headers": {
            "FR": {"X-Fr-Name": "$.name", "X-User-Id": "$.sub"},
            "US": {"X-Us-Account": "$.erpAccountNumber", "X-User-Id": "$.sub"},
            "DE": {"X-De-Unit": "$.b2bUnitId"},
            "default": {"X-Default-Mail": "$.email"},
        },
        "region_header": "X-User-Region",
    })
}

/// The headers that a region injects of the good token's claims.
fn injected(region: &str) -> Vec<(&'static str, &str)> {
    let mut headers = match region {
        "FR" => vec![("X-Fr-Name", "Claes Rosenlöf"), ("X-User-Id", SUB)],
        "US" => vec![("X-Us-Account", "4711"), ("X-User-Id", SUB)],
        "DE" => vec![("X-De-Unit", "unit-17")],
        _ => vec![("X-Default-Mail", "claes@example.com")],
    };
    headers.push(("X-User-Region", region));
    headers
}

fn with(key: &str, value: impl Into<Value>) -> Value {
    let mut config = config();
    config[key] = value.into();
    config
}

fn one_header(name: &str, path: &str) -> Value {
    with("inject_headers", json!({name: path}))
}

fn listener(name: &str, config: Value) -> Listener {
    Listener::named(name).config(config).allow_underscores().connection_manager(|hcm| {
        // So that a header may come a hundred times.
        hcm["common_http_protocol_options"]["max_headers_count"] = json!(300);
    })
}

/// The `Authorization` header is forwarded, and a request may have none.
fn forwarding_and_optional() -> Value {
    let mut config = with("block_authorization_header", false);
    config["credentials"] = json!("optional");
    config
}

fn trailers(name: &str, allow: bool) -> Listener {
    listener(name, config())
        .enable_trailers()
        .http2_upstream()
        .allow_on_headers_stop_iteration(allow)
}

async fn rig() -> &'static Running {
    static RIG: OnceCell<Running> = OnceCell::const_new();
    RIG.get_or_init(|| async {
        Setup::new()
            .listener(listener("plain", config()))
            .listener(listener("separators", one_header("X-User-Account-Id", "$.sub")))
            .listener(listener("missing", one_header("X-User-Id", "$.claim")))
            .listener(listener("refused", config()).enable_trailers())
            .listener(listener("raw", config()))
            .listener(listener("forward", with("block_authorization_header", false)))
            .listener(
                listener("preflight", with("preflight", "pass"))
                    .without_filter("envoy.filters.http.cors"),
            )
            .listener(trailers("trailers", false))
            .listener(trailers("trailers_allow", true))
            .listener(trailers("grpc", false))
            .listener(
                listener("trailers_forward", forwarding_and_optional())
                    .enable_trailers()
                    .http2_upstream(),
            )
            .listener(trailers("late", false))
            .listener(trailers("late_allow", true))
            .listener(trailers("trailers_refused", false))
            .listener(trailers("trailers_refused_allow", true))
            .listener(listener("websocket", config()).websocket())
            .listener(listener("websocket_held", config()).websocket())
            .listener(
                listener("websocket_held_allow", config())
                    .websocket()
                    .allow_on_headers_stop_iteration(true),
            )
            .listener(listener("websocket_denied", config()).websocket())
            .listener(
                listener("routes", config())
                    .route_first(teapot("x-de-unit", "unit-17"))
                    .route_first(teapot("x-user-id", EVIL))
                    .route_first(json!({
                        "match": {"path": "/says"},
                        "route": {"cluster": "upstream"},
                        "response_headers_to_add": [
                            {"header": {"key": "x-user-id", "value": "of the upstream"}},
                            {"header": {"key": "www-authenticate", "value": "Basic"}},
                        ],
                    })),
            )
            .start()
            .await
    })
    .await
}

/// A route that a header selects.
fn teapot(header: &str, value: &str) -> Value {
    json!({
        "match": {
            "prefix": "/",
            "headers": [{"name": header, "string_match": {"exact": value}}],
        },
        "direct_response": {"status": 418},
    })
}

async fn gateway(name: &str) -> Gateway {
    rig().await.gateway(name)
}

/// Every identity header, forged.
fn forged(request: Request) -> Request {
    IDENTITY.iter().fold(request, |request, name| request.header(name, EVIL))
}

fn in_region(request: Request, region: &str) -> Request {
    if region == "default" { request } else { request.header("X-Region", region) }
}

/// Asserts that the upstream got exactly the identity that the provider returned.
#[track_caller]
fn assert_identity(r: &Response, region: &str) {
    assert_eq!(r.status, 200, "{r:?}");
    let headers = r.upstream_headers();
    let injected = injected(region);
    for name in IDENTITY {
        let expected: Vec<_> =
            injected.iter().filter(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()).collect();
        assert_eq!(headers.all(name), expected, "{name} in region {region}: {r:?}");
    }
    assert!(!r.text().contains(EVIL), "{r:?}");
}

// Rows 25, 29, 37.
#[tokio::test]
async fn only_headers_of_the_selected_region_arrive() {
    let gw = gateway("plain").await;
    for region in REGIONS {
        let r = in_region(gw.get("/all").bearer("good"), region);
        assert_identity(&forged(r).send().await, region);
        for other in REGIONS {
            for (name, _) in injected(other) {
                let r = in_region(gw.get("/pair").bearer("good").header(name, EVIL), region);
                assert_identity(&r.clone().send().await, region);
                assert_identity(&r.send_h2().await, region);
            }
        }
    }
}

// Rows 26 and 27, as the decisions read them: `null` and "" are absent, the others are values.
#[tokio::test]
async fn claim_without_value_leaves_the_header_absent() {
    let gw = gateway("missing").await;
    let cases = [
        ("none", json!({"sub": "1"}), None),
        ("null", json!({"claim": null}), None),
        ("empty", json!({"claim": ""}), None),
        ("blank", json!({"claim": " a "}), None),
        ("line", json!({"claim": "a\r\nx-user-id: b"}), None),
        ("long", json!({"claim": "a".repeat(4097)}), None),
        ("other", json!({"CLAIM": "a"}), None),
        ("false", json!({"claim": false}), Some("false")),
        ("zero", json!({"claim": 0}), Some("0")),
        ("list", json!({"claim": []}), Some("[]")),
        ("object", json!({"claim": {}}), Some("{}")),
    ];
    for (token, claims, expected) in cases {
        gw.provider.answer_token(token, Reply::json(200, &claims));
        let r = gw.get("/missing").bearer(token).header("X-User-Id", EVIL).send().await;
        assert_eq!(r.status, 200, "{token}: {r:?}");
        assert_eq!(r.upstream_header("x-user-id").as_deref(), expected, "{token}: {r:?}");
        assert!(!r.text().contains(EVIL), "{token}: {r:?}");
    }
}

// Row 31.
#[tokio::test]
async fn every_copy_of_a_header_is_stripped() {
    let gw = gateway("plain").await;
    for copies in [1, 2, 100] {
        for region in ["FR", "DE"] {
            let mut r = in_region(gw.get("/copies").bearer("good"), region);
            for copy in 0..copies {
                r = r.header("X-User-Id", format!("{EVIL}{copy}"));
            }
            assert_identity(&r.clone().send().await, region);
            assert_identity(&r.send_h2().await, region);
        }
    }
}

// Row 32.
#[tokio::test]
async fn names_are_stripped_in_any_case() {
    let gw = gateway("plain").await;
    for name in ["x-user-id", "X-USER-ID", "x-uSeR-iD", "x_User_iD"] {
        for region in ["US", "DE"] {
            let r = in_region(gw.get("/case").bearer("good").header(name, EVIL), region);
            assert_identity(&r.send().await, region);
        }
    }
}

// Row 33, and the decision that any other separator counts as well.
#[tokio::test]
async fn every_separator_spelling_is_stripped() {
    let gw = gateway("separators").await;
    let words = ["X", "User", "Account", "Id"];
    let spelled = |separators: [char; 3]| {
        let mut name = words[0].to_owned();
        for (separator, word) in separators.into_iter().zip(&words[1..]) {
            name.push(separator);
            name.push_str(word);
        }
        name
    };
    let two = |bits: usize, a: char, b: char| {
        [0, 1, 2].map(|bit| if bits >> bit & 1 == 0 { a } else { b })
    };
    let mut names: Vec<_> = (0..8).map(|bits| spelled(two(bits, '-', '_'))).collect();
    // All characters of a token that are neither letter nor digit (RFC 9110 §5.6.2).
    names.extend("!#$%&'*+-.^_`|~".chars().map(|separator| spelled([separator; 3])));
    for name in &names {
        let r = gw.get("/separators").bearer("good").header(name, EVIL).send().await;
        assert_eq!(r.status, 200, "{name}: {r:?}");
        assert_eq!(r.upstream_header("x-user-account-id").as_deref(), Some(SUB), "{name}: {r:?}");
        assert!(!r.text().contains(EVIL), "{name}: {r:?}");
    }
    let all = names.iter().fold(gw.get("/all").bearer("good"), |r, name| r.header(name, EVIL));
    for r in [all.clone().send().await, all.send_h2().await] {
        assert_eq!(r.upstream_header("x-user-account-id").as_deref(), Some(SUB), "{r:?}");
        assert!(!r.text().contains(EVIL), "{r:?}");
    }
}

// The configuration's names in their other spelling: what `x_user_email` is to `X-User-Email`.
#[tokio::test]
async fn underscore_spelling_is_stripped_without_a_claim() {
    let gw = gateway("missing").await;
    let r = gw.get("/").bearer("sub-only").header("x_user_id", EVIL);
    gw.provider.answer_token("sub-only", Reply::json(200, &json!({"sub": "1"})));
    let r = r.header("x.user_id", EVIL).send().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert!(!r.text().contains(EVIL), "{r:?}");
}

// Row 34, and 45 and 46: Envoy refuses these before the filter sees them.
#[tokio::test]
async fn envoy_refuses_invalid_header_names() {
    let gw = gateway("raw").await;
    for line in [
        "X-User-Id : forged",
        "X\u{2010}User\u{2010}Id: forged",
        "X-User-Id\t: forged",
        "Connection: a, b, c, d, e, f, g, h, i, j",
    ] {
        let mut connection = gw.connect().await.unwrap();
        let head =
            format!("GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good\r\n{line}\r\n\r\n");
        connection.write(head).await.unwrap();
        assert_eq!(connection.response().await.unwrap().status, 400, "{line}");
    }
    for (name, value) in
        [("X-User-Id", "forged"), ("x-user-id:", "forged"), ("connection", "x-user-id")]
    {
        let mut connection = gw.connect().await.unwrap();
        connection.write(h2_request(&[(name, value)])).await.unwrap();
        let answer = frames::answer(&mut connection).await.map(|frame| frame.kind);
        assert!(matches!(answer, None | Some(RST_STREAM | GOAWAY)), "{name}: frame {answer:?}");
    }
    assert_eq!(gw.provider.count(), 0);
    gw.upstream.assert_untouched();

    // The same bytes without the bad header do pass, so that it is the header that was refused.
    let mut connection = gw.connect().await.unwrap();
    connection.write(h2_request(&[])).await.unwrap();
    assert_eq!(frames::answer(&mut connection).await.unwrap().kind, HEADERS);
    gw.upstream.wait(1).await;
}

fn h2_request(more: &[(&str, &str)]) -> Vec<u8> {
    let request = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/raw"),
        (":authority", "a"),
        ("authorization", "Bearer good"),
    ];
    [frames::preface(), frames::headers(&[&request, more].concat(), true)].concat()
}

// Row 39, in the reference configuration: where the filter is off, Envoy itself removes them.
#[tokio::test]
async fn public_route_of_the_reference_strips_identity() {
    let gw = Gateway::reference().await;
    let names = gw_identity();
    assert_eq!(names.len(), 6, "{names:?}");
    let request = names.iter().fold(gw.get("/public"), |r, name| r.header(name, EVIL));
    for r in [request.clone().send().await, request.bearer(EVIL).send_h2().await] {
        assert_eq!(r.status, 200, "{r:?}");
        assert!(!r.text().contains(EVIL), "{r:?}");
    }
    assert_eq!(gw.provider.count(), 0);
}

/// Every header that the reference's default instance sets.
fn gw_identity() -> std::collections::BTreeSet<String> {
    let reference = integration::reference().unwrap();
    let listener = &reference["static_resources"]["listeners"][0];
    let hcm = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    let filters = hcm["http_filters"].as_array().unwrap();
    let instance = filters.iter().find(|f| f["name"] == DEFAULT_INSTANCE).unwrap();
    let text = instance["typed_config"]["config"]["configuration"]["value"].as_str().unwrap();
    let config: Value = serde_json::from_str(text).unwrap();
    let by_region = config["inject_headers"].as_object().unwrap().values();
    let mut names: std::collections::BTreeSet<_> =
        by_region.flat_map(|map| map.as_object().unwrap().keys().cloned()).collect();
    names.insert(config["region_header"].as_str().unwrap().to_owned());
    names
}

// Row 40.
#[tokio::test]
async fn passing_preflight_is_stripped() {
    let gw = gateway("preflight").await;
    let preflight = forged(gw.request("OPTIONS", "/orders"))
        .header("x_user_id", EVIL)
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET")
        .header("authorization", format!("Bearer {EVIL}"));
    for r in [preflight.clone().send().await, preflight.send_h2().await] {
        assert_eq!(r.status, 200, "{r:?}");
        assert!(!r.text().contains(EVIL), "{r:?}");
        let headers = r.upstream_headers();
        assert!(IDENTITY.iter().all(|name| !headers.has(name)), "{r:?}");
    }
    assert_eq!(gw.provider.count(), 0);
}

// Row 41.
#[tokio::test]
async fn refused_requests_neither_forward_nor_echo() {
    let gw = gateway("refused").await;
    gw.provider.answer_token("broken", Reply::reset());
    gw.provider.answer_token("forbidden", Reply::json(403, &json!({"error": EVIL})));
    let every = [
        ("no token", gw.get("/refused"), 401),
        ("another scheme", gw.get("/refused").header("authorization", "Basic eA=="), 401),
        ("not a token", gw.get("/refused").bearer(EVIL).bearer(EVIL), 401),
        ("expired", gw.get("/refused").bearer("expired"), 401),
        ("forbidden", gw.get("/refused").bearer("forbidden"), 403),
        ("unavailable", gw.get("/refused").bearer("broken"), 401),
        ("with a body", gw.post("/refused", EVIL).bearer("expired"), 401),
        ("HEAD", gw.request("HEAD", "/refused").bearer("expired"), 401),
    ];
    for (what, request, status) in every {
        let request = forged(request).header("x_user_id", EVIL).header("X-Region", EVIL);
        let h2 = request.clone().header("content-type", "application/grpc");
        for (r, status) in [(request.send().await, status), (h2.send_h2().await, 200)] {
            assert_eq!(r.status, status, "{what}: {r:?}");
            let told = format!("{:?} {} {:?}", r.headers, r.text(), r.trailers);
            assert!(!told.contains(EVIL), "{what}: {r:?}");
            for name in IDENTITY {
                assert!(!r.headers.has(name), "{what}: {name} in {r:?}");
            }
        }
    }
    gw.upstream.assert_untouched();
}

// Row 47. Two Authorization lines are one credential too many, so they are refused.
#[tokio::test]
async fn authorization_is_removed() {
    let gw = gateway("plain").await;
    let request = gw
        .get("/authorization")
        .bearer("good")
        .header("authorization_", "kept")
        .header("x-authorization", "kept")
        .header("proxy-authorization-info", "kept");
    for r in [request.clone().send().await, request.clone().send_h2().await] {
        let headers = r.upstream_headers();
        assert!(!headers.has("authorization"), "{r:?}");
        for name in ["authorization_", "x-authorization", "proxy-authorization-info"] {
            assert_eq!(headers.get(name).as_deref(), Some("kept"), "{name}: {r:?}");
        }
    }
    let twice = request.bearer("good");
    for r in [twice.clone().send().await, twice.send_h2().await] {
        assert_eq!(r.status, 401, "{r:?}");
    }
}

// Row 48.
#[tokio::test]
async fn authorization_is_forwarded_byte_for_byte() {
    let gw = gateway("forward").await;
    for value in ["Bearer good", "bEARER good"] {
        let r = forged(gw.get("/forward")).header("authorization", value);
        for r in [r.clone().send().await, r.send_h2().await] {
            assert_identity(&r, "default");
            assert_eq!(r.upstream_headers().all("authorization"), [value], "{r:?}");
        }
    }
}

// Row 49.
#[tokio::test]
async fn the_upstreams_own_response_is_untouched() {
    let gw = gateway("routes").await;
    let r = gw.get("/says").bearer("good").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert_eq!(r.header("x-user-id").as_deref(), Some("of the upstream"));
    assert_eq!(r.header("www-authenticate").as_deref(), Some("Basic"));
}

// Row 50. Envoy chooses the route again once headers have changed: a forged header selects none,
// an injected one does.
#[tokio::test]
async fn forged_identity_header_selects_no_route() {
    let gw = gateway("routes").await;
    let r = gw.get("/orders").bearer("good").header("x-user-id", EVIL).send().await;
    assert_eq!(r.status, 200, "{r:?}");
    let forged = gw.get("/orders").bearer("good").header("x-de-unit", "unit-17").send().await;
    assert_eq!(forged.status, 200, "{forged:?}");
    let injected = in_region(gw.get("/orders").bearer("good"), "DE").send().await;
    assert_eq!(injected.status, 418, "{injected:?}");
    let refused = gw.get("/orders").bearer("expired").header("x-user-id", EVIL).send().await;
    assert_eq!(refused.status, 401, "{refused:?}");
}

#[tokio::test]
async fn other_headers_keep_their_order_and_bytes() {
    let gw = gateway("plain").await;
    let sent: Vec<(&str, &[u8])> = vec![
        ("x-z", b"1"),
        ("accept", b"text/html;q=0.8, */*"),
        ("x-user-identity", b"not ours"),
        ("cookie", b"a=b; c=d"),
        ("x-bytes", b"\xff\xfe\x80 \t caf\xc3\xa9"),
        ("x-a", b"1"),
        ("x-z", b"2"),
        ("x-empty", b""),
        ("xuserid", b"not ours"),
        ("x-user", b"not ours"),
        ("x-a", b"2, 3"),
        ("x_z", b"under"),
        ("user-agent", b"curl/8"),
    ];
    // Identity headers between them, so that taking these out is shown to move nothing.
    let request = sent.iter().fold(in_region(gw.get("/a/./b?c=%2F"), "FR"), |r, (name, value)| {
        r.header(name, value).header("X-User-Id", EVIL).header("x_user_id", EVIL)
    });
    let r = request.bearer("good").send().await;
    assert_identity(&r, "FR");
    let headers = r.upstream_headers();
    let ours = |name: &str| sent.iter().any(|(n, _)| *n == name);
    let came: Vec<_> = headers.0.iter().filter(|(name, _)| ours(name)).collect();
    let came: Vec<_> = came.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
    assert_eq!(came, sent, "{r:?}");
    assert_eq!(r.upstream_header("host").as_deref(), Some("gateway.example"));
    assert_eq!(r.json()["path"], "/a/b?c=%2F");
}
