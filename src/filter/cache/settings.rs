//! `cache`: what is remembered of the provider's responses, and for how long.

use std::time::Duration;

use crate::config::duration::Range;
use crate::config::file::Fields;
use crate::config::key::{Boolean, Integer, Key, Time};
use crate::config::location::Report;
use crate::config::shape::{Keys, Object, text};

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&CACHE];

static CACHE: Key<&Object> = Key::new(
    "cache",
    &Object {
        title: "Cache",
        keys: &[
            &TTL,
            &NEGATIVE_TTL,
            &STALE_IF_ERROR,
            &MAX_ENTRIES,
            &MAX_BYTES,
            &HONOR_NO_STORE,
            &SHARED,
        ],
        more: text(""),
    },
    text(
        "what is remembered of the provider's responses; absent, every request calls the provider",
    ),
);

/// How long a revoked token may stay good.
const UP_TO_AN_HOUR: Range = Range {
    min: Duration::ZERO,
    max: Duration::from_secs(3600),
    said: "0s to 1h",
    whole_seconds: false,
};

/// How long a token that has just been issued may stay bad.
const UP_TO_FIVE_MINUTES: Range = Range {
    min: Duration::ZERO,
    max: Duration::from_secs(300),
    said: "0s to 5m",
    whole_seconds: false,
};

static TTL: Key<Time> = Key::new(
    "ttl",
    Time { range: &UP_TO_AN_HOUR, default: Duration::from_secs(60) },
    text("how long a valid token passes without another call; a revoked token may pass as long"),
);

static NEGATIVE_TTL: Key<Time> = Key::new(
    "negative_ttl",
    Time { range: &UP_TO_FIVE_MINUTES, default: Duration::from_secs(5) },
    text("how long a refused token is refused without another call"),
);

static STALE_IF_ERROR: Key<Time> = Key::new(
    "stale_if_error",
    Time { range: &UP_TO_AN_HOUR, default: Duration::ZERO },
    text(
        "how long an expired good verdict may serve while the provider is down: see \
         [operations.md](operations.md#outdated-verdicts)",
    ),
);

static MAX_ENTRIES: Key<Integer> = Key::new(
    "max_entries",
    Integer { min: 0, max: 1_000_000, default: 10_000 },
    text("verdicts that one worker keeps"),
);

/// At most far below the 1 GiB at which a VM dies.
static MAX_BYTES: Key<Integer> = Key::new(
    "max_bytes",
    Integer { min: 0, max: 64 * 1024 * 1024, default: 16 * 1024 * 1024 },
    text("bytes of these verdicts"),
);

static HONOR_NO_STORE: Key<Boolean> = Key::new(
    "honor_no_store",
    Boolean { default: false },
    text(
        "responses with `no-store`, `no-cache` or `max-age=0` are not kept. Off, because frameworks \
         send them as boilerplate, and switching the cache on was the operator's decision",
    ),
);

static SHARED: Key<Boolean> = Key::new(
    "shared",
    Boolean { default: false },
    text("the verdicts of one worker serve the other workers of the process"),
);

/// `cache`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// Not configured: every request is validated anew, as in the source system.
    Off,
    /// Verdicts are remembered.
    On(CachePolicy),
}

/// For how long and how many verdicts are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// For how long a token is good without another call, at most 1 h.
    pub ttl: Duration,
    /// For how long a token is bad without another call.
    pub negative_ttl: Duration,
    /// How many verdicts one worker keeps.
    pub max_entries: usize,
    /// How many bytes these may take.
    pub max_bytes: usize,
    /// For how long after its time a good verdict may serve while nobody answers.
    pub stale_if_error: Duration,
    /// What `no-store`, `no-cache` and `max-age=0` of the provider do.
    pub no_store: NoStore,
    /// Who finds a verdict.
    pub scope: CacheScope,
}

/// `honor_no_store`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoStore {
    /// Nothing: frameworks send them as boilerplate, and caching was asked for by the operator.
    Ignored,
    /// The response is not kept.
    Honored,
}

/// `shared`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheScope {
    /// The worker that made the call.
    Worker,
    /// Every worker of the process, through Envoy's shared data.
    Process,
}

/// Reads `cache`.
pub(crate) fn read(top: &Fields<'_>, report: &mut Report) -> Caching {
    let Some(cache) = CACHE.open(top, report) else {
        return Caching::Off;
    };
    Caching::On(CachePolicy {
        ttl: TTL.read(&cache, report),
        negative_ttl: NEGATIVE_TTL.read(&cache, report),
        stale_if_error: STALE_IF_ERROR.read(&cache, report),
        max_entries: MAX_ENTRIES.read_size(&cache, report),
        max_bytes: MAX_BYTES.read_size(&cache, report),
        no_store: match HONOR_NO_STORE.read(&cache, report) {
            true => NoStore::Honored,
            false => NoStore::Ignored,
        },
        scope: match SHARED.read(&cache, report) {
            true => CacheScope::Process,
            false => CacheScope::Worker,
        },
    })
}
