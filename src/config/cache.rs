//! `cache`: what is remembered of the provider's answers, and for how long.

use std::time::Duration;

use super::duration::Range;
use super::file::Fields;
use super::location::Report;
use crate::policy::{CachePolicy, CacheScope, Caching, NoStore};

/// The keys of `cache`.
const KEYS: &[&str] = &[
    "ttl",
    "negative_ttl",
    "stale_if_error",
    "max_entries",
    "max_bytes",
    "honor_no_store",
    "shared",
];

/// How long a revoked token may stay good.
const TTL: Range = Range {
    min: Duration::ZERO,
    max: Duration::from_secs(3600),
    said: "0s to 1h",
    whole_seconds: false,
};

/// How long a token that has just been issued may stay bad.
const NEGATIVE_TTL: Range = Range {
    min: Duration::ZERO,
    max: Duration::from_secs(300),
    said: "0s to 5m",
    whole_seconds: false,
};

/// Most verdicts of one worker.
const MOST_ENTRIES: u32 = 1_000_000;

/// Most bytes of one worker: far below the 1 GiB at which a VM dies.
const MOST_BYTES: u32 = 64 * 1024 * 1024;

/// Reads `cache`.
pub(super) fn read(top: &Fields<'_>, report: &mut Report) -> Caching {
    let Some(cache) = top.object("cache", KEYS, report) else {
        return Caching::Off;
    };
    let mut duration = |key, range, default| {
        let found = cache.get(key).and_then(|node| node.duration(range, report));
        found.unwrap_or(default)
    };
    let ttl = duration("ttl", &TTL, Duration::from_secs(60));
    let negative_ttl = duration("negative_ttl", &NEGATIVE_TTL, Duration::from_secs(5));
    let stale_if_error = duration("stale_if_error", &TTL, Duration::ZERO);
    Caching::On(CachePolicy {
        ttl,
        negative_ttl,
        stale_if_error,
        max_entries: cache.size("max_entries", 0..=MOST_ENTRIES, report).unwrap_or(10_000),
        max_bytes: cache.size("max_bytes", 0..=MOST_BYTES, report).unwrap_or(16 * 1024 * 1024),
        no_store: match cache.boolean("honor_no_store", report).unwrap_or(false) {
            true => NoStore::Honored,
            false => NoStore::Ignored,
        },
        scope: match cache.boolean("shared", report).unwrap_or(false) {
            true => CacheScope::Process,
            false => CacheScope::Worker,
        },
    })
}
