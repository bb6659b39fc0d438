//! The replies to refused clients, to the letter, on the real Envoy: the connector's own errors
//! with and without the error set, the nine scenarios of provider errors, each of them with
//! `provider_errors: "map"`, the reply for an unavailable provider, gRPC and HEAD, and the reason
//! in the access log.
//!
//! Every request goes over HTTP/1.1 and over HTTP/2, and both replies must be the same. Nothing in
//! this file may reach the upstream.

mod grpc;
mod provider;

use std::sync::atomic::{AtomicUsize, Ordering};

use integration::{Gateway, Listener, Reply, Request, Response, Running, Setup, merged};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

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
const NO_SUBJECT: &str = r#"{"error":"invalid_token","error_description":"The provider does not vouch for the access token."}"#;
const NO_SCOPE: &str = r#"{"error":"insufficient_scope","error_description":"The access token does not give the privileges that the provider requires."}"#;
const DENIED: &str =
    r#"{"error":"access_denied","error_description":"The provider denied the access token."}"#;
const NO_ANSWER: &str = r#"{"error":"TargetEndpointError","error_description":"No usable response from the UserInfo endpoint."}"#;

const BARE: (&str, &str) = ("www-authenticate", r#"Bearer realm="api""#);
const INVALID_REQUEST: (&str, &str) =
    ("www-authenticate", r#"Bearer realm="api", error="invalid_request""#);
const ERR_401: (&str, &str) = ("x-mashery-error-code", "ERR_401_UNAUTHORIZED");
const ERR_403: (&str, &str) = ("x-mashery-error-code", "ERR_403_NOT_AUTHORIZED");
const JSON: (&str, &str) = ("content-type", "application/json");
const TEXT: (&str, &str) = ("content-type", "text/plain");
const NOSNIFF: (&str, &str) = ("x-content-type-options", "nosniff");

const PAST: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A limited token waits, so a test of the provider's own answer uses another token.
const BUSY: &str = "busy-";

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
        let no_default = merged(with(&regions_only), switch);
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
    let map = json!({
        "provider_errors": "map", "userinfo_unavailable": {"status": 503, "retry_after": "5s"},
    });
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
        ("/header", merged(headers.clone(), json!({"error_header_name": "WWW-Authenticate"}))),
        (
            "/header-set",
            merged(
                headers.clone(),
                json!({
                    "error_header_name": "WWW-Authenticate", "enable_error_set": true,
                }),
            ),
        ),
        ("/header-unnamed", headers.clone()),
        ("/header-empty", merged(headers.clone(), json!({"error_header_name": ""}))),
        ("/header-other", merged(headers.clone(), json!({"error_header_name": "ErrorHeader"}))),
        (
            "/payload-at",
            merged(payload.clone(), json!({"error_payload_location": "$.errorMessage"})),
        ),
        ("/payload-miss", merged(payload.clone(), json!({"error_payload_location": "$.message"}))),
        ("/payload", payload.clone()),
        ("/payload-empty", merged(payload.clone(), json!({"error_payload_location": ""}))),
        ("/subject", json!({"require_subject": true})),
        ("/subject-set", json!({"require_subject": true, "enable_error_set": true})),
        ("/map", merged(map.clone(), json!({"enable_error_set": true}))),
        (
            "/map-header",
            merged(
                merged(map.clone(), headers.clone()),
                json!({"error_header_name": "WWW-Authenticate"}),
            ),
        ),
        ("/map-payload", merged(map.clone(), payload.clone())),
        ("/map-subject", merged(map.clone(), json!({"require_subject": true}))),
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
    let config = json!({
        "userinfo_endpoint": {"defaultURI": "http://idp.example/userinfo"},
        "clusters": {"idp.example": "idp_default"},
        "timeout": "1s",
        "unknown_region": "reject",
        // Resets and timeouts come here one after the other, on purpose.
        "breaker": {"failures": 0},
    });
    merged(config, changes.clone())
}

const EXPIRED: &str = r#"error="invalid_token" , error_description="The Access Token expired""#;
const SCOPE: &str =
    r#"Bearer error="insufficient_scope" , error_description="Needs the scope travel""#;

const LOGIN: &str = r#"Bearer error="insufficient_user_authentication",
 error_description="Log in with a key", acr_values="phr urn:a:b", max_age=300"#;

/// The provider's answers, by token.
fn script(gw: &Gateway) {
    let challenged = |status, value: &str| Reply::status(status).header("WWW-Authenticate", value);
    let expired = json!({"error": "invalid_token", "errorMessage": "The access token expired"});
    let refused = r#"{"error":"insufficient_scope","message":"Not yours"}"#;
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
        ("s400-token", challenged(400, EXPIRED)),
        ("s400-scope", challenged(400, SCOPE)),
        ("s403-token", challenged(403, EXPIRED)),
        ("s403-login", challenged(403, LOGIN)),
        ("s404", Reply::status(404)),
        ("s404-token", Reply::json(404, &json!({"error": "invalid_token"}))),
        ("s405", Reply::status(405)),
        ("s408", Reply::status(408)),
        ("s409", Reply::status(409)),
        ("s410", Reply::status(410)),
        ("s421", Reply::status(421)),
        ("limited", Reply::text(429, "slow down")),
        // Times in the past, or invalid: no token waits.
        ("limited-date", Reply::status(429).header("Retry-After", PAST)),
        ("limited-odd", Reply::status(429).header("Retry-After", "soon; x=1")),
        ("resting", Reply::status(503).header("Retry-After", PAST)),
        ("broken", Reply::status(500).header("Retry-After", "7")),
        ("s502", Reply::status(502)),
        ("s503", Reply::status(503)),
        ("s504", challenged(504, EXPIRED)),
        ("s599", Reply::status(599)),
        ("bare-401", Reply::status(401)),
        ("bare-403", Reply::status(403)),
        (
            "schemes",
            challenged(401, r#"DPoP error="use_dpop_nonce", error_description="nonce""#)
                .header("WWW-Authenticate", r#"Basic realm="a, b", bearer scope="travel""#)
                .header("WWW-Authenticate", "error_description=It is too old"),
        ),
        ("login", challenged(401, LOGIN)),
        ("scope-401", challenged(401, SCOPE)),
        ("firewall", challenged(403, r#"Basic realm="x", error="insufficient_scope""#)),
        ("html-json", page(refused.as_bytes(), "text/html")),
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
        // Used only by the test of the access log: concurrent tests share calls.
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
        ("page", Reply::text(200, "<html>").header("content-type", "text/html")),
        ("jwt", Reply::text(200, "e30.e30.c2ln").header("content-type", "application/jwt")),
    ] {
        gw.provider.answer_token(token, reply);
    }
    gw.provider.answer_with(|call| {
        let limited = call.token().is_some_and(|token| token.starts_with(BUSY));
        limited.then(|| Reply::text(429, "slow down").header("Retry-After", "120"))
    });
}

/// Adds a bearer token, and to one that is limited a number of its own.
fn asking(request: Request, token: &str) -> Request {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    if token == BUSY {
        return request.bearer(&format!("{BUSY}{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    }
    request.bearer(token)
}

/// Sends a request over both protocols. Both replies must be the same, in every header line but
/// those that only HTTP/1.1 has or needs: connection, coding, and a length of 0.
async fn both(request: Request) -> Response {
    both_of([request.clone(), request]).await
}

/// The same of two requests that differ in what the reply does not say.
async fn both_of([one, two]: [Request; 2]) -> Response {
    let (one, two) = (one.send().await, two.send_h2().await);
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
async fn connector_errors_with_and_without_error_set() {
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
async fn error_set_is_used_as_configured() {
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
async fn empty_default_uri_counts_as_absent() {
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
async fn userinfo_unavailable_overrides_the_error_set() {
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

/// A complete JSON object without the required subject: the token is not valid, whatever else is
/// configured.
#[tokio::test]
async fn missing_subject_is_invalid_token() {
    let gw = gateway().await;
    for path in ["/subject", "/subject-set", "/map-subject"] {
        let r = both(gw.get(path).bearer("no-sub")).await;
        assert_reply(&r, 401, &[JSON, INVALID_TOKEN, ERR_401], NO_SUBJECT, path);
    }
    gw.upstream.assert_untouched();
}

/// A retry does not help, so there is no `Retry-After`, and it is no outage.
#[tokio::test]
async fn unusable_answer_has_no_retry_after() {
    let gw = gateway().await;
    let detail = ("x-error-detail-header", "Not Authorized");
    for token in ["page", "jwt", "list", "encoded"] {
        for (path, status, headers, body) in [
            ("/nowhere", 401, vec![JSON, BARE, ERR_401], NO_ANSWER),
            ("/u401-set", 401, vec![JSON, BARE, ERR_401], NO_ANSWER),
            ("/u503", 502, vec![JSON], NO_ANSWER),
            ("/u503-retry", 502, vec![JSON], NO_ANSWER),
            ("/u503-set", 502, vec![JSON], NO_ANSWER),
            ("/true/no-default", 403, vec![ERR_403, detail], ""),
        ] {
            let r = both(gw.get(path).bearer(token).header("x-region", "FR")).await;
            assert_reply(&r, status, &headers, body, &format!("{path} {token}"));
        }
    }
    gw.upstream.assert_untouched();
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
async fn access_log_has_the_reason() {
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
        ("/details", token("limited"), "provider_error:provider_4xx", "asked;default"),
        ("/details", token("resting"), "provider_error:provider_5xx", "asked;default"),
        ("/details", token("cut"), "unavailable:cut_off", "asked;default"),
        ("/details", token("log-reset"), "unavailable:unreachable", "asked;default"),
        ("/details", token("silent"), "unavailable:timed_out", "asked;default"),
        ("/details", token("no-content"), "unavailable:unexpected_status", "asked;default"),
        ("/details", token("large"), "unusable:too_large", "asked;default"),
        ("/details", token("encoded"), "unusable:encoded", "asked;default"),
        ("/details", token("list"), "unusable:not_a_json_object", "asked;default"),
        ("/details", token("jwt"), "unusable:jwt", "asked;default"),
        ("/details", token("no-sub"), "invalid_token:no_subject", "asked;default"),
        ("/details", token("bare-403"), "forbidden:provider_4xx", "asked;default"),
        ("/details", token("s400-token"), "invalid_token:provider_4xx", "asked;default"),
        ("/details", token("s404"), "provider_error:provider_4xx", "asked;default"),
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
