//! Calls that ended at once without an answer, and are repeated from the timer.

use super::*;

const TWO: &str = r#"{"userinfo_endpoint": {"defaultURI":
    ["https://a.example/u", "https://b.example/u"]}, "timeout": "2s"}"#;

fn unavailable(decision: Decision, why: &str) {
    assert_eq!(decision.replied().details, format!("oidc_token_connector{{unavailable:{why}}}"));
}

#[test]
fn early_failure_is_repeated_twice_at_most() {
    for answer in [envoys("503"), Answer::CutOff] {
        let mut world = World::new(r#""timeout": "2s""#);
        let (leader, first, _) = world.held(&T);
        pauses(world.goes_on(first, &answer));
        assert_eq!(world.gate.stats().calls, 0, "nothing is under way meanwhile");
        // A request that arrives meanwhile waits for the same call.
        let follower = world.joined(&T);
        let before = world.now.moment;
        let (second, call) = world.due();
        let paused = world.now.moment.since(before).unwrap();
        assert!(paused >= millis(1) && paused <= millis(100), "{paused:?}");
        let left = seconds(2) - paused;
        assert_eq!((call.cluster.as_str(), call.timeout), ("idp.example", left));
        pauses(world.goes_on(second, &answer));
        let (third, _) = world.due();
        let (released, next) = world.goes_on(third, &answer);
        assert!(next.is_none());
        let streams: Vec<_> = released.iter().map(|r| r.stream).collect();
        assert_eq!(streams, [leader, follower]);
        let stats = world.gate.stats();
        assert_eq!((stats.repeated, stats.failed_over, stats.calls), (2, 0, 0));
        assert_eq!((stats.open, stats.probed), (0, 0));
    }
}

#[test]
fn answered_repeat_counts_as_the_call() {
    let mut world = World::new(r#""cache": {}"#);
    let (_, first, _) = world.held(&T);
    pauses(world.goes_on(first, &envoys("503")));
    let (second, call) = world.due();
    assert!(call.headers.iter().any(|header| header == ("authorization", "Bearer t")));
    let decision = over(world.declines(second, "401", &[]));
    assert_eq!(decision.record.access_log(), "invalid_token;asked;default");
    assert_eq!(world.decided(&T).record.access_log(), "invalid_token;hit;default");
}

/// Bytes came, or it was waited for, or Envoy made no call: what comes of a repeat is not known.
#[test]
fn possibly_answered_and_slow_calls_are_not_repeated() {
    for (timeout, taken, answer, why) in [
        ("2s", 0, envoys("502"), "unreachable"),
        ("2s", 0, envoys("504"), "timed_out"),
        ("2s", 0, Answer::NotSent, "not_sent"),
        ("2s", 250, envoys("503"), "unreachable"),
        ("2s", 250, Answer::CutOff, "cut_off"),
        ("100ms", 50, envoys("503"), "unreachable"),
    ] {
        let mut world = World::new(&format!(r#""timeout": "{timeout}""#));
        let (_, call, _) = world.held(&T);
        world.wait(millis(taken));
        unavailable(over(world.goes_on(call, &answer)), why);
        assert_eq!(world.gate.next_due(), None);
    }
    for (timeout, taken) in [("2s", 249), ("100ms", 49)] {
        let mut world = World::new(&format!(r#""timeout": "{timeout}""#));
        let (_, call, _) = world.held(&T);
        world.wait(millis(taken));
        pauses(world.goes_on(call, &envoys("503")));
    }
}

/// A server that closes an idle connection answers 408 to the next request on it.
#[test]
fn repeated_408_calls_the_next_site() {
    let mut world = World::of(TWO);
    let (_, first, _) = world.held(&T);
    pauses(world.declines(first, "408", &[]));
    let (second, call) = world.due();
    assert_eq!(call.cluster, "a.example");
    let (third, cluster, _) = next(world.declines(second, "408", &[]));
    assert_eq!(cluster, "b.example");
    for status in ["421", "425"] {
        let mut world = World::of(TWO);
        let (_, first, _) = world.held(&T);
        assert_eq!(next(world.declines(first, status, &[])).1, "b.example", "{status}");
    }
    pauses(world.declines(third, "408", &[]));
    let (fourth, _) = world.due();
    pauses(world.declines(fourth, "408", &[]));
    let (fifth, _) = world.due();
    let reply = over(world.declines(fifth, "408", &[])).replied();
    assert_eq!((reply.status, world.gate.stats().repeated), (408, 3));
}

/// A site that is down costs one pause if another site follows, and opens no breaker.
#[test]
fn one_repeat_before_another_site_and_two_at_the_last_site() {
    let mut world = World::of(TWO);
    let (_, call, _) = world.held(&T);
    pauses(world.goes_on(call, &envoys("503")));
    let (call, sent) = world.due();
    assert_eq!(sent.cluster, "a.example");
    let (call, cluster, _) = next(world.goes_on(call, &envoys("503")));
    assert_eq!(cluster, "b.example");
    pauses(world.goes_on(call, &envoys("503")));
    let (call, _) = world.due();
    pauses(world.goes_on(call, &envoys("503")));
    let (call, _) = world.due();
    unavailable(over(world.goes_on(call, &envoys("503"))), "unreachable");
    let stats = world.gate.stats();
    assert_eq!((stats.repeated, stats.failed_over), (3, 1));
}

/// An update of the provider's cluster ends every call, and the new cluster is there a little later.
#[test]
fn unsent_repeat_is_not_the_last_attempt() {
    let mut world = World::new("");
    let (_, call, _) = world.held(&T);
    pauses(world.goes_on(call, &Answer::CutOff));
    let (call, _) = world.due();
    pauses(world.goes_on(call, &Answer::NotSent));
    let (call, _) = world.due();
    assert_eq!(over(world.declines(call, "401", &[])).record.outcome, Outcome::InvalidToken);
}

#[test]
fn no_call_for_clients_that_left() {
    let mut world = World::new(r#""cache": {}"#);
    let (stream, call, _) = world.held(&T);
    world.gone(stream);
    let (releases, next) = world.goes_on(call, &envoys("503"));
    assert!(releases.is_empty() && next.is_none());
    assert_eq!(world.gate.next_due(), None);
    // The request ends while the lookup pauses.
    let (stream, call, _) = world.held(&T);
    pauses(world.goes_on(call, &envoys("503")));
    world.gone(stream);
    world.wait(seconds(1));
    assert!(world.tick().is_empty());
    assert_eq!((world.gate.stats().repeated, world.gate.next_due()), (0, None));
    world.held(&T);
}

/// The time of all calls about one request stays what it is.
#[test]
fn repeat_has_the_remaining_timeout() {
    let mut world = World::new(r#""timeout": "100ms""#);
    let (_, call, _) = world.held(&T);
    world.wait(millis(49));
    pauses(world.goes_on(call, &envoys("503")));
    let (call, sent) = world.due();
    let left = millis(100) - Duration::from_nanos(world.now.moment.nanos());
    assert!(sent.timeout == left && left >= millis(25), "{:?}", sent.timeout);
    // A lost report of the repeat is detected when the first call's would have been.
    world.wait(left + millis(149));
    assert!(world.tick().is_empty());
    world.wait(millis(1));
    assert_eq!(world.tick().len(), 1);
    assert!(world.end(call, &Answer::CutOff).is_empty());
}

/// Repeats in step would meet on the next connection, too.
#[test]
fn repeat_pauses_are_random() {
    let mut world = World::new("");
    let calls: Vec<_> = (0..64).map(|number| world.leads(number)).collect();
    for call in calls {
        pauses(world.goes_on(call, &envoys("503")));
    }
    let mut dues = std::collections::BTreeSet::new();
    while let Some(due) = world.gate.next_due() {
        world.wait(due.since(world.now.moment).unwrap());
        assert_eq!(world.ticks().0.len(), 0);
        dues.insert(due);
    }
    assert!(dues.len() > 48, "{} different moments", dues.len());
    assert_eq!(world.gate.stats().repeated, 64);
}

/// A pausing lookup counts for no limit, and a repeat counts like any call.
#[test]
fn repeat_needs_a_call_permit() {
    let mut world = World::new(r#""max_in_flight": 1"#);
    let (_, call, _) = world.held(&T);
    pauses(world.goes_on(call, &envoys("503")));
    world.leads(1);
    let due = world.gate.next_due().unwrap();
    world.wait(due.since(world.now.moment).unwrap());
    let mut released = world.tick();
    unavailable(released.remove(0).decision, "unreachable");
    assert_eq!(world.gate.stats().repeated, 0);
}
