//! The access log of a drill.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use integration::Call;
use serde_json::Value;

use crate::crowd::Seen;

/// The access log's names for the time from a request's first byte to its first byte upstream, and
/// for its start, in milliseconds since 1970.
pub(crate) const HELD: &str = "held";
pub(crate) const CAME: &str = "came";

/// When a request came, in milliseconds since 1970, by Envoy's clock.
pub(crate) fn came(line: &Value) -> u128 {
    line[CAME].as_str().and_then(|text| text.parse().ok()).expect("a moment")
}

/// How many requests there were and how they ended.
#[derive(Clone, Default)]
pub(crate) struct Numbers {
    requests: u64,
    passed: u64,
    hits: u64,
    pub(crate) stale: u64,
    refused: u64,
    unavailable: u64,
    gone: u64,
    /// How long the filter held one, in milliseconds.
    pub(crate) slowest: u64,
    /// Of the staying clients with a valid token: passed, and refused.
    good: [u64; 2],
}

/// The expected results of a phase for staying clients with a valid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// All requests passed, none by an outdated verdict.
    Served,
    /// All requests passed, some by an outdated verdict.
    ServedStale,
    /// No request passed except by a fresh verdict.
    Refused,
}

impl Numbers {
    pub(crate) fn by_phase(lines: &[String]) -> BTreeMap<String, Numbers> {
        let mut phases: BTreeMap<String, Numbers> = BTreeMap::new();
        for line in lines {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let path = line["path"].as_str().expect("a path");
            let phase = path.split('/').nth(1).expect("a phase");
            phases.entry(phase.to_owned()).or_default().add(&line, path);
        }
        phases
    }

    pub(crate) fn of_those_who_stayed(lines: &[String]) -> Seen {
        let stayed = lines.iter().filter(|line| line.contains("/stays/")).cloned();
        let stayed = Numbers::by_phase(&stayed.collect::<Vec<_>>());
        let [passed, refused, unavailable, gone] =
            stayed.values().fold(Numbers::default(), Numbers::plus).outcomes();
        assert_eq!(gone, 0, "somebody who stayed was lost");
        [passed, refused, unavailable]
    }

    pub(crate) fn outcomes(&self) -> [u64; 4] {
        [self.passed, self.refused, self.unavailable, self.gone]
    }

    pub(crate) fn plus(self, other: &Numbers) -> Numbers {
        Numbers {
            requests: self.requests + other.requests,
            passed: self.passed + other.passed,
            hits: self.hits + other.hits,
            stale: self.stale + other.stale,
            refused: self.refused + other.refused,
            unavailable: self.unavailable + other.unavailable,
            gone: self.gone + other.gone,
            slowest: self.slowest.max(other.slowest),
            good: [0, 1].map(|n| self.good[n] + other.good[n]),
        }
    }

    fn add(&mut self, line: &Value, path: &str) {
        self.requests += 1;
        // Until it went on, or was answered: by Envoy's clock, and without the backend's time.
        let held = line[HELD].as_u64().or_else(|| line["milliseconds"].as_u64());
        self.slowest = self.slowest.max(held.expect("a duration"));
        // A client that left before the decision has no outcome in the log.
        let mut words = line["outcome"].as_str().unwrap_or("gone").split(';');
        let (outcome, source) = (words.next().unwrap_or_default(), words.next());
        let number = match outcome {
            "pass" => &mut self.passed,
            "invalid_token" | "provider_error" => &mut self.refused,
            "unavailable" => &mut self.unavailable,
            "gone" => &mut self.gone,
            _ => panic!("{line}"),
        };
        *number += 1;
        match (outcome, source) {
            ("pass", Some("hit")) => self.hits += 1,
            ("pass", Some("stale")) => self.stale += 1,
            _ => {}
        }
        if path.contains("/stays/good") {
            self.good[usize::from(outcome != "pass")] += 1;
        }
    }
}

/// Fails if a phase was not like that.
pub(crate) fn check(name: &str, phases: &BTreeMap<String, Numbers>, phase: Phase) {
    let numbers = &phases[name];
    let [passed, not] = numbers.good;
    let is_so = match phase {
        Phase::Served => passed > 0 && not == 0 && numbers.stale == 0,
        Phase::ServedStale => passed > 0 && not == 0 && numbers.stale > 0,
        Phase::Refused => numbers.passed == numbers.hits && numbers.stale == 0 && not > passed,
    };
    assert!(is_so, "{name} is not {phase:?}: {numbers}, with good tokens {passed} and not {not}");
}

/// How long after this moment the last request of a phase came that made no call because the
/// breaker was open.
pub(crate) fn last_shut_out(lines: &[String], phase: &str, since: SystemTime) -> Duration {
    let since = since.duration_since(SystemTime::UNIX_EPOCH).expect("a clock that is set");
    let path = format!("\"path\":\"/{phase}/");
    let of_phase =
        lines.iter().filter(|line| line.contains(&path) && line.contains("breaker_open"));
    let came = of_phase.map(|line| came(&serde_json::from_str(line).expect("a line of JSON")));
    let last = came.max().unwrap_or_default().saturating_sub(since.as_millis());
    Duration::from_millis(u64::try_from(last).expect("a short time"))
}

/// The most calls about one request. Envoy gives each request an id, which its calls carry.
pub(crate) fn per_request(calls: &[Call]) -> usize {
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for id in calls.iter().filter_map(|call| call.headers.get("x-request-id")) {
        *asked.entry(id).or_default() += 1;
    }
    asked.into_values().max().unwrap_or_default()
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Numbers { requests, passed, hits, stale, refused, unavailable, gone, slowest, .. } =
            self;
        write!(
            f,
            "{requests} requests = {passed} passed ({hits} hits, {stale} stale) + {refused} refused \
             + {unavailable} unavailable + {gone} gone; the slowest took {slowest} ms"
        )
    }
}
