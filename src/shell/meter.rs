//! The counters and gauges, defined once per VM from closed lists.
//!
//! Every definition grows the host's tables, also for a name it knows; so no name is ever made from
//! a request, and all instances of the filter in a VM share these. The workers' gauges add up.
//! Nothing is told to the host while a request waits for it: what has been counted is published
//! when a worker has nothing else to do, and with every tick.

use std::cell::Cell;

use super::host;
use crate::gate::{Ledger, Record};
use crate::outcome::Outcome;

/// The filter's counters and gauges.
pub(super) struct Meter {
    /// Every counter and gauge at the host, what the shell counts itself first.
    metrics: [Metric; COUNTERS + ENTRIES.len()],
    tally: [Cell<u64>; COUNTERS],
    published: Cell<[u64; COUNTERS + ENTRIES.len()]>,
}

/// A metric's number at the host; `None` where the host refused it. What cannot be counted is
/// still decided.
#[derive(Clone, Copy)]
struct Metric(Option<u32>);

/// What the shell counts itself; the outcomes follow.
#[derive(Clone, Copy)]
enum Tally {
    Requests,
    ClaimsInvalid,
    ClaimsOverBudget,
    Outcomes,
}

/// How many of them there are.
const COUNTERS: usize = Tally::Outcomes as usize + Outcome::ALL.len();

/// An entry of the ledger: its name, whether it goes down too, and its number.
type Entry = (&'static str, Kind, fn(&Ledger) -> u64);

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// Every entry of the ledger.
const ENTRIES: [Entry; 18] = [
    ("oidc_cache.hit", Kind::Counter, |l| l.hits),
    ("oidc_cache.negative_hit", Kind::Counter, |l| l.negative_hits),
    ("oidc_cache.shared_hit", Kind::Counter, |l| l.shared_hits),
    ("oidc_cache.miss", Kind::Counter, |l| l.misses),
    ("oidc_cache.stored", Kind::Counter, |l| l.stored),
    ("oidc_cache.evicted", Kind::Counter, |l| l.evicted),
    ("oidc_cache.expired", Kind::Counter, |l| l.expired),
    ("oidc_calls.joined", Kind::Counter, |l| l.joined),
    ("oidc_cache.stale", Kind::Counter, |l| l.stale),
    ("oidc_calls.failed_over", Kind::Counter, |l| l.failed_over),
    ("oidc_calls.refused_by_cap", Kind::Counter, |l| l.refused_by_cap),
    ("oidc_calls.refused_by_breaker", Kind::Counter, |l| l.refused_by_breaker),
    ("oidc_breaker.opened", Kind::Counter, |l| l.opened),
    ("oidc_cache_entries", Kind::Gauge, |l| l.entries as u64),
    ("oidc_cache_bytes", Kind::Gauge, |l| l.bytes as u64),
    ("oidc_calls_in_flight", Kind::Gauge, |l| l.calls as u64),
    ("oidc_requests_waiting", Kind::Gauge, |l| l.waiting as u64),
    ("oidc_breaker_open", Kind::Gauge, |l| l.shut as u64),
];

impl Meter {
    pub(super) fn define() -> Meter {
        let fixed = ["oidc_requests", "oidc_claims_invalid", "oidc_claims_over_budget"];
        let outcomes = Outcome::ALL.map(|outcome| format!("oidc_outcome.{}", outcome.word()));
        let counters = fixed.into_iter().chain(outcomes.iter().map(String::as_str));
        let counters = counters.map(|name| (name, Kind::Counter));
        let ledger = ENTRIES.iter().map(|(name, kind, _)| (*name, *kind));
        let mut all = counters.chain(ledger).map(|(name, kind)| Metric::define(name, kind));
        Meter {
            metrics: std::array::from_fn(|_| all.next().unwrap_or(Metric(None))),
            tally: std::array::from_fn(|_| Cell::new(0)),
            published: Cell::new([0; COUNTERS + ENTRIES.len()]),
        }
    }

    /// A request has arrived.
    pub(super) fn arrived(&self) {
        self.count(Tally::Requests as usize, 1);
    }

    /// A request has had its decision.
    pub(super) fn record(&self, record: &Record) {
        self.ended(record.outcome);
        self.count(Tally::ClaimsInvalid as usize, record.claims.invalid);
        self.count(Tally::ClaimsOverBudget as usize, record.claims.over_budget);
    }

    /// A request has ended so.
    pub(super) fn ended(&self, outcome: Outcome) {
        self.count((Tally::Outcomes as usize).saturating_add(outcome as usize), 1);
    }

    fn count(&self, place: usize, number: u32) {
        if let Some(cell) = self.tally.get(place) {
            cell.set(cell.get().wrapping_add(number.into()));
        }
    }

    /// Publishes what has changed since the last time, here and in the ledger; whether anything has.
    pub(super) fn publish(&self, ledger: &Ledger) -> bool {
        let entries = ENTRIES.iter().map(|(_, _, number)| number(ledger));
        let mut all = self.tally.iter().map(Cell::get).chain(entries);
        let numbers: [u64; COUNTERS + ENTRIES.len()] =
            std::array::from_fn(|_| all.next().unwrap_or(0));
        let before = self.published.replace(numbers);
        for ((metric, number), before) in self.metrics.iter().zip(numbers).zip(before) {
            metric.add(number.wrapping_sub(before).cast_signed());
        }
        numbers != before
    }
}

impl Metric {
    fn define(name: &str, kind: Kind) -> Metric {
        let id = match kind {
            Kind::Counter => host::define_counter(name),
            Kind::Gauge => host::define_gauge(name),
        };
        Metric(id.ok())
    }

    fn add(self, difference: i64) {
        if let (Some(id), true) = (self.0, difference != 0) {
            host::increment(id, difference);
        }
    }
}
