//! Sites that fail: the next one, the breaker, `Retry-After`, and outdated verdicts.

use std::time::Duration;

use super::*;
use crate::gate::Notice;

const T: [(&str, &str); 1] = [("authorization", "Bearer t")];

/// A world with one endpoint at three sites.
fn world(members: &str) -> World {
    World::of(&sites(members))
}

fn sites(members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(
        r#"{{"userinfo_endpoint": {{"defaultURI":
            ["https://a.example/u", "https://b.example/u", "https://c.example/u"]}}{comma}{members}}}"#
    )
}

fn bearer(number: u64) -> [(&'static str, String); 1] {
    [("authorization", format!("Bearer t{number}"))]
}

impl World {
    fn leads(&mut self, number: u64) -> CallId {
        let [(name, value)] = bearer(number);
        self.held(&[(name, &value)]).1
    }

    fn refused_for(&mut self, number: u64) -> String {
        let [(name, value)] = bearer(number);
        self.decided(&[(name, &value)]).replied().details
    }

    /// The provider's own answer without a verdict.
    fn declines(&mut self, call: CallId, status: &str, headers: &[(&str, &str)]) -> Next {
        let real = [(":status", status), ("x-envoy-upstream-service-time", "1")];
        let head = head(&[&real, headers].concat());
        self.goes_on(call, &Answer::Whole { head, body: Body::Read(b"") })
    }
}

type Next = (Vec<Release>, Option<(CallId, crate::userinfo::Call)>);

fn envoys(status: &str) -> Answer<'_> {
    Answer::Whole { head: head(&[(":status", status)]), body: Body::Read(b"") }
}

/// The cluster that is asked next, and its call.
#[track_caller]
fn next((releases, next): Next) -> (CallId, String, Duration) {
    assert!(releases.is_empty(), "released: {releases:?}");
    let (id, call) = next.expect("a call");
    (id, call.cluster, call.timeout)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_next_site_is_asked_where_one_gives_no_verdict() {
    for answer in [Answer::NotSent, Answer::CutOff, envoys("502"), envoys("503"), envoys("504")] {
        let mut world = world("");
        let (leader, first, call) = world.held(&T);
        assert_eq!(call.cluster, "a.example");
        let follower = world.joined(&T);
        let (second, cluster, _) = next(world.goes_on(first, &answer));
        assert_eq!(cluster, "b.example", "{answer:?}");
        let later = world.joined(&T);
        assert!(world.end(first, &Answer::CutOff).is_empty(), "that call is over");
        let released: Vec<_> =
            world.answer(second, "200", &JSON, b"{}").into_iter().map(|r| r.stream).collect();
        assert_eq!(released, [leader, follower, later]);
        let ledger = world.gate.ledger();
        assert_eq!((ledger.failed_over, ledger.calls, ledger.waiting), (1, 0, 0));
    }
    for status in ["429", "500", "503", "599"] {
        let mut world = world("");
        let (_, first, _) = world.held(&T);
        assert_eq!(next(world.declines(first, status, &[])).1, "b.example", "{status}");
    }
}

#[test]
fn a_verdict_is_one_wherever_it_was_given() {
    for (status, body) in [
        ("401", &b""[..]),
        ("403", b""),
        ("400", b""),
        ("404", b""),
        ("302", b""),
        ("204", b""),
        ("200", b"<html>"),
        ("200", b"{}"),
    ] {
        let mut world = world("");
        let (_, call, _) = world.held(&T);
        assert_eq!(world.answer(call, status, &JSON, body).len(), 1, "{status}");
    }
}

#[test]
fn without_a_verdict_the_last_real_word_counts() {
    let mut world = world(r#""userinfo_unavailable": {"status": 503}"#);
    let (_, first, _) = world.held(&T);
    let (second, _, _) = next(world.declines(first, "429", &[("retry-after", "7")]));
    let (third, cluster, _) = next(world.declines(second, "500", &[]));
    assert_eq!(cluster, "c.example");
    let reply = world.end(third, &Answer::CutOff).remove(0).decision.replied();
    assert_eq!((reply.status, reply.header("retry-after")), (500, None));
    let (_, first, _) = world.held(&T);
    let (second, _, _) = next(world.declines(first, "429", &[("retry-after", "7")]));
    let (third, _, _) = next(world.goes_on(second, &Answer::NotSent));
    let reply = world.end(third, &envoys("503")).remove(0).decision.replied();
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")));
    let (_, first, _) = world.held(&T);
    let (second, _, _) = next(world.goes_on(first, &Answer::NotSent));
    let (third, _, _) = next(world.goes_on(second, &envoys("504")));
    let reply = world.end(third, &envoys("503")).remove(0).decision.replied();
    assert_eq!(reply.details, "oidc_token_connector{unavailable:unreachable}");
}

#[test]
fn the_last_real_word_counts_for_whoever_is_let_go_too() {
    let mut world = world(r#""timeout": "2s", "deadline": "3s""#);
    let (_, first, _) = world.held(&T);
    next(world.declines(first, "429", &[]));
    world.wait(seconds(3));
    let released = world.tick();
    assert_eq!(released[0].decision.record.outcome, Outcome::ProviderError, "a lost call");
    // Somebody whose own configuration gives it less time than the one who led.
    let (_, first, _) = world.held(&T);
    world.configure_whole(&sites(r#""timeout": "1s", "deadline": "1s""#));
    let hasty = world.joined(&T);
    next(world.declines(first, "429", &[]));
    world.wait(Duration::from_millis(1150));
    let released = world.tick();
    assert_eq!((released.len(), released[0].stream), (1, hasty));
    assert_eq!(released[0].decision.record.outcome, Outcome::ProviderError);
}

#[test]
fn all_calls_about_one_request_have_one_deadline() {
    let mut world = world(r#""timeout": "2s", "deadline": "3s""#);
    let (_, first, call) = world.held(&T);
    assert_eq!(call.timeout, seconds(2));
    world.wait(seconds(2));
    let (second, _, timeout) = next(world.goes_on(first, &envoys("504")));
    assert_eq!(timeout, seconds(1));
    world.wait(Duration::from_micros(999_500));
    // Less than the host can count is no time for a third.
    assert_eq!(world.end(second, &envoys("504")).len(), 1);
    // Whoever waits waits that long, and the grace of a lost report.
    let (_, first, _) = world.held(&T);
    world.wait(seconds(2));
    next(world.goes_on(first, &envoys("504")));
    world.wait(Duration::from_millis(1149));
    assert!(world.tick().is_empty());
    world.wait(Duration::from_millis(1));
    assert_eq!(world.tick().len(), 1);
    assert_eq!(world.gate.ledger().calls, 0);
}

/// One site; five failures in a row shut it for five seconds.
#[test]
fn a_site_that_does_not_answer_is_left_alone() {
    let mut world = World::new("");
    for number in 0..5 {
        let call = world.leads(number);
        let answer = if number % 2 == 0 { envoys("503") } else { envoys("504") };
        assert_eq!(world.end(call, &answer).len(), 1);
    }
    assert_eq!(world.gate.take_notices(), [Notice::Opened { cluster: "idp.example".into() }]);
    assert_eq!(world.refused_for(5), "oidc_token_connector{unavailable:breaker_open}");
    let ledger = world.gate.ledger();
    assert_eq!((ledger.opened, ledger.shut, ledger.refused_by_breaker), (1, 1, 1));
    // The other regions are none the worse.
    let [(name, value)] = bearer(5);
    world.held(&[(name, &value), ("x-region", "FR")]);
    // One at a time tries it.
    world.wait(seconds(5));
    let probe = world.leads(6);
    assert_eq!(world.refused_for(7), "oidc_token_connector{unavailable:breaker_open}");
    world.end(probe, &envoys("503"));
    assert_eq!(world.refused_for(8), "oidc_token_connector{unavailable:breaker_open}");
    world.wait(seconds(5));
    let probe = world.leads(9);
    world.answer(probe, "401", &[], b"");
    assert_eq!(world.gate.take_notices(), [Notice::Closed { cluster: "idp.example".into() }]);
    assert_eq!(world.gate.ledger().shut, 0);
    (10..20).for_each(|number| _ = world.leads(number));
}

#[test]
fn what_callers_can_provoke_shuts_no_site() {
    let mut world = World::new(r#""breaker": {"failures": 2}, "timeout": "1s""#);
    for number in 0..40 {
        let call = world.leads(number);
        match number % 4 {
            0 => world.answer(call, "500", &[], b""),
            1 => world.answer(call, "429", &[], b""),
            2 => world.end(call, &Answer::NotSent),
            // Broken off at once: over Envoy's limit, or a broken answer to this token.
            _ => world.end(call, &Answer::CutOff),
        };
    }
    assert_eq!(world.gate.ledger().opened, 0);
    // Over Envoy's own limit on the cluster.
    for number in 0..10 {
        let call = world.leads(number);
        let head = head(&[(":status", "503"), ("x-envoy-overloaded", "true")]);
        world.end(call, &Answer::Whole { head, body: Body::Read(b"") });
    }
    assert_eq!(world.gate.ledger().opened, 0);
    // One failure, an answer, one failure: not in a row.
    for number in 0..10 {
        let call = world.leads(number);
        world.end(call, &envoys("504"));
        let call = world.leads(number);
        world.answer(call, "401", &[], b"");
    }
    assert_eq!(world.gate.ledger().opened, 0);
    // Broken off after the whole time is a timeout.
    for number in 0..2 {
        let call = world.leads(number);
        world.wait(seconds(1));
        world.end(call, &Answer::CutOff);
    }
    assert_eq!(world.gate.ledger().opened, 1);
}

#[test]
fn a_shut_site_is_passed_over() {
    let mut world = world(r#""breaker": {"failures": 1, "open_for": "1m"}"#);
    let (_, first, _) = world.held(&T);
    let (second, _, _) = next(world.goes_on(first, &envoys("503")));
    world.answer(second, "200", &JSON, b"{}");
    let (_, call, sent) = world.held(&T);
    assert_eq!(sent.cluster, "b.example");
    let (third, cluster, _) = next(world.goes_on(call, &envoys("503")));
    assert_eq!(cluster, "c.example");
    assert_eq!(world.end(third, &envoys("503")).len(), 1);
    assert_eq!(world.gate.ledger().shut, 3);
    assert_eq!(world.refused_for(1), "oidc_token_connector{unavailable:breaker_open}");
    // Switched off, it never shuts.
    let mut world = World::new(r#""breaker": {"failures": 0}"#);
    for number in 0..20 {
        let call = world.leads(number);
        world.end(call, &envoys("503"));
    }
}

/// Instances share a site, and one of them has no breaker.
#[test]
fn only_an_answer_opens_a_shut_site() {
    let one = r#""breaker": {"failures": 1}"#;
    let mut world = World::new(r#""breaker": {"failures": 0}"#);
    let (late, second) = (world.leads(0), world.leads(1));
    world.configure(one);
    let call = world.leads(2);
    world.end(call, &envoys("503"));
    world.end(late, &envoys("503"));
    assert_eq!(world.refused_for(3), "oidc_token_connector{unavailable:breaker_open}");
    // A probe of an instance without one is the only one, too, and the next may follow at once.
    world.wait(seconds(5));
    world.configure(r#""breaker": {"failures": 0}"#);
    let probe = world.leads(4);
    assert_eq!(world.refused_for(5), "oidc_token_connector{unavailable:breaker_open}");
    world.end(probe, &envoys("503"));
    assert_eq!(world.gate.ledger().shut, 1);
    world.leads(6);
    world.answer(second, "200", &JSON, b"{}");
    assert_eq!(world.gate.ledger().shut, 0);
}

/// A probe can outlast the shutting that it was to end.
#[test]
fn an_old_probe_says_nothing_of_a_new_shutting() {
    let members = r#""breaker": {"failures": 1, "open_for": "1s"}, "timeout": "10s""#;
    let mut world = World::new(members);
    let (late, call) = (world.leads(0), world.leads(1));
    world.end(call, &envoys("503"));
    world.wait(seconds(1));
    let old = world.leads(2);
    world.answer(late, "200", &JSON, b"{}");
    let call = world.leads(3);
    world.end(call, &envoys("503"));
    world.wait(seconds(1));
    let probe = world.leads(4);
    world.end(old, &envoys("503"));
    world.wait(seconds(1));
    assert_eq!(world.refused_for(5), "oidc_token_connector{unavailable:breaker_open}");
    world.answer(probe, "200", &JSON, b"{}");
    world.leads(6);
}

#[test]
fn a_lost_probe_is_a_failed_one() {
    let mut world = World::new(r#""breaker": {"failures": 1}, "timeout": "1s""#);
    let call = world.leads(0);
    world.end(call, &envoys("503"));
    world.wait(seconds(5));
    let (stream, probe) = {
        let [(name, value)] = bearer(1);
        let (stream, probe, _) = world.held(&[(name, &value)]);
        (stream, probe)
    };
    world.gate.gone(stream);
    world.wait(seconds(2));
    assert!(world.tick().is_empty());
    assert!(world.end(probe, &envoys("503")).is_empty());
    assert_eq!(world.refused_for(2), "oidc_token_connector{unavailable:breaker_open}");
    world.wait(seconds(5));
    world.leads(3);
}

#[test]
fn a_site_that_asks_for_a_pause_gets_one() {
    let unavailable = r#""userinfo_unavailable": {"status": 503, "retry_after": "2s"}"#;
    for (status, wait, seconds_left) in [("503", "5", 5), ("503", "3600", 3600), ("429", "5", 5)] {
        let mut world = World::new(unavailable);
        for number in 0..2 {
            let call = world.leads(number);
            let answer = world.answer(call, status, &[("retry-after", wait)], b"");
            assert_eq!(answer[0].decision.record.outcome, Outcome::ProviderError);
            if status == "503" {
                break;
            }
        }
        let [(name, value)] = bearer(5);
        let reply = world.decided(&[(name, &value)]).replied();
        assert_eq!(reply.details, "oidc_token_connector{unavailable:slowed_down}");
        assert_eq!(reply.header("retry-after"), Some(&*seconds_left.to_string()));
        // One call a second.
        world.wait(seconds(1));
        let probe = world.leads(6);
        assert_eq!(world.refused_for(7), "oidc_token_connector{unavailable:slowed_down}");
        // It says what the provider said, but is heeded for ten seconds at most.
        if wait == "3600" {
            world.wait(seconds(10));
            (20..24).for_each(|number| _ = world.leads(number));
            continue;
        }
        // A good answer ends the pause at once.
        world.answer(probe, "200", &JSON, b"{}");
        (8..12).for_each(|number| _ = world.leads(number));
    }
    // Switched off with the breaker.
    let mut world = World::new(r#""breaker": {"failures": 0}"#);
    for number in 0..5 {
        let call = world.leads(number);
        world.answer(call, "503", &[("retry-after", "5")], b"");
    }
    // The larger of the two.
    let mut world = World::new(unavailable);
    let call = world.leads(0);
    world.answer(call, "503", &[("retry-after", "1")], b"");
    let [(name, value)] = bearer(1);
    assert_eq!(world.decided(&[(name, &value)]).replied().header("retry-after"), Some("2"));
    world.wait(seconds(1));
    world.leads(2);
    world.leads(3);
}

#[test]
fn an_answer_to_what_was_asked_before_a_pause_does_not_end_it() {
    let mut world = World::new("");
    let (early, call) = (world.leads(0), world.leads(1));
    world.answer(call, "503", &[("retry-after", "5")], b"");
    world.answer(early, "200", &JSON, b"{}");
    assert_eq!(world.refused_for(2), "oidc_token_connector{unavailable:slowed_down}");
}

/// One token is one user, in however many regions.
#[test]
fn one_token_in_two_regions_slows_nobody() {
    let one = r#"["https://a.example/u"]"#;
    let mut world = World::of(&format!(
        r#"{{"userinfo_endpoint": {{"regionCodeHeader": "X-Region",
            "regionCodeValue": {{"FR": {one}, "DE": {one}}}, "defaultURI": {one}}}}}"#
    ));
    for region in ["FR", "DE", "FR", "DE"] {
        let (_, call, _) = world.held(&[T[0], ("x-region", region)]);
        world.answer(call, "429", &[("retry-after", "5")], b"");
    }
    world.leads(2);
    let [(name, value)] = bearer(3);
    let (_, call, _) = world.held(&[(name, &value), ("x-region", "FR")]);
    world.answer(call, "429", &[("retry-after", "5")], b"");
    let [(name, value)] = bearer(4);
    world.decided(&[(name, &value), ("x-region", "DE")]);
}

/// A site that has said how long to wait says more than one that says nothing.
#[test]
fn the_pause_that_a_site_asks_for_reaches_the_client() {
    let mut world = world(
        r#""breaker": {"failures": 1, "open_for": "60s"},
           "userinfo_unavailable": {"status": 503, "retry_after": "2s"}"#,
    );
    let first = world.leads(0);
    let (second, ..) = next(world.goes_on(first, &envoys("503")));
    let (third, ..) = next(world.declines(second, "503", &[("retry-after", "30")]));
    world.goes_on(third, &envoys("503"));
    let [(name, value)] = bearer(1);
    let reply = world.decided(&[(name, &value)]).replied();
    assert_eq!(reply.header("retry-after"), Some("30"));
}

/// A thousand calls may hold such a word at a time.
#[test]
fn a_long_word_is_held_without_its_text() {
    let members = r#""error_metadata_location": "ResponseHeaders", "error_header_name": "X-Why""#;
    for size in [8192, 8193, 70_000] {
        let mut world = world(members);
        let first = world.leads(0);
        let body = vec![b' '; size];
        let head = head(&[
            (":status", "429"),
            ("x-envoy-upstream-service-time", "1"),
            ("retry-after", "7"),
            ("x-why", "slowly"),
        ]);
        let body = if size > 65_536 { Body::TooLarge } else { Body::Read(&body) };
        let (second, ..) = next(world.goes_on(first, &Answer::Whole { head, body }));
        let (third, ..) = next(world.goes_on(second, &Answer::CutOff));
        let (mut releases, _) = world.goes_on(third, &Answer::CutOff);
        let reply = releases.remove(0).decision.replied();
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")), "{size}");
    }
}

/// Envoy's timers run a little early by the clock that the filter reads.
#[test]
fn an_answer_that_stalls_speaks_against_the_site() {
    for (taken, shuts) in [(400, false), (979, false), (981, true), (1000, true)] {
        let mut world = World::new(r#""breaker": {"failures": 1}, "timeout": "1s""#);
        let call = world.leads(0);
        world.wait(Duration::from_millis(taken));
        world.goes_on(call, &Answer::CutOff);
        assert_eq!(world.gate.ledger().opened, u64::from(shuts), "{taken} ms");
    }
}

/// Many providers limit each user: one of them must not be able to hold up the others.
#[test]
fn one_users_limit_slows_nobody_else() {
    let mut world = World::new("");
    for _ in 0..10 {
        let call = world.leads(1);
        world.answer(call, "429", &[("retry-after", "5")], b"");
        let call = world.leads(2);
        world.answer(call, "200", &JSON, b"{}");
    }
    assert_eq!(world.gate.ledger().refused_by_breaker, 0);
}

#[test]
fn a_site_takes_so_many_calls_and_no_more() {
    let mut world = world(r#""max_in_flight": 2"#);
    let calls: Vec<_> = (0..6).map(|number| world.leads(number)).collect();
    assert_eq!(world.refused_for(6), "oidc_token_connector{unavailable:too_many_waiting}");
    world.answer(calls[3], "401", &[], b"");
    world.leads(7);
    assert_eq!(world.gate.ledger().refused_by_cap, 1);
}

const STALE: &str = r#""cache": {"ttl": "60s", "stale_if_error": "10m"},
                       "inject_headers": {"X-User": "$.sub"}"#;

/// A world in which the token has just been found good, by this answer.
fn known(members: &str, body: &[u8]) -> World {
    let mut world = World::new(members);
    world.asked(&[], "200", &JSON, body);
    world
}

#[test]
fn an_outdated_verdict_serves_while_nobody_answers() {
    let mut world = known(STALE, br#"{"sub":"alice"}"#);
    world.wait(seconds(60));
    let (_, call, _) = world.held(&T);
    world.joined(&T);
    for release in world.end(call, &envoys("503")) {
        assert_eq!(release.decision.record.access_log(), "pass;stale;default");
        assert_eq!(release.decision.forwarded().set, pairs(&[("x-user", "alice")]));
    }
    for status in ["429", "500"] {
        let decision = world.asked(&[], status, &[], b"");
        assert_eq!(decision.record.source, Source::Stale);
    }
    assert_eq!(world.gate.ledger().stale, 4);
    // Also where nobody is asked any more.
    for number in 0..5 {
        let call = world.leads(number);
        world.end(call, &envoys("503"));
    }
    assert_eq!(world.decided(&T).record.access_log(), "pass;stale;default");
    // But not for ever: the time counts from the last real answer.
    world.wait(seconds(600));
    let (_, call, _) = world.held(&T);
    let decision = world.end(call, &envoys("503")).remove(0).decision;
    assert_eq!(decision.record.outcome, Outcome::Unavailable);
}

#[test]
fn a_success_refreshes_and_a_refusal_ends_it() {
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
        let decision = world.end(call, &envoys("503")).remove(0).decision;
        assert_eq!(decision.record.outcome, Outcome::Unavailable, "{members}");
    }
}

/// The answer counts, not whether anybody is still there to hear it.
#[test]
fn a_refusal_that_nobody_waits_for_ends_it() {
    let mut world = known(r#""cache": {"negative_ttl": "0s", "stale_if_error": "10m"}"#, b"{}");
    world.wait(seconds(60));
    let (stream, call, _) = world.held(&T);
    world.gate.gone(stream);
    assert!(world.answer(call, "401", &[], b"").is_empty());
    let (_, call, _) = world.held(&T);
    let decision = world.end(call, &envoys("503")).remove(0).decision;
    assert_eq!(decision.record.outcome, Outcome::Unavailable);
}

#[test]
fn what_is_no_outage_is_not_bridged() {
    for (status, body) in [("200", &b"<html>"[..]), ("404", b""), ("302", b"")] {
        let mut world = known(STALE, b"{}");
        world.wait(seconds(60));
        let (_, call, _) = world.held(&T);
        let decision = world.answer(call, status, &JSON, body).remove(0).decision;
        assert_ne!(decision.record.outcome, Outcome::Pass, "{status}");
    }
}

#[test]
fn nothing_outlives_its_own_end_or_serves_where_it_may_not() {
    let exp = format!(r#"{{"exp":{}}}"#, crate::sim::START.0 + 100);
    for (members, body) in [
        (STALE, exp.as_bytes()),
        (r#""cache": {}"#, b"{}"),
        (r#""cache": {"stale_if_error": "10s"}"#, b"{}"),
    ] {
        let mut world = known(members, body);
        world.wait(seconds(100));
        let (_, call, _) = world.held(&T);
        let decision = world.end(call, &envoys("503")).remove(0).decision;
        assert_eq!(decision.record.outcome, Outcome::Unavailable, "{members}");
    }
    // A negative never serves.
    let mut world = World::new(STALE);
    world.asked(&[], "401", &[], b"");
    world.wait(seconds(6));
    let (_, call, _) = world.held(&T);
    let decision = world.end(call, &envoys("503")).remove(0).decision;
    assert_eq!(decision.record.outcome, Outcome::Unavailable);
    // Nor does what would not pass by the rules of now.
    let mut world = known(STALE, b"{}");
    world.configure(&format!(r#"{STALE}, "require_subject": true"#));
    world.wait(seconds(60));
    let (_, call, _) = world.held(&T);
    let decision = world.end(call, &envoys("503")).remove(0).decision;
    assert_eq!(decision.record.outcome, Outcome::Unavailable);
}

#[test]
fn whoever_is_not_answered_in_time_may_be_let_pass_by_what_was_known() {
    let mut world = known(STALE, b"{}");
    world.wait(seconds(60));
    world.held(&T);
    world.wait(seconds(6));
    let released = world.tick();
    assert_eq!(released[0].decision.record.access_log(), "pass;stale;default");
}

#[test]
fn the_identifiers_of_the_one_who_leads_go_along() {
    let mut world = World::new(r#""userinfo_headers": {"Traceparent": "fixed"}"#);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (_, _, call) =
        world.held(&[T[0], ("x-request-id", "one"), ("traceparent", parent), ("cookie", "c")]);
    world.joined(&[T[0], ("x-request-id", "two")]);
    let sent: Vec<_> = call.headers.iter().filter(|(n, _)| n.starts_with(['x', 't'])).collect();
    assert_eq!(sent, [("traceparent", "fixed"), ("x-request-id", "one")]);
}
