//! The counters and gauges, defined once per VM from closed lists.
//!
//! Every definition grows the host's tables, also for a name it knows; so no name is ever made from
//! a request, and all instances of the filter in a VM share these. The workers' gauges add up.

use std::cell::Cell;

use super::host;
use crate::gate::{Ledger, Record};
use crate::outcome::Outcome;

/// The filter's counters and gauges.
pub(super) struct Meter {
    requests: Metric,
    outcomes: [Metric; Outcome::ALL.len()],
    claims_invalid: Metric,
    claims_over_budget: Metric,
    ledger: [Metric; ENTRIES.len()],
    published: Cell<Ledger>,
}

/// A metric's number at the host; `None` where the host refused it. What cannot be counted is
/// still decided.
#[derive(Clone, Copy)]
struct Metric(Option<u32>);

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
        Meter {
            requests: Metric::counter("oidc_requests"),
            outcomes: Outcome::ALL
                .map(|outcome| Metric::counter(&format!("oidc_outcome.{}", outcome.word()))),
            claims_invalid: Metric::counter("oidc_claims_invalid"),
            claims_over_budget: Metric::counter("oidc_claims_over_budget"),
            ledger: ENTRIES.map(|(name, kind, _)| match kind {
                Kind::Counter => Metric::counter(name),
                Kind::Gauge => Metric(host::define_gauge(name).ok()),
            }),
            published: Cell::default(),
        }
    }

    /// A request has arrived.
    pub(super) fn arrived(&self) {
        self.requests.add(1);
    }

    /// A request has had its decision.
    pub(super) fn record(&self, record: &Record) {
        self.ended(record.outcome);
        self.claims_invalid.add(record.claims.invalid.into());
        self.claims_over_budget.add(record.claims.over_budget.into());
    }

    /// A request has ended so.
    pub(super) fn ended(&self, outcome: Outcome) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.add(1);
        }
    }

    /// Publishes what has changed in the ledger.
    pub(super) fn publish(&self, ledger: &Ledger) {
        let before = self.published.replace(*ledger);
        if before == *ledger {
            return;
        }
        for (metric, (_, _, number)) in self.ledger.iter().zip(ENTRIES) {
            metric.add(number(ledger).wrapping_sub(number(&before)).cast_signed());
        }
    }
}

impl Metric {
    fn counter(name: &str) -> Metric {
        Metric(host::define_counter(name).ok())
    }

    fn add(self, difference: i64) {
        if let (Some(id), true) = (self.0, difference != 0) {
            host::increment(id, difference);
        }
    }
}
