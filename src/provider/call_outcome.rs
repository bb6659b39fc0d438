//! What the end of a call to a provider proves, and against whom it may be used: the only table of
//! it. Reply, cache, failover, outdated verdicts, circuit breaker, counters and alerts read it here,
//! and `docs/operations.md` shows it.
//!
//! Evidence that one caller can make is used against that caller alone. Callers get tokens for
//! nothing, junk strings among them, so many tokens prove no more than one does.

use std::time::Duration;

use crate::provider::challenge::ErrorCode;

/// How the question about a token ended, by what it is evidence of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// A 200 that vouches for the token.
    Accepted,
    /// A complete 200 with a JSON object that does not vouch: no subject where one is required, or an
    /// introspection response that says no.
    NotVouched,
    /// A 401; a 400 or 403 that names an error of RFC 6750 or RFC 9470 about the token.
    Refused,
    /// A 403 without such an error, 404, 410: unknown why, treated as a no.
    Denied,
    /// Another 4xx: about how the gateway asks.
    Rejected,
    /// A 408, 421 or 425: to be asked on another connection, or elsewhere.
    Misdirected,
    /// A 429.
    Limited,
    /// A 503 with `Retry-After`.
    Paused,
    /// A 500, or another 5xx than those below: often about this user's data.
    Failed,
    /// A 502, 503 or 504 of the provider itself.
    Down,
    /// No answer: the connection failed, or nothing came in time.
    NoAnswer,
    /// Envoy made no call: no such cluster, no healthy host, or its own limits on the cluster. Which
    /// of these it was cannot be told, and the last one may be a caller's doing.
    NotSent,
    /// A 200 that cannot be used: too large, encoded, no JSON object, a JWT.
    Unusable,
    /// A status that is neither 200 nor an error: a redirect, a 204.
    UnexpectedStatus,
    /// A 4xx of an introspection endpoint: about our client or set-up, or about an odd token that nobody
    /// can tell from that; never a verdict.
    ClientRefused,
    /// Nobody was asked: as many calls are under way, or as many requests wait, as may.
    Crowded,
    /// Nobody was asked: the circuit breaker is open.
    BreakerOpen,
}

/// What follows from a [`CallOutcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consequences {
    /// What the answer is kept as, where there is a cache.
    pub kept: Kept,
    /// Whether the token is no longer good by what was known before.
    pub ends_good: bool,
    /// Whether the next site is asked.
    pub next_site: bool,
    /// Whether an outdated verdict may serve, while the site answers nobody else.
    pub stale: bool,
    /// Whether it shows that the site serves: an answer below 500, a 429 aside.
    pub serving: bool,
    /// The longest that the token waits when the provider says `Retry-After`.
    pub longest_wait: Option<Duration>,
    /// Which alert of `deploy/prometheus/rules.yml` it counts towards.
    pub alert: Option<&'static str>,
}

/// What an answer is kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Not at all.
    No,
    /// As a good verdict, for `ttl`.
    AsGood,
    /// As a refusal, for `negative_ttl`.
    AsRefusal,
}

/// The longest that a token waits after a 429.
const LONGEST_LIMIT: Duration = Duration::from_secs(60);

/// The longest after a 503, which may be maintenance that ends early.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

const UNAVAILABLE: Option<&str> = Some("OidcProviderUnavailable");
const ERROR: Option<&str> = Some("OidcProviderError");
const UNUSABLE: Option<&str> = Some("OidcAnswerUnusable");
const CLIENT: Option<&str> = Some("OidcIntrospectionClientRefused");
const CROWDED: Option<&str> = Some("OidcCallsRefused");

impl CallOutcome {
    /// All of them, in the order of the table.
    pub const ALL: [CallOutcome; 17] = [
        CallOutcome::Accepted,
        CallOutcome::NotVouched,
        CallOutcome::Refused,
        CallOutcome::Denied,
        CallOutcome::Rejected,
        CallOutcome::Misdirected,
        CallOutcome::Limited,
        CallOutcome::Paused,
        CallOutcome::Failed,
        CallOutcome::Down,
        CallOutcome::NoAnswer,
        CallOutcome::NotSent,
        CallOutcome::Unusable,
        CallOutcome::UnexpectedStatus,
        CallOutcome::ClientRefused,
        CallOutcome::Crowded,
        CallOutcome::BreakerOpen,
    ];

    /// The outcome of an error status that the provider itself sent. `said` is the error code in its
    /// Bearer challenge or JSON body; `retry_after`, whether it said when to come again.
    pub(crate) fn of_error(status: u16, said: Option<ErrorCode>, retry_after: bool) -> CallOutcome {
        let about_the_token = match said {
            Some(
                ErrorCode::InvalidToken
                | ErrorCode::InsufficientScope
                | ErrorCode::InsufficientUserAuthentication,
            ) => true,
            Some(ErrorCode::InvalidRequest) | None => false,
        };
        match status {
            401 => CallOutcome::Refused,
            400 | 403 if about_the_token => CallOutcome::Refused,
            403 | 404 | 410 => CallOutcome::Denied,
            408 | 421 | 425 => CallOutcome::Misdirected,
            429 => CallOutcome::Limited,
            503 if retry_after => CallOutcome::Paused,
            502..=504 => CallOutcome::Down,
            400..=499 => CallOutcome::Rejected,
            _ => CallOutcome::Failed,
        }
    }

    /// Whether the provider answered, with any status.
    pub fn is_answer(self) -> bool {
        !matches!(
            self,
            CallOutcome::NoAnswer
                | CallOutcome::NotSent
                | CallOutcome::Crowded
                | CallOutcome::BreakerOpen
        )
    }

    /// What follows from it.
    pub fn consequences(self) -> Consequences {
        const NOTHING: Consequences = Consequences {
            kept: Kept::No,
            ends_good: false,
            next_site: false,
            stale: false,
            serving: false,
            longest_wait: None,
            alert: None,
        };
        const SERVING: Consequences = Consequences { serving: true, ..NOTHING };
        match self {
            CallOutcome::Accepted => Consequences { kept: Kept::AsGood, ..SERVING },
            CallOutcome::NotVouched | CallOutcome::Refused => {
                Consequences { kept: Kept::AsRefusal, ends_good: true, ..SERVING }
            }
            CallOutcome::Denied => Consequences { ends_good: true, alert: ERROR, ..SERVING },
            CallOutcome::Rejected => Consequences { alert: ERROR, ..SERVING },
            CallOutcome::Misdirected => Consequences { next_site: true, alert: ERROR, ..SERVING },
            CallOutcome::Limited => Consequences {
                next_site: true,
                longest_wait: Some(LONGEST_LIMIT),
                alert: ERROR,
                ..NOTHING
            },
            CallOutcome::Paused => Consequences {
                next_site: true,
                stale: true,
                longest_wait: Some(LONGEST_PAUSE),
                alert: ERROR,
                ..NOTHING
            },
            CallOutcome::Failed => Consequences { next_site: true, alert: ERROR, ..NOTHING },
            CallOutcome::Down => {
                Consequences { next_site: true, stale: true, alert: ERROR, ..NOTHING }
            }
            CallOutcome::NoAnswer => {
                Consequences { next_site: true, stale: true, alert: UNAVAILABLE, ..NOTHING }
            }
            CallOutcome::NotSent => Consequences { next_site: true, alert: UNAVAILABLE, ..NOTHING },
            CallOutcome::Unusable => Consequences { alert: UNUSABLE, ..SERVING },
            CallOutcome::UnexpectedStatus => Consequences { alert: UNAVAILABLE, ..SERVING },
            CallOutcome::ClientRefused => Consequences { alert: CLIENT, ..SERVING },
            CallOutcome::Crowded => Consequences { alert: CROWDED, ..NOTHING },
            CallOutcome::BreakerOpen => {
                Consequences { next_site: true, stale: true, alert: UNAVAILABLE, ..NOTHING }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_status_has_its_outcome() {
        use CallOutcome::*;
        let of = |status, said| CallOutcome::of_error(status, said, false);
        for status in 400..=599_u16 {
            let expected = match status {
                401 => Refused,
                403 | 404 | 410 => Denied,
                408 | 421 | 425 => Misdirected,
                429 => Limited,
                502..=504 => Down,
                400..=499 => Rejected,
                _ => Failed,
            };
            assert_eq!(of(status, None), expected, "{status}");
            assert_eq!(of(status, Some(ErrorCode::InvalidRequest)), expected, "{status}");
            let paused = if status == 503 { Paused } else { expected };
            assert_eq!(CallOutcome::of_error(status, None, true), paused, "{status}");
            for said in [
                ErrorCode::InvalidToken,
                ErrorCode::InsufficientScope,
                ErrorCode::InsufficientUserAuthentication,
            ] {
                let expected = if matches!(status, 400 | 403) { Refused } else { expected };
                assert_eq!(of(status, Some(said)), expected, "{status} {said:?}");
            }
        }
    }

    /// What one caller can make must not let anybody in, nor be kept against others.
    #[test]
    fn only_silence_and_its_like_let_an_outdated_verdict_serve() {
        for outcome in CallOutcome::ALL {
            let Consequences { kept, ends_good, stale, serving, next_site, .. } =
                outcome.consequences();
            assert!(!stale || (!serving && kept == Kept::No && !ends_good), "{outcome:?}");
            assert!(!(kept != Kept::No && next_site), "{outcome:?}");
            assert_eq!(kept == Kept::AsGood, outcome == CallOutcome::Accepted, "{outcome:?}");
        }
    }
}
