//! The breaker: the filter probes a silent site without a token and makes no other call until it
//! answers. Fast failures, and behaviour that callers can provoke, open no breaker.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use integration::{Call, Provider, Reply};
use serde_json::json;

use crate::{World, probes};

const TIMEOUT: Duration = Duration::from_millis(500);

/// Envoy ends each call some milliseconds before its time.
const EARLY: Duration = Duration::from_millis(100);

/// Answers no request from now on, and records the filter's probes.
fn silenced(site: &Provider) -> Arc<Mutex<Vec<Instant>>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let notes = times.clone();
    site.answer_with(move |call| {
        if call.headers.all("authorization").is_empty() {
            notes.lock().unwrap().push(Instant::now());
        }
        Some(Reply::silence())
    });
    times
}

#[tokio::test]
async fn open_breaker_sends_only_probes_with_growing_pauses() {
    let world = World::of(1, json!({"breaker": {"failures": 2, "open_for": "1s"}})).await;
    let site = &world.sites[0];
    let times = silenced(site);
    let began = Instant::now();
    for n in 0..2 {
        world.unavailable(&format!("silent{n}"), "timed_out").await;
    }
    // Only its silence opens, not the callers'.
    let log = world.running.envoy.log();
    let line = log.wait_for("circuit breaker opened").await;
    let told = "circuit breaker opened: cluster site_a (http://a.example/userinfo) does not answer";
    assert!(line.contains("[warning]") && line.contains(told), "{line}");
    assert_eq!(probes(site).len(), 1);
    world.counted("breaker.opened", 1).await;
    world.counted("breaker_open", 1).await;

    // Requests in between are refused at once, and no user's token is used as a probe.
    let mut refused = 0;
    while probes(site).len() < 5 {
        let (response, _) = world.unavailable(&format!("meanwhile{refused}"), "breaker_open").await;
        assert_eq!(response.header("retry-after").as_deref(), Some("2"));
        refused += 1;
    }
    assert!(refused > 10, "{refused} requests while it was asked four times");
    let calls = site.calls();
    println!("a silent site: {} calls for {} requests", calls.len(), refused + 2);
    let tokens = calls.iter().filter_map(Call::token).collect::<Vec<_>>();
    assert_eq!(tokens, ["silent0", "silent1"]);
    for probe in probes(site) {
        assert_eq!((probe.method.as_str(), probe.target.as_str()), ("GET", "/userinfo"));
        assert_eq!(probe.headers.get("host").as_deref(), Some("a.example"));
    }
    // Two callers wait, and so does the first question of the filter's own; each further one comes
    // after a pause twice as long as the last, at most `open_for`, and waits itself. A busy machine
    // makes it all longer, so each time is compared with the beginning.
    let times = times.lock().unwrap().clone();
    let mut earliest = 2 * TIMEOUT;
    for (n, pause) in [0, 250, 500, 1000, 1000].into_iter().enumerate() {
        earliest += Duration::from_millis(pause);
        let after = times[n].duration_since(began);
        assert!(after + EARLY >= earliest, "question {n} after {after:?}, not {earliest:?}");
        earliest += TIMEOUT;
    }

    // Any answer closes it.
    site.answer_with(|call| {
        let anonymous = call.headers.all("authorization").is_empty();
        anonymous.then(|| Reply::status(401).header("www-authenticate", "Bearer"))
    });
    let line = log.wait_for("circuit breaker closed").await;
    let told = "circuit breaker closed: cluster site_a (http://a.example/userinfo) answers again";
    assert!(line.contains("[info]") && line.contains(told), "{line}");
    world.counted("breaker_open", 0).await;
    let asked = probes(site).len();
    for n in 0..10 {
        assert_eq!(world.passes(&format!("well{n}")).await, "a");
    }
    assert_eq!(site.count(), 2 + asked + 10);
    world.counted("breaker.probed", asked as u64).await;
    world.counted("calls.refused_by_breaker", refused).await;
    assert_eq!(world.counter("breaker.opened").await, 1);
    assert_eq!(log.text().matches("does not answer").count(), 1, "told once");
    world.nothing_is_left().await;
}

/// Envoy's connection attempts show the calls.
#[tokio::test]
async fn refused_connections_keep_the_breaker_closed() {
    const REQUESTS: u64 = 8;
    let config = json!({"breaker": {"failures": 2, "open_for": "5m"}, "timeout": "10s"});
    let world = World::of(1, config).await;
    let site = &world.sites[0];
    site.down().await;
    for n in 0..REQUESTS {
        let (response, _) = world.unavailable(&format!("dead{n}"), "unreachable").await;
        assert_eq!(response.header("retry-after").as_deref(), Some("2"));
    }
    // Each call, and its two repeats.
    assert_eq!(world.connections("a").await, 3 * REQUESTS);
    world.counted("calls.repeated", 2 * REQUESTS).await;
    for counter in ["breaker.opened", "breaker.probed", "calls.refused_by_breaker"] {
        assert_eq!(world.counter(counter).await, 0, "{counter}");
    }
    // The first request finds it working again.
    site.up().expect("a port of its own");
    assert_eq!(world.passes("well").await, "a");
    assert_eq!(world.calls(), [1]);
    world.nothing_is_left().await;
}

/// Two sites; the first is silent: after the first few requests no request waits for it.
#[tokio::test]
async fn silent_site_delays_only_the_first_requests() {
    let config = json!({"breaker": {"failures": 3, "open_for": "5m"}, "timeout": "300ms"});
    let world = World::of(2, config).await;
    world.sites[0].answer(Reply::silence());
    for n in 0..30 {
        assert_eq!(world.passes(&format!("token{n}")).await, "b");
    }
    let own = probes(&world.sites[0]).len();
    let waited = world.sites[0].count() - own;
    // Three open the question, and one more may come before its end.
    assert!(own > 0 && (3..=4).contains(&waited), "{own} questions, {waited} tokens");
    assert_eq!(world.sites[1].count(), 30);
    assert_eq!(probes(&world.sites[1]).len(), 0);
    world.counted("calls.failed_over", waited as u64).await;
    // The next site got the calls: no request was refused.
    assert_eq!(world.counter("calls.refused_by_breaker").await, 0);
    world.counted("breaker_open", 1).await;
}

/// Unusual tokens must not be able to open the breaker for all callers.
#[tokio::test]
async fn caller_behaviour_opens_no_breaker() {
    let world = World::of(1, json!({"breaker": {"failures": 2, "open_for": "5m"}})).await;
    let site = &world.sites[0];
    let good = || Reply::json(200, &json!({"sub": "a"}));
    // Each with the calls that it costs: an end without an answer is repeated twice.
    let answers = [
        ("500", Reply::status(500), 1),
        ("503", Reply::status(503), 1),
        ("429", Reply::status(429), 1),
        ("reset", Reply::reset(), 3),
        ("rubbish", Reply::raw("rubbish\r\n\r\n"), 1),
        ("cut", good().cut_after(3), 3),
    ];
    for (token, answer, calls) in answers {
        site.answer_token(token, answer);
        for round in 1..=3 {
            assert_ne!(world.ask(token).await.0.status, 200, "{token}");
            assert_eq!(site.calls_with(token).len(), calls * round, "{token}");
        }
    }
    // Envoy ends this call without a reason: whether it is repeated depends on its time.
    site.answer_token("huge", Reply::text(200, vec![b' '; 32 << 20]));
    assert_eq!(world.ask("huge").await.0.status, 503);
    world.passes("between").await;
    assert!(probes(site).is_empty());
    // Tokens that make the site hang: the filter sends a probe, gets an answer, and that is all.
    site.answer_with(|call| {
        let silent = call.token().is_some_and(|token| token.starts_with("hang"));
        silent.then(Reply::silence)
    });
    for n in 0..6 {
        world.unavailable(&format!("hang{n}"), "timed_out").await;
        assert_eq!(world.passes(&format!("well{n}")).await, "a");
    }
    assert!(probes(site).is_empty(), "an answer between, so they are not in a row");
    for n in 0..6 {
        world.unavailable(&format!("hang{n}"), "timed_out").await;
    }
    world.counted("breaker.probed", 3).await;
    assert_eq!(probes(site).len(), 3);
    assert_eq!(world.passes("t").await, "a");
    assert_eq!(world.counter("breaker.opened").await, 0);
    world.nothing_is_left().await;
}
