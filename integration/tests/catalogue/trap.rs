//! Row 191: a VM that stops while it holds requests. No input is known that causes it, so the build
//! with removable protections has one that panics. Requests of the VM never reach the upstream, and
//! Envoy ends them; the other worker continues; nothing of the request is logged; and the harness
//! detects it.

use std::collections::BTreeMap;
use std::time::Duration;

use integration::{DEADLINE, Gate, Gateway};
use serde_json::json;
use tokio::task::JoinSet;

use crate::row::{CANARY_TOKEN, good};
use crate::run::{Catalogue, Subject};
use crate::worlds::{IDLE, REMEMBERS, SHARES, listener_name};
use crate::{TURN, broken};

/// Requests that wait when the VM stops, each on a connection of its own; the kernel shares
/// these out among the workers.
const HELD: usize = 24;
/// The header that stops a VM.
const TRAP: &str = "x-fault-injection-trap";
/// A text in the header that the panic's message repeats.
const CANARY: &str = "canary-panic-5b0c77";

/// Envoy in which a request can stop its worker's VM.
async fn start(more_workers: u32) -> (Catalogue, Gateway) {
    let subject = Subject {
        module: Some(broken::module()),
        environment: vec![(broken::VARIABLE.to_owned(), "panic".to_owned())],
        worlds: vec![IDLE],
        more_workers,
    };
    let started = Catalogue::start(&subject, Vec::new()).await;
    let gateway = started.envoy.gateway(&listener_name(IDLE, true));
    (started, gateway)
}

/// Stops a VM while the provider holds its answers, then lets it answer; how often each status came
/// of the requests that waited.
async fn stop_a_vm(gateway: &Gateway) -> BTreeMap<u16, usize> {
    let gate = Gate::closed();
    gateway.provider.answer(good().held_by(&gate));
    let mut held = JoinSet::new();
    for n in 0..HELD {
        let token = format!("{CANARY_TOKEN}.{n}");
        held.spawn(gateway.get(&format!("/held/{n}")).bearer(&token).send());
    }
    gateway.provider.wait_calls(HELD).await;
    // Told to Envoy, so that it shows afterwards whom the VM took with it.
    gateway.envoy.wait_stat("wasmcustom.oidc_requests", |n| n == HELD as u64).await;
    let trap = gateway.get("/trap").bearer(CANARY_TOKEN).header(TRAP, CANARY);
    let response = trap.send().await;
    assert_eq!(response.status, 503, "{response:?}");
    assert!(!format!("{response:?}").contains("canary"), "{response:?}");
    assert_eq!(gateway.upstream.bytes(), 0, "before any verdict");
    // Now the verdicts come, for a VM that has died.
    gate.open();
    let mut statuses = BTreeMap::new();
    while let Some(response) = held.join_next().await {
        *statuses.entry(response.unwrap().status).or_default() += 1;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_191_vm_stops() {
    let _turn = TURN.lock().await;
    let (started, gateway) = start(0).await;
    assert_eq!(stop_a_vm(&gateway).await, BTreeMap::from([(503, HELD)]));
    assert_eq!(gateway.provider.count(), HELD, "the request that stopped the VM asked nobody");
    gateway.upstream.assert_untouched();
    assert_eq!(gateway.upstream.bytes(), 0);
    for n in 0..HELD {
        let entry = gateway.envoy.access_entry(&format!("\"/held/{n}\"")).await;
        // Ended by the stream idle timeout (SI); the dead filter makes its reply a bare 503.
        let end = (&entry["flags"], &entry["details"]);
        assert_eq!(end, (&json!("SI"), &json!("wasm_fail_stream")), "{entry}");
    }

    let log = gateway.envoy.log().lines();
    let told: Vec<_> = log.iter().filter(|line| line.contains("canary")).collect();
    assert!(told.is_empty(), "{told:?}");
    let panics: Vec<_> = log.iter().filter(|line| line.contains("panic at ")).collect();
    let [panic] = panics.as_slice() else { panic!("one line of the panic: {panics:?}") };
    let (_, place) = panic.split_once("panic at src/shell/fault_injection.rs:").expect("a place");
    assert!(place.bytes().all(|b| b.is_ascii_digit()) && !place.is_empty(), "{panic}");

    // The final check of every other run must fail here.
    let failures = started.judge_envoy().await;
    for part in ["panic at src/shell/fault_injection.rs:", "Function: ", "the outcomes sum to"] {
        assert!(failures.iter().any(|f| f.complaint.contains(part)), "{part}: {failures:?}");
    }
    // Envoy makes a new VM for the next request.
    gateway.provider.answer(good());
    assert_eq!(gateway.get("/after").bearer(CANARY_TOKEN).send().await.status, 200);
    let failures = started.judge_envoy().await;
    for part in ["VMs created: ", "vm_reload"] {
        assert!(failures.iter().any(|f| f.complaint.contains(part)), "{part}: {failures:?}");
    }
    // The counters of the alert OidcVmReloaded.
    assert_eq!(gateway.envoy.stat("wasm.oidc-token-connector.vm_reload_success").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_191_other_worker_continues() {
    let _turn = TURN.lock().await;
    let (_started, gateway) = start(1).await;
    let statuses = stop_a_vm(&gateway).await;
    let of = |status| statuses.get(&status).copied().unwrap_or(0);
    assert!(of(200) > 0 && of(503) > 0 && of(200) + of(503) == HELD, "{statuses:?}");
    assert_eq!(gateway.upstream.count(), of(200), "only validated requests");
}

/// Cached verdicts of the VM are lost; shared ones are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_151_new_vm_has_an_empty_cache() {
    let _turn = TURN.lock().await;
    for (world, calls) in [(REMEMBERS, 2), (SHARES, 1)] {
        let subject = Subject {
            module: Some(broken::module()),
            environment: vec![(broken::VARIABLE.to_owned(), "panic".to_owned())],
            worlds: vec![world],
            ..Subject::default()
        };
        let started = Catalogue::start(&subject, Vec::new()).await;
        let gateway = started.envoy.gateway(&listener_name(world, true));
        gateway.provider.answer(good());
        let ordinary = async || gateway.get("/orders").bearer(CANARY_TOKEN).send().await.status;
        for _ in 0..2 {
            assert_eq!(ordinary().await, 200);
        }
        assert_eq!(gateway.provider.count(), 1);
        let trap = gateway.get("/trap").bearer(CANARY_TOKEN).header(TRAP, CANARY);
        assert_eq!(trap.send().await.status, 503);
        // The new VM comes with the next request, a second after the old one was made.
        let mut ask = tokio::time::interval(Duration::from_millis(20));
        let alive = async {
            while ordinary().await != 200 {
                ask.tick().await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, alive).await.is_ok(), "no new VM");
        assert_eq!(ordinary().await, 200);
        assert_eq!(gateway.provider.count(), calls, "{world}");
    }
}

/// With a timer that fires once a minute, requests that share a call are still released at once,
/// even after the first one has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_154_no_request_waits_for_the_timer() {
    let _turn = TURN.lock().await;
    let subject = Subject {
        module: Some(broken::module()),
        environment: vec![(broken::VARIABLE.to_owned(), "tick".to_owned())],
        worlds: vec![REMEMBERS],
        ..Subject::default()
    };
    let started = Catalogue::start(&subject, Vec::new()).await;
    let gateway = started.envoy.gateway(&listener_name(REMEMBERS, true));
    // Envoy's own gauge: those of the filter come with the timer.
    let open = format!("http.{}.downstream_rq_active", listener_name(REMEMBERS, true));
    let waiting = |n| gateway.envoy.wait_stat(&open, move |requests| requests == n);
    let gate = Gate::closed();
    gateway.provider.answer(good().held_by(&gate));
    let mut leader = gateway.connect().await.expect("a connection");
    leader.write(gateway.get("/left").bearer(CANARY_TOKEN).to_bytes()).await.expect("written");
    waiting(1).await;
    gateway.provider.wait_calls(1).await;
    let mut followers = JoinSet::new();
    for n in 0..50 {
        followers.spawn(gateway.get(&format!("/follow/{n}")).bearer(CANARY_TOKEN).send());
    }
    waiting(51).await;
    leader.reset().expect("reset");
    waiting(50).await;
    gate.open();
    // Each would run into its own deadline, 20 s, long before the timer.
    while let Some(response) = followers.join_next().await {
        assert_eq!(response.expect("a response").status, 200);
    }
    assert_eq!(gateway.provider.count(), 1);
    assert_eq!(gateway.get("/hit").bearer(CANARY_TOKEN).send().await.status, 200);
}
