//! Time as the core knows it: an argument, never a clock.

use std::time::Duration;

/// What both clocks say.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The monotonic clock, for waiting and for lifetimes.
    pub moment: MonotonicTime,
    /// The wall clock, for dates in the provider's answers.
    pub date: UnixTime,
}

/// Seconds since 1970-01-01 on the wall clock, as in `exp` (RFC 7519 §2, NumericDate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

/// A moment on a clock that never goes back, in nanoseconds since some start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonotonicTime(u64);

impl MonotonicTime {
    /// The moment this many nanoseconds after the clock's start.
    pub fn from_nanos(nanos: u64) -> MonotonicTime {
        MonotonicTime(nanos)
    }

    /// Nanoseconds since the clock's start.
    pub fn nanos(self) -> u64 {
        self.0
    }

    /// The time from an earlier moment to this one; `None` if that one is later.
    pub fn since(self, earlier: MonotonicTime) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    /// The moment that much earlier, not before the clock's start.
    pub fn before(self, wait: Duration) -> MonotonicTime {
        MonotonicTime(self.0.saturating_sub(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The moment that much later; the end of time rather than an overflow.
    pub fn after(self, wait: Duration) -> MonotonicTime {
        MonotonicTime(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::filter::{Effect, Event, Gate, Release, StreamId};
    use crate::outcome::Outcome;
    use crate::policy;
    use crate::sim::{self, head};

    /// 1970, 2038, 2106 and the last moment there is: the catalogue's row 203.
    #[test]
    fn extreme_times_do_not_overflow() {
        let second = 1_000_000_000;
        for nanos in [0, 1, (1 << 31) * second, (1 << 32) * second, u64::MAX - 1, u64::MAX] {
            let at = |moment| Now { moment, date: UnixTime(nanos / second) };
            let now = MonotonicTime::from_nanos(nanos);
            let config = sim::config(r#""timeout": "30s", "cache": {}"#);
            let policy = Rc::new(policy::read(config.as_bytes()).unwrap().policy);
            let mut gate = Gate::new(sim::seed());
            gate.configured(&policy);
            let request = head(&[("authorization", "Bearer t")]);
            let stream = StreamId(1);
            let event = Event::Request { stream, policy: &policy, headers: &request };
            let mut effects = gate.handle(event, at(now)).into_iter();
            assert!(matches!(effects.next(), Some(Effect::Call(..))));
            let mut tick = |at| -> Vec<Release> {
                let released =
                    gate.handle(Event::Tick, at).into_iter().map(|effect| match effect {
                        Effect::Release(release) => release,
                        _ => panic!("something else"),
                    });
                released.collect()
            };
            // A clock that goes back, or stops, releases nobody.
            assert!(tick(at(MonotonicTime::from_nanos(0))).is_empty());
            let saturated =
                now.after(Duration::from_secs(31)) == MonotonicTime::from_nanos(u64::MAX);
            if !saturated {
                assert!(tick(at(now)).is_empty());
            }
            let released = tick(at(now.after(Duration::from_secs(31))));
            assert_eq!(released.len(), 1, "at {nanos}");
            assert_eq!(released[0].stream, stream);
            assert_eq!(released[0].decision.record.outcome, Outcome::Unavailable);
        }
    }

    #[test]
    fn elapsed_time() {
        let (early, late) = (MonotonicTime::from_nanos(5), MonotonicTime::from_nanos(7));
        assert_eq!(late.since(early), Some(Duration::from_nanos(2)));
        assert_eq!(early.since(early), Some(Duration::ZERO));
        assert_eq!(early.since(late), None);
    }

    #[test]
    fn addition_saturates() {
        let end = MonotonicTime::from_nanos(u64::MAX);
        assert_eq!(end.after(Duration::from_nanos(1)), end);
        assert_eq!(MonotonicTime::from_nanos(1).after(Duration::MAX), end);
        assert_eq!(
            MonotonicTime::from_nanos(1).after(Duration::from_nanos(2)),
            MonotonicTime::from_nanos(3)
        );
        assert_eq!(
            MonotonicTime::from_nanos(3).before(Duration::from_nanos(2)),
            MonotonicTime::from_nanos(1)
        );
        assert_eq!(end.before(Duration::MAX), MonotonicTime::from_nanos(0));
    }
}
