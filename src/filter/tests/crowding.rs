//! Limits on calls, waiting requests and bytes; and the reservations for known tokens.

use super::*;

#[test]
fn max_in_flight_limits_calls_to_a_site() {
    let mut world = World::of(
        r#"{"userinfo_endpoint": {"defaultURI":
            ["https://a.example/u", "https://b.example/u", "https://c.example/u"]},
            "max_in_flight": 2}"#,
    );
    let calls: Vec<_> = (0..6).map(|number| world.leads(number)).collect();
    assert_eq!(world.refused_for(6), "oidc_token_connector{unavailable:too_many_waiting}");
    world.answer(calls[3], "401", &[], b"");
    world.leads(7);
    assert_eq!(world.gate.stats().refused_by_cap, 1);
}

/// Of the calls that an instance with a cache may have under way, half are for whom it knows.
#[test]
fn unknown_tokens_get_at_most_half_of_the_calls() {
    for (cap, strangers) in [(1, 1), (2, 1), (3, 2), (8, 4)] {
        let members = format!(r#""max_in_flight": {cap}, "cache": {{"ttl": "10s"}}"#);
        let mut world = World::new(&members);
        for number in 100..108 {
            let call = world.leads(number);
            world.answer(call, "200", &JSON, b"{}");
        }
        world.wait(seconds(10));
        (0..strangers).for_each(|number| _ = world.leads(number));
        assert_eq!(
            world.refused_for(50),
            "oidc_token_connector{unavailable:too_many_waiting}",
            "{cap}"
        );
        (0..cap - strangers).for_each(|number| _ = world.leads(100 + number));
        world.refused_for(107);
    }
    // Without a cache no token is known.
    let mut world = World::new(r#""max_in_flight": 2"#);
    (0..2).for_each(|number| _ = world.leads(number));
}

/// The limit protects the provider, whatever the instance of the calls.
#[test]
fn calls_are_counted_over_all_instances() {
    let mut world = World::new(r#""max_in_flight": 3, "realm": "one""#);
    (0..2).for_each(|number| _ = world.leads(number));
    world.configure(r#""max_in_flight": 2, "realm": "two""#);
    world.refused_for(2);
    world.configure(r#""max_in_flight": 3, "realm": "three""#);
    world.leads(3);
    world.refused_for(4);
}

/// A refusal ends that a token was known, and what makes room is the oldest.
#[test]
fn refused_token_is_unknown_again() {
    let mut world =
        World::new(r#""max_in_flight": 2, "cache": {"ttl": "1s", "negative_ttl": "1s"}"#);
    world.asked(&[], "200", &JSON, b"{}");
    world.wait(seconds(1));
    world.asked(&[], "401", &[], b"");
    world.wait(seconds(1));
    world.leads(1);
    let details = world.decided(&T).replied().details;
    assert_eq!(details, "oidc_token_connector{unavailable:too_many_waiting}");
}

#[test]
fn number_of_known_tokens_is_limited() {
    let mut world = World::new(r#""max_in_flight": 2, "cache": {"ttl": "1s", "max_entries": 4}"#);
    for number in 0..40 {
        let call = world.leads(number);
        world.answer(call, "200", &JSON, b"{}");
    }
    world.wait(seconds(2));
    world.leads(100);
    world.refused_for(0);
    world.leads(39);
}

/// Tokens of the largest size: far fewer are held than the memory of a VM has room for.
#[test]
fn calls_are_limited_by_bytes() {
    let mut world =
        World::new(r#""max_in_flight": 65536, "max_token_bytes": 65536, "timeout": "30s""#);
    let token = "x".repeat(65_000);
    let mut held = 0;
    let refused = loop {
        let value = format!("Bearer {token}{held}");
        match world.admit(&[("authorization", &value)]) {
            (stream, Admission::Call(..)) => {
                // Its client does not wait, but the call goes on.
                world.gone(stream);
                held += 1;
            }
            (_, Admission::Decided(decision)) => break decision,
            (_, Admission::Joined) => panic!(),
        }
    };
    assert!((1_900..2_100).contains(&held), "{held} calls");
    let details = refused.replied().details;
    assert_eq!(details, "oidc_token_connector{unavailable:too_many_waiting}");
    assert_eq!(world.gate.stats().refused_by_cap, 1);
    // When they have ended there is room again.
    world.wait(seconds(31));
    world.ticks();
    world.held(&T);
}

/// All data of a waiting request count, and no longer after it has ended.
#[test]
fn ended_requests_leave_nothing() {
    let mut world = World::new(r#""inject_headers": {"X-User-Id": "$.sub"}, "timeout": "2s""#);
    for end in 0..6 {
        let before = world.gate.questions.lookups.bytes();
        assert_eq!(before, 0, "after {end}");
        let (stream, call, _) = world.held(&[T[0], ("x-user-id", "1"), ("x_user_id", "2")]);
        let follower = world.joined(&T);
        assert!(world.gate.questions.lookups.bytes() > 2 * 512 + 1024);
        match end {
            0 => _ = world.answer(call, "200", &JSON, b"{}"),
            1 => {
                world.gone(stream);
                world.gone(follower);
                world.answer(call, "401", &[], b"");
            }
            2 => {
                pauses(world.goes_on(call, &envoys("503")));
                world.gone(stream);
                let (call, _) = world.due();
                world.answer(call, "429", &[("retry-after", "1")], b"");
                world.wait(seconds(1));
            }
            3 => {
                world.wait(seconds(3));
                world.tick();
            }
            4 => {
                pauses(world.goes_on(call, &Answer::CutOff));
                world.gone(stream);
                world.gone(follower);
                world.wait(seconds(1));
                world.tick();
            }
            _ => world.gate.abandon(),
        }
    }
    assert_eq!(world.gate.questions.lookups.bytes(), 0);
}

/// Four slow invalid tokens can make four times 4096 requests wait; known tokens have reserved
/// places.
#[test]
fn unknown_tokens_get_at_most_half_of_the_waiting_places() {
    let cached = r#""cache": {"ttl": "1s"}, "timeout": "30s""#;
    let plain = r#""timeout": "30s", "realm": "an instance that remembers nobody""#;
    for theirs in [cached, plain] {
        let mut world = World::new(cached);
        world.asked(&[], "200", &JSON, b"{}");
        world.wait(seconds(1));
        world.configure(theirs);
        for number in 0..2 {
            world.leads(number);
            let [(name, value)] = bearer(number);
            (1..4096).for_each(|_| _ = world.joined(&[(name, &value)]));
        }
        let details = world.refused_for(2);
        assert_eq!(details, "oidc_token_connector{unavailable:too_many_waiting}");
        world.configure(cached);
        world.held(&T);
        (1..4096).for_each(|_| _ = world.joined(&T));
        assert_eq!(world.gate.stats().waiting, 3 * 4096);
    }
    // Without a cache there is no reservation.
    let mut world = World::new(plain);
    for number in 0..4 {
        world.leads(number);
        let [(name, value)] = bearer(number);
        (1..4096).for_each(|_| _ = world.joined(&[(name, &value)]));
    }
    world.refused_for(4);
}
