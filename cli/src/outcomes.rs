//! The table of call outcomes and their consequences, as text. The consequences come from the
//! filter's own table, and the replies from the filter's own gate. This module only names the
//! outcomes, so `explain` and `docs/operations.md` always agree with the filter.

use std::collections::BTreeSet;
use std::rc::Rc;

use oidc_token_connector::filter::{
    Action, Decision, Effect, Event, Gate, Release, Seed, StreamId,
};
use oidc_token_connector::outcome::Reason;
use oidc_token_connector::policy::{self, Policy};
use oidc_token_connector::provider::call_outcome::{CallOutcome, Kept};
use oidc_token_connector::provider::response::{Answer, Body};
use oidc_token_connector::refusal::{NoAnswer, Refusal};
use oidc_token_connector::reply::{self, Dialect, LocalReply};
use oidc_token_connector::request::headers::HeaderView;
use oidc_token_connector::time::{MonotonicTime, Now, UnixTime};

/// Which endpoint answers: most outcomes are the same with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    UserInfo,
    Introspection,
}

/// The rows of an outcome. Introspection says no in other words than UserInfo, and for one it has words of
/// its own alone.
fn rows(outcome: CallOutcome) -> &'static [By] {
    match outcome {
        CallOutcome::NotVouched => &[By::UserInfo, By::Introspection],
        CallOutcome::ClientRefused => &[By::Introspection],
        CallOutcome::Accepted
        | CallOutcome::Refused
        | CallOutcome::Denied
        | CallOutcome::Rejected
        | CallOutcome::Misdirected
        | CallOutcome::Limited
        | CallOutcome::Paused
        | CallOutcome::Failed
        | CallOutcome::Down
        | CallOutcome::NoAnswer
        | CallOutcome::NotSent
        | CallOutcome::Unusable
        | CallOutcome::UnexpectedStatus
        | CallOutcome::Crowded
        | CallOutcome::BreakerOpen => &[By::UserInfo],
    }
}

/// The answer, and what it is about, for a request that is refused for this reason, if it is.
#[must_use]
pub fn texts(outcome: CallOutcome, reason: Option<&str>) -> (&'static str, &'static str) {
    // These two are read in the response of either.
    let of_userinfo = [Reason::NoSubject, Reason::OtherIssuer].map(Reason::as_str);
    match reason.is_none_or(|reason| of_userinfo.contains(&reason)) {
        true => row(outcome, By::UserInfo),
        false => row(outcome, By::Introspection),
    }
}

fn row(outcome: CallOutcome, by: By) -> (&'static str, &'static str) {
    match outcome {
        CallOutcome::Accepted => ("200 that validates the token", "the token"),
        CallOutcome::NotVouched if by == By::Introspection => (
            "an introspection response that says no: `active` false, a refresh or ID token, `cnf`, \
             `exp` or `nbf`; a 400 with the error `unsupported_token_type`",
            "the token",
        ),
        CallOutcome::NotVouched => (
            "200, a JSON object without the subject that `require_subject` requires, or with \
             another `iss` than the one that chose the provider",
            "the token",
        ),
        CallOutcome::Refused => (
            "401; 400 or 403 with the error `invalid_token`, `insufficient_scope` or \
             `insufficient_user_authentication`",
            "the token",
        ),
        CallOutcome::Denied => {
            ("403 without such an error, 404, 410", "unknown, treated as a refusal")
        }
        CallOutcome::Rejected => {
            ("any other 4xx: 400 without such an error, 405, 407 …", "the call of the gateway")
        }
        CallOutcome::Misdirected => ("408, 421, 425", "the connection, or the site"),
        CallOutcome::Limited => ("429", "possibly the token"),
        CallOutcome::Paused => ("503 with `Retry-After`", "possibly the token"),
        CallOutcome::Failed => ("500, any other 5xx", "often this user's data"),
        CallOutcome::Down => ("502, 503, 504 of the provider", "possibly the site"),
        CallOutcome::NoAnswer => ("no answer", "the connection, or the site"),
        CallOutcome::NotSent => (
            "Envoy makes no call: no cluster, no healthy host, its own limits on the cluster",
            "this gateway, or the site",
        ),
        CallOutcome::Unusable => (
            "unusable 200: too large, encoded, no JSON object, a JWT",
            "set-up, often one user's data",
        ),
        CallOutcome::UnexpectedStatus => ("any other status: a redirect, 204", "set-up"),
        CallOutcome::ClientRefused => (
            "any 4xx of an introspection endpoint but 408, 421, 425, 429 and that 400",
            "the gateway's own client, or set-up",
        ),
        CallOutcome::Crowded => {
            ("no call: too many calls, or too many requests wait", "this gateway")
        }
        CallOutcome::BreakerOpen => ("no call: the circuit breaker is open", "the site"),
    }
}

/// What the cache keeps of it.
#[must_use]
pub fn kept(outcome: CallOutcome) -> &'static str {
    match outcome.consequences().kept {
        Kept::AsGood => "as valid, for `ttl`",
        Kept::AsRefusal => "as a refusal, for `negative_ttl`",
        Kept::No => "no",
    }
}

/// The table as in `docs/operations.md`.
#[must_use]
pub fn table() -> String {
    let mut text =
        "| answer | about | client, `relay` | client, `map` | kept | removes the valid entry \
                    | another site | outdated verdict | token waits | alert |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    let all = CallOutcome::ALL.into_iter();
    for (outcome, by) in all.flat_map(|outcome| rows(outcome).iter().map(move |by| (outcome, *by)))
    {
        let (came, about) = row(outcome, by);
        let [relay, map] = ["relay", "map"].map(|mode| client(outcome, by, mode));
        let follows = outcome.consequences();
        let yes = |is| if is { "yes" } else { "no" };
        let wait = follows.longest_wait;
        let wait = wait.map_or("no".to_owned(), |wait| {
            format!("as `Retry-After` says, at most {} s", wait.as_secs())
        });
        text.push_str(&format!(
            "| {came} | {about} | {relay} | {map} | {} | {} | {} | {} | {wait} | {} |\n",
            kept(outcome),
            yes(follows.ends_good),
            yes(follows.next_site),
            yes(follows.stale),
            follows.alert.map_or("".to_owned(), |alert| format!("`{alert}`")),
        ));
    }
    text
}

/// An answer of the provider: status, challenge or other header, body.
type Sample = (&'static str, &'static [(&'static str, &'static str)], &'static [u8]);

const JSON: (&str, &str) = ("content-type", "application/json");

/// Answers with this outcome.
fn samples(outcome: CallOutcome, by: By) -> &'static [Sample] {
    match outcome {
        CallOutcome::NotVouched if by == By::Introspection => &[
            ("200", &[JSON], br#"{"active":false}"#),
            ("400", &[JSON], br#"{"error":"unsupported_token_type"}"#),
        ],
        CallOutcome::Accepted => &[("200", &[JSON], br#"{"sub":"a"}"#)],
        CallOutcome::NotVouched => &[("200", &[JSON], br#"{"sub":null}"#)],
        CallOutcome::Refused => &[
            ("401", &[], b""),
            ("400", &[JSON], br#"{"error":"invalid_token"}"#),
            ("403", &[("www-authenticate", "Bearer error=\"insufficient_scope\"")], b""),
        ],
        CallOutcome::Denied => &[("403", &[], b""), ("404", &[], b""), ("410", &[], b"")],
        CallOutcome::Rejected => &[("400", &[], b""), ("405", &[], b"")],
        CallOutcome::Misdirected => &[("408", &[], b""), ("421", &[], b""), ("425", &[], b"")],
        CallOutcome::Limited => &[("429", &[("retry-after", "7")], b"")],
        CallOutcome::Paused => &[("503", &[("retry-after", "7")], b"")],
        CallOutcome::Failed => &[("500", &[], b"")],
        CallOutcome::Down => &[("502", &[], b""), ("503", &[], b""), ("504", &[], b"")],
        CallOutcome::Unusable => {
            &[("200", &[JSON], b"[]"), ("200", &[("content-encoding", "gzip")], b"")]
        }
        CallOutcome::UnexpectedStatus => &[("302", &[], b""), ("204", &[], b"")],
        CallOutcome::ClientRefused => &[
            ("400", &[], b""),
            ("401", &[], b""),
            ("403", &[], b""),
            ("404", &[], b""),
            ("410", &[], b""),
        ],
        CallOutcome::NoAnswer
        | CallOutcome::NotSent
        | CallOutcome::Crowded
        | CallOutcome::BreakerOpen => &[],
    }
}

/// The client's reply.
fn client(outcome: CallOutcome, by: By, provider_errors: &str) -> String {
    let method = match by {
        By::Introspection => {
            r#""introspection_endpoint": {"defaultURI": "https://idp.example/introspect"},
               "introspection_client": {"client_id": "gateway", "auth_method": "none"}"#
        }
        By::UserInfo => r#""userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"}"#,
    };
    let config = format!(
        r#"{{{method},
            "require_subject": true, "userinfo_unavailable": {{"status": 503, "retry_after": "5s"}},
            "provider_errors": "{provider_errors}"}}"#
    );
    let Ok(loaded) = policy::read(config.as_bytes()) else {
        return String::new();
    };
    let policy = Rc::new(loaded.policy);
    let not_asked = match outcome {
        CallOutcome::NoAnswer => Some(NoAnswer::TimedOut),
        CallOutcome::NotSent => Some(NoAnswer::NotSent),
        CallOutcome::Crowded => Some(NoAnswer::Crowded),
        CallOutcome::BreakerOpen => Some(NoAnswer::BreakerOpen),
        CallOutcome::Accepted => return "the backend".to_owned(),
        CallOutcome::NotVouched
        | CallOutcome::Refused
        | CallOutcome::Denied
        | CallOutcome::Rejected
        | CallOutcome::Misdirected
        | CallOutcome::Limited
        | CallOutcome::Paused
        | CallOutcome::Failed
        | CallOutcome::Down
        | CallOutcome::Unusable
        | CallOutcome::UnexpectedStatus
        | CallOutcome::ClientRefused => None,
    };
    let replies: Vec<LocalReply> = match not_asked {
        Some(why) => {
            vec![reply::reply(&Refusal::Unavailable(why), &policy.replies, Dialect::Http)]
        }
        None => samples(outcome, by).iter().filter_map(|sample| replied(&policy, sample)).collect(),
    };
    let said = replies.iter().map(|reply| {
        let header = |wanted| reply.headers.iter().find(|(name, _)| *name == wanted);
        let error = header("www-authenticate").and_then(|(_, value)| {
            let (_, error) = value.split_once("error=\"")?;
            Some(format!(" `{}`", error.split('"').next()?))
        });
        let again = if header("retry-after").is_some() { ", `Retry-After`" } else { "" };
        format!("{}{}{again}", reply.status, error.unwrap_or_default())
    });
    let mut seen = BTreeSet::new();
    let said: Vec<String> = said.filter(|said| seen.insert(said.clone())).collect();
    said.join("; ")
}

/// The reply to a request after such an answer to its call.
fn replied(policy: &Rc<Policy>, (status, headers, body): &Sample) -> Option<LocalReply> {
    let mut gate = Gate::new(Seed::new(*b"one request only"));
    gate.configured(policy);
    // So late that nothing is repeated.
    let [asked, ended] = [0, 1_000_000_000]
        .map(|nanos| Now { moment: MonotonicTime::from_nanos(nanos), date: UnixTime(1) });
    let request = HeaderView::new(vec![(b"authorization", b"Bearer t")]);
    let event = Event::Request { stream: StreamId(1), policy, headers: &request };
    let Some(Effect::Call(call, _)) = gate.handle(event, asked).into_iter().next() else {
        return None;
    };
    let real = [(":status", *status), ("x-envoy-upstream-service-time", "1")];
    let pairs = real.iter().chain(*headers);
    let head =
        HeaderView::new(pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect());
    let answer = &Answer::Whole { head, body: Body::Read(body) };
    let effects = gate.handle(Event::CallEnded { call, answer }, ended);
    effects.into_iter().find_map(|effect| match effect {
        Effect::Release(Release {
            decision: Decision { action: Action::Reply(reply), .. },
            ..
        }) => Some(reply),
        Effect::Release(_)
        | Effect::Call(..)
        | Effect::ReadShared(_)
        | Effect::WriteShared(..)
        | Effect::Took(_) => None,
    })
}
