//! The gate against its [model](fuzz_harness::model): random traces, and all short ones.

use fuzz_harness::model::{Credentials, Ending, Event, Region, World};
use proptest::prelude::*;

fn event() -> impl Strategy<Value = Event> {
    let credentials = prop_oneof![
        8 => Just(Credentials::Token),
        1 => Just(Credentials::None),
        1 => Just(Credentials::Malformed),
    ];
    let region = prop_oneof![
        4 => Just(Region::Absent),
        2 => Just(Region::Known),
        1 => Just(Region::Unknown),
    ];
    let ending = prop_oneof![
        4 => Just(Ending::Good),
        1 => Just(Ending::WebPage),
        1 => Just(Ending::TooLarge),
        1 => Just(Ending::NoContent),
        1 => Just(Ending::Refused),
        1 => Just(Ending::Overloaded),
        1 => Just(Ending::Unreachable),
        1 => Just(Ending::NotSent),
        1 => Just(Ending::CutOff),
    ];
    prop_oneof![
        6 => (credentials, region).prop_map(|(c, r)| Event::Admit(c, r)),
        4 => (0..12_u8, ending).prop_map(|(back, ending)| Event::Answer(back, ending)),
        2 => (0..12_u8).prop_map(Event::Gone),
        2 => (0..1200_u16).prop_map(Event::Wait),
        2 => Just(Event::Tick),
        1 => Just(Event::Reconfigure),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_gate_does_what_its_model_does(events in prop::collection::vec(event(), 0..80)) {
        World::run(&events);
    }
}

const ADMIT: Event = Event::Admit(Credentials::Token, Region::Absent);

/// Runs every trace of that many events over the alphabet; shorter ones are their beginnings.
/// Events that cannot happen yet are left out: there must be a call to answer, a request to go.
fn all_traces(alphabet: &[Event], length: usize) {
    let mut count = 0;
    extend(alphabet, length, &mut Vec::new(), &mut count);
    println!("{count} traces of {length} events");
}

fn extend(alphabet: &[Event], length: usize, trace: &mut Vec<Event>, count: &mut u32) {
    if trace.len() == length {
        *count += 1;
        return World::run(trace);
    }
    let calls = trace.iter().filter(|event| **event == ADMIT).count();
    let streams = trace.iter().filter(|event| matches!(event, Event::Admit(..))).count();
    for event in alphabet {
        let possible = match event {
            Event::Answer(back, _) => usize::from(*back) < calls,
            Event::Gone(back) => usize::from(*back) < streams,
            Event::Admit(..) | Event::Reconfigure => true,
            Event::Wait(_) | Event::Tick => calls > 0,
        };
        if possible {
            trace.push(*event);
            extend(alphabet, length, trace, count);
            trace.pop();
        }
    }
}

/// Two requests and one call are enough to release twice, never, or the wrong one.
#[test]
fn every_trace_of_eight_events_that_matter_most() {
    let alphabet =
        [ADMIT, Event::Answer(0, Ending::Good), Event::Answer(1, Ending::Good), Event::Gone(0)];
    all_traces(&alphabet, 8);
}

/// Deadlines, to the millisecond around them.
#[test]
fn every_trace_of_six_events_with_time() {
    let alphabet =
        [ADMIT, Event::Answer(1, Ending::Refused), Event::Wait(2149), Event::Wait(1), Event::Tick];
    all_traces(&alphabet, 6);
}

/// Everything that can happen, an old configuration draining included.
#[test]
fn every_trace_of_five_events_of_every_kind() {
    let alphabet = [
        ADMIT,
        Event::Admit(Credentials::None, Region::Absent),
        Event::Admit(Credentials::Token, Region::Unknown),
        Event::Answer(0, Ending::Good),
        Event::Answer(1, Ending::NotSent),
        Event::Answer(0, Ending::CutOff),
        Event::Gone(0),
        Event::Wait(2150),
        Event::Tick,
        Event::Reconfigure,
    ];
    all_traces(&alphabet, 5);
}
