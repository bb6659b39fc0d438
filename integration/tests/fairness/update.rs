//! The provider's cluster is replaced (CDS) while calls are under way: Envoy ends them all when it
//! removes the old cluster, before the new one exists. No waiting request may be refused.

use std::time::Duration;

use integration::{Call, Discovered, Listener, Reply, Setup};
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
/// Replacements in which all calls were young.
const ENOUGH: usize = 3;

/// An Envoy whose provider clusters come from a file.
async fn start(more: Value) -> Discovered {
    let listener = Listener::named("gw").config(config(merged(json!({"timeout": "10s"}), more)));
    Discovered::start(Setup::new().concurrency(1).listener(listener), |bootstrap, source| {
        bootstrap["dynamic_resources"]["cds_config"] = source;
        let all = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
        let is_provider = |cluster: &mut Value| {
            cluster["name"].as_str().is_some_and(|name| name.starts_with("idp_"))
        };
        all.extract_if(.., is_provider)
            .map(|mut cluster| {
                cluster["@type"] = json!("type.googleapis.com/envoy.config.cluster.v3.Cluster");
                cluster
            })
            .collect()
    })
    .await
}

/// Replaces the clusters, for the nth time, by others that are nearly the same.
async fn replace(envoy: &mut Discovered, nth: u64) {
    for cluster in &mut envoy.resources {
        cluster["connect_timeout"] = json!(format!("{}s", 10 + nth));
    }
    envoy.replace(&envoy.resources);
    let all = nth * envoy.resources.len() as u64;
    envoy.running.envoy.wait_stat("cluster_manager.cluster_modified", |n| n >= all).await;
}

/// Refused requests, and waiting requests, in replacements in which all calls were young; and the
/// most calls about one request.
async fn replaced(name: &str, more: Value) -> usize {
    let mut envoy = start(more).await;
    let gateway = envoy.running.gateway("gw");
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
        replace(&mut envoy, round + 1).await;
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
async fn replaced_cluster_loses_no_waiting_request() {
    assert_eq!(replaced("one_site", json!({})).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_cluster_of_two_sites_loses_no_waiting_request() {
    let two = json!({
        "userinfo_endpoint": {
            "defaultURI": ["http://idp.example/userinfo", "http://other.example/userinfo"],
        },
        "clusters": {"idp.example": "idp_default", "other.example": "idp_default"},
    });
    assert_eq!(replaced("two_sites", two).await, 0);
}
