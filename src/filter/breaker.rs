//! The circuit breaker of one site, by one set of settings. It saves waiting, so only calls that took time
//! count, and only the filter's own probe, which carries no token, opens it.

use std::time::Duration;

use super::ids::CallId;
use crate::policy::{Breaker, Policy};
use crate::time::MonotonicTime;

/// How soon a site with an open breaker is asked for the first time.
const FIRST_PROBE: Duration = Duration::from_millis(250);

/// How long a breaker is open before one call about a token that was vouched for may try, if ever a
/// site answers none without a token. One call at a time, and the next after as long again.
const TRIAL: Duration = Duration::from_secs(60);

/// A site's breaker by one set of settings: an impatient instance must not speak for a patient one.
#[derive(Debug)]
pub(super) struct BreakerState {
    pub(super) settings: Settings,
    /// Calls that were waited for without an answer, in a row.
    pub(super) failures: u32,
    pub(super) phase: Phase,
    /// When it was opened, or last tried by a client's call.
    pub(super) opened: MonotonicTime,
    /// A client's call tries it.
    pub(super) trial: bool,
    /// A client's call was answered: the filter asks whether it is, too.
    pub(super) verifying: bool,
    /// The filter asks for a second time: the first time its question was cut off.
    pub(super) again: bool,
    /// The site answers calls with a token and none without: its silence means nothing.
    pub(super) deaf: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) timeout: Duration,
    pub(super) failures: u32,
    pub(super) open_for: Duration,
}

/// What a breaker does. It is open where there is a pause between two questions of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Closed,
    /// The filter asks at this moment.
    Due {
        at: MonotonicTime,
        pause: Option<Duration>,
    },
    /// The filter asks.
    Probing {
        call: CallId,
        started: MonotonicTime,
        pause: Option<Duration>,
    },
}

impl Settings {
    /// The settings of an instance; `None` if it has no breaker.
    pub(super) fn of(policy: &Policy) -> Option<Settings> {
        match policy.call.breaker {
            Breaker::Off => None,
            Breaker::After { failures, open_for } => {
                Some(Settings { timeout: policy.call.timeout, failures, open_for })
            }
        }
    }

    pub(super) fn first_pause(self) -> Duration {
        FIRST_PROBE.min(self.open_for)
    }
}

impl BreakerState {
    pub(super) fn new(settings: Settings, now: MonotonicTime) -> BreakerState {
        BreakerState {
            settings,
            failures: 0,
            phase: Phase::Closed,
            opened: now,
            trial: false,
            verifying: false,
            again: false,
            deaf: false,
        }
    }

    /// Whether it has been open for so long without an answer to the filter's own questions that one
    /// client's call may try.
    pub(super) fn wants_a_trial(&self, now: MonotonicTime) -> bool {
        !self.trial && self.opened.after(TRIAL) <= now
    }

    pub(super) fn is_open(&self) -> bool {
        match self.phase {
            Phase::Closed => false,
            Phase::Due { pause, .. } | Phase::Probing { pause, .. } => pause.is_some(),
        }
    }

    /// An answer came, whatever it says; whether that closes the breaker.
    pub(super) fn answered(&mut self) -> bool {
        let was_open = self.is_open();
        (self.failures, self.phase, self.again) = (0, Phase::Closed, false);
        was_open
    }

    pub(super) fn timed_out(&mut self, now: MonotonicTime) {
        if self.phase == Phase::Closed && !self.deaf {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= self.settings.failures {
                self.phase = Phase::Due { at: now, pause: None };
            }
        }
    }
}
