//! `cache.stale_if_error`: what was known serves on while nobody answers.

use std::time::{Duration, Instant};

use integration::{Listener, Provider, Reply, Setup};
use serde_json::json;

use crate::World;
use crate::base::one;

const STALE: &str = "pass;stale;default";

/// A site that has just vouched for `t` and answers no more.
async fn outage(cache: serde_json::Value) -> (World, Instant) {
    let world = World::of(1, json!({"cache": cache})).await;
    world.passes("t").await;
    let known = Instant::now();
    world.sites[0].down().await;
    (world, known)
}

/// As long as it is fresh it is a hit, and within the window it is stale; beyond it is nothing.
#[tokio::test]
async fn an_outdated_verdict_serves_until_the_window_ends() {
    let (world, known) = outage(json!({"ttl": "500ms", "stale_if_error": "1s"})).await;
    let (mut hits, mut stale) = (0, 0);
    loop {
        let since = known.elapsed();
        let (response, line) = world.ask("t").await;
        match (response.status, line["outcome"].as_str()) {
            (200, Some("pass;hit;default")) => {
                assert!(since < Duration::from_millis(500), "fresh after {since:?}");
                assert_eq!(stale, 0);
                hits += 1;
            }
            (200, Some(STALE)) => {
                assert!(since < Duration::from_millis(1500), "served after {since:?}");
                assert_eq!(response.upstream_header("x-user-id").as_deref(), Some("a"));
                stale += 1;
            }
            (503, Some("unavailable;none;default" | "unavailable;asked;default")) => break,
            other => panic!("{other:?} {line}"),
        }
    }
    println!("an outage: {hits} hits, {stale} stale");
    assert!(stale > 5, "{stale}");
    // Most of them with the site shut, for that takes five failures.
    world.counted("breaker.opened", 1).await;
    world.counted("cache.stale", stale).await;
    // Whoever was never vouched for is not let pass.
    assert_eq!(world.ask("unknown").await.0.status, 503);
    world.nothing_is_left().await;
}

/// Waits for the first request that is served stale.
async fn until_stale(world: &World) {
    while world.ask("t").await.1["outcome"] != STALE {}
}

#[tokio::test]
async fn each_way_of_giving_no_verdict_is_bridged_and_a_refusal_ends_it() {
    for negative_ttl in ["0s", "100ms"] {
        let cache = json!({"ttl": "100ms", "negative_ttl": negative_ttl, "stale_if_error": "1h"});
        let (world, _) = outage(cache).await;
        until_stale(&world).await;
        let site = &world.sites[0];
        site.up().expect("a port of its own");
        let answers =
            [Reply::status(500), Reply::status(429), Reply::silence(), Reply::status(503)];
        for answer in answers {
            let calls = site.count();
            site.answer(answer);
            let (response, line) = world.ask("t").await;
            assert_eq!((response.status, &line["outcome"]), (200, &json!(STALE)));
            assert_eq!(site.count(), calls + 1);
        }
        site.answer(Provider::expired());
        assert_eq!(world.ask("t").await.0.status, 401);
        site.down().await;
        // The refusal may be remembered for its own time, but the token is never good again.
        let mut status = 401;
        while status == 401 {
            status = world.ask("t").await.0.status;
        }
        assert_eq!(status, 503, "{negative_ttl}");
    }
}

#[tokio::test]
async fn the_first_success_refreshes() {
    let (world, _) = outage(json!({"ttl": "1s", "stale_if_error": "1h"})).await;
    until_stale(&world).await;
    let site = &world.sites[0];
    site.answer(Reply::json(200, &json!({"sub": "alicia"})));
    site.up().expect("a port of its own");
    assert_eq!(world.passes("t").await, "alicia");
    let calls = site.count();
    site.down().await;
    // It was known anew, so it is a hit or, a second later, stale again: never the old one.
    assert_eq!(world.passes("t").await, "alicia");
    assert_eq!((calls, site.count()), (2, 2));
}

/// Off unless said, and never for what was refused.
#[tokio::test]
async fn nothing_else_is_bridged() {
    let (world, _) = outage(json!({"ttl": "100ms"})).await;
    let mut last = 200;
    while last == 200 {
        let (response, line) = world.ask("t").await;
        assert_ne!(line["outcome"], STALE);
        last = response.status;
    }
    assert_eq!(last, 503);
    assert_eq!(world.counter("cache.stale").await, 0);

    let cache = json!({"negative_ttl": "100ms", "stale_if_error": "1h"});
    let world = World::of(1, json!({"cache": cache})).await;
    world.sites[0].answer(Provider::expired());
    assert_eq!(world.ask("t").await.0.status, 401);
    world.sites[0].down().await;
    let mut last = 401;
    while last == 401 {
        last = world.ask("t").await.0.status;
    }
    assert_eq!(last, 503);
}

/// A cluster without a healthy host refuses a call at once, while the request's headers come: the
/// request is let go then, and goes on once.
#[tokio::test]
async fn a_call_that_cannot_be_made_is_bridged_once() {
    let cache = json!({"ttl": "100ms", "stale_if_error": "1h"});
    let config = one(json!({"cache": cache, "access_log_state": true}));
    let listener = Listener::named("gw").config(config).cluster("idp_default", |cluster| {
        cluster["common_lb_config"] = json!({"healthy_panic_threshold": {"value": 0}});
        cluster["health_checks"] = json!([{
            "timeout": "0.5s", "interval": "0.05s", "no_traffic_interval": "0.05s",
            "unhealthy_threshold": 1, "healthy_threshold": 1, "tcp_health_check": {},
        }]);
    });
    let running = Setup::new().concurrency(1).listener(listener).start().await;
    let (envoy, gw) = (&running.envoy, running.gateway("gw"));
    let healthy = "cluster.idp_default_gw.membership_healthy";
    envoy.wait_stat(healthy, |n| n == 1).await;
    gw.provider.answer(Reply::json(200, &json!({"sub": "a"})));
    assert_eq!(gw.get("/known").bearer("t").send().await.status, 200);
    gw.provider.down().await;
    envoy.wait_stat(healthy, |n| n == 0).await;

    let none = "cluster.idp_default_gw.upstream_cx_none_healthy";
    let (mut stale, before) = (0, gw.upstream.count());
    for n in 0.. {
        let path = format!("/bridged/{n}/");
        assert_eq!(gw.get(&path).bearer("t").send().await.status, 200);
        let line = envoy.access_entry(&path).await;
        if line["outcome"] == STALE {
            stale += 1;
        }
        assert_eq!(gw.upstream.count(), before + n + 1, "each goes on once");
        if stale == 5 {
            break;
        }
    }
    assert!(envoy.stat(none).await >= 5, "refused at once");
    envoy.assert_no_vm_restart().await;
}
