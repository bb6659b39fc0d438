//! The gate against its [model](fuzz_harness::model): random traces, and all short ones.

use std::cell::Cell;
use std::panic;

use fuzz_harness::model::{Ending, Event, Region, Tally, Who, World};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

/// How many random traces, and how long they are at most.
const TRACES: u32 = 2_000;
const EVENTS: usize = 60;

#[test]
fn the_gate_does_what_its_model_does() {
    let config =
        ProptestConfig { cases: TRACES, failure_persistence: None, ..ProptestConfig::default() };
    let trace = prop::collection::vec(any::<[u8; 4]>().prop_map(Event::of), 0..=EVENTS);
    let (traces, total) = (Cell::new(0), Cell::new(Tally::default()));
    let outcome = TestRunner::new(config).run(&trace, |events| {
        let tally = World::run(&events);
        traces.set(traces.get() + 1);
        total.set(total.get().plus(tally));
        Ok(())
    });
    println!("{} traces of up to {EVENTS} events: {:?}", traces.get(), total.get());
    match outcome {
        // Traces that reach little would prove little.
        Ok(()) => {
            let Tally { hits, negative_hits, shared_hits, joined, .. } = total.get();
            assert!(hits.min(joined) >= 500 && negative_hits.min(shared_hits) >= 80);
            let Tally { failed_over, refused_by_breaker, opened, closed, stale, .. } = total.get();
            assert!(failed_over.min(opened) >= 300 && refused_by_breaker >= 80);
            assert!(closed >= 15 && stale >= 10);
        }
        Err(TestError::Fail(reason, trace)) => panic!("{reason}\nafter {trace:?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// A request for the first token, without a region.
const fn admit(worker: u8, setup: u8) -> Event {
    Event::Admit { worker, setup, who: Who::Token(0), region: Region::Absent }
}

const GONE: Event = Event::Gone { worker: 0, back: 0 };

/// Runs every trace that begins like this and goes on with that many events over the alphabet;
/// shorter ones are their beginnings. Events that cannot happen yet are left out: there must be a call to answer, a request to go.
fn all_traces(start: &[Event], alphabet: &[Event], length: usize) {
    let (mut count, mut total) = (0, Tally::default());
    extend(alphabet, start.len() + length, &mut start.to_vec(), &mut |trace| {
        count += 1;
        let outcome = panic::catch_unwind(|| World::run(trace));
        total = total.plus(outcome.unwrap_or_else(|_| panic!("after {trace:?}")));
    });
    println!("{count} traces of {} events: {total:?}", start.len() + length);
}

fn extend(
    alphabet: &[Event],
    length: usize,
    trace: &mut Vec<Event>,
    run: &mut impl FnMut(&[Event]),
) {
    if trace.len() == length {
        return run(trace);
    }
    let arrived = trace.iter().filter(|event| matches!(event, Event::Admit { .. })).count();
    for event in alphabet {
        let possible = match event {
            Event::Answer(back, _) | Event::Gone { back, .. } => usize::from(*back) < arrived,
            Event::Wait(_) | Event::Tick(_) | Event::Damage { .. } => arrived > 0,
            _ => true,
        };
        if possible {
            trace.push(*event);
            extend(alphabet, length, trace, run);
            trace.pop();
        }
    }
}

/// One question, with a cache and without: enough to release twice, never, or the wrong one.
#[test]
fn every_trace_of_six_events_that_matter_most() {
    let good = Event::Answer(0, Ending::Good);
    all_traces(&[], &[admit(0, 0), admit(0, 1), good, Event::Answer(1, Ending::Refused), GONE], 6);
}

/// A patient request and a hasty one, to the millisecond around their deadlines.
#[test]
fn every_trace_of_six_events_with_deadlines() {
    let waits = [Event::Wait(649), Event::Wait(1), Event::Wait(1_500)];
    all_traces(&[], &[&[admit(0, 0), admit(0, 1), Event::Tick(0)], &waits[..]].concat(), 6);
}

/// Two workers that share, one that forgets soon and one that does not.
#[test]
fn every_trace_of_six_events_with_two_workers() {
    let good = Event::Answer(0, Ending::Good);
    let refused = Event::Answer(0, Ending::RefusedNoStore);
    let waits = [Event::Wait(899), Event::Wait(101)];
    all_traces(&[], &[&[admit(0, 3), admit(1, 5), good, refused], &waits[..]].concat(), 6);
}

/// Two sites: the next one is asked after an outage and after nothing else, for everybody.
#[test]
fn every_trace_of_four_more_events_with_two_sites() {
    let of = |setup| Event::Admit { worker: 0, setup, who: Who::Token(0), region: Region::Fr };
    let says = |ending| Event::Answer(0, ending);
    let alphabet = [
        of(5),
        of(3),
        says(Ending::Good),
        says(Ending::Refused),
        says(Ending::TooMany),
        says(Ending::Broken),
        says(Ending::CutOff),
        Event::Wait(1_000),
        Event::Tick(0),
    ];
    all_traces(&[of(5)], &alphabet, 4);
}

/// Refusals and outages after a good answer whose time is over, or soon will be.
#[test]
fn every_trace_of_four_events_after_a_verdict() {
    let alphabet = [
        admit(0, 6),
        admit(0, 0),
        Event::Answer(0, Ending::Unreachable),
        Event::Answer(0, Ending::Refused),
        Event::Wait(1_000),
        Event::Wait(2_999),
        Event::Tick(0),
    ];
    for good in [Ending::Good, Ending::EndsSoon, Ending::NoStore] {
        all_traces(&[admit(0, 6), Event::Answer(0, good)], &alphabet, 4);
    }
}

/// One failure shuts the site; one call at a time tries it.
#[test]
fn every_trace_of_four_events_at_a_shut_site() {
    let other = Event::Admit { worker: 0, setup: 6, who: Who::Token(1), region: Region::Absent };
    let alphabet = [
        admit(0, 6),
        other,
        Event::Answer(0, Ending::Unreachable),
        Event::Answer(1, Ending::Unreachable),
        Event::Answer(0, Ending::Good),
        Event::Wait(1_000),
        Event::Tick(0),
    ];
    let shut = [admit(0, 6), Event::Answer(0, Ending::Unreachable), Event::Wait(999)];
    all_traces(&shut, &[&alphabet[..], &[Event::Wait(1)]].concat(), 4);
}

/// Everything that can happen.
#[test]
fn every_trace_of_four_events_of_every_kind() {
    let of = |who, region| Event::Admit { worker: 0, setup: 5, who, region };
    let alphabet = [
        admit(0, 2),
        admit(1, 4),
        of(Who::Token(0), Region::Fr),
        of(Who::Token(0), Region::De),
        of(Who::Preflight, Region::Absent),
        Event::Answer(0, Ending::EndsSoon),
        Event::Answer(1, Ending::TooMany),
        GONE,
        Event::Wait(2_150),
        Event::Tick(0),
        Event::SetDate(2),
        Event::Configure { worker: 0, setup: 5 },
        Event::Retire { worker: 0, setup: 5 },
        Event::Damage { place: 0, at: 1 },
    ];
    all_traces(&[], &alphabet, 4);
}
