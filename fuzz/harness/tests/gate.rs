//! The gate against its [model](fuzz_harness::model): random traces, and all short ones.

use std::cell::Cell;
use std::panic;

use fuzz_harness::model::{Ending, Event, Region, Tally, Who, World, fair};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

/// How many random traces, and how long they are at most.
const TRACES: u32 = 2_000;
const EVENTS: usize = 60;

/// The starts of random traces: nothing; an expired verdict; an open breaker after one; a token
/// that waits; a verdict and a refusal that two workers know; sites that a hostile caller has
/// filled as far as possible.
const BEGINNINGS: [&[Event]; 8] = [
    &[],
    &[admit(0, 6), Event::Answer(0, Ending::Good), Event::Wait(1_500)],
    &[
        admit(0, 6),
        Event::Answer(0, Ending::Good),
        Event::Wait(1_200),
        admit(0, 6),
        Event::Wait(700),
        Event::Answer(0, Ending::Silent),
        Event::Wait(1_000),
        Event::AnswerProbe(0, Ending::Silent),
    ],
    &[admit(0, 5), Event::Answer(0, Ending::TooManyFor2), admit(0, 7)],
    &[admit(0, 5), Event::Answer(0, Ending::Good), admit(1, 7)],
    &[admit(0, 5), Event::Answer(0, Ending::Refused), admit(1, 7)],
    &[hostile(7, 0), hostile(7, 1), hostile(0, 2), hostile(0, 3)],
    &[admit(0, 3), Event::Answer(0, Ending::Good), Event::Wait(1_200), hostile(0, 0)],
];

/// Runs random traces; how many there were, and what has happened in all of them.
fn random_traces(
    traces: u32,
    event: impl Strategy<Value = Event>,
    run: impl Fn(&[Event]) -> Tally,
) -> Tally {
    let config =
        ProptestConfig { cases: traces, failure_persistence: None, ..ProptestConfig::default() };
    let events = prop::collection::vec(event, 0..=EVENTS);
    let begun = (0..BEGINNINGS.len()).prop_map(|at| BEGINNINGS[at].to_vec());
    let trace = (begun, events).prop_map(|(begun, events)| [begun, events].concat());
    let (traces, total) = (Cell::new(0), Cell::new(Tally::default()));
    let outcome = TestRunner::new(config).run(&trace, |events| {
        let tally = run(&events);
        traces.set(traces.get() + 1);
        total.set(total.get().plus(tally));
        Ok(())
    });
    println!("{} traces of up to {EVENTS} events: {:?}", traces.get(), total.get());
    match outcome {
        Ok(()) => total.get(),
        Err(TestError::Fail(reason, trace)) => panic!("{reason}\nafter {trace:?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn gate_behaves_as_its_model() {
    let total = random_traces(TRACES, any::<[u8; 4]>().prop_map(Event::of), World::run);
    // Traces that reach little would prove little.
    let Tally { hits, negative_hits, shared_hits, joined, stored, .. } = total;
    assert!(hits.min(joined).min(stored) >= 500 && negative_hits.min(shared_hits) >= 100);
    let Tally { failed_over, repeated, refused_by_cap, refused_by_wait, stale, .. } = total;
    assert!(failed_over >= 500 && repeated.min(refused_by_cap).min(refused_by_wait) >= 100);
    let Tally { refused_by_breaker, opened, probed, closed, .. } = total;
    assert!(probed >= 500 && opened.min(stale) >= 100 && closed.min(refused_by_breaker) >= 30);
}

/// A retired configuration is held a little longer by a request that waits for the shared memory.
#[test]
fn probe_may_use_a_configuration_that_ends_in_the_same_tick() {
    World::run(&[
        admit(0, 6),
        Event::Answer(0, Ending::MaxAge),
        Event::Wait(1_192),
        admit(0, 6),
        Event::Retire { worker: 0, setup: 6 },
        Event::Wait(1_392),
        Event::Tick(0),
    ]);
}

/// Of four calls of one moment the third refuses, and the worker that keeps the fourth does not keep
/// the refusal beside it.
#[test]
fn what_was_good_before_a_refusal_does_not_come_back_beside_a_later_good_answer() {
    World::run(&[
        admit(0, 5),
        Event::Answer(0, Ending::Good),
        admit(1, 7),
        asks(0, 0, Who::Token(2)),
        admit(1, 0),
        admit(0, 0),
        Event::Answer(1, Ending::Refused),
        Event::Admit { worker: 1, setup: 6, who: Who::Preflight, region: Region::Absent },
        Event::Answer(0, Ending::NoStore),
        admit(1, 3),
    ]);
}

/// Evidence that one caller can make is used against that caller alone.
#[test]
fn unknown_token_changes_nothing_for_others() {
    let rarer = Cell::new(0);
    let bytes = any::<[u8; 4]>;
    let event = prop_oneof![
        2 => bytes().prop_map(Event::of),
        1 => bytes().prop_map(Event::of_hostile),
    ];
    let total = random_traces(TRACES / 2, event, |events| {
        let (tally, r) = fair::check(events);
        rarer.set(rarer.get() + r);
        tally
    });
    println!("{} times an outdated verdict did not serve beside the hostile", rarer.get());
    let Tally { hits, failed_over, repeated, refused_by_wait, refused_by_cap, stale, .. } = total;
    assert!(hits >= 500 && failed_over.min(stale) >= 100 && repeated >= 30);
    assert!(refused_by_cap >= 20 && refused_by_wait >= 10 && rarer.get() >= 8);
}

/// A request for the first token, without a region.
const fn admit(worker: u8, setup: u8) -> Event {
    asks(worker, setup, Who::Token(0))
}

const fn asks(worker: u8, setup: u8, who: Who) -> Event {
    Event::Admit { worker, setup, who, region: Region::Absent }
}

const fn hostile(setup: u8, token: u8) -> Event {
    asks(0, setup, Who::Hostile(token))
}

const GONE: Event = Event::Gone { worker: 0, back: 0 };

/// Runs every trace that begins like this and goes on with that many events over the alphabet;
/// shorter ones are their beginnings. Events that cannot happen yet are left out: there must be a
/// call to answer, a request to go.
fn all_traces(start: &[Event], alphabet: &[Event], length: usize) {
    all_traces_by(&World::run, start, alphabet, length);
}

fn all_traces_by(
    run: &(impl Fn(&[Event]) -> Tally + panic::RefUnwindSafe),
    start: &[Event],
    alphabet: &[Event],
    length: usize,
) {
    let (mut count, mut total) = (0, Tally::default());
    extend(alphabet, start.len() + length, &mut start.to_vec(), &mut |trace| {
        count += 1;
        let outcome = panic::catch_unwind(|| run(trace));
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
    let arrived = |hostile| {
        let is = |e: &&Event| matches!(e, Event::Admit { .. }) && e.is_hostile() == hostile;
        trace.iter().filter(is).count()
    };
    let (theirs, hostile) = (arrived(false), arrived(true));
    for event in alphabet {
        let possible = match event {
            Event::Answer(back, _) | Event::Gone { back, .. } => usize::from(*back) < theirs,
            Event::AnswerStranger(back, _) | Event::HostileGone { back, .. } => {
                usize::from(*back) < hostile
            }
            Event::Wait(_) | Event::Tick(_) | Event::Due(_) | Event::Damage { .. } => {
                theirs + hostile > 0
            }
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
fn every_trace_of_six_main_events() {
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

/// Two sites: the next one is called after an outage and after nothing else, for every caller.
#[test]
fn every_trace_of_four_more_events_with_two_sites() {
    let of = |setup| Event::Admit { worker: 0, setup, who: Who::Token(0), region: Region::Fr };
    let says = |ending| Event::Answer(0, ending);
    let alphabet = [
        of(5),
        of(3),
        says(Ending::Good),
        says(Ending::Refused),
        says(Ending::TooManyFor2),
        says(Ending::Broken),
        says(Ending::CutOff),
        says(Ending::NotSent),
        Event::Wait(1_000),
        Event::Tick(0),
        Event::Due(0),
    ];
    all_traces(&[of(5)], &alphabet, 4);
}

/// A call that ends at once without an answer is made once more, and then once more; one that was
/// waited for is not.
#[test]
fn every_trace_of_six_events_around_a_repeat() {
    let says = |ending| Event::Answer(0, ending);
    let alphabet = [
        admit(0, 1),
        says(Ending::Unreachable),
        says(Ending::NotSent),
        says(Ending::GaveUp),
        Event::Wait(249),
        Event::Wait(1),
        Event::Due(0),
        GONE,
    ];
    all_traces(&[admit(0, 1), says(Ending::CutOff)], &alphabet, 5);
}

/// A token waits for as long as its provider says, alone.
#[test]
fn every_trace_of_five_events_while_a_token_waits() {
    let says = |ending| Event::Answer(0, ending);
    let alphabet = [
        admit(0, 6),
        asks(0, 5, Who::Token(1)),
        says(Ending::Good),
        says(Ending::BackIn3),
        Event::Wait(1_000),
        Event::Wait(1_999),
        Event::Wait(1),
    ];
    let good = [admit(0, 6), says(Ending::Good), Event::Wait(1_500)];
    for wait in [Ending::TooManyFor2, Ending::BackIn3, Ending::TooMany, Ending::BackIn0] {
        all_traces(&[&good[..], &[admit(0, 6), says(wait)]].concat(), &alphabet, 4);
    }
}

/// Refusals and outages after a valid verdict that has expired, or soon will.
#[test]
fn every_trace_of_four_events_after_a_verdict() {
    let alphabet = [
        admit(0, 6),
        admit(0, 0),
        Event::Answer(0, Ending::Silent),
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

/// A refused token stays refused, whichever worker has kept or shared that it was good.
#[test]
fn every_trace_of_three_events_after_a_refusal() {
    let alphabet = [
        admit(0, 5),
        admit(0, 6),
        admit(1, 5),
        Event::Answer(0, Ending::Good),
        Event::Answer(0, Ending::Silent),
        Event::Wait(1_200),
        Event::Wait(8_000),
        Event::Tick(0),
    ];
    let good = [admit(1, 5), Event::Answer(0, Ending::Good), Event::Wait(5)];
    // Nothing is left of the mark in the shared places.
    let lost = Event::Damage { place: 1, at: 1 };
    for refusal in [Ending::Refused, Ending::RefusedMaxAge, Ending::NotFound] {
        let refused = [admit(0, 0), admit(0, 5), Event::Answer(0, refusal), lost];
        all_traces(&[&good[..], &refused].concat(), &alphabet, 3);
    }
}

/// The filter itself opens a breaker and closes it.
#[test]
fn every_trace_of_four_events_with_an_open_breaker() {
    let alphabet = [
        admit(0, 6),
        asks(0, 6, Who::Token(1)),
        admit(0, 5),
        Event::Answer(0, Ending::Silent),
        Event::Answer(0, Ending::Broken),
        Event::AnswerProbe(0, Ending::NotSent),
        Event::AnswerProbe(0, Ending::Broken),
        Event::Wait(1_150),
        Event::Tick(0),
        Event::Due(0),
        Event::Configure { worker: 0, setup: 6 },
    ];
    let in_vain = [admit(0, 6), Event::Wait(500), Event::Answer(0, Ending::Silent)];
    all_traces(&in_vain, &alphabet, 3);
    let silence = [Event::Wait(500), Event::AnswerProbe(0, Ending::Silent)];
    all_traces(&[&in_vain[..], &silence].concat(), &alphabet, 4);
}

/// Unknown tokens get half of the calls at a time.
#[test]
fn every_trace_of_four_events_at_a_full_site() {
    let alphabet = [
        hostile(7, 1),
        hostile(7, 2),
        hostile(8, 3),
        asks(0, 7, Who::Token(1)),
        admit(0, 7),
        Event::AnswerStranger(0, Ending::Unreachable),
        Event::Answer(0, Ending::CutOff),
        Event::Due(0),
    ];
    let good = [admit(0, 7), Event::Answer(0, Ending::Good), Event::Wait(3_100)];
    all_traces(&[&good[..], &[hostile(7, 0)]].concat(), &alphabet, 4);
    // An outdated verdict is no way past a full site.
    let alphabet = [
        hostile(3, 0),
        hostile(0, 1),
        admit(0, 3),
        Event::AnswerStranger(0, Ending::Silent),
        Event::Answer(0, Ending::CutOff),
        Event::Wait(300),
        Event::Due(0),
    ];
    let good = [admit(0, 3), Event::Answer(0, Ending::Good), Event::Wait(1_200)];
    all_traces(&good, &alphabet, 4);
}

/// The same as [`unknown_token_changes_nothing_for_others`], of every short trace.
#[test]
fn every_trace_of_four_events_with_an_unknown_token() {
    let alphabet = [
        hostile(4, 0),
        hostile(7, 1),
        Event::AnswerStranger(0, Ending::Unreachable),
        Event::AnswerStranger(0, Ending::Silent),
        Event::AnswerStranger(0, Ending::TooManyFor100),
        Event::AnswerStranger(0, Ending::Refused),
        admit(0, 4),
        Event::Answer(0, Ending::Silent),
        Event::Answer(0, Ending::Unreachable),
        Event::Due(0),
        Event::Wait(300),
    ];
    all_traces_by(&|events| fair::check(events).0, &[], &alphabet, 4);
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
        Event::Answer(1, Ending::TooManyFor2),
        Event::Answer(0, Ending::CutOff),
        GONE,
        Event::Wait(2_150),
        Event::Tick(0),
        Event::Due(0),
        Event::SetDate(2),
        Event::Configure { worker: 0, setup: 5 },
        Event::Retire { worker: 0, setup: 5 },
        Event::Damage { place: 0, at: 1 },
    ];
    all_traces(&[], &alphabet, 4);
}
