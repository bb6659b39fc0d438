//! Row 187 once more, with the whole listener replaced (LDS): its old filter chain drains while calls
//! are in flight.

use integration::{DEFAULT_INSTANCE, Discovered, Gate, Gateway, Listener, Setup, filter};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::TURN;
use crate::updates::{config, subject};

/// Replaces the listener by one whose default instance has this configuration.
async fn replace(envoy: &Discovered, gw: &Gateway, config: &Value) {
    let mut listener = envoy.resources[0].clone();
    let plugin = &mut filter(&mut listener, DEFAULT_INSTANCE)["typed_config"]["config"];
    plugin["configuration"]["value"] = json!(config.to_string());
    // Only a listener's filter chain would be replaced in place otherwise.
    listener["stat_prefix"] = json!("replaced");
    envoy.replace(&[listener]);
    gw.envoy.wait_stat("listener_manager.listener_modified", |n| n == 1).await;
    gw.envoy.wait_stat("listener_manager.total_listeners_warming", |n| n == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_187_listener_replaced_with_calls_in_flight() {
    const HELD: usize = 20;
    let _turn = TURN.lock().await;
    let listener = Listener::reference().config(config(|_| {}));
    let envoy = Discovered::listener(Setup::new().listener(listener)).await;
    let gw = &envoy.running.gateway("gateway");
    let gate = Gate::closed();
    gw.provider.answer(subject("ada").held_by(&gate)).answer_token("new", subject("eve"));
    let mut held = JoinSet::new();
    for n in 0..HELD {
        held.spawn(gw.get("/orders").bearer(&format!("t{n}")).send());
    }
    gw.provider.wait_calls(HELD).await;
    let mut leaver = gw.connect().await.unwrap();
    leaver.write(gw.get("/left").bearer("leaver").to_bytes()).await.unwrap();
    gw.provider.wait_calls(HELD + 1).await;

    let other = config(|c| c["inject_headers"] = json!({"X-Uid": "$.uid"}));
    replace(&envoy, gw, &other).await;
    let response = gw.get("/new").bearer("new").send().await;
    assert_eq!(response.upstream_header("x-uid").as_deref(), Some("uid-eve"), "{response:?}");
    assert_eq!(response.upstream_header("x-user-id"), None);
    leaver.reset().unwrap();
    gate.open();
    while let Some(response) = held.join_next().await {
        let response = response.unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.upstream_header("x-user-id").as_deref(), Some("ada"));
    }
    gw.envoy.wait_stat("wasmcustom.oidc_outcome.client_gone", |n| n == 1).await;
    gw.envoy.wait_stat("wasmcustom.oidc_requests_waiting", |n| n == 0).await;
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_outcome.pass").await, HELD as u64 + 1);
    gw.envoy.assert_no_vm_restart().await;
}
