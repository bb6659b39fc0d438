//! A revoked token never passes, whatever other callers do and whatever delays the provider's
//! refusal: `stale_if_error` is for outages alone.

use std::collections::BTreeMap;
use std::time::Duration;

use integration::{Gate, H2, Provider, Reply, Setup};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use crate::row::config;
use crate::stale::{Seen, World, listener};
use crate::{judged, say};

const TOKEN: &str = "revoked";
/// More than may wait for one call.
const CROWD: usize = 4300;
/// Streams on a connection, as the reference configuration allows.
const STREAMS: usize = 100;

/// No request passed by an outdated verdict.
fn never_passed(what: &str, seen: &[Seen]) {
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    seen.iter().for_each(|seen| *told.entry(seen.to_string()).or_default() += 1);
    say(&format!("revoked, {what}: {told:?}"));
    let passed = seen.iter().filter(|seen| seen.status == 200).count();
    assert_eq!(passed, 0, "{what}: {passed} of {} passed", seen.len());
}

impl World {
    /// A request with this token whose call is under way.
    async fn asked_again(&self, token: &'static str) -> JoinHandle<Seen> {
        let calls = self.gateway.provider.calls_with(token).len();
        loop {
            let world = self.clone();
            let mut asking = tokio::spawn(async move { world.ask(token).await });
            let asked = async {
                for n in 1.. {
                    self.gateway.provider.wait_calls(n).await;
                    if self.gateway.provider.calls_with(token).len() > calls {
                        return;
                    }
                }
            };
            tokio::select! {
                () = asked => return asking,
                seen = &mut asking => assert!(seen.expect("a request").is_hit()),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd_does_not_let_a_revoked_token_pass() {
    let world = World::start(json!({"timeout": "20s"})).await;
    world.known(TOKEN).await;
    let (gw, gate) = (&world.gateway, Gate::closed());
    gw.provider.answer_token(TOKEN, Provider::expired().held_by(&gate));
    let first = world.asked_again(TOKEN).await;
    let before = gw.envoy.stat("http.gw.downstream_rq_total").await;
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD / STREAMS {
        let connection: H2 = gw.h2().await.expect("a connection");
        for _ in 0..STREAMS {
            let (connection, request) = (connection.clone(), gw.get("/crowd").bearer(TOKEN));
            crowd.spawn(async move { connection.send(request).await });
        }
    }
    let all = before + CROWD as u64;
    gw.envoy.wait_stat("http.gw.downstream_rq_total", |n| n == all).await;
    gate.open();
    let crowd = crowd.join_all().await;
    let mut seen: Vec<Seen> = crowd.iter().map(|r| Seen::without_entry(r.status)).collect();
    seen.push(first.await.expect("a request"));
    never_passed("4 300 at once", &seen);
    world.well().await;
}

/// Two calls at a time: slow calls for invalid tokens leave the half that is reserved for known
/// tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_tokens_on_all_calls_do_not_let_a_revoked_token_pass() {
    let world = World::start(json!({"timeout": "20s", "max_in_flight": 2})).await;
    world.known(TOKEN).await;
    let provider = &world.gateway.provider;
    provider.answer_token(TOKEN, Provider::expired());
    let mut junk = JoinSet::new();
    for token in ["junk-1", "junk-2"] {
        provider.answer_token(token, Reply::silence());
        let world = world.clone();
        junk.spawn(async move { world.ask(token).await });
    }
    // They wait, or have been refused for want of room.
    world.counted(&["requests_waiting", "calls.refused_by_cap"], 2).await;
    let seen = world.until_no_hit(TOKEN).await;
    never_passed("two calls that junk takes", std::slice::from_ref(&seen));
    assert_eq!(seen.status, 401, "{seen}");
}

/// Slow calls of known users leave no call for others: that is no outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_on_all_calls_do_not_let_a_revoked_token_pass() {
    let world = World::start(json!({"timeout": "20s", "max_in_flight": 2})).await;
    let provider = &world.gateway.provider;
    for token in [TOKEN, "slow-1", "slow-2"] {
        world.known(token).await;
    }
    provider.answer_token(TOKEN, Provider::expired());
    let mut slow = Vec::new();
    for token in ["slow-1", "slow-2"] {
        provider.answer_token(token, Reply::silence());
        slow.push(world.asked_again(token).await);
    }
    never_passed("two calls that good users take", &[world.until_no_hit(TOKEN).await]);
    slow.iter().for_each(JoinHandle::abort);
}

/// It answers this token so, and another with a 200 meanwhile: that is no outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_about_one_token_is_no_outage() {
    let keys = json!({"timeout": "20s"});
    let listeners = ALONE.iter().map(|(name, _)| listener(name, keys.clone()));
    let setup = listeners.fold(Setup::new().concurrency(1), Setup::listener);
    let running = setup.start().await;
    let mut asking = JoinSet::new();
    for (name, says) in ALONE {
        let world = World::of(&running, name);
        asking.spawn(async move {
            world.known(TOKEN).await;
            let gate = Gate::closed();
            world.gateway.provider.answer_token(TOKEN, says().held_by(&gate));
            let asking = world.asked_again(TOKEN).await;
            assert_eq!(world.ask("other").await.status, 200, "{name}");
            gate.open();
            (*name, asking.await.expect("a request"))
        });
    }
    let mut seen = asking.join_all().await;
    seen.sort_by_key(|(name, _)| *name);
    let told: Vec<String> = seen.iter().map(|(name, seen)| format!("{name}: {seen}")).collect();
    say(&format!("revoked, while others are answered: {told:?}"));
    let through = seen.iter().filter(|(_, seen)| seen.status == 200);
    let through: Vec<_> = through.map(|(name, seen)| format!("{name}: {seen}")).collect();
    judged(running, &through);
}

/// The other instance has a timeout of one second, this one 20: the end of that call is no outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_a_shorter_timeout_does_not_let_a_revoked_token_pass() {
    let cache = json!({"ttl": "1500ms", "negative_ttl": "0s", "stale_if_error": "1h"});
    let hasty = config(json!({"timeout": "1s", "cache": {"ttl": "1500ms"}}));
    let world = World::made(json!({"timeout": "20s", "cache": cache}), |listener| {
        listener.instance("hasty", "/hasty", hasty.clone())
    });
    let world = world.await;
    let gw = &world.gateway;
    let joined = async || gw.envoy.stat("wasmcustom.oidc_calls.joined").await;
    // A request that comes too late to join shows nothing: then the next token is tried.
    for token in (1..).map(|n| format!("revoked-{n}")) {
        world.known(&token).await;
        let (before, gate) = (joined().await, Gate::closed());
        gw.provider.answer_token(&token, Provider::expired().held_by(&gate));
        // Until it is no longer a hit: then the instance with the short timeout makes a call, which
        // ends before the answer.
        while gw.get("/hasty/").bearer(&token).send().await.status == 200 {}
        let calls = gw.provider.calls().len();
        let theirs = tokio::spawn(gw.get("/hasty/").bearer(&token).send());
        gw.provider.wait_calls(calls + 1).await;
        let (own, asked) = (world.clone(), token.clone());
        let own = tokio::spawn(async move { own.ask(&asked).await });
        assert_eq!(theirs.await.expect("a request").status, 503, "it is given up");
        gw.envoy.wait_stat("wasmcustom.oidc_requests_waiting", |n| n <= 1).await;
        let has_joined = joined().await > before;
        gate.open();
        let told = own.await.expect("a request");
        never_passed("beside an impatient instance", &[told]);
        if has_joined {
            return;
        }
    }
}

/// The same, but another worker gets an answer about the other token and tells this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_about_one_token_is_no_outage_on_another_worker() {
    // It is a hit for longer than a second: by then its own good answer shows nothing any more.
    let cache = json!({"ttl": "1500ms", "negative_ttl": "0s", "stale_if_error": "1h"});
    let keys = json!({"timeout": "20s", "cache": cache});
    let listeners = ALONE.iter().map(|(name, _)| listener(name, keys.clone()));
    let setup = listeners.fold(Setup::new().concurrency(2), Setup::listener);
    let running = setup.start().await;
    let mut told = Vec::new();
    let mut through = Vec::new();
    for (name, says) in ALONE {
        let world = World::of(&running, name);
        let [here, there] = world.two_workers().await;
        let known = async { while !world.ask_over(Some(&here), TOKEN).await.is_hit() {} };
        tokio::time::timeout(integration::DEADLINE, known).await.expect("it becomes known");
        let gate = Gate::closed();
        let provider = &world.gateway.provider;
        provider.answer_token(TOKEN, says().held_by(&gate));
        let calls = provider.calls_with(TOKEN).len();
        let asking = async {
            loop {
                let seen = world.ask_over(Some(&here), TOKEN).await;
                if !seen.is_hit() {
                    return seen;
                }
            }
        };
        let other = async {
            for n in 1.. {
                provider.wait_calls(n).await;
                if provider.calls_with(TOKEN).len() > calls {
                    break;
                }
            }
            assert_eq!(world.ask_over(Some(&there), "other").await.status, 200, "{name}");
            gate.open();
        };
        let (seen, ()) = tokio::join!(asking, other);
        if seen.status == 200 {
            through.push(format!("{name}: {seen}"));
        }
        told.push(format!("{name}: {seen}"));
    }
    say(&format!("revoked, while another worker's are answered: {told:?}"));
    judged(running, &through);
}

impl World {
    /// Two connections with a worker each: a call of the one worker is not joined on the other.
    async fn two_workers(&self) -> [H2; 2] {
        let gw = &self.gateway;
        let first: H2 = gw.h2().await.expect("a connection");
        for n in 1.. {
            let (mark, gate) = (format!("mark-{n}"), Gate::closed());
            gw.provider.answer_token(&mark, Reply::json(200, &json!({"sub": "m"})).held_by(&gate));
            let second: H2 = gw.h2().await.expect("a connection");
            let before = gw.envoy.stat("wasmcustom.oidc_calls.joined").await;
            let mut asking = JoinSet::new();
            for connection in [&first, &second] {
                let (connection, request) = (connection.clone(), gw.get("/mark").bearer(&mark));
                asking.spawn(async move { connection.send(request).await });
            }
            let mut look = tokio::time::interval(Duration::from_millis(20));
            let apart = loop {
                look.tick().await;
                if gw.provider.calls_with(&mark).len() == 2 {
                    break true;
                }
                if gw.envoy.stat("wasmcustom.oidc_calls.joined").await > before {
                    break false;
                }
            };
            gate.open();
            asking.join_all().await;
            if apart {
                return [first, second];
            }
        }
        unreachable!("a connection comes to each worker in time")
    }
}

type Says = fn() -> Reply;

const ALONE: &[(&str, Says)] = &[
    ("429", || Reply::status(429).header("retry-after", "3600")),
    ("500", || Reply::text(500, "out of order")),
    ("502", || Reply::text(502, "bad gateway")),
    ("503", || Reply::text(503, "out of order")),
    ("503_retry_after", || Reply::status(503).header("retry-after", "10")),
    ("504", || Reply::text(504, "too late")),
    ("reset", Reply::reset),
    ("garbage", || Reply::raw("garbage\r\n\r\n")),
];

/// An instance that gives the site 50 ms gets no answer from it, and leaves it alone. That is its own
/// affair.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_instances_breaker_does_not_let_a_revoked_token_pass() {
    let hasty = config(json!({"timeout": "50ms"}));
    let world = World::made(json!({"timeout": "20s"}), |listener| {
        listener.instance("hasty", "/hasty", hasty.clone())
    });
    let world = world.await;
    world.known(TOKEN).await;
    let gw = &world.gateway;
    gw.provider.answer_with(|_| Some(Provider::expired().after(Duration::from_millis(150))));
    for n in 0..10 {
        let late = gw.get("/hasty/").bearer(&format!("late-{n}")).send().await;
        assert_eq!(late.status, 503, "{late:?}");
    }
    let seen = world.until_no_hit(TOKEN).await;
    never_passed("another instance's breaker", std::slice::from_ref(&seen));
    assert_eq!(seen.status, 401);
}
