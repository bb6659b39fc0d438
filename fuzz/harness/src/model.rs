//! The gate compared with a model of it that is simple enough to be trusted: which request waits
//! for what until when, and which answer each request got.
//!
//! Fuzzing, the property tests and the enumeration of all short traces drive the same [`World`]. It
//! must know nothing of how the gate keeps its books: only what was told and what came back. Every
//! answer carries the number of its call, so that what a request gets tells which answer it was.

use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use oidc_token_connector::filter::{CallId, Gate, Seed};
use oidc_token_connector::outcome::Source;
use oidc_token_connector::policy::Policy;
use oidc_token_connector::time::{MonotonicTime, Now, UnixTime};

mod admit;
mod asking;
mod audit;
mod check;
mod ending;
mod event;
pub mod fair;
mod known;
mod meaning;
mod passing;
mod request;
mod setup;
mod sites;
mod step;
mod tally;

pub use ending::{ENDINGS, Ending};
pub use event::Event;
pub use request::{Region, Who};
pub use setup::MOST_SETUPS;
pub use tally::Tally;

use fair::Diary;
use known::{Known, Refused};
use request::{Key, Request};
use setup::{SETUPS, Settings, Setup};
use sites::{Change, Site};

/// How long after a call's timeout a request is released, in milliseconds.
const GRACE: u64 = 150;

/// The date on which every world begins, in seconds since 1970.
const START: u64 = 1_790_000_000;

/// How many workers there are.
const WORKERS: usize = 2;

/// Two workers of one process, and the model. Moments are in milliseconds.
pub struct World {
    workers: [Worker; WORKERS],
    now: u64,
    /// How far the clock that people set is off, in seconds.
    date_off: i64,
    lookups: Vec<Lookup>,
    calls: Vec<Made>,
    probes: Vec<Probe>,
    /// The data that the workers share, by the host's names.
    places: BTreeMap<String, Place>,
    /// The places that say when a site last served anybody, and what they were told last.
    told: BTreeMap<String, Vec<u8>>,
    served: BTreeMap<&'static str, u64>,
    /// The instances whose configuration was in use when the present event began: a request that
    /// waits for the shared data uses it a little longer.
    held: Vec<&'static Setup>,
    /// The number of requests so far: of the hostile caller, and of others.
    requests: [u64; 2],
    diary: Diary,
}

/// One worker's gate, and what the model knows of it.
struct Worker {
    gate: Gate,
    at_work: [Option<Rc<Policy>>; MOST_SETUPS],
    /// Every configuration that was ever active: it is active until its last user is gone.
    policies: Vec<(&'static Setup, Weak<Policy>)>,
    /// The latest date that the gate was told.
    date: u64,
    /// The requests that have not ended, in the order of their numbers: those that wait, and those
    /// that were decided.
    streams: BTreeMap<u32, Option<WaitingRequest>>,
    known: BTreeMap<Key, Known>,
    refused: BTreeMap<Key, Refused>,
    /// The last call that validated a token, and whether the worker certainly still knows it.
    validated: BTreeMap<Key, (usize, bool)>,
    waits: BTreeMap<Key, TokenWait>,
    sites: BTreeMap<&'static str, Site>,
    /// The breakers that have opened and closed since operators were told.
    changes: Vec<(&'static str, Change)>,
    tally: Tally,
}

/// A request that waits.
#[derive(Clone, Copy)]
struct WaitingRequest {
    lookup: usize,
    setup: &'static Setup,
    deadline: u64,
    source: Source,
    number: u64,
}

/// A lookup with its calls.
struct Lookup {
    worker: usize,
    key: Key,
    /// The instance of the first request: calls follow its rules.
    first_setup: &'static Setup,
    policy: Weak<Policy>,
    /// The number of the first request.
    number: u64,
    /// Whether the token was validated before, if that is certain.
    known: Option<bool>,
    began: u64,
    /// When no further call may be made.
    ends: u64,
    /// The first instance with a cache among those of its requests.
    cache_owner: Option<&'static Setup>,
    /// The longest answer that one of them reads.
    limit: usize,
    /// The site that is called, and the number of repeats.
    site: usize,
    repeats: usize,
    step: Step,
    /// The last call to which a provider really said something, though no verdict.
    last_answer: Option<usize>,
    /// Why the last call without an answer had none.
    silence: &'static str,
    so_far: SoFar,
}

/// The state of a lookup.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// This call is under way.
    Asking(usize),
    /// It pauses before its call is repeated, until some moment between these. It may be over
    /// already if no request waits for it and the moment may have passed.
    Pausing {
        from: u64,
        to: u64,
        is_certain: bool,
    },
    Over,
}

/// The combined evidence of the sites that were called.
#[derive(Default)]
struct SoFar {
    /// An outdated verdict must not serve: one of them answered something else than an outage, or
    /// one was not called because too many calls are under way.
    no_stale: bool,
    /// One of them was called without an answer.
    some: bool,
    /// One of them ended at the timeout of the call.
    timed_out: bool,
    /// One of them did not make the token wait.
    no_wait: bool,
    /// Until when the token waits for each, and until when each wants that.
    waits: Vec<(u64, u64)>,
}

/// A token that waits: until when, until when the providers require it, whether an outdated verdict
/// may serve, and the call whose answer its requests get again.
#[derive(Clone)]
struct TokenWait {
    until: u64,
    said: Vec<u64>,
    allows_stale: bool,
    answer: usize,
}

/// A call that was made.
struct Made {
    lookup: usize,
    id: CallId,
    /// The content of its answer.
    number: u64,
    key: Key,
    /// The index of the called site.
    site: usize,
    asked: u64,
    timeout: u64,
    /// How it ended, and the `exp` of the answer.
    ended: Option<(Ending, Option<u64>)>,
    /// Others learn that it was a refusal, but not what it said.
    is_mark: bool,
}

/// A probe.
struct Probe {
    worker: usize,
    site: &'static str,
    settings: Settings,
    id: CallId,
    asked: u64,
    is_over: bool,
}

/// A place in the shared memory.
#[derive(Clone)]
struct Place {
    value: Vec<u8>,
    /// The call whose answer is there; `None` if it was damaged.
    call: Option<usize>,
}

impl World {
    fn new(diary: Diary) -> World {
        World {
            workers: [Worker::new(1), Worker::new(2)],
            now: 0,
            date_off: 0,
            lookups: Vec::new(),
            calls: Vec::new(),
            probes: Vec::new(),
            places: BTreeMap::new(),
            told: BTreeMap::new(),
            served: BTreeMap::new(),
            held: Vec::new(),
            requests: [0; 2],
            diary,
        }
    }

    /// Runs a complete trace, then lets every waiting request reach its deadline.
    pub fn run(events: &[Event]) -> Tally {
        let mut world = World::new(Diary::Closed);
        events.iter().for_each(|event| world.step(*event));
        world.finish()
    }

    /// The clocks, as this worker gets them.
    fn now(&mut self, worker: usize) -> Now {
        let date = self.date();
        let told = &mut self.workers[worker].date;
        *told = date.max(*told);
        Now { moment: MonotonicTime::from_nanos(self.now * 1_000_000), date: UnixTime(date) }
    }

    fn date(&self) -> u64 {
        (START + self.now / 1_000).saturating_add_signed(self.date_off)
    }

    /// This lookup, while it is active on this worker; and whether that is certain.
    fn under_way(&self, worker: usize, key: Key) -> Option<(usize, bool)> {
        let is =
            |asked: &Lookup| asked.step != Step::Over && asked.worker == worker && asked.key == key;
        let mut found = self.lookups.iter().enumerate().filter(|(_, asked)| is(asked));
        let first = found.next().map(|(lookup, asked)| match asked.step {
            Step::Pausing { is_certain, .. } => (lookup, is_certain),
            Step::Asking(_) | Step::Over => (lookup, true),
        });
        assert!(found.next().is_none(), "two calls for one lookup");
        first
    }

    /// Whether a request waits for the answer to this lookup.
    fn is_waited_for(&self, lookup: usize) -> bool {
        let mut waiting = self.workers[self.lookups[lookup].worker].streams.values().flatten();
        waiting.any(|waiting| waiting.lookup == lookup)
    }

    /// Whether this call is about a token of the hostile caller.
    fn is_hostile(&self, call: usize) -> bool {
        self.calls[call].key.is_hostile()
    }
}

impl Worker {
    /// A worker whose keys no other worker has.
    fn new(seed: u8) -> Worker {
        Worker {
            gate: Gate::new(Seed::new([seed; 16])),
            at_work: Default::default(),
            policies: Vec::new(),
            date: 0,
            streams: BTreeMap::new(),
            known: BTreeMap::new(),
            refused: BTreeMap::new(),
            validated: BTreeMap::new(),
            waits: BTreeMap::new(),
            sites: BTreeMap::new(),
            changes: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// The active instances: their configuration is in use.
    fn setups(&self) -> impl Iterator<Item = &'static Setup> {
        let held = self.policies.iter().filter(|(_, policy)| policy.strong_count() > 0);
        held.map(|(setup, _)| *setup)
    }

    /// Whether an instance at work has a breaker like this.
    fn has(&self, settings: Settings) -> bool {
        self.setups().any(|setup| setup.settings() == Some(settings))
    }
}
