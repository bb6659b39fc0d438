//! The events of a world, counted: a trace that reaches little proves little.

macro_rules! tally {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Counts of events.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "as in the stats, where nothing is said")]
        pub struct Tally {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Tally {
            /// Both together.
            #[must_use]
            pub fn plus(self, other: Tally) -> Tally {
                Tally { $($field: self.$field + other.$field,)* }
            }
        }
    };
}

tally! {
    hits,
    negative_hits,
    shared_hits,
    misses,
    joined,
    stored,
    failed_over,
    repeated,
    refused_by_cap,
    refused_by_breaker,
    refused_by_wait,
    opened,
    probed,
    stale,
    /// Breakers that were closed again.
    closed,
    /// Requests that had been held.
    released,
    /// Requests that ended while they were held.
    gone,
    /// Shared values that were damaged or moved.
    torn,
}
