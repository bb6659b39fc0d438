//! What the filter has done so far and what it holds now: one line for each counter and gauge.

/// Whether a number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// The numbers of one worker, and under which names Envoy's statistics have them.
macro_rules! stats {
    ($($(#[$meaning:meta])* $field:ident: $number:ty = $kind:ident $name:literal,)*) => {
        /// Numbers of one worker.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Stats { $($(#[$meaning])* pub $field: $number,)* }

        impl Stats {
            /// What every number is called in Envoy's statistics, and its kind.
            pub const ALL: [(&str, Kind); [$($name),*].len()] = [$(($name, Kind::$kind)),*];

            /// Every number, in the order of [`Stats::ALL`].
            pub fn numbers(&self) -> [u64; Stats::ALL.len()] {
                [$(self.$field as u64),*]
            }
        }
    };
}

stats! {
    /// Requests that a good verdict kept by this worker decided.
    hits: u64 = Counter "oidc_cache.hit",
    /// Requests that a refusal kept by this worker refused.
    negative_hits: u64 = Counter "oidc_cache.negative_hit",
    /// Requests that were decided by what another worker had found.
    shared_hits: u64 = Counter "oidc_cache.shared_hit",
    /// Requests for which the cache held nothing.
    misses: u64 = Counter "oidc_cache.miss",
    /// Verdicts that were kept.
    stored: u64 = Counter "oidc_cache.stored",
    /// Verdicts that made room for others.
    evicted: u64 = Counter "oidc_cache.evicted",
    /// Verdicts that were forgotten for their age.
    expired: u64 = Counter "oidc_cache.expired",
    /// Requests that found a call under way for what they ask.
    joined: u64 = Counter "oidc_calls.joined",
    /// Requests that an outdated verdict decided, because nobody answered.
    stale: u64 = Counter "oidc_cache.stale",
    /// Calls to a further site, because the one before it gave no verdict.
    failed_over: u64 = Counter "oidc_calls.failed_over",
    /// Calls that repeated one that ended at once without an answer.
    repeated: u64 = Counter "oidc_calls.repeated",
    /// Requests that were refused because of too many calls, or too many that wait for one.
    refused_by_cap: u64 = Counter "oidc_calls.refused_by_cap",
    /// Requests that were refused because the breaker of every site was open.
    refused_by_breaker: u64 = Counter "oidc_calls.refused_by_breaker",
    /// Requests that got the provider's 429 or 503 again, because their token waits.
    refused_by_wait: u64 = Counter "oidc_calls.refused_by_wait",
    /// Breakers that were opened.
    opened: u64 = Counter "oidc_breaker.opened",
    /// Questions of the filter's own, by which breakers are opened and closed.
    probed: u64 = Counter "oidc_breaker.probed",
    /// Verdicts kept.
    entries: usize = Gauge "oidc_cache_entries",
    /// About how many bytes these take.
    bytes: usize = Gauge "oidc_cache_bytes",
    /// Calls under way.
    calls: usize = Gauge "oidc_calls_in_flight",
    /// Requests that wait.
    waiting: usize = Gauge "oidc_requests_waiting",
    /// Breakers that are open.
    open: usize = Gauge "oidc_breaker_open",
}
