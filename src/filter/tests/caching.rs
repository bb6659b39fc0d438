//! The cache: what it stores, for how long, and by whose rules a verdict is used again.

use std::time::Duration;

use super::*;
use crate::request::headers::Field;
use crate::sim::START;
use crate::time::UnixTime;

const GOOD: &[u8] = br#"{"sub":"alice","email":"a@example"}"#;
/// A world in which the token `t` has just had a call with this answer.
fn asked(members: &str, status: &str, headers: &[(&str, &str)], body: &[u8]) -> World {
    let mut world = World::new(members);
    world.asked(&[], status, &[&JSON, headers].concat(), body);
    world
}

/// Checks that the token `t` needs no call until then, and needs one from then on; up to a tenth
/// earlier is allowed.
#[track_caller]
fn check_lifetime(mut world: World, lifetime: Duration) {
    world.wait(lifetime * 9 / 10 - Duration::from_nanos(1));
    assert_eq!(world.decided(&T).record.source, Source::Hit);
    world.wait(lifetime / 10 + Duration::from_nanos(1));
    world.held(&T);
}

#[test]
fn without_cache_every_request_makes_a_call() {
    let mut world = asked("", "200", &[], GOOD);
    world.held(&T);
    assert_eq!(world.gate.stats().entries, 0);
}

#[test]
fn valid_token_is_cached_for_ttl() {
    let mut world =
        asked(r#""cache": {}, "inject_headers": {"X-User": "$.sub"}"#, "200", &[], GOOD);
    let spoofed = [T[0], ("x-user", "admin"), ("x_user", "admin")];
    let decision = world.decided(&spoofed);
    assert_eq!(decision.record.access_log(), "pass;hit;default");
    // Stripped and set like the first time: the catalogue's rows 38 and 63.
    let edit = decision.forwarded();
    assert_eq!(edit.set, pairs(&[("x-user", "alice")]));
    assert_eq!(edit.remove, names(&["x-user", "x_user", "authorization"]));
    check_lifetime(world, seconds(60));
}

#[test]
fn invalid_token_is_cached_for_negative_ttl() {
    let says = |error: &str| format!("Bearer error=\"{error}\"");
    for (status, error, outcome) in [
        ("401", "", Outcome::InvalidToken),
        ("403", "insufficient_scope", Outcome::Forbidden),
        ("403", "invalid_token", Outcome::InvalidToken),
        ("400", "invalid_token", Outcome::InvalidToken),
        ("400", "insufficient_user_authentication", Outcome::InvalidToken),
    ] {
        let members = r#""cache": {}, "error_metadata_location": "ResponseHeaders",
                         "error_header_name": "X-Why", "realm": "shop""#;
        let headers = [("x-why", "revoked"), ("www-authenticate", &*says(error))];
        let mut world = asked(members, status, &headers, b"");
        let decision = world.decided(&T);
        assert_eq!((decision.record.outcome, decision.record.source), (outcome, Source::Hit));
        let reply = decision.replied();
        assert_eq!((reply.status.to_string().as_str(), reply.body.as_str()), (status, "revoked"));
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer realm=\"shop\""));
        check_lifetime(world, seconds(5));
    }
}

/// The catalogue's row 143.
#[test]
fn answers_that_are_no_verdict_are_not_cached() {
    let envoys = |status| head(&[(":status", status)]);
    let body = Body::Read(b"");
    let mut world = World::new(r#""cache": {}"#);
    let mut marks = 0;
    let mut asks_again = |answer: Answer<'_>| {
        let (_, call, _) = world.held(&T);
        // After the time from which nothing is repeated.
        world.wait(seconds(1));
        assert_eq!(world.end(call, &answer).len(), 1);
        // Of a refusal that is too large, and of a denial, only a marker is stored.
        marks = marks.max(match &answer {
            Answer::Whole { head, .. } => match head.field(":status") {
                Field::One(b"401" | b"403" | b"404" | b"410") => 1,
                _ => 0,
            },
            Answer::NotSent | Answer::CutOff => 0,
        });
        let stats = world.gate.stats();
        assert_eq!((stats.stored, stats.entries), (0, marks), "{answer:?}");
    };
    asks_again(Answer::NotSent);
    asks_again(Answer::CutOff);
    for status in ["200", "204", "302", "401", "502", "503", "504"] {
        let real = [(":status", status), ("x-envoy-upstream-service-time", "1")];
        let (head, body) = match status {
            "200" => (head(&real), Body::Read(b"<html>")),
            "401" => (head(&real), Body::TooLarge),
            "502" | "503" | "504" => (envoys(status), body),
            _ => (head(&real), body),
        };
        asks_again(Answer::Whole { head, body });
    }
    for status in
        ["400", "403", "404", "405", "408", "410", "425", "429", "500", "502", "503", "504"]
    {
        let real = [(":status", status), ("x-envoy-upstream-service-time", "1")];
        asks_again(Answer::Whole { head: head(&real), body });
    }
}

/// The catalogue's rows 137, 138 and 139.
#[test]
fn exp_of_the_answer_ends_the_verdict() {
    let with_exp = |exp: &str| {
        asked(r#""cache": {}"#, "200", &[], format!(r#"{{"sub":"a","exp":{exp}}}"#).as_bytes())
    };
    let entries = |world: &World| world.gate.stats().entries;
    for past in ["0", "-1", "1", "-1e300", "\"5\"", &START.0.to_string()] {
        assert_eq!(entries(&with_exp(past)), 0, "{past}");
    }
    for no_limit in ["1e300", "1e400", "\"soon\"", "null", "[]"] {
        check_lifetime(with_exp(no_limit), seconds(60));
    }
    for soon in [format!("{}", START.0 + 2), format!("{}.9", START.0 + 2)] {
        let mut world = with_exp(&soon);
        world.wait(Duration::from_nanos(1_999_999_999));
        assert_eq!(world.decided(&T).record.source, Source::Hit);
        world.wait(Duration::from_nanos(1));
        world.held(&T);
    }
}

#[test]
fn exp_of_the_jwt_ends_the_verdict() {
    use base64::Engine as _;
    let token = |exp: u64| {
        let claims = format!(r#"{{"exp":{exp}}}"#);
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
        format!("Bearer e30.{claims}.c2ln")
    };
    for (exp, kept) in [(START.0, false), (START.0 + 2, true)] {
        let bearer = token(exp);
        let mut world = World::new(r#""cache": {}"#);
        let (_, call, _) = world.held(&[("authorization", &bearer)]);
        let released = world.answer(call, "200", &JSON, GOOD);
        // The provider decides whether it is valid.
        assert_eq!(released[0].decision.record.outcome, Outcome::Pass);
        assert_eq!(world.gate.stats().entries, usize::from(kept));
        if kept {
            assert_eq!(world.decided(&[("authorization", &bearer)]).record.source, Source::Hit);
            world.wait(seconds(2));
        }
        world.held(&[("authorization", &bearer)]);
    }
}

/// The catalogue's row 140.
#[test]
fn wall_clock_jump_affects_only_exp() {
    let exp = format!(r#"{{"sub":"a","exp":{}}}"#, START.0 + 1800);
    for (body, date, hit) in [
        (GOOD, START.0 + 3600, true),
        (GOOD, START.0 - 3600, true),
        (exp.as_bytes(), START.0 - 3600, true),
        (exp.as_bytes(), START.0 + 3600, false),
    ] {
        let mut world = asked(r#""cache": {}"#, "200", &[], body);
        world.now.date = UnixTime(date);
        if hit {
            assert_eq!(world.decided(&T).record.source, Source::Hit);
            world.wait(seconds(60));
            world.now.date = UnixTime(date);
        }
        world.held(&T);
    }
}

/// The catalogue's row 141.
#[test]
fn provider_cache_control_is_respected() {
    let kept = |members: &str, value: &str| {
        let world = asked(members, "200", &[("cache-control", value)], GOOD);
        (world.gate.stats().entries == 1, world)
    };
    for boilerplate in ["no-store", "no-cache", "max-age=0", "private, no-store, max-age=0"] {
        let (ignored, world) = kept(r#""cache": {}"#, boilerplate);
        assert!(ignored, "{boilerplate}");
        check_lifetime(world, seconds(60));
        assert!(!kept(r#""cache": {"honor_no_store": true}"#, boilerplate).0, "{boilerplate}");
    }
    for members in [r#""cache": {}"#, r#""cache": {"honor_no_store": true}"#] {
        check_lifetime(kept(members, "max-age=20").1, seconds(20));
        check_lifetime(kept(members, "max-age=3600").1, seconds(60));
    }
}

#[test]
fn lifetime_counts_from_the_call() {
    let mut world = World::new(r#""cache": {"ttl": "3s"}"#);
    let (_, call, _) = world.held(&T);
    world.wait(seconds(2));
    world.answer(call, "200", &JSON, GOOD);
    world.wait(Duration::from_millis(600));
    assert_eq!(world.decided(&T).record.source, Source::Hit);
    world.wait(Duration::from_millis(400));
    world.held(&T);
}

#[test]
fn verdicts_of_one_moment_end_at_different_moments() {
    let mut world = World::new(r#""cache": {}"#);
    let tokens: Vec<String> = (0..200).map(|n| format!("Bearer {n}")).collect();
    for token in &tokens {
        let (_, call, _) = world.held(&[("authorization", token)]);
        world.answer(call, "200", &JSON, GOOD);
    }
    world.wait(seconds(57));
    let kept = tokens.iter().filter(|token| {
        matches!(world.admit(&[("authorization", token)]).1, Admission::Decided(_))
    });
    let kept = kept.count();
    assert!((70..130).contains(&kept), "{kept} of 200 in the middle of the last tenth");
}

/// The catalogue's rows 130, 150 and 152.
#[test]
fn hit_is_judged_by_the_current_configuration() {
    let mut world =
        asked(r#""cache": {}, "inject_headers": {"X-User": "$.sub"}"#, "200", &[], GOOD);
    world.configure(
        r#""cache": {}, "inject_headers": {"X-Mail": "$.email"}, "region_header": "X-R""#,
    );
    let edit = world.decided(&T).forwarded();
    assert_eq!(edit.set, pairs(&[("x-mail", "a@example"), ("x-r", "default")]));
    // A cached verdict that does not pass the new rules leads to a call, not to a refusal.
    world.configure(r#""cache": {}, "max_userinfo_bytes": 10"#);
    world.held(&T);
    // Without a cache there is a call.
    let mut world = asked(r#""cache": {}"#, "200", &[], GOOD);
    world.configure("");
    world.held(&T);
    let mut world = asked(r#""cache": {}"#, "200", &[], b"{}");
    world.configure(r#""cache": {}, "require_subject": true"#);
    let (_, call, _) = world.held(&T);
    let released = world.answer(call, "200", &JSON, b"{}");
    assert_eq!(released[0].decision.record.outcome, Outcome::InvalidToken);
    // A shorter time counts at once.
    let mut world = asked(r#""cache": {}"#, "200", &[], GOOD);
    world.wait(seconds(10));
    world.configure(r#""cache": {"ttl": "10s"}"#);
    world.held(&T);
}

/// The catalogue's row 131.
#[test]
fn other_endpoint_has_another_key() {
    let mut world = asked(r#""cache": {}"#, "200", &[], GOOD);
    for members in [
        r#""cache": {}, "clusters": {"idp.example": "other"}"#,
        r#""cache": {}, "userinfo_method": "POST""#,
        r#""cache": {}, "userinfo_headers": {"X-Api-Key": "k"}"#,
    ] {
        world.configure(members);
        world.held(&T);
    }
    world.configure(r#""cache": {}"#);
    assert_eq!(world.decided(&T).record.source, Source::Hit);
    // The same region header decides as without a cache.
    world.held(&[T[0], ("x-region", "FR")]);
}

/// The catalogue's row 142; and a good token that the provider refuses is good no more.
#[test]
fn newest_verdict_counts() {
    let mut world = asked(r#""cache": {}"#, "401", &[], b"");
    assert_eq!(world.decided(&T).record.outcome, Outcome::InvalidToken);
    world.wait(seconds(5));
    world.asked(&[], "200", &JSON, GOOD);
    assert_eq!(world.decided(&T).record.outcome, Outcome::Pass);
    // An instance with a shorter time makes a call, and learns that the token has been revoked.
    world.wait(seconds(10));
    world.configure(r#""cache": {"ttl": "1s"}"#);
    world.asked(&[], "401", &[], b"");
    world.configure(r#""cache": {}"#);
    assert_eq!(world.decided(&T).record.outcome, Outcome::InvalidToken);
    world.wait(seconds(5));
    world.held(&T);
}

/// The catalogue's row 146.
#[test]
fn outage_extends_no_verdict() {
    let mut world = asked(r#""cache": {}"#, "200", &[], GOOD);
    world.wait(seconds(60));
    let decision = world.asked(&[], "503", &[], b"");
    assert_eq!(decision.record.outcome, Outcome::ProviderError);
    world.held(&T);
}

/// Some providers name the token in what they say of it.
#[test]
fn answer_that_repeats_the_token_is_not_cached() {
    let token = "2YotnFZFEjr1zCsicMWpAA";
    let body = format!(r#"{{"error_description":"token {token} has expired"}}"#);
    for (headers, body) in [
        (JSON.to_vec(), body.as_str()),
        (vec![("www-authenticate", token)], ""),
        (JSON.to_vec(), "{}"),
    ] {
        let mut world = World::new(r#""cache": {"shared": true}"#);
        let (_, call, _) = world.held(&[("authorization", &format!("Bearer {token}"))]);
        world.answer(call, "401", &headers, body.as_bytes());
        assert_eq!(world.gate.stats().stored, u64::from(body == "{}"));
        // Others learn that it was refused, and no more than that.
        assert_eq!((world.gate.stats().entries, world.shared.len()), (1, 1));
        let shared = world.shared.values().next().unwrap();
        assert!(!shared.windows(token.len()).any(|text| text == token.as_bytes()));
    }
}

#[test]
fn stats_count_cache_events() {
    let mut world = asked(r#""cache": {"max_entries": 8}"#, "200", &[], GOOD);
    world.decided(&T);
    world.wait(seconds(60));
    world.asked(&[], "401", &[], b"");
    world.decided(&T);
    let stats = world.gate.stats();
    let counts = (stats.hits, stats.negative_hits, stats.misses, stats.stored);
    assert_eq!(counts, (1, 1, 2, 2));
    assert_eq!((stats.expired, stats.evicted, stats.entries), (1, 0, 1));
    assert!(stats.bytes > 0);
    world.wait(seconds(61));
    world.tick();
    let stats = world.gate.stats();
    assert_eq!((stats.expired, stats.entries, stats.bytes), (2, 0, 0));
}

#[test]
fn removed_configuration_sets_no_limit() {
    let mut world = asked(r#""cache": {}"#, "200", &[], GOOD);
    world.configure("");
    world.tick();
    let stats = world.gate.stats();
    assert_eq!((stats.entries, stats.bytes, stats.evicted), (0, 0, 1));
}
