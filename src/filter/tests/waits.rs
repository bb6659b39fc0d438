//! A token waits alone if its provider has sent `Retry-After`.

use super::*;

const UNAVAILABLE: &str = r#""userinfo_unavailable": {"status": 503, "retry_after": "2s"}"#;

fn told(world: &mut World) -> (u16, Option<String>, String) {
    let decision = world.decided(&T);
    let log = decision.record.access_log();
    let reply = decision.replied();
    (reply.status, reply.header("retry-after").map(str::to_owned), log)
}

#[test]
fn waiting_token_gets_the_answer_with_the_remaining_time() {
    for (status, said, most) in [("429", 3600, 60), ("429", 7, 7), ("503", 3600, 10), ("503", 3, 3)]
    {
        let mut world = World::new(UNAVAILABLE);
        let (_, call, _) = world.held(&T);
        let first = over(world.declines(call, status, &[("retry-after", &said.to_string())]));
        assert_eq!(first.record.access_log(), "provider_error;asked;default");
        assert_eq!(first.replied().header("retry-after"), Some(&*said.to_string()));
        let log = "provider_error;none;default".to_owned();
        let code: u16 = status.parse().unwrap();
        assert_eq!(told(&mut world), (code, Some(said.to_string()), log.clone()));
        world.wait(millis(1500));
        assert_eq!(told(&mut world), (code, Some((said - 1).to_string()), log));
        // No other token waits.
        world.leads(1);
        world.wait(seconds(most) - millis(1501));
        told(&mut world);
        assert_eq!(world.gate.stats().refused_by_wait, 3);
        world.wait(millis(1));
        world.held(&T);
    }
}

#[test]
fn without_retry_after_no_token_waits() {
    for (status, headers) in [
        ("429", &[][..]),
        ("503", &[]),
        ("429", &[("retry-after", "0")]),
        ("429", &[("retry-after", "soon")]),
        ("500", &[("retry-after", "9")]),
        ("401", &[("retry-after", "9")]),
    ] {
        let mut world = World::new("");
        let (_, call, _) = world.held(&T);
        over(world.declines(call, status, headers));
        world.held(&T);
    }
}

/// An HTTP date (RFC 9110 §10.2.3).
#[test]
fn token_waits_until_an_http_date() {
    let mut world = World::new("");
    let (_, call, _) = world.held(&T);
    over(world.declines(call, "429", &[("retry-after", "Mon, 21 Sep 2026 14:13:25 GMT")]));
    let (_, left, _) = told(&mut world);
    assert_eq!(left.as_deref(), Some("5"));
}

/// Every called site must have sent a time; the shortest counts.
#[test]
fn token_waits_only_if_every_site_limited_it() {
    let two = r#"{"userinfo_endpoint": {"defaultURI":
        ["https://a.example/u", "https://b.example/u"]}}"#;
    let after = |first: (&str, &str), second: (&str, &str)| {
        let mut world = World::of(two);
        let (_, call, _) = world.held(&T);
        let (call, ..) = next(world.declines(call, first.0, &[("retry-after", first.1)]));
        over(world.declines(call, second.0, &[("retry-after", second.1)]));
        world
    };
    let mut world = after(("429", "9"), ("503", "4"));
    assert_eq!(told(&mut world).0, 503);
    world.wait(seconds(4));
    world.held(&T);
    let mut world = after(("503", "3"), ("429", "9"));
    assert_eq!(told(&mut world).0, 429);
    world.wait(seconds(3));
    world.held(&T);
    after(("429", "9"), ("500", "9")).held(&T);
    after(("502", "9"), ("429", "9")).held(&T);
    let mut world = World::of(two);
    let (_, call, _) = world.held(&T);
    let (call, ..) = next(world.declines(call, "429", &[("retry-after", "9")]));
    over(world.times_out(call, seconds(5)));
    world.held(&T);
}

/// A request that joins a call under way gets its answer, and a cached verdict counts before.
#[test]
fn wait_is_checked_last() {
    let mut world = World::new(r#""cache": {"ttl": "2s"}"#);
    world.asked(&[], "200", &JSON, b"{}");
    world.wait(seconds(2));
    let (_, call, _) = world.held(&T);
    world.joined(&T);
    let (released, _) = world.declines(call, "429", &[("retry-after", "9")]);
    assert_eq!(released.len(), 2);
    assert_eq!(told(&mut world).0, 429);
}

/// Bounded: the oldest makes room, and costs a call.
#[test]
fn oldest_wait_is_replaced() {
    let mut world = World::new("");
    for number in 0..1025 {
        let call = world.leads(number);
        over(world.declines(call, "429", &[("retry-after", "60")]));
    }
    world.refused_for(1024);
    world.refused_for(1);
    world.leads(0);
    // And in bytes.
    let mut world = World::new("");
    let long = "x".repeat(8000);
    for number in 0..140 {
        let call = world.leads(number);
        over(world.declines(call, "429", &[("retry-after", "60"), ("x-long", &long)]));
    }
    world.refused_for(139);
    world.leads(0);
}

#[test]
fn waits_end_with_the_last_instance() {
    let mut world = World::new("");
    let (_, call, _) = world.held(&T);
    over(world.declines(call, "429", &[("retry-after", "60")]));
    world.gate.abandon();
    world.held(&T);
}
