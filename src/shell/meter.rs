//! The counters, defined once per VM from closed lists.
//!
//! Every definition grows the host's tables, also for a name it knows; so no name is ever made from
//! a request, and all instances of the filter in a VM share these.

use std::cell::OnceCell;

use super::host;
use crate::gate::Record;
use crate::outcome::Outcome;

/// The filter's counters.
#[derive(Clone)]
pub(super) struct Meter {
    requests: Counter,
    outcomes: [Counter; Outcome::ALL.len()],
    claims_invalid: Counter,
    claims_over_budget: Counter,
}

/// A counter's number at the host; `None` where the host refused it. What cannot be counted is
/// still decided.
#[derive(Clone, Copy)]
struct Counter(Option<u32>);

impl Meter {
    /// The VM's meter, defined at the first call.
    pub(super) fn of_vm() -> Meter {
        thread_local! {
            static METER: OnceCell<Meter> = const { OnceCell::new() };
        }
        METER.with(|meter| meter.get_or_init(Meter::define).clone())
    }

    fn define() -> Meter {
        Meter {
            requests: Counter::define("oidc_requests"),
            outcomes: Outcome::ALL
                .map(|outcome| Counter::define(&format!("oidc_outcome.{}", outcome.word()))),
            claims_invalid: Counter::define("oidc_claims_invalid"),
            claims_over_budget: Counter::define("oidc_claims_over_budget"),
        }
    }

    /// A request has arrived.
    pub(super) fn arrived(&self) {
        self.requests.add(1);
    }

    /// A request has had its decision.
    pub(super) fn record(&self, record: &Record) {
        self.ended(record.outcome);
        self.claims_invalid.add(record.claims.invalid);
        self.claims_over_budget.add(record.claims.over_budget);
    }

    /// A request has ended so.
    pub(super) fn ended(&self, outcome: Outcome) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.add(1);
        }
    }
}

impl Counter {
    fn define(name: &str) -> Counter {
        Counter(host::define_counter(name).ok())
    }

    fn add(self, count: u32) {
        if let (Some(id), 1..) = (self.0, count) {
            host::increment(id, count);
        }
    }
}
