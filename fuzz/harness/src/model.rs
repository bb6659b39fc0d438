//! The gate beside a model of it that is small enough to be believed: who waits for what until
//! when, and what was answered to whom.
//!
//! Fuzzing, the property test and the enumeration of all short traces drive the same [`World`]. It
//! must know nothing of how the gate keeps its books: only what was told and what came back. Every
//! answer carries the number of its call, so that what a request gets tells which answer it was.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use oidc_token_connector::config::Policy;
use oidc_token_connector::gate::{CallId, Gate, Ledger, Seed};
use oidc_token_connector::outcome::Source;
use oidc_token_connector::time::{Date, Moment, Now};

mod admit;
mod asking;
mod check;
mod ending;
mod event;
mod request;
mod setup;
mod sites;
mod step;

pub use ending::{ENDINGS, Ending};
pub use event::Event;
pub use request::{Region, Who};
pub use setup::MOST_SETUPS;

use ending::Says;
use request::{Key, Request};
use setup::{SETUPS, Setup};
use sites::Site;

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
    /// What the workers share, by the names that the host knows.
    places: BTreeMap<String, Place>,
}

impl Default for World {
    fn default() -> World {
        World {
            workers: [Worker::new(1), Worker::new(2)],
            now: 0,
            date_off: 0,
            questions: Vec::new(),
            calls: Vec::new(),
            places: BTreeMap::new(),
        }
    }
}

/// One worker's gate, and what the model knows of it.
struct Worker {
    gate: Gate,
    at_work: [Option<Rc<Policy>>; MOST_SETUPS],
    /// The requests that have not ended, in the order of their numbers: those that wait, and those
    /// that were decided.
    streams: BTreeMap<u32, Option<Waiting>>,
    known: BTreeMap<Key, Known>,
    sites: BTreeMap<&'static str, Site>,
    tally: Tally,
}

/// What has happened, counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in the ledger")]
pub struct Tally {
    pub hits: u64,
    pub negative_hits: u64,
    pub shared_hits: u64,
    pub misses: u64,
    pub joined: u64,
    pub stored: u64,
    pub failed_over: u64,
    pub refused_by_cap: u64,
    pub refused_by_breaker: u64,
    pub opened: u64,
    pub stale: u64,
    /// Sites that answered again.
    pub closed: u64,
    /// Requests that had been held.
    pub released: u64,
    /// Requests that ended while they were held.
    pub gone: u64,
    /// Shared values that were damaged or moved.
    pub torn: u64,
}

/// A request that waits.
#[derive(Clone, Copy)]
struct Waiting {
    question: usize,
    setup: &'static Setup,
    deadline: u64,
    source: Source,
}

/// The answer that a worker goes by.
#[derive(Clone, Copy)]
struct Known {
    call: usize,
    /// Whether it is certainly not forgotten yet.
    surely: bool,
}

/// A question that was asked.
struct Question {
    worker: usize,
    key: Key,
    /// Who asked first: by this one's rules the calls are made.
    lead: &'static Setup,
    /// When no further call may be made.
    ends: u64,
    /// The first with a cache among those who asked.
    keeper: Option<&'static Setup>,
    /// The longest answer that one of them reads.
    limit: usize,
    /// The call that is under way.
    call: Option<usize>,
    /// The last call to which a provider really said something, though no verdict.
    word: Option<usize>,
}

/// A call that was made.
struct Made {
    question: usize,
    id: CallId,
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

/// A place in the shared memory.
#[derive(Clone)]
struct Place {
    value: Vec<u8>,
    /// The call whose answer stands there; `None` if it was damaged.
    call: Option<usize>,
}

/// Whether an answer may still decide a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fresh {
    No,
    /// In the last tenth of its life it may be asked for again.
    Perhaps,
    Surely,
}

impl World {
    /// Runs a whole trace, then lets everybody who still waits run into the deadline.
    pub fn run(events: &[Event]) -> Tally {
        let mut world = World::default();
        events.iter().for_each(|event| world.step(*event));
        world.finish()
    }

    fn now(&self) -> Now {
        Now { moment: Moment::from_nanos(self.now * 1_000_000), date: Date(self.date()) }
    }

    fn date(&self) -> u64 {
        (START + self.now / 1_000).saturating_add_signed(self.date_off)
    }

    /// Whether the answer to this call may decide a request at this instance now.
    fn fresh(&self, call: usize, setup: &Setup) -> Fresh {
        self.fresh_for(call, setup, 0)
    }

    /// The same, if it may be so much older than usual.
    fn fresh_for(&self, call: usize, setup: &Setup, longer: u64) -> Fresh {
        let made = &self.calls[call];
        let (Some(cache), Some((ending, exp))) = (&setup.cache, made.ended) else {
            return Fresh::No;
        };
        let (ttl, ends) = match ending.says(setup) {
            Says::Good => (cache.ttl, exp.into_iter().chain(made.key.token_exp()).min()),
            Says::Bad(_) => (cache.negative_ttl, None),
            Says::Nothing(..) => return Fresh::No,
        };
        let refused = cache.honors_no_store && ending.is_no_store();
        let ended = ends.is_some_and(|exp| self.date() >= exp);
        let lifetime = ttl.min(ending.max_age());
        let age = self.now - made.asked;
        if refused || ended || age >= lifetime + longer || !ending.is_whole() {
            Fresh::No
        } else if age * 10 < lifetime * 9 + longer * 10 {
            Fresh::Surely
        } else {
            Fresh::Perhaps
        }
    }

    /// Whether what this worker knows may decide a request at this instance now.
    fn known(&self, worker: usize, key: Key, setup: &Setup) -> (Option<usize>, Fresh) {
        match self.workers[worker].known.get(&key) {
            None => (None, Fresh::No),
            Some(Known { call, surely }) => {
                let most = if *surely { Fresh::Surely } else { Fresh::Perhaps };
                (Some(*call), self.fresh(*call, setup).min(most))
            }
        }
    }

    /// The same of a good verdict, while nobody answers.
    fn stale(&self, worker: usize, key: Key, setup: &Setup) -> (Option<usize>, Fresh) {
        let stale = setup.cache.map_or(0, |cache| cache.stale);
        let known = self.workers[worker].known.get(&key);
        match known {
            Some(Known { call, surely }) if stale > 0 && !self.refuses(*call) => {
                let most = if *surely { Fresh::Surely } else { Fresh::Perhaps };
                (Some(*call), self.fresh_for(*call, setup, stale).min(most))
            }
            Some(_) | None => (None, Fresh::No),
        }
    }

    /// Whether this call's answer was that the token is bad.
    fn refuses(&self, call: usize) -> bool {
        self.calls[call].ended.is_some_and(|(ending, _)| ending.is_refusal())
    }

    /// This question, while it is asked on this worker.
    fn under_way(&self, worker: usize, key: Key) -> Option<usize> {
        let is =
            |asked: &Question| asked.call.is_some() && asked.worker == worker && asked.key == key;
        let mut found = self.questions.iter().enumerate().filter(|(_, asked)| is(asked));
        let first = found.next().map(|(question, _)| question);
        assert!(found.next().is_none(), "two calls for one question");
        first
    }

    /// Which of two calls was made later.
    fn compare(&self, one: usize, other: usize) -> Ordering {
        self.calls[one].asked.cmp(&self.calls[other].asked)
    }

    /// The books of each worker say what the model says.
    fn audit(&self) {
        for (at, worker) in self.workers.iter().enumerate() {
            let tally = &worker.tally;
            let Tally { hits, negative_hits, shared_hits, misses, joined, stored, .. } = *tally;
            let Tally { failed_over, refused_by_cap, refused_by_breaker, opened, stale, .. } =
                *tally;
            let ledger = worker.gate.ledger();
            let asked = self.questions.iter().filter(|asked| asked.worker == at);
            let waiting = worker.streams.values().flatten();
            let expected = Ledger {
                hits,
                negative_hits,
                shared_hits,
                misses,
                joined,
                stored,
                calls: asked.filter(|asked| asked.call.is_some()).count(),
                waiting: waiting.count(),
                failed_over,
                refused_by_cap,
                refused_by_breaker,
                opened,
                stale,
                shut: worker.sites.values().filter(|site| site.is_shut()).count(),
                // What the model cannot know exactly.
                evicted: ledger.evicted,
                expired: ledger.expired,
                entries: ledger.entries,
                bytes: ledger.bytes,
            };
            assert_eq!(ledger, expected, "worker {at} at {} ms", self.now);
            assert!(ledger.entries <= worker.known.len());
            assert_eq!(ledger.entries == 0, ledger.bytes == 0);
        }
    }
}

impl Worker {
    /// A worker whose keys no other worker has.
    fn new(seed: u8) -> Worker {
        Worker {
            gate: Gate::new(Seed::new([seed; 16])),
            at_work: Default::default(),
            streams: BTreeMap::new(),
            known: BTreeMap::new(),
            sites: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Whatever is known may have been forgotten.
    fn doubt(&mut self) {
        self.known.values_mut().for_each(|known| known.surely = false);
    }
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Tally) -> Tally {
        Tally {
            hits: self.hits + other.hits,
            negative_hits: self.negative_hits + other.negative_hits,
            shared_hits: self.shared_hits + other.shared_hits,
            misses: self.misses + other.misses,
            joined: self.joined + other.joined,
            stored: self.stored + other.stored,
            failed_over: self.failed_over + other.failed_over,
            refused_by_cap: self.refused_by_cap + other.refused_by_cap,
            refused_by_breaker: self.refused_by_breaker + other.refused_by_breaker,
            opened: self.opened + other.opened,
            stale: self.stale + other.stale,
            closed: self.closed + other.closed,
            released: self.released + other.released,
            gone: self.gone + other.gone,
            torn: self.torn + other.torn,
        }
    }
}
