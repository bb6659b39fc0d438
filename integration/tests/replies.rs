//! What a refused client gets, to the letter, on the real Envoy: the connector's own errors with
//! and without the error set, the nine scenarios of provider errors, the reply for a provider that
//! cannot be had, gRPC and HEAD, and the reason in the access log.
//!
//! Every request goes over HTTP/1.1 and over HTTP/2, and both replies must be the same. Nothing in
//! this file may reach the upstream.

use integration::{Gateway, Listener, Reply, Request, Response, Running, Setup};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

/// Values of `enable_error_set` as JSON text (empty: absent), and whether each is true.
const SWITCHES: [(&str, &str, bool); 10] = [
    ("absent", "", false),
    ("false", "false", false),
    ("true", "true", true),
    ("text-true", r#""true""#, true),
    ("text-upper", r#""TRUE""#, true),
    ("text-mixed", r#""tRuE""#, true),
    ("text-yes", r#""yes""#, false),
    ("text-one", r#""1""#, false),
    ("text-false", r#""false""#, false),
    ("text-empty", r#""""#, false),
];

const NO_AUTHORIZATION: &str = r#"{"error":"InvalidAuthorizationHeaderValue","error_description":"The Authorization header is missing, empty or not one Bearer token."}"#;
const NO_ENDPOINT: &str = r#"{"error":"InvalidPreInputConfigurationForUserInfoEndpointURI","error_description":"The UserInfo endpoint is not configured."}"#;
const NO_DEFAULT: &str = r#"{"error":"DefaultUserInfoURINotPresent","error_description":"No default UserInfo endpoint is configured."}"#;
const UNKNOWN_REGION: &str =
    r#"{"error":"InvalidRegionCode","error_description":"The region code is not configured."}"#;
const NO_ANSWER: &str = r#"{"error":"TargetEndpointError","error_description":"No usable answer could be had from the UserInfo endpoint."}"#;

const BARE: (&str, &str) = ("www-authenticate", r#"Bearer realm="api""#);
const INVALID_REQUEST: (&str, &str) =
    ("www-authenticate", r#"Bearer realm="api", error="invalid_request""#);
const ERR_401: (&str, &str) = ("x-mashery-error-code", "ERR_401_UNAUTHORIZED");
const ERR_403: (&str, &str) = ("x-mashery-error-code", "ERR_403_NOT_AUTHORIZED");
const JSON: (&str, &str) = ("content-type", "application/json");
const TEXT: (&str, &str) = ("content-type", "text/plain");
const NOSNIFF: (&str, &str) = ("x-content-type-options", "nosniff");

const PAST: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// Tests with a 429 take turns: two in a row, to different tokens, slow the site for all.
static TURN: Mutex<()> = Mutex::const_new(());

static RIG: OnceCell<Running> = OnceCell::const_new();

/// One listener; each configuration is an instance under a path of its own.
async fn gateway() -> Gateway {
    let running = RIG.get_or_init(|| async {
        let listener = instances()
            .into_iter()
            .fold(Listener::named("replies"), |l, (path, config)| l.instance(path, path, config));
        Setup::new().listener(listener).start().await
    });
    let gw = running.await.gateway("replies");
    script(&gw);
    gw
}

fn instances() -> Vec<(&'static str, Value)> {
    let regions_only = json!({"userinfo_endpoint": {
        "regionCodeHeader": "X-Region", "regionCodeValue": {"FR": "http://idp.example/fr"},
    }});
    let mut all = Vec::new();
    for (name, value, _) in SWITCHES {
        let mut switch = json!({});
        if !value.is_empty() {
            switch["enable_error_set"] = serde_json::from_str(value).unwrap();
        }
        let mut no_endpoint = with(&switch);
        no_endpoint.as_object_mut().unwrap().shift_remove("userinfo_endpoint");
        let mut not_an_object = with(&switch);
        not_an_object["userinfo_endpoint"] = json!("http://idp.example/userinfo");
        let mut no_default = with(&regions_only);
        extend(&mut no_default, &switch);
        all.push((path(&format!("/{name}/no-endpoint")), no_endpoint));
        all.push((path(&format!("/{name}/not-an-object")), not_an_object));
        all.push((path(&format!("/{name}/no-default")), no_default));
    }
    let set = json!({
        "code": 451, "detail_header": "Ask the desk", "response_body": "{\"ask\":\"desk – now\"}",
        "content_type": "application/problem+json",
    });
    let headers = json!({"error_metadata_location": "ResponseHeaders"});
    let payload = json!({"error_metadata_location": "ResponsePayload"});
    let more = [
        ("/set", json!({"enable_error_set": true, "error_set": set})),
        ("/set-401", json!({"enable_error_set": true, "error_set": {"code": 401}})),
        ("/set-unused", json!({"enable_error_set": false, "error_set": set})),
        ("/realm", json!({"realm": "a \"b\" \\ c"})),
        ("/empty-default", json!({"userinfo_endpoint": {"defaultURI": ""}})),
        ("/u401", json!({"userinfo_unavailable": {"status": 401}})),
        ("/u401-set", json!({"userinfo_unavailable": {"status": 401}, "enable_error_set": true})),
        ("/u503", json!({"userinfo_unavailable": {"status": 503}})),
        ("/u503-retry", json!({"userinfo_unavailable": {"status": 503, "retry_after": "2m"}})),
        (
            "/u503-set",
            json!({
                "userinfo_unavailable": {"status": 503, "retry_after": "5s"}, "enable_error_set": true,
            }),
        ),
        ("/header", merged(&headers, json!({"error_header_name": "WWW-Authenticate"}))),
        (
            "/header-set",
            merged(
                &headers,
                json!({
                    "error_header_name": "WWW-Authenticate", "enable_error_set": true,
                }),
            ),
        ),
        ("/header-unnamed", headers.clone()),
        ("/header-empty", merged(&headers, json!({"error_header_name": ""}))),
        ("/header-other", merged(&headers, json!({"error_header_name": "ErrorHeader"}))),
        ("/payload-at", merged(&payload, json!({"error_payload_location": "$.errorMessage"}))),
        ("/payload-miss", merged(&payload, json!({"error_payload_location": "$.message"}))),
        ("/payload", payload.clone()),
        ("/payload-empty", merged(&payload, json!({"error_payload_location": ""}))),
        ("/nowhere", json!({"error_metadata_location": "QueryParameter"})),
        ("/nowhere-empty", json!({"error_metadata_location": ""})),
        (
            "/details",
            json!({"require_subject": true, "max_userinfo_bytes": 1024,
            "max_token_bytes": 64, "access_log_state": true,
            "clusters": {"idp.example": "idp_default", "nobody.example": "no_such_cluster"},
            "userinfo_endpoint": {
                "regionCodeHeader": "X-Region",
                "regionCodeValue": {"XX": "http://nobody.example/userinfo"},
                "defaultURI": "http://idp.example/userinfo"}}),
        ),
    ];
    all.extend(more.into_iter().map(|(path, changes)| (path, with(&changes))));
    all
}

fn path(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// The plain configuration with these members instead.
fn with(changes: &Value) -> Value {
    let mut config = json!({
        "userinfo_endpoint": {"defaultURI": "http://idp.example/userinfo"},
        "clusters": {"idp.example": "idp_default"},
        "timeout": "1s",
        "unknown_region": "reject",
        // Resets and timeouts come here one after the other, on purpose.
        "breaker": {"failures": 0},
    });
    extend(&mut config, changes);
    config
}

fn merged(base: &Value, changes: Value) -> Value {
    let mut all = base.clone();
    extend(&mut all, &changes);
    all
}

fn extend(config: &mut Value, changes: &Value) {
    for (key, value) in changes.as_object().unwrap() {
        config[key.as_str()] = value.clone();
    }
}

const EXPIRED: &str = r#"error="invalid_token" , error_description="The Access Token expired""#;
const SCOPE: &str =
    r#"Bearer error="insufficient_scope" , error_description="Needs the scope travel""#;

/// What the provider answers, by token.
fn script(gw: &Gateway) {
    let challenged = |status, value: &str| Reply::status(status).header("WWW-Authenticate", value);
    let expired = json!({"error": "invalid_token", "errorMessage": "The access token expired"});
    let denied = Reply::text(403, r#"{"error":"insufficient_scope","for":"Rosenlöf"}"#)
        .header("content-type", "application/json;charset=UTF-8");
    let page = |body: &[u8], kind: &str| Reply::text(403, body).header("content-type", kind);
    let sub = json!({"sub": "1"});
    for (token, reply) in [
        ("reset", Reply::reset()),
        ("s1", challenged(401, EXPIRED)),
        ("s2", challenged(403, SCOPE)),
        ("s3", Reply::json(401, &expired)),
        ("s5", denied.clone()),
        ("s6", Reply::json(400, &json!({"message": "what?"}))),
        ("s6-code", Reply::json(400, &json!({"error": "invalid_request"}))),
        ("s9", Reply::status(500)),
        ("gone", Reply::status(404)),
        ("busy", Reply::text(429, "slow down").header("Retry-After", "120")),
        ("busy-date", Reply::status(429).header("Retry-After", PAST)),
        ("busy-odd", Reply::status(429).header("Retry-After", "soon; x=1")),
        // A time that has passed: all instances ask at one site, and none may slow it.
        ("resting", Reply::status(503).header("Retry-After", PAST)),
        ("broken", Reply::status(500).header("Retry-After", "7")),
        ("s502", Reply::status(502)),
        ("s504", challenged(504, EXPIRED)),
        ("s599", Reply::status(599)),
        ("bare-401", Reply::status(401)),
        ("bare-403", Reply::status(403)),
        ("teapot", challenged(401, r#"Bearer error="teapot", error_description="brew""#)),
        ("evil", challenged(401, "Bearer error_description=\"für\\\"alle\", scope=\"a\tb\"")),
        ("zipped", denied.clone().gzip()),
        ("html", page(b"<script>1</script>", "text/html")),
        ("untyped", Reply::text(403, "no\tno\r\nno")),
        ("control", page(b"no\x07no", "text/plain")),
        ("not-utf8", page(b"no\xff", "text/plain")),
        ("at-8k", page(&vec![b'n'; 8 << 10], "text/plain")),
        ("over-8k", page(&vec![b'n'; (8 << 10) + 1], "text/plain")),
        ("over-max", page(&vec![b'n'; (64 << 10) + 1], "text/plain")),
        // Asked with by the test of the access log alone: tests at the same time share calls.
        ("log-401", challenged(401, EXPIRED)),
        ("log-403", challenged(403, SCOPE)),
        ("log-reset", Reply::reset()),
        ("silent", Reply::silence()),
        ("cut", Reply::json(200, &sub).cut_after(3)),
        ("no-content", Reply::status(204)),
        ("large", Reply::json(200, &json!({"sub": "x".repeat(1024)}))),
        ("encoded", Reply::json(200, &sub).gzip()),
        ("list", Reply::json(200, &json!(["sub"]))),
        ("no-sub", Reply::json(200, &json!({"ok": true}))),
    ] {
        gw.provider.answer_token(token, reply);
    }
}

/// Sends a request over both protocols. Both replies must be the same, in every header line but
/// those that only HTTP/1.1 has or needs: connection, coding, and a length of 0.
async fn both(request: Request) -> Response {
    let (one, two) = (request.clone().send().await, request.send_h2().await);
    let seen = |r: &Response| (r.status, lines(r), r.text());
    assert_eq!(seen(&one), seen(&two), "HTTP/1.1 and HTTP/2 differ: {one:?}\n{two:?}");
    assert!(one.interim.is_empty() && one.trailers.0.is_empty() && two.trailers.0.is_empty());
    one
}

/// Every header line that is not Envoy's own or HTTP/1.1's, sorted.
fn lines(response: &Response) -> Vec<String> {
    const PROTOCOLS: [&str; 4] =
        ["server: envoy", "connection: close", "content-length: 0", "transfer-encoding: chunked"];
    let mut lines: Vec<String> = response
        .headers
        .0
        .iter()
        .map(|(name, value)| format!("{}: {}", name.to_lowercase(), String::from_utf8_lossy(value)))
        .filter(|line| !line.starts_with("date: ") && !PROTOCOLS.contains(&line.as_str()))
        .collect();
    lines.sort();
    lines
}

/// Asserts the whole reply: these header lines beside `cache-control` and the length, and no other.
#[track_caller]
fn assert_reply(r: &Response, status: u16, headers: &[(&str, &str)], body: &str, what: &str) {
    let mut expected: Vec<String> = headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    expected.push("cache-control: no-store".to_owned());
    if !body.is_empty() {
        expected.push(format!("content-length: {}", body.len()));
    }
    expected.sort();
    assert_eq!((r.status, lines(r), r.text().as_str()), (status, expected, body), "{what}");
}

#[tokio::test]
async fn the_connectors_own_errors_with_and_without_the_error_set() {
    let gw = gateway().await;
    for (name, value, on) in SWITCHES {
        let at = |instance: &str| gw.get(&format!("/{name}/{instance}/orders"));
        let cases = [
            (at("no-default"), BARE, NO_AUTHORIZATION),
            (at("no-default").header("authorization", "Bearer"), INVALID_REQUEST, NO_AUTHORIZATION),
            (at("no-endpoint"), BARE, NO_AUTHORIZATION),
            (at("no-endpoint").bearer("t"), BARE, NO_ENDPOINT),
            (at("not-an-object").bearer("t"), BARE, NO_ENDPOINT),
            (at("no-default").bearer("t"), BARE, NO_DEFAULT),
            (at("no-default").bearer("t").header("X-Region", "ZZ"), BARE, UNKNOWN_REGION),
            (at("no-default").bearer("reset").header("X-Region", "FR"), BARE, NO_ANSWER),
        ];
        for (request, challenge, body) in cases {
            let what = format!("enable_error_set {value:?}: {request:?}");
            let r = both(request).await;
            if on {
                // Envoy sends no content-type with an empty body.
                let headers = [ERR_403, ("x-error-detail-header", "Not Authorized")];
                assert_reply(&r, 403, &headers, "", &what);
            } else {
                assert_reply(&r, 401, &[JSON, challenge, ERR_401], body, &what);
            }
        }
    }
    gw.upstream.assert_untouched();
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test]
async fn the_error_set_as_configured() {
    let gw = gateway().await;
    let r = both(gw.get("/set")).await;
    let headers = [
        ("content-type", "application/problem+json"),
        ERR_403,
        ("x-error-detail-header", "Ask the desk"),
    ];
    assert_reply(&r, 451, &headers, "{\"ask\":\"desk – now\"}", "all four members");
    let r = both(gw.get("/set").bearer("reset")).await;
    assert_reply(&r, 451, &headers, "{\"ask\":\"desk – now\"}", "for each error");
    let detail = ("x-error-detail-header", "Not Authorized");
    let r = both(gw.get("/set-401")).await;
    assert_reply(&r, 401, &[ERR_403, detail, BARE], "", "a 401 keeps its challenge");
    let r = both(gw.get("/set-401").header("authorization", "Bearer a b")).await;
    assert_reply(&r, 401, &[ERR_403, detail, INVALID_REQUEST], "", "and its code");
    let r = both(gw.get("/set-unused")).await;
    assert_reply(&r, 401, &[JSON, BARE, ERR_401], NO_AUTHORIZATION, "not enabled");
}

#[tokio::test]
async fn an_empty_default_uri_counts_as_none() {
    let gw = gateway().await;
    let r = both(gw.get("/empty-default").bearer("t")).await;
    assert_reply(&r, 401, &[JSON, BARE, ERR_401], NO_DEFAULT, "defaultURI is empty");
}

#[tokio::test]
async fn the_realm_is_quoted() {
    let gw = gateway().await;
    let challenge = ("www-authenticate", r#"Bearer realm="a \"b\" \\ c""#);
    let r = both(gw.get("/realm")).await;
    assert_eq!(r.header("www-authenticate").as_deref(), Some(challenge.1));
}

#[tokio::test]
async fn an_unavailable_provider_as_configured_wins_over_the_error_set() {
    let gw = gateway().await;
    for (path, status, more) in [
        ("/u401", 401, vec![BARE, ERR_401]),
        ("/u401-set", 401, vec![BARE, ERR_401]),
        ("/u503", 503, vec![]),
        ("/u503-retry", 503, vec![("retry-after", "120")]),
        ("/u503-set", 503, vec![("retry-after", "5")]),
    ] {
        let r = both(gw.get(path).bearer("reset")).await;
        assert_reply(&r, status, &[vec![JSON], more].concat(), NO_ANSWER, path);
    }
    // Only for that error.
    let r = both(gw.get("/u503-set")).await;
    let detail = ("x-error-detail-header", "Not Authorized");
    assert_reply(&r, 403, &[ERR_403, detail], "", "no credentials");
    let r = both(gw.get("/u503")).await;
    assert_reply(&r, 401, &[JSON, BARE, ERR_401], NO_AUTHORIZATION, "no credentials");
    gw.upstream.assert_untouched();
}

fn standard(status: u16) -> String {
    format!("Error Response retrieved from UserInfo endpoint. Response Code - {status}")
}

const INVALID_TOKEN: (&str, &str) =
    ("www-authenticate", r#"Bearer realm="api", error="invalid_token""#);
const INSUFFICIENT: (&str, &str) =
    ("www-authenticate", r#"Bearer realm="api", error="insufficient_scope""#);
const EXPIRED_CHALLENGE: (&str, &str) = (
    "www-authenticate",
    r#"Bearer realm="api", error="invalid_token", error_description="The Access Token expired""#,
);
const SCOPE_CHALLENGE: (&str, &str) = (
    "www-authenticate",
    r#"Bearer realm="api", error="insufficient_scope", error_description="Needs the scope travel""#,
);

#[tokio::test]
async fn the_nine_scenarios_of_provider_errors() {
    let gw = gateway().await;
    let json_utf8 = ("content-type", "application/json;charset=UTF-8");
    let (e400, e401, e403) = (standard(400), standard(401), standard(403));
    let s5 = r#"{"error":"insufficient_scope","for":"Rosenlöf"}"#;
    let cases = [
        ("1", "/header", "s1", 401, vec![TEXT, EXPIRED_CHALLENGE, ERR_401], EXPIRED),
        (
            "1 with the error set",
            "/header-set",
            "s1",
            401,
            vec![TEXT, EXPIRED_CHALLENGE, ERR_401],
            EXPIRED,
        ),
        ("2", "/header", "s2", 403, vec![TEXT, SCOPE_CHALLENGE], SCOPE),
        (
            "3",
            "/payload-at",
            "s3",
            401,
            vec![TEXT, INVALID_TOKEN, ERR_401],
            "The access token expired",
        ),
        ("4, absent", "/header-unnamed", "s1", 401, vec![TEXT, EXPIRED_CHALLENGE, ERR_401], &e401),
        ("4, empty", "/header-empty", "s1", 401, vec![TEXT, EXPIRED_CHALLENGE, ERR_401], &e401),
        ("5, absent", "/payload", "s5", 403, vec![json_utf8, INSUFFICIENT], s5),
        ("5, empty", "/payload-empty", "s5", 403, vec![json_utf8, INSUFFICIENT], s5),
        ("6, unknown", "/nowhere", "s6", 400, vec![TEXT], &e400),
        ("6, empty", "/nowhere-empty", "s6", 400, vec![TEXT], &e400),
        ("6, absent", "/u503", "s6", 400, vec![TEXT], &e400),
        (
            "6, with one of the three codes",
            "/nowhere",
            "s6-code",
            400,
            vec![TEXT, INVALID_REQUEST],
            &e400,
        ),
        ("7", "/header-other", "s2", 403, vec![TEXT, SCOPE_CHALLENGE], &e403),
        ("8", "/payload-miss", "s3", 401, vec![TEXT, INVALID_TOKEN, ERR_401], &e401),
        ("9", "/payload", "s9", 500, vec![TEXT], &standard(500)),
        ("9, with a path", "/payload-at", "s9", 500, vec![TEXT], &standard(500)),
    ];
    for (number, path, token, status, headers, body) in cases {
        let r = both(gw.get(path).bearer(token)).await;
        let what = format!("scenario {number}");
        assert_reply(&r, status, &[headers, vec![NOSNIFF]].concat(), body, &what);
    }
    gw.upstream.assert_untouched();
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test]
async fn a_provider_that_is_overloaded_or_broken_is_quoted_without_a_challenge() {
    let _turn = TURN.lock().await;
    let gw = gateway().await;
    let retry = |value| ("retry-after", value);
    for (path, token, status, more, body) in [
        ("/payload", "busy", 429, vec![retry("120")], "slow down".to_owned()),
        ("/nowhere", "busy", 429, vec![retry("120")], standard(429)),
        ("/nowhere", "busy-date", 429, vec![retry(PAST)], standard(429)),
        ("/nowhere", "busy-odd", 429, vec![], standard(429)),
        ("/u503-set", "resting", 503, vec![retry(PAST)], standard(503)),
        ("/nowhere", "broken", 500, vec![], standard(500)),
        ("/u503-set", "s502", 502, vec![], standard(502)),
        ("/header", "s504", 504, vec![], EXPIRED.to_owned()),
        ("/nowhere", "s599", 599, vec![], standard(599)),
        ("/nowhere", "gone", 404, vec![], standard(404)),
    ] {
        let r = both(gw.get(path).bearer(token)).await;
        assert_reply(&r, status, &[vec![TEXT, NOSNIFF], more].concat(), &body, token);
    }
}

#[tokio::test]
async fn what_a_provider_says_goes_on_only_if_it_is_harmless() {
    let gw = gateway().await;
    let html = "<script>1</script>";
    let at_8k = "n".repeat(8 << 10);
    let (e401, e403) = (standard(401), standard(403));
    for (path, token, status, challenge, body) in [
        ("/nowhere", "bare-401", 401, INVALID_TOKEN, e401.as_str()),
        ("/nowhere", "bare-403", 403, INSUFFICIENT, &e403),
        (
            "/nowhere",
            "teapot",
            401,
            (
                "www-authenticate",
                r#"Bearer realm="api", error="invalid_token", error_description="brew""#,
            ),
            &e401,
        ),
        ("/nowhere", "evil", 401, INVALID_TOKEN, &e401),
        ("/payload", "zipped", 403, INSUFFICIENT, &e403),
        // Never as HTML: a page of the provider must not run under the gateway's name.
        ("/payload", "html", 403, INSUFFICIENT, html),
        ("/payload", "untyped", 403, INSUFFICIENT, "no\tno\r\nno"),
        ("/payload", "control", 403, INSUFFICIENT, &e403),
        ("/payload", "not-utf8", 403, INSUFFICIENT, &e403),
        ("/payload", "at-8k", 403, INSUFFICIENT, &at_8k),
        ("/payload", "over-8k", 403, INSUFFICIENT, &e403),
        ("/payload", "over-max", 403, INSUFFICIENT, &e403),
    ] {
        let r = both(gw.get(path).bearer(token)).await;
        let mut headers = vec![TEXT, NOSNIFF, challenge];
        headers.extend((status == 401).then_some(ERR_401));
        assert_reply(&r, status, &headers, body, token);
    }
    gw.envoy.assert_no_vm_restart().await;
}

/// A refused gRPC call ends with HTTP 200 and a gRPC status, and its message is one of five texts.
#[tokio::test]
async fn grpc_clients_get_a_grpc_status() {
    let _turn = TURN.lock().await;
    let gw = gateway().await;
    const REFUSED: &str = "The UserInfo endpoint refused the token.";
    const AUTHORIZATION: &str =
        "The Authorization header is missing, empty or not one Bearer token.";
    const UNAVAILABLE: &str = "No usable answer could be had from the UserInfo endpoint.";
    let detail = ("x-error-detail-header", "Not Authorized");
    let retry = ("retry-after", "5");
    let cases = [
        ("/header", "", "16", AUTHORIZATION, vec![BARE, ERR_401]),
        ("/true/no-endpoint", "", "7", AUTHORIZATION, vec![ERR_403, detail]),
        (
            "/false/no-endpoint",
            "t",
            "16",
            "The UserInfo endpoint is not configured.",
            vec![BARE, ERR_401],
        ),
        (
            "/false/no-default",
            "t",
            "16",
            "No default UserInfo endpoint is configured.",
            vec![BARE, ERR_401],
        ),
        ("/header", "s1", "16", REFUSED, vec![EXPIRED_CHALLENGE, ERR_401]),
        ("/payload", "s5", "7", REFUSED, vec![INSUFFICIENT]),
        ("/payload", "busy", "14", REFUSED, vec![("retry-after", "120")]),
        ("/u503-set", "reset", "14", UNAVAILABLE, vec![retry]),
        ("/u401", "reset", "16", UNAVAILABLE, vec![BARE, ERR_401]),
    ];
    for (path, token, status, message, headers) in cases {
        for content_type in ["application/grpc", "application/grpc+proto"] {
            let mut request = gw.post(path, b"\0\0\0\0\0").header("content-type", content_type);
            if !token.is_empty() {
                request = request.bearer(token);
            }
            let r = both(request.header("te", "trailers")).await;
            let mut expected: Vec<String> = [
                headers.clone(),
                vec![
                    ("cache-control", "no-store"),
                    ("content-type", "application/grpc"),
                    ("grpc-status", status),
                    ("grpc-message", message),
                ],
            ]
            .concat()
            .iter()
            .map(|(n, v)| format!("{n}: {v}"))
            .collect();
            expected.sort();
            assert_eq!((r.status, lines(&r)), (200, expected), "{path} {token} {content_type}");
            assert!(r.body.is_empty(), "{r:?}");
        }
    }
    gw.upstream.assert_untouched();
}

#[tokio::test]
async fn what_is_not_grpc_gets_a_reply_of_http() {
    let gw = gateway().await;
    for content_type in
        ["application/grpc-web", "application/grpcx", "application/grpc;a=b", "Application/GRPC"]
    {
        let r = both(gw.post("/u503", "x").header("content-type", content_type)).await;
        assert_reply(&r, 401, &[JSON, BARE, ERR_401], NO_AUTHORIZATION, content_type);
    }
}

#[tokio::test]
async fn head_gets_the_headers_of_get_and_no_body() {
    let gw = gateway().await;
    for (path, token) in [
        ("/header", ""),
        ("/header", "s1"),
        ("/payload", "s5"),
        ("/u503-retry", "reset"),
        ("/set", ""),
        ("/true/no-default", "t"),
    ] {
        let ask = |method| {
            let request = gw.request(method, path);
            if token.is_empty() { request } else { request.bearer(token) }
        };
        let (get, head) = (both(ask("GET")).await, both(ask("HEAD")).await);
        assert_eq!((get.status, lines(&get)), (head.status, lines(&head)), "{path} {token}");
        assert_eq!(head.body, b"", "{path} {token}");
    }
    gw.upstream.assert_untouched();
}

#[tokio::test]
async fn the_access_log_says_why() {
    let _turn = TURN.lock().await;
    let gw = gateway().await;
    let bearer = |value: &str| vec![("authorization", value.to_owned())];
    let token = |token: &str| bearer(&format!("Bearer {token}"));
    let unsent = [token("t"), vec![("x-region", "XX".to_owned())]].concat();
    let unknown = [token("t"), vec![("x-region", "ZZ".to_owned())]].concat();
    let cases = [
        ("/details", vec![], "no_credentials:absent", "none;none"),
        ("/details", bearer(""), "no_credentials:empty", "none;none"),
        ("/details", bearer("Basic eDp5"), "no_credentials:other_scheme", "none;none"),
        ("/details", bearer("Bearer"), "malformed:no_token", "none;none"),
        ("/details", bearer("Bearer a b"), "malformed:not_a_token", "none;none"),
        ("/details", token(&"t".repeat(65)), "malformed:too_long", "none;none"),
        ("/details", bearer("Basic eDp5, Bearer t"), "malformed:several", "none;none"),
        ("/details", unknown, "unknown_region:unknown_code", "none;none"),
        ("/details", unsent, "unavailable:not_sent", "asked;XX"),
        ("/details", token("log-401"), "invalid_token:provider_4xx", "asked;default"),
        ("/details", token("log-403"), "forbidden:provider_4xx", "asked;default"),
        ("/details", token("busy"), "provider_error:provider_4xx", "asked;default"),
        ("/details", token("resting"), "provider_error:provider_5xx", "asked;default"),
        ("/details", token("cut"), "unavailable:cut_off", "asked;default"),
        ("/details", token("log-reset"), "unavailable:unreachable", "asked;default"),
        ("/details", token("silent"), "unavailable:timed_out", "asked;default"),
        ("/details", token("no-content"), "unavailable:unexpected_status", "asked;default"),
        ("/details", token("large"), "unavailable:too_large", "asked;default"),
        ("/details", token("encoded"), "unavailable:encoded", "asked;default"),
        ("/details", token("list"), "unavailable:not_a_json_object", "asked;default"),
        ("/details", token("no-sub"), "unavailable:no_subject", "asked;default"),
        // No access_log_state here.
        ("/false/no-endpoint", token("t"), "misconfigured:no_userinfo_endpoint", ""),
        ("/false/no-default", token("t"), "misconfigured:no_default_uri", ""),
    ];
    for (number, (path, headers, details, state)) in cases.into_iter().enumerate() {
        let target = format!("{path}/log/{number}");
        let request = headers.iter().fold(gw.get(&target), |r, (n, v)| r.header(n, v));
        let answered = [request.clone().send().await.status, request.send_h2().await.status];
        let outcome = details.split(':').next().unwrap();
        for protocol in ["HTTP/1.1", "HTTP/2"] {
            let part = format!(r#""protocol":"{protocol}""#);
            let line = wait_line(&gw, &[&part, &format!(r#""path":"{target}""#)]).await;
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["details"], format!("oidc_token_connector{{{details}}}"), "{line}");
            let state = (!state.is_empty()).then(|| format!("{outcome};{state}"));
            assert_eq!(line["outcome"], json!(state), "{line}");
            assert_eq!(line["status"], json!(answered[0]), "{line}");
        }
        assert_eq!(answered[0], answered[1]);
    }
    gw.upstream.assert_untouched();
}

/// The access-log line that holds all of these; Envoy writes it after the reply.
async fn wait_line(gw: &Gateway, parts: &[&str]) -> String {
    let log = gw.envoy.access_log();
    for n in 1.. {
        let lines = log.wait_lines(n).await;
        if parts.iter().all(|part| lines[n - 1].contains(part)) {
            return lines[n - 1].clone();
        }
    }
    unreachable!("wait_lines fails the test when no more lines come")
}
