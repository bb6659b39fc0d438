//! Operations on a whole gate: what a request costs from its headers to its decision, less the
//! host's part.

use std::rc::Rc;
use std::time::Duration;

use oidc_token_connector::filter::{self, Decision, Event, Gate, Seed, StreamId};
use oidc_token_connector::policy::{self, Policy};
use oidc_token_connector::provider::response::{Answer, Body};
use oidc_token_connector::request::headers::HeaderView;
use oidc_token_connector::time::{MonotonicTime, Now, UnixTime};

use crate::documents::{SMALL, configuration};
use crate::requests::{Request, token};
use crate::{Effect, Operation};

/// A minute, as where nothing is configured.
const TTL: Duration = Duration::from_secs(60);

/// Injected headers, where their number is not what is measured.
const HEADERS: usize = 3;

/// A worker's gate with one configuration.
struct Worker {
    gate: Gate,
    policy: Rc<Policy>,
    now: Now,
}

pub(crate) fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    for headers in [8, 40] {
        for bytes in [40, 800] {
            let name = format!("hit/{headers}-headers/{bytes}-byte-token");
            all.push(Operation::new(name, move || {
                let request = Request::of(headers).bearing(&token(bytes)).view();
                let mut worker = Worker::new(r#""cache": {}"#);
                drop(worker.asks(&request, &good()));
                Box::new(move || Effect::Decided(worker.decides(&request)))
            }));
        }
    }
    all.push(Operation::new("negative-hit/8-headers/40-byte-token".into(), || {
        let request = Request::of(8).bearing(&token(40)).view();
        let mut worker = Worker::new(r#""cache": {}"#);
        drop(worker.asks(&request, &bad()));
        Box::new(move || Effect::Decided(worker.decides(&request)))
    }));
    all.push(Operation::new("no-token/8-headers".into(), || {
        let request = Request::of(8).anonymous().view();
        let mut worker = Worker::new(r#""cache": {}"#);
        Box::new(move || Effect::Decided(worker.decides(&request)))
    }));
    for (name, cache) in [("asked/cache-off", ""), ("asked/cache-on", r#""cache": {}"#)] {
        all.push(Operation::new(name.into(), move || {
            let request = Request::of(8).bearing(&token(40)).view();
            let (mut worker, answer) = (Worker::new(cache), good());
            Box::new(move || {
                // The cached verdict has expired each time: the same token causes a new call.
                worker.wait(TTL);
                Effect::Decided(worker.asks(&request, &answer))
            })
        }));
    }
    for bytes in [40, 800] {
        // The digest itself is not public. A request without other headers causes hardly any other
        // work before the shared-data read.
        all.push(Operation::new(format!("digest/{bytes}-byte-token"), move || {
            let request = Request::bare(&token(bytes)).view();
            let mut worker = Worker::new(r#""cache": {"shared": true}"#);
            Box::new(move || match worker.arrives(&request) {
                Some(filter::Effect::ReadShared(read)) => Effect::Asks(read),
                _ => panic!("nothing is to be looked up"),
            })
        }));
    }
    all
}

impl Worker {
    fn new(members: &str) -> Worker {
        let policy = Rc::new(policy(HEADERS, members));
        let mut gate = Gate::new(Seed::new([1; 16]));
        gate.configured(&policy);
        let now = Now { moment: MonotonicTime::from_nanos(0), date: UnixTime(1_790_000_000) };
        Worker { gate, policy, now }
    }

    /// The first effect of a request.
    fn arrives(&mut self, request: &HeaderView<'_>) -> Option<filter::Effect> {
        let policy = Rc::clone(&self.policy);
        let event = Event::Request { stream: StreamId(1), policy: &policy, headers: request };
        self.gate.handle(event, self.now).into_iter().next()
    }

    /// A request that is decided at once.
    fn decides(&mut self, request: &HeaderView<'_>) -> Decision {
        match self.arrives(request) {
            Some(filter::Effect::Release(release)) => release.decision,
            _ => panic!("not decided at once"),
        }
    }

    /// A request with a call, and the result of this answer.
    fn asks(&mut self, request: &HeaderView<'_>, answer: &Answer<'_>) -> Decision {
        let Some(filter::Effect::Call(call, _call)) = self.arrives(request) else {
            panic!("nobody is asked");
        };
        let effects = self.gate.handle(Event::CallEnded { call, answer }, self.now);
        let mut releases = effects.into_iter().filter_map(|effect| match effect {
            filter::Effect::Release(release) => Some(release),
            _ => None,
        });
        match (releases.next(), releases.next()) {
            (Some(release), None) => release.decision,
            (_, _) => panic!("one request waited"),
        }
    }

    fn wait(&mut self, time: Duration) {
        let Now { moment, date } = self.now;
        self.now = Now { moment: moment.after(time), date: UnixTime(date.0 + time.as_secs()) };
    }
}

/// A configuration with this many injected headers.
pub(crate) fn policy(headers: usize, members: &str) -> Policy {
    match policy::read(configuration(headers, members).as_bytes()) {
        Ok(loaded) => loaded.policy,
        Err(problems) => panic!("{problems:?}"),
    }
}

/// The provider's answer about a good token.
pub(crate) fn answer(status: &'static str, body: &'static str) -> Answer<'static> {
    let view = HeaderView::new(vec![
        (b":status", status.as_bytes()),
        (b"content-type", b"application/json"),
        (b"date", b"Sun, 20 Sep 2026 14:13:20 GMT"),
        (b"server", b"envoy"),
        (b"x-envoy-upstream-service-time", b"3"),
    ]);
    Answer::Whole { head: view, body: Body::Read(body.as_bytes()) }
}

fn good() -> Answer<'static> {
    answer("200", SMALL)
}

fn bad() -> Answer<'static> {
    answer("401", r#"{"error":"invalid_token","error_description":"The token has expired"}"#)
}
