//! Many requests with the same key.

use std::time::Duration;

use super::*;
use crate::filter::lookups::{MOST_HELD, MOST_WAITING};

/// `max_in_flight` where it is not configured.
const MOST_CALLS: usize = 1024;

const T: [(&str, &str); 1] = [("authorization", "Bearer t")];

/// The catalogue's rows 153 and 159.
#[test]
fn joined_requests_share_one_answer() {
    let mut world = World::new(r#""inject_headers": {"X-User": "$.sub"}"#);
    for (status, outcome) in
        [("200", Outcome::Pass), ("401", Outcome::InvalidToken), ("500", Outcome::ProviderError)]
    {
        let (leader, call, _) = world.held(&T);
        let mut waiting = vec![leader];
        waiting.extend((0..99).map(|_| world.joined(&T)));
        assert_eq!((world.gate.stats().calls, world.gate.stats().waiting), (1, 100));
        let releases = world.answer(call, status, &JSON, br#"{"sub":"alice"}"#);
        let released: Vec<_> = releases.iter().map(|release| release.stream).collect();
        assert_eq!(released, waiting);
        for Release { stream, decision } in releases {
            let source = if stream == leader { Source::Asked } else { Source::Joined };
            assert_eq!((decision.record.outcome, decision.record.source), (outcome, source));
            if status == "200" {
                assert_eq!(decision.forwarded().set, pairs(&[("x-user", "alice")]));
            }
        }
        assert_eq!((world.gate.stats().calls, world.gate.stats().waiting), (0, 0));
    }
    // The next one makes a new call.
    world.held(&T);
}

/// The catalogue's rows 154, 155 and 128.
#[test]
fn leaving_client_does_not_affect_others() {
    let mut world = World::new(r#""cache": {}"#);
    let (leader, call, _) = world.held(&T);
    let followers: Vec<_> = (0..10).map(|_| world.joined(&T)).collect();
    assert!(world.gone(leader));
    for follower in &followers[..5] {
        assert!(world.gone(*follower));
    }
    let late = world.joined(&T);
    let released: Vec<_> =
        world.answer(call, "200", &JSON, b"{}").into_iter().map(|r| r.stream).collect();
    assert_eq!(released, [&followers[5..], &[late]].concat());
    assert!(!world.gone(late));
    // The answer is cached even if all requests have gone.
    let other = [("authorization", "Bearer u")];
    let (alone, call, _) = world.held(&other);
    world.gone(alone);
    assert_eq!((world.gate.stats().calls, world.gate.stats().waiting), (1, 0));
    assert!(world.answer(call, "200", &JSON, b"{}").is_empty());
    assert_eq!(world.decided(&other).record.source, Source::Hit);
}

/// The catalogue's rows 157 and 158.
#[test]
fn joined_request_gets_its_own_instances_headers() {
    let mut world = World::new(r#""inject_headers": {"X-User": "$.sub"}"#);
    let (_, call, _) = world.held(&T);
    let (_, french, sent) = world.held(&[T[0], ("x-region", "FR")]);
    assert_eq!(sent.cluster, "fr.idp.example");
    world.configure(r#""inject_headers": {"X-Mail": "$.email"}, "max_userinfo_bytes": 20"#);
    world.joined(&T);
    world.configure(
        r#""inject_headers": {"X-Mail": "$.email"}, "block_authorization_header": false"#,
    );
    world.joined(&[T[0], ("x-mail", "spoof")]);
    assert_eq!(world.gate.answer_limit(call), 65_536);
    let body = br#"{"sub":"alice","email":"a@example"}"#;
    let mut releases = world.answer(call, "200", &JSON, body).into_iter();
    let mut next = || releases.next().unwrap().decision;
    assert_eq!(next().forwarded().set, pairs(&[("x-user", "alice")]));
    assert_eq!(next().replied().details, "oidc_token_connector{unusable:too_large}");
    let edit = next().forwarded();
    assert_eq!((edit.set, edit.remove), (pairs(&[("x-mail", "a@example")]), names(&["x-mail"])));
    assert_eq!(world.answer(french, "401", &[], b"").len(), 1);
}

/// The catalogue's row 161.
#[test]
fn joined_request_does_not_wait_past_its_own_deadline() {
    let mut world = World::new(r#""timeout": "10s""#);
    let (leader, call, _) = world.held(&T);
    world.configure(r#""timeout": "1s""#);
    world.wait(Duration::from_secs(8));
    let hasty = world.joined(&T);
    world.wait(Duration::from_millis(1149));
    assert!(world.tick().is_empty());
    world.wait(Duration::from_millis(1));
    let late = world.tick();
    assert_eq!(late.len(), 1);
    assert_eq!((late[0].stream, late[0].decision.record.outcome), (hasty, Outcome::Unavailable));
    // One that joins when the host is about to give up shares that.
    let last = world.joined(&T);
    let released: Vec<_> = world.end(call, &Answer::CutOff).into_iter().map(|r| r.stream).collect();
    assert_eq!(released, [leader, last]);
}

#[test]
fn unreported_call_ends_at_the_deadline() {
    let mut world = World::new(r#""timeout": "1s", "cache": {}"#);
    let (leader, call, _) = world.held(&T);
    let follower = world.joined(&T);
    let (alone, other, _) = world.held(&[("authorization", "Bearer u")]);
    world.gone(alone);
    world.wait(Duration::from_millis(1150));
    let released: Vec<_> = world.tick().into_iter().map(|r| r.stream).collect();
    assert_eq!(released, [leader, follower]);
    assert_eq!((world.gate.stats().calls, world.gate.stats().waiting), (0, 0));
    for call in [call, other] {
        assert!(world.answer(call, "200", &JSON, b"{}").is_empty());
    }
    // A late answer is not cached: another call may have been made since.
    world.held(&T);
}

/// The catalogue's row 160.
#[test]
fn unsent_call_leaves_nothing() {
    let mut world = World::new("");
    for _ in 0..3 {
        let (_, call, _) = world.held(&T);
        assert_eq!(world.end(call, &Answer::NotSent).len(), 1);
        assert_eq!(world.gate.stats().calls, 0);
    }
}

/// The catalogue's row 166.
#[test]
fn too_many_requests_for_one_call_are_refused_at_once() {
    let mut world = World::new("");
    let (_, call, _) = world.held(&T);
    for _ in 1..MOST_WAITING {
        world.joined(&T);
    }
    let decision = world.decided(&T);
    assert_eq!(decision.record.access_log(), "unavailable;none;default");
    assert_eq!(decision.replied().details, "oidc_token_connector{unavailable:too_many_waiting}");
    assert_eq!(world.gate.stats().refused_by_cap, 1);
    assert_eq!(world.answer(call, "200", &JSON, b"{}").len(), MOST_WAITING);
}

#[test]
fn too_many_waiting_requests_are_refused_at_once() {
    let mut world = World::new("");
    let bearer = |n: usize| format!("Bearer {}", n / MOST_WAITING);
    for n in 0..MOST_HELD {
        world.admit(&[("authorization", &bearer(n))]);
    }
    assert_eq!(world.gate.stats().waiting, MOST_HELD);
    let bearers = [bearer(0), "Bearer new".to_owned()];
    for bearer in &bearers {
        let decision = world.decided(&[("authorization", bearer)]);
        let details = "oidc_token_connector{unavailable:too_many_waiting}";
        assert_eq!(decision.replied().details, details);
    }
}

/// The catalogue's row 156.
#[test]
fn too_many_calls_are_refused_at_once() {
    let mut world = World::new(r#""userinfo_unavailable": {"status": 503}"#);
    let calls: Vec<_> = (0..MOST_CALLS)
        .map(|n| world.held(&[("authorization", &format!("Bearer {n}"))]).1)
        .collect();
    for n in MOST_CALLS..10_000 {
        let decision = world.decided(&[("authorization", &format!("Bearer {n}"))]);
        assert_eq!(decision.replied().status, 503);
    }
    // A call under way may still be joined.
    world.joined(&[("authorization", "Bearer 7")]);
    assert_eq!(world.answer(calls[7], "200", &JSON, b"{}").len(), 2);
    world.held(&[("authorization", "Bearer next")]);
    let (calls, refused) = (world.gate.stats().calls, world.gate.stats().refused_by_cap);
    assert_eq!((calls, refused), (MOST_CALLS, (10_000 - MOST_CALLS) as u64));
}

/// The catalogue's row 168.
#[test]
fn call_numbers_may_wrap() {
    let mut world = World::new("");
    world.gate.questions.lookups.next = u64::MAX;
    let (_, last, _) = world.held(&[("authorization", "Bearer a")]);
    let (_, first, _) = world.held(&[("authorization", "Bearer b")]);
    assert_eq!((last, first), (CallId(u64::MAX), CallId(0)));
    assert_eq!(world.answer(first, "200", &JSON, b"{}").len(), 1);
    assert_eq!(world.answer(last, "401", &[], b"").len(), 1);
}

#[test]
fn abandoned_call_is_dropped() {
    let mut world = World::new("");
    let (stream, call, _) = world.held(&T);
    world.gate.abandon();
    assert_eq!((world.gate.stats().calls, world.gate.stats().waiting), (0, 0));
    assert!(!world.gone(stream));
    assert!(world.answer(call, "200", &JSON, b"{}").is_empty());
}
