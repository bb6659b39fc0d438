//! The circuit breaker: only slow failures count, and only a probe opens it.

use super::*;
use crate::filter::SiteEvent;
use crate::policy::Site;
use crate::provider::call::Call;

const TIMEOUT: Duration = Duration::from_secs(2);
const BREAKER: &str = r#""timeout": "2s", "breaker": {"failures": 2, "open_for": "1s"}"#;

fn site() -> Site {
    Site {
        cluster: "idp.example".into(),
        authority: "idp.example".into(),
        path: "/userinfo".into(),
        scheme: "https",
    }
}

#[test]
fn log_names_the_endpoint_without_its_query() {
    let site = Site { path: "/userinfo?key=secret".into(), ..site() };
    assert_eq!(site.to_string(), "idp.example (https://idp.example/userinfo)");
}

fn opened() -> SiteEvent {
    SiteEvent::Opened { site: site() }
}

fn closed() -> SiteEvent {
    SiteEvent::Closed { site: site() }
}

impl World {
    /// This many slow calls without an answer; returns the probe after the last.
    #[track_caller]
    fn waited(&mut self, times: u64) -> (CallId, Call) {
        for number in 0..times {
            let call = self.leads(1000 + number);
            let (released, next) = self.times_out(call, TIMEOUT);
            assert_eq!(released.len(), 1);
            assert_eq!(next.is_some(), number + 1 == times, "call {number}");
            if let Some((probe, call)) = next {
                assert!(is_probe(&call));
                return (probe, call);
            }
        }
        panic!("no question of its own");
    }

    /// The site does not answer: its breaker is open.
    #[track_caller]
    fn opens(&mut self) {
        let (probe, _) = self.waited(2);
        let (released, next) = self.times_out(probe, TIMEOUT);
        assert!(released.is_empty() && next.is_none());
        assert_eq!(self.gate.take_site_events(), [opened()]);
    }
}

#[test]
fn unanswered_probe_opens_the_breaker() {
    let mut world = World::new(
        r#""timeout": "2s", "breaker": {"failures": 2, "open_for": "1s"},
           "userinfo_headers": {"X-Key": "k"}, "userinfo_method": "POST""#,
    );
    let (probe, call) = world.waited(2);
    let headers: Vec<_> = call.headers.iter().filter(|(n, _)| *n != "user-agent").collect();
    assert!(headers.contains(&(":method", "POST")) && headers.contains(&("x-key", "k")));
    assert!(headers.contains(&(":path", "/userinfo")) && call.timeout == TIMEOUT);
    // Until the breaker is open, every token gets a call.
    world.leads(1);
    let (released, next) = world.times_out(probe, TIMEOUT);
    assert!(released.is_empty() && next.is_none());
    assert_eq!(world.gate.take_site_events(), [opened()]);
    assert_eq!(world.refused_for(5), "oidc_token_connector{unavailable:breaker_open}");
    let stats = world.gate.stats();
    assert_eq!((stats.opened, stats.open, stats.refused_by_breaker, stats.probed), (1, 1, 1, 1));
    // The other regions are none the worse.
    world.held(&[T[0], ("x-region", "FR")]);
}

#[test]
fn any_answer_to_the_probe_keeps_it_closed() {
    for status in ["200", "401", "404", "429", "500", "503", "302"] {
        let mut world = World::new(BREAKER);
        let (probe, _) = world.waited(2);
        assert!(world.answer(probe, status, &[], b"").is_empty());
        world.leads(1);
        // From the beginning.
        let (probe, _) = world.waited(2);
        assert!(world.answer(probe, status, &[], b"").is_empty());
        assert_eq!((world.gate.stats().opened, world.gate.stats().probed), (0, 2));
        assert_eq!(world.gate.take_site_events(), []);
    }
}

/// A refused connection costs no waiting.
#[test]
fn probe_failing_at_once_does_not_open() {
    for answer in [envoys("503"), envoys("502"), Answer::NotSent, Answer::CutOff] {
        let mut world = World::new(BREAKER);
        let (probe, _) = world.waited(2);
        assert!(world.end(probe, &answer).is_empty());
        world.leads(1);
        world.waited(2);
        assert_eq!(world.gate.stats().opened, 0);
    }
}

/// Over HTTP/2 another call may end the probe's connection.
#[test]
fn cut_off_probe_is_repeated_once() {
    for (answered, opened) in [(true, 0), (false, 1)] {
        let mut world = World::new(BREAKER);
        let (probe, _) = world.waited(2);
        world.wait(millis(300));
        assert!(world.end(probe, &envoys("503")).is_empty());
        world.wait(millis(99));
        assert!(world.tick().is_empty());
        let (second, call) = world.due();
        assert!(is_probe(&call));
        world.wait(millis(300));
        if answered {
            assert!(world.answer(second, "401", &[], b"").is_empty());
        } else {
            assert!(world.end(second, &envoys("503")).is_empty());
        }
        assert_eq!((world.gate.stats().opened, world.gate.stats().probed), (opened, 2));
    }
    // One that had all its time is not.
    let mut world = World::new(BREAKER);
    let (probe, _) = world.waited(2);
    world.times_out(probe, TIMEOUT);
    assert_eq!((world.gate.stats().opened, world.gate.stats().probed), (1, 1));
}

#[test]
fn open_site_gets_only_probes_with_growing_pauses() {
    let mut world = World::new(BREAKER);
    world.opens();
    for pause in [250, 500, 1000, 1000] {
        let due = world.gate.next_due().unwrap().since(world.now.moment).unwrap();
        assert_eq!(due, millis(pause));
        world.refused_for(1);
        let (probe, call) = world.due();
        assert!(is_probe(&call));
        assert_eq!(world.gate.next_due(), None, "one at a time");
        world.refused_for(2);
        // Refused at once is no answer.
        assert!(world.end(probe, &envoys("503")).is_empty());
    }
    let (probe, _) = world.due();
    assert!(world.answer(probe, "401", &[], b"").is_empty());
    assert_eq!(world.gate.take_site_events(), [closed()]);
    assert_eq!(world.gate.stats().open, 0);
    (10..20).for_each(|number| _ = world.leads(number));
    assert_eq!((world.gate.stats().opened, world.gate.stats().probed), (1, 6));
}

#[test]
fn first_probe_pause_respects_a_short_open_for() {
    let mut world =
        World::new(r#""timeout": "2s", "breaker": {"failures": 2, "open_for": "100ms"}"#);
    world.opens();
    assert_eq!(world.gate.next_due().unwrap().since(world.now.moment), Some(millis(100)));
}

/// An answer to a call that was under way when it was opened.
#[test]
fn any_late_answer_closes_the_breaker() {
    let mut world = World::new(r#""timeout": "30s", "breaker": {"failures": 1}"#);
    let late = world.leads(0);
    let call = world.leads(1);
    let (_, next) = world.times_out(call, seconds(1));
    let (probe, _) = next.unwrap();
    world.wait(seconds(28));
    world.goes_on(probe, &Answer::CutOff);
    assert_eq!(world.gate.take_site_events(), [opened()]);
    world.answer(late, "500", &[], b"");
    assert_eq!(world.gate.take_site_events(), [closed()]);
    world.leads(2);
    assert_eq!(world.gate.next_due(), None);
}

#[test]
fn caller_behaviour_does_not_open() {
    let mut world = World::new(r#""timeout": "2s", "breaker": {"failures": 2}"#);
    for number in 0..40 {
        let call = world.leads(number);
        match number % 5 {
            0 => _ = world.answer(call, "500", &[], b""),
            1 => _ = world.answer(call, "429", &[], b""),
            2 => _ = world.end(call, &Answer::NotSent),
            3 => _ = world.end(call, &envoys("502")),
            _ => _ = world.goes_on(call, &Answer::CutOff),
        }
    }
    // One wait, an answer, one wait: not in a row.
    for number in 0..10 {
        let call = world.leads(100 + number);
        over(world.times_out(call, TIMEOUT));
        let call = world.leads(200 + number);
        world.answer(call, "500", &[], b"");
    }
    let stats = world.gate.stats();
    assert_eq!((stats.opened, stats.probed), (0, 0));
    // A token that the site never answers: the probe is answered.
    for _ in 0..20 {
        let call = world.leads(300);
        if let (_, Some((probe, _))) = world.times_out(call, TIMEOUT) {
            world.answer(probe, "401", &[], b"");
        }
    }
    assert_eq!((world.gate.stats().opened, world.gate.stats().probed), (0, 10));
}

/// The smaller of 250 ms and half the call's time is a wait.
#[test]
fn only_slow_failures_count() {
    for (timeout, taken, counts) in
        [("2s", 249, false), ("2s", 250, true), ("100ms", 49, false), ("100ms", 50, true)]
    {
        let mut world =
            World::new(&format!(r#""timeout": "{timeout}", "breaker": {{"failures": 1}}"#));
        let call = world.leads(0);
        let (_, next) = {
            world.wait(millis(taken));
            world.goes_on(call, &envoys("502"))
        };
        assert_eq!(next.is_some_and(|(_, call)| is_probe(&call)), counts, "{timeout} {taken}");
    }
}

/// An impatient instance must not speak for a patient one, and none without a breaker has one.
#[test]
fn each_setting_has_its_own_breaker() {
    let hasty = r#""timeout": "50ms", "breaker": {"failures": 1}"#;
    let mut world = World::new(hasty);
    let call = world.leads(0);
    let (_, next) = world.times_out(call, millis(50));
    let (probe, _) = next.unwrap();
    world.times_out(probe, millis(50));
    world.refused_for(1);
    let at_work = std::rc::Rc::clone(&world.policy);
    for others in
        [r#""timeout": "5s", "breaker": {"failures": 1}"#, r#""breaker": {"failures": 0}"#]
    {
        world.configure(others);
        let call = world.leads(2);
        world.end(call, &Answer::NotSent);
    }
    world.configure(hasty);
    world.refused_for(3);
    assert_eq!(world.gate.stats().open, 1);
    drop(at_work);
    let mut world = World::new(r#""timeout": "2s", "breaker": {"failures": 0}"#);
    for number in 0..20 {
        let call = world.leads(number);
        over(world.times_out(call, TIMEOUT));
    }
    assert_eq!(world.gate.next_due(), None);
}

#[test]
fn open_site_is_skipped() {
    let mut world = World::of(
        r#"{"userinfo_endpoint": {"defaultURI": ["https://idp.example/u", "https://b.example/u"]},
            "timeout": "2s", "deadline": "4s", "breaker": {"failures": 1, "open_for": "1m"}}"#,
    );
    let (_, first, _) = world.held(&T);
    world.wait(TIMEOUT);
    let next = world.handle(Event::CallEnded { call: first, answer: &envoys("504") });
    let [(second, call), (probe, own)] = &next.calls[..] else { panic!() };
    assert!(call.cluster == "b.example" && own.cluster == "idp.example" && is_probe(own));
    let (second, probe) = (*second, *probe);
    world.answer(second, "200", &JSON, b"{}");
    world.times_out(probe, TIMEOUT);
    let (_, _, call) = world.held(&T);
    assert_eq!(call.cluster, "b.example");
}

#[test]
fn lost_probe_counts_as_unanswered() {
    let mut world = World::new(BREAKER);
    let (probe, _) = world.waited(2);
    world.wait(TIMEOUT + millis(149));
    assert!(world.tick().is_empty());
    assert_eq!(world.gate.stats().opened, 0);
    world.wait(millis(1));
    assert!(world.tick().is_empty());
    assert_eq!(world.gate.stats().opened, 1);
    assert!(world.end(probe, &envoys("503")).is_empty());
}

/// The configuration that probed may be removed: the breaker must not stay open for the others.
#[test]
fn open_site_is_probed_for_remaining_configurations() {
    let mut world = World::new(BREAKER);
    world.opens();
    let refused = |world: &mut World| {
        let details = world.refused_for(1);
        assert_eq!(details, "oidc_token_connector{unavailable:breaker_open}");
    };
    refused(&mut world);
    world.configure(BREAKER);
    assert!(world.tick().is_empty());
    refused(&mut world);
    let (probe, _) = world.due();
    world.answer(probe, "401", &[], b"");
    world.leads(2);
}

/// A provider, or a firewall before it, may answer no call without a token. After a minute one call
/// with a token may try; if it is answered, and the next probe is not, the breaker is disabled.
#[test]
fn site_answering_only_tokens_does_not_stay_open() {
    for answers_probes in [false, true] {
        let mut world = World::new(BREAKER);
        world.opens();
        let silence = |world: &mut World, until: Duration| {
            while Duration::from_nanos(world.now.moment.nanos()) < until {
                world.refused_for(1);
                let (probe, _) = world.due();
                world.times_out(probe, TIMEOUT);
            }
        };
        let opened = Duration::from_nanos(world.now.moment.nanos());
        silence(&mut world, opened + seconds(60));
        let call = world.leads(2);
        // One at a time, and the next a minute later.
        world.refused_for(3);
        let (released, due) = world.times_out(call, TIMEOUT);
        assert_eq!(released.len(), 1);
        if let Some((probe, _)) = due {
            world.times_out(probe, TIMEOUT);
        }
        world.refused_for(4);
        let opened = Duration::from_nanos(world.now.moment.nanos());
        silence(&mut world, opened + seconds(60));
        let call = world.leads(5);
        let (released, next) = world.declines(call, "401", &[]);
        assert_eq!(released.len(), 1);
        let (probe, call) = next.expect("the filter asks, too");
        assert!(is_probe(&call));
        if answers_probes {
            world.answer(probe, "401", &[], b"");
            assert_eq!(world.gate.take_site_events(), [closed()]);
            world.opens();
            continue;
        }
        world.times_out(probe, TIMEOUT);
        let deaf = SiteEvent::Deaf { site: site() };
        assert_eq!(world.gate.take_site_events(), [closed(), deaf]);
        for number in 0..20 {
            let call = world.leads(100 + number);
            over(world.times_out(call, TIMEOUT));
        }
        assert_eq!((world.gate.stats().open, world.gate.next_due()), (0, None));
    }
}

/// With a cache only a token that was validated before may try.
#[test]
fn unknown_token_does_not_try_an_open_site() {
    let mut world = World::new(&format!(r#"{BREAKER}, "cache": {{"ttl": "1s"}}"#));
    world.asked(&[], "200", &JSON, b"{}");
    world.wait(seconds(1));
    world.opens();
    world.wait(seconds(60));
    world.refused_for(1);
    world.held(&T);
}
