//! Tests only: one worker's world, with a clock and a provider that tests script.
//!
//! Requests go in as header pairs, answers as status, headers and body; the results are what the
//! client or the upstream would see.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::filter::{Action, CallId, Decision, Effect, Event, Gate, Release, Seed, Slot, StreamId};
use crate::policy::{self, CallPolicy, Endpoint, Policy};
use crate::provider::key::KeyPrefix;
use crate::provider::method::ValidationMethod;
use crate::provider::{
    call::Call,
    response::{Answer, Body},
};
use crate::reply::LocalReply;
use crate::request::headers::HeaderView;
use crate::time::{MonotonicTime, Now, UnixTime};

pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) policy: Rc<Policy>,
    pub(crate) now: Now,
    next_stream: u32,
    /// The data that the workers of the process share; a test may copy it from world to world.
    pub(crate) shared: HashMap<Slot, Vec<u8>>,
    /// How many places of it were read.
    pub(crate) read: usize,
}

/// The result of a request.
pub(crate) enum Admission {
    /// A decision at once.
    Decided(Decision),
    /// It waits; this call is to be made.
    Call(CallId, Call),
    /// It waits for a call that is under way.
    Joined,
}

/// The result of an event.
#[derive(Default)]
pub(crate) struct Outcomes {
    pub(crate) releases: Vec<Release>,
    pub(crate) calls: Vec<(CallId, Call)>,
    /// How much was written into the shared memory.
    written: usize,
    /// Whether a call was measured.
    took: bool,
}

/// The date on which every world begins.
pub(crate) const START: UnixTime = UnixTime(1_790_000_000);

/// The seed of a world's keys; each world of a test has another, because no two workers share one.
pub(crate) fn seed() -> Seed {
    thread_local! {
        static WORLDS: Cell<u128> = const { Cell::new(0) };
    }
    WORLDS.set(WORLDS.get() + 1);
    Seed::new(WORLDS.get().to_le_bytes())
}

/// The default userinfo endpoint.
pub(crate) fn call_policy() -> CallPolicy {
    policy::read(config("").as_bytes()).unwrap().policy.call
}

/// A signed JWT with this payload, as a bearer presents it; nobody checks its signature.
pub(crate) fn jwt(payload: &str) -> String {
    let parts = [br#"{"alg":"RS256"}"#.as_slice(), payload.as_bytes(), b"signature"];
    format!("Bearer {}", parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join("."))
}

/// An endpoint at which tokens are validated by this method.
pub(crate) fn endpoint(method: Rc<dyn ValidationMethod>) -> Endpoint {
    Endpoint {
        region: "default".into(),
        issuer: None,
        key: KeyPrefix::of(&method.key_parts(), &call_policy(), ("default", None), &[]),
        method,
        sites: Vec::new(),
        rules: Rc::from([]),
        state: Rc::from([]),
        reads_token: false,
    }
}

/// A configuration with a default endpoint and two regions, and these further members.
pub(crate) fn config(members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(
        r#"{{"userinfo_endpoint": {{
            "regionCodeHeader": "X-Region",
            "regionCodeValue": {{"FR": "https://fr.idp.example/userinfo",
                                 "US": "https://us.idp.example/userinfo"}},
            "defaultURI": "https://idp.example/userinfo"}}{comma}{members}}}"#
    )
}

impl World {
    /// A world with [`config`] of these members.
    pub(crate) fn new(members: &str) -> World {
        World::of(&config(members))
    }

    pub(crate) fn of(config: &str) -> World {
        let mut gate = Gate::new(seed());
        let policy = configure(&mut gate, config);
        let now = Now { moment: MonotonicTime::from_nanos(0), date: START };
        World { gate, policy, now, next_stream: 1, shared: HashMap::new(), read: 0 }
    }

    /// Further requests meet this configuration, in the same worker.
    pub(crate) fn configure(&mut self, members: &str) {
        self.configure_whole(&config(members));
    }

    pub(crate) fn configure_whole(&mut self, config: &str) {
        self.policy = configure(&mut self.gate, config);
    }

    /// Both clocks go on.
    pub(crate) fn wait(&mut self, time: Duration) {
        let since_start = Duration::from_nanos(self.now.moment.nanos()) + time;
        let date = UnixTime(START.0 + since_start.as_secs());
        self.now = Now { moment: self.now.moment.after(time), date };
    }

    /// Time has passed: the released requests.
    #[track_caller]
    pub(crate) fn tick(&mut self) -> Vec<Release> {
        let (releases, calls) = self.ticks();
        assert!(calls.is_empty(), "{} calls", calls.len());
        releases
    }
    /// Time has passed: the released requests, and which calls are to be made.
    pub(crate) fn ticks(&mut self) -> (Vec<Release>, Vec<(CallId, Call)>) {
        let Outcomes { releases, calls, written, took } = self.handle(Event::Tick);
        assert!(written == 0 && !took);
        (releases, calls)
    }

    /// Something happens, and all that it leads to in the shared memory.
    pub(crate) fn handle(&mut self, event: Event<'_>) -> Outcomes {
        let mut outcomes = Outcomes::default();
        let mut effects: Vec<Effect> = self.gate.handle(event, self.now).into_iter().collect();
        while !effects.is_empty() {
            let mut next: Vec<Effect> = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Release(release) => outcomes.releases.push(release),
                    Effect::Call(id, call) => outcomes.calls.push((id, call)),
                    Effect::ReadShared(read) => {
                        self.read += read.slots.len();
                        let values = read.slots.iter().map(|slot| self.shared.get(slot).cloned());
                        let event = Event::SharedData { values: values.collect(), read };
                        next.extend(self.gate.handle(event, self.now));
                    }
                    Effect::WriteShared(slot, value) => {
                        outcomes.written += 1;
                        self.shared.insert(slot, value);
                    }
                    Effect::Took(_) => outcomes.took = true,
                }
            }
            effects = next;
        }
        outcomes
    }

    /// Waits until a call is due that nothing but time leads to: that call.
    #[track_caller]
    pub(crate) fn due(&mut self) -> (CallId, Call) {
        let due = self.gate.next_due().expect("a call is due");
        self.wait(due.since(self.now.moment).unwrap_or_default());
        let (releases, mut calls) = self.ticks();
        assert_eq!((releases.len(), calls.len()), (0, 1));
        calls.remove(0)
    }

    /// A request comes.
    pub(crate) fn admit(&mut self, headers: &[(&str, &str)]) -> (StreamId, Admission) {
        let stream = StreamId(self.next_stream);
        self.next_stream += 1;
        let (policy, headers) = (Rc::clone(&self.policy), head(headers).ending(true));
        let event = Event::Request { stream, policy: &policy, headers: &headers };
        let Outcomes { mut releases, mut calls, .. } = self.handle(event);
        let admission = match (releases.pop(), calls.pop()) {
            (Some(release), None) => {
                assert_eq!(release.stream, stream);
                Admission::Decided(release.decision)
            }
            (None, Some((id, call))) => Admission::Call(id, call),
            (None, None) => Admission::Joined,
            (Some(_), Some(_)) => panic!("decided and asked"),
        };
        assert!(releases.is_empty() && calls.is_empty());
        (stream, admission)
    }

    /// A request ends by itself; whether it was held.
    pub(crate) fn gone(&mut self, stream: StreamId) -> bool {
        let before = self.gate.stats().waiting;
        let Outcomes { releases, calls, .. } = self.handle(Event::Gone(stream));
        assert!(releases.is_empty() && calls.is_empty());
        self.gate.stats().waiting < before
    }

    /// A request that is decided at once.
    #[track_caller]
    pub(crate) fn decided(&mut self, headers: &[(&str, &str)]) -> Decision {
        match self.admit(headers).1 {
            Admission::Decided(decision) => decision,
            Admission::Call(_, call) => panic!("{} would be asked", call.cluster),
            Admission::Joined => panic!("not decided"),
        }
    }

    /// A request that waits for a call under way.
    #[track_caller]
    pub(crate) fn joined(&mut self, headers: &[(&str, &str)]) -> StreamId {
        match self.admit(headers) {
            (stream, Admission::Joined) => stream,
            (_, Admission::Decided(decision)) => panic!("decided: {decision:?}"),
            (_, Admission::Call(..)) => panic!("not joined"),
        }
    }

    /// A request that is held.
    #[track_caller]
    pub(crate) fn held(&mut self, headers: &[(&str, &str)]) -> (StreamId, CallId, Call) {
        match self.admit(headers) {
            (stream, Admission::Call(id, call)) => (stream, id, call),
            (_, Admission::Decided(decision)) => panic!("decided: {decision:?}"),
            (_, Admission::Joined) => panic!("no call"),
        }
    }

    /// A request with a good token, and what becomes of it after this answer.
    #[track_caller]
    pub(crate) fn asked(
        &mut self,
        headers: &[(&str, &str)],
        status: &str,
        answer: &[(&str, &str)],
        body: &[u8],
    ) -> Decision {
        let bearer = [("authorization", "Bearer t")];
        let (stream, call, _) = self.held(&[&bearer, headers].concat());
        let mut releases = self.answer(call, status, answer, body);
        let release = releases.pop().expect("released");
        assert_eq!((release.stream, releases.len()), (stream, 0));
        assert!(self.end(call, &Answer::CutOff).is_empty(), "released twice");
        release.decision
    }

    /// The provider answers a call: the released requests.
    pub(crate) fn answer(
        &mut self,
        call: CallId,
        status: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<Release> {
        let real = [(":status", status), ("x-envoy-upstream-service-time", "1")];
        let headers = [&real, headers].concat();
        self.end(call, &Answer::Whole { head: head(&headers), body: Body::Read(body) })
    }

    /// A call ends: the released requests.
    pub(crate) fn end(&mut self, call: CallId, answer: &Answer<'_>) -> Vec<Release> {
        let (releases, next) = self.goes_on(call, answer);
        assert!(next.is_none(), "another site would be asked");
        releases
    }

    /// A call ends: the released requests, and which call follows.
    pub(crate) fn goes_on(
        &mut self,
        call: CallId,
        answer: &Answer<'_>,
    ) -> (Vec<Release>, Option<(CallId, Call)>) {
        let Outcomes { releases, calls, .. } = self.handle(Event::CallEnded { call, answer });
        assert!(calls.len() <= 1, "{} calls", calls.len());
        (releases, calls.into_iter().next())
    }
}

fn configure(gate: &mut Gate, config: &str) -> Rc<Policy> {
    let policy = Rc::new(policy::read(config.as_bytes()).unwrap().policy);
    gate.configured(&policy);
    policy
}

pub(crate) fn head<'b>(pairs: &[(&'b str, &'b str)]) -> HeaderView<'b> {
    HeaderView::new(pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect())
}

/// The edits of a forwarded request, for comparing.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) set: Vec<(String, String)>,
    pub(crate) remove: Vec<Vec<u8>>,
    pub(crate) state: Vec<(String, String)>,
}

impl Decision {
    #[track_caller]
    pub(crate) fn forwarded(self) -> Forwarded {
        match self.action {
            Action::Forward(edit) => Forwarded {
                set: edit.set().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
                remove: edit.remove.iter().map(|name| name.to_vec()).collect(),
                state: edit.state().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            },
            Action::Reply(reply) => panic!("answered: {reply:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn replied(self) -> LocalReply {
        match self.action {
            Action::Reply(reply) => reply,
            Action::Forward(edit) => panic!("forwarded: {edit:?}"),
        }
    }
}

impl LocalReply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice");
        value
    }
}
