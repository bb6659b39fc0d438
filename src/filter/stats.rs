//! What the gate has done so far and holds now, as numbers for counters and gauges.

/// Numbers of one worker. The first part only grows; the second goes up and down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests that a verdict kept by this worker let pass.
    pub hits: u64,
    /// Requests that a refusal kept by this worker refused.
    pub negative_hits: u64,
    /// Requests that were decided by what another worker had found.
    pub shared_hits: u64,
    /// Requests for which the cache held nothing.
    pub misses: u64,
    /// Requests that found a call under way for what they ask.
    pub joined: u64,
    /// Verdicts that were kept.
    pub stored: u64,
    /// Verdicts that made room for others.
    pub evicted: u64,
    /// Verdicts that were forgotten for their age.
    pub expired: u64,
    /// Calls to a further site, because the one before it gave no verdict.
    pub failed_over: u64,
    /// Calls that repeated one that ended at once without an answer.
    pub repeated: u64,
    /// Requests that were refused because of too many calls, or too many that wait for one.
    pub refused_by_cap: u64,
    /// Requests that were refused because the breaker of every site was open.
    pub refused_by_breaker: u64,
    /// Requests that got the provider's 429 or 503 again, because their token waits.
    pub refused_by_wait: u64,
    /// Breakers that were opened.
    pub opened: u64,
    /// Questions of the filter's own, by which breakers are opened and closed.
    pub probed: u64,
    /// Requests that an outdated verdict let pass, because nobody answered.
    pub stale: u64,
    /// Verdicts kept.
    pub entries: usize,
    /// About how many bytes these take.
    pub bytes: usize,
    /// Calls under way.
    pub calls: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Breakers that are open.
    pub open: usize,
}
