//! The memory that a provider's answers may take, with the reference configuration.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use base::one;
use integration::{Gate, Gateway, Listener, Reply, Setup, kib};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Each fills the machine with work: beside the other its calls would not be made in time.
static TURN: Mutex<()> = Mutex::const_new(());

const ANSWERS: usize = 40;
const ANSWER_BYTES: usize = 31 << 20;
const ALLOWED_KIB: u64 = 64 << 10;

#[tokio::test]
async fn forty_concurrent_answers_of_31_mb() {
    let _turn = TURN.lock().await;
    let gw = Gateway::reference().await;
    // Allocations of the first request are not measured.
    assert_eq!(gw.get("/warm-up").bearer("good").send().await.status, 200);
    let upstream_before = gw.upstream.bytes();
    let body = vec![b' '; ANSWER_BYTES];
    let gate = Gate::closed();
    let reply = Reply::text(200, body).header("content-type", "application/json");
    gw.provider.answer(reply.held_by(&gate));
    let before = kib(gw.envoy.id(), "VmRSS");

    let mut requests = JoinSet::new();
    for n in 0..ANSWERS {
        requests.spawn(gw.get("/orders").bearer(&format!("token{n}")).send());
    }
    // All forty answers come at once.
    gw.provider.wait_calls(1 + ANSWERS).await;
    gate.open();
    while let Some(response) = requests.join_next().await {
        assert_eq!(response.expect("a response").status, 503);
    }

    let (after, peak) = (kib(gw.envoy.id(), "VmRSS"), kib(gw.envoy.id(), "VmHWM"));
    println!("RSS before {before} KiB, after {after} KiB, at most {peak} KiB");
    assert!(after.saturating_sub(before) < ALLOWED_KIB, "RSS {before} KiB, then {after} KiB");
    assert!(peak.saturating_sub(before) < ALLOWED_KIB, "RSS {before} KiB, at most {peak} KiB");
    assert_eq!(gw.upstream.bytes(), upstream_before);
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_outcome.unavailable").await, ANSWERS as u64);
    gw.envoy.assert_no_vm_restart().await;
}

/// The number of requests that one caller sends and aborts; this number killed a worker's VM before
/// calls were limited by bytes.
const ABORTED: usize = 18_800;
const AT_ONCE: usize = 16;

/// With the largest values that the configuration accepts. The provider never answers, so every
/// call lasts its full timeout, whether or not its client waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborted_requests_do_not_fill_a_workers_memory() {
    let _turn = TURN.lock().await;
    let config = one(json!({
        "max_in_flight": 65_536, "max_token_bytes": 65_536, "timeout": "30s",
        "access_log_state": true,
    }));
    let listener = Listener::named("gw")
        .config(config)
        .connection_manager(|manager| {
            manager["max_request_headers_kb"] = json!(96);
            manager["access_log"] = json!([]);
        })
        .cluster("idp_default", |cluster| {
            // Thousands of connections at once take a busy machine its time.
            cluster["connect_timeout"] = json!("30s");
            let most = json!(100_000);
            cluster["circuit_breakers"] = json!({"thresholds": [{
                "max_connections": most, "max_pending_requests": most, "max_requests": most,
            }]});
        });
    let gw = Setup::new().concurrency(1).listener(listener).start().await.gateway("gw");
    let gate = Gate::closed();
    gw.provider.forget().answer(Reply::json(200, &json!({"sub": "a"})).held_by(&gate));

    let mut strangers = JoinSet::new();
    for first in 0..AT_ONCE {
        let gw = gw.clone();
        strangers.spawn(async move {
            for number in (first..ABORTED).step_by(AT_ONCE) {
                let token = format!("{number}-{}", "~".repeat(65_000));
                let request = gw.get("/orders").bearer(&token).to_bytes();
                let mut connection = TcpStream::connect(gw.address()).await.expect("a connection");
                connection.write_all(&request).await.expect("sent");
            }
        });
    }
    strangers.join_all().await;
    // Of some Envoy sees the end before it has read the whole request.
    gw.envoy.wait_stat("http.gw.downstream_cx_active", |left| left == 0).await;
    let refused = gw.envoy.stat("wasmcustom.oidc_calls.refused_by_cap").await;
    println!("of {ABORTED} requests {refused} refused for their weight");
    assert!(refused > 1_000, "{refused}");
    gw.envoy.assert_no_vm_restart().await;
    // The calls end, and there is room again.
    gate.open();
    gw.envoy.wait_stat("wasmcustom.oidc_calls_in_flight", |calls| calls == 0).await;
    assert_eq!(gw.get("/orders").bearer("good").send().await.status, 200);
    gw.envoy.assert_no_vm_restart().await;
}
