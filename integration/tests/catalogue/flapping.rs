//! A provider that goes down and comes back every second: no answer is lost or doubled, the
//! counters equal what the clients saw, and requests pass once the provider is back.
//!
//! The catalogue requires five minutes of it. This takes about six seconds, three times down and
//! up, because the filter keeps no state from one time to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use integration::Gateway;

use crate::crowd::{HANGS, Tally, outcomes, settled};
use crate::row::{CANARY_TOKEN, good};
use crate::run::Catalogue;
use crate::worlds;

/// How often the provider comes and goes.
const FLAP: Duration = Duration::from_secs(1);

/// Sends `requests` while the provider is up for a second and down for a second; all that is wrong.
pub async fn flapping(catalogue: &Catalogue, requests: u64) -> Vec<String> {
    let gateway = catalogue.envoy.gateway(&worlds::listener_name(worlds::CROWD, false));
    gateway.upstream.forget();
    gateway.provider.forget().answer_with(|_| Some(good()));
    let before = outcomes(catalogue).await;
    let next = Arc::new(AtomicU64::new(0));
    let flaps = {
        let (gateway, next) = (gateway.clone(), next.clone());
        async move {
            let mut tally = Tally::default();
            let provider = &gateway.provider;
            let mut clock = tokio::time::interval(FLAP);
            clock.tick().await;
            while next.load(Ordering::Relaxed) < requests {
                clock.tick().await;
                provider.down().await;
                clock.tick().await;
                provider.up().expect("the provider's port is its own");
                recovered(&gateway, &mut tally).await;
            }
            tally
        }
    };
    const CLIENTS: u64 = 8;
    // Spread over six seconds, so that the provider goes and comes three times.
    let pace = Duration::from_secs(6) / u32::try_from(requests / CLIENTS).unwrap_or(1);
    let clients = (0..CLIENTS).map(|_| {
        let (gateway, next) = (gateway.clone(), next.clone());
        tokio::spawn(async move {
            let mut tally = Tally::default();
            let mut clock = tokio::time::interval(pace);
            loop {
                clock.tick().await;
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return tally;
                }
                // A token of its own: equal tokens would share a call or a cached verdict.
                let token = format!("{CANARY_TOKEN}.{number}");
                let request = gateway.get(&format!("/flapping/{number}")).bearer(&token);
                match request.deadline(HANGS).try_send().await {
                    Ok(response) => {
                        if !count(&mut tally, response.status) {
                            tally.problems.push(format!("request {number}: {response:?}"));
                        }
                    }
                    Err(e) => tally.problems.push(format!("request {number}: no answer: {e}")),
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut tally = flaps.await;
    for client in clients {
        match client.await {
            Ok(one) => tally.add(one),
            Err(e) => tally.problems.push(format!("a client ended early: {e}")),
        }
    }
    let mut problems = settled(catalogue).await;
    problems.extend(tally.compare(&before, &outcomes(catalogue).await));
    // While the provider is away a client gets few answers: each takes the pauses of its repeats.
    for (word, least) in [("pass", requests / 10), ("unavailable", CLIENTS)] {
        if tally.answered.get(word).is_none_or(|n| *n < least) {
            problems.push(format!("the provider did not flap: {:?}", tally.answered));
        }
    }
    problems.extend(tally.problems);
    problems
}

/// Counts an answer; returns whether it is one of the two expected ones.
fn count(tally: &mut Tally, status: u16) -> bool {
    match status {
        200 => tally.count("pass"),
        401 => tally.count("unavailable"),
        _ => return false,
    }
    true
}

/// The provider is back: first some requests pass, then all. The native tests and
/// `failover/breaker.rs` show how soon; here are many clients on a busy machine.
async fn recovered(gateway: &Gateway, tally: &mut Tally) {
    let back = Instant::now();
    let mut passed = 0;
    while passed < 2 {
        let never = back.elapsed() > HANGS;
        match gateway.get("/flapping/up").bearer(CANARY_TOKEN).try_send().await {
            Ok(response) => {
                let known = count(tally, response.status);
                if !known || response.status != 200 && (never || passed > 0) {
                    tally.problems.push(format!("the provider is back, but: {response:?}"));
                    return;
                }
                passed += usize::from(response.status == 200);
            }
            Err(e) => {
                tally.problems.push(format!("the provider is back, but no answer: {e}"));
                return;
            }
        }
    }
}
