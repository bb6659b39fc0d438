//! Target: a sequence of events on two workers, compared with the [model](crate::model), and with
//! and without the events of a [hostile caller](crate::model::fair). Input: four bytes for each
//! event.

use crate::model::{Event, Tally, World, fair};

/// Longest trace, which keeps one run short.
const MOST_EVENTS: usize = 256;

/// Runs the target.
pub fn check(data: &[u8]) {
    run(data);
}

/// Runs the target and tells what has happened.
pub fn run(data: &[u8]) -> Tally {
    let events = Event::all_of(data);
    let events = &events[..events.len().min(MOST_EVENTS)];
    fair::check(events);
    World::run(events)
}
