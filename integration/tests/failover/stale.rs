//! `cache.stale_if_error`: outdated verdicts serve while no site answers, and only then.

use std::time::{Duration, Instant};

use integration::{Listener, Provider, Reply, Setup};
use serde_json::{Value, json};

use crate::base::one;
use crate::{World, probes};

const STALE: &str = "pass;stale;default";

/// How long after its last answer below 500 a site counts as one that serves.
const LATELY: Duration = Duration::from_secs(1);

/// A site that has just validated `t` and then stops answering.
async fn outage(cache: Value) -> (World, Instant) {
    let world = World::of(1, json!({"cache": cache})).await;
    world.passes("t").await;
    let known = Instant::now();
    world.sites[0].down().await;
    (world, known)
}

/// As long as it is fresh it is a hit, and within the window it is stale; beyond it is nothing.
#[tokio::test]
async fn outdated_verdict_serves_until_the_window_ends() {
    let (world, known) = outage(json!({"ttl": "1200ms", "stale_if_error": "3s"})).await;
    let (mut hits, mut stale) = (0, 0);
    loop {
        let since = known.elapsed();
        let (response, line) = world.ask("t").await;
        match (response.status, line["outcome"].as_str()) {
            (200, Some("pass;hit;default")) => {
                assert!(since < Duration::from_millis(1200), "fresh after {since:?}");
                assert_eq!(stale, 0);
                hits += 1;
            }
            (200, Some(STALE)) => {
                assert!(since < Duration::from_millis(4200), "served after {since:?}");
                assert_eq!(response.upstream_header("x-user-id").as_deref(), Some("a"));
                stale += 1;
            }
            (503, Some("unavailable;asked;default")) => break,
            other => panic!("{other:?} {line}"),
        }
    }
    println!("an outage: {hits} hits, {stale} stale");
    assert!(stale > 3, "{stale}");
    world.counted("cache.stale", stale).await;
    // Refused connections cost no waiting: the breaker stays closed.
    assert_eq!(world.counter("breaker.opened").await, 0);
    // A token that was never validated does not pass.
    assert_eq!(world.ask("unknown").await.0.status, 503);
    world.nothing_is_left().await;
}

/// With an open breaker a silent site costs no waiting: the outdated verdict serves at once.
#[tokio::test]
async fn outdated_verdict_serves_at_once_with_open_breaker() {
    let world = World::of(
        1,
        json!({
            "cache": {"ttl": "100ms", "stale_if_error": "1h"},
            "breaker": {"failures": 1, "open_for": "5m"},
        }),
    )
    .await;
    let site = &world.sites[0];
    world.passes("t").await;
    site.answer(Reply::silence());
    // While the site has answered others recently, no outdated verdict serves.
    until_stale(&world).await;
    world.running.envoy.log().wait_for("circuit breaker opened").await;
    let calls = site.count() - probes(site).len();
    for _ in 0..20 {
        let (response, line) = world.ask("t").await;
        assert_eq!((response.status, &line["outcome"]), (200, &json!(STALE)));
    }
    world.unavailable("unknown", "breaker_open").await;
    assert_eq!(site.count() - probes(site).len(), calls, "nobody's token was sent");
    // Any answer to a probe closes the breaker, and the token gets a new call.
    site.answer(Provider::expired());
    world.running.envoy.log().wait_for("circuit breaker closed").await;
    let (response, line) = world.ask("t").await;
    assert_eq!((response.status, &line["outcome"]), (401, &json!("invalid_token;asked;default")));
    world.nothing_is_left().await;
}

/// Waits for the first request that is served stale. Before that the verdict is fresh, or the site
/// has answered recently.
async fn until_stale(world: &World) {
    while world.ask("t").await.1["outcome"] != STALE {}
}

/// A site that is up again and says this of `t`: what `t` gets.
async fn told(world: &World, answer: Reply) -> (u16, Value, usize) {
    let site = &world.sites[0];
    let calls = site.count();
    site.answer(answer);
    let (response, line) = world.ask("t").await;
    (response.status, line["outcome"].clone(), site.count() - calls)
}

#[tokio::test]
async fn only_outages_are_bridged() {
    let cache = json!({"ttl": "100ms", "negative_ttl": "0s", "stale_if_error": "1h"});
    let (world, _) = outage(cache).await;
    until_stale(&world).await;
    world.sites[0].up().expect("a port of its own");
    let stale = || json!(STALE);
    for (what, answer, calls) in [
        ("502", Reply::status(502), 1),
        ("503", Reply::status(503), 1),
        ("504", Reply::status(504), 1),
        ("silence", Reply::silence(), 1),
        ("reset", Reply::reset(), 3),
        ("rubbish", Reply::raw("rubbish\r\n\r\n"), 1),
        ("cut", Reply::json(200, &json!({"sub": "a"})).cut_after(3), 3),
    ] {
        assert_eq!(told(&world, answer).await, (200, stale(), calls), "{what}");
    }
    // Answers that may concern this token alone: a limit, and a failure on its user.
    let error = || json!("provider_error;asked;default");
    for status in [500, 599, 429] {
        assert_eq!(told(&world, Reply::status(status)).await, (status, error(), 1), "{status}");
    }
    assert_eq!(told(&world, Reply::status(503)).await, (200, stale(), 1), "none of them serves");
    // Also not an error about the gateway's call, or an unusable answer.
    let page = Reply::text(200, "<html>").header("content-type", "text/html");
    for (what, answer, status, outcome) in [
        ("405", Reply::status(405), 405, "provider_error;asked;default"),
        ("302", Reply::status(302), 503, "unavailable;asked;default"),
        ("page", page, 502, "unusable;asked;default"),
    ] {
        assert_eq!(told(&world, answer).await, (status, json!(outcome), 1), "{what}");
    }
    world.sites[0].answer(Reply::status(502));
    // The token has lost nothing by it.
    until_stale(&world).await;
    world.nothing_is_left().await;
}

/// A site that answers others is not out: what it does to one token is that token's own affair.
#[tokio::test]
async fn no_outdated_verdict_while_the_site_answers_others() {
    let cache = json!({"ttl": "100ms", "stale_if_error": "1h"});
    let world = World::of(1, json!({"cache": cache})).await;
    let site = &world.sites[0];
    world.passes("t").await;
    site.answer_token("t", Reply::status(502));
    let others = [
        Reply::json(200, &json!({"sub": "b"})),
        Provider::expired(),
        Reply::status(404),
        Reply::status(405),
        Reply::status(302),
        Reply::text(200, "<html>").header("content-type", "text/html"),
    ];
    for (n, other) in others.into_iter().enumerate() {
        let name = format!("other{n}");
        site.answer_token(&name, other);
        // So that the verdict has expired, and the site has not answered for long enough.
        until_stale(&world).await;
        let asked = Instant::now();
        world.ask(&name).await;
        // Over and over: it is stale again no sooner than a second after that answer.
        let (mut refused, mut last) = (0, json!(null));
        while last != STALE {
            let (response, line) = world.ask("t").await;
            last = line["outcome"].clone();
            match response.status {
                200 => assert!(asked.elapsed() >= LATELY, "{name}: {:?}", asked.elapsed()),
                status => {
                    assert_eq!((status, &last), (502, &json!("provider_error;asked;default")));
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "{name}");
    }
    world.nothing_is_left().await;
}

/// Also a refusal that is not kept, because nothing says that it is about the token.
#[tokio::test]
async fn refusal_removes_the_outdated_verdict() {
    for (negative_ttl, answer, status) in [
        ("0s", Provider::expired(), 401),
        ("100ms", Provider::expired(), 401),
        ("100ms", Reply::status(403), 403),
        ("100ms", Reply::status(404), 404),
        ("100ms", Reply::status(410), 410),
    ] {
        let cache = json!({"ttl": "100ms", "negative_ttl": negative_ttl, "stale_if_error": "1h"});
        let (world, _) = outage(cache).await;
        until_stale(&world).await;
        let site = &world.sites[0];
        site.up().expect("a port of its own");
        assert_eq!(told(&world, answer).await.0, status);
        let refused = Instant::now();
        site.down().await;
        // The refusal may be cached for its own time, but the token is never valid again.
        while refused.elapsed() < LATELY + LATELY / 2 {
            let now = world.ask("t").await.0.status;
            assert!(now == status || now == 503, "{now} after {status}");
        }
        world.unavailable("t", "unreachable").await;
    }
}

#[tokio::test]
async fn first_success_replaces_the_outdated_verdict() {
    let (world, _) = outage(json!({"ttl": "2s", "stale_if_error": "1h"})).await;
    until_stale(&world).await;
    let site = &world.sites[0];
    site.answer(Reply::json(200, &json!({"sub": "alicia"})));
    site.up().expect("a port of its own");
    assert_eq!(world.passes("t").await, "alicia");
    let calls = site.count();
    site.down().await;
    // There is a new verdict, so it is a hit or, later, stale again: never the old one.
    assert_eq!(world.passes("t").await, "alicia");
    assert_eq!((calls, site.count()), (2, 2));
}

/// Off unless said, and never for what was refused.
#[tokio::test]
async fn other_answers_are_not_bridged() {
    let (world, known) = outage(json!({"ttl": "100ms"})).await;
    while known.elapsed() < LATELY * 2 {
        let (response, line) = world.ask("t").await;
        assert_ne!(line["outcome"], STALE);
        assert!(response.status == 503 || line["outcome"] == "pass;hit;default", "{line}");
    }
    assert_eq!(world.counter("cache.stale").await, 0);

    let cache = json!({"negative_ttl": "100ms", "stale_if_error": "1h"});
    let world = World::of(1, json!({"cache": cache})).await;
    world.sites[0].answer(Provider::expired());
    assert_eq!(world.ask("t").await.0.status, 401);
    let refused = Instant::now();
    world.sites[0].down().await;
    while refused.elapsed() < LATELY * 2 {
        let status = world.ask("t").await.0.status;
        assert!(status == 401 || status == 503, "{status}");
    }
    world.unavailable("t", "unreachable").await;
}

/// A cluster without a healthy host refuses a call at once, while the request's headers come. It
/// looks like Envoy's own limits, which a caller can fill, so no outdated verdict serves.
#[tokio::test]
async fn unsent_call_is_not_bridged() {
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
    let known = Instant::now();
    gw.provider.down().await;
    envoy.wait_stat(healthy, |n| n == 0).await;

    let none = "cluster.idp_default_gw.upstream_cx_none_healthy";
    let (mut hits, mut refused) = (0, 0);
    // Long after the second in which the site answered.
    while known.elapsed() < Duration::from_secs(2) || refused < 20 {
        let path = format!("/unbridged/{hits}/{refused}/");
        let status = gw.get(&path).bearer("t").send().await.status;
        let line = envoy.access_entry(&path).await;
        if status == 200 {
            assert_eq!((&line["outcome"], refused), (&json!("pass;hit;default"), 0));
            hits += 1;
        } else {
            assert_eq!(line["details"], "oidc_token_connector{unavailable:not_sent}");
            assert_eq!((status, &line["outcome"]), (401, &json!("unavailable;asked;default")));
            refused += 1;
        }
    }
    println!("a call that cannot be made: {hits} hits, {refused} refused");
    assert_eq!(gw.upstream.count(), 1 + hits);
    envoy.wait_stat(none, |n| n >= refused).await;
    assert_eq!(envoy.stat("wasmcustom.oidc_cache.stale").await, 0);
    envoy.assert_no_vm_restart().await;
}
