//! From the provider's answer to headers at the upstream, on the real Envoy: JSONPath, values to
//! the byte, values without a header form, and which answers are valid. A claim that cannot be
//! written unchanged must leave its header absent, never with the client's own value in it.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use base::one;
use integration::{Gateway, Listener, Provider, Reply, Running, Setup};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static RIG: OnceCell<Running> = OnceCell::const_new();

/// The listener of one test, in the Envoy that all tests of this file share.
async fn gateway(name: &str) -> Gateway {
    let rig =
        RIG.get_or_init(|| async {
            let named = |name: &str, config: Value| Listener::named(name).config(config);
            let texts =
                json!({"X-Name": "$.name", "X-Nested": "$.user['家名']", "X-All": "$.all[*]"});
            Setup::new()
            .listener(named("guide", injecting(guide_headers())))
            .listener(named("texts", injecting(texts.clone())))
            .listener(named("texts_h2", injecting(texts)).http2_upstream())
            .listener(named("kinds", injecting(json!({"X-C": "$.c", "X-List": "$.list[*]"}))))
            .listener(named("joined", joined()))
            .listener(named("pairs", injecting(json!({"X-C": "$.c", "X-Sub": "$.sub"}))))
            .listener(named("forged", injecting(json!({"X-C": "$.c", "X-Sub": "$.sub"}))))
            .listener(named("typed", one(json!({}))))
            .listener(named("strict", one(json!({"require_subject": true}))))
            .listener(named("wrapped", one(json!({
                "require_subject": "$.data.sub", "inject_headers": {"X-User-Id": "$.data.sub"}
            }))))
            .listener(named("loose", one(json!({}))))
            .listener(named(
                "any",
                one(json!({"accept_any_200": true, "max_userinfo_bytes": 2000})),
            ))
            .start()
            .await
        });
    rig.await.gateway(name)
}

fn injecting(headers: Value) -> Value {
    one(json!({"inject_headers": headers}))
}

fn joined() -> Value {
    injecting(json!({"default": {
        "X-Comma": {"path": "$.list[*]", "join": ","},
        "X-Semicolon": {"path": "$.list", "join": "; "},
        "X-Plain": "$.list[*]",
    }}))
}

/// The document of the connector's guide, laid out as a person would.
const GUIDE: &str = r#"{"store":{"book":[
 {"category":"reference","author":"Nigel Rees","title":"Sayings of the Century","price":8.95},
 {"category":"fiction","author":"Herman Melville","title":"Moby Dick","isbn":"0-553-21311-3","price":8.99},
 {"category":"fiction","author":"J.R.R. Tolkien","title":"The Lord of the Rings","isbn":"0-395-19395-8","price":22.99}],
 "bicycle":{"color":"red","price":19.95}},"expensive":10}"#;

const REES: &str = r#"{"category":"reference","author":"Nigel Rees","title":"Sayings of the Century","price":8.95}"#;
const MELVILLE: &str = r#"{"category":"fiction","author":"Herman Melville","title":"Moby Dick","isbn":"0-553-21311-3","price":8.99}"#;
const TOLKIEN: &str = r#"{"category":"fiction","author":"J.R.R. Tolkien","title":"The Lord of the Rings","isbn":"0-395-19395-8","price":22.99}"#;
const BICYCLE: &str = r#"{"color":"red","price":19.95}"#;

const CENTURY: &str = r#""Sayings of the Century""#;
const MOBY_DICK: &str = r#""Moby Dick""#;
const THE_RINGS: &str = r#""The Lord of the Rings""#;

/// The expressions of the guide and the list that each selects, as compact JSON in the order in
/// which the provider wrote it.
fn guide() -> Vec<(&'static str, String)> {
    let books = format!("[{REES},{MELVILLE},{TOLKIEN}]");
    let store = format!(r#"{{"book":{books},"bicycle":{BICYCLE}}}"#);
    // RFC 9535 §2.5.2.2: a node's children before those of its descendants.
    let everything = [
        &store,
        "10",
        &books,
        BICYCLE,
        REES,
        MELVILLE,
        TOLKIEN,
        r#""reference","Nigel Rees","Sayings of the Century",8.95"#,
        r#""fiction","Herman Melville","Moby Dick","0-553-21311-3",8.99"#,
        r#""fiction","J.R.R. Tolkien","The Lord of the Rings","0-395-19395-8",22.99"#,
        r#""red",19.95"#,
    ];
    let list = |nodes: &[&str]| format!("[{}]", nodes.join(","));
    vec![
        ("$..book[0]", list(&[REES])),
        ("$..book[0].title", list(&[CENTURY])),
        ("$..book[0,1].title", list(&[CENTURY, MOBY_DICK])),
        ("$..book[:2].title", list(&[CENTURY, MOBY_DICK])),
        ("$..book[-1:].title", list(&[THE_RINGS])),
        ("$..book[(@.length-1)].title", list(&[THE_RINGS])),
        ("$..book[?(@.author=='J.R.R. Tolkien')].title", list(&[THE_RINGS])),
        ("$..book[?(@.isbn)]", list(&[MELVILLE, TOLKIEN])),
        ("$..book[?(!@.isbn)]", list(&[REES])),
        ("$..book[?(@.price < 10)]", list(&[REES, MELVILLE])),
        ("$..book[?(@.price > $.expensive)]", list(&[TOLKIEN])),
        ("$..book[?(@.author =~ /.*Tolkien/i)]", list(&[TOLKIEN])),
        (
            "$..book[?(@.category == 'fiction' || @.category == 'reference')]",
            list(&[REES, MELVILLE, TOLKIEN]),
        ),
        ("$..*", list(&everything)),
    ]
}

/// `X-1` to `X-28`: each expression, and each once more without its leading `$`.
fn guide_headers() -> Value {
    let paths = guide().into_iter().flat_map(|(path, _)| [path, path.strip_prefix('$').unwrap()]);
    paths.enumerate().map(|(i, path)| (format!("X-{}", i + 1), json!(path))).collect()
}

#[tokio::test]
async fn every_expression_of_the_guide_has_the_documented_result() {
    let gw = gateway("guide").await;
    gw.provider.answer(Reply::text(200, GUIDE).header("content-type", "application/json"));
    let r = gw.get("/").bearer("t").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    let rows = guide();
    assert_eq!(rows.len(), 14);
    for (number, (path, expected)) in rows.into_iter().enumerate() {
        assert!(expected.len() <= 4096, "{path} must fit into a header");
        for (header, form) in [(2 * number + 1, "with $"), (2 * number + 2, "without $")] {
            let found = r.upstream_headers().all(&format!("x-{header}"));
            assert_eq!(found, [expected.as_str()], "{path} {form}");
        }
    }
}

/// One answer of the provider with this text as its body.
fn body(json: &str) -> Reply {
    Reply::text(200, json).header("content-type", "application/json")
}

#[tokio::test]
async fn utf_8_arrives_byte_for_byte() {
    for name in ["texts", "texts_h2"] {
        let gw = gateway(name).await;
        // As it is, and escaped (RFC 8259 §7), a surrogate pair among it.
        for json in [
            r#"{"name": "Claes Rosenlöf", "user": {"家名": "Łukasz 😀"}, "all": ["ö", "é"]}"#,
            r#"{"name": "Claes Rosenl\u00f6f", "user": {"\u5bb6\u540d": "\u0141ukasz \ud83d\ude00"},
                "all": ["\u00f6", "\u00e9"]}"#,
        ] {
            gw.provider.answer(body(json));
            let r = gw.get("/").bearer("t").send().await;
            assert_eq!(r.status, 200, "{r:?}");
            let headers = gw.upstream.received().pop().unwrap().headers;
            assert_eq!(headers.bytes("x-name"), [b"Claes Rosenl\xc3\xb6f"], "{json}");
            let nested = b"\xc5\x81ukasz \xf0\x9f\x98\x80";
            assert_eq!(headers.bytes("x-nested"), [nested], "{json}");
            assert_eq!(headers.bytes("x-all"), [b"[\"\xc3\xb6\",\"\xc3\xa9\"]"], "{json}");
        }
    }
}

/// The header for `$.c` with this JSON value.
async fn header_for(gw: &Gateway, json: &str) -> Vec<String> {
    gw.provider.answer(body(&format!("{{\"c\": {json}}}")));
    let r = gw.get("/").bearer("t").send().await;
    assert_eq!(r.status, 200, "{json} {r:?}");
    r.upstream_headers().all("x-c")
}

#[tokio::test]
async fn values_arrive_as_the_provider_wrote_them() {
    let gw = gateway("kinds").await;
    for (json, text) in [
        ("1.50", "1.50"),
        ("9007199254740993", "9007199254740993"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("12345678901234567890999", "12345678901234567890999"),
        ("-0", "-0"),
        ("1e400", "1e400"),
        ("1E+2", "1E+2"),
        ("0", "0"),
        ("true", "true"),
        ("false", "false"),
        (r#""plain text, with ; = and \"quotes\"""#, r#"plain text, with ; = and "quotes""#),
        (r#""1.50""#, "1.50"),
        ("{}", "{}"),
        ("[]", "[]"),
        (r#"{"z": 1, "a": [1.50, null, {"ö": true}]}"#, r#"{"z":1,"a":[1.50,null,{"ö":true}]}"#),
        (r#"[ "a" , 2.0, 12345678901234567890123 ]"#, r#"["a",2.0,12345678901234567890123]"#),
        // A control character inside JSON text is escaped, so the text is allowed in a header.
        (r#"["a\nb"]"#, r#"["a\nb"]"#),
    ] {
        assert_eq!(header_for(&gw, json).await, [text], "{json}");
    }
}

#[tokio::test]
async fn path_to_several_values_gives_a_list() {
    let gw = gateway("kinds").await;
    for (json, expected) in [
        (r#"["a"]"#, Some(r#"["a"]"#)),
        (r#"["a", "b"]"#, Some(r#"["a","b"]"#)),
        (r#"[[1.0], {"k": null}]"#, Some(r#"[[1.0],{"k":null}]"#)),
        (r#"{"k": "v"}"#, Some(r#"["v"]"#)),
        ("[]", None),
        (r#""text""#, None),
    ] {
        gw.provider.answer_token("list", body(&format!("{{\"list\": {json}}}")));
        let r = gw.get("/").bearer("list").send().await;
        assert_eq!(r.upstream_header("x-list").as_deref(), expected, "{json} {r:?}");
    }
}

#[tokio::test]
async fn lists_can_be_joined() {
    let gw = gateway("joined").await;
    // An element that would not come back makes the claim invalid: a group called `users,admin` must
    // not become two. What says nothing, or is no scalar, is left out.
    for (json, comma, semicolon) in [
        (r#"["a","b","c"]"#, Some("a,b,c"), Some("a; b; c")),
        (r#"["a",1.50,true]"#, Some("a,1.50,true"), Some("a; 1.50; true")),
        (r#"["a"]"#, Some("a"), Some("a")),
        (r#"["users,admin","b"]"#, None, Some("users,admin; b")),
        (r#"["a; b","c"]"#, Some("a; b,c"), None),
        (r#"["a;b","c"]"#, Some("a;b,c"), None),
        (r#"["users"," admin"]"#, None, None),
        ("[\"users\",\"\u{a0}admin\"]", None, None),
        (r#"["a",["b"]]"#, Some("a"), Some("a")),
        (r#"["a",null]"#, Some("a"), Some("a")),
        (r#"["","a","",{"b":"c"},"d"]"#, Some("a,d"), Some("a; d")),
        (r#"[null]"#, None, None),
    ] {
        gw.provider.answer(body(&format!("{{\"list\": {json}}}")));
        let mut request = gw.get("/").bearer("t");
        for name in ["x-comma", "x-semicolon", "x-plain"] {
            request = request.header(name, "forged");
        }
        let r = request.send().await;
        assert_eq!(r.status, 200, "{json} {r:?}");
        assert_eq!(r.upstream_header("x-comma").as_deref(), comma, "{json}");
        assert_eq!(r.upstream_header("x-semicolon").as_deref(), semicolon, "{json}");
        assert_eq!(r.upstream_header("x-plain").as_deref(), Some(json));
    }
    // One value as providers write it that have one to tell: a list of one.
    for (json, semicolon) in
        [(r#""users""#, Some("users")), (r#""users;admin""#, None), (r#"{"a":"b"}"#, None)]
    {
        gw.provider.answer(body(&format!("{{\"list\": {json}}}")));
        let r = gw.get("/").bearer("t").header("x-semicolon", "forged").send().await;
        assert_eq!(r.status, 200, "{json} {r:?}");
        assert_eq!(r.upstream_header("x-semicolon").as_deref(), semicolon, "{json}");
    }
}

/// JSON for a claim that no header may carry.
fn invalid_claims() -> Vec<String> {
    let mut claims: Vec<String> = [
        "a\\r\\nx-sub: admin",
        "a\\u0000b",
        "a\\tb",
        "a\\u001fb",
        "a\\u007fb",
        "a\\u0085b",
        " a",
        "a ",
        " ",
        "\\u00a0a",
        "a\\u2003",
    ]
    .map(|text| format!("\"{text}\""))
    .into();
    claims.push(format!("\"{}\"", "x".repeat(4097)));
    // 4096 characters, but more bytes.
    claims.push(format!("\"{}ö\"", "x".repeat(4095)));
    claims.push(format!("[\"{}\"]", "x".repeat(4093)));
    claims
}

#[tokio::test]
async fn value_without_header_form_leaves_the_header_absent() {
    let gw = gateway("pairs").await;
    let nothing = ["null", r#""""#].map(str::to_owned);
    for json in nothing.into_iter().chain(invalid_claims()) {
        gw.provider.answer(body(&format!(r#"{{"c": {json}, "sub": "s"}}"#)));
        let r = gw.get("/").bearer("t").header("X-C", "forged").send().await;
        assert_eq!(r.status, 200, "{json} {r:?}");
        // The other header is set as ever.
        let found = [r.upstream_headers().all("x-c"), r.upstream_headers().all("x-sub")];
        assert_eq!(found, [vec![], vec!["s".to_owned()]], "{json}");
    }
    let longest = "x".repeat(4096);
    let list = "x".repeat(4092);
    assert_eq!(header_for(&gw, &format!("\"{longest}\"")).await, [longest]);
    assert_eq!(header_for(&gw, &format!("[\"{list}\"]")).await, [format!("[\"{list}\"]")]);
}

#[tokio::test]
async fn missing_claim_never_leaves_the_clients_header() {
    let gw = gateway("forged").await;
    gw.provider.answer(body(r#"{"sub": "s", "C": 1, "d": {"c": 1}}"#));
    let r = gw
        .get("/")
        .bearer("t")
        .header("X-C", "forged")
        .header("x-c", "forged twice")
        .header("X-Sub", "forged")
        .send()
        .await;
    assert_eq!(r.upstream_headers().all("x-c"), [""; 0]);
    assert_eq!(r.upstream_headers().all("x-sub"), ["s"]);
}

/// In an Envoy of its own: the counters are one set for all listeners.
#[tokio::test]
async fn only_invalid_claims_are_counted() {
    let gw = Gateway::with(injecting(json!({"X-C": "$.c", "X-D": "$.d"}))).await;
    for json in ["null", r#""""#, r#""good""#, "7"] {
        header_for(&gw, json).await;
    }
    assert_eq!(gw.envoy.stats().await["wasmcustom.oidc_claims_invalid"], 0);
    let claims = invalid_claims();
    for json in &claims {
        assert_eq!(header_for(&gw, json).await, [""; 0], "{json}");
    }
    let counted = claims.len() as u64;
    assert_eq!(gw.envoy.stats().await["wasmcustom.oidc_claims_invalid"], counted);
    // Each header is a claim of its own.
    gw.provider.answer(body(r#"{"c": "a\n", "d": "b\n"}"#));
    gw.get("/").bearer("t").send().await;
    let stats = gw.envoy.stats().await;
    assert_eq!(stats["wasmcustom.oidc_claims_invalid"], counted + 2);
    assert_eq!(stats["wasmcustom.oidc_claims_over_budget"], 0);
    assert_eq!(stats["wasmcustom.oidc_outcome.pass"], 4 + counted + 1);
}

/// In an Envoy of its own, for the counter.
#[tokio::test]
async fn path_over_budget_finds_nothing_and_is_counted() {
    let path = "$..*[?(@.a < $.b || @.c < $.b || @.d < $.b || @.e < $.b)]";
    let headers = json!({"X-Deep": path, "X-Sub": "$.sub"});
    let gw = Gateway::with(injecting(headers)).await;
    let small = body(r#"{"sub": "s", "b": 2, "list": [{"a": 1}]}"#);
    gw.provider.answer_token("small", small);
    let r = gw.get("/").bearer("small").header("x-deep", "forged").send().await;
    assert_eq!(r.upstream_header("x-deep").as_deref(), Some(r#"[{"a":1}]"#));

    // 60 KB of nested arrays, each of which is searched again.
    let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let large = format!(r#"{{"sub": "s", "b": 2, "list": [{}]}}"#, vec![nested; 300].join(","));
    gw.provider.answer_token("large", body(&large));
    let r = gw.get("/").bearer("large").header("x-deep", "forged").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    let found = [r.upstream_header("x-deep"), r.upstream_header("x-sub")];
    assert_eq!(found, [None, Some("s".to_owned())]);
    assert_eq!(gw.envoy.stats().await["wasmcustom.oidc_claims_over_budget"], 1);
}

#[tokio::test]
async fn a_200_must_be_one_json_object() {
    let gw = gateway("typed").await;
    let json = || Reply::text(200, r#"{"sub": "s"}"#);
    let typed = |content_type: &str| json().header("content-type", content_type);
    for reply in [
        json(),
        typed("application/json"),
        typed("application/json; charset=utf-8"),
        typed("Application/JSON;charset=UTF-8"),
        typed("application/scim+json"),
        json().header("content-encoding", "identity"),
    ] {
        gw.provider.answer(reply.clone());
        let r = gw.get("/").bearer("t").send().await;
        assert_eq!(r.status, 200, "{reply:?} {r:?}");
        assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("s"), "{reply:?}");
    }
    let came = gw.upstream.bytes();
    for reply in [
        typed("text/html"),
        typed("text/plain; charset=utf-8"),
        typed("application/jwt"),
        typed("application/jsonp"),
        typed("text/html, application/json"),
        typed("application/json").header("content-type", "text/html"),
        typed(""),
        body(r#"["sub"]"#),
        body(r#""sub""#),
        body("null"),
        body(""),
        body("{\"sub\": \"s\"} {}"),
        body("\u{feff}{\"sub\": \"s\"}"),
        body(r#"{"sub": "s", "sub": "t"}"#),
        body("<html>"),
        Provider::good().gzip(),
    ] {
        gw.provider.answer(reply.clone());
        let r = gw.get("/").bearer("t").send().await;
        assert_eq!(
            (r.status, &r.json()["error"]),
            (401, &json!("TargetEndpointError")),
            "{reply:?}"
        );
    }
    assert_eq!(gw.upstream.bytes(), came);
}

#[tokio::test]
async fn require_subject_needs_non_empty_text() {
    let (strict, loose) = (gateway("strict").await, gateway("loose").await);
    for json in [
        r#"{"ok": true}"#,
        r#"{"sub": ""}"#,
        r#"{"sub": 1}"#,
        r#"{"sub": null}"#,
        r#"{"sub": ["s"]}"#,
        r#"{"Sub": "s"}"#,
        r#"{"user": {"sub": "s"}}"#,
    ] {
        strict.provider.answer(body(json));
        let r = strict.get("/").bearer("t").send().await;
        assert_eq!((r.status, &r.json()["error"]), (401, &json!("invalid_token")), "{json}");
        let challenge = r.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains(r#"error="invalid_token""#), "{json}: {challenge}");
        loose.provider.answer(body(json));
        assert_eq!(loose.get("/").bearer("t").send().await.status, 200, "{json}");
    }
    // A value that is no object is no verdict about the token.
    strict.provider.answer(body(r#"["sub"]"#));
    let r = strict.get("/").bearer("t").send().await;
    assert_eq!((r.status, &r.json()["error"]), (401, &json!("TargetEndpointError")), "{r:?}");
    strict.upstream.assert_untouched();
    strict.provider.answer(body(r#"{"sub": "s"}"#));
    let r = strict.get("/").bearer("t").send().await;
    assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("s"), "{r:?}");
}

/// Answers of providers that wrap their documents, with any status.
#[tokio::test]
async fn require_subject_may_be_a_path() {
    let gw = gateway("wrapped").await;
    for json in [
        r#"{"code": 401, "data": null}"#,
        r#"{"sub": "139"}"#,
        r#"{"code": 200, "data": {"sub": ""}}"#,
        r#"{"code": 200, "data": {"sub": 1.5}}"#,
        r#"{"code": 200, "data": {"sub": true}}"#,
        r#"{"code": 200, "data": [{"sub": "139"}]}"#,
    ] {
        gw.provider.answer(body(json));
        assert_eq!(gw.get("/").bearer("t").send().await.status, 401, "{json}");
    }
    gw.upstream.assert_untouched();
    for subject in [r#""139""#, "139"] {
        gw.provider.answer(body(&format!(r#"{{"code": 200, "data": {{"sub": {subject}}}}}"#)));
        let r = gw.get("/").bearer("t").send().await;
        assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("139"), "{r:?}");
    }
}

#[tokio::test]
async fn accept_any_200_accepts_any_complete_body() {
    let gw = gateway("any").await;
    for (reply, user) in [
        (body(r#"{"sub": "s"}"#), Some("s")),
        (Reply::text(200, r#"{"sub": "s"}"#), Some("s")),
        (Reply::text(200, r#"{"sub": "s"}"#).header("content-type", "text/html"), None),
        (Reply::text(200, "<html>").header("content-type", "text/html"), None),
        (body("[1]"), None),
        (body(r#"{"sub": "s""#), None),
        (Reply::status(200), None),
    ] {
        gw.provider.answer(reply.clone());
        let r = gw.get("/").bearer("t").header("x-user-id", "forged").send().await;
        assert_eq!(r.status, 200, "{reply:?} {r:?}");
        assert_eq!(r.upstream_header("x-user-id").as_deref(), user, "{reply:?}");
    }
    let came = gw.upstream.bytes();
    for reply in [
        Reply::json(201, &json!({"sub": "s"})),
        Reply::status(204),
        Provider::good().gzip(),
        Provider::good().cut_after(10),
        Provider::good().chunk_cut_after(10),
        Reply::text(200, "x".repeat(2001)),
        Reply::close(),
    ] {
        gw.provider.answer(reply.clone());
        let r = gw.get("/").bearer("t").send().await;
        assert_eq!(
            (r.status, &r.json()["error"]),
            (401, &json!("TargetEndpointError")),
            "{reply:?}"
        );
    }
    assert_eq!(gw.upstream.bytes(), came);
}
