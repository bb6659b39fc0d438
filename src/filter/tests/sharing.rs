//! Two workers of one process.

use std::time::Duration;

use super::*;
use crate::filter::shared;

const T: [(&str, &str); 1] = [("authorization", "Bearer t")];
const SHARED: &str = r#""cache": {"shared": true}, "inject_headers": {"X-User": "$.sub"}"#;

/// Another worker that shares what this one has found.
fn neighbour(world: &World, members: &str) -> World {
    let mut other = World::new(members);
    other.now = world.now;
    other.shared = world.shared.clone();
    other
}

fn asked(status: &str, headers: &[(&str, &str)], body: &[u8]) -> World {
    let mut world = World::new(SHARED);
    world.asked(&[], status, &[&JSON, headers].concat(), body);
    world
}

#[test]
fn verdict_of_one_worker_serves_others() {
    let mut first = asked("200", &[], br#"{"sub":"alice"}"#);
    first.wait(Duration::from_secs(50));
    let mut second = neighbour(&first, SHARED);
    let decision = second.decided(&T);
    assert_eq!(decision.record.access_log(), "pass;shared;default");
    assert_eq!(decision.forwarded().set, pairs(&[("x-user", "alice")]));
    // From then on it knows by itself, and for no longer than the first.
    second.shared.clear();
    assert_eq!(second.decided(&T).record.source, Source::Hit);
    let stats = second.gate.stats();
    assert_eq!((stats.shared_hits, stats.hits, stats.misses, stats.stored), (1, 1, 0, 0));
    second.wait(Duration::from_secs(10));
    second.held(&T);
}

#[test]
fn refusal_is_shared() {
    let first = asked("401", &[("www-authenticate", "Bearer error=\"invalid_token\"")], b"");
    let mut second = neighbour(&first, SHARED);
    let decision = second.decided(&T);
    assert_eq!(decision.record.access_log(), "invalid_token;shared;default");
    let challenge = decision.replied();
    assert_eq!(
        challenge.header("www-authenticate"),
        Some("Bearer realm=\"api\", error=\"invalid_token\"")
    );
}

#[test]
fn shared_verdict_is_judged_by_each_instances_rules() {
    let first = asked("200", &[("cache-control", "no-store")], b"{}");
    for members in [
        r#""cache": {"shared": false}"#,
        "",
        r#""cache": {"shared": true, "honor_no_store": true}"#,
        r#""cache": {"shared": true}, "require_subject": true"#,
        r#""cache": {"shared": true}, "userinfo_method": "POST""#,
        r#""cache": {"shared": true, "ttl": "0s"}"#,
    ] {
        neighbour(&first, members).held(&T);
    }
    assert_eq!(neighbour(&first, SHARED).decided(&T).record.source, Source::Shared);
}

#[test]
fn newest_verdict_counts_among_workers() {
    let mut first = asked("200", &[], b"{}");
    first.wait(Duration::from_secs(30));
    let mut second = neighbour(&first, r#""cache": {"shared": true, "ttl": "1s"}"#);
    second.asked(&[], "401", &[], b"");
    let mut third = neighbour(&second, SHARED);
    assert_eq!(third.decided(&T).record.outcome, Outcome::InvalidToken);
}

/// A refusal that an instance may not use for `no-store` still ends what was shared before it.
#[test]
fn older_shared_verdict_replaces_no_newer_one() {
    let mut first = asked("200", &[], b"{}");
    first.wait(Duration::from_secs(1));
    let mut second = neighbour(&first, r#""cache": {}"#);
    second.asked(&[], "401", &[("cache-control", "no-store")], b"");
    second.configure(r#""cache": {"shared": true, "honor_no_store": true}"#);
    second.held(&T);
    second.configure(r#""cache": {}"#);
    assert_eq!(second.decided(&T).record.outcome, Outcome::InvalidToken);
}

/// A refusal that may not be cached still ends, on every worker, an older valid verdict.
#[test]
fn uncached_refusal_overrides_other_workers_verdict() {
    let members = r#""cache": {"shared": true, "ttl": "10s", "negative_ttl": "0s",
                               "stale_if_error": "10m"}"#;
    let mut first = World::new(members);
    first.asked(&[], "200", &JSON, b"{}");
    let mut second = neighbour(&first, members);
    assert_eq!(second.decided(&T).record.source, Source::Shared);
    // The first worker makes another call and gets another answer.
    first.wait(Duration::from_secs(20));
    first.asked(&[], "401", &[], b"");
    second.now = first.now;
    second.shared = first.shared.clone();
    let outage = |world: &mut World| {
        let (_, call, _) = world.held(&T);
        let answer = Answer::NotSent;
        world.end(call, &answer).remove(0).decision.record.outcome
    };
    assert_eq!(outage(&mut second), Outcome::Unavailable);
    // The older verdict does not return to the first worker either, or to a new one.
    assert_eq!(outage(&mut first), Outcome::Unavailable);
    let usual = r#""cache": {"shared": true, "stale_if_error": "10m"}"#;
    for mut world in [neighbour(&first, usual), neighbour(&second, usual)] {
        assert_eq!(outage(&mut world), Outcome::Unavailable);
    }
    first.configure(usual);
    assert_eq!(outage(&mut first), Outcome::Unavailable);
    // A later valid verdict counts again.
    first.wait(Duration::from_secs(1));
    first.asked(&[], "200", &JSON, b"{}");
    second.now = first.now;
    second.shared = first.shared.clone();
    assert_eq!(second.decided(&T).record.source, Source::Shared);
}

#[test]
fn joining_request_reads_no_shared_data() {
    let first = asked("200", &[], b"{}");
    let mut second = World::new(SHARED);
    second.held(&T);
    second.shared = first.shared.clone();
    second.joined(&T);
}

#[test]
fn exp_and_max_age_are_shared() {
    let exp = format!(r#"{{"exp":{}}}"#, crate::sim::START.0 + 5);
    for (headers, body) in [(&[][..], exp.as_bytes()), (&[("cache-control", "max-age=5")], b"{}")] {
        let mut first = asked("200", headers, body);
        first.wait(Duration::from_secs(4));
        assert_eq!(neighbour(&first, SHARED).decided(&T).record.source, Source::Shared);
        first.wait(Duration::from_secs(1));
        neighbour(&first, SHARED).held(&T);
    }
}

#[test]
fn invalid_shared_value_is_ignored() {
    let first = asked("200", &[], br#"{"sub":"alice"}"#);
    let (slot, value) = first.shared.iter().next().map(|(s, v)| (*s, v.clone())).unwrap();
    let found = |value: Vec<u8>| {
        let mut second = neighbour(&first, SHARED);
        second.shared.insert(slot, value);
        matches!(second.admit(&T).1, Admission::Decided(_))
    };
    assert!(found(value.clone()));
    for cut in 0..value.len() {
        assert!(!found(value[..cut].to_vec()), "cut at {cut}");
        let mut changed = value.clone();
        changed[cut] ^= 1;
        assert!(!found(changed), "changed at {cut}");
    }
    assert!(!found([&value[..], b"x"].concat()));
    // A value of another key.
    let mut other = World::new(SHARED);
    let (_, call, _) = other.held(&[("authorization", "Bearer u")]);
    other.answer(call, "200", &JSON, b"{}");
    assert!(!found(other.shared.values().next().unwrap().clone()));
    // From a time to come.
    let mut later = World::new(SHARED);
    later.wait(Duration::from_secs(5));
    later.asked(&[], "200", &JSON, b"{}");
    assert!(!found(later.shared.values().next().unwrap().clone()));
}

#[test]
fn shared_data_has_no_token() {
    let token = "2YotnFZFEjr1zCsicMWpAA";
    for status in ["200", "401"] {
        let mut world = World::new(SHARED);
        let (_, call, _) = world.held(&[("authorization", &format!("Bearer {token}"))]);
        world.answer(call, status, &JSON, b"{}");
        let value = world.shared.values().next().expect("something is shared");
        assert!(!value.windows(token.len()).any(|part| part == token.as_bytes()));
    }
}

#[test]
fn number_of_shared_places_is_fixed() {
    let mut world = World::new(SHARED);
    for n in 0..20_000 {
        let (_, call, _) = world.held(&[("authorization", &format!("Bearer {n}"))]);
        let status = if n % 4 == 0 { "401" } else { "200" };
        world.answer(call, status, &JSON, b"{}");
    }
    let places = |kind: &str| world.shared.keys().filter(|slot| slot.name().contains(kind)).count();
    let [good, bad] = shared::SLOTS.map(usize::from);
    // 15 000 and 5 000 tokens for this many places.
    assert!((9_000..good).contains(&places(".good.")), "{}", places(".good."));
    assert!((1_500..=bad).contains(&places(".bad.")), "{}", places(".bad."));
    assert!(world.shared.values().all(|value| value.len() <= 4096));
}

#[test]
fn large_verdict_is_not_shared() {
    let body = format!(r#"{{"sub":"{}"}}"#, "a".repeat(4000));
    let mut first = asked("200", &[], body.as_bytes());
    assert!(first.shared.is_empty());
    assert_eq!(first.decided(&T).record.source, Source::Hit);
}
