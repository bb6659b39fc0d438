//! The sites of providers in the model: which may be called now, and which probes are sent.

use std::collections::BTreeMap;

use super::Setup;
use super::setup::Settings;

/// One site, as one worker sees it. Moments are in milliseconds.
#[derive(Default)]
pub(super) struct Site {
    /// Calls under way, and whether their tokens were validated before; `None` if the worker may
    /// have forgotten that.
    calls: BTreeMap<usize, Option<bool>>,
    /// When it last showed that it serves.
    served: Option<u64>,
    /// When its worker last told others of that.
    told: Option<u64>,
    breakers: BTreeMap<Settings, Breaker>,
}

#[derive(Default)]
struct Breaker {
    /// Slow calls without an answer, since the last answer.
    row: u32,
    state: State,
    /// The second probe.
    again: bool,
}

/// It is open while there is a pause between two probes.
#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Closed,
    Due {
        at: u64,
        pause: Option<u64>,
    },
    Asking {
        probe: usize,
        pause: Option<u64>,
    },
}

/// Whether a site may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    Surely,
    /// That depends on what the worker may have forgotten.
    Perhaps,
    No(NotAllowed),
}

/// Why it may not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAllowed {
    /// Too many calls are under way.
    Full,
    /// Its breaker is open.
    Open,
}

/// How a call ended, as far as its site goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) is_answer: bool,
    pub(super) serves: bool,
    pub(super) waited: bool,
}

/// The effect of the end of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    Opened,
    Closed,
}

/// Whether a call that had so long and took so long was waited for.
pub(super) fn was_waited_for(taken: u64, timeout: u64) -> bool {
    taken >= 250 || taken * 2 >= timeout
}

impl Site {
    /// Whether this instance may call it now, about a token that was validated before, or not, or
    /// perhaps.
    pub(super) fn permission(&self, setup: &Setup, known: Option<bool>) -> Permission {
        if setup.settings().is_some_and(|settings| self.is_open(settings)) {
            return Permission::No(NotAllowed::Open);
        }
        let cap = setup.max_in_flight;
        let kept = if setup.cache.is_some() { cap / 2 } else { 0 };
        let full = |known: bool, unknown: usize| {
            let calls = self.calls.len();
            match setup.cache {
                None => calls >= cap,
                Some(_) if !known => calls >= cap || unknown >= cap - kept,
                // Unknown tokens of other instances take nothing of this half.
                Some(_) => calls - unknown + unknown.min(cap - kept) >= cap,
            }
        };
        let surely = self.calls.values().filter(|known| **known == Some(false)).count();
        let perhaps = self.calls.values().filter(|known| known.is_none()).count();
        let known = known.map_or(vec![true, false], |known| vec![known]);
        let found: Vec<bool> = known
            .iter()
            .flat_map(|known| [surely, surely + perhaps].map(|unknown| full(*known, unknown)))
            .collect();
        match (found.contains(&true), found.contains(&false)) {
            (true, false) => Permission::No(NotAllowed::Full),
            (false, _) => Permission::Surely,
            (true, true) => Permission::Perhaps,
        }
    }

    fn is_open(&self, settings: Settings) -> bool {
        self.breakers.get(&settings).is_some_and(Breaker::is_open)
    }

    /// This call is made.
    pub(super) fn asked(&mut self, call: usize, known: Option<bool>) {
        self.calls.insert(call, known);
    }

    /// This call is over; whether that closes a breaker that was open.
    pub(super) fn over(&mut self, call: usize, heard: Heard, setup: &Setup, now: u64) -> bool {
        self.calls.remove(&call).expect("under way");
        if heard.serves {
            self.served = Some(now);
        }
        let Some(settings @ (_, failures, _)) = setup.settings() else { return false };
        let breaker = self.breakers.entry(settings).or_default();
        if heard.is_answer {
            let was_open = breaker.is_open();
            *breaker = Breaker::default();
            return was_open;
        }
        if heard.waited && matches!(breaker.state, State::Closed) {
            breaker.row += 1;
            if breaker.row >= failures {
                breaker.state = State::Due { at: now, pause: None };
            }
        }
        false
    }

    /// The breakers that must probe now.
    pub(super) fn due(&self, now: u64) -> Vec<Settings> {
        let is_due =
            |breaker: &Breaker| matches!(breaker.state, State::Due { at, .. } if at <= now);
        self.breakers.iter().filter(|(_, b)| is_due(b)).map(|(settings, _)| *settings).collect()
    }

    /// When one of these must send the next probe.
    pub(super) fn next_due(&self, is_at_work: impl Fn(Settings) -> bool) -> Option<u64> {
        let due = self.breakers.iter().filter_map(|(settings, breaker)| match breaker.state {
            State::Due { at, .. } if is_at_work(*settings) => Some(at),
            State::Due { .. } | State::Asking { .. } | State::Closed => None,
        });
        due.min()
    }

    /// The filter sends a probe.
    pub(super) fn probed(&mut self, settings: Settings, probe: usize) {
        let breaker = self.breakers.get_mut(&settings).expect("due");
        let State::Due { pause, .. } = breaker.state else { panic!("not due") };
        breaker.state = State::Asking { probe, pause };
    }

    /// The probe is over.
    pub(super) fn probe_over(
        &mut self,
        (settings, probe): (Settings, usize),
        is_answer: bool,
        (waited, early): (bool, bool),
        now: u64,
    ) -> Option<Change> {
        let breaker = self.breakers.get_mut(&settings)?;
        let State::Asking { probe: asking, pause } = breaker.state else { return None };
        if asking != probe {
            return None;
        }
        let (.., open_for) = settings;
        let due_after = |pause| State::Due { at: now + pause, pause: Some(pause) };
        match pause {
            _ if is_answer => {
                *breaker = Breaker::default();
                pause.map(|_| Change::Closed)
            }
            Some(pause) => {
                breaker.state = due_after((pause * 2).min(open_for));
                None
            }
            // It was cut off, perhaps because another call ended the connection.
            None if waited && early && !breaker.again => {
                breaker.again = true;
                breaker.state = State::Due { at: now + 100, pause: None };
                None
            }
            None if waited => {
                breaker.again = false;
                breaker.state = due_after(open_for.min(250));
                Some(Change::Opened)
            }
            None => {
                *breaker = Breaker::default();
                None
            }
        }
    }

    /// Whether it has shown since then that it serves.
    pub(super) fn has_served_since(&self, since: u64) -> bool {
        self.served.is_some_and(|served| served >= since)
    }

    /// Whether it must report to others now that it answers.
    pub(super) fn is_to_be_told(&mut self, now: u64) -> bool {
        let due = self.told.is_none_or(|told| now >= told + 250);
        if due {
            self.told = Some(now);
        }
        due
    }

    /// No instance has other settings any more.
    pub(super) fn keep(&mut self, is_at_work: impl Fn(Settings) -> bool) {
        self.breakers.retain(|settings, _| is_at_work(*settings));
    }

    /// How many of its breakers are open.
    pub(super) fn open(&self) -> usize {
        self.breakers.values().filter(|breaker| breaker.is_open()).count()
    }
}

impl Breaker {
    fn is_open(&self) -> bool {
        match self.state {
            State::Closed => false,
            State::Due { pause, .. } | State::Asking { pause, .. } => pause.is_some(),
        }
    }
}
