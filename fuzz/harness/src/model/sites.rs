//! The sites of providers in the model: who may be asked now, and what the filter itself asks.

use std::collections::BTreeMap;

use super::Setup;
use super::setup::Settings;

/// One site, as one worker sees it. Moments are in milliseconds.
#[derive(Default)]
pub(super) struct Site {
    /// Calls under way, and whether their tokens were vouched for before; `None` where the worker
    /// may have forgotten that.
    calls: BTreeMap<usize, Option<bool>>,
    /// When it last showed that it serves.
    served: Option<u64>,
    /// When its worker last told others of that.
    told: Option<u64>,
    breakers: BTreeMap<Settings, Breaker>,
}

#[derive(Default)]
struct Breaker {
    /// Calls that were waited for in vain, since anything was heard.
    row: u32,
    state: State,
    /// The filter asks for a second time.
    again: bool,
}

/// It is open where there is a pause between two questions of the filter.
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

/// Whether a site may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    Surely,
    /// That depends on what the worker may have forgotten.
    Perhaps,
    No(Closed),
}

/// Why it may not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
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

/// What the end of a question of the filter's own leads to.
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
    /// Whether this instance may ask it now, about a token that was vouched for before, or not, or
    /// perhaps.
    pub(super) fn leave(&self, setup: &Setup, known: Option<bool>) -> Leave {
        if setup.settings().is_some_and(|settings| self.is_open(settings)) {
            return Leave::No(Closed::Open);
        }
        let cap = setup.max_in_flight;
        let kept = if setup.cache.is_some() { cap / 2 } else { 0 };
        let full = |known: bool, strangers: usize| {
            let calls = self.calls.len();
            match setup.cache {
                None => calls >= cap,
                Some(_) if !known => calls >= cap || strangers >= cap - kept,
                // Strangers who came in elsewhere take nothing of this half.
                Some(_) => calls - strangers + strangers.min(cap - kept) >= cap,
            }
        };
        let surely = self.calls.values().filter(|known| **known == Some(false)).count();
        let perhaps = self.calls.values().filter(|known| known.is_none()).count();
        let known = known.map_or(vec![true, false], |known| vec![known]);
        let found: Vec<bool> = known
            .iter()
            .flat_map(|known| [surely, surely + perhaps].map(|strangers| full(*known, strangers)))
            .collect();
        match (found.contains(&true), found.contains(&false)) {
            (true, false) => Leave::No(Closed::Full),
            (false, _) => Leave::Surely,
            (true, true) => Leave::Perhaps,
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

    /// The breakers by which the filter is to ask now.
    pub(super) fn due(&self, now: u64) -> Vec<Settings> {
        let is_due =
            |breaker: &Breaker| matches!(breaker.state, State::Due { at, .. } if at <= now);
        self.breakers.iter().filter(|(_, b)| is_due(b)).map(|(settings, _)| *settings).collect()
    }

    /// When the filter is to ask next by one of these.
    pub(super) fn next_due(&self, is_at_work: impl Fn(Settings) -> bool) -> Option<u64> {
        let due = self.breakers.iter().filter_map(|(settings, breaker)| match breaker.state {
            State::Due { at, .. } if is_at_work(*settings) => Some(at),
            State::Due { .. } | State::Asking { .. } | State::Closed => None,
        });
        due.min()
    }

    /// The filter asks.
    pub(super) fn probed(&mut self, settings: Settings, probe: usize) {
        let breaker = self.breakers.get_mut(&settings).expect("due");
        let State::Due { pause, .. } = breaker.state else { panic!("not due") };
        breaker.state = State::Asking { probe, pause };
    }

    /// The filter's question is over.
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
            // It was cut off, maybe by what somebody else did to the connection.
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

    /// Whether others are to be told now that it serves.
    pub(super) fn is_to_be_told(&mut self, now: u64) -> bool {
        let due = self.told.is_none_or(|told| now >= told + 250);
        if due {
            self.told = Some(now);
        }
        due
    }

    /// Nobody has settings other than these any more.
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
