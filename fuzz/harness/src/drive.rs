//! Drives a gate as the shell does: an event in, effects out, and the shared memory read at once.

use oidc_token_connector::filter::{
    CallId, Decision, Effect, Event, Gate, Release, Slot, StreamId, Took,
};
use oidc_token_connector::provider::call::Call;
use oidc_token_connector::time::Now;

/// The result of an event.
#[derive(Default)]
pub struct Done {
    /// The released requests.
    pub releases: Vec<Release>,
    /// The calls to make.
    pub calls: Vec<(CallId, Call)>,
    /// The places of the shared memory that were read.
    pub read: Vec<Slot>,
    /// The values to write there.
    pub written: Vec<(Slot, Vec<u8>)>,
    /// How long a call took.
    pub took: Option<Took>,
}

/// The result of a request that arrives.
pub enum Admission {
    /// A decision at once.
    Decided(Decision),
    /// It waits; this call must be made.
    Call(CallId, Call),
    /// It waits for a call that is under way.
    Joined,
}

/// Handles an event; `shared` is the content of the shared data.
pub fn handle(
    gate: &mut Gate,
    event: Event<'_>,
    now: Now,
    shared: impl Fn(&Slot) -> Option<Vec<u8>>,
) -> Done {
    let mut done = Done::default();
    let mut effects: Vec<Effect> = gate.handle(event, now).into_iter().collect();
    while !effects.is_empty() {
        let mut next = Vec::new();
        for effect in effects {
            match effect {
                Effect::Release(release) => done.releases.push(release),
                Effect::Call(id, call) => done.calls.push((id, call)),
                Effect::ReadShared(read) => {
                    done.read.extend(&read.slots);
                    let values = read.slots.iter().map(&shared).collect();
                    next.extend(gate.handle(Event::SharedData { read, values }, now));
                }
                Effect::WriteShared(slot, value) => done.written.push((slot, value)),
                Effect::Took(took) => assert!(done.took.replace(took).is_none(), "took twice"),
            }
        }
        effects = next;
    }
    // The order in which several requests are released depends on the shared-data reads, and does
    // not matter.
    done.releases.sort_by_key(|release| release.stream);
    done
}

impl Done {
    /// The result of the request that has arrived.
    ///
    /// # Panics
    ///
    /// If anything happens to another one.
    pub fn admission(&mut self, stream: StreamId) -> Admission {
        let (release, call) = (self.releases.pop(), self.calls.pop());
        assert!(self.releases.is_empty() && self.calls.is_empty(), "something happens to others");
        match (release, call) {
            (Some(release), None) => {
                assert_eq!(release.stream, stream, "another one is decided");
                Admission::Decided(release.decision)
            }
            (None, Some((id, call))) => Admission::Call(id, call),
            (None, None) => Admission::Joined,
            (Some(_), Some(_)) => panic!("decided, and asked about"),
        }
    }
}

/// A request arrives at a gate that shares nothing.
pub fn arrives(
    gate: &mut Gate,
    stream: StreamId,
    policy: &std::rc::Rc<oidc_token_connector::policy::Policy>,
    headers: &oidc_token_connector::request::headers::HeaderView<'_>,
    now: Now,
) -> Admission {
    let event = Event::Request { stream, policy, headers };
    let mut done = handle(gate, event, now, |_| None);
    assert!(done.read.is_empty() && done.written.is_empty(), "shares something");
    done.admission(stream)
}
