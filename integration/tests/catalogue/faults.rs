//! Faults at run time: a provider, an upstream or Envoy itself that refuses, ends or is too slow. Tests
//! are named by their row.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use integration::{
    DEADLINE, Gate, Gateway, Listener, Provider, Reply, Request, Response, Setup, Watched,
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::TURN;
use crate::updates::{config, subject};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_126_cluster_accepts_no_call() {
    let _turn = TURN.lock().await;
    let running = Setup::new().listener(Listener::reference()).edit(|bootstrap| {
        let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
        for cluster in clusters {
            match cluster["name"].as_str() {
                Some("idp_fr") => {
                    cluster["circuit_breakers"]["thresholds"] = json!([{"max_requests": 1}]);
                }
                Some("idp_us") => {
                    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = json!([]);
                }
                Some("idp_de") => {
                    cluster["circuit_breakers"]["thresholds"] = json!([{"max_requests": 0}]);
                }
                _ => {}
            }
        }
    });
    let gw = running.start().await.gateway("gateway");
    let gate = Gate::closed();
    gw.provider.answer_token("first", Provider::good().held_by(&gate));
    let first = tokio::spawn(gw.get("/fr").bearer("first").header("x-region", "FR").send());
    gw.provider.wait_calls(1).await;
    // Envoy's own limits (reported as an overload, or by not making the call) and a missing host:
    // no call is repeated, and none of it is an outage.
    for region in ["FR", "US", "DE"] {
        let path = format!("/refused/{region}");
        let response = gw.get(&path).bearer("good").header("x-region", region).send().await;
        let entry = gw.envoy.access_entry(&path).await;
        assert_eq!(entry["details"], "oidc_token_connector{unavailable:not_sent}", "{region}");
        assert_eq!(response.status, 503, "{region}: {response:?}");
        assert_eq!(response.header("retry-after").as_deref(), Some("5"));
        assert!(entry["milliseconds"].as_u64() < Some(1000), "at once, by Envoy's clock: {entry}");
    }
    // Envoy makes no more calls because a caller sends too many: this opens no breaker.
    for region in ["FR", "DE"] {
        for n in 0..10 {
            let request = gw.get("/many").bearer(&format!("many{n}"));
            assert_eq!(request.header("x-region", region).send().await.status, 503);
        }
    }
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_calls.repeated").await, 0);
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_breaker.opened").await, 0);
    assert_eq!(gw.provider.count(), 1);
    gw.upstream.assert_untouched();
    let default = gw.get("/default").bearer("good").send().await;
    assert_eq!(default.status, 200, "other regions are not affected: {default:?}");
    gate.open();
    assert_eq!(first.await.unwrap().status, 200);
    gw.envoy.assert_no_vm_restart().await;
}

/// Status of a response, 0 where the connection ended without one.
fn status_or_end(answer: io::Result<Response>) -> u16 {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, UnexpectedEof};
    match answer {
        Ok(response) => response.status,
        Err(e) => {
            let ended = [BrokenPipe, ConnectionRefused, ConnectionReset, UnexpectedEof];
            assert!(ended.contains(&e.kind()), "neither answered nor ended: {e}");
            0
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_194_sigterm_and_drain_with_calls_in_flight() {
    const HELD: usize = 20;
    let _turn = TURN.lock().await;
    let listener = || Listener::reference().config(config(|c| c["timeout"] = json!("30s")));

    // Drained: what is under way ends as it would have.
    let gw = Gateway::start(listener()).await;
    let gate = Gate::closed();
    gw.provider.answer(subject("ada").held_by(&gate));
    let mut held = JoinSet::new();
    for n in 0..HELD {
        held.spawn(gw.get("/orders").bearer(&format!("t{n}")).send());
    }
    gw.provider.wait_calls(HELD).await;
    let drained = Request::new(gw.envoy.admin(), "POST", "/drain_listeners?graceful&skip_exit");
    assert_eq!(drained.send().await.status, 200);
    gate.open();
    while let Some(response) = held.join_next().await {
        assert_eq!(response.unwrap().status, 200);
    }
    gw.envoy.assert_no_vm_restart().await;
    drop(gw);

    // The request ends: none passes, and none hangs.
    let gw = Gateway::start(listener()).await;
    gw.provider.answer(Reply::silence());
    let mut held = JoinSet::new();
    for n in 0..HELD {
        let request = gw.get("/orders").bearer(&format!("t{n}"));
        held.spawn(async move { request.try_send().await });
    }
    gw.provider.wait_calls(HELD).await;
    let signal = format!("kill -TERM {}", gw.envoy.id());
    assert!(std::process::Command::new("sh").args(["-c", &signal]).status().unwrap().success());
    let mut ended = 0;
    while let Some(answer) = held.join_next().await {
        let status = status_or_end(answer.unwrap());
        assert!(status == 0 || status >= 400, "{status}");
        ended += 1;
    }
    assert_eq!(ended, HELD);
    gw.upstream.assert_untouched();
    tokio::time::timeout(DEADLINE, gw.envoy.log().ended()).await.expect("Envoy ends");
    let log = gw.envoy.log().text();
    assert!(!log.contains("Caught") && !log.contains("panic"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_197_provider_becomes_slow() {
    const CLIENTS: usize = 25;
    let _turn = TURN.lock().await;
    let listener = Listener::reference().config(config(|c| {
        // Far from any of the times below: a busy machine must not make one of them another.
        c["timeout"] = json!("2s");
        c["breaker"] = json!({"open_for": "1s"});
    }));
    let gw = Gateway::start(listener).await;
    let mut requests = 0;
    // Up and down again; the whole answer is there after the time given.
    for milliseconds in [1, 100, 400, 5000, 20_000, 5000, 400, 100, 1] {
        gw.provider.answer_with(move |call| {
            let body = json!({"sub": call.token()}).to_string();
            let half = body.len() / 2 + 1;
            let reply = Reply::text(200, body).header("content-type", "application/json");
            Some(reply.drip(half, Duration::from_millis(milliseconds)))
        });
        // While it is too slow, the breaker is open; when it is fast again, the filter detects it
        // with a probe.
        let back = Instant::now();
        let mut passes = milliseconds > 400;
        while !passes {
            assert!(back.elapsed() < DEADLINE, "{milliseconds} ms: nobody passes");
            let response = gw.get("/orders").bearer(&format!("back-{requests}")).send().await;
            requests += 1;
            passes = response.status == 200;
        }
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            let token = format!("ramp-{requests}-{n}");
            let path = format!("/{token}/");
            let request = gw.get(&path).bearer(&token);
            clients.spawn(async move { (token, path, request.send().await) });
        }
        while let Some(client) = clients.join_next().await {
            let (token, path, response) = client.unwrap();
            requests += 1;
            let entry = gw.envoy.access_entry(&path).await;
            // By Envoy's clock; no request waits for a second timeout.
            assert!(entry["milliseconds"].as_u64() < Some(4000), "{entry}");
            if milliseconds <= 400 {
                assert_eq!(response.status, 200, "{milliseconds} ms: {response:?}");
                assert_eq!(response.upstream_header("x-user-id"), Some(token));
            } else {
                assert_eq!(response.status, 401, "{milliseconds} ms: {response:?}");
                assert!(response.text().contains("TargetEndpointError"), "{response:?}");
            }
        }
    }
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_requests").await, requests);
    let refused = gw.envoy.stat("wasmcustom.oidc_calls.refused_by_breaker").await;
    assert!(refused > 0, "its breaker never opened");
    let (asked, own): (Vec<_>, Vec<_>) =
        gw.provider.calls().into_iter().partition(|call| call.token().is_some());
    assert_eq!(asked.len() as u64 + refused, requests, "{refused} refused");
    let probed = |n| n == own.len() as u64;
    gw.envoy.wait_stat("wasmcustom.oidc_breaker.probed", probed).await;
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_198_upstream_down() {
    let _turn = TURN.lock().await;
    let nobody = Provider::start().await;
    nobody.down().await;
    let gw = Gateway::start(Listener::reference().cluster_at("upstream", nobody.address())).await;
    let response = gw.get("/orders").bearer("good").send().await;
    assert_eq!(response.status, 503, "{response:?}");
    assert!(response.text().starts_with("upstream connect error"), "{response:?}");
    for ours in ["retry-after", "www-authenticate", "cache-control", "x-mashery-error-code"] {
        assert_eq!(response.header(ours), None, "{response:?}");
    }
    let entry = gw.envoy.access_entry("/orders").await;
    assert_eq!(entry["outcome"], "pass;asked;default", "{entry}");
    let details = entry["details"].as_str().unwrap();
    assert!(details.starts_with("upstream_reset_before_response_started"), "{entry}");
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_outcome.pass").await, 1);
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_199_overload_and_header_limits() {
    const ACTIVE: &str = "overload.envoy.overload_actions.stop_accepting_requests.active";
    let _turn = TURN.lock().await;
    let pressure = Watched::new();
    pressure.replace("0.0");
    let file = pressure.file();
    let listener = Listener::reference()
        .config(config(|_| {}))
        .connection_manager(|hcm| hcm["max_request_headers_kb"] = json!(8))
        .buffer_limit(16 << 10);
    let running = Setup::new().listener(listener).edit(move |bootstrap| {
        let injected = "envoy.extensions.resource_monitors.injected_resource.v3";
        let monitor = "envoy.resource_monitors.injected_resource";
        bootstrap["overload_manager"] = json!({
            "refresh_interval": "0.05s",
            "resource_monitors": [{
                "name": monitor,
                "typed_config": {
                    "@type": format!("type.googleapis.com/{injected}.InjectedResourceConfig"),
                    "filename": file,
                },
            }],
            "actions": [{
                "name": "envoy.overload_actions.stop_accepting_requests",
                "triggers": [{"name": monitor, "threshold": {"value": 0.9}}],
            }],
        });
    });
    let gw = running.start().await.gateway("gateway");
    let gate = Gate::closed();
    gw.provider.answer(subject("ada")).answer_token("held", subject("eve").held_by(&gate));

    let held = tokio::spawn(gw.post("/held", vec![b'x'; 64 << 10]).bearer("held").send());
    gw.provider.wait_calls(1).await;
    pressure.replace("0.95");
    gw.envoy.wait_stat(ACTIVE, |active| active == 1).await;
    let refused = gw.get("/refused").bearer("t").send().await;
    assert_eq!((refused.status, refused.text().as_str()), (503, "envoy overloaded"));
    gate.open();
    let response = held.await.unwrap();
    assert_eq!(response.status, 200, "what had begun ends well: {response:?}");
    assert_eq!(response.json()["body_bytes"], 64 << 10);
    pressure.replace("0.1");
    gw.envoy.wait_stat(ACTIVE, |active| active == 0).await;
    assert_eq!(gw.get("/orders").bearer("t").send().await.status, 200);

    // As many lines and bytes as Envoy accepts; the filter adds its own.
    let (mut most, mut codes) = (0, BTreeSet::new());
    for lines in 90..=101 {
        let mut request = gw.get("/lines").bearer("t");
        for n in 0..lines {
            request = request.header(&format!("x-line-{n}"), "v");
        }
        let status = request.send().await.status;
        codes.insert(status);
        most = if status == 200 { lines } else { most };
    }
    assert!(most >= 90, "{most} lines");
    for bytes in (7_500..8_400).step_by(50) {
        let filler = "f".repeat(bytes);
        codes.insert(gw.get("/bytes").bearer("t").header("x-filler", filler).send().await.status);
    }
    assert_eq!(codes, BTreeSet::from([200, 431]));
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_outcome.internal").await, 0);
    gw.envoy.assert_no_vm_restart().await;
}
