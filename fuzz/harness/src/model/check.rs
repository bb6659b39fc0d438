//! What a decision must be, to the letter.

use oidc_token_connector::gate::{Action, Decision};
use oidc_token_connector::outcome::{Outcome, Source};

use super::sites::Closed;
use super::{Ending, Key, Says, Setup};
use crate::rules;

/// The decision by the answer to this call, at this instance.
#[track_caller]
pub(super) fn decision(
    decision: &Decision,
    source: Source,
    setup: &Setup,
    key: Key,
    call: usize,
    ending: Ending,
) {
    let says = ending.says(setup);
    let (outcome, status) = match says {
        Says::Good => (Outcome::Pass, 200),
        Says::Bad(401) => (Outcome::InvalidToken, 401),
        Says::Bad(status) => (Outcome::Forbidden, status),
        Says::Nothing(outcome, status) => (outcome, status),
    };
    let record = &decision.record;
    assert_eq!((record.outcome, record.source), (outcome, source), "{ending:?} at {setup:?}");
    assert_eq!(record.region.as_deref(), Some(key.region));
    if says == Says::Good {
        let mut expected = vec![("x-call".to_owned(), call.to_string())];
        if setup.claim == "email" {
            expected.push((setup.header.to_owned(), format!("mail{call}")));
        } else if ending != Ending::NoSubject {
            expected.push((setup.header.to_owned(), format!("user{call}")));
        }
        forwarded(decision, setup, expected);
    } else {
        let reply = rules::replied(decision);
        assert_eq!(reply.status, status);
        if matches!(says, Says::Bad(_) | Says::Nothing(Outcome::ProviderError, _)) {
            assert_eq!(reply.body, call.to_string(), "another answer");
        }
    }
}

/// The decision on a request for which nobody may be asked.
#[track_caller]
pub(super) fn turned_away(decision: &Decision, key: Key, why: Closed) {
    let record = &decision.record;
    assert_eq!((record.outcome, record.source), (Outcome::Unavailable, Source::Filter));
    assert_eq!(record.region.as_deref(), Some(key.region));
    let reply = rules::replied(decision);
    let word = match why {
        Closed::Full => "too_many_waiting",
        Closed::Shut => "breaker_open",
    };
    assert_eq!(reply.status, 401);
    assert_eq!(reply.details, format!("oidc_token_connector{{unavailable:{word}}}"));
}

/// The decision on a request that asks nothing.
#[track_caller]
pub(super) fn unasked(decision: &Decision, outcome: Outcome, setup: &Setup) {
    let record = &decision.record;
    assert_eq!((record.outcome, record.source), (outcome, Source::Filter));
    assert_eq!(record.region, None);
    if outcome == Outcome::Preflight {
        forwarded(decision, setup, Vec::new());
    } else {
        assert_eq!(rules::replied(decision).status, 401);
    }
}

/// The call whose answer decided, as the answer itself says.
#[track_caller]
pub(super) fn number(decision: &Decision) -> usize {
    let text = match &decision.action {
        Action::Forward(edit) => edit.set().find(|(n, _)| *n == "x-call").map(|(_, v)| v),
        Action::Reply(reply) => Some(reply.body.as_str()),
    };
    text.and_then(|text| text.parse().ok()).expect("decided by some answer")
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
