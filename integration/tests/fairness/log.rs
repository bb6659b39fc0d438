//! The access log of requests that are identified by their paths.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use integration::{Call, DEADLINE, Envoy};
use serde_json::Value;

/// The entries of requests with these paths, all of one row, once all are there.
pub(crate) async fn entries(envoy: &Envoy, paths: &[&str]) -> HashMap<String, Value> {
    let mut entries = HashMap::new();
    let Some(first) = paths.first() else {
        return entries;
    };
    let of_row = first.split('/').nth(1).unwrap_or_default();
    let all_there = async {
        // Envoy writes its access log in intervals, and there is no event for the last of them.
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            look.tick().await;
            entries = by_path(envoy, of_row);
            if paths.iter().all(|path| entries.contains_key(*path)) {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, all_there).await.is_ok();
    assert!(in_time, "not all of {} requests are in the access log", paths.len());
    entries.retain(|path, _| paths.contains(&path.as_str()));
    entries
}

fn by_path(envoy: &Envoy, part: &str) -> HashMap<String, Value> {
    let lines = envoy.access_log().lines();
    let lines = lines.iter().filter(|line| line.contains(part));
    let entries = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries.filter_map(|entry| Some((entry["path"].as_str()?.to_owned(), entry))).collect()
}

/// The reason of a refusal, the filter's or Envoy's.
pub(crate) fn reason(entry: &Value) -> String {
    let details = entry["details"].as_str().unwrap_or_default();
    let own = details.strip_prefix("oidc_token_connector{").and_then(|d| d.strip_suffix('}'));
    own.unwrap_or(details).to_owned()
}

fn milliseconds(entry: &Value) -> u64 {
    entry["milliseconds"].as_u64().expect("a number")
}

/// How long requests took, by Envoy's measure, in milliseconds.
#[derive(Default)]
pub(crate) struct Took {
    pub(crate) median: u64,
    pub(crate) largest: u64,
}

impl Took {
    pub(crate) fn of(entries: &HashMap<String, Value>) -> Took {
        let mut took: Vec<u64> = entries.values().map(milliseconds).collect();
        took.sort_unstable();
        Took {
            median: took.get(took.len() / 2).copied().unwrap_or_default(),
            largest: took.last().copied().unwrap_or_default(),
        }
    }
}

/// How many good requests did not pass.
#[derive(Default)]
pub(crate) struct Lost {
    /// Those whose call could have been repeated.
    pub(crate) judged: usize,
    /// Those whose call ended late, because the machine was busy. The filter is right not to repeat
    /// such a call.
    pub(crate) late: usize,
    reasons: BTreeSet<String>,
}

/// Milliseconds after which the end of a call is a wait for the provider.
const WAITED: u64 = 250;
/// The most calls about one request.
const MOST: usize = 3;

impl Lost {
    /// Of requests with these entries, about which the provider had these calls: each request has a
    /// token of its own, [`token`].
    pub(crate) fn of(entries: &HashMap<String, Value>, calls: &[Call]) -> Lost {
        let mut asked: HashMap<String, usize> = HashMap::new();
        for token in calls.iter().filter_map(Call::token) {
            *asked.entry(token).or_default() += 1;
        }
        let mut lost = Lost::default();
        for (path, entry) in entries.iter().filter(|(_, entry)| entry["status"] != 200) {
            let calls = asked.get(&token(path)).copied().unwrap_or_default();
            if milliseconds(entry) >= WAITED && calls < MOST {
                lost.late += 1;
            } else {
                lost.judged += 1;
            }
            lost.reasons.insert(reason(entry));
        }
        lost
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost { judged, late, reasons } = self;
        write!(f, "{judged} lost and {late} not judged {reasons:?}")
    }
}

/// A token for the one good request with this path.
pub(crate) fn token(path: &str) -> String {
    path.replace('/', ".")
}
