//! The exact decision on a request.

use oidc_token_connector::filter::{Action, Decision};
use oidc_token_connector::outcome::{Outcome, Source};

use super::ending::Ending;
use super::sites::NotAllowed;
use super::{Key, Setup};
use crate::rules;

/// The decision by the answer with this number, at this instance.
#[track_caller]
pub(super) fn decision(
    decision: &Decision,
    source: Source,
    setup: &Setup,
    key: Key,
    (number, ending): (u64, Ending),
) {
    let wait = ending.retry_after().map(|seconds| seconds.to_string());
    told_to_wait(decision, source, setup, key, (number, ending), wait.as_deref());
}

/// The same, and told to come again after so long.
#[track_caller]
pub(super) fn told_to_wait(
    decision: &Decision,
    source: Source,
    setup: &Setup,
    key: Key,
    (number, ending): (u64, Ending),
    wait: Option<&str>,
) {
    let (outcome, status, reason) = ending.means(setup).told;
    is(decision, outcome, source, Some(key.region));
    if outcome == Outcome::Pass {
        let mut expected = vec![("x-call".to_owned(), number.to_string())];
        if setup.claim == "email" {
            expected.push((setup.header.to_owned(), format!("mail{number}")));
        } else if ending != Ending::NoSubject {
            expected.push((setup.header.to_owned(), format!("user{number}")));
        }
        return forwarded(decision, setup, expected);
    }
    let reply = rules::replied(decision);
    assert_eq!(reply.status, status);
    assert_eq!(reply.details, details(outcome, reason));
    assert_eq!(header(decision, "retry-after"), wait);
    if reason.starts_with("provider") {
        assert_eq!(reply.body, number.to_string(), "another answer");
    }
}

/// The decision on a request for which no answer came.
#[track_caller]
pub(super) fn unavailable(decision: &Decision, source: Source, key: Key, reason: &str) {
    is(decision, Outcome::Unavailable, source, Some(key.region));
    let reply = rules::replied(decision);
    assert_eq!(reply.status, 401);
    assert_eq!(reply.details, details(Outcome::Unavailable, reason));
}

/// The decision on a request for which no site may be called.
#[track_caller]
pub(super) fn turned_away(decision: &Decision, key: Key, why: NotAllowed) {
    let reason = match why {
        NotAllowed::Full => "too_many_waiting",
        NotAllowed::Open => "breaker_open",
    };
    unavailable(decision, Source::Filter, key, reason);
}

/// The decision on a request that needs no verdict.
#[track_caller]
pub(super) fn unasked(decision: &Decision, outcome: Outcome, setup: &Setup) {
    is(decision, outcome, Source::Filter, None);
    if outcome == Outcome::Preflight {
        forwarded(decision, setup, Vec::new());
    } else {
        assert_eq!(rules::replied(decision).status, 401);
    }
}

/// The number of the answer that decided, where the decision shows it.
pub(super) fn number(decision: &Decision) -> Option<u64> {
    let text = match &decision.action {
        Action::Forward(edit) => edit.set().find(|(n, _)| *n == "x-call").map(|(_, v)| v),
        Action::Reply(reply) => Some(reply.body.as_str()),
    };
    text.and_then(|text| text.parse().ok())
}

/// The value of that header of a reply.
pub(super) fn header<'d>(decision: &'d Decision, wanted: &str) -> Option<&'d str> {
    let Action::Reply(reply) = &decision.action else { return None };
    reply.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
}

#[track_caller]
fn is(decision: &Decision, outcome: Outcome, source: Source, region: Option<&str>) {
    let record = &decision.record;
    assert_eq!((record.outcome, record.source), (outcome, source), "{decision:?}");
    assert_eq!(record.region.as_deref(), region);
}

fn details(outcome: Outcome, reason: &str) -> String {
    format!("oidc_token_connector{{{}:{reason}}}", outcome.as_str())
}

/// With these headers, and without the client's own.
#[track_caller]
fn forwarded(decision: &Decision, setup: &Setup, mut expected: Vec<(String, String)>) {
    let Action::Forward(edit) = &decision.action else { panic!("answered: {decision:?}") };
    let mut set: Vec<_> = edit.set().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    set.sort();
    expected.sort();
    assert_eq!(set, expected);
    let mut removed: Vec<Vec<u8>> = edit.remove.iter().map(|name| name.to_vec()).collect();
    removed.sort();
    let mut strips = ["authorization", "x-call", setup.header].map(|name| name.as_bytes().to_vec());
    strips.sort();
    assert_eq!(removed, strips);
}
