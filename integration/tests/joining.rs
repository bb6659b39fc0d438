//! Concurrent requests with the same key share one call to the provider, on the real Envoy.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base::one;
use integration::{Gate, Listener, PARTNERS_INSTANCE, Provider, Reply, Response, Running, Setup};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const WAITING: &str = "wasmcustom.oidc_requests_waiting";
const CALLS: &str = "wasmcustom.oidc_calls_in_flight";

/// An Envoy of its own: its gauges are this test's alone. A thousand connections at once take longer
/// to make than the reference allows for one, where the machine has other things to do.
async fn start(workers: u32, config: Value) -> Running {
    Setup::new()
        .concurrency(workers)
        .listener(Listener::named("gw").config(one(config)))
        .edit(|bootstrap| {
            for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().unwrap() {
                cluster["connect_timeout"] = json!("20s");
            }
        })
        .start()
        .await
}

/// This many requests with this token, each on its own connection and with its own mark.
fn crowd(running: &Running, token: &str, number: usize) -> JoinSet<(usize, Response)> {
    let gw = running.gateway("gw");
    let mut requests = JoinSet::new();
    for n in 0..number {
        let request = gw.get(&format!("/orders/{n}")).bearer(token);
        requests.spawn(async move { (n, request.send().await) });
    }
    requests
}

/// The number of each status; every passed request reached the upstream with the user's name.
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
async fn thousand_requests_with_one_token_share_one_call() {
    let good = || Reply::json(200, &json!({"sub": "alice"}));
    for (cache, reply, status) in [
        (json!({}), good(), 200),
        (json!({"cache": {}}), good(), 200),
        (json!({"cache": {}}), Provider::expired(), 401),
        (json!({"cache": {}}), Reply::text(500, "out of order"), 500),
    ] {
        let running = start(1, cache.clone()).await;
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
        let kept = u64::from(cache != json!({}) && status != 500);
        assert_eq!(running.envoy.stat("wasmcustom.oidc_cache_entries").await, kept);
        nothing_is_left(&running).await;
    }
}

#[tokio::test]
async fn each_worker_makes_at_most_one_call() {
    let good = || Reply::json(200, &json!({"sub": "alice"}));
    for (workers, reply, status) in [
        (2, good(), 200),
        (4, good(), 200),
        (2, Provider::expired(), 401),
        (2, Reply::text(500, "out of order"), 500),
    ] {
        let running = start(workers, json!({"cache": {}})).await;
        let gw = running.gateway("gw");
        let gate = Gate::closed();
        gw.provider.answer(reply.held_by(&gate));
        let requests = crowd(&running, "token", 1000);
        running.envoy.wait_stat(WAITING, |n| n == 1000).await;
        let calls = running.envoy.stat(CALLS).await;
        assert!((1..=u64::from(workers)).contains(&calls), "{calls} calls by {workers} workers");
        gate.open();
        assert_eq!(statuses(requests).await, BTreeMap::from([(status, 1000)]));
        assert_eq!(gw.provider.count() as u64, calls);
        nothing_is_left(&running).await;
    }
}

/// The catalogue's rows 154 and 155. `row_154_no_request_waits_for_the_timer` of the catalogue
/// shows that no request waits for the module's timer; here the time is only printed.
#[tokio::test]
async fn first_client_of_a_shared_call_may_leave() {
    let running = start(1, json!({})).await;
    let gw = running.gateway("gw");
    let mut slowest = Vec::new();
    for attempt in 0..5 {
        let (gate, token) = (Gate::closed(), format!("token{attempt}"));
        gw.provider.answer(Reply::json(200, &json!({"sub": "alice"})).held_by(&gate));
        let first = crowd(&running, &token, 1);
        running.envoy.wait_stat(WAITING, |n| n == 1).await;
        let others = crowd(&running, &token, 10);
        let requests = crowd(&running, &token, 100);
        running.envoy.wait_stat(WAITING, |n| n == 111).await;
        drop((first, others));
        running.envoy.wait_stat(WAITING, |n| n == 100).await;
        let opened = Instant::now();
        gate.open();
        assert_eq!(statuses(requests).await, BTreeMap::from([(200, 100)]));
        slowest.push(opened.elapsed());
        assert_eq!(gw.provider.calls_with(&token).len(), 1);
        nothing_is_left(&running).await;
    }
    println!("from the provider's answer to the last of 100 responses: {slowest:?}");
    assert_eq!(running.envoy.stat("wasmcustom.oidc_outcome.client_gone").await, 55);
}

/// The catalogue's row 165.
#[tokio::test]
async fn connection_reset_with_eighty_waiting_streams() {
    let running = start(1, json!({})).await;
    let gw = running.gateway("gw");
    for round in 0..20 {
        let (gate, token) = (Gate::closed(), format!("token{round}"));
        gw.provider.answer(Reply::json(200, &json!({"sub": "alice"})).held_by(&gate));
        let connection = gw.h2().await.expect("a connection");
        let mut streams = Vec::new();
        for n in 0..80 {
            let request = gw.get(&format!("/streams/{n}")).bearer(&token);
            streams.push(connection.stream(&request, true).await.expect("a stream"));
        }
        running.envoy.wait_stat(WAITING, |n| n == 80).await;
        let requests = crowd(&running, &token, 50);
        running.envoy.wait_stat(WAITING, |n| n == 130).await;
        // Every second time the answer is on its way when the connection goes.
        if round % 2 == 0 {
            connection.vanish();
            running.envoy.wait_stat(WAITING, |n| n == 50).await;
            gate.open();
        } else {
            gate.open();
            connection.vanish();
        }
        drop(streams);
        assert_eq!(statuses(requests).await, BTreeMap::from([(200, 50)]));
        assert_eq!(gw.provider.calls_with(&token).len(), 1);
        nothing_is_left(&running).await;
    }
    let stats = running.envoy.stats().await;
    let outcomes = stats.iter().filter(|(name, _)| name.contains("oidc_outcome."));
    assert_eq!(outcomes.map(|(_, count)| count).sum::<u64>(), 20 * 130);
}

/// The catalogue's row 158: two filter instances in one VM, one token, one endpoint.
#[tokio::test]
async fn each_instance_sets_its_own_headers() {
    let config = |name: &str, path: &str, cache: Value| {
        let inject = json!({"inject_headers": {name: path}});
        base::merged(one(inject), cache)
    };
    for cache in [json!({}), json!({"cache": {}})] {
        let listener = Listener::named("gw")
            .config(config("X-User-Id", "$.sub", cache.clone()))
            .config_of(PARTNERS_INSTANCE, config("X-Mail", "$.email", cache.clone()));
        let running = Setup::new().concurrency(1).listener(listener).start().await;
        let gw = running.gateway("gw");
        let gate = Gate::closed();
        let body = json!({"sub": "alice", "email": "a@example.com"});
        gw.provider.answer(Reply::json(200, &body).held_by(&gate));
        let send = |target: &str| tokio::spawn(gw.get(target).bearer("token").send());
        let check = async |target: &str, expected: [Option<&str>; 2]| {
            let response = send(target).await.expect("a response");
            let found = ["x-user-id", "x-mail"].map(|name| response.upstream_header(name));
            assert_eq!(found.each_ref().map(Option::as_deref), expected, "{target}");
        };
        let joined = [send("/orders"), send("/partners/orders")];
        running.envoy.wait_stat(WAITING, |n| n == 2).await;
        gate.open();
        let expected = [("x-user-id", "alice"), ("x-mail", "a@example.com")];
        for (response, (name, value)) in joined.into_iter().zip(expected) {
            let response = response.await.expect("a response");
            assert_eq!(response.upstream_header(name).as_deref(), Some(value));
        }
        assert_eq!(gw.provider.count(), 1);
        check("/orders", [Some("alice"), None]).await;
        check("/partners/orders", [None, Some("a@example.com")]).await;
        let calls = if cache == json!({}) { 3 } else { 1 };
        assert_eq!(gw.provider.count(), calls);
    }
}

/// Ten thousand requests for few tokens; one in three clients leaves at random.
#[tokio::test]
async fn crowd_that_leaves_leaves_nothing() {
    let running = start(2, json!({"cache": {"ttl": "20ms", "negative_ttl": "20ms"}})).await;
    let gw = running.gateway("gw");
    gw.provider.answer_with(|call| {
        let number = call.token().and_then(|t| t.parse::<u64>().ok()).unwrap_or_default();
        let reply = match number % 4 {
            0 => Provider::expired(),
            1 => Reply::text(500, ""),
            _ => Reply::json(200, &json!({"sub": "alice"})),
        };
        Some(reply)
    });
    let mut state = 0x0d1c_u64;
    let mut random = move |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut answered = 0;
    for _ in 0..100 {
        let mut requests = JoinSet::new();
        for _ in 0..100 {
            let token = random(16);
            let request = gw.get("/orders").bearer(&token.to_string());
            let leaves = (random(3) == 0).then(|| Duration::from_micros(random(20_000)));
            requests.spawn(async move {
                match leaves {
                    None => Some((token, request.send().await)),
                    Some(patience) => {
                        let _ = tokio::time::timeout(patience, request.send()).await;
                        None
                    }
                }
            });
        }
        for (token, response) in requests.join_all().await.into_iter().flatten() {
            let expected = [401, 500, 200, 200][(token % 4) as usize];
            assert_eq!(response.status, expected, "token {token}");
            answered += 1;
        }
    }
    assert!(answered > 6000, "{answered}");
    nothing_is_left(&running).await;
}

/// The catalogue's row 156. Envoy's own limits on connections are lifted, so that the filter's
/// limit is reached.
#[tokio::test]
async fn calls_beyond_the_limit_are_refused_at_once() {
    const MOST: usize = 1024;
    let listener = Listener::named("gw").config(one(json!({"timeout": "20s"}))).http2_upstream();
    let setup = Setup::new().concurrency(1).listener(listener).edit(|bootstrap| {
        for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters") {
            let limits = json!({"max_connections": 9999, "max_pending_requests": 9999,
                                "max_requests": 9999});
            cluster["circuit_breakers"] = json!({"thresholds": [limits]});
        }
    });
    let running = setup.start().await;
    let gw = running.gateway("gw");
    let gate = Gate::closed();
    gw.provider.answer(Reply::json(200, &json!({"sub": "alice"})).held_by(&gate));
    let mut held = JoinSet::new();
    for n in 0..MOST {
        let request = gw.get(&format!("/orders/{n}")).bearer(&format!("token{n}"));
        held.spawn(async move { (n, request.send().await) });
    }
    running.envoy.wait_stat(CALLS, |n| n == MOST as u64).await;
    for n in MOST..MOST + 50 {
        let response = gw.get("/orders").bearer(&format!("token{n}")).send().await;
        assert_eq!(response.status, 401);
        assert!(response.text().contains("TargetEndpointError"), "{response:?}");
    }
    let entry = running.envoy.access_entry("too_many_waiting").await;
    assert_eq!(entry["details"], "oidc_token_connector{unavailable:too_many_waiting}");
    running.envoy.wait_stat("wasmcustom.oidc_calls.refused_by_cap", |n| n == 50).await;
    // A request for a call under way may wait.
    let joined = crowd(&running, "token7", 1);
    running.envoy.wait_stat(WAITING, |n| n == MOST as u64 + 1).await;
    gate.open();
    assert_eq!(statuses(held).await, BTreeMap::from([(200, MOST)]));
    assert_eq!(statuses(joined).await, BTreeMap::from([(200, 1)]));
    assert_eq!(gw.provider.count(), MOST);
    nothing_is_left(&running).await;
}
