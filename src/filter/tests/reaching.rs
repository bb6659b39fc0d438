//! Failing sites: the next one, within one deadline, and the last answer of a provider.

use std::time::Duration;

use super::*;
use crate::filter::StreamId;

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

#[test]
fn next_site_is_called_without_a_verdict() {
    for answer in [Answer::NotSent, Answer::CutOff, envoys("502"), envoys("503"), envoys("504")] {
        let mut world = world("");
        let (leader, first, call) = world.held(&T);
        assert_eq!(call.cluster, "a.example");
        let follower = world.joined(&T);
        // So long that nothing is repeated.
        world.wait(millis(250));
        let (second, cluster, _) = next(world.goes_on(first, &answer));
        assert_eq!(cluster, "b.example", "{answer:?}");
        let later = world.joined(&T);
        assert!(world.end(first, &Answer::CutOff).is_empty(), "that call is over");
        let released: Vec<_> =
            world.answer(second, "200", &JSON, b"{}").into_iter().map(|r| r.stream).collect();
        assert_eq!(released, [leader, follower, later]);
        let stats = world.gate.stats();
        assert_eq!((stats.failed_over, stats.calls, stats.waiting), (1, 0, 0));
    }
    for status in ["421", "425", "429", "500", "502", "503", "504", "599"] {
        let mut world = world("");
        let (_, first, _) = world.held(&T);
        assert_eq!(next(world.declines(first, status, &[])).1, "b.example", "{status}");
    }
}

#[test]
fn verdict_of_any_site_is_final() {
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
fn without_verdict_the_last_provider_answer_counts() {
    let mut world = world(r#""userinfo_unavailable": {"status": 503}"#);
    let (_, first, _) = world.held(&T);
    let (second, _, _) = next(world.declines(first, "429", &[("retry-after", "7")]));
    let (third, cluster, _) = next(world.declines(second, "500", &[]));
    assert_eq!(cluster, "c.example");
    let reply = over(world.goes_on(third, &envoys("502"))).replied();
    assert_eq!((reply.status, reply.header("retry-after")), (500, None));
    let (_, first, _) = world.held(&T);
    let (second, _, _) = next(world.declines(first, "429", &[("retry-after", "7")]));
    let (third, _, _) = next(world.goes_on(second, &Answer::NotSent));
    let reply = over(world.goes_on(third, &envoys("502"))).replied();
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")));
    let (_, first, _) = world.held(&T);
    let (second, _, _) = next(world.goes_on(first, &Answer::NotSent));
    let (third, _, _) = next(world.goes_on(second, &envoys("504")));
    let reply = over(world.goes_on(third, &envoys("502"))).replied();
    assert_eq!(reply.details, "oidc_token_connector{unavailable:unreachable}");
}

#[test]
fn released_requests_get_the_last_real_answer() {
    let mut world = world(r#""timeout": "2s", "deadline": "3s""#);
    let (_, first, _) = world.held(&T);
    next(world.declines(first, "429", &[]));
    world.wait(seconds(3));
    let released = world.tick();
    assert_eq!(released[0].decision.record.outcome, Outcome::ProviderError, "a lost call");
    // A request whose own configuration has a shorter deadline than the first one's.
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
fn all_calls_of_a_request_share_one_deadline() {
    let mut world = world(r#""timeout": "2s", "deadline": "3s""#);
    let (_, first, call) = world.held(&T);
    assert_eq!(call.timeout, seconds(2));
    world.wait(seconds(2));
    let (second, _, timeout) = next(world.goes_on(first, &envoys("504")));
    assert_eq!(timeout, seconds(1));
    world.wait(Duration::from_micros(999_500));
    // Less than the host can count is no time for a third.
    assert_eq!(world.end(second, &envoys("504")).len(), 1);
    // A request waits that long, plus the grace for a lost report.
    let (_, first, _) = world.held(&T);
    world.wait(seconds(2));
    next(world.goes_on(first, &envoys("504")));
    world.wait(Duration::from_millis(1149));
    assert!(world.tick().is_empty());
    world.wait(Duration::from_millis(1));
    assert_eq!(world.tick().len(), 1);
    assert_eq!(world.gate.stats().calls, 0);
}

/// A thousand calls may hold such an answer at a time.
#[test]
fn long_answer_is_kept_without_its_body() {
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
        let (third, ..) = next(world.goes_on(second, &envoys("504")));
        let reply = over(world.goes_on(third, &envoys("504"))).replied();
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")), "{size}");
    }
}

#[test]
fn call_has_the_first_requests_identifiers() {
    let mut world = World::new(r#""userinfo_headers": {"Traceparent": "fixed"}"#);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (_, _, call) =
        world.held(&[T[0], ("x-request-id", "one"), ("traceparent", parent), ("cookie", "c")]);
    world.joined(&[T[0], ("x-request-id", "two")]);
    let sent: Vec<_> = call.headers.iter().filter(|(n, _)| n.starts_with(['x', 't'])).collect();
    assert_eq!(sent, [("traceparent", "fixed"), ("x-request-id", "one")]);
}

/// The order decides when a breaker asks, and must not be that of a hash table.
#[test]
fn lost_calls_are_settled_in_their_order() {
    let mut world = World::new(r#""timeout": "2s""#);
    let streams: Vec<StreamId> = (0..50)
        .map(|number| {
            let [(name, value)] = bearer(number);
            world.held(&[(name, &value)]).0
        })
        .collect();
    world.wait(Duration::from_secs(3));
    // Beside them the breaker's probe.
    let (released, _) = world.ticks();
    assert_eq!(released.iter().map(|release| release.stream).collect::<Vec<_>>(), streams);
}
