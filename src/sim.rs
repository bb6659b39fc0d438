//! Tests only: one worker's world, with a clock and a provider that tests script.
//!
//! Requests go in as header pairs, answers as status, headers and body; what comes back is what the
//! client or the upstream would see.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::config::{self, CallPolicy, Policy};
use crate::filter::{
    Action, Admission, Arrival, CallId, Decision, Gate, Release, Seed, Slot, StreamId, Watched,
};
use crate::provider::userinfo::{Answer, Body, Call};
use crate::reply::LocalReply;
use crate::request::headers::HeaderView;
use crate::time::{MonotonicTime, Now, UnixTime};

pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) policy: Rc<Policy>,
    pub(crate) now: Now,
    next_stream: u32,
    /// What the workers of the process share; a test may hand it from world to world.
    pub(crate) shared: HashMap<Slot, Vec<u8>>,
}

/// The date on which every world begins.
pub(crate) const START: UnixTime = UnixTime(1_790_000_000);

/// What the keys of a world are made with; those of a test's next world with something else, as no
/// two workers have one in common.
pub(crate) fn seed() -> Seed {
    thread_local! {
        static WORLDS: Cell<u128> = const { Cell::new(0) };
    }
    WORLDS.set(WORLDS.get() + 1);
    Seed::new(WORLDS.get().to_le_bytes())
}

/// How a provider is asked by default.
pub(crate) fn call_policy() -> CallPolicy {
    config::read(config("").as_bytes()).unwrap().policy.call
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
        World { gate, policy, now, next_stream: 1, shared: HashMap::new() }
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
        self.listen();
        let settled = self.gate.tick(self.now);
        assert!(settled.share.is_empty() && settled.took.is_none());
        (settled.releases, settled.calls)
    }
    /// Hears what other workers know of the sites.
    pub(crate) fn listen(&mut self) {
        self.hear(self.gate.watched(self.now));
    }

    fn hear(&mut self, watched: Vec<Watched>) {
        for place in watched {
            let value = self.shared.get(&place.slot).map(Vec::as_slice);
            self.gate.heard(&place, value, self.now);
        }
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

    pub(crate) fn admit(&mut self, headers: &[(&str, &str)]) -> (StreamId, Admission) {
        let stream = StreamId(self.next_stream);
        self.next_stream += 1;
        let admission =
            match self.gate.admit(&self.policy, stream, &head(headers).ending(true), self.now) {
                Arrival::Admitted(admission) => admission,
                Arrival::LookUp(question, slots) => {
                    let found = slots.map(|slot| self.shared.get(&slot).map(Vec::as_slice));
                    self.gate.looked_up(question, found, self.now)
                }
            };
        (stream, admission)
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
        if answer.may_be_an_outage() {
            self.hear(self.gate.watched_for(call));
        }
        let settled = self.gate.answered(call, answer, self.now);
        self.shared.extend(settled.share);
        assert!(settled.calls.len() <= 1, "{} calls", settled.calls.len());
        (settled.releases, settled.calls.into_iter().next())
    }
}

fn configure(gate: &mut Gate, config: &str) -> Rc<Policy> {
    let policy = Rc::new(config::read(config.as_bytes()).unwrap().policy);
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
