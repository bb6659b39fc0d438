//! The purpose of `stale_if_error`: a silent site. Known users pass, whatever the kind of silence,
//! also while no call is made.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use integration::{Gateway, H2, Listener, Provider, Reply, Running, Setup};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::base::merged;
use crate::row::config;
use crate::{is_chosen, judged, say};

/// Requests that pass by what was known, one after the other.
const REQUESTS: usize = 10;

/// An Envoy with one instance that serves outdated verdicts.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) gateway: Gateway,
}

/// The result of a request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    /// The outcome, without the region.
    outcome: String,
}

impl Seen {
    /// Of a request that is not looked up in the access log.
    pub(crate) fn without_entry(status: u16) -> Seen {
        Seen { status, outcome: String::new() }
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.outcome == "pass;hit"
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.outcome)
    }
}

pub(crate) fn listener(name: &str, more: Value) -> Listener {
    let cache = json!({"ttl": "500ms", "negative_ttl": "0s", "stale_if_error": "1h"});
    Listener::named(name).config(config(merged(json!({"cache": cache}), more)))
}

impl World {
    pub(crate) async fn start(more: Value) -> World {
        World::made(more, |listener| listener).await
    }

    pub(crate) async fn made(more: Value, change: impl Fn(Listener) -> Listener) -> World {
        let setup = Setup::new().concurrency(1).listener(change(listener("gw", more)));
        World::of(&setup.start().await, "gw")
    }

    pub(crate) fn of(running: &Running, name: &str) -> World {
        let gateway = running.gateway(name);
        gateway.provider.answer(Reply::json(200, &json!({"sub": "somebody"})));
        World { gateway }
    }

    pub(crate) async fn ask(&self, token: &str) -> Seen {
        self.ask_over(None, token).await
    }

    /// A request over this connection, or one of its own: a connection stays with its worker.
    pub(crate) async fn ask_over(&self, connection: Option<&H2>, token: &str) -> Seen {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let path = format!("/stale/{}/", NEXT.fetch_add(1, Ordering::Relaxed));
        let request = self.gateway.get(&path).bearer(token);
        let response = match connection {
            Some(connection) => connection.send(request).await,
            None => request.send().await,
        };
        let entry = self.gateway.envoy.access_entry(&format!("\"path\":\"{path}\"")).await;
        let outcome = entry["outcome"].as_str().unwrap_or_default();
        let outcome = outcome.trim_end_matches(";default").to_owned();
        Seen { status: response.status, outcome }
    }

    /// Sends requests until the token is known: on a busy machine an answer that took too long is
    /// not cached.
    pub(crate) async fn known(&self, token: &str) {
        let asking = async { while !self.ask(token).await.is_hit() {} };
        let in_time = tokio::time::timeout(integration::DEADLINE, asking).await.is_ok();
        assert!(in_time, "{token} does not become known");
    }

    /// The first request that does not pass by a verdict that is still good.
    pub(crate) async fn until_no_hit(&self, token: &str) -> Seen {
        loop {
            let seen = self.ask(token).await;
            if !seen.is_hit() {
                return seen;
            }
        }
    }

    /// Waits until the sum of these counters is this large.
    pub(crate) async fn counted(&self, names: &[&str], number: u64) {
        let mut look = tokio::time::interval(std::time::Duration::from_millis(20));
        let counting = async {
            loop {
                look.tick().await;
                let stats = self.gateway.envoy.stats().await;
                let of = |name: &&str| stats.get(&format!("wasmcustom.oidc_{name}")).copied();
                if names.iter().filter_map(of).sum::<u64>() >= number {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(integration::DEADLINE, counting).await.is_ok();
        assert!(in_time, "{names:?} do not come to {number}");
    }

    pub(crate) async fn well(&self) {
        let envoy = &self.gateway.envoy;
        envoy.wait_stat("wasmcustom.oidc_requests_waiting", |n| n == 0).await;
        envoy.assert_no_vm_restart().await;
    }
}

struct Outage {
    name: &'static str,
    says: Option<fn() -> Reply>,
    /// Whether its breaker opens after a while, because calls waited for it.
    left_alone: bool,
}

const OUTAGES: &[Outage] = &[
    Outage { name: "silence", says: Some(Reply::silence), left_alone: true },
    Outage { name: "refused", says: None, left_alone: false },
    Outage { name: "reset", says: Some(Reply::reset), left_alone: false },
    Outage { name: "502", says: Some(|| Reply::status(502)), left_alone: false },
    Outage { name: "503", says: Some(|| Reply::status(503)), left_alone: false },
    Outage { name: "504", says: Some(|| Reply::status(504)), left_alone: false },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_users_pass_while_the_site_is_silent() {
    let chosen = || OUTAGES.iter().filter(|outage| is_chosen(outage.name));
    let keys = json!({"timeout": "1s", "breaker": {"failures": 3, "open_for": "1s"}});
    let setup = Setup::new().concurrency(1);
    let listeners = chosen().map(|outage| listener(outage.name, keys.clone()));
    let running = listeners.fold(setup, Setup::listener).start().await;
    let mut playing = JoinSet::new();
    for outage in chosen() {
        let world = World::of(&running, outage.name);
        playing.spawn(async move { outage.bridged(&world).await });
    }
    let wrong: Vec<String> = playing.join_all().await.into_iter().flatten().collect();
    running.envoy.assert_no_vm_restart().await;
    judged(running, &wrong);
}

impl Outage {
    async fn bridged(&self, world: &World) -> Vec<String> {
        let provider = &world.gateway.provider;
        world.known("known").await;
        match self.says {
            Some(says) => drop(provider.answer(says())),
            None => provider.down().await,
        }
        // It answered a moment ago, so at first no outdated verdict serves.
        let mut before = 0;
        let bridged = async {
            while world.ask("known").await.outcome != "pass;stale" {
                before += 1;
            }
        };
        if tokio::time::timeout(integration::DEADLINE, bridged).await.is_err() {
            return vec![format!("{}: nobody is served stale", self.name)];
        }
        let asked = |provider: &Provider| provider.calls_with("known").len();
        let calls = asked(provider);
        let mut stale = 0;
        for _ in 0..REQUESTS {
            let seen = world.ask("known").await;
            stale += usize::from(seen.status == 200 && seen.outcome == "pass;stale");
        }
        let calls = asked(provider) - calls;
        let unknown = world.ask("unknown").await.status;
        say(&format!(
            "outage, {}: after {before} requests {stale} of {REQUESTS} pass as before, with \
             {calls} calls; a token that was never validated gets {unknown}",
            self.name
        ));
        let mut wrong = Vec::new();
        if stale < REQUESTS || unknown == 200 {
            wrong.push(format!("{}: {stale} pass, the unknown gets {unknown}", self.name));
        }
        if self.left_alone && calls >= REQUESTS {
            wrong.push(format!("{}: its breaker never opens: {calls} calls", self.name));
        }
        wrong
    }
}
