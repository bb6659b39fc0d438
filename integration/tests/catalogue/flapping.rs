//! A provider that comes and goes every second: no answer is late, lost or doubled, and the counters
//! say exactly what the clients saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::crowd::{LATEST, Tally, outcomes, settled};
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
        let (provider, next) = (gateway.provider.clone(), next.clone());
        async move {
            let mut clock = tokio::time::interval(FLAP);
            clock.tick().await;
            while next.load(Ordering::Relaxed) < requests {
                clock.tick().await;
                provider.down().await;
                clock.tick().await;
                provider.up().expect("the provider's port is its own");
            }
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
                let request = gateway.get(&format!("/flapping/{number}")).bearer(CANARY_TOKEN);
                match request.deadline(LATEST * 4).try_send().await {
                    Ok(response) => {
                        if response.elapsed > LATEST {
                            tally.problems.push(format!("request {number}: late: {response:?}"));
                        }
                        match response.status {
                            200 => tally.count("pass"),
                            401 => tally.count("unavailable"),
                            _ => tally.problems.push(format!("request {number}: {response:?}")),
                        }
                    }
                    Err(e) => tally.problems.push(format!("request {number}: no answer: {e}")),
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    flaps.await;
    let mut tally = Tally::default();
    for client in clients {
        match client.await {
            Ok(one) => tally.add(one),
            Err(e) => tally.problems.push(format!("a client ended early: {e}")),
        }
    }
    let mut problems = settled(catalogue).await;
    problems.extend(tally.compare(&before, &outcomes(catalogue).await));
    for word in ["pass", "unavailable"] {
        if tally.answered.get(word).is_none_or(|n| *n < requests / 10) {
            problems.push(format!("the provider did not flap: {:?}", tally.answered));
        }
    }
    problems.extend(tally.problems);
    problems
}
