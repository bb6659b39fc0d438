//! Introspection: cache, failover and shared calls are the same as with UserInfo, and the gateway's own
//! client is no token's fault.

use super::*;
use crate::filter::SiteEvent;
use crate::outcome::Reason;
use crate::time::UnixTime;
use std::time::UNIX_EPOCH;

const CLIENT: &str =
    r#""introspection_client": {"client_id": "gateway", "client_secret": "s3cret"}"#;

fn world(members: &str) -> World {
    World::of(&format!(
        r#"{{"introspection_endpoint": {{"defaultURI": "https://idp.example/i"}}, {CLIENT}, {members}}}"#
    ))
}

const ACTIVE: &[u8] = br#"{"active":true,"sub":"a"}"#;
const INACTIVE: &[u8] = br#"{"active":false}"#;

#[test]
fn active_and_inactive_are_kept() {
    for (body, outcome) in [(ACTIVE, Outcome::Pass), (INACTIVE, Outcome::InvalidToken)] {
        let mut world = world(r#""cache": {}, "inject_headers": {"X-User": "$.sub"}"#);
        assert_eq!(world.asked(&[], "200", &JSON, body).record.outcome, outcome);
        let hit = world.decided(&T);
        assert_eq!((hit.record.outcome, hit.record.source), (outcome, Source::Hit));
    }
}

#[test]
fn the_end_of_the_token_ends_the_verdict() {
    let mut world = world(r#""cache": {"ttl": "10m", "stale_if_error": "10m"}"#);
    let body = format!(r#"{{"active":true,"exp":{}}}"#, crate::sim::START.0 + 20);
    world.asked(&[], "200", &JSON, body.as_bytes());
    world.wait(seconds(19));
    assert_eq!(world.decided(&T).record.source, Source::Hit);
    world.wait(seconds(1));
    let (_, call, _) = world.held(&T);
    assert_eq!(over(world.times_out(call, seconds(5))).record.outcome, Outcome::Unavailable);
}

/// What was kept as a refusal because it was too early does not become a good verdict of the cache.
#[test]
fn a_token_that_was_too_early_is_asked_about_again() {
    let mut world = world(r#""cache": {"negative_ttl": "1m"}"#);
    let body = format!(r#"{{"active":true,"nbf":{}}}"#, crate::sim::START.0 + 70);
    let early = world.asked(&[], "200", &JSON, body.as_bytes());
    assert_eq!(early.record.reason, Some(Reason::NotYetValid));
    world.wait(seconds(20));
    assert_eq!(world.decided(&T).record.reason, Some(Reason::NotYetValid));
    // Another instance reads the entry afresh, and would find it valid by now.
    world.configure_whole(&format!(
        r#"{{"introspection_endpoint": {{"defaultURI": "https://idp.example/i"}}, {CLIENT},
             "cache": {{"negative_ttl": "1m"}}, "realm": "other"}}"#
    ));
    world.held(&T);
}

/// The same for another worker: the refusal that it finds is not one any more, and no good verdict either.
#[test]
fn a_token_that_was_too_early_is_asked_about_again_by_another_worker() {
    let members = r#""cache": {"negative_ttl": "1m", "shared": true}"#;
    let mut first = world(members);
    let body = format!(r#"{{"active":true,"nbf":{}}}"#, crate::sim::START.0 + 70);
    first.asked(&[], "200", &JSON, body.as_bytes());
    for (waited, is_early) in [(5, true), (20, false)] {
        let mut other = world(members);
        other.shared = first.shared.clone();
        other.wait(seconds(waited));
        if is_early {
            let decision = other.decided(&T);
            assert_eq!(decision.record.reason, Some(Reason::NotYetValid));
            assert_eq!(decision.record.source, Source::Shared);
        } else {
            other.held(&T);
        }
    }
}

/// The same rule for a signed UserInfo response: what cannot be understood lets nothing pass.
#[test]
fn a_signed_response_has_to_be_in_force() {
    let now = crate::sim::START.0;
    let at = |name: &str, date: u64| format!(r#""{name}":{date}"#);
    for (members, reason) in [
        (at("exp", now + 1), None),
        (r#""exp":null,"nbf":null"#.to_owned(), None),
        (at("nbf", now + 60), None),
        (at("exp", now), Some(Reason::Expired)),
        (r#""exp":"soon""#.to_owned(), Some(Reason::Expired)),
        (r#""exp":[1]"#.to_owned(), Some(Reason::Expired)),
        (r#""exp":"nan""#.to_owned(), Some(Reason::Expired)),
        (r#""exp":true"#.to_owned(), Some(Reason::Expired)),
        (r#""exp":1e99"#.to_owned(), Some(Reason::Expired)),
        (at("nbf", now + 61), Some(Reason::NotYetValid)),
        (r#""nbf":"later""#.to_owned(), Some(Reason::NotYetValid)),
    ] {
        let mut world = World::new(r#""cache": {}, "userinfo_jwt": "trust_tls""#);
        let signed = crate::sim::jwt(&format!(r#"{{"sub":"a",{members}}}"#));
        let signed = signed.strip_prefix("Bearer ").unwrap().to_owned();
        let head = [("content-type", "application/jwt")];
        let decision = world.asked(&[], "200", &head, signed.as_bytes());
        assert_eq!(decision.record.reason, reason, "{members}");
    }
}

/// The clock was a day ahead for a moment. What ended by that stays ended; what a provider says now is
/// judged by the clock as it is.
#[test]
fn a_clock_that_was_ahead_refuses_no_new_response() {
    let exp = crate::sim::START.0 + 3600;
    let introspected = format!(r#"{{"active":true,"sub":"a","exp":{exp}}}"#);
    let introspection = world(r#""cache": {"shared": true}"#);
    let signed = World::new(r#""cache": {"shared": true}, "userinfo_jwt": "trust_tls""#);
    let jwt = crate::sim::jwt(&format!(r#"{{"sub":"a","exp":{exp}}}"#));
    let jwt = jwt.strip_prefix("Bearer ").unwrap().to_owned();
    let signed_type = [("content-type", "application/jwt")];
    for (mut world, head, body) in
        [(introspection, &JSON, introspected), (signed, &signed_type, jwt)]
    {
        assert_eq!(world.asked(&[], "200", head, body.as_bytes()).record.outcome, Outcome::Pass);
        world.now.date = UnixTime(exp + 86_400);
        world.tick();
        world.now.date = crate::sim::START;
        for _ in 0..2 {
            let decision = world.asked(&[], "200", head, body.as_bytes());
            assert_eq!(decision.record.outcome, Outcome::Pass, "{body}");
            // It would have ended by the latest date, which may have been the right one.
            assert_eq!(world.gate.stats().entries, 0);
        }
    }
}

/// The date of a `Retry-After` is compared with the clock as it is, too.
#[test]
fn a_clock_that_was_ahead_shortens_no_wait() {
    let mut world = World::new("");
    let start = UNIX_EPOCH + seconds(crate::sim::START.0);
    let date = httpdate::fmt_http_date(start + seconds(30));
    world.now.date = UnixTime(crate::sim::START.0 + 86_400);
    world.tick();
    world.now.date = crate::sim::START;
    world.asked(&[], "429", &[("retry-after", &date)], b"");
    assert_eq!(world.decided(&T).record.source, Source::Filter);
}

#[test]
fn a_refused_client_is_no_verdict_and_operators_are_told_once_a_minute() {
    let members = r#""cache": {"ttl": "10s", "stale_if_error": "10m"}, "userinfo_unavailable": {"status": 503}"#;
    let mut world = world(members);
    world.asked(&[], "200", &JSON, ACTIVE);
    world.wait(seconds(10));
    let refused =
        || SiteEvent::ClientRefused { cluster: "idp.example".into(), region: "default".into() };
    for (round, told) in [(0, vec![refused()]), (1, vec![]), (2, vec![refused()])] {
        let decision = world.asked(&[], "401", &JSON, br#"{"error":"invalid_client"}"#);
        assert_eq!(decision.record.outcome, Outcome::Unavailable, "{round}");
        assert_eq!(decision.record.reason, Some(Reason::ClientRefused));
        assert_eq!(decision.replied().status, 503);
        assert_eq!(world.gate.take_site_events(), told, "{round}");
        world.wait(seconds(30));
    }
    // The good verdict was not ended by it: only its time was over.
    assert_eq!(world.gate.stats().entries, 1);
}

#[test]
fn two_clients_share_no_verdict() {
    let mut world = world(r#""cache": {}"#);
    world.asked(&[], "200", &JSON, ACTIVE);
    assert_eq!(world.decided(&T).record.source, Source::Hit);
    for client in [
        r#"{"client_id": "other", "client_secret": "s3cret"}"#,
        r#"{"client_id": "gateway", "client_secret": "another"}"#,
        r#"{"client_id": "gateway", "client_secret": "s3cret", "auth_method": "client_secret_post"}"#,
    ] {
        world.configure_whole(&format!(
            r#"{{"introspection_endpoint": {{"defaultURI": "https://idp.example/i"}},
                "introspection_client": {client}, "cache": {{}}}}"#
        ));
        world.held(&T);
    }
}

#[test]
fn every_region_is_asked_as_its_own_client() {
    let one = |id: &str| format!(r#"{{"client_id": "{id}", "client_secret": "s"}}"#);
    let (fr, default) = (one("fr"), one("d"));
    let mut world = World::of(&format!(
        r#"{{"introspection_endpoint": {{"regionCodeHeader": "X-Region",
              "regionCodeValue": {{"FR": "https://fr.example/i"}}, "defaultURI": "https://idp.example/i"}},
            "introspection_client": {{"FR": {fr}, "default": {default}}}}}"#
    ));
    let mut basic = |headers: &[(&str, &str)]| {
        let (_, _, call) = world.held(headers);
        let header = call.headers.iter().find(|(name, _)| *name == "authorization");
        header.map(|(_, value)| value.to_owned()).unwrap()
    };
    assert_eq!(basic(&T), "Basic ZDpz");
    assert_eq!(basic(&[("authorization", "Bearer t"), ("x-region", "FR")]), "Basic ZnI6cw==");
}
