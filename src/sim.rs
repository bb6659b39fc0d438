//! Tests only: one worker's world, with a clock and a provider that tests script.
//!
//! Requests go in as header pairs, answers as status, headers and body; what comes back is what the
//! client or the upstream would see.

use std::rc::Rc;
use std::time::Duration;

use crate::config;
use crate::enrich::HeaderEdit;
use crate::gate::{Action, Admission, CallId, Decision, Gate, Release, StreamId};
use crate::head::Head;
use crate::reply::LocalReply;
use crate::time::Moment;
use crate::userinfo::{Answer, Body, Call};

pub(crate) struct World {
    pub(crate) gate: Gate,
    now: Moment,
    next_stream: u32,
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
        let loaded = config::read(config.as_bytes()).unwrap();
        let gate = Gate::new(Rc::new(loaded.policy));
        World { gate, now: Moment::from_nanos(0), next_stream: 1 }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    pub(crate) fn tick(&mut self) -> Vec<Release> {
        self.gate.tick(self.now)
    }

    pub(crate) fn admit(&mut self, headers: &[(&str, &str)]) -> (StreamId, Admission) {
        let stream = StreamId(self.next_stream);
        self.next_stream += 1;
        (stream, self.gate.admit(stream, &head(headers), self.now))
    }

    /// A request that is decided at once.
    #[track_caller]
    pub(crate) fn decided(&mut self, headers: &[(&str, &str)]) -> Decision {
        match self.admit(headers).1 {
            Admission::Decided(decision) => decision,
            Admission::Hold(_, call) => panic!("held, {} would be asked", call.cluster),
        }
    }

    /// A request that is held.
    #[track_caller]
    pub(crate) fn held(&mut self, headers: &[(&str, &str)]) -> (StreamId, CallId, Call) {
        match self.admit(headers) {
            (stream, Admission::Hold(id, call)) => (stream, id, call),
            (_, Admission::Decided(decision)) => panic!("decided: {decision:?}"),
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
        let real = [(":status", status), ("x-envoy-upstream-service-time", "1")];
        let answer = [&real, answer].concat();
        let answer = Answer::Whole { head: head(&answer), body: Body::Read(body) };
        let release = self.gate.answered(call, &answer).expect("released");
        assert_eq!(release.stream, stream);
        assert!(self.gate.answered(call, &Answer::CutOff).is_none(), "released twice");
        release.decision
    }
}

pub(crate) fn head<'b>(pairs: &[(&'b str, &'b str)]) -> Head<'b> {
    Head::new(pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect())
}

impl Decision {
    #[track_caller]
    pub(crate) fn forwarded(self) -> HeaderEdit {
        match self.action {
            Action::Forward(edit) => edit,
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
