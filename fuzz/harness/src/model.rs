//! The gate beside a model of it that is small enough to be believed: who waits for what until
//! when, and what was answered to whom.
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

/// How long after a call's timeout a request is let go, in milliseconds.
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
    questions: Vec<Question>,
    calls: Vec<Made>,
    probes: Vec<Probe>,
    /// What the workers share, by the names that the host knows.
    places: BTreeMap<String, Place>,
    /// The places that say when a site last served anybody, and what they were told last.
    told: BTreeMap<String, Vec<u8>>,
    served: BTreeMap<&'static str, u64>,
    /// The instances whose configuration was held when the present event began: a request that waits
    /// for the shared memory holds it a little longer.
    held: Vec<&'static Setup>,
    /// How many requests have come: of the stranger, and of others.
    requests: [u64; 2],
    diary: Diary,
}

/// One worker's gate, and what the model knows of it.
struct Worker {
    gate: Gate,
    at_work: [Option<Rc<Policy>>; MOST_SETUPS],
    /// Every configuration that was ever at work: it stays so until nobody holds it.
    policies: Vec<(&'static Setup, Weak<Policy>)>,
    /// The latest date that the gate was told.
    date: u64,
    /// The requests that have not ended, in the order of their numbers: those that wait, and those
    /// that were decided.
    streams: BTreeMap<u32, Option<Waiting>>,
    known: BTreeMap<Key, Known>,
    refused: BTreeMap<Key, Refused>,
    /// The last call that vouched for a token, and whether that is certainly not forgotten.
    vouched: BTreeMap<Key, (usize, bool)>,
    waits: BTreeMap<Key, TokenWait>,
    sites: BTreeMap<&'static str, Site>,
    /// The breakers that have opened and closed since operators were told.
    changes: Vec<(&'static str, Change)>,
    tally: Tally,
}

/// A request that waits.
#[derive(Clone, Copy)]
struct Waiting {
    question: usize,
    setup: &'static Setup,
    deadline: u64,
    source: Source,
    number: u64,
}

/// A question that was asked.
struct Question {
    worker: usize,
    key: Key,
    /// Who asked first: by this one's rules the calls are made.
    lead: &'static Setup,
    policy: Weak<Policy>,
    /// The number of the request that asked first.
    number: u64,
    /// Whether the token was vouched for before, if that is certain.
    known: Option<bool>,
    began: u64,
    /// When no further call may be made.
    ends: u64,
    /// The first with a cache among those who asked.
    keeper: Option<&'static Setup>,
    /// The longest answer that one of them reads.
    limit: usize,
    /// The site that is asked, and how often it was asked again.
    site: usize,
    repeats: usize,
    step: Step,
    /// The last call to which a provider really said something, though no verdict.
    word: Option<usize>,
    /// Why the last call without an answer had none.
    silence: &'static str,
    so_far: SoFar,
}

/// What a question is at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// This call is under way.
    Asking(usize),
    /// It pauses before its call is repeated, until some moment between these. It may be over
    /// already where nobody waits for it and the moment may have passed.
    Pausing {
        from: u64,
        to: u64,
        is_certain: bool,
    },
    Over,
}

/// What the sites that were asked are evidence of, taken together.
#[derive(Default)]
struct SoFar {
    /// An outdated verdict must not serve: one of them said something else than an outage, or one
    /// was not asked because too many calls are under way.
    no_stale: bool,
    /// One of them was asked in vain.
    some: bool,
    /// One of them was given up when the time of the call was over.
    timed_out: bool,
    /// One of them did not ask the token to wait.
    no_wait: bool,
    /// Until when the token waits for each, and until when each wants that.
    waits: Vec<(u64, u64)>,
}

/// A token that waits: until when, until when some provider wants that, whether an outdated verdict
/// may serve, and the call whose answer its requests get again.
#[derive(Clone)]
struct TokenWait {
    until: u64,
    said: Vec<u64>,
    allows_stale: bool,
    word: usize,
}

/// A call that was made.
struct Made {
    question: usize,
    id: CallId,
    /// What its answer carries.
    number: u64,
    key: Key,
    /// Which of the sites was asked.
    site: usize,
    asked: u64,
    timeout: u64,
    /// How it ended, and the `exp` of the answer.
    ended: Option<(Ending, Option<u64>)>,
    /// Others learn that it was a refusal, but not what it said.
    is_mark: bool,
}

/// A question of the filter's own.
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
    /// The call whose answer stands there; `None` if it was damaged.
    call: Option<usize>,
}

impl World {
    fn new(diary: Diary) -> World {
        World {
            workers: [Worker::new(1), Worker::new(2)],
            now: 0,
            date_off: 0,
            questions: Vec::new(),
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

    /// Runs a whole trace, then lets everybody who still waits run into the deadline.
    pub fn run(events: &[Event]) -> Tally {
        let mut world = World::new(Diary::Closed);
        events.iter().for_each(|event| world.step(*event));
        world.finish()
    }

    /// What the clocks say, which this worker is told.
    fn now(&mut self, worker: usize) -> Now {
        let date = self.date();
        let told = &mut self.workers[worker].date;
        *told = date.max(*told);
        Now { moment: MonotonicTime::from_nanos(self.now * 1_000_000), date: UnixTime(date) }
    }

    fn date(&self) -> u64 {
        (START + self.now / 1_000).saturating_add_signed(self.date_off)
    }

    /// This question, while it is asked on this worker; and whether that is certain.
    fn under_way(&self, worker: usize, key: Key) -> Option<(usize, bool)> {
        let is = |asked: &Question| {
            asked.step != Step::Over && asked.worker == worker && asked.key == key
        };
        let mut found = self.questions.iter().enumerate().filter(|(_, asked)| is(asked));
        let first = found.next().map(|(question, asked)| match asked.step {
            Step::Pausing { is_certain, .. } => (question, is_certain),
            Step::Asking(_) | Step::Over => (question, true),
        });
        assert!(found.next().is_none(), "two calls for one question");
        first
    }

    /// Whether somebody waits for the answer to this question.
    fn is_waited_for(&self, question: usize) -> bool {
        let mut waiting = self.workers[self.questions[question].worker].streams.values().flatten();
        waiting.any(|waiting| waiting.question == question)
    }

    /// Whether this call is about a token of the stranger.
    fn is_strangers(&self, call: usize) -> bool {
        self.calls[call].key.is_strangers()
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
            vouched: BTreeMap::new(),
            waits: BTreeMap::new(),
            sites: BTreeMap::new(),
            changes: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// The instances that are at work: somebody holds their configuration.
    fn setups(&self) -> impl Iterator<Item = &'static Setup> {
        let held = self.policies.iter().filter(|(_, policy)| policy.strong_count() > 0);
        held.map(|(setup, _)| *setup)
    }

    /// Whether an instance at work has a breaker like this.
    fn has(&self, settings: Settings) -> bool {
        self.setups().any(|setup| setup.settings() == Some(settings))
    }
}
