//! Envoy skips the Wasm filter, without a counter and under every `failure_policy`, on a worker
//! whose VM it cannot create: here because address space is missing, of which each V8 VM reserves 8
//! to 10 GiB. The filter cannot prevent it, because it is not loaded. Envoy's own RBAC filter
//! behind it can: it passes only requests that the filter reported as let pass.
//!
//! Each guarded listener has a copy without the guard: a request without a token that passes there
//! proves that the filter is skipped. The number of such workers varies, but is never zero, and
//! each request has its own connection, so that it may reach any of them.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use std::fs;

use base::one;
use integration::{
    DEADLINE, DEFAULT_INSTANCE, Discovered, GUARD, Gateway, Headers, Listener, PARTNERS_INSTANCE,
    Request, Response, Running, Setup, Watched, filter, module,
};
use serde_json::{Value, json};

const SWITCH: &str = "type.googleapis.com/envoy.config.route.v3.FilterConfig";
const GIB: u64 = 1 << 30;

/// The details of Envoy's RBAC filter for a refused request.
const REFUSED: &str = "RBAC: access denied";

/// An Envoy with addresses for some of its four workers' VMs only, and for the two that are not a worker's.
/// Each further instance takes one more while it is looked at, which V8 gives back a moment later, on a busy
/// machine too late for the next: then Envoy does not start, and gets a little more.
async fn short_of_addresses() -> Running {
    let mut failures = String::new();
    for gib in [40, 44, 48, 52] {
        let setup = Setup::new().concurrency(4).address_space(gib * GIB);
        let setup = setup.listener(Listener::named("guarded"));
        let setup = setup.listener(Listener::named("bare").without_filter(GUARD));
        match setup.try_start().await {
            Ok(running) => return running,
            Err(failure) => failures += &format!("{gib} GiB: {failure}\n"),
        }
    }
    panic!("{failures}");
}

/// A request with forged identity headers.
fn forged(gw: &Gateway, path: &str) -> Request {
    let request = gw.get(path).header("x-api-key", "demo-key");
    request.forging(&["x-user-id", "x-user-email", "x-partner-id"])
}

/// Sends until what is looked for has come, and then some more.
async fn sent(looked_for: impl Fn(&Response) -> bool, send: impl AsyncFn() -> Response) {
    const MORE: usize = 24;
    let sending = async { while !looked_for(&send().await) {} };
    let in_time = tokio::time::timeout(DEADLINE, sending).await.is_ok();
    assert!(in_time, "no worker is without the filter");
    for _ in 0..MORE {
        send().await;
    }
}

/// Waits until a request without a token passes.
async fn assert_open(gw: &Gateway, path: &str) {
    sent(|r| r.status == 200, async || forged(gw, path).send().await).await;
    let received = gw.upstream.received().pop().expect("one passed");
    assert_eq!(received.headers.all("x-user-id"), ["forged"], "{received:?}");
}

/// Waits until the guard refuses a request; no request may pass.
async fn assert_guarded(gw: &Gateway, path: &str) {
    let came = || (gw.upstream.bytes(), gw.provider.count());
    let before = came();
    let refused = |r: &Response| r.status == 403 && r.text() == REFUSED;
    let send = async || {
        let r = forged(gw, path).send().await;
        // Where the filter is, it refuses itself.
        let own = r.header("cache-control").as_deref() == Some("no-store");
        assert!(own || refused(&r), "{path}: {r:?}");
        r
    };
    sent(refused, send).await;
    assert_eq!(came(), before, "{path}");
    let entry = gw.envoy.access_entry("rbac_access_denied").await;
    assert_eq!(entry["details"], "rbac_access_denied_matched_policy[none]", "{entry}");
    assert_eq!((&entry["outcome"], &entry["status"]), (&Value::Null, &json!(403)), "{entry}");
}

#[tokio::test]
async fn worker_without_vm_at_start_lets_no_request_pass() {
    let running = short_of_addresses().await;
    assert_open(&running.gateway("bare"), "/orders").await;

    let gw = running.gateway("guarded");
    for path in ["/orders", "/partners/offers", "/machines/7", "/public/../orders"] {
        assert_guarded(&gw, path).await;
    }
    let counted = "http.guarded.rbac.oidc_token_connector_guard.denied";
    assert!(gw.envoy.stat(counted).await > 0);
    // A token does not help where no filter can check it.
    let good = async || gw.get("/orders").bearer("good").send().await;
    sent(|r| r.status == 403 && r.text() == REFUSED, good).await;

    // A public route stays public, and its identity headers are removed.
    let r = forged(&gw, "/public/health").send().await;
    assert_eq!(r.status, 200, "{r:?}");
    let headers = r.upstream_headers();
    for name in ["x-user-id", "x-user-email", "x-partner-id"] {
        assert!(!headers.has(name), "{name} {headers:?}");
    }
}

#[tokio::test]
async fn worker_without_vm_after_update_lets_no_request_pass() {
    // One instance and one listener: each more is looked at in a VM of its own for a moment, and
    // the update would be refused where workers have taken the last one.
    let bare = json!({
        "match": {"prefix": "/bare"},
        "route": {"cluster": "upstream"},
        "typed_per_filter_config": {GUARD: {"@type": SWITCH, "disabled": true}},
    });
    let listener = Listener::named("gateway").without_filter(PARTNERS_INSTANCE).route_first(bare);
    let listed = Discovered::listener(Setup::new().concurrency(4).listener(listener)).await;
    let gw = listed.running.gateway("gateway");
    for path in ["/bare", "/orders"] {
        assert_eq!(forged(&gw, path).send().await.status, 401, "{path}");
        let r = forged(&gw, path).bearer("good").send().await;
        assert_eq!(r.upstream_header("x-user-id").as_deref(), Some("248289761001"), "{r:?}");
    }

    // The same module with a section that says nothing: other code, so VMs of its own.
    let other = [&fs::read(module().unwrap()).unwrap()[..], &[0, 2, 1, b'x']].concat();
    let file = Watched::new();
    fs::write(file.file(), other).unwrap();
    // For two of the six VMs.
    gw.envoy.limit_more_addresses(24 * GIB);
    let mut listener = listed.resources[0].clone();
    let plugin = &mut filter(&mut listener, DEFAULT_INSTANCE)["typed_config"]["config"];
    plugin["vm_config"]["code"]["local"]["filename"] = json!(file.file());
    listed.replace(&[listener]);
    gw.envoy.wait_stat("listener_manager.listener_modified", |n| n == 1).await;
    assert_open(&gw, "/bare").await;
    assert_guarded(&gw, "/orders").await;
}

#[track_caller]
fn assert_refused(r: &Response) {
    assert_eq!((r.status, r.text().as_str()), (403, REFUSED), "{r:?}");
}

#[tokio::test]
async fn outcome_of_one_request_does_not_apply_to_another() {
    let redirects = json!({
        "match": {"path_separated_prefix": "/redirects"},
        "route": {"cluster": "upstream", "internal_redirect_policy": {"max_internal_redirects": 1}},
    });
    // The filter off and the guard on, as if its VM were not there.
    let left_out = json!({
        "match": {"path_separated_prefix": "/left-out"},
        "route": {"cluster": "upstream"},
        "typed_per_filter_config": {DEFAULT_INSTANCE: {"@type": SWITCH, "disabled": true}},
    });
    let listener = Listener::reference().route_first(left_out).route_first(redirects);
    let gw = Gateway::start(listener).await;
    let good = || gw.get("/orders").bearer("good");
    let other = || forged(&gw, "/left-out").bearer("good");

    // On one connection, after one that passed.
    let mut connection = gw.connect().await.unwrap();
    let r = connection.exchange(&good().to_bytes(), false).await.unwrap();
    assert_eq!(r.status, 200, "{r:?}");
    assert_refused(&connection.exchange(&other().to_bytes(), false).await.unwrap());
    let h2 = gw.h2().await.unwrap();
    let (passed, refused) = tokio::join!(h2.send(good()), h2.send(other()));
    assert_eq!(passed.status, 200, "{passed:?}");
    assert_refused(&refused);
    let r = other().header("content-type", "application/grpc").send_h2().await;
    assert_eq!((r.status, r.header("grpc-status").as_deref()), (200, Some("7")), "{r:?}");

    // In one request that Envoy itself leads elsewhere once it has passed.
    let mut to = Headers::default();
    to.push("location", "http://gateway.example/left-out");
    gw.upstream.answer_next(302, to);
    let came = gw.upstream.count();
    let r = gw.get("/redirects").bearer("good").send().await;
    assert_eq!(gw.upstream.count(), came + 1);
    assert_refused(&r);
}

/// A configuration behind the guard, and what the guard accepts besides `pass;`.
fn guarded(name: &str, more: Value, preflights: bool) -> Listener {
    Listener::named(name)
        .without_filter("envoy.filters.http.cors")
        .config(one(more))
        .guarded()
        .connection_manager(move |hcm| {
            let filters = hcm["http_filters"].as_array_mut().expect("a filter chain");
            let guard = filters.iter_mut().find(|filter| filter["name"] == GUARD).expect("it");
            let policies = guard["typed_config"]["rules"]["policies"].as_object_mut();
            let policy = policies.and_then(|all| all.values_mut().next()).expect("a policy");
            if preflights {
                let principals = policy["principals"].as_array_mut().expect("principals");
                let mut preflight = principals[0].clone();
                preflight["filter_state"]["string_match"]["prefix"] = json!("preflight;");
                principals.push(preflight);
            }
        })
}

#[tokio::test]
async fn guard_needs_outcome_and_preflight_principal() {
    let pass = json!({"preflight": "pass", "access_log_state": true});
    let running = Setup::new()
        .listener(guarded("told", pass.clone(), true))
        .listener(guarded("not_told", pass, false))
        .listener(guarded("silent", json!({}), true))
        .start()
        .await;
    let preflight = |gw: &Gateway| {
        let request = gw.request("OPTIONS", "/orders").header("origin", "https://app.example");
        request.header("access-control-request-method", "POST").send()
    };
    let told = running.gateway("told");
    assert_eq!(preflight(&told).await.status, 200);
    assert_eq!(told.get("/orders").send().await.status, 401);
    assert_eq!(told.get("/orders").bearer("good").send().await.status, 200);
    let not_told = running.gateway("not_told");
    assert_refused(&preflight(&not_told).await);
    assert_eq!(not_told.get("/orders").bearer("good").send().await.status, 200);
    assert_refused(&running.gateway("silent").get("/orders").bearer("good").send().await);
}
