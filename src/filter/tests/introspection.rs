//! Introspection: cache, failover and shared calls are the same as with UserInfo, and the gateway's own
//! client is no token's fault.

use super::*;
use crate::filter::SiteEvent;
use crate::outcome::Reason;

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

#[test]
fn a_refused_client_is_no_verdict_and_operators_are_told_once_a_minute() {
    let members = r#""cache": {"ttl": "10s", "stale_if_error": "10m"}, "userinfo_unavailable": {"status": 503}"#;
    let mut world = world(members);
    world.asked(&[], "200", &JSON, ACTIVE);
    world.wait(seconds(10));
    let refused = || SiteEvent::ClientRefused { cluster: "idp.example".into() };
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
