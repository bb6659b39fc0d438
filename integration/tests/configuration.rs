//! How a configuration reaches the filter on the real Envoy: as text and as a Struct with the same
//! effect, refused at the start with every problem, or loaded although it serves no request. A
//! refused configuration must never be logged.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use std::io;

use base::{merged, one, with_clusters};
use integration::{
    Config, DEFAULT_INSTANCE, Gateway, Headers, Listener, Provider, Reply, Running, Setup,
    StartFailure, filter,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static RIG: OnceCell<Running> = OnceCell::const_new();

/// The listener of one test, in the Envoy that all tests of this file share.
async fn gateway(name: &str) -> Gateway {
    let rig = RIG.get_or_init(|| async {
        let named = |name: &str, config: Value| Listener::named(name).config(config);
        let blank = |endpoint: Value| {
            let config = json!({"clusters": {"idp.example": "idp_default"}});
            merged(config, json!({"userinfo_endpoint": endpoint}))
        };
        Setup::new()
            .listener(Listener::named("text").config(Config::Text(full().to_string())))
            .listener(Listener::named("struct").config(Config::Struct(full())))
            .listener(Listener::named("text_keys").config(Config::Text(full().to_string())))
            .listener(Listener::named("struct_keys").config(Config::Struct(full())))
            .listener(named("ten", with_regions(10)))
            .listener(Listener::named("ten_struct").config(Config::Struct(with_regions(10))))
            .listener(named("absent", json!({"inject_headers": {"X-User-Id": "$.sub"}})))
            .listener(named("text_endpoint", blank(json!("http://idp.example/userinfo"))))
            .listener(named("null_endpoint", blank(Value::Null)))
            .listener(named("no_default", blank(json!({}))))
            .listener(named("empty_default", blank(json!({"defaultURI": ""}))))
            .start()
            .await
    });
    rig.await.gateway(name)
}

/// A configuration that says something about almost every key.
fn full() -> Value {
    with_clusters(json!({
        "userinfo_endpoint": {
            "regionCodeHeader": "X-Region",
            "regionCodeValue": {
                "FR": "http://fr.idp.example/userinfo?schema=openid",
                "US": "https://us.idp.example:8443/userinfo",
            },
            "defaultURI": "http://idp.example/userinfo",
        },
        "inject_headers": {
            "FR": {
                "X-Roles": {"path": "$.groups[*]", "join": ", "},
                "X-User-Name": "$.name",
            },
            "default": {"X-User-Id": "$.sub", "X-Unit": "$['b2bUnitId']"},
        },
        "block_authorization_header": false,
        "error_metadata_location": "ResponsePayload",
        "error_payload_location": "$.errorMessage",
        "enable_error_set": true,
        "error_set": {
            "code": 418,
            "detail_header": "Kein Zutritt",
            "response_body": "{\"zutritt\":\"öde\"}",
            "content_type": "application/json; charset=utf-8",
        },
        "userinfo_method": "POST",
        "timeout": "2s",
        "userinfo_headers": {"X-Tenant": "travel", "User-Agent": "gateway/1"},
        "region_header": "X-User-Region",
        "preflight": "authenticate",
        "access_log_state": true,
        "realm": "Reisen \"und\" mehr",
        "userinfo_unavailable": {"status": 503, "retry_after": "7s"},
        "unknown_region": "reject",
        "accept_any_200": false,
        "require_subject": true,
        "max_token_bytes": 12,
        "max_userinfo_bytes": 300,
    }))
}

/// A request, how the provider answers, and the status that its client gets.
struct Scenario {
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
    answer: Reply,
    status: u16,
}

const GOOD: &[(&str, &str)] = &[("authorization", "Bearer good")];
const BUSY: &[(&str, &str)] = &[("authorization", "Bearer busy")];

fn scenarios() -> Vec<Scenario> {
    let scenario = |name, headers, answer, status| Scenario { name, headers, answer, status };
    vec![
        scenario("default region", GOOD, Provider::good(), 200),
        scenario("odd scheme", &[("authorization", "bEARER  good")], Provider::good(), 200),
        scenario(
            "France, forged",
            &[
                ("authorization", "Bearer good"),
                ("x-region", "FR"),
                ("x-roles", "admin"),
                ("x-user-id", "admin"),
                ("x-user-region", "US"),
            ],
            Provider::good(),
            200,
        ),
        scenario(
            "the US",
            &[("authorization", "Bearer good"), ("x-region", "US")],
            Provider::good(),
            200,
        ),
        scenario(
            "unknown region",
            &[("authorization", "Bearer good"), ("x-region", "SE")],
            Provider::good(),
            418,
        ),
        scenario("no token", &[], Provider::good(), 418),
        scenario(
            "longest token",
            &[("authorization", "Bearer 123456789012")],
            Provider::good(),
            200,
        ),
        scenario(
            "longer token",
            &[("authorization", "Bearer 1234567890123")],
            Provider::good(),
            418,
        ),
        scenario("expired", GOOD, Provider::expired(), 401),
        scenario("forbidden without a text", GOOD, Reply::json(403, &json!({"x": 1})), 403),
        // This token waits, so no other test may use it.
        scenario("busy", BUSY, Reply::status(429).header("retry-after", "60"), 429),
        scenario("no subject", GOOD, Reply::json(200, &json!({"ok": true})), 401),
        scenario("a page", GOOD, Reply::text(200, "<html>"), 502),
        scenario(
            "too large",
            GOOD,
            Reply::json(200, &json!({"sub": "s", "more": "x".repeat(300)})),
            502,
        ),
        scenario("cut off", GOOD, Provider::good().cut_after(7), 503),
        scenario("silence", GOOD, Reply::silence(), 503),
    ]
}

/// All that can be seen of a scenario from outside, less what differs from request to request.
async fn seen(gw: &Gateway, number: usize, scenario: &Scenario) -> Value {
    let (calls, came) = (gw.provider.count(), gw.upstream.count());
    gw.provider.answer(scenario.answer.clone());
    let path = format!("/{}/{number}", gw.address().port());
    let r = gw.get(&path).headers(scenario.headers.iter().copied()).send().await;
    let entry = gw.envoy.access_entry(&format!("\"{path}\"")).await;
    // Sorted, because a Struct's members have no order, and the headers made from them neither.
    let lines = |headers: &Headers, but: &[&str]| {
        let lines = headers.0.iter().filter(|(name, _)| !but.contains(&name.as_str()));
        let mut lines: Vec<String> =
            lines.map(|(n, v)| format!("{n}: {}", v.escape_ascii())).collect();
        lines.sort();
        json!(lines)
    };
    let received = gw.upstream.received().split_off(came);
    let of_envoy = ["x-request-id"];
    let received = received.iter().map(|r| lines(&r.headers, &of_envoy));
    let calls = gw.provider.calls().split_off(calls);
    // A repeat gets what is left of the time, after a pause of its own.
    let of_repeat = ["x-request-id", "x-envoy-expected-rq-timeout-ms"];
    let calls = calls.iter().enumerate().map(|(n, call)| {
        let but: &[&str] = if n == 0 { &of_envoy } else { &of_repeat };
        json!([call.method, call.target, lines(&call.headers, but)])
    });
    json!({
        "status": r.status,
        "headers": lines(&r.headers, &["date", "content-length", "x-envoy-upstream-service-time"]),
        // Another row tests the echo of a passed request.
        "body": if r.status == 200 { String::new() } else { r.text() },
        "outcome": entry["outcome"],
        "details": entry["details"],
        "calls": calls.collect::<Value>(),
        "upstream": received.collect::<Value>(),
    })
}

#[tokio::test]
async fn text_and_struct_have_the_same_effect() {
    let (text, structure) = (gateway("text").await, gateway("struct").await);
    let scenarios = scenarios();
    for (number, scenario) in scenarios.iter().enumerate() {
        let (of_text, of_struct) =
            tokio::join!(seen(&text, number, scenario), seen(&structure, number, scenario));
        assert_eq!(of_text, of_struct, "{}", scenario.name);
        assert_eq!(of_text["status"], scenario.status, "{}: {of_text:#}", scenario.name);
    }
    assert!(text.provider.count() > 0 && text.upstream.count() > 0, "nothing was compared");
}

/// The scenarios above depend on this: each key of the configuration has its effect.
#[tokio::test]
async fn every_key_has_an_effect() {
    for name in ["text_keys", "struct_keys"] {
        let gw = gateway(name).await;
        gw.provider.answer_token("effect", Provider::good());
        let r = gw.get("/effect").bearer("effect").header("x-region", "FR").send().await;
        let headers = r.upstream_headers();
        for (name, value) in [
            ("x-roles", "travel, approvers"),
            ("x-user-name", "Claes Rosenlöf"),
            ("x-user-region", "FR"),
            ("authorization", "Bearer effect"),
        ] {
            assert_eq!(headers.all(name), [value], "{r:?}");
        }
        let call = gw.provider.calls_with("effect").pop().unwrap();
        assert_eq!(
            (call.method.as_str(), call.target.as_str()),
            ("POST", "/userinfo?schema=openid")
        );
        assert_eq!(call.headers.all("x-tenant"), ["travel"]);
        let r = gw.get("/effect").send().await;
        assert_eq!(r.text(), r#"{"zutritt":"öde"}"#);
        assert_eq!(r.header("x-error-detail-header").as_deref(), Some("Kein Zutritt"));
        gw.provider.answer_token("old", Provider::expired()).answer_token("dead", Reply::close());
        let r = gw.get("/effect").bearer("old").send().await;
        assert_eq!(r.text(), "The access token expired");
        let challenge = r.header("www-authenticate").unwrap();
        assert!(challenge.starts_with(r#"Bearer realm="Reisen \"und\" mehr""#), "{challenge}");
        let r = gw.get("/effect").bearer("dead").send().await;
        assert_eq!((r.status, r.header("retry-after").as_deref()), (503, Some("7")), "{r:?}");
    }
}

/// A configuration with regions `R1` to `R<n>`.
fn with_regions(n: usize) -> Value {
    let uri = |i: usize| json!(format!("http://idp.example/r{i}/userinfo"));
    let regions: Value = (1..=n).map(|i| (format!("R{i}"), uri(i))).collect();
    let maps: Value =
        (1..=n).map(|i| (format!("R{i}"), json!({format!("X-R{i}"): "$.sub"}))).collect();
    one(json!({
        "userinfo_endpoint": {
            "regionCodeHeader": "X-Region",
            "regionCodeValue": regions,
            "defaultURI": "http://idp.example/userinfo",
        },
        "inject_headers": maps,
    }))
}

#[tokio::test]
async fn ten_regions_are_accepted_and_reachable() {
    for name in ["ten", "ten_struct"] {
        let gw = gateway(name).await;
        for i in 1..=10 {
            let request = gw.get("/").bearer("good").header("x-region", format!("R{i}"));
            let r = request.send().await;
            assert_eq!(r.status, 200, "{r:?}");
            let call = gw.provider.calls().pop().unwrap();
            assert_eq!(call.target, format!("/r{i}/userinfo"));
            for other in 1..=10 {
                let expected = (other == i).then(|| "248289761001".to_owned());
                assert_eq!(r.upstream_header(&format!("x-r{other}")), expected, "R{i} X-R{other}");
            }
        }
        assert_eq!(gw.provider.count(), 10);
    }
}

/// Starts Envoy with a configuration that it must refuse; gives the filter's own lines.
async fn refused(config: impl Into<Config>) -> (StartFailure, Vec<String>) {
    let listener = Listener::reference().config(config);
    let failure = Gateway::try_start(listener).await.expect_err("Envoy started");
    assert_eq!(failure.code, Some(1), "{failure}");
    let said = failure.log.lines().filter_map(|line| line.split_once("configuration refused: "));
    let said = said.map(|(_, problem)| problem.to_owned()).collect();
    (failure, said)
}

#[tokio::test]
async fn eleven_regions_are_refused() {
    let (failure, said) = refused(with_regions(11)).await;
    let line = "userinfo_endpoint.regionCodeValue: got 11 regions, expected 1 to 10";
    assert_eq!(said, [line], "{failure}");
}

/// Text in the refused configurations that must not reach a log.
const SECRET: &str = "s3cr3t-key-of-the-provider";

#[tokio::test]
async fn log_has_every_problem_but_not_the_configuration() {
    let wrong = one(json!({
        "userinfo_method": "get",
        "timeout": "1m",
        "userinfo_headers": {"X-Api-Key": SECRET, "Authorization": SECRET},
        "inject_headers": {"X-User Email": "$.email", "X-Deep": "$..a..b"},
        "regionCodeHeader": "X-Region",
    }));
    let mut both = Vec::new();
    for config in [Config::from(wrong.clone()), Config::Struct(wrong)] {
        let (failure, mut said) = refused(config).await;
        assert!(!failure.log.contains(SECRET), "{failure}");
        assert!(!failure.log.contains("idp.example"), "{failure}");
        // A Struct's members have no order.
        said.sort();
        both.push(said);
    }
    assert_eq!(both[0], PROBLEMS);
    assert_eq!(both[0], both[1]);
}

const PROBLEMS: [&str; 6] = [
    "inject_headers[\"X-Deep\"]: invalid JSONPath: got `..` 2 times, expected at most once",
    "inject_headers[\"X-User Email\"]: invalid header name: got space at 7",
    "regionCodeHeader: unknown key, move it into userinfo_endpoint",
    "timeout: got \"1m\", expected 1ms to 30s",
    "userinfo_headers.Authorization: got a reserved header name, expected another one",
    "userinfo_method: got \"get\", expected \"GET\" or \"POST\" (case-sensitive)",
];

#[tokio::test]
async fn invalid_json_is_refused_with_its_place() {
    let text =
        format!("{{\n  \"userinfo_headers\": {{\"X-Api-Key\": \"{SECRET}\"}},\n  nonsense\n}}");
    let (failure, said) = refused(text.as_str()).await;
    let line = "invalid JSON at line 3, column 3: expected a member name in double quotes";
    assert_eq!(said, [line], "{failure}");
    assert!(!failure.log.contains(SECRET) && !failure.log.contains("nonsense"), "{failure}");
}

/// The source system answers these per request, so the filter loads, logs it, and lets no request
/// pass.
#[tokio::test]
async fn without_endpoint_every_request_is_refused() {
    let endpoint = "InvalidPreInputConfigurationForUserInfoEndpointURI";
    let default = "DefaultUserInfoURINotPresent";
    for (name, error) in [
        ("absent", endpoint),
        ("text_endpoint", endpoint),
        ("null_endpoint", endpoint),
        ("no_default", default),
        ("empty_default", default),
    ] {
        let gw = gateway(name).await;
        for token in ["good", "bad"] {
            let r = gw.get("/").bearer(token).send().await;
            assert_eq!((r.status, &r.json()["error"]), (401, &json!(error)), "{name} {r:?}");
        }
        let r = gw.get("/").send().await;
        assert_eq!(r.json()["error"], "InvalidAuthorizationHeaderValue", "{name}");
        assert_eq!(gw.provider.count(), 0, "{name}");
        gw.upstream.assert_untouched();
    }
}

#[tokio::test]
async fn without_endpoint_the_log_reports_it() {
    let log = gateway("absent").await.envoy.log().clone();
    let object = "expected an object with defaultURI or issuers";
    let uri = "expected an endpoint URI";
    for fault in [
        format!("userinfo_endpoint: missing, {object}, or introspection_endpoint instead"),
        format!("userinfo_endpoint: got text, {object}"),
        format!("userinfo_endpoint: got null, {object}"),
        format!("userinfo_endpoint.defaultURI: missing, {uri}"),
        format!("userinfo_endpoint.defaultURI: got empty text, {uri}"),
    ] {
        let line = log.wait_for(&format!(" configuration: {fault}: ")).await;
        assert!(line.contains("[error][wasm]"), "{line}");
    }
    assert!(!log.text().contains("http://idp.example/userinfo"), "the configuration is shown");
}

#[tokio::test]
async fn as_a_network_filter_the_module_closes_every_connection() {
    let misplaced = Listener::named("misplaced").edit(|listener| {
        let config = filter(listener, DEFAULT_INSTANCE)["typed_config"]["config"].take();
        let wasm = json!({
            "name": "envoy.filters.network.wasm",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm",
                "config": config,
            },
        });
        let chain = listener["filter_chains"][0]["filters"].as_array_mut().unwrap();
        // Only here: nobody else checks a request of this listener.
        let filters = &mut chain[0]["typed_config"]["http_filters"];
        filters.as_array_mut().unwrap().retain(|filter| filter["name"] != DEFAULT_INSTANCE);
        chain.insert(0, wasm);
    });
    let rig = Setup::new().listener(Listener::named("right")).listener(misplaced).start().await;
    let [right, misplaced] = ["right", "misplaced"].map(|name| rig.gateway(name));
    let good = |gw: &Gateway| gw.get("/orders").bearer("good");
    right.provider.answer(Reply::json(200, &json!({"sub": "1"})));
    assert_eq!(good(&right).send().await.status, 200);
    for _ in 0..3 {
        let closed = good(&misplaced).try_send().await;
        // Closed, and not left waiting.
        let kind = closed.as_ref().map_err(io::Error::kind).err();
        assert!(kind.is_some_and(|kind| kind != io::ErrorKind::TimedOut), "{closed:?}");
    }
    rig.envoy.log().wait_for("got a network filter, expected an HTTP filter").await;
    misplaced.upstream.assert_untouched();
    // They share a VM, and it goes on.
    assert_eq!(good(&right).send().await.status, 200);
    rig.envoy.assert_no_vm_restart().await;
}
