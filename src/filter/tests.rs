//! Tests: one request at a time, and many.
use std::time::Duration;

use super::{Action, CallId, Decision, Event, Release};
use crate::outcome::{Outcome, Source};
use crate::provider::response::{Answer, Body};
use crate::sim::Admission;
use crate::sim::{World, head};

mod admission;
mod breaker;
mod caching;
mod crowding;
mod introspection;
mod joining;
mod reaching;
mod repeats;
mod required;
mod sharing;
mod stale;
mod waits;
mod walk;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

const T: [(&str, &str); 1] = [("authorization", "Bearer t")];

fn bearer(number: u64) -> [(&'static str, String); 1] {
    [("authorization", format!("Bearer t{number}"))]
}

impl World {
    #[track_caller]
    fn leads(&mut self, number: u64) -> CallId {
        let [(name, value)] = bearer(number);
        self.held(&[(name, &value)]).1
    }

    #[track_caller]
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

    /// Envoy gives a call up after this time.
    fn times_out(&mut self, call: CallId, after: Duration) -> Next {
        self.wait(after);
        self.goes_on(call, &envoys("504"))
    }
}

type Next = (Vec<Release>, Option<(CallId, crate::provider::call::Call)>);

fn envoys(status: &str) -> Answer<'_> {
    Answer::Whole { head: head(&[(":status", status)]), body: Body::Read(b"") }
}

/// The cluster of the next call, and the call.
#[track_caller]
fn next((releases, next): Next) -> (CallId, String, Duration) {
    assert!(releases.is_empty(), "released: {releases:?}");
    let (id, call) = next.expect("a call");
    (id, call.cluster, call.timeout)
}

/// The one released request, without a call.
#[track_caller]
fn over((mut releases, next): Next) -> Decision {
    assert!(next.is_none() && releases.len() == 1, "{releases:?}, {}", next.is_some());
    releases.remove(0).decision
}

/// No release and no call: the lookup pauses.
#[track_caller]
fn pauses((releases, next): Next) {
    assert!(releases.is_empty() && next.is_none(), "{releases:?}, {}", next.is_some());
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn is_probe(call: &crate::provider::call::Call) -> bool {
    !call.headers.iter().any(|(name, _)| name == "authorization")
}

const BY_REGION: &str = r#""inject_headers": {
    "FR": {"X-User-Email": "$.uid", "X-Roles": {"path": "$.roles[*]", "join": ","}},
    "default": {"X-User-Id": "$.email", "X-Unit-Id": "$.unit"}}"#;

fn names(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn valid_token_is_forwarded_with_the_regions_headers() {
    let body = br#"{"uid":"u","email":"e","unit":7,"roles":["a","b"]}"#;
    let mut world = World::new(BY_REGION);
    for (region, expected) in [
        ("FR", vec![("x-user-email", "u"), ("x-roles", "a,b")]),
        ("US", vec![("x-user-id", "e"), ("x-unit-id", "7")]),
        ("zz", vec![("x-user-id", "e"), ("x-unit-id", "7")]),
    ] {
        let decision = world.asked(&[("x-region", region)], "200", &JSON, body);
        assert_eq!(
            (decision.record.outcome, decision.record.source),
            (Outcome::Pass, Source::Asked)
        );
        let edit = decision.forwarded();
        assert_eq!((edit.set, edit.remove), (pairs(&expected), names(&["authorization"])));
    }
}

#[test]
fn the_call_goes_to_the_regions_endpoint() {
    let mut world = World::new("");
    for (region, cluster) in
        [("FR", "fr.idp.example"), ("US", "us.idp.example"), ("", "idp.example")]
    {
        let headers = [("authorization", "Bearer t"), ("x-region", region)];
        assert_eq!(world.held(&headers).2.cluster, cluster);
    }
}

#[test]
fn identity_headers_of_every_region_are_stripped_without_claims() {
    let mut world = World::new(BY_REGION);
    let spoofed = [
        ("x-user-email", "admin"),
        ("x_user_email", "admin"),
        ("x-roles", "root"),
        ("x-user-id", "1"),
        ("x-other", "stays"),
    ];
    let edit = world.asked(&spoofed, "200", &JSON, b"{}").forwarded();
    assert_eq!(edit.set, []);
    assert_eq!(
        edit.remove,
        names(&["x-roles", "x-user-email", "x-user-id", "x_user_email", "authorization"])
    );
}

#[test]
fn authorization_and_region_as_configured() {
    let config = r#""block_authorization_header": false, "region_header": "X-Idp-Region""#;
    let mut world = World::new(config);
    let mut region = |value: &str| {
        let headers = [("x-region", value), ("x-idp-region", "spoofed")];
        let edit = world.asked(&headers, "200", &JSON, b"{}").forwarded();
        assert_eq!(edit.remove, names(&["x-idp-region"]));
        edit.set
    };
    assert_eq!(region("FR"), pairs(&[("x-idp-region", "FR")]));
    assert_eq!(region("unknown"), pairs(&[("x-idp-region", "default")]));
}

#[test]
fn preflight_passes_stripped_if_configured() {
    let preflight = [
        (":method", "OPTIONS"),
        ("origin", "https://shop.example"),
        ("access-control-request-method", "GET"),
        ("x-user-id", "admin"),
        ("authorization", "Bearer t"),
    ];
    let decision = World::new(&format!(r#"{BY_REGION}, "preflight": "pass""#)).decided(&preflight);
    assert_eq!(decision.record.outcome, Outcome::Preflight);
    assert_eq!(decision.record.access_log(), "preflight;none;none");
    let edit = decision.forwarded();
    assert_eq!((edit.remove, edit.set), (names(&["x-user-id", "authorization"]), vec![]));
    World::new(BY_REGION).held(&preflight);
}

#[test]
fn invalid_claims_are_counted() {
    let config = r#""inject_headers": {"X-A": "$.a", "X-B": "$.b", "X-C": "$.c", "X-D": "$.d"}"#;
    let body = b"{\"a\":\"x\\r\\ny\",\"b\":\" x\",\"c\":null,\"d\":\"ok\"}";
    let decision = World::new(config).asked(&[], "200", &JSON, body);
    assert_eq!((decision.record.claims.invalid, decision.record.claims.over_budget), (2, 0));
    assert_eq!(decision.forwarded().set, pairs(&[("x-d", "ok")]));
}

/// A cached verdict gives the same state again, and a claim that is not allowed in a header gives
/// none.
#[test]
fn claims_become_filter_state() {
    let config = r#""cache": {}, "filter_state": {
        "user": "$.sub", "groups": {"path": "$.groups[*]", "join": ","}, "odd": "$.odd",
        "none": "$.none"}"#;
    let body = br#"{"sub":"alice","groups":["a","b"],"odd":"x\r\ny"}"#;
    let mut world = World::new(config);
    let asked = world.asked(&[("x-region", "FR")], "200", &JSON, body);
    assert_eq!(asked.record.claims.invalid, 1);
    let hit = world.decided(&[("x-region", "FR"), ("authorization", "Bearer t")]);
    assert_eq!(hit.record.source, Source::Hit);
    for decision in [asked, hit] {
        let forwarded = decision.forwarded();
        assert_eq!(forwarded.state, pairs(&[("user", "alice"), ("groups", "a,b")]));
        assert_eq!(forwarded.set, []);
    }
}

/// The catalogue's row 51: what comes later in the configuration gives way.
#[test]
fn all_headers_together_are_limited() {
    let rules: Vec<String> = (0..20).map(|n| format!(r#""X-{n:02}": "$.name""#)).collect();
    let config = format!(r#""inject_headers": {{{}, "X-Last": "$.sub"}}"#, rules.join(","));
    let body = format!(r#"{{"sub":"a","name":"{}"}}"#, "x".repeat(4000));
    let decision = World::new(&config).asked(&[], "200", &JSON, body.as_bytes());
    assert_eq!(decision.record.claims.invalid, 16);
    let set: Vec<String> = decision.forwarded().set.into_iter().map(|(name, _)| name).collect();
    assert_eq!(set, ["x-00", "x-01", "x-02", "x-03", "x-last"]);
}

#[test]
fn paths_over_budget_are_counted() {
    let config = r#""inject_headers": {"X-A": "$..[?@==@]", "X-B": "$..[?@==@]", "X-C": "$.c"}"#;
    let body = format!("{{\"c\":\"ok\",\"l\":[{}0]}}", "0,".repeat(30_000));
    let decision = World::new(config).asked(&[], "200", &JSON, body.as_bytes());
    assert_eq!((decision.record.claims.invalid, decision.record.claims.over_budget), (0, 2));
    assert_eq!(decision.forwarded().set, pairs(&[("x-c", "ok")]));
}

#[test]
fn records_for_the_access_log() {
    let mut world = World::new("");
    let fr = [("x-region", "FR")];
    assert_eq!(world.asked(&fr, "200", &JSON, b"{}").record.access_log(), "pass;asked;FR");
    assert_eq!(world.asked(&fr, "401", &[], b"").record.access_log(), "invalid_token;asked;FR");
    assert_eq!(
        world.asked(&[], "503", &[], b"").record.access_log(),
        "provider_error;asked;default"
    );
    assert_eq!(world.decided(&[]).record.access_log(), "no_credentials;none;none");
}

#[test]
fn request_that_ended_is_not_released() {
    let mut world = World::new("");
    let (stream, call, _) = world.held(&[("authorization", "Bearer t")]);
    assert!(world.gone(stream));
    assert!(!world.gone(stream));
    let answer =
        Answer::Whole { head: head(&[(":status", "200")]), body: Body::Read(b"{\"sub\":\"a\"}") };
    assert!(world.end(call, &answer).is_empty());
}

#[test]
fn no_request_is_held_past_the_deadline() {
    let mut world = World::new(r#""timeout": "2s""#);
    let (stream, call, _) = world.held(&[("authorization", "Bearer t")]);
    world.wait(Duration::from_secs(2));
    assert!(world.tick().is_empty(), "the host's own timeout comes first");
    world.wait(Duration::from_millis(150));
    let mut released = world.tick();
    assert_eq!(released.len(), 1);
    let release = released.remove(0);
    assert_eq!((release.stream, release.decision.record.outcome), (stream, Outcome::Unavailable));
    assert!(matches!(release.decision.action, Action::Reply(_)));
    assert!(world.end(call, &Answer::CutOff).is_empty());
    assert!(!world.gone(stream));
}

#[test]
fn unsent_call_is_answered_at_once() {
    let mut world = World::new("");
    let (_, call, _) = world.held(&[("authorization", "Bearer t")]);
    let release = world.end(call, &Answer::NotSent).remove(0);
    let reply = release.decision.replied();
    assert_eq!(reply.details, "oidc_token_connector{unavailable:not_sent}");
}

#[test]
fn each_request_gets_its_own_answer() {
    let mut world = World::new(r#""inject_headers": {"X-User": "$.sub"}"#);
    let held: Vec<_> = (0..50)
        .map(|i| {
            (i, world.held(&[("authorization", &format!("Bearer t{i}")), ("x-user", "spoof")]))
        })
        .collect();
    for (i, (stream, call, _)) in held.into_iter().rev() {
        let body = format!("{{\"sub\":\"user{i}\"}}");
        let whole = head(&[(":status", "200"), ("content-type", "application/json")]);
        let answer = Answer::Whole { head: whole, body: Body::Read(body.as_bytes()) };
        let release = world.end(call, &answer).remove(0);
        assert_eq!(release.stream, stream);
        let set = release.decision.forwarded().set;
        assert_eq!(set, pairs(&[("x-user", &format!("user{i}"))]));
    }
}
