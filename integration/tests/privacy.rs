//! Nothing that identifies or authenticates a user leaves the filter but by the headers it injects:
//! no log line, no statistic, no local reply and no access-log line holds a token, a claim, a region
//! code, a cookie or what the provider said, except provider text where it is configured to go on.
//!
//! Every such value of the run contains the text `kanari`. Envoy logs at its most verbose level for
//! Wasm; the rest stays at its usual level, because Envoy's HTTP logger prints headers itself.

use integration::{
    Gateway, Listener, LogBook, Provider, Reply, Request, Response, Running, Setup, merged, sha256,
};
use serde_json::{Value, json};

/// Envoy itself speaks of `canary`: hence the spelling.
const CANARY: &str = "kanari";

fn config(changes: Value) -> Value {
    let config = json!({
        "userinfo_endpoint": {
            "regionCodeHeader": "X-Region",
            "regionCodeValue": {"FR": "http://idp.example/fr"},
            "defaultURI": "http://idp.example/userinfo",
        },
        "clusters": {"idp.example": "idp_default"},
        "timeout": "300ms",
        // Several kinds of missing answers follow each other; each must occur.
        "breaker": {"failures": 0},
        "max_userinfo_bytes": 4096,
        "require_subject": true,
        "access_log_state": true,
        "region_header": "X-User-Region",
        "inject_headers": {
            "X-User-Id": "$.sub", "X-User-Name": "$.name", "X-Bad": "$.bad", "X-Deep": "$..*",
        },
    });
    merged(config, changes)
}

async fn start() -> Running {
    let listener = Listener::named("privacy")
        .config(config(json!({"preflight": "pass"})))
        .instance("/reject", "/reject", config(json!({"unknown_region": "reject"})))
        .instance("/set", "/set", config(json!({"enable_error_set": true})))
        .instance("/unset", "/unset", json!({"clusters": {}}))
        .instance(
            "/quoted",
            "/quoted",
            config(json!({"error_metadata_location": "ResponsePayload"})),
        )
        .enable_trailers()
        .allow_underscores();
    Setup::new().listener(listener).component_log_level("wasm:trace").start().await
}

fn script(provider: &Provider) {
    let claims = json!({
        "sub": "kanari-sub", "name": "kanari-name", "bad": "kanari-bad\r\nX-Evil: kanari",
        "list": (0..200).map(|n| format!("kanari-{n}")).collect::<Vec<_>>(),
    });
    let error =
        json!({"error": "invalid_token", "error_uri": "https://kanari/", "m": "kanari-body"});
    let page = |status, body: &str| Reply::text(status, body).header("content-type", "text/html");
    for (token, reply) in [
        ("kanari-good", Reply::json(200, &claims)),
        ("kanari-401", Reply::json(401, &error).header("x-note", "kanari-note")),
        ("kanari-403", page(403, "<p>kanari-page")),
        ("kanari-500", Reply::text(500, "kanari-trace")),
        ("kanari-204", Reply::status(204).header("x-note", "kanari-note")),
        ("kanari-302", Reply::status(302).header("location", "https://kanari/")),
        ("kanari-page", page(200, "<p>kanari-page")),
        ("kanari-gzip", Reply::json(200, &claims).gzip()),
        ("kanari-large", Reply::json(200, &json!({"sub": "kanari".repeat(1000)}))),
        ("kanari-broken-json", Reply::text(200, r#"{"sub":"kanari-sub","#)),
        ("kanari-no-sub", Reply::json(200, &json!({"name": "kanari-name"}))),
        ("kanari-not-utf8", Reply::text(200, b"{\"sub\":\"kanari\xff\"}")),
        ("kanari-cut", Reply::json(200, &claims).cut_after(20)),
        ("kanari-reset", Reply::reset()),
        ("kanari-silence", Reply::silence()),
        ("kanari-rubbish", Reply::raw("kanari rubbish\r\n\r\n")),
    ] {
        provider.answer_token(token, reply);
    }
}

const TOKENS: [&str; 16] = [
    "kanari-good",
    "kanari-401",
    "kanari-403",
    "kanari-500",
    "kanari-204",
    "kanari-302",
    "kanari-page",
    "kanari-gzip",
    "kanari-large",
    "kanari-broken-json",
    "kanari-no-sub",
    "kanari-not-utf8",
    "kanari-cut",
    "kanari-reset",
    "kanari-silence",
    "kanari-rubbish",
];

/// A request full of secret values.
fn secretive(request: Request) -> Request {
    request
        .header("cookie", "session=kanari-cookie")
        .header("x-user-id", "kanari-spoof")
        .header("x_user_id", "kanari-spoof")
        .header("x-api-key", "kanari-key")
        .header("x-odd", b"kanari-\xff\xfe")
}

/// The names of the filter's statistics.
async fn stat_names(gw: &Gateway) -> Vec<String> {
    gw.envoy.stats().await.into_keys().filter(|name| name.starts_with("wasm")).collect()
}

/// Everything the client can see of a reply.
fn shown(r: &Response) -> String {
    format!("{:?} {:?} {}", r.headers, r.trailers, r.text())
}

#[tokio::test]
async fn nothing_secret_leaves_the_filter() {
    let running = start().await;
    let gw = running.gateway("privacy");
    script(&gw.provider);
    let names = stat_names(&gw).await;
    assert!(names.iter().any(|name| name == "wasmcustom.oidc_requests"), "{names:?}");
    let mut replies = Vec::new();
    let mut requests: Vec<Request> = Vec::new();

    for token in TOKENS {
        for path in ["/?q=kanari-query", "/set/", "/reject/"] {
            requests.push(secretive(gw.get(path)).bearer(token).header("x-region", "FR"));
        }
        let grpc = gw.post("/", "kanari-message").header("content-type", "application/grpc");
        requests.push(secretive(grpc).bearer(token));
    }
    for credentials in [
        &b"Basic kanari"[..],
        b"Bearer kanari kanari",
        b"Bearer kanari,Bearer kanari",
        b"Bearer kanari\xff\xfe",
        b"kanari",
        b"Bearer \"kanari\"",
    ] {
        for path in ["/", "/set/", "/unset/"] {
            requests.push(secretive(gw.get(path)).header("authorization", credentials));
        }
    }
    let long = format!("kanari{}", "x".repeat(9000));
    requests.push(secretive(gw.get("/")).bearer(&long));
    requests.push(secretive(gw.get("/unset/")).bearer("kanari-good"));
    for code in [&b"kanari-region"[..], b"kanari\xff\xfe", b"FR kanari"] {
        let request = secretive(gw.get("/reject/")).bearer("kanari-good");
        requests.push(request.clone().header("x-region", code));
        requests.push(request.header("x-region", "kanari").header("x-region", code));
    }
    for request in requests {
        replies.push(request.clone().send().await);
        replies.push(request.send_h2().await);
    }

    // A passed request shows the canaries to the upstream, and only there.
    let trailed = secretive(gw.post("/", "kanari-body")).bearer("kanari-good");
    let passed = trailed.trailer("x-user-id", "kanari-trailer").header("x-region", "kanari-region");
    for r in [passed.clone().send().await, passed.send_h2().await] {
        assert_eq!(r.upstream_header("x-user-name").as_deref(), Some("kanari-name"), "{r:?}");
        assert_eq!(r.upstream_header("x-user-region").as_deref(), Some("default"), "{r:?}");
    }
    let preflight = secretive(gw.request("OPTIONS", "/"))
        .header("origin", "https://kanari.example")
        .header("access-control-request-method", "GET");
    assert_eq!(preflight.send().await.status, 200);
    assert_eq!(gw.provider.calls_with("kanari-good").len(), 2 * (4 - 1) + 2 + 2);

    // Only where it is configured so does the provider's text go on.
    let quoted = secretive(gw.get("/quoted/")).bearer("kanari-401").send().await;
    assert!(quoted.text().contains("kanari-body"), "{quoted:?}");
    assert!(!format!("{:?}", quoted.headers).contains(CANARY), "{quoted:?}");

    for r in &replies {
        if r.status == 200 && r.header("grpc-status").is_none() {
            continue; // the upstream's echo
        }
        assert!(!shown(r).contains(CANARY), "a reply shows a canary: {r:?}");
    }
    assert_eq!(stat_names(&gw).await, names, "statistics made from a request");
    assert_silent(&gw).await;
    gw.envoy.assert_no_vm_restart().await;
}

/// Reads all that Envoy has written and counted.
async fn assert_silent(gw: &Gateway) {
    let envoy = &gw.envoy;
    let asked = envoy.stat("wasmcustom.oidc_requests").await;
    let total = envoy.stat("http.privacy.downstream_rq_total").await;
    assert_eq!(asked, total, "every request of this file goes through the filter");
    // The log is whole when it tells the end of each request's context; that it does shows the
    // level. That the filter's own lines are in it, its complaint at the start shows.
    wait_count(envoy.log(), "[host->vm] proxy_on_done(", asked).await;
    let complaint = envoy.log().wait_for("wasm log").await;
    assert!(complaint.contains("userinfo_endpoint: missing"), "{complaint}");
    wait_count(envoy.access_log(), r#""protocol":"#, total).await;

    let mut texts = vec![("log", envoy.log().text()), ("access log", envoy.access_log().text())];
    for target in [
        "/stats",
        "/stats/prometheus",
        "/stats?format=json",
        "/clusters",
        "/listeners",
        "/config_dump",
    ] {
        let answer = envoy.admin_get(target).await.unwrap();
        assert_eq!(answer.status, 200, "{target}");
        texts.push((target, answer.text()));
    }
    let digests: Vec<String> = TOKENS.iter().map(|token| sha256(token.as_bytes())).collect();
    for (place, text) in &texts {
        let needles = [CANARY].into_iter().chain(digests.iter().map(|d| &d[..12]));
        for needle in needles {
            let line = text.lines().find(|line| line.contains(needle));
            assert_eq!(line, None, "{place} shows {needle}");
        }
    }
}

/// Waits until `n` lines of the log contain `part`.
async fn wait_count(log: &LogBook, part: &str, n: u64) {
    let mut found = 0;
    let mut read = 0;
    while found < n {
        let lines = log.wait_lines(read + 1).await.len().max(log.lines().len());
        found += log.lines()[read..lines].iter().map(|l| u64::from(l.contains(part))).sum::<u64>();
        read = lines;
    }
}
