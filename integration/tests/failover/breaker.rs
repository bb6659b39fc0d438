//! A site that does not answer is left alone, and tried again by one call at a time.

use std::time::{Duration, Instant};

use integration::{Gate, Reply};
use serde_json::json;

use crate::World;

const OPEN_FOR: Duration = Duration::from_secs(1);

/// One site that refuses connections. Whether it is left alone is seen by the connections that
/// Envoy tries to make.
#[tokio::test]
async fn a_dead_site_is_left_alone_and_then_tried_by_one_call_at_a_time() {
    let world = World::of(1, json!({"breaker": {"open_for": "1s"}, "timeout": "10s"})).await;
    let site = &world.sites[0];
    site.down().await;
    for n in 0..4 {
        world.unavailable(&format!("dead{n}"), "unreachable").await;
    }
    assert_eq!(world.counter("breaker.opened").await, 0);
    let before = Instant::now();
    world.unavailable("dead4", "unreachable").await;
    assert_eq!(world.connections("a").await, 5);
    let log = world.running.envoy.log();
    let line = log.wait_for("does not answer").await;
    let told = "cluster site_a does not answer: it is left alone for a while";
    assert!(line.contains("[warning]") && line.contains(told), "{line}");
    world.counted("breaker.opened", 1).await;
    world.counted("breaker_open", 1).await;

    // Ask until it has been tried twice more. A try that fails lets nobody through again.
    let (mut tried, mut refused) = (0, 0);
    while tried < 2 {
        let (response, line) = world.ask(&format!("again{refused}")).await;
        assert_eq!(response.status, 503, "{response:?}");
        assert_eq!(response.header("retry-after").as_deref(), Some("2"));
        match line["details"].as_str() {
            Some("oidc_token_connector{unavailable:breaker_open}") => refused += 1,
            Some("oidc_token_connector{unavailable:unreachable}") => tried += 1,
            other => panic!("{other:?}"),
        }
        let since = before.elapsed();
        assert!(since >= OPEN_FOR * tried, "{tried} tries within {since:?}");
    }
    assert_eq!(world.connections("a").await, 7);
    println!("a dead site: 7 connections for {} requests", refused + 7);
    assert!(refused > 10, "{refused} requests in two seconds");
    world.counted("calls.refused_by_breaker", refused).await;

    // It is there again; the call that tries it is held.
    let gate = Gate::closed();
    site.answer(Reply::json(200, &json!({"sub": "a"})).held_by(&gate));
    site.up().expect("a port of its own");
    let mut asking = tokio::task::JoinSet::new();
    let mut ask = tokio::time::interval(Duration::from_millis(20));
    while site.count() == 0 {
        // Nothing tells when it may be tried, so this asks until it is; the interval only bounds
        // the load.
        ask.tick().await;
        asking.spawn(world.request(&format!("probe{}", asking.len())).send());
        assert!(before.elapsed() < Duration::from_secs(60), "never tried");
    }
    for n in 0..20 {
        world.unavailable(&format!("meanwhile{n}"), "breaker_open").await;
    }
    assert_eq!(site.count(), 1);
    assert_eq!(world.counter("breaker_open").await, 1);
    gate.open();
    let passed = asking.join_all().await.into_iter().filter(|r| r.status == 200).count();
    assert_eq!(passed, 1, "one call tries it");
    let line = log.wait_for("cluster site_a answers again").await;
    assert!(line.contains("[info]"), "{line}");
    world.counted("breaker_open", 0).await;
    for n in 0..10 {
        assert_eq!(world.passes(&format!("well{n}")).await, "a");
    }
    assert_eq!(site.count(), 11);
    assert_eq!(world.counter("breaker.opened").await, 1);
    assert_eq!(log.text().matches("does not answer").count(), 1, "told once");
    world.nothing_is_left().await;
}

/// Two sites, of which the first says nothing: after five calls nobody waits for it any more.
#[tokio::test]
async fn a_silent_site_costs_the_first_few_requests_only() {
    let config = json!({"breaker": {"failures": 3, "open_for": "5m"}, "timeout": "300ms"});
    let world = World::of(2, config).await;
    world.sites[0].answer(Reply::silence());
    for n in 0..30 {
        assert_eq!(world.passes(&format!("token{n}")).await, "b");
    }
    assert_eq!(world.calls(), [3, 30]);
    world.counted("calls.failed_over", 3).await;
    // The next site was asked: nobody was refused.
    assert_eq!(world.counter("calls.refused_by_breaker").await, 0);
    world.counted("breaker_open", 1).await;
}

/// Odd tokens must not be able to shut a provider for everybody.
#[tokio::test]
async fn what_callers_can_provoke_shuts_no_site() {
    let world = World::of(1, json!({"breaker": {"failures": 2, "open_for": "5m"}})).await;
    let answers = [
        Reply::status(500),
        Reply::status(503),
        Reply::status(429),
        Reply::json(200, &json!({"sub": "a"})).cut_after(3),
        Reply::text(200, vec![b' '; 32 << 20]),
    ];
    for round in 0..4 {
        for (n, answer) in answers.iter().enumerate() {
            world.sites[0].answer_next(answer.clone());
            assert_ne!(world.ask(&format!("odd{round}.{n}")).await.0.status, 200);
        }
    }
    assert_eq!(world.passes("t").await, "a");
    assert_eq!(world.calls(), [21]);
    assert_eq!(world.counter("breaker.opened").await, 0);
}
