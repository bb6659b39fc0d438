//! The counters, gauges and histograms, defined once per VM from closed lists.
//!
//! Every definition grows the host's tables, also for a name it knows; so no name is ever made from
//! a request, and filter instances with one `stat_name` share theirs. The workers' gauges add up.
//! Counters and gauges are not told to the host while a request waits for it: what has been counted is
//! published when a worker has nothing else to do, and with every tick. A value of a histogram is told at once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::host;
use crate::filter::{Kind, Record, Stats};
use crate::outcome::{Outcome, Reason, Source};
use crate::policy::{Endpoints, Policy};

/// What instances of one `stat_name` count.
pub(super) struct Meter {
    /// What follows every name.
    suffix: String,
    counters: [Counter; PLACES],
    /// What was counted since the last time, a bit for each counter: of seventy a request changes three,
    /// and most of a hundred instances have nothing.
    news: [Cell<u64>; 2],
    regions: RefCell<BTreeMap<Rc<str>, Region>>,
    /// Whether a region has counted.
    region_news: Cell<bool>,
}

/// What the instances of a VM hold together.
pub(super) struct Gauges {
    metrics: [Metric; Stats::ALL.len()],
    published: [Cell<u64>; Stats::ALL.len()],
}

/// A metric's number at the host; `None` where the host refused it. What cannot be counted is
/// still decided.
#[derive(Clone, Copy)]
struct Metric(Option<u32>);

/// A counter, and what of it the host knows.
struct Counter {
    metric: Metric,
    number: Cell<u64>,
    published: Cell<u64>,
}

/// What is counted of one region.
struct Region {
    requests: Counter,
    /// Those about which its provider said nothing.
    failed: Counter,
    /// How long calls took, in milliseconds.
    calls: Metric,
}

/// Where the counters of each list begin.
const INVALID: usize = 1;
const OVER_BUDGET: usize = 2;
const OUTCOMES: usize = 3;
const SOURCES: usize = OUTCOMES + Outcome::ALL.len();
const WHY: usize = SOURCES + Source::ALL.len();
const PLACES: usize = WHY + Reason::ALL.len();

/// Each has its bit of [`Meter::news`].
const _: () = assert!(PLACES <= 128, "more counters than bits");

impl Meter {
    pub(super) fn define(stat_name: &str) -> Meter {
        let suffix = match stat_name {
            "" => String::new(),
            name => format!(".instance.{name}"),
        };
        let fixed = ["oidc_requests", "oidc_claims_invalid", "oidc_claims_over_budget"];
        let outcomes = Outcome::ALL.map(|outcome| format!("oidc_outcome.{}", outcome.as_str()));
        let sources = Source::ALL.map(|source| format!("oidc_source.{}", source.as_str()));
        let reasons = Reason::ALL.map(|reason| format!("oidc_reason.{}", reason.as_str()));
        let lists = outcomes.iter().chain(&sources).chain(&reasons).map(String::as_str);
        let mut names = fixed.into_iter().chain(lists);
        let counters = std::array::from_fn(|_| {
            Counter::define(&format!("{}{suffix}", names.next().unwrap_or_default()))
        });
        Meter {
            suffix,
            counters,
            news: Default::default(),
            regions: RefCell::default(),
            region_news: Cell::default(),
        }
    }

    /// An instance with these regions counts here too.
    pub(super) fn serves(&self, policy: &Policy) {
        let Endpoints::Configured(table) = &policy.endpoints else {
            return;
        };
        let mut regions = self.regions.borrow_mut();
        for endpoint in table.regions.iter().chain(&table.default) {
            regions.entry(Rc::clone(&endpoint.region)).or_insert_with(|| {
                let (code, suffix) = (label(&endpoint.region), &self.suffix);
                let calls = host::define_histogram(&format!("oidc_userinfo_ms.{code}{suffix}"));
                Region {
                    requests: Counter::define(&format!("oidc_region.{code}{suffix}")),
                    failed: Counter::define(&format!("oidc_region_failed.{code}{suffix}")),
                    calls: Metric(calls.ok()),
                }
            });
        }
    }

    /// A request has arrived.
    pub(super) fn arrived(&self) {
        self.count(0, 1);
    }

    /// A request has had its decision.
    pub(super) fn record(&self, record: &Record) {
        self.ended(record.outcome);
        self.count(SOURCES.saturating_add(record.source as usize), 1);
        self.count(INVALID, record.claims.invalid);
        self.count(OVER_BUDGET, record.claims.over_budget);
        if let Some(reason) = record.reason {
            self.count(WHY.saturating_add(reason as usize), 1);
        }
        if let Some(region) = &record.region
            && let Some(region) = self.regions.borrow().get(region)
        {
            region.requests.add(1);
            region.failed.add(record.outcome.is_without_verdict().into());
            self.region_news.set(true);
        }
    }

    /// A request has ended so.
    pub(super) fn ended(&self, outcome: Outcome) {
        self.count(OUTCOMES.saturating_add(outcome as usize), 1);
    }

    /// A call to a region's endpoint has taken so long.
    pub(super) fn took(&self, region: &str, time: Duration) {
        if let Some(Region { calls: Metric(Some(id)), .. }) = self.regions.borrow().get(region) {
            host::record(*id, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        }
    }

    fn count(&self, place: usize, number: u32) {
        let news = self.news.get(place / 64);
        if let (Some(counter), Some(news), true) = (self.counters.get(place), news, number > 0) {
            counter.add(number);
            news.set(news.get() | 1 << (place % 64));
        }
    }

    /// Publishes what has changed since the last time; whether anything has.
    pub(super) fn publish(&self) -> bool {
        let mut has_news = self.region_news.replace(false);
        if has_news {
            for region in self.regions.borrow().values() {
                region.requests.publish();
                region.failed.publish();
            }
        }
        for (word, news) in self.news.iter().enumerate() {
            let mut bits = news.replace(0);
            has_news |= bits != 0;
            while bits != 0 {
                let place = word.saturating_mul(64).saturating_add(bits.trailing_zeros() as usize);
                bits &= bits.wrapping_sub(1);
                if let Some(counter) = self.counters.get(place) {
                    counter.publish();
                }
            }
        }
        has_news
    }
}

/// A region's code as a part of a statistic's name.
fn label(code: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    code.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

impl Gauges {
    pub(super) fn define() -> Gauges {
        let metrics = Stats::ALL.map(|(name, kind)| match kind {
            Kind::Counter => Metric(host::define_counter(name).ok()),
            Kind::Gauge => Metric(host::define_gauge(name).ok()),
        });
        Gauges { metrics, published: Default::default() }
    }

    /// Publishes what has changed since the last time; whether anything has.
    pub(super) fn publish(&self, stats: &Stats) -> bool {
        let numbers = stats.numbers();
        let mut has_news = false;
        for ((metric, number), published) in self.metrics.iter().zip(&numbers).zip(&self.published)
        {
            let difference = number.wrapping_sub(published.get());
            if difference != 0 {
                published.set(*number);
                metric.add(difference.cast_signed());
                has_news = true;
            }
        }
        has_news
    }
}

impl Counter {
    fn define(name: &str) -> Counter {
        let metric = Metric(host::define_counter(name).ok());
        Counter { metric, number: Cell::new(0), published: Cell::new(0) }
    }

    fn add(&self, number: u32) {
        self.number.set(self.number.get().wrapping_add(number.into()));
    }

    fn publish(&self) {
        let now = self.number.get();
        self.metric.add(now.wrapping_sub(self.published.replace(now)).cast_signed());
    }
}

impl Metric {
    fn add(self, difference: i64) {
        if let (Some(id), true) = (self.0, difference != 0) {
            host::increment(id, difference);
        }
    }
}
