//! The sites of providers in the model: who may be asked now.

use super::Setup;

/// One site, as one worker sees it. Moments are in milliseconds.
#[derive(Default)]
pub(super) struct Site {
    /// Calls under way.
    calls: Vec<usize>,
    /// Failures that count, since anything was heard from it.
    row: u32,
    shut: Option<Shut>,
}

/// It is left alone.
struct Shut {
    until: u64,
    /// The one call that tries whether it is back.
    probe: Option<usize>,
}

/// Why it may not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Too many calls are under way.
    Full,
    /// It has not answered lately.
    Shut,
}

/// What was heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// An answer that settles the question.
    Answer,
    /// The provider itself, but no verdict.
    Word,
    /// Nothing; whether that counts against it.
    Nothing { counts: bool },
}

impl Site {
    /// Whether this instance may ask it now.
    pub(super) fn is_open(&self, setup: &Setup, now: u64) -> Result<(), Closed> {
        match &self.shut {
            _ if self.calls.len() >= setup.max_in_flight => Err(Closed::Full),
            Some(shut) if now < shut.until || shut.probe.is_some() => Err(Closed::Shut),
            Some(_) | None => Ok(()),
        }
    }

    /// This call is made.
    pub(super) fn asked(&mut self, call: usize) {
        self.calls.push(call);
        if let Some(shut) = &mut self.shut {
            shut.probe = Some(call);
        }
    }

    /// This call is over; whether the site was shut by that.
    pub(super) fn over(&mut self, call: usize, heard: Heard, setup: &Setup, now: u64) -> bool {
        self.calls.retain(|other| *other != call);
        let Heard::Nothing { counts } = heard else {
            (self.row, self.shut) = (0, None);
            return false;
        };
        match &mut self.shut {
            Some(shut) if shut.probe == Some(call) => {
                shut.probe = None;
                // Without a breaker of its own an instance does not make others wait longer.
                shut.until = setup.breaker.map_or(shut.until, |(_, open_for)| now + open_for);
            }
            None if counts && let Some((failures, open_for)) = setup.breaker => {
                self.row += 1;
                if self.row >= failures {
                    self.shut = Some(Shut { until: now + open_for, probe: None });
                    return true;
                }
            }
            // What was under way when it was shut says nothing new.
            Some(_) | None => {}
        }
        false
    }

    pub(super) fn is_shut(&self) -> bool {
        self.shut.is_some()
    }
}
