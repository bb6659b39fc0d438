//! The evidence of each ending, written independently: the core's own table must not be used.

use oidc_token_connector::outcome::Outcome;

use super::Key;
use super::ending::Ending;
use super::setup::Setup;

/// The evidence of an ending, and what an instance does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) of_the_token: OfTheToken,
    /// The end of a request with this ending: outcome, status and reason.
    pub(super) told: (Outcome, u16, &'static str),
    /// Another call may know more: at this site again, or at the next one.
    pub(super) is_open: bool,
    /// An outdated verdict may serve beside it.
    pub(super) allows_stale: bool,
    /// The provider has answered, whatever the answer.
    pub(super) is_answer: bool,
    /// It shows that the site serves: an answer below 500, a 429 aside.
    pub(super) serves: bool,
    /// For how long the token waits by it, and for how long the provider wants that, in
    /// milliseconds.
    pub(super) wait: Option<(u64, u64)>,
}

/// Its evidence about the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfTheToken {
    /// It is good.
    Good,
    /// It is refused, which may be kept.
    Refused,
    /// Treated as a no, which ends what was good and is not kept.
    Denied,
    /// Nothing.
    Nothing,
}

impl Ending {
    /// Its meaning for this instance.
    pub(super) fn means(self, setup: &Setup) -> Meaning {
        let ends = |of_the_token, told| Meaning {
            of_the_token,
            told,
            is_open: false,
            allows_stale: false,
            is_answer: true,
            serves: true,
            wait: None,
        };
        let unusable = |why| ends(OfTheToken::Nothing, (Outcome::Unusable, 401, why));
        let unexpected = |why| ends(OfTheToken::Nothing, (Outcome::Unavailable, 401, why));
        let silence = |why| Meaning {
            is_open: true,
            allows_stale: true,
            is_answer: false,
            serves: false,
            ..ends(OfTheToken::Nothing, (Outcome::Unavailable, 401, why))
        };
        let status = self.status().unwrap_or(0);
        let (client, server) = ("provider_4xx", "provider_5xx");
        let declines = |why| ends(OfTheToken::Nothing, (Outcome::ProviderError, status, why));
        let goes_on = |why| Meaning { is_open: true, serves: status < 500, ..declines(why) };
        let longest = if status == 429 { 60_000 } else { 10_000 };
        let wait = self.retry_after().map(|seconds| seconds * 1_000).filter(|said| *said > 0);
        let wait = wait.map(|said| (said.min(longest), said));
        match self {
            Ending::Long if setup.limit < 200 => unusable("too_large"),
            Ending::NoSubject if setup.needs_subject => {
                ends(OfTheToken::Refused, (Outcome::InvalidToken, 401, "no_subject"))
            }
            Ending::NoSubject if setup.requires_header => {
                ends(OfTheToken::Good, (Outcome::ClaimRefused, 403, "header_missing"))
            }
            Ending::Good
            | Ending::Long
            | Ending::NoSubject
            | Ending::EndsSoon
            | Ending::Ended
            | Ending::MaxAge
            | Ending::NoStore => ends(OfTheToken::Good, (Outcome::Pass, 200, "")),
            Ending::Refused
            | Ending::RefusedNoStore
            | Ending::RefusedMaxAge
            | Ending::RefusedTooLarge
            | Ending::BadToken
            | Ending::StepUp => ends(OfTheToken::Refused, (Outcome::InvalidToken, status, client)),
            Ending::NoScope => ends(OfTheToken::Refused, (Outcome::Forbidden, status, client)),
            Ending::Forbidden => ends(OfTheToken::Denied, (Outcome::Forbidden, status, client)),
            Ending::NotFound | Ending::Removed => {
                ends(OfTheToken::Denied, (Outcome::ProviderError, status, client))
            }
            Ending::BadRequest | Ending::NotAllowed => declines(client),
            Ending::GaveUp | Ending::Misdirected | Ending::TooEarly => goes_on(client),
            Ending::TooMany | Ending::TooManyFor2 | Ending::TooManyFor100 => {
                Meaning { serves: false, wait, ..goes_on(client) }
            }
            Ending::BackIn3 | Ending::BackIn30 | Ending::BackIn0 => {
                Meaning { allows_stale: true, wait, ..goes_on(server) }
            }
            Ending::Down | Ending::BadGateway | Ending::GatewayTimeout => {
                Meaning { allows_stale: true, ..goes_on(server) }
            }
            Ending::Broken | Ending::NotBuilt => goes_on(server),
            Ending::WebPage => unusable("not_a_json_object"),
            Ending::TooLarge => unusable("too_large"),
            Ending::Encoded => unusable("encoded"),
            Ending::Jwt => unusable("jwt"),
            Ending::NoContent => unexpected("unexpected_status"),
            Ending::Redirect => unexpected("redirect"),
            Ending::Unreachable | Ending::Garbage => silence("unreachable"),
            Ending::Silent => silence("timed_out"),
            // Envoy's own limits, which a caller can fill.
            Ending::NotSent => Meaning { allows_stale: false, ..silence("not_sent") },
            Ending::CutOff => silence("cut_off"),
        }
    }

    /// Whether it ends what was good of a token, to whomever.
    pub(super) fn ends_good(self, key: Key) -> bool {
        matches!(
            self,
            Ending::Refused
                | Ending::RefusedNoStore
                | Ending::RefusedMaxAge
                | Ending::RefusedTooLarge
                | Ending::BadToken
                | Ending::NoScope
                | Ending::StepUp
                | Ending::Forbidden
                | Ending::NotFound
                | Ending::Removed
        ) || (self == Ending::NoSubject && key.needs_subject)
    }

    /// Whether the call may be made once more at the same site, were it not for what came of it
    /// before: it ended at once, and can have been the connection's fault alone.
    pub(super) fn may_be_a_dead_connection(self, is_repeat: bool) -> bool {
        match self {
            Ending::Unreachable | Ending::CutOff | Ending::GaveUp => true,
            // The cluster may be on its way.
            Ending::NotSent => is_repeat,
            _ => false,
        }
    }
}
