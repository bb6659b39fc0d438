//! Configurations at run time: good and bad updates while requests are under way, two at once, and
//! one that holds a secret. Tests are named by their row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use integration::{
    DEADLINE, DEFAULT_INSTANCE, Discovered, Gate, Gateway, Listener, PARTNERS_INSTANCE, Reply,
    Setup, filter,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::TURN;

/// The reference listener with this configuration of its default instance.
pub fn config(edit: impl FnOnce(&mut Value)) -> Value {
    let mut config = json!({
        "userinfo_endpoint": {"defaultURI": "http://idp.example/userinfo"},
        "clusters": {"idp.example": "idp_default"},
        "timeout": "5s",
        "inject_headers": {"X-User-Id": "$.sub"},
        "access_log_state": true,
    });
    edit(&mut config);
    config
}

pub fn subject(sub: &str) -> Reply {
    Reply::json(200, &json!({"sub": sub, "uid": format!("uid-{sub}")}))
}

/// An Envoy whose default instance gets its configuration from a file (ECDS).
struct Updated {
    gateway: Gateway,
    discovered: Discovered,
}

impl Updated {
    async fn start(config: &Value) -> Updated {
        Updated::start_in(Listener::reference(), config).await
    }

    async fn start_in(listener: Listener, config: &Value) -> Updated {
        let first = config.clone();
        let setup = Setup::new().listener(listener);
        let discovered = Discovered::start(setup, move |bootstrap, source| {
            let listener = &mut bootstrap["static_resources"]["listeners"][0];
            let filter = filter(listener, DEFAULT_INSTANCE);
            let mut instance = filter["typed_config"].take();
            *filter = json!({
                "name": DEFAULT_INSTANCE,
                "config_discovery": {"config_source": source, "type_urls": [instance["@type"]]},
            });
            instance["config"]["configuration"]["value"] = json!(first.to_string());
            let kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
            vec![json!({"@type": kind, "name": DEFAULT_INSTANCE, "typed_config": instance})]
        });
        let discovered = discovered.await;
        Updated { gateway: discovered.running.gateway("gateway"), discovered }
    }

    fn update(&self, config: &Value) {
        self.update_with(config, |_| {});
    }

    /// Updates the configuration and what is around it.
    fn update_with(&self, config: &Value, edit: impl FnOnce(&mut Value)) {
        let mut resource = self.discovered.resources[0].clone();
        let instance = &mut resource["typed_config"];
        edit(instance);
        instance["config"]["configuration"]["value"] = json!(config.to_string());
        self.discovered.replace(&[resource]);
    }

    async fn wait(&self, word: &str, at_least: u64) {
        let name = format!("extension_config_discovery.http_filter.{DEFAULT_INSTANCE}.{word}");
        self.gateway.envoy.wait_stat(&name, |n| n >= at_least).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_186_invalid_update_while_serving() {
    let _turn = TURN.lock().await;
    let envoy = Updated::start(&config(|_| {})).await;
    let gw = &envoy.gateway;
    gw.provider.answer(subject("ada"));
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (gw, stop, served) = (gw.clone(), stop.clone(), served.clone());
        clients.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let response = gw.get("/orders").bearer("t").send().await;
                assert_eq!(response.status, 200, "{response:?}");
                assert_eq!(response.upstream_header("x-user-id").as_deref(), Some("ada"));
                served.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for (n, bad) in [
        config(|c| c["regoins"] = json!({})),
        config(|c| c["timeout"] = json!("0s")),
        config(|c| c["inject_headers"] = json!({"Host": "$.sub"})),
        json!([]),
    ]
    .iter()
    .enumerate()
    {
        envoy.update(bad);
        envoy.wait("update_rejected", n as u64 + 1).await;
        let then = served.load(Ordering::SeqCst);
        let more = async {
            let mut look = tokio::time::interval(Duration::from_millis(5));
            while served.load(Ordering::SeqCst) < then + 50 {
                look.tick().await;
            }
        };
        assert!(tokio::time::timeout(DEADLINE, more).await.is_ok(), "it serves no more");
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.expect("every request is answered 200");
    }
    let log = gw.envoy.log().text();
    assert!(log.contains("configuration refused: regoins: unknown key"), "{log}");

    envoy.update(&config(|c| c["inject_headers"] = json!({"X-User-Id": "$.uid"})));
    envoy.wait("config_reload", 2).await;
    let response = gw.get("/orders").bearer("t").send().await;
    assert_eq!(response.upstream_header("x-user-id").as_deref(), Some("uid-ada"), "{response:?}");
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_187_valid_update_with_calls_in_flight() {
    const HELD: usize = 20;
    let _turn = TURN.lock().await;
    let envoy = Updated::start(&config(|_| {})).await;
    let gw = &envoy.gateway;
    let gate = Gate::closed();
    gw.provider.answer(subject("ada").held_by(&gate)).answer_token("new", subject("eve"));
    let mut held = JoinSet::new();
    for n in 0..HELD {
        held.spawn(gw.get("/orders").bearer(&format!("t{n}")).header("x-uid", "forged").send());
    }
    gw.provider.wait_calls(HELD).await;
    // A client that leaves in between must not affect the old configuration's last requests.
    let mut leaver = gw.connect().await.unwrap();
    leaver.write(gw.get("/left").bearer("leaver").to_bytes()).await.unwrap();
    gw.provider.wait_calls(HELD + 1).await;

    envoy.update(&config(|c| c["inject_headers"] = json!({"X-Uid": "$.uid"})));
    envoy.wait("config_reload", 2).await;
    leaver.reset().unwrap();
    let response = gw.get("/new").bearer("new").send().await;
    assert_eq!(response.upstream_header("x-uid").as_deref(), Some("uid-eve"), "{response:?}");
    assert_eq!(response.upstream_header("x-user-id"), None);

    gate.open();
    while let Some(response) = held.join_next().await {
        let response = response.unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.upstream_header("x-user-id").as_deref(), Some("ada"));
        // The old configuration knows nothing of this name; it is not the old one's to strip.
        assert_eq!(response.upstream_header("x-uid").as_deref(), Some("forged"));
    }
    gw.envoy.wait_stat("wasmcustom.oidc_outcome.client_gone", |n| n == 1).await;
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_outcome.pass").await, HELD as u64 + 1);
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_188_two_configurations_in_one_vm() {
    let _turn = TURN.lock().await;
    let second = json!({
        "userinfo_endpoint": {"defaultURI": "http://idp.example/second"},
        "clusters": {"idp.example": "idp_us"},
        "inject_headers": {"X-Second-Id": "$.uid"},
        "block_authorization_header": false,
        "realm": "second",
    });
    let listener = Listener::reference()
        .config(config(|c| c["realm"] = json!("first")))
        .instance("second", "/second", second);
    let gw = Gateway::start(listener).await;
    gw.provider.answer_path("/userinfo", subject("ada")).answer_path("/second", subject("eve"));
    let mut requests = JoinSet::new();
    for n in 0..200 {
        let (path, second) = if n % 2 == 0 { ("/first", false) } else { ("/second", true) };
        let (gw, token) = (gw.clone(), format!("token{}", n / 2));
        requests.spawn(async move {
            let request = gw.get(path).header("x-user-id", "f").header("x-second-id", "f");
            if n % 5 == 0 {
                let response = request.send().await;
                let realm = if second { "second" } else { "first" };
                let challenge = response.header("www-authenticate");
                assert_eq!(challenge, Some(format!("Bearer realm=\"{realm}\"")), "{response:?}");
                return;
            }
            // The same token for both.
            let response = request.bearer(&token).send().await;
            let got = |name| response.upstream_header(name);
            if second {
                assert_eq!(got("x-second-id").as_deref(), Some("uid-eve"), "{response:?}");
                assert_eq!(got("x-user-id").as_deref(), Some("f"), "the other's name");
                assert_eq!(got("authorization").as_deref(), Some(&*format!("Bearer {token}")));
            } else {
                assert_eq!(got("x-user-id").as_deref(), Some("ada"), "{response:?}");
                assert_eq!(got("x-second-id").as_deref(), Some("f"), "the other's name");
                assert_eq!(got("authorization"), None);
            }
        });
    }
    while let Some(request) = requests.join_next().await {
        request.unwrap();
    }
    assert_eq!(gw.provider.count(), 160);
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_190_secret_in_the_configuration() {
    const SECRET: &str = "s3cr3t-K3y-5d11";
    let _turn = TURN.lock().await;
    let secret = |config: &mut Value| {
        config["userinfo_headers"] = json!({"X-Api-Key": SECRET});
    };
    let start = |config: Value| {
        Setup::new()
            .component_log_level("wasm:trace")
            .listener(Listener::reference().config(config))
            .try_start()
    };
    let gw = start(config(secret)).await.unwrap_or_else(|e| panic!("{e}")).gateway("gateway");
    gw.provider.answer(subject("ada"));
    assert_eq!(gw.get("/orders").bearer("t").send().await.status, 200);
    let key = gw.provider.only_call().headers.get("x-api-key");
    assert_eq!(key.as_deref(), Some(SECRET), "it is in use");
    assert_eq!(gw.upstream.only().headers.get("x-api-key"), None);
    gw.provider.answer(Reply::silence()).down().await;
    let refused = gw.get("/orders").bearer("t").send().await;
    assert_eq!(refused.status, 401);
    assert!(!format!("{refused:?}").contains(SECRET));
    gw.envoy.access_log().wait_lines(2).await;
    let stats = gw.envoy.admin_get("/stats").await.unwrap().text();
    for text in [gw.envoy.log().text(), gw.envoy.access_log().text(), stats] {
        assert!(!text.contains(SECRET), "told: {text}");
    }

    for wrong in [json!(1), json!("0s")] {
        let refused = start(config(|config| {
            secret(config);
            config["timeout"] = wrong;
            config["userinfo_headers"]["Host"] = json!(SECRET);
        }));
        let failure = refused.await.expect_err("refused");
        assert!(failure.log.contains("configuration refused: "), "{failure}");
        let told = failure.log.lines().find(|line| line.contains(SECRET));
        assert_eq!(told, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_130_update_applies_to_cached_verdicts() {
    let _turn = TURN.lock().await;
    let cached = |edit: fn(&mut Value)| {
        config(|c| {
            c["cache"] = json!({"shared": true});
            edit(c);
        })
    };
    let envoy = Updated::start(&cached(|_| {})).await;
    let gw = &envoy.gateway;
    gw.provider.answer(subject("ada"));
    let send = async || gw.get("/orders").bearer("t").header("x-uid", "forged").send().await;
    for _ in 0..2 {
        assert_eq!(send().await.upstream_header("x-user-id").as_deref(), Some("ada"));
    }
    envoy.update(&cached(|c| c["inject_headers"] = json!({"X-Uid": "$.uid"})));
    envoy.wait("config_reload", 2).await;
    let response = send().await;
    assert_eq!(response.upstream_header("x-uid").as_deref(), Some("uid-ada"), "{response:?}");
    assert_eq!(response.upstream_header("x-user-id"), None);
    assert_eq!(gw.provider.count(), 1, "what is remembered serves the new configuration");
    // Of another endpoint nothing is known.
    envoy.update(&cached(|c| {
        c["userinfo_endpoint"] = json!({"defaultURI": "http://idp.example/other"});
    }));
    envoy.wait("config_reload", 3).await;
    assert_eq!(send().await.status, 200);
    assert_eq!(gw.provider.count(), 2);
    gw.envoy.assert_no_vm_restart().await;
}

/// A call belongs to the configuration that made it. If that is replaced, and none of its own
/// requests waits any more, requests that joined the call since must still get the result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_154_call_outlives_its_configuration() {
    let _turn = TURN.lock().await;
    let envoy = Updated::start(&config(|_| {})).await;
    let gw = &envoy.gateway;
    let gate = Gate::closed();
    gw.provider.answer(subject("ada").held_by(&gate));
    let mut leader = gw.connect().await.unwrap();
    leader.write(gw.get("/left").bearer("t").to_bytes()).await.unwrap();
    gw.provider.wait_calls(1).await;
    envoy.update(&config(|c| c["inject_headers"] = json!({"X-Uid": "$.uid"})));
    envoy.wait("config_reload", 2).await;
    let follower = tokio::spawn(gw.get("/orders").bearer("t").send());
    gw.envoy.wait_stat("wasmcustom.oidc_requests_waiting", |n| n == 2).await;
    leader.reset().unwrap();
    gw.envoy.wait_stat("wasmcustom.oidc_requests_waiting", |n| n == 1).await;
    gate.open();
    let response = follower.await.unwrap();
    assert_eq!(response.upstream_header("x-uid").as_deref(), Some("uid-ada"), "{response:?}");
    assert_eq!(gw.provider.count(), 1);
    // And the new configuration's own calls work on.
    assert_eq!(gw.get("/orders").bearer("u").send().await.status, 200);
    gw.envoy.wait_stat("wasmcustom.oidc_calls_in_flight", |n| n == 0).await;
    gw.envoy.assert_no_vm_restart().await;
}

/// The gauges add up all VMs; one that is replaced must take its share with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_vm_leaves_the_gauges() {
    let _turn = TURN.lock().await;
    let cached = config(|c| c["cache"] = json!({}));
    let envoy = Updated::start(&cached).await;
    let gw = &envoy.gateway;
    gw.provider.answer(subject("ada"));
    for n in 0..5 {
        assert_eq!(gw.get("/orders").bearer(&format!("t{n}")).send().await.status, 200);
    }
    gw.envoy.wait_stat("wasmcustom.oidc_cache_entries", |n| n == 5).await;
    envoy.update_with(&cached, |instance| {
        instance["config"]["vm_config"]["vm_id"] = json!("another");
    });
    envoy.wait("config_reload", 2).await;
    assert_eq!(gw.get("/orders").bearer("t0").send().await.status, 200);
    for gauge in ["oidc_cache_entries", "oidc_calls_in_flight", "oidc_requests_waiting"] {
        let left = u64::from(gauge == "oidc_cache_entries");
        gw.envoy.wait_stat(&format!("wasmcustom.{gauge}"), |n| n == left).await;
    }
    assert_eq!(gw.provider.count(), 6);
    gw.envoy.assert_no_vm_restart().await;
}

/// A VM that is replaced takes its calls with it, and out of the gauges.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_vm_ends_its_calls() {
    const ACTIVE: &str = "wasm.envoy.wasm.runtime.v8.active";
    let _turn = TURN.lock().await;
    // The reference's other instance would keep the VM alive.
    let listener = Listener::reference().without_filter(PARTNERS_INSTANCE);
    let envoy = Updated::start_in(listener, &config(|_| {})).await;
    let gw = &envoy.gateway;
    let alone = gw.envoy.stat(ACTIVE).await;
    assert!(alone > 0, "no such statistic");
    let gate = Gate::closed();
    gw.provider.answer(subject("ada").held_by(&gate));
    let mut leaver = gw.connect().await.unwrap();
    leaver.write(gw.get("/left").bearer("t").to_bytes()).await.unwrap();
    gw.provider.wait_calls(1).await;
    envoy.update_with(&config(|_| {}), |instance| {
        instance["config"]["vm_config"]["vm_id"] = json!("another");
    });
    envoy.wait("config_reload", 2).await;
    leaver.reset().unwrap();
    gw.envoy.wait_stat("wasmcustom.oidc_requests_waiting", |n| n == 0).await;
    gw.envoy.wait_stat(ACTIVE, |n| n == alone).await;
    gw.envoy.wait_stat("wasmcustom.oidc_calls_in_flight", |n| n == 0).await;
    gate.open();
    assert_eq!(gw.get("/orders").bearer("t").send().await.status, 200);
    gw.envoy.assert_no_vm_restart().await;
}
