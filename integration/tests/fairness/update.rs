//! The provider's cluster is replaced (CDS) while calls are under way: Envoy ends them all, within
//! the removal of the old cluster, before the new one is there. Nobody who waits may be refused.

use std::fs;
use std::time::Duration;

use integration::{Call, Gateway, Listener, Reply, Setup, Watched};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::base::merged;
use crate::row::{config, per_request};
use crate::say;

/// Requests that wait each time.
const WAITING: usize = 12;
/// The least that a call must have been under way to count as a wait for the provider: a quarter of
/// a second. What the provider saw last less than this for certain was no such wait.
const YOUNG: Duration = Duration::from_millis(200);
/// Replacements whose calls were all that young.
const ENOUGH: usize = 3;

/// An Envoy whose provider's clusters come from a file.
struct Updated {
    gateway: Gateway,
    file: Watched,
    clusters: Vec<Value>,
    version: u32,
}

impl Updated {
    async fn start(more: Value) -> Updated {
        let file = Watched::new();
        let path = file.file();
        let (give, take) = std::sync::mpsc::channel();
        let listener =
            Listener::named("gw").config(config(merged(json!({"timeout": "10s"}), more)));
        let setup = Setup::new().concurrency(1).listener(listener).edit(move |bootstrap| {
            let all = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
            let dynamic: Vec<Value> = all
                .extract_if(.., |cluster| {
                    cluster["name"].as_str().is_some_and(|n| n.starts_with("idp_"))
                })
                .map(|mut cluster| {
                    cluster["@type"] = json!("type.googleapis.com/envoy.config.cluster.v3.Cluster");
                    cluster
                })
                .collect();
            // Envoy wants to read the file at its start.
            fs::write(&path, resources(&dynamic)).expect("a file under target/");
            bootstrap["dynamic_resources"]["cds_config"] = json!({
                "path_config_source": {
                    "path": path,
                    "watched_directory": {"path": path.parent()},
                },
                "resource_api_version": "V3",
            });
            bootstrap["node"] = json!({"id": "gateway", "cluster": "gateway"});
            give.send(dynamic).expect("somebody waits for them");
        });
        let gateway = setup.start().await.gateway("gw");
        let clusters = take.recv().expect("the bootstrap has been edited");
        Updated { gateway, file, clusters, version: 0 }
    }

    /// Replaces the clusters by others that are nearly the same.
    async fn replace(&mut self) {
        self.version += 1;
        for cluster in &mut self.clusters {
            cluster["connect_timeout"] = json!(format!("{}s", 10 + self.version));
        }
        self.file.replace(&resources(&self.clusters));
        let all = u64::from(self.version) * self.clusters.len() as u64;
        let modified = "cluster_manager.cluster_modified";
        self.gateway.envoy.wait_stat(modified, |n| n >= all).await;
    }
}

fn resources(clusters: &[Value]) -> String {
    json!({"resources": clusters}).to_string()
}

/// Refused, and waited for, in replacements whose calls were all young; and the most calls about
/// one request.
async fn replaced(name: &str, more: Value) -> usize {
    let mut envoy = Updated::start(more).await;
    let gateway = envoy.gateway.clone();
    // The first call about a token is not answered, any other is.
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    gateway.provider.answer_with(move |call: &Call| {
        let is_first = seen.lock().expect("not poisoned").insert(call.token());
        let good = Reply::json(200, &json!({"sub": "somebody"}));
        Some(if is_first { Reply::silence() } else { good })
    });
    let (mut young, mut refused, mut round) = (0, 0, 0);
    while young < ENOUGH {
        let before = gateway.provider.count();
        let mut waiting = JoinSet::new();
        for n in 0..WAITING {
            waiting.spawn(gateway.get(&format!("/{name}/")).bearer(&format!("{round}-{n}")).send());
        }
        gateway.provider.wait_calls(before + WAITING).await;
        envoy.replace().await;
        let responses = waiting.join_all().await;
        let of_round = format!("{round}-");
        let calls = gateway.provider.calls();
        let waited = calls
            .iter()
            .filter(|call| call.token().is_some_and(|token| token.starts_with(&of_round)))
            .filter_map(Call::waited)
            .max();
        let passed = responses.iter().filter(|response| response.status == 200).count();
        say(&format!(
            "{name}: {WAITING} requests wait, the cluster is replaced: {passed} pass; their calls \
             were under way for at most {waited:?}"
        ));
        if waited.is_some_and(|waited| waited < YOUNG) {
            young += 1;
            refused += WAITING - passed;
        }
        round += 1;
        assert!(round < 50, "no replacement found all calls young: the machine is too busy");
    }
    let most = per_request(&gateway.provider.calls());
    say(&format!("{name}: {refused} of {} refused, per request at most {most}", ENOUGH * WAITING));
    gateway.envoy.assert_no_vm_restart().await;
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_replaced_loses_no_waiting_request() {
    assert_eq!(replaced("one_site", json!({})).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_two_sites_that_is_replaced_loses_no_waiting_request() {
    let two = json!({
        "userinfo_endpoint": {
            "defaultURI": ["http://idp.example/userinfo", "http://other.example/userinfo"],
        },
        "clusters": {"idp.example": "idp_default", "other.example": "idp_default"},
    });
    assert_eq!(replaced("two_sites", two).await, 0);
}
