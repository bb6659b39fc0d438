//! Requests that ask the same at the same time share one call to the provider, on the real Envoy.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use std::collections::BTreeMap;

use base::one;
use integration::{Gate, Listener, Provider, Reply, Response, Running, Setup};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const WAITING: &str = "wasmcustom.oidc_requests_waiting";
const CALLS: &str = "wasmcustom.oidc_calls_in_flight";

/// An Envoy of its own: its gauges are this test's alone.
async fn start(workers: u32, config: Value) -> Running {
    Setup::new()
        .concurrency(workers)
        .listener(Listener::named("gw").config(one(config)))
        .start()
        .await
}

/// So many requests with this token, each on a connection of its own and with a mark of its own.
fn crowd(running: &Running, token: &str, number: usize) -> JoinSet<(usize, Response)> {
    let gw = running.gateway("gw");
    let mut requests = JoinSet::new();
    for n in 0..number {
        let request = gw.get(&format!("/orders/{n}")).bearer(token);
        requests.spawn(async move { (n, request.send().await) });
    }
    requests
}

/// How often each status came; whoever passed got its own request through with the user's name.
async fn statuses(requests: JoinSet<(usize, Response)>) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    for (n, response) in requests.join_all().await {
        *statuses.entry(response.status).or_default() += 1;
        if response.status == 200 {
            assert_eq!(response.upstream_header("x-user-id").as_deref(), Some("alice"));
            assert_eq!(response.json()["path"], format!("/orders/{n}"));
        }
    }
    statuses
}

async fn nothing_is_left(running: &Running) {
    running.envoy.wait_stat(WAITING, |n| n == 0).await;
    running.envoy.wait_stat(CALLS, |n| n == 0).await;
    running.envoy.assert_no_vm_restart().await;
}

/// The catalogue's row 153.
#[tokio::test]
async fn a_thousand_requests_with_one_token_are_one_call() {
    let good = || Reply::json(200, &json!({"sub": "alice"}));
    for (cache, reply, status) in [
        (json!({}), good(), 200),
        (json!({"cache": {}}), good(), 200),
        (json!({"cache": {}}), Provider::expired(), 401),
        (json!({"cache": {}}), Reply::text(500, "out of order"), 500),
    ] {
        let running = start(1, cache).await;
        let gw = running.gateway("gw");
        let gate = Gate::closed();
        gw.provider.answer(reply.held_by(&gate));
        let requests = crowd(&running, "token", 1000);
        running.envoy.wait_stat(WAITING, |n| n == 1000).await;
        assert_eq!(running.envoy.stat(CALLS).await, 1);
        gate.open();
        assert_eq!(statuses(requests).await, BTreeMap::from([(status, 1000)]));
        assert_eq!(gw.provider.count(), 1);
        assert_eq!(running.envoy.stat("wasmcustom.oidc_calls.joined").await, 999);
        nothing_is_left(&running).await;
    }
}
