//! Target: a sequence of events on one worker, against the [model](crate::model). Input: the
//! events as `arbitrary` reads them.

use arbitrary::{Arbitrary, Unstructured};

use crate::model::{Event, World};

/// Longest trace, which keeps one run short.
const MOST_EVENTS: usize = 256;

/// Runs the target.
pub fn check(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut world = World::default();
    for _ in 0..MOST_EVENTS {
        if input.is_empty() {
            break;
        }
        let Ok(event) = Event::arbitrary(&mut input) else { break };
        world.step(event);
    }
    world.finish();
}
