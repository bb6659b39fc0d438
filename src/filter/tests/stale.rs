//! Outdated verdicts: they serve while no site answers, and never while the site answers others.

use super::*;
use crate::outcome::Reason;

const STALE: &str = r#""cache": {"ttl": "60s", "stale_if_error": "10m"},
                       "inject_headers": {"X-User": "$.sub"}"#;

/// A world in which the token has just been found good, by this answer.
fn known(members: &str, body: &[u8]) -> World {
    let mut world = World::new(members);
    world.asked(&[], "200", &JSON, body);
    world
}

const ALICE: &[u8] = br#"{"sub":"alice"}"#;

/// The token was valid, and its next request makes a call.
fn outdated(members: &str) -> World {
    let mut world = known(members, ALICE);
    world.wait(seconds(60));
    world
}

fn source(decision: &Decision) -> Source {
    decision.record.source
}

#[test]
fn outdated_verdict_serves_while_no_site_answers() {
    let mut world = outdated(STALE);
    let (_, call, _) = world.held(&T);
    world.joined(&T);
    let (released, _) = world.times_out(call, seconds(5));
    assert_eq!(released.len(), 2);
    for release in released {
        assert_eq!(release.decision.record.access_log(), "pass;stale;default");
        assert_eq!(release.decision.forwarded().set, pairs(&[("x-user", "alice")]));
    }
    for status in ["502", "503", "504"] {
        let (_, call, _) = world.held(&T);
        let decision = over(world.declines(call, status, &[]));
        assert_eq!(source(&decision), Source::Stale, "{status}");
    }
    assert_eq!(world.gate.stats().stale, 5);
    // Also while the provider wants a pause.
    let (_, call, _) = world.held(&T);
    let decision = over(world.declines(call, "503", &[("retry-after", "9")]));
    assert_eq!(source(&decision), Source::Stale);
    assert_eq!(source(&world.decided(&T)), Source::Stale);
    world.wait(seconds(9));
    // Also while no call is made.
    for number in 0..5 {
        let call = world.leads(number);
        if let (_, Some((probe, _))) = world.times_out(call, seconds(5)) {
            world.times_out(probe, seconds(5));
        }
    }
    assert_eq!(world.gate.stats().open, 1);
    assert_eq!(world.decided(&T).record.access_log(), "pass;stale;default");
    let (probe, _) = world.due();
    world.answer(probe, "401", &[], b"");
    // But not for ever: the time counts from the last real answer.
    world.wait(seconds(600));
    let (_, call, _) = world.held(&T);
    let decision = over(world.times_out(call, seconds(5)));
    assert_eq!(decision.record.outcome, Outcome::Unavailable);
}

/// A limiter, and a provider that fails on this very user, say nothing of a token's end.
#[test]
fn answers_about_one_token_are_not_bridged() {
    for (status, headers) in [
        ("429", &[][..]),
        ("429", &[("retry-after", "9")]),
        ("500", &[]),
        ("408", &[]),
        ("599", &[]),
    ] {
        let mut world = outdated(STALE);
        let (_, call, _) = world.held(&T);
        world.wait(seconds(1));
        let decision = over(world.declines(call, status, headers));
        assert_eq!(decision.record.outcome, Outcome::ProviderError, "{status}");
        if !headers.is_empty() {
            assert_eq!(world.decided(&T).record.outcome, Outcome::ProviderError);
        }
    }
}

/// Being refused here is no outage there.
#[test]
fn too_many_calls_let_no_outdated_verdict_serve() {
    // As many calls as may be.
    let mut world = outdated(&format!(r#"{STALE}, "max_in_flight": 2"#));
    world.leads(1);
    let (_, call, _) = world.held(&T);
    world.goes_on(call, &Answer::NotSent);
    let [(name, value)] = bearer(1);
    world.joined(&[(name, &value)]);
    let [(name, value)] = bearer(2);
    let details = world.decided(&[(name, &value)]).replied().details;
    assert!(details.contains("too_many_waiting"), "{details}");
    let mut world = outdated(&format!(r#"{STALE}, "max_in_flight": 1"#));
    world.leads(1);
    let decision = world.decided(&T);
    assert_eq!(
        (source(&decision), decision.record.reason),
        (Source::Filter, Some(Reason::TooManyWaiting))
    );
    // As many requests as may wait for one call.
    let mut world = outdated(STALE);
    let (_, call, _) = world.held(&T);
    for _ in 1..4096 {
        world.joined(&T);
    }
    let decision = world.decided(&T);
    assert_eq!(
        (source(&decision), decision.record.reason),
        (Source::Filter, Some(Reason::TooManyWaiting))
    );
    assert_eq!(over_all(world.answer(call, "401", &[], b"")), 4096);
    assert_eq!(world.gate.stats().stale, 0);
}

fn over_all(released: Vec<Release>) -> usize {
    let refused = |release: &Release| release.decision.record.outcome == Outcome::InvalidToken;
    assert!(released.iter().all(refused));
    released.len()
}

/// A site that serves others is not out: this token's trouble is its own.
#[test]
fn no_outdated_verdict_while_site_answers_others() {
    for (status, serves) in [
        ("200", true),
        ("401", true),
        ("404", true),
        ("400", true),
        ("302", true),
        ("429", false),
        ("500", false),
        ("503", false),
    ] {
        let check = |world: &mut World, serves: bool, when: &str| {
            let (_, call, _) = world.held(&T);
            let decision = over(world.times_out(call, seconds(5)));
            assert_eq!(source(&decision) != Source::Stale, serves, "{status} {when}");
        };
        // During the call.
        let mut world = outdated(STALE);
        let (_, call, _) = world.held(&T);
        let other = world.leads(1);
        world.answer(other, status, &[], b"");
        let decision = over(world.times_out(call, seconds(5)));
        assert_eq!(source(&decision) != Source::Stale, serves, "{status} during the call");
        // Lately, and longer ago.
        let mut world = outdated(STALE);
        let other = world.leads(1);
        world.answer(other, status, &[], b"");
        world.wait(seconds(1));
        check(&mut world, serves, "lately");
        let other = world.leads(2);
        world.answer(other, status, &[], b"");
        world.wait(millis(1001));
        check(&mut world, false, "before");
    }
}

/// Copies the shared data of the worker `there` to `here`.
fn hands_on(there: &World, here: &mut World) {
    here.shared.extend(there.shared.clone());
}

/// Another worker of the process that serves outdated verdicts too.
fn elsewhere(world: &World) -> World {
    let mut other = World::new(STALE);
    other.now = world.now;
    other
}

/// Which worker of the process hears that a site serves is a matter of chance.
#[test]
fn no_outdated_verdict_while_site_answers_another_worker() {
    for (waits, serves) in [(0, true), (1000, true), (1001, false)] {
        let mut world = outdated(STALE);
        let mut other = elsewhere(&world);
        let call = other.leads(1);
        other.answer(call, "401", &[], b"");
        hands_on(&other, &mut world);
        world.wait(millis(waits));
        let (_, call, _) = world.held(&T);
        let decision = over(world.times_out(call, seconds(5)));
        assert_eq!(source(&decision) != Source::Stale, serves, "{waits} ms before");
    }
    // During the call, and told by a worker that has heard of it itself.
    let mut world = outdated(STALE);
    let mut other = elsewhere(&world);
    let (_, call, _) = world.held(&T);
    let theirs = other.leads(1);
    other.answer(theirs, "200", &JSON, b"{}");
    hands_on(&other, &mut world);
    world.wait(millis(10));
    assert_ne!(source(&over(world.declines(call, "502", &[]))), Source::Stale);
    // A pause that began for an outage ends with an answer about this token.
    let mut world = outdated(STALE);
    let (_, call, _) = world.held(&T);
    assert_eq!(source(&over(world.declines(call, "503", &[("retry-after", "9")]))), Source::Stale);
    assert_eq!(source(&world.decided(&T)), Source::Stale);
    world.wait(seconds(3));
    let mut other = elsewhere(&world);
    let theirs = other.leads(1);
    other.answer(theirs, "200", &JSON, b"{}");
    hands_on(&other, &mut world);
    world.tick();
    assert_eq!(source(&world.decided(&T)), Source::Filter);
}

/// The same beside an open breaker, and for a request that is late.
#[test]
fn other_workers_report_counts_with_open_breaker_and_deadline() {
    let breaker = format!(r#"{STALE}, "breaker": {{"failures": 1}}"#);
    for told in [false, true] {
        let mut world = outdated(&breaker);
        let call = world.leads(1);
        let (probe, _) = world.times_out(call, seconds(5)).1.unwrap();
        world.times_out(probe, seconds(5));
        assert_eq!(world.gate.stats().open, 1);
        if told {
            let mut other = elsewhere(&world);
            let call = other.leads(2);
            other.answer(call, "401", &[], b"");
            hands_on(&other, &mut world);
        }
        assert_eq!(source(&world.decided(&T)) != Source::Stale, told);
    }
    // Late: the first site has failed, and the second has not answered yet.
    let of = |timeout: &str, deadline: &str| {
        format!(
            r#"{{"userinfo_endpoint": {{"defaultURI":
                ["https://a.example/u", "https://b.example/u"]}},
                "timeout": "{timeout}", "deadline": "{deadline}", {STALE}}}"#
        )
    };
    let (patient, hasty) = (of("10s", "20s"), of("1s", "1s"));
    for told in [false, true] {
        let mut world = World::of(&patient);
        world.asked(&[], "200", &JSON, b"{}");
        world.wait(seconds(60));
        let (_, call, _) = world.held(&T);
        world.configure_whole(&hasty);
        let joined = world.joined(&T);
        next(world.declines(call, "503", &[]));
        if told {
            let mut other = World::of(&patient);
            other.now = world.now;
            let call = other.leads(2);
            other.answer(call, "401", &[], b"");
            hands_on(&other, &mut world);
        }
        world.wait(millis(1150));
        let [late] = &world.tick()[..] else { panic!("not late") };
        assert_eq!(late.stream, joined);
        assert_eq!(source(&late.decision) != Source::Stale, told);
    }
}

/// The shared memory may contain anything.
#[test]
fn only_reports_about_this_site_count() {
    let mut other = elsewhere(&World::new(STALE));
    other.wait(seconds(60));
    let call = other.leads(1);
    other.answer(call, "401", &[], b"");
    let told: Vec<_> = other.shared.iter().map(|(s, v)| (*s, v.clone())).collect();
    let [(slot, value)] = told.as_slice() else { panic!("told once: {}", told.len()) };
    assert!(slot.name().starts_with("oidc_token_connector.served."), "{}", slot.name());
    let is_stale = |value: Vec<u8>| {
        let mut world = outdated(STALE);
        world.shared.insert(*slot, value);
        let (_, call, _) = world.held(&T);
        source(&over(world.times_out(call, seconds(5)))) == Source::Stale
    };
    assert!(!is_stale(value.clone()));
    for at in 0..value.len() {
        let mut damaged = value.clone();
        damaged[at] ^= 1;
        assert!(is_stale(damaged), "byte {at}");
        assert!(is_stale(value[..at].to_vec()), "cut at {at}");
    }
    // Another site's, and one of the future.
    let mut elsewhere = outdated(STALE);
    let fr = [("authorization", "Bearer u"), ("x-region", "FR")];
    let (_, call, _) = elsewhere.held(&fr);
    elsewhere.answer(call, "401", &[], b"");
    let foreign = elsewhere.shared.iter().find(|(other, _)| *other != slot);
    assert!(is_stale(foreign.expect("another place").1.clone()));
    other.wait(seconds(60));
    let call = other.leads(2);
    other.answer(call, "401", &[], b"");
    assert!(is_stale(other.shared[slot].clone()));
}

#[test]
fn reports_are_written_four_times_a_second_and_read_only_if_needed() {
    let told = |world: &mut World, number: u64| {
        world.shared.clear();
        let call = world.leads(number);
        world.answer(call, "200", &JSON, b"{}");
        world.shared.len()
    };
    let mut world = World::new(STALE);
    assert_eq!(told(&mut world, 1), 1);
    world.wait(millis(249));
    assert_eq!(told(&mut world, 2), 0);
    world.wait(millis(1));
    assert_eq!(told(&mut world, 3), 1);
    // No report is written if no instance allows outdated verdicts.
    let mut plain = World::new(r#""cache": {"ttl": "60s"}"#);
    assert_eq!(told(&mut plain, 1), 0);
    let call = plain.leads(2);
    plain.declines(call, "503", &[("retry-after", "9")]);
    assert_eq!(plain.read, 0);

    // Only what an outdated verdict depends on is read, and only when it does.
    let call = world.leads(4);
    world.declines(call, "503", &[]);
    assert_eq!(world.read, 0, "nothing is known of this token");
    let mut world = outdated(STALE);
    let (_, call, _) = world.held(&T);
    world.declines(call, "500", &[]);
    assert_eq!(world.read, 0, "it is no outage");
    let (_, call, _) = world.held(&T);
    world.declines(call, "503", &[("retry-after", "9")]);
    assert_eq!(world.read, 1, "a token that was known");
    world.decided(&T);
    assert_eq!(world.read, 2, "and that waits");
    let other = world.leads(5);
    world.answer(other, "401", &[], b"");
    world.decided(&T);
    assert_eq!(world.read, 2, "this worker has seen the site serve");
}

/// Of another instance: that one is impatient, the site is well.
#[test]
fn other_instances_open_breaker_lets_no_outdated_verdict_serve() {
    let hasty = format!(r#"{STALE}, "timeout": "50ms", "breaker": {{"failures": 1}}"#);
    let mut world = outdated(&hasty);
    let call = world.leads(1);
    let (_, next) = world.times_out(call, millis(50));
    world.times_out(next.unwrap().0, millis(50));
    assert_eq!(source(&world.decided(&T)), Source::Stale, "the site answers nobody");
    world.configure(STALE);
    let call = world.leads(2);
    world.answer(call, "200", &JSON, b"{}");
    let (_, call, _) = world.held(&T);
    assert_eq!(world.answer(call, "401", &[], b"").len(), 1);
    world.configure(&hasty);
    assert_ne!(world.decided(&T).record.outcome, Outcome::Pass);
}

/// A shorter timeout of another instance, or of this one, is no evidence about the provider.
#[test]
fn joining_a_shorter_timeout_is_no_outage() {
    for (lead, joiner, is_stale) in [("50ms", "20s", false), ("20s", "20s", true)] {
        let of = |timeout: &str| format!(r#"{STALE}, "timeout": "{timeout}""#);
        let mut world = outdated(&of(joiner));
        world.configure(&of(lead));
        let (_, call, _) = world.held(&T);
        world.configure(&of(joiner));
        world.joined(&T);
        let (mut released, _) = world.times_out(call, seconds(20));
        let theirs = released.pop().unwrap().decision;
        assert_eq!(source(&theirs) == Source::Stale, is_stale, "{lead} {joiner}");
        let own = released.pop().unwrap().decision;
        assert_eq!(source(&own), Source::Stale, "its own time was over");
    }
    // The call goes on, and may yet bring a refusal.
    let mut world = outdated(STALE);
    world.held(&T);
    world.configure(&format!(r#"{STALE}, "timeout": "100ms""#));
    let joined = world.joined(&T);
    world.wait(millis(250));
    let [released] = &world.tick()[..] else { panic!("not released") };
    assert_eq!(released.stream, joined);
    assert_ne!(released.decision.record.outcome, Outcome::Pass);
}

/// Of several sites each must be silent.
#[test]
fn limiting_site_is_no_outage() {
    let config = format!(
        r#"{{"userinfo_endpoint": {{"defaultURI":
            ["https://a.example/u", "https://b.example/u"]}}, {STALE}}}"#
    );
    for (first, second, serves) in
        [("503", "502", true), ("429", "502", false), ("502", "429", false), ("500", "503", false)]
    {
        let mut world = World::of(&config);
        world.asked(&[], "200", &JSON, b"{}");
        world.wait(seconds(60));
        let (_, call, _) = world.held(&T);
        let (call, ..) = next(world.declines(call, first, &[]));
        let decision = over(world.declines(call, second, &[]));
        assert_eq!(source(&decision) == Source::Stale, serves, "{first} {second}");
    }
}

/// Verdicts that the present rules do not let pass, and verdicts that a denial has ended.
#[test]
fn denial_ends_the_outdated_verdict() {
    for status in ["403", "404", "410"] {
        let mut world = outdated(STALE);
        let (_, call, _) = world.held(&T);
        world.answer(call, status, &[], b"");
        world.wait(seconds(2));
        let (_, call, _) = world.held(&T);
        let decision = over(world.times_out(call, seconds(5)));
        assert_eq!(decision.record.outcome, Outcome::Unavailable, "{status}");
    }
    for (status, body) in [("400", &b""[..]), ("405", b""), ("409", b"")] {
        let mut world = outdated(STALE);
        let (_, call, _) = world.held(&T);
        world.answer(call, status, &[], body);
        world.wait(seconds(2));
        let (_, call, _) = world.held(&T);
        let decision = over(world.times_out(call, seconds(5)));
        assert_eq!(decision.record.outcome, Outcome::Pass, "{status}");
    }
}

#[test]
fn success_renews_and_refusal_ends_the_outdated_verdict() {
    let mut world = known(STALE, b"{}");
    world.wait(seconds(60));
    world.asked(&[], "200", &JSON, b"{}");
    assert_eq!(world.decided(&T).record.source, Source::Hit);
    for members in [STALE, r#""cache": {"negative_ttl": "0s", "stale_if_error": "10m"}"#] {
        let mut world = known(members, b"{}");
        world.wait(seconds(60));
        let decision = world.asked(&[], "401", &[], b"");
        assert_eq!(decision.record.outcome, Outcome::InvalidToken);
        world.wait(seconds(6));
        let (_, call, _) = world.held(&T);
        let decision = over(world.times_out(call, seconds(5)));
        assert_eq!(decision.record.outcome, Outcome::Unavailable, "{members}");
    }
}

/// The answer counts, not whether anybody is still there to hear it.
#[test]
fn refusal_without_waiting_requests_ends_the_outdated_verdict() {
    let mut world = known(r#""cache": {"negative_ttl": "0s", "stale_if_error": "10m"}"#, b"{}");
    world.wait(seconds(60));
    let (stream, call, _) = world.held(&T);
    world.gone(stream);
    assert!(world.answer(call, "401", &[], b"").is_empty());
    let (_, call, _) = world.held(&T);
    let decision = over(world.times_out(call, seconds(5)));
    assert_eq!(decision.record.outcome, Outcome::Unavailable);
}

#[test]
fn non_outages_are_not_bridged() {
    for (status, body) in [("200", &b"<html>"[..]), ("404", b""), ("302", b"")] {
        let mut world = known(STALE, b"{}");
        world.wait(seconds(60));
        let (_, call, _) = world.held(&T);
        let decision = world.answer(call, status, &JSON, body).remove(0).decision;
        assert_ne!(decision.record.outcome, Outcome::Pass, "{status}");
    }
}

#[test]
fn outdated_verdict_respects_exp_and_configuration() {
    let exp = format!(r#"{{"exp":{}}}"#, crate::sim::START.0 + 100);
    for (members, body) in [
        (STALE, exp.as_bytes()),
        (r#""cache": {}"#, b"{}"),
        (r#""cache": {"stale_if_error": "10s"}"#, b"{}"),
    ] {
        let mut world = known(members, body);
        world.wait(seconds(100));
        let (_, call, _) = world.held(&T);
        let decision = over(world.times_out(call, seconds(5)));
        assert_eq!(decision.record.outcome, Outcome::Unavailable, "{members}");
    }
    // A negative never serves.
    let mut world = World::new(STALE);
    world.asked(&[], "401", &[], b"");
    world.wait(seconds(6));
    let (_, call, _) = world.held(&T);
    let decision = over(world.times_out(call, seconds(5)));
    assert_eq!(decision.record.outcome, Outcome::Unavailable);
    // Nor does what would not pass by the rules of now.
    let mut world = known(STALE, b"{}");
    world.configure(&format!(r#"{STALE}, "require_subject": true"#));
    world.wait(seconds(60));
    let (_, call, _) = world.held(&T);
    let decision = over(world.times_out(call, seconds(5)));
    assert_eq!(decision.record.outcome, Outcome::Unavailable);
}

#[test]
fn late_request_may_pass_by_an_outdated_verdict() {
    let mut world = known(STALE, b"{}");
    world.wait(seconds(60));
    world.held(&T);
    world.wait(seconds(6));
    let released = world.tick();
    assert_eq!(released[0].decision.record.access_log(), "pass;stale;default");
}

/// Envoy's own limits on the cluster can be filled by a caller, and no healthy host cannot be told
/// from that.
#[test]
fn unsent_call_is_no_outage() {
    let overloaded = head(&[(":status", "503"), ("x-envoy-overloaded", "true")]);
    let overloaded = Answer::Whole { head: overloaded, body: Body::Read(b"") };
    for answer in [Answer::NotSent, overloaded] {
        let mut world = outdated(STALE);
        let (_, call, _) = world.held(&T);
        let decision = over(world.goes_on(call, &answer));
        assert_eq!(
            (source(&decision), decision.record.reason),
            (Source::Asked, Some(Reason::NotSent))
        );
    }
}

/// An answer that was no outage when it came is none a second later.
#[test]
fn wait_keeps_its_call_outcome() {
    for served in [true, false] {
        let mut world = outdated(STALE);
        if served {
            let other = world.leads(1);
            world.answer(other, "200", &JSON, b"{}");
        }
        let (_, call, _) = world.held(&T);
        let decision = over(world.declines(call, "503", &[("retry-after", "9")]));
        assert_eq!(source(&decision) == Source::Stale, !served);
        world.wait(millis(1500));
        assert_eq!(source(&world.decided(&T)) == Source::Stale, !served);
    }
}
