//! Row 187 once more, with the whole listener replaced (LDS): its old filter chain drains while calls
//! are in flight.

use std::fs;
use std::sync::{Arc, Mutex};

use integration::{DEFAULT_INSTANCE, Gate, Gateway, Listener, Setup, Watched};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::TURN;
use crate::updates::{config, subject};

/// An Envoy whose listener comes from a file.
struct Listened {
    gateway: Gateway,
    file: Watched,
    listener: Value,
}

impl Listened {
    async fn start(config: Value) -> Listened {
        let file = Watched::new();
        let path = file.file();
        let taken = Arc::new(Mutex::new(Value::Null));
        let take = taken.clone();
        let listener = Listener::reference().config(config);
        let setup = Setup::new().listener(listener).edit(move |bootstrap| {
            let mut listener = bootstrap["static_resources"]["listeners"][0].take();
            listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
            bootstrap["static_resources"]["listeners"] = json!([]);
            // Envoy wants to read the file at its start.
            fs::write(&path, resource(&listener)).expect("a file under target/");
            bootstrap["dynamic_resources"]["lds_config"] = json!({
                "path_config_source": {
                    "path": path,
                    "watched_directory": {"path": path.parent()},
                },
                "resource_api_version": "V3",
            });
            bootstrap["node"] = json!({"id": "gateway", "cluster": "gateway"});
            *take.lock().expect("not poisoned") = listener;
        });
        let gateway = setup.start().await.gateway("gateway");
        let listener = taken.lock().expect("not poisoned").clone();
        Listened { gateway, file, listener }
    }

    /// Replaces the listener by one whose default instance has this configuration.
    async fn replace(&self, config: &Value) {
        let mut listener = self.listener.clone();
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        let filters = manager["http_filters"].as_array_mut().expect("a filter chain");
        let filter = filters.iter_mut().find(|f| f["name"] == DEFAULT_INSTANCE);
        let plugin = &mut filter.expect("the default instance")["typed_config"]["config"];
        plugin["configuration"]["value"] = json!(config.to_string());
        // Only a listener's filter chain would be replaced in place otherwise.
        listener["stat_prefix"] = json!("replaced");
        self.file.replace(&resource(&listener));
        self.gateway.envoy.wait_stat("listener_manager.listener_modified", |n| n == 1).await;
        self.gateway.envoy.wait_stat("listener_manager.total_listeners_warming", |n| n == 0).await;
    }
}

fn resource(listener: &Value) -> String {
    json!({"resources": [listener]}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_187_a_listener_is_replaced_with_look_ups_in_flight() {
    const HELD: usize = 20;
    let _turn = TURN.lock().await;
    let envoy = Listened::start(config(|_| {})).await;
    let gw = &envoy.gateway;
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

    envoy.replace(&config(|c| c["inject_headers"] = json!({"X-Uid": "$.uid"}))).await;
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
