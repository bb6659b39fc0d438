//! What a route requires: every request of it meets it, and it changes nothing else.

use std::collections::BTreeSet;

use super::*;
use crate::claims::ClaimFaults;
use crate::outcome::Reason;
use crate::provider::call_outcome::CallOutcome;
use crate::sim::jwt;

const STAFF: &[u8] = br#"{"sub":"a","group":"staff"}"#;
const GUEST: &[u8] = br#"{"sub":"a","group":"guest"}"#;
const OPEN: &str = r#""cache": {"shared": true, "stale_if_error": "10m"}"#;
const CLOSED: &str = r#""cache": {"shared": true, "stale_if_error": "10m"},
                        "require_claims": {"$.group": "staff"}"#;

#[track_caller]
fn is_refused(decision: Decision, source: Source) {
    let record = &decision.record;
    assert_eq!((record.outcome, record.source), (Outcome::ClaimRefused, source));
    assert_eq!(record.reason, Some(Reason::ClaimUnmet));
    assert_eq!(record.call_outcome, Some(CallOutcome::Accepted));
    let reply = decision.replied();
    assert_eq!((reply.status, reply.header("www-authenticate")), (403, None));
    assert_eq!(reply.details, "oidc_token_connector{claim_refused:claim_unmet}");
}

#[test]
fn only_users_with_the_claim_pass() {
    let mut world = World::new(CLOSED);
    let decision = world.asked(&[], "200", &JSON, STAFF);
    assert_eq!(decision.record.outcome, Outcome::Pass);
    let mut world = World::new(CLOSED);
    is_refused(world.asked(&[], "200", &JSON, GUEST), Source::Asked);
    is_refused(world.decided(&T), Source::Hit);
}

#[test]
fn what_is_no_json_has_no_claims() {
    let mut world = World::new(r#""accept_any_200": true, "require_claims": {"$": "a"}"#);
    is_refused(world.asked(&[], "200", &[], b"<html>"), Source::Asked);
}

/// Neither error set nor `map` make another reply of it.
#[test]
fn reply_is_the_same_with_every_setting() {
    for more in [
        r#""enable_error_set": true, "error_set": {"code": 401}"#,
        r#""provider_errors": "map", "userinfo_unavailable": {"status": 503}"#,
    ] {
        let mut world = World::new(&format!("{CLOSED}, {more}"));
        is_refused(world.asked(&[], "200", &JSON, GUEST), Source::Asked);
    }
    let mut world = World::new(CLOSED);
    let grpc = [("content-type", "application/grpc")];
    is_refused(world.asked(&grpc, "200", &JSON, GUEST), Source::Asked);
}

#[test]
fn every_route_judges_what_is_kept_by_its_own_rule() {
    for (first, second) in [(OPEN, CLOSED), (CLOSED, OPEN)] {
        let mut world = World::new(first);
        world.asked(&[], "200", &JSON, GUEST);
        let mut other = World::new(second);
        other.shared = world.shared.clone();
        world.configure(second);
        for (world, source) in [(&mut world, Source::Hit), (&mut other, Source::Shared)] {
            let decision = world.decided(&T);
            if second == CLOSED {
                is_refused(decision, source);
            } else {
                assert_eq!(
                    (decision.record.outcome, decision.record.source),
                    (Outcome::Pass, source)
                );
            }
        }
    }
}

#[test]
fn who_joins_a_call_is_judged_by_its_own_rule() {
    let mut world = World::new(CLOSED);
    let (leads, call, _) = world.held(&T);
    world.configure(OPEN);
    world.joined(&T);
    for Release { stream, decision } in world.answer(call, "200", &JSON, GUEST) {
        if stream == leads {
            is_refused(decision, Source::Asked);
        } else {
            assert_eq!(decision.record.outcome, Outcome::Pass);
        }
    }
}

/// Kept, shared and remembered is the same with the rule as without.
#[test]
fn what_is_kept_does_not_depend_on_the_rule() {
    let soon = format!(r#"{{"group":"guest","exp":{}}}"#, crate::sim::START.0 + 20);
    for body in [GUEST, soon.as_bytes()] {
        let [open, closed] = [OPEN, CLOSED].map(|members| {
            let mut world = World::new(members);
            world.asked(&[], "200", &JSON, body);
            world
        });
        let shared = |world: &World| world.shared.values().cloned().collect::<BTreeSet<_>>();
        assert_eq!(shared(&open), shared(&closed));
        let kept = |world: &World| (world.gate.stats().entries, world.gate.stats().stored);
        assert_eq!((kept(&open), kept(&closed)), ((1, 1), (1, 1)));
        for mut world in [open, closed] {
            world.wait(seconds(19));
            assert_eq!(world.decided(&T).record.source, Source::Hit);
            world.wait(seconds(1));
            if body == GUEST {
                assert_eq!(world.decided(&T).record.source, Source::Hit);
            } else {
                world.held(&T);
            }
        }
    }
}

/// A user without the claim is no outage, and does not get in by one.
#[test]
fn outdated_verdict_is_judged_too() {
    let mut world = World::new(CLOSED);
    world.asked(&[], "200", &JSON, GUEST);
    world.wait(seconds(60));
    let (_, call, _) = world.held(&T);
    let decision = over(world.times_out(call, seconds(5)));
    is_refused(decision, Source::Stale);
}

#[test]
fn preflight_has_no_user() {
    let mut world = World::new(r#""preflight": "pass", "require_claims": {"$.a": 1}"#);
    let preflight = [
        (":method", "OPTIONS"),
        ("origin", "https://a.example"),
        ("access-control-request-method", "GET"),
    ];
    assert_eq!(world.decided(&preflight).record.outcome, Outcome::Preflight);
}

/// The token of a request that is a hit, waits, or is shared is read like that of one that asks.
#[test]
fn claims_of_the_token_are_required_on_every_way_to_a_verdict() {
    const SCOPED: &str = r#""cache": {"shared": true, "stale_if_error": "10m"},
                            "require_scope": ["orders:read"]"#;
    let token = jwt(r#"{"scope":"orders:read"}"#);
    let other = jwt(r#"{"scope":"orders:write"}"#);
    for (bearer, passes) in [(&token, true), (&other, false), (&"Bearer opaque".to_owned(), false)]
    {
        let headers = [("authorization", bearer.as_str())];
        let check = |decision: &Decision, source| {
            let outcome = if passes { Outcome::Pass } else { Outcome::Forbidden };
            assert_eq!((decision.record.outcome, decision.record.source), (outcome, source));
        };
        let mut open = World::new(OPEN);
        let (_, call, _) = open.held(&headers);
        open.configure(SCOPED);
        let joined = open.joined(&headers);
        let releases = open.answer(call, "200", &JSON, STAFF);
        let of_joined = releases.into_iter().find(|release| release.stream == joined).unwrap();
        check(&of_joined.decision, Source::Joined);
        let mut shared = World::new(SCOPED);
        shared.shared = open.shared.clone();
        check(&shared.decided(&headers), Source::Shared);
        for world in [&mut open, &mut shared] {
            check(&world.decided(&headers), Source::Hit);
            world.wait(seconds(60));
            let (_, call, _) = world.held(&headers);
            check(&over(world.times_out(call, seconds(5))), Source::Stale);
        }
        // Another route's good verdict stays.
        open.configure(OPEN);
        assert_eq!(open.gate.stats().entries, 1);
    }
}

#[test]
fn reply_names_what_is_required() {
    for (members, status, challenge) in [
        (
            r#""require_scope": ["a", "b"]"#,
            403,
            Some(r#"Bearer realm="api", scope="a b", error="insufficient_scope""#),
        ),
        (r#""require_audience": ["a"]"#, 401, Some(r#"Bearer realm="api", error="invalid_token""#)),
        (r#""require_issuer": ["a"]"#, 401, Some(r#"Bearer realm="api", error="invalid_token""#)),
        (r#""inject_headers": {"default": {"X-A": {"path": "$.a", "required": true}}}"#, 403, None),
    ] {
        let mut world = World::new(members);
        let decision = world.asked(&[], "200", &JSON, STAFF);
        let reply = decision.replied();
        let found = (reply.status, reply.header("www-authenticate"));
        assert_eq!(found, (status, challenge), "{members}");
    }
}

/// A value that is too long for a header is none.
#[test]
fn header_that_is_required_has_a_value() {
    let members = r#""inject_headers": {"default": {"X-A": {"path": "$.a", "required": true}}}"#;
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(5000));
    for (body, passes) in [
        (r#"{"a":"b"}"#, true),
        (r#"{"a":""}"#, false),
        (r#"{"a":null}"#, false),
        (r#"{"a":"\n"}"#, false),
        ("{}", false),
        (&long, false),
    ] {
        let mut world = World::new(members);
        let outcome = world.asked(&[], "200", &JSON, body.as_bytes()).record.outcome;
        let expected = if passes { Outcome::Pass } else { Outcome::ClaimRefused };
        assert_eq!(outcome, expected, "{body:.40}");
    }
}

/// A value that no header may carry is counted whether or not the route requires it.
#[test]
fn claims_that_refuse_a_request_are_counted() {
    let loop_ = "0,".repeat(30_000);
    let large = format!("{{\"l\":[{loop_}0]}}");
    for (rule, body, counted) in [
        (r#""$.a""#, r#"{"a":"x\r\ny"}"#, (1, 0)),
        (r#""$.a""#, "{}", (0, 0)),
        (r#""$..[?@==@]""#, &*large, (0, 1)),
    ] {
        for required in [false, true] {
            let members = format!(
                r#""cache": {{}}, "inject_headers":
                    {{"default": {{"X-A": {{"path": {rule}, "required": {required}}}}}}}"#
            );
            let mut world = World::new(&members);
            let asked = world.asked(&[], "200", &JSON, body.as_bytes());
            for decision in [asked, world.decided(&T)] {
                let ClaimFaults { invalid, over_budget } = decision.record.claims;
                assert_eq!((invalid, over_budget), counted, "{members}");
                let refused = decision.record.outcome == Outcome::ClaimRefused;
                assert_eq!(refused, required);
            }
        }
    }
    let mut world = World::new(r#""cache": {}, "require_claims": {"$..[?@==@]": 1}"#);
    let asked = world.asked(&[], "200", &JSON, large.as_bytes());
    for (decision, source) in [(asked, Source::Asked), (world.decided(&T), Source::Hit)] {
        assert_eq!(decision.record.claims, ClaimFaults { invalid: 0, over_budget: 1 });
        is_refused(decision, source);
    }
}
