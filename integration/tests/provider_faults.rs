//! A provider that is unavailable or answers nonsense, on the real Envoy: every fault ends in
//! exactly one reply in time, nothing reaches the upstream, and the VM that all listeners share
//! continues. A call that ended at once without an answer is repeated twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use integration::{Gate, Gateway, Listener, Provider, Reply, Running, Setup, merged};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

/// The configured timeout is 500 ms, and no request waits for a second one. Measured by Envoy's own
/// clock, because a busy client measures itself; Envoy's timers may be a little early.
const EARLIEST: Duration = Duration::from_millis(450);
const LIMIT: Duration = Duration::from_millis(1000);

const NO_ANSWER: &str = r#"{"error":"TargetEndpointError","error_description":"No usable response from the UserInfo endpoint."}"#;

/// Tests take turns: what one measures in milliseconds must not wait for another's load.
static TURN: Mutex<()> = Mutex::const_new(());

struct Rig {
    running: Running,
    /// VMs that Envoy had made when it had served its first request.
    vms: u64,
}

static RIG: OnceCell<Rig> = OnceCell::const_new();

/// One Envoy with one worker, so with one VM for all listeners.
async fn rig() -> &'static Rig {
    RIG.get_or_init(|| async {
        let plain = |name| Listener::named(name).config(config(json!({})));
        let patient = |name| Listener::named(name).config(config(json!({"timeout": "10s"})));
        let running = Setup::new()
            // Faults follow each other there; each must occur.
            .listener(Listener::named("wire").config(config(json!({"breaker": {"failures": 0}}))))
            .listener(plain("good"))
            .listener(plain("down"))
            .listener(plain("crowd"))
            .listener(patient("gone"))
            .listener(patient("huge"))
            .listener(Listener::named("clusters").config(config(json!({
                "timeout": "10s",
                "userinfo_endpoint": {
                    "regionCodeHeader": "X-Region",
                    "regionCodeValue": {
                        "nowhere": "http://nowhere.example/userinfo",
                        "empty": "http://empty.example/userinfo",
                        "shut": "http://shut.example/userinfo",
                        "narrow": "http://narrow.example/userinfo",
                    },
                    "defaultURI": "http://idp.example/userinfo",
                },
                "clusters": {
                    "idp.example": "idp_default",
                    "empty.example": "idp_fr", "shut.example": "idp_us", "narrow.example": "idp_de",
                },
            }))))
            .edit(|bootstrap| {
                let thresholds = |limits: Value| json!({"thresholds": [limits]});
                cluster(bootstrap, "idp_fr_clusters")["load_assignment"]["endpoints"] = json!([]);
                cluster(bootstrap, "idp_us_clusters")["circuit_breakers"] =
                    thresholds(json!({"max_pending_requests": 0}));
                cluster(bootstrap, "idp_de_clusters")["circuit_breakers"] =
                    thresholds(json!({"max_connections": 1, "max_pending_requests": 1}));
            })
            .start()
            .await;
        assert_alive(&running.gateway("good")).await;
        let vms = running.envoy.stat(VMS_MADE).await;
        assert!(vms > 0, "{VMS_MADE} is not a statistic of this Envoy");
        Rig { running, vms }
    })
    .await
}

const VMS_MADE: &str = "wasm.envoy.wasm.runtime.v8.created";

impl Rig {
    async fn assert_same_vm(&self) {
        self.running.envoy.assert_no_vm_restart().await;
        assert_eq!(self.running.envoy.stat(VMS_MADE).await, self.vms, "VMs made");
    }
}

fn config(changes: Value) -> Value {
    let config = json!({
        "userinfo_endpoint": {"defaultURI": "http://idp.example/userinfo"},
        "clusters": {"idp.example": "idp_default"},
        "timeout": "500ms",
        "max_userinfo_bytes": 1024,
        "inject_headers": {"X-User-Id": "$.sub"},
        "userinfo_unavailable": {"status": 503, "retry_after": "5s"},
    });
    merged(config, changes)
}

fn cluster<'a>(bootstrap: &'a mut Value, name: &str) -> &'a mut Value {
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
    clusters.iter_mut().find(|cluster| cluster["name"] == name).unwrap()
}

/// The VM decides and edits as ever.
async fn assert_alive(gw: &Gateway) {
    let r = gw.get("/").bearer("good").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("248289761001"));
}

/// The reason why a 200 is unusable.
const UNUSABLE: [&str; 4] = ["not_a_json_object", "encoded", "too_large", "jwt"];
const OUTAGE: (&str, u16, Option<&str>) = ("unavailable", 503, Some("5"));

/// Sends a request with this token and region, and asserts that the one reply reports the provider
/// as unavailable, and the access log the reason. Returns the time of the reply by Envoy's clock.
async fn refused(gw: &Gateway, token: &str, region: &str, reason: &str) -> Duration {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let path = format!("/fault/{}/", NEXT.fetch_add(1, Ordering::Relaxed));
    let what = format!("{token} {region}: {reason}");
    let request = gw.get(&path).bearer(token).header("x-region", region);
    let mut connection = gw.connect().await.unwrap();
    connection.write(request.header("connection", "close").to_bytes()).await.unwrap();
    let r = connection.response().await.unwrap_or_else(|e| panic!("{what}: no reply: {e}"));
    let line = gw.envoy.access_log().wait_for(&format!("\"path\":\"{path}\"")).await;
    // Where the provider has answered there is no use in coming again.
    let (outcome, status, retry_after) =
        if UNUSABLE.contains(&reason) { ("unusable", 502, None) } else { OUTAGE };
    assert_eq!((r.status, r.text().as_str()), (status, NO_ANSWER), "{what}: {r:?} {line}");
    assert_eq!(r.header("retry-after").as_deref(), retry_after, "{what}: {r:?}");
    assert!(r.interim.is_empty(), "{what}: {r:?}");
    let line: Value = serde_json::from_str(&line).unwrap();
    let details = format!("oidc_token_connector{{{outcome}:{reason}}}");
    assert_eq!(line["details"], details, "{what}");
    let rest = connection.read_to_end().await.unwrap();
    assert!(rest.is_empty(), "{what}: after the reply came {}", rest.escape_ascii());
    taken(&line)
}

/// How long a request took by Envoy's clock.
fn taken(line: &Value) -> Duration {
    Duration::from_millis(line["milliseconds"].as_u64().expect("a duration"))
}

/// The provider's behaviour, and the reason in the access log.
fn faults() -> Vec<(&'static str, Reply, &'static str)> {
    let body = json!({"sub": "248289761001"});
    let good = || Reply::json(200, &body);
    let typed = |kind: &str, text: &[u8]| Reply::text(200, text).header("content-type", kind);
    let many = |n| (0..n).fold(good(), |r, i| r.header(&format!("x-{i}"), "1"));
    let raw = |status: &str, lines: &str| Reply::raw(format!("HTTP/1.1{status}\r\n{lines}\r\n"));
    let both_lengths = "content-length: 0\r\ntransfer-encoding: chunked\r\n";
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let slowly = Duration::from_millis(100);
    vec![
        // No answer at all.
        ("reset", Reply::reset(), "unreachable"),
        ("close", Reply::close(), "unreachable"),
        ("silence", Reply::silence(), "timed_out"),
        ("interim-then-silence", Reply::silence().after_interim(103), "timed_out"),
        // Half an answer.
        ("stall-after-headers", good().stall_after(0), "cut_off"),
        ("stall-in-body", good().stall_after(3), "cut_off"),
        ("cut-after-headers", good().cut_after(0), "cut_off"),
        ("cut-in-body", good().cut_after(3), "cut_off"),
        ("reset-in-body", good().reset_after(3), "cut_off"),
        ("cut-in-chunk", good().chunk_cut_after(3), "cut_off"),
        ("cut-whole-document", good().chunk_cut_after(body.to_string().len()), "cut_off"),
        (
            "cut-until-close",
            typed("application/json", b"{\"sub\":\"2482").until_close(),
            "not_a_json_object",
        ),
        ("drip", good().drip(1, slowly), "cut_off"),
        // No HTTP.
        ("rubbish", Reply::raw("rubbish\r\n\r\n"), "unreachable"),
        ("binary", Reply::raw([0, 255, 1, 254].repeat(64)), "unreachable"),
        ("tls", Reply::raw(b"\x15\x03\x01\x00\x02\x02\x46"), "unreachable"),
        ("no-code", raw("", "content-length: 0\r\n"), "unreachable"),
        ("no-number", raw(" OK", "content-length: 0\r\n"), "unreachable"),
        // Envoy reads 200 in both, the second modulo 65536, and the filter cannot tell.
        ("signed-code", raw(" +200 OK", "content-length: 0\r\n"), "not_a_json_object"),
        ("code-that-wraps", raw(" 65736 OK", "content-length: 0\r\n"), "not_a_json_object"),
        ("long-code", raw(" 2000 OK", "content-length: 0\r\n"), "unexpected_status"),
        ("code-zero", raw(" 000 OK", "content-length: 0\r\n"), "unexpected_status"),
        (
            "two-lengths",
            raw(" 200 OK", "content-length: 0\r\ncontent-length: 1\r\n"),
            "unreachable",
        ),
        ("length-and-chunks", raw(" 200 OK", both_lengths), "unreachable"),
        ("control-in-header", raw(" 200 OK", "x-a: \0\r\ncontent-length: 0\r\n"), "unreachable"),
        ("odd-header-name", good().header("x-\u{e9}", "1"), "unreachable"),
        ("200-headers", many(200), "unreachable"),
        ("2-mb-header", good().header("x-large", "a".repeat(2 << 20)), "unreachable"),
        // A status that is no verdict.
        ("101", raw(" 101 Switching Protocols", upgrade), "unexpected_status"),
        ("201", Reply::json(201, &body), "unexpected_status"),
        ("202", Reply::json(202, &body), "unexpected_status"),
        ("203", Reply::json(203, &body), "unexpected_status"),
        ("204", Reply::status(204), "unexpected_status"),
        ("206", Reply::json(206, &body), "unexpected_status"),
        ("299", Reply::json(299, &body), "unexpected_status"),
        ("301", Reply::status(301).header("location", "/elsewhere"), "redirect"),
        ("302", Reply::json(302, &body).header("location", "/elsewhere"), "redirect"),
        ("304", Reply::status(304), "redirect"),
        ("307", Reply::status(307).header("location", "/elsewhere"), "redirect"),
        ("399", Reply::json(399, &body), "redirect"),
        ("600", Reply::json(600, &body), "unexpected_status"),
        ("999", Reply::json(999, &body), "unexpected_status"),
        // A 200 that is no verdict.
        ("empty", Reply::status(200), "not_a_json_object"),
        ("page", typed("text/html", b"<html><title>Sign in</title></html>"), "not_a_json_object"),
        ("page-untyped", Reply::text(200, "<html></html>"), "not_a_json_object"),
        ("json-as-page", typed("text/html", b"{\"sub\":\"1\"}"), "not_a_json_object"),
        ("jwt", typed("application/jwt", b"e30.e30.c2ln"), "jwt"),
        ("two-types", good().header("content-type", "text/html"), "not_a_json_object"),
        ("not-utf8", typed("application/json", b"{\"sub\":\"\xff\"}"), "not_a_json_object"),
        ("two-subs", typed("application/json", br#"{"sub":"1","sub":"2"}"#), "not_a_json_object"),
        ("deep", typed("application/json", &[b'['].repeat(1000)), "not_a_json_object"),
        ("gzip", good().gzip(), "encoded"),
        ("deflate", good().header("content-encoding", "deflate"), "encoded"),
        ("over-max", Reply::json(200, &json!({"sub": "1", "more": "x".repeat(1024)})), "too_large"),
        ("over-max-gzip", Reply::json(200, &json!({"x": "x".repeat(2048)})).gzip(), "too_large"),
        (
            "over-max-chunked",
            Reply::json(200, &json!({"x": "x".repeat(2048)})).chunked(),
            "too_large",
        ),
    ]
}

/// Those of the faults that end at once without an answer: nothing came, or the body is not whole.
const REPEATED: [&str; 7] = [
    "reset",
    "close",
    "cut-after-headers",
    "cut-in-body",
    "reset-in-body",
    "cut-in-chunk",
    "cut-whole-document",
];

#[tokio::test]
async fn every_fault_gets_one_reply_in_time() {
    let _turn = TURN.lock().await;
    let rig = rig().await;
    let (gw, good) = (rig.running.gateway("wire"), rig.running.gateway("good"));
    let mut calls = 0;
    for (token, reply, reason) in faults() {
        gw.provider.answer_token(token, reply);
        let elapsed = refused(&gw, token, "", reason).await;
        assert!(elapsed <= LIMIT, "{token}: the reply took {elapsed:?}");
        if reason == "timed_out" {
            assert!(elapsed >= EARLIEST, "{token}: given up after {elapsed:?}");
        }
        // No redirect followed, and one call unless it is certain that nothing was answered.
        let of_token = if REPEATED.contains(&token) { 3 } else { 1 };
        calls += of_token;
        assert_eq!(
            (gw.provider.count(), gw.provider.calls_with(token).len()),
            (calls, of_token),
            "{token}"
        );
        gw.upstream.assert_untouched();
        assert_alive(&good).await;
    }
    rig.assert_same_vm().await;
}

/// Envoy drops such an answer without a reason, so the call is repeated if it ended early.
#[tokio::test]
async fn answer_over_envoys_limit_is_no_answer() {
    let _turn = TURN.lock().await;
    let rig = rig().await;
    let gw = rig.running.gateway("huge");
    for (token, status) in [("32-mb", 200), ("32-mb-error", 401)] {
        gw.provider.answer_token(token, Reply::text(status, vec![b' '; 32 << 20]));
        refused(&gw, token, "", "cut_off").await;
        let calls = gw.provider.calls_with(token).len();
        assert!((1..=3).contains(&calls), "{token}: {calls} calls");
    }
    gw.upstream.assert_untouched();
    rig.assert_same_vm().await;
}

/// An unusual but complete, readable 200.
#[tokio::test]
async fn unusual_but_valid_answers_pass() {
    let _turn = TURN.lock().await;
    let rig = rig().await;
    let gw = rig.running.gateway("good");
    let good = Provider::good;
    for (token, reply) in [
        ("after-100", good().after_interim(100)),
        ("after-103", good().after_interim(103).after_interim(103)),
        ("chunked", good().chunked()),
        ("until-close", good().until_close()),
        ("identity", good().header("content-encoding", "identity")),
        ("not-utf8-header", good().header("x-odd", b"\xff\xfe \xc3(")),
        ("drip-in-time", good().drip(64, Duration::from_millis(10))),
        ("80-headers", (0..80).fold(good(), |r, i| r.header(&format!("x-{i}"), "1"))),
        ("large-header", good().header("x-large", "a".repeat(50_000))),
        ("near-the-limit", Reply::json(200, &json!({"sub": "248289761001", "x": "x".repeat(990)}))),
    ] {
        gw.provider.answer_token(token, reply);
        let r = gw.get("/").bearer(token).send().await;
        assert_eq!(r.status, 200, "{token}: {r:?}");
        assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("248289761001"), "{token}");
        assert!(!r.upstream_headers().has("x-odd"), "{token}");
    }
    rig.assert_same_vm().await;
}

#[tokio::test]
async fn provider_refuses_connections_and_recovers() {
    let _turn = TURN.lock().await;
    let rig = rig().await;
    let gw = rig.running.gateway("down");
    gw.provider.down().await;
    for _ in 0..3 {
        let elapsed = refused(&gw, "good", "", "unreachable").await;
        assert!(elapsed <= LIMIT, "the reply took {elapsed:?}");
    }
    assert_eq!(gw.provider.count(), 0);
    gw.upstream.assert_untouched();
    gw.provider.up().unwrap();
    assert_alive(&gw).await;
    // Connections that end under held calls.
    let gate = Gate::closed();
    gw.provider.answer(Provider::good().held_by(&gate));
    let (asked, cut) = tokio::join!(refused(&gw, "held", "", "unreachable"), async {
        gw.provider.wait_calls(2).await;
        gw.provider.down().await;
    });
    let () = cut;
    assert!(asked <= LIMIT, "the reply took {asked:?}");
    assert_eq!(gw.upstream.count(), 1);
    rig.assert_same_vm().await;
}

#[tokio::test]
async fn many_held_requests_end_in_time() {
    let _turn = TURN.lock().await;
    let rig = rig().await;
    let gw = rig.running.gateway("crowd");
    gw.provider.answer_with(|call| {
        let half = call.token().is_some_and(|token| token.starts_with("half"));
        Some(if half { Provider::good().stall_after(5) } else { Reply::silence() })
    });
    let connection = gw.h2().await.unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..30 {
        let (connection, gw) = (connection.clone(), gw.clone());
        asking.spawn(async move {
            let token = format!("{}{n}", if n % 2 == 0 { "none" } else { "half" });
            connection.send(gw.get(&format!("/held/{n}/")).bearer(&token)).await
        });
    }
    while let Some(r) = asking.join_next().await {
        let r = r.unwrap();
        assert_eq!((r.status, r.text().as_str()), (503, NO_ANSWER), "{r:?}");
    }
    for n in 0..30 {
        let line = gw.envoy.access_entry(&format!("\"path\":\"/held/{n}/\"")).await;
        assert!((EARLIEST..=LIMIT).contains(&taken(&line)), "{line}");
    }
    let calls = gw.provider.calls();
    let (asked, own): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.token().is_some());
    // This many waiting calls make the filter send a probe.
    assert!(asked.len() == 30 && !own.is_empty(), "{} and {} calls", asked.len(), own.len());
    gw.upstream.assert_untouched();
    rig.assert_same_vm().await;
}

#[tokio::test]
async fn unsent_call_is_refused_at_once() {
    let _turn = TURN.lock().await;
    let rig = rig().await;
    let gw = rig.running.gateway("clusters");
    for region in ["nowhere", "empty", "shut"] {
        for _ in 0..2 {
            let elapsed = refused(&gw, "good", region, "not_sent").await;
            assert!(elapsed <= LIMIT, "{region}: the reply took {elapsed:?}");
        }
    }
    assert_eq!(gw.provider.count(), 0);
    gw.upstream.assert_untouched();
    // The other regions still work.
    assert_alive(&gw).await;
    let (calls, passed) = (gw.provider.count(), gw.upstream.count());

    // One call under way and one waiting is all that this cluster allows.
    let gate = Gate::closed();
    for token in ["first", "second"] {
        gw.provider.answer_token(token, Provider::good().held_by(&gate));
    }
    let held = |token: &str| gw.get("/").bearer(token).header("x-region", "narrow").send();
    let crowd = async {
        gw.provider.wait_calls(calls + 1).await;
        let (second, ()) = tokio::join!(held("second"), async {
            let waiting = "cluster.idp_de_clusters.upstream_rq_pending_active";
            gw.envoy.wait_stat(waiting, |n| n == 1).await;
            let elapsed = refused(&gw, "good", "narrow", "not_sent").await;
            assert!(elapsed <= LIMIT, "the reply took {elapsed:?}");
            assert_eq!((gw.provider.count(), gw.upstream.count()), (calls + 1, passed));
            gate.open();
        });
        second
    };
    let (first, second) = tokio::join!(held("first"), crowd);
    assert_eq!((first.status, second.status), (200, 200), "{first:?} {second:?}");
    rig.assert_same_vm().await;
}

const GONE: &str = "wasmcustom.oidc_outcome.client_gone";

#[tokio::test]
async fn clients_leaving_while_held_are_counted() {
    let _turn = TURN.lock().await;
    let rig = rig().await;
    let gw = rig.running.gateway("gone");
    let gate = Gate::closed();
    gw.provider.answer(Provider::good().held_by(&gate));
    let gone = |n: u64| gw.envoy.wait_stat(GONE, move |seen| seen >= n);
    let held = |n: u32| format!("held{n}");
    let request = |n| gw.get("/orders").bearer(&held(n));

    let mut reset = gw.connect().await.unwrap();
    reset.write(request(0).to_bytes()).await.unwrap();
    gw.provider.wait_calls(1).await;
    reset.reset().unwrap();
    assert_eq!(gone(1).await, 1);

    let mut closed = gw.connect().await.unwrap();
    closed.write(gw.post("/orders", "whole body").bearer(&held(1)).to_bytes()).await.unwrap();
    gw.provider.wait_calls(2).await;
    drop(closed);
    assert_eq!(gone(2).await, 2);

    let connection = gw.h2().await.unwrap();
    let one = connection.stream(&request(2), true).await.unwrap();
    let stays = connection.stream(&request(3), true).await.unwrap();
    gw.provider.wait_calls(4).await;
    one.reset();
    assert_eq!(gone(3).await, 3);

    let vanishing = gw.h2().await.unwrap();
    let mut streams = Vec::new();
    for (n, end) in [(4, true), (5, false), (6, true)] {
        streams.push(vanishing.stream(&request(n), end).await.unwrap());
    }
    gw.provider.wait_calls(7).await;
    vanishing.vanish();
    assert_eq!(gone(6).await, 6);

    // The answers come when no request waits for them any more, except one.
    gw.upstream.assert_untouched();
    gate.open();
    assert_eq!(stays.response().await.unwrap().status, 200);
    assert_alive(&gw).await;
    assert_eq!(gw.upstream.count(), 2);
    assert_eq!(gw.envoy.stat(GONE).await, 6);
    rig.assert_same_vm().await;
}

/// On an Envoy of its own: the counters are one set for all listeners.
#[tokio::test]
async fn sum_of_outcomes_equals_requests() {
    let _turn = TURN.lock().await;
    let listener = Listener::reference()
        .config(config(json!({
            "unknown_region": "reject",
            "preflight": "pass",
            "userinfo_endpoint": {
                "defaultURI": "http://idp.example/userinfo",
                "regionCodeHeader": "X-Region",
                "regionCodeValue": {"FR": "http://idp.example/fr"},
            },
            "protected_resource": {"resource": "https://api.example", "authorization_servers": ["https://idp.example"]},
        })))
        .instance("/bare", "/bare", json!({}))
        .instance("/open", "/open", config(json!({"credentials": "optional"})))
        .instance("/audience", "/audience", config(json!({"require_audience": ["api"]})))
        .instance("/issuer", "/issuer", config(json!({"require_issuer": ["https://idp.example"]})))
        .instance("/claims", "/claims", config(json!({"require_claims": {"$.tier": "gold"}})));
    let gw = Gateway::start(listener).await;
    for (token, status) in [("t403", 403), ("t404", 404), ("t500", 500), ("t204", 204)] {
        gw.provider.answer_token(token, Reply::status(status));
    }
    gw.provider.answer_token("page", Reply::text(200, "<html>"));
    let gate = Gate::closed();
    gw.provider.answer_token("held", Provider::good().held_by(&gate));
    let ask = |token| gw.get("/").bearer(token);
    // CORS answers only preflights of the origins it knows.
    let preflight = gw
        .request("OPTIONS", "/")
        .header("origin", "https://other.example")
        .header("access-control-request-method", "GET");
    let requests = [
        ("pass", ask("good"), 3),
        ("preflight", preflight, 1),
        ("no_credentials", gw.get("/"), 2),
        ("malformed", ask("a b"), 2),
        ("unknown_region", ask("good").header("x-region", "zz"), 1),
        ("misconfigured", gw.get("/bare").bearer("good"), 1),
        ("invalid_token", ask("expired"), 2),
        ("forbidden", ask("t403"), 1),
        ("provider_error", ask("t404"), 1),
        ("provider_error", ask("t500"), 1),
        ("unavailable", ask("t204"), 1),
        ("unusable", ask("page"), 1),
        ("anonymous", gw.get("/open"), 1),
        ("metadata", gw.get("/.well-known/oauth-protected-resource").host("api.example"), 1),
        ("wrong_audience", gw.get("/audience").bearer("good"), 1),
        ("wrong_issuer", gw.get("/issuer").bearer("good"), 1),
        ("claim_refused", gw.get("/claims").bearer("good"), 1),
    ];
    let mut expected = std::collections::BTreeMap::from([("client_gone", 1), ("internal", 0)]);
    for (outcome, request, times) in requests {
        *expected.entry(outcome).or_insert(0) += times;
        for _ in 0..times {
            request.clone().send().await;
        }
    }
    let calls = gw.provider.count();
    let mut leaving = gw.connect().await.unwrap();
    leaving.write(ask("held").to_bytes()).await.unwrap();
    gw.provider.wait_calls(calls + 1).await;
    drop(leaving);
    gw.envoy.wait_stat(GONE, |n| n == 1).await;
    gate.open();

    let stats = gw.envoy.stats().await;
    let outcomes: std::collections::BTreeMap<&str, u64> = stats
        .iter()
        .filter_map(|(name, n)| Some((name.strip_prefix("wasmcustom.oidc_outcome.")?, *n)))
        .collect();
    assert_eq!(outcomes, expected);
    let sum: u64 = outcomes.values().sum();
    assert_eq!(stats.get("wasmcustom.oidc_requests"), Some(&sum));
    // No other test counts: these are all the requests of this Envoy.
    assert_eq!(stats.get("http.gateway.downstream_rq_total"), Some(&sum));
    gw.envoy.assert_no_vm_restart().await;
}

/// The reference says after how long; many providers close one after five seconds.
#[tokio::test]
async fn envoy_closes_idle_connection_before_the_provider() {
    let gw = Gateway::reference().await;
    for (token, opened) in [("good", 1), ("better", 2)] {
        gw.provider.answer_token(token, Provider::good());
        let r = gw.get("/").bearer(token).send().await;
        assert_eq!(r.status, 200, "{r:?}");
        let stats = gw.envoy.stats().await;
        assert_eq!(stats["cluster.idp_default.upstream_cx_total"], opened);
        let closed = "cluster.idp_default.upstream_cx_idle_timeout";
        gw.envoy.wait_stat(closed, |n| n == opened).await;
    }
    assert_eq!(gw.envoy.stat("cluster.idp_default.upstream_cx_destroy_remote").await, 0);
}
