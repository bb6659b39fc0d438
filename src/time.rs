//! Time as the core knows it: an argument, never a clock.

use std::time::Duration;

/// A moment on a clock that never goes back, in nanoseconds since some start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment this many nanoseconds after the clock's start.
    pub fn from_nanos(nanos: u64) -> Moment {
        Moment(nanos)
    }

    /// The moment that much later; the end of time rather than an overflow.
    pub fn after(self, wait: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}
