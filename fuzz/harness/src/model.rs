//! The gate beside a model of it that is small enough to be believed: a table of who waits for
//! what until when.
//!
//! Fuzzing, the property test and the enumeration of all short traces drive the same [`World`].
//! It must know nothing of how the gate keeps its books: only what was told and what came back.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use arbitrary::Arbitrary;
use oidc_token_connector::config::{self, Policy};
use oidc_token_connector::gate::{Action, Admission, CallId, Decision, Gate, Release, StreamId};
use oidc_token_connector::head::Head;
use oidc_token_connector::outcome::{Outcome, Source};
use oidc_token_connector::time::Moment;
use oidc_token_connector::userinfo::{Answer, Body};

use crate::{message, rules};

/// Something that happens on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Event {
    /// A request arrives.
    Admit(Credentials, Region),
    /// A call ends, also one that nobody waits for any more; 0 is the newest, 1 the one before.
    Answer(u8, Ending),
    /// A request is gone, also one that had its decision; counted as calls are.
    Gone(u8),
    /// That many milliseconds pass.
    Wait(u16),
    /// The host's timer fires.
    Tick,
    /// The configuration is replaced: new requests meet a new gate, the old one drains.
    Reconfigure,
}

/// What a request presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Credentials {
    /// A token of its own.
    Token,
    /// Nothing.
    None,
    /// `Bearer` and what is no token.
    Malformed,
}

/// What a request's region header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Region {
    /// It has none.
    Absent,
    /// A configured code.
    Known,
    /// Another code.
    Unknown,
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
pub enum Ending {
    /// 200 with a JSON object.
    Good,
    /// 200 with a web page.
    WebPage,
    /// 200, too large to read.
    TooLarge,
    /// 204.
    NoContent,
    /// The provider's 401.
    Refused,
    /// The provider's 503.
    Overloaded,
    /// A 503 that Envoy made.
    Unreachable,
    /// Never sent.
    NotSent,
    /// Broken off.
    CutOff,
}

/// How long after a call's timeout a request is let go, in milliseconds.
const GRACE: u64 = 150;

/// A configuration: the timeout in milliseconds and the header that carries `sub`.
struct Generation {
    timeout: u64,
    header: &'static str,
}

const GENERATIONS: [Generation; 2] = [
    Generation { timeout: 2_000, header: "x-user" },
    Generation { timeout: 500, header: "x-subject" },
];

thread_local! {
    static POLICIES: [Rc<Policy>; 2] = std::array::from_fn(|at| policy(&GENERATIONS[at]));
}

fn policy(generation: &Generation) -> Rc<Policy> {
    let Generation { timeout, header } = generation;
    let text = format!(
        r#"{{"userinfo_endpoint": {{"regionCodeHeader": "X-Region",
                "regionCodeValue": {{"FR": "https://fr.example/u"}},
                "defaultURI": "https://idp.example/u"}},
            "inject_headers": {{"{header}": "$.sub"}},
            "unknown_region": "reject", "timeout": "{timeout}ms"}}"#
    );
    Rc::new(config::read(text.as_bytes()).expect("a good configuration").policy)
}

/// A request that waits, as the model knows it.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    call: usize,
    deadline: u64,
    region: &'static str,
}

/// A call that was made, and for whom.
#[derive(Debug)]
struct Made {
    gate: usize,
    id: CallId,
    stream: u32,
}

/// One worker: the gates of all configurations so far, and the model.
pub struct World {
    gates: Vec<Gate>,
    /// Milliseconds.
    now: u64,
    /// Streams are numbered from 0 by the order of their arrival.
    streams: u32,
    calls: Vec<Made>,
    waiting: BTreeMap<u32, Waiting>,
}

impl Default for World {
    fn default() -> World {
        let gate = Gate::new(POLICIES.with(|policies| Rc::clone(&policies[0])));
        World { gates: vec![gate], now: 0, streams: 0, calls: Vec::new(), waiting: BTreeMap::new() }
    }
}

impl World {
    /// Runs a whole trace, then lets everybody who still waits run into the deadline.
    pub fn run(events: &[Event]) {
        let mut world = World::default();
        events.iter().for_each(|event| world.step(*event));
        world.finish();
    }

    /// Lets one thing happen and compares.
    pub fn step(&mut self, event: Event) {
        match event {
            Event::Admit(credentials, region) => self.admit(credentials, region),
            Event::Answer(back, ending) => {
                if let Some(call) = nth_last(self.calls.len(), back) {
                    self.answer(call, ending);
                }
            }
            Event::Gone(back) => {
                if let Some(stream) = nth_last(self.streams as usize, back) {
                    self.gone(stream as u32);
                }
            }
            Event::Wait(millis) => self.now += u64::from(millis),
            Event::Tick => self.tick(),
            Event::Reconfigure => {
                let policy = POLICIES.with(|p| Rc::clone(&p[self.gates.len() % p.len()]));
                self.gates.push(Gate::new(policy));
            }
        }
    }

    /// Nobody waits for ever, and afterwards nothing is left that could be released.
    pub fn finish(mut self) {
        self.now += 60_000;
        self.tick();
        assert!(self.waiting.is_empty());
        for call in 0..self.calls.len() {
            self.answer(call, Ending::Good);
        }
        for stream in 0..self.streams {
            self.gone(stream);
        }
        self.tick();
    }

    fn admit(&mut self, credentials: Credentials, region: Region) {
        let stream = self.streams;
        self.streams += 1;
        let token = format!("Bearer t{stream}");
        let mut pairs: Vec<(&str, &[u8])> = vec![("x-user", b"spoof"), ("x-subject", b"spoof")];
        match credentials {
            Credentials::Token => pairs.push(("authorization", token.as_bytes())),
            Credentials::None => {}
            Credentials::Malformed => pairs.push(("authorization", b"Bearer a b")),
        }
        match region {
            Region::Absent => {}
            Region::Known => pairs.push(("x-region", b"FR")),
            Region::Unknown => pairs.push(("x-region", b"XX")),
        }
        let gate = self.gates.len() - 1;
        let now = self.moment();
        let admission = self.gates[gate].admit(StreamId(stream), &message::head(&pairs), now);
        match (admission, credentials, region) {
            (Admission::Hold(id, call), Credentials::Token, Region::Absent | Region::Known) => {
                let generation = generation(gate);
                assert_eq!(call.timeout, Duration::from_millis(generation.timeout));
                let sent = call.headers.iter().filter(|(name, _)| name == "authorization");
                assert_eq!(sent.map(|(_, v)| v).collect::<Vec<_>>(), [&token]);
                let known = region == Region::Known;
                assert_eq!(call.cluster, if known { "fr.example" } else { "idp.example" });
                assert!(self.calls.iter().all(|made| made.gate != gate || made.id != id));
                let deadline = self.now + generation.timeout + GRACE;
                let region = if known { "FR" } else { "default" };
                let waiting = Waiting { call: self.calls.len(), deadline, region };
                self.waiting.insert(stream, waiting);
                self.calls.push(Made { gate, id, stream });
            }
            (Admission::Decided(decision), ..) => {
                let expected = match (credentials, region) {
                    (Credentials::None, _) => Outcome::NoCredentials,
                    (Credentials::Malformed, _) => Outcome::Malformed,
                    (Credentials::Token, Region::Unknown) => Outcome::UnknownRegion,
                    (Credentials::Token, _) => panic!("decided without asking: {decision:?}"),
                };
                assert_eq!(decision.record.outcome, expected);
                assert_eq!(decision.record.source, Source::Filter);
                assert_eq!(rules::replied(&decision).status, 401);
            }
            (Admission::Hold(..), ..) => panic!("{credentials:?} {region:?} is held"),
        }
    }

    fn answer(&mut self, call: usize, ending: Ending) {
        let Made { gate, id, stream } = self.calls[call];
        let body = format!("{{\"sub\":\"user{stream}\"}}");
        let release = self.gates[gate].answered(id, &ending.answer(body.as_bytes()));
        let waiting = self.waiting.get(&stream).copied().filter(|waiting| waiting.call == call);
        let Some(waiting) = waiting else {
            assert!(release.is_none(), "released though nobody waited: {release:?}");
            return;
        };
        self.waiting.remove(&stream);
        let Release { stream: released, decision } = release.expect("released");
        assert_eq!(released, StreamId(stream));
        assert_eq!(decision.record.region, waiting.region);
        match ending {
            Ending::Good => forwarded(&decision, gate, stream),
            Ending::Refused => refused(&decision, Outcome::InvalidToken, 401),
            Ending::Overloaded => refused(&decision, Outcome::ProviderError, 503),
            Ending::WebPage
            | Ending::TooLarge
            | Ending::NoContent
            | Ending::Unreachable
            | Ending::NotSent
            | Ending::CutOff => refused(&decision, Outcome::Unavailable, 401),
        }
    }

    fn gone(&mut self, stream: u32) {
        let waited = self.waiting.remove(&stream);
        // The host knows which configuration a stream belongs to; the others know nothing of it.
        for (at, gate) in self.gates.iter_mut().enumerate() {
            let here = waited.is_some_and(|waiting| self.calls[waiting.call].gate == at);
            let expected = here.then_some(Outcome::ClientGone);
            assert_eq!(gate.gone(StreamId(stream)), expected);
        }
    }

    fn tick(&mut self) {
        let now = self.moment();
        for at in 0..self.gates.len() {
            let mut released: Vec<u32> = Vec::new();
            for Release { stream, decision } in self.gates[at].tick(now) {
                refused(&decision, Outcome::Unavailable, 401);
                released.push(stream.0);
            }
            let mut late: Vec<u32> = Vec::new();
            self.waiting.retain(|stream, waiting| {
                let is_late = self.calls[waiting.call].gate == at && waiting.deadline <= self.now;
                late.extend(is_late.then_some(*stream));
                !is_late
            });
            released.sort_unstable();
            assert_eq!(released, late, "at {} ms", self.now);
        }
    }

    fn moment(&self) -> Moment {
        Moment::from_nanos(self.now * 1_000_000)
    }
}

fn nth_last(len: usize, back: u8) -> Option<usize> {
    let back = usize::from(back).checked_rem(len)?;
    Some(len - 1 - back)
}

fn generation(gate: usize) -> &'static Generation {
    &GENERATIONS[gate % GENERATIONS.len()]
}

/// With its own user and nothing of the client's.
#[track_caller]
fn forwarded(decision: &Decision, gate: usize, stream: u32) {
    let header = generation(gate).header;
    let Action::Forward(edit) = &decision.action else { panic!("answered: {decision:?}") };
    assert_eq!(edit.set, [(header.to_owned(), format!("user{stream}"))]);
    assert!(edit.remove.iter().any(|name| name == header.as_bytes()));
    assert!(edit.remove.iter().any(|name| name == b"authorization"));
    assert_eq!(decision.record.outcome, Outcome::Pass);
    assert_eq!(decision.record.source, Source::Asked);
}

#[track_caller]
fn refused(decision: &Decision, outcome: Outcome, status: u16) {
    assert_eq!(rules::replied(decision).status, status);
    assert_eq!(decision.record.outcome, outcome);
    assert_eq!(decision.record.source, Source::Asked);
}

impl Ending {
    fn answer(self, user: &[u8]) -> Answer<'_> {
        let json = ("content-type", &b"application/json"[..]);
        let real = ("x-envoy-upstream-service-time", &b"1"[..]);
        let whole = |status: &'static [u8], rest: &[(&'static str, &'static [u8])], body| {
            let head: Head<'_> = message::head(&[&[(":status", status)], rest].concat());
            Answer::Whole { head, body }
        };
        let text = ("content-type", &b"text/html"[..]);
        match self {
            Ending::Good => whole(b"200", &[json, real], Body::Read(user)),
            Ending::WebPage => whole(b"200", &[text, real], Body::Read(user)),
            Ending::TooLarge => whole(b"200", &[json, real], Body::TooLarge),
            Ending::NoContent => whole(b"204", &[json, real], Body::Read(user)),
            Ending::Refused => whole(b"401", &[json, real], Body::Read(user)),
            Ending::Overloaded => whole(b"503", &[json, real], Body::Read(user)),
            Ending::Unreachable => whole(b"503", &[text], Body::Read(b"upstream connect error")),
            Ending::NotSent => Answer::NotSent,
            Ending::CutOff => Answer::CutOff,
        }
    }
}
