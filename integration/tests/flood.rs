//! More tokens than the cache holds: the cache stays within its limits, and nothing else is stored.
//! `OIDC_TOKENS=1000000` makes the floods larger.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod base;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::one;
use integration::{Call, Gateway, Listener, Provider, Reply, Setup, kib};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// One flood at a time: they measure memory.
static TURN: Mutex<()> = Mutex::const_new(());

/// Requests under way at once.
const AT_ONCE: u64 = 32;

/// How many tokens the largest flood has.
fn tokens() -> u64 {
    let said = std::env::var("OIDC_TOKENS");
    said.map_or(60_000, |said| said.parse().expect("OIDC_TOKENS is a number"))
}

async fn start(cache: Value) -> Gateway {
    let config = one(json!({"cache": cache}));
    let listener = Listener::named("gw").config(config).edit(|listener| {
        // An entry per request would fill the rig's own memory.
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["access_log"] = json!([]);
    });
    let gw = Setup::new().concurrency(1).listener(listener).start().await.gateway("gw");
    gw.provider.forget().answer_with(|call: &Call| {
        let token = call.token().unwrap_or_default();
        Some(match token.strip_prefix("good") {
            Some(number) => Reply::json(200, &json!({"sub": number})),
            None => Provider::expired(),
        })
    });
    gw
}

/// Sends a request with each of these tokens, on connections that are kept; each must be answered
/// with this status.
async fn flood(gw: &Gateway, numbers: std::ops::Range<u64>, kind: &'static str, status: u16) {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (gw, next, end) = (gw.clone(), next.clone(), numbers.end);
        clients.spawn(async move {
            let mut connection = gw.connect().await.expect("a connection");
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return;
                }
                let request = gw.get("/orders").bearer(&format!("{kind}{number}")).to_bytes();
                let response = connection.exchange(&request, false).await.expect("a response");
                assert_eq!(response.status, status, "{kind}{number}");
                if status == 200 {
                    let user = response.upstream_header("x-user-id");
                    assert_eq!(user, Some(number.to_string()));
                }
                gw.upstream.forget();
            }
        });
    }
    clients.join_all().await;
}

/// The catalogue's row 133. Every token causes a call, so the limits are reached at a tenth of
/// them. The places of the shared data are all used only after about 100 000 tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_tokens_does_not_grow_memory() {
    let _turn = TURN.lock().await;
    let number = tokens();
    let most = (number / 30).min(10_000);
    let shared = number >= 1_000_000;
    let gw = start(json!({"max_entries": most, "ttl": "1h", "shared": shared})).await;
    flood(&gw, 0..number / 10, "good", 200).await;
    let early = kib(gw.envoy.id(), "VmRSS");
    flood(&gw, number / 10..number, "good", 200).await;
    let late = kib(gw.envoy.id(), "VmRSS");
    println!("resident after {} tokens {early} KiB, after {number} {late} KiB", number / 10);
    assert!(late < early + early / 20, "{early} KiB, then {late} KiB");
    assert_eq!(gw.provider.count() as u64, number);
    let kept = most - most.div_ceil(8);
    counted(&gw, "cache_entries", kept).await;
    counted(&gw, "cache.evicted", number - kept).await;
    gw.envoy.assert_no_vm_restart().await;
}

/// The catalogue's row 144.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_invalid_tokens_evicts_no_valid_one() {
    const GOOD: u64 = 1000;
    let _turn = TURN.lock().await;
    let bad = tokens() / 3;
    let gw = start(json!({"ttl": "1h", "negative_ttl": "5m"})).await;
    flood(&gw, 0..GOOD, "good", 200).await;
    flood(&gw, 0..bad, "bad", 401).await;
    assert_eq!(gw.provider.count() as u64, GOOD + bad);
    flood(&gw, 0..GOOD, "good", 200).await;
    assert_eq!(gw.provider.count() as u64, GOOD + bad, "good tokens were asked for again");
    counted(&gw, "cache.hit", GOOD).await;
    // The bytes or the entries of the eighth that refusals have, whichever are used up first.
    let kept = gw.envoy.stat("wasmcustom.oidc_cache_entries").await;
    assert!((GOOD + 500..=GOOD + 1250).contains(&kept), "{kept} entries");
    gw.envoy.assert_no_vm_restart().await;
}

/// The catalogue's row 167, and the rule that a client that leaves costs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_streams_leave_nothing() {
    const STREAMS: u64 = 80;
    let _turn = TURN.lock().await;
    let gw = start(json!({})).await;
    let reset = async |rounds: u64| {
        for round in 0..rounds {
            let connection = gw.h2().await.expect("a connection");
            let mut streams = Vec::new();
            for n in 0..STREAMS {
                // Every tenth token is one of its own, the others share a call.
                let token =
                    format!("good{}", if n % 10 == 0 { round * STREAMS + n } else { n % 3 });
                let request = gw.get("/reset").bearer(&token);
                streams.push(connection.stream(&request, true).await.expect("a stream"));
            }
            streams.into_iter().for_each(integration::Stream::reset);
            // One that stays until the resets have been seen.
            assert_eq!(connection.send(gw.get("/stays").bearer("good1")).await.status, 200);
            gw.upstream.forget();
        }
    };
    let rounds = tokens() / 3 / STREAMS;
    reset(rounds / 5).await;
    counted(&gw, "requests_waiting", 0).await;
    let early = kib(gw.envoy.id(), "VmRSS");
    reset(rounds).await;
    counted(&gw, "requests_waiting", 0).await;
    counted(&gw, "calls_in_flight", 0).await;
    let late = kib(gw.envoy.id(), "VmRSS");
    println!("resident before {early} KiB, after {} resets {late} KiB", rounds * STREAMS);
    assert!(late < early + early / 20, "{early} KiB, then {late} KiB");
    gw.envoy.assert_no_vm_restart().await;
}

async fn counted(gw: &Gateway, name: &str, number: u64) {
    gw.envoy.wait_stat(&format!("wasmcustom.oidc_{name}"), |n| n == number).await;
}
