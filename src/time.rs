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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::config;
    use crate::gate::{Admission, Gate, StreamId};
    use crate::outcome::Outcome;
    use crate::sim::{self, head};

    /// 1970, 2038, 2106 and the last moment there is: the catalogue's row 203.
    #[test]
    fn no_time_is_too_early_or_too_late() {
        let second = 1_000_000_000;
        for nanos in [0, 1, (1 << 31) * second, (1 << 32) * second, u64::MAX - 1, u64::MAX] {
            let now = Moment::from_nanos(nanos);
            let config = config::read(sim::config(r#""timeout": "30s""#).as_bytes()).unwrap();
            let mut gate = Gate::new(Rc::new(config.policy));
            let request = head(&[("authorization", "Bearer t")]);
            let stream = StreamId(1);
            assert!(matches!(gate.admit(stream, &request, now), Admission::Hold(..)));
            // A clock that goes back, or stands still, lets nobody go.
            assert!(gate.tick(Moment::from_nanos(0)).is_empty());
            let saturated = now.after(Duration::from_secs(31)) == Moment::from_nanos(u64::MAX);
            if !saturated {
                assert!(gate.tick(now).is_empty());
            }
            let released = gate.tick(now.after(Duration::from_secs(31)));
            assert_eq!(released.len(), 1, "at {nanos}");
            assert_eq!(released[0].stream, stream);
            assert_eq!(released[0].decision.record.outcome, Outcome::Unavailable);
        }
    }

    #[test]
    fn the_end_of_time_rather_than_an_overflow() {
        let end = Moment::from_nanos(u64::MAX);
        assert_eq!(end.after(Duration::from_nanos(1)), end);
        assert_eq!(Moment::from_nanos(1).after(Duration::MAX), end);
        assert_eq!(Moment::from_nanos(1).after(Duration::from_nanos(2)), Moment::from_nanos(3));
    }
}
