//! Fairness: whatever a hostile caller does, whose tokens are never validated, other callers get
//! the same results as without it.
//!
//! The same trace runs twice, with and without the hostile caller, and the results of the others
//! are compared: the decision on every request to the last header, and every call that is made for
//! one. Only documented differences are allowed: with a hostile caller an outdated verdict may
//! serve less often, never more often. A breaker opens only by a probe, which is answered here; and
//! half of the limit is enough for the others' calls. State that a trace cannot fill is limited
//! too: the number and bytes of waiting requests, and the number of tokens that wait or are known.

use oidc_token_connector::filter::Decision;
use oidc_token_connector::outcome::{Outcome, Source};
use oidc_token_connector::provider::call::Call;

use super::ending::Ending;
use super::meaning::OfTheToken;
use super::{Event, Region, SETUPS, Tally, Who, World};
use crate::drive::Admission;

/// The results of the others so far, if they matter.
pub(super) enum Diary {
    Closed,
    Open(Vec<Entry>),
}

/// Something that a request has got.
#[derive(PartialEq, Eq)]
pub(super) struct Entry {
    /// The number of the request.
    request: u64,
    /// To the letter.
    what: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It passes by an outdated verdict.
    Stale,
    /// It gets the unavailable reply, because no site gave a verdict.
    NoVerdict,
    Other,
}

/// The instances of the others: all have a cache and the same keys, and half of the limit is enough
/// for them.
const THEIRS: [u8; 4] = [1, 5, 6, 7];

/// Compares the others' results with and without the hostile caller. Returns what happened with it,
/// and how often an outdated verdict did not serve then.
pub fn check(events: &[Event]) -> (Tally, u64) {
    let events: Vec<Event> = events.iter().copied().filter_map(fitting).collect();
    let without: Vec<Event> = events.iter().copied().filter(|e| !e.is_hostile()).collect();
    let mut waits = Vec::new();
    let (alone, _) = play(&without, |world, worker| {
        let due = world.next_due(usize::from(worker) % super::WORKERS);
        waits.push(due.map(|due| due.saturating_sub(world.now)));
        waits.last().copied().flatten()
    });
    let mut waits = waits.into_iter();
    let (beside, tally) = play(&events, |_, _| waits.next().expect("as often as without"));
    let mut rarer = 0;
    for (alone, beside) in alone.iter().zip(&beside) {
        let is_rarer = alone.kind == Kind::Stale && beside.kind == Kind::NoVerdict;
        rarer += u64::from(is_rarer);
        assert!(
            alone == beside || (is_rarer && alone.request == beside.request),
            "request {}: {}\nwith a hostile caller {}: {}",
            alone.request,
            alone.what,
            beside.request,
            beside.what,
        );
    }
    assert_eq!(alone.len(), beside.len(), "as much happens to the others");
    (tally, rarer)
}

/// Runs a trace in a world in which the others' tokens were validated, and in which probes are
/// answered at once. If time must pass until something is due, `wait` gives its length: the same
/// with and without the hostile caller.
fn play(events: &[Event], mut wait: impl FnMut(&World, u8) -> Option<u64>) -> (Vec<Entry>, Tally) {
    let mut world = World::new(Diary::Open(Vec::new()));
    for worker in 0..super::WORKERS {
        SETUPS.iter().for_each(|setup| world.put_to_work(worker, setup));
    }
    for (worker, token) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for region in [Region::Absent, Region::Fr] {
            world.step(Event::Admit { worker, setup: 5, who: Who::Token(token), region });
            world.step(Event::Answer(0, Ending::Good));
        }
    }
    world.step(Event::Wait(1_500));
    for event in events {
        match event {
            Event::Due(worker) => {
                if let Some(millis) = wait(&world, *worker) {
                    world.now += millis;
                    world.step(Event::Tick(*worker));
                }
            }
            // The hostile caller's events must not be the ones that show a worker that time has
            // passed.
            Event::SetDate(_) => {
                [Event::Tick(0), Event::Tick(1), *event].into_iter().for_each(|e| world.step(e));
            }
            event => world.step(*event),
        }
        world.answer_probes();
    }
    let tally = world.end();
    let Diary::Open(entries) = world.diary else { panic!("it was open") };
    (entries, tally)
}

/// The events of others with valid tokens, and of a hostile caller whose tokens are never
/// validated; nothing else.
fn fitting(event: Event) -> Option<Event> {
    let validates = |ending: Ending| {
        let of = |setup| ending.means(setup).of_the_token == OfTheToken::Good;
        SETUPS.iter().any(of)
    };
    match event {
        Event::Admit { who: Who::Hostile(_), .. } => Some(event),
        Event::Admit { worker, setup, who, region } => {
            let setup = THEIRS[usize::from(setup) % THEIRS.len()];
            let who = if let Who::Token(token) = who { Who::Token(token % 2) } else { who };
            let region = if region == Region::De { Region::Fr } else { region };
            Some(Event::Admit { worker, setup, who, region })
        }
        Event::Answer(back, ending) => {
            let of = |setup| ending.means(setup).of_the_token;
            let refuses = matches!(of(&SETUPS[0]), OfTheToken::Refused | OfTheToken::Denied);
            Some(Event::Answer(back, if refuses { Ending::Good } else { ending }))
        }
        Event::AnswerStranger(back, ending) if validates(ending) => {
            Some(Event::AnswerStranger(back, Ending::Refused))
        }
        // The hostile caller's places would have the others' numbers.
        Event::Damage { .. } | Event::Misplace { .. } => None,
        // The hostile caller's calls keep an old configuration in use for longer.
        Event::Retire { .. } => None,
        Event::AnswerProbe(..) => None,
        Event::AnswerStranger(..)
        | Event::HostileGone { .. }
        | Event::Gone { .. }
        | Event::Wait(_)
        | Event::SetDate(_)
        | Event::Tick(_)
        | Event::Due(_)
        | Event::Configure { .. } => Some(event),
    }
}

impl World {
    /// The provider answers every probe.
    fn answer_probes(&mut self) {
        while let Some(probe) = self.probes.iter().position(|probe| !probe.is_over) {
            self.answer_probe(probe, Ending::Refused);
            self.audit();
        }
    }
}

impl Diary {
    /// A request has come.
    pub(super) fn arrived(&mut self, request: u64, admission: &Admission) {
        match admission {
            Admission::Decided(decision) => self.released(request, decision),
            Admission::Call(_, call) => self.called(request, call),
            Admission::Joined => self.note(request, || "waits".to_owned(), Kind::Other),
        }
    }

    /// A request was decided.
    pub(super) fn released(&mut self, request: u64, decision: &Decision) {
        let kind = match (decision.record.source, decision.record.outcome) {
            (Source::Stale, _) => Kind::Stale,
            (_, Outcome::Unavailable | Outcome::ProviderError) => Kind::NoVerdict,
            _ => Kind::Other,
        };
        self.note(request, || format!("{decision:?}"), kind);
    }

    /// A call is made for a request.
    pub(super) fn called(&mut self, request: u64, call: &Call) {
        let what = || {
            let headers: Vec<_> = call.headers.iter().collect();
            format!("asks {} for {:?}: {headers:?}", call.cluster, call.timeout)
        };
        self.note(request, what, Kind::Other);
    }

    fn note(&mut self, request: u64, what: impl FnOnce() -> String, kind: Kind) {
        // Odd numbers are the hostile caller's.
        if let Diary::Open(entries) = self
            && request.is_multiple_of(2)
        {
            entries.push(Entry { request, what: what(), kind });
        }
    }
}
