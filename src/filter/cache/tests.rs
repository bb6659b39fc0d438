//! Bounds, eviction and look-up, with keys made to measure.

use super::*;
use crate::policy::{self, CacheScope, Endpoints, NoStore, Policy};
use crate::provider::response::{Answer, Body};
use crate::request::bearer::{self, BearerToken};
use crate::sim;
use crate::time::{MonotonicTime, UnixTime};

/// An instance, its endpoint, and a store with its bounds.
struct Bench {
    policy: Policy,
    cache: CachePolicy,
    endpoint: Rc<Endpoint>,
    store: Store,
}

impl Bench {
    fn new(entries: usize, bytes: usize) -> Bench {
        let policy = policy::read(sim::config(r#""max_userinfo_bytes": 1048576"#).as_bytes())
            .unwrap()
            .policy;
        let Endpoints::Configured(table) = &policy.endpoints else { panic!("no endpoints") };
        let endpoint = Rc::clone(table.default.as_ref().unwrap());
        let cache = CachePolicy {
            ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(5),
            stale_if_error: Duration::ZERO,
            max_entries: entries,
            max_bytes: bytes,
            no_store: NoStore::Ignored,
            scope: CacheScope::Worker,
        };
        let mut store = Store::default();
        store.bound([&cache].into_iter());
        Bench { policy, cache, endpoint, store }
    }

    fn keep(&mut self, key: TokenKey, kind: Kind, body: &[u8]) -> bool {
        let status = match kind {
            Kind::Accepted => "200",
            Kind::Rejected => "401",
        };
        let head = sim::head(&[(":status", status), ("x-envoy-upstream-service-time", "1")]);
        let answer = Answer::Whole { head, body: Body::Read(body) };
        let verdict = judge(&self.policy, &self.endpoint).verdict(&answer);
        let entry = CacheEntry::of(&answer, &verdict, at(0).moment, None).unwrap();
        assert_eq!(entry.kind, kind);
        self.store.keep(key, entry, (Rc::clone(&self.endpoint), verdict))
    }

    fn find(&mut self, key: TokenKey) -> Option<Kind> {
        let found = self.store.find(&key, judge(&self.policy, &self.endpoint), &self.cache, at(1));
        found.and_then(|verdict| verdict.kind())
    }
}

fn judge<'r>(policy: &'r Policy, endpoint: &'r Rc<Endpoint>) -> Judge<'r> {
    static TOKEN: std::sync::OnceLock<BearerToken<'static>> = std::sync::OnceLock::new();
    let token = TOKEN.get_or_init(|| bearer::of("t"));
    Judge { policy, endpoint, token, date: sim::START }
}

fn at(seconds: u64) -> Now {
    Now {
        moment: MonotonicTime::from_nanos(seconds * 1_000_000_000),
        date: UnixTime(sim::START.0 + seconds),
    }
}

fn key(number: u32) -> TokenKey {
    TokenKey::of_halves([u64::from(number), 7])
}

/// The catalogue's row 147.
#[test]
fn limits_of_none_one_and_some() {
    for (entries, good, bad) in [(0, 0, 0), (1, 1, 0), (2, 1, 1), (8, 7, 1), (80, 70, 10)] {
        let mut bench = Bench::new(entries, 1 << 20);
        for number in 0..200 {
            assert_eq!(bench.keep(key(number), Kind::Accepted, b"{}"), good > 0, "{entries}");
            assert_eq!(bench.keep(key(1000 + number), Kind::Rejected, b""), bad > 0, "{entries}");
            assert!(bench.store.entries() <= entries);
        }
        assert_eq!(bench.store.entries(), good + bad, "{entries}");
        let found = |kind| (0..2000).filter(|n| bench.find(key(*n)) == Some(kind)).count();
        assert_eq!([Kind::Accepted, Kind::Rejected].map(found), [good, bad], "{entries}");
    }
}

#[test]
fn used_entries_stay() {
    let mut bench = Bench::new(8, 1 << 20);
    (0..7).for_each(|n| assert!(bench.keep(key(n), Kind::Accepted, b"{}")));
    assert_eq!(bench.find(key(0)), Some(Kind::Accepted));
    bench.keep(key(7), Kind::Accepted, b"{}");
    assert_eq!(bench.find(key(0)), Some(Kind::Accepted));
    assert_eq!(bench.find(key(1)), None);
    assert_eq!(bench.store.turnover().evicted, 1);
}

/// The catalogue's row 144.
#[test]
fn invalid_tokens_evict_no_valid_ones() {
    let mut bench = Bench::new(10_000, 16 << 20);
    (0..1000).for_each(|n| assert!(bench.keep(key(n), Kind::Accepted, b"{}")));
    (1000..101_000).for_each(|n| assert!(bench.keep(key(n), Kind::Rejected, b"expired")));
    assert!((0..1000).all(|n| bench.find(key(n)) == Some(Kind::Accepted)));
    // By entries or by bytes, whichever comes first.
    assert!((1000 + 1000..=1000 + 1250).contains(&bench.store.entries()));
}

/// The catalogue's row 148.
#[test]
fn bytes_are_limited_too() {
    let mut bench = Bench::new(1000, 80_000);
    let body = |length: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(length)).into_bytes();
    assert!(!bench.keep(key(0), Kind::Accepted, &body(70_000)));
    assert_eq!((bench.store.entries(), bench.store.bytes()), (0, 0));
    assert!(bench.keep(key(0), Kind::Accepted, &body(60_000)));
    for number in 1..100 {
        assert!(bench.keep(key(number), Kind::Accepted, &body(5000)));
        assert!(bench.store.bytes() <= 70_000);
    }
    assert_eq!(bench.find(key(0)), None);
    assert!((10..=13).contains(&bench.store.entries()), "{}", bench.store.entries());
    // A stored entry is replaced, not added.
    let before = bench.store.bytes();
    (0..100).for_each(|_| assert!(bench.keep(key(99), Kind::Accepted, &body(5000))));
    assert_eq!(bench.store.bytes(), before);
    bench.store.bound([].into_iter());
    assert_eq!((bench.store.entries(), bench.store.bytes()), (0, 0));
}

/// Many small headers take more memory than their bytes.
#[test]
fn every_header_counts_towards_the_size() {
    let weight = |headers: usize| {
        let mut bench = Bench::new(8, 1 << 20);
        let names: Vec<String> = (0..headers).map(|n| format!("x{n}")).collect();
        let mut pairs = vec![(":status", "401"), ("x-envoy-upstream-service-time", "1")];
        pairs.extend(names.iter().map(|name| (name.as_str(), "")));
        let answer = Answer::Whole { head: sim::head(&pairs), body: Body::Read(b"") };
        let verdict = judge(&bench.policy, &bench.endpoint).verdict(&answer);
        let entry = CacheEntry::of(&answer, &verdict, at(0).moment, None).unwrap();
        assert!(bench.store.keep(key(0), entry, (Rc::clone(&bench.endpoint), verdict)));
        bench.store.bytes()
    };
    assert!(weight(80) >= weight(0) + 80 * 64);
}

#[test]
fn single_entry_survives_new_limits() {
    let mut bench = Bench::new(1, 1 << 20);
    bench.keep(key(0), Kind::Accepted, b"{}");
    bench.store.bound([&bench.cache].into_iter());
    assert_eq!((bench.find(key(0)), bench.store.turnover().evicted), (Some(Kind::Accepted), 0));
}

#[test]
fn largest_limits_of_all_instances_apply() {
    let mut bench = Bench::new(8, 1 << 20);
    let larger = CachePolicy { max_entries: 80, ..bench.cache };
    bench.store.bound([&bench.cache, &larger, &bench.cache.clone()].into_iter());
    (0..100).for_each(|n| assert!(bench.keep(key(n), Kind::Accepted, b"{}")));
    assert_eq!(bench.store.entries(), 70);
    bench.store.bound([&bench.cache].into_iter());
    assert_eq!(bench.store.entries(), 7);
}

#[test]
fn mapped_claims_of_several_instances_are_limited_and_counted() {
    let mut bench = Bench::new(8, 1 << 20);
    let instance = || {
        let members = r#""inject_headers": {"X-User": "$.sub"}"#;
        let policy = policy::read(sim::config(members).as_bytes()).unwrap().policy;
        let Endpoints::Configured(table) = &policy.endpoints else { panic!("no endpoints") };
        let endpoint = Rc::clone(table.default.as_ref().unwrap());
        (policy, endpoint)
    };
    let body = format!(r#"{{"sub":"{}"}}"#, "a".repeat(1000));
    bench.keep(key(0), Kind::Accepted, body.as_bytes());
    let before = bench.store.bytes();
    for round in 1..=20 {
        let (policy, endpoint) = instance();
        for _ in 0..3 {
            let judge = judge(&policy, &endpoint);
            let found = bench.store.find(&key(0), judge, &bench.cache, at(1));
            assert!(found.is_some());
        }
        // The keeper's own reading has no headers; at most four are kept.
        let kept = MOST_READINGS.min(round);
        let reading = 1000 + "x-user".len();
        let weighed = bench.store.bytes() - before;
        assert!((kept * reading..kept * (reading + 512)).contains(&weighed), "{round}: {weighed}");
    }
}

/// The catalogue's rows 133 and 134: no token finds the entry of another, even if keys share the
/// half that the table uses.
#[test]
fn million_keys_without_collision() {
    let alike = |number: u32| TokenKey::of_halves([7, u64::from(number)]);
    for (key, keys) in [(key as fn(u32) -> TokenKey, 1_000_000_u32), (alike, 20_000)] {
        let mut bench = Bench::new(1000, 1 << 20);
        for number in 0..keys {
            assert_eq!(bench.find(key(number)), None);
            if number % 10 == 0 {
                bench.keep(key(number), Kind::Accepted, b"{}");
                assert_eq!(bench.find(key(number)), Some(Kind::Accepted));
            }
        }
        assert_eq!(bench.store.entries(), 875);
    }
}
