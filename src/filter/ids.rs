//! What requests and calls are told apart by, and how long a report is waited for.

use std::time::Duration;

/// How long after a call's own timeout its answer is waited for: the host reports a timeout as an
/// answer, so only a lost report runs into this.
pub(super) const GRACE: Duration = Duration::from_millis(150);

/// A request, as the host numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

/// A call to a provider, numbered by the gate and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);
