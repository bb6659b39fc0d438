//! The endings of calls in the model: what comes back.

use oidc_token_connector::provider::response::{Answer, Body};

use crate::message;

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// 200 with a JSON object.
    Good,
    /// The same, longer than some instances read.
    Long,
    /// 200 with a JSON object that has no `sub`.
    NoSubject,
    /// 200 that says it ends in two seconds.
    EndsSoon,
    /// 200 that says it ended a second ago.
    Ended,
    /// 200 that may be kept for a second.
    MaxAge,
    /// 200 that must not be kept.
    NoStore,
    /// The provider's 401.
    Refused,
    /// A 401 that must not be kept.
    RefusedNoStore,
    /// A 401 that may be kept for a second.
    RefusedMaxAge,
    /// A 401 with a body too large to read.
    RefusedTooLarge,
    /// A 400 that says `invalid_token`.
    BadToken,
    /// A 403 that says `insufficient_scope`.
    NoScope,
    /// A 403 whose challenge has `insufficient_user_authentication`.
    StepUp,
    /// A 403 that says nothing.
    Forbidden,
    /// A 404.
    NotFound,
    /// A 410.
    Removed,
    /// A 400 that says `invalid_request`.
    BadRequest,
    /// A 405.
    NotAllowed,
    /// The provider's 408.
    GaveUp,
    /// A 421.
    Misdirected,
    /// A 425.
    TooEarly,
    /// A 429 that does not say for how long.
    TooMany,
    /// A 429 for two seconds.
    TooManyFor2,
    /// A 429 for a hundred.
    TooManyFor100,
    /// The provider's 503 for three seconds.
    BackIn3,
    /// The same for thirty.
    BackIn30,
    /// The same for none.
    BackIn0,
    /// The provider's 503 that does not say for how long.
    Down,
    /// The provider's 502.
    BadGateway,
    /// The provider's 504.
    GatewayTimeout,
    /// The provider's 500.
    Broken,
    /// A 501.
    NotBuilt,
    /// 200 with a web page.
    WebPage,
    /// 200, too large to read.
    TooLarge,
    /// 200 in another coding.
    Encoded,
    /// 200 with a JWT.
    Jwt,
    /// 204.
    NoContent,
    /// 302.
    Redirect,
    /// A 503 that Envoy made.
    Unreachable,
    /// A 502 that Envoy made.
    Garbage,
    /// A 504 that Envoy made.
    Silent,
    /// Never sent.
    NotSent,
    /// Broken off.
    CutOff,
}

/// Every ending: those that validate, those that refuse, and the others.
pub const ENDINGS: [Ending; 44] = {
    use Ending::*;
    [
        Good,
        Long,
        EndsSoon,
        Ended,
        MaxAge,
        NoStore,
        NoSubject,
        Refused,
        RefusedNoStore,
        RefusedMaxAge,
        RefusedTooLarge,
        BadToken,
        NoScope,
        StepUp,
        Forbidden,
        NotFound,
        Removed,
        BadRequest,
        NotAllowed,
        GaveUp,
        Misdirected,
        TooEarly,
        TooMany,
        TooManyFor2,
        TooManyFor100,
        BackIn3,
        BackIn30,
        BackIn0,
        Down,
        BadGateway,
        GatewayTimeout,
        Broken,
        NotBuilt,
        WebPage,
        TooLarge,
        Encoded,
        Jwt,
        NoContent,
        Redirect,
        Unreachable,
        Garbage,
        Silent,
        NotSent,
        CutOff,
    ]
};

/// The endings after which another call may know more.
pub(super) const OUTAGES: [Ending; 12] = {
    use Ending::*;
    [
        Unreachable,
        CutOff,
        Unreachable,
        CutOff,
        Silent,
        NotSent,
        GaveUp,
        TooManyFor2,
        BackIn3,
        Down,
        Broken,
        Garbage,
    ]
};

const STEP_UP: &[u8] = br#"Bearer realm="idp", error="insufficient_user_authentication""#;

impl Ending {
    /// Whether all of it is there to be kept.
    pub(super) fn is_whole(self) -> bool {
        self != Ending::RefusedTooLarge
    }

    /// Whether the provider does not want it kept.
    pub(super) fn is_no_store(self) -> bool {
        matches!(self, Ending::NoStore | Ending::RefusedNoStore)
    }

    /// How long the provider wants it kept at most, in milliseconds.
    pub(super) fn max_age(self) -> u64 {
        if matches!(self, Ending::MaxAge | Ending::RefusedMaxAge) { 1_000 } else { u64::MAX }
    }

    /// The `exp` in an answer on this date.
    pub(super) fn exp(self, date: u64) -> Option<u64> {
        match self {
            Ending::EndsSoon => Some(date + 2),
            Ending::Ended => Some(date - 1),
            _ => None,
        }
    }

    /// The number of seconds in `Retry-After`.
    pub(super) fn retry_after(self) -> Option<u64> {
        match self {
            Ending::TooManyFor2 => Some(2),
            Ending::TooManyFor100 => Some(100),
            Ending::BackIn3 => Some(3),
            Ending::BackIn30 => Some(30),
            Ending::BackIn0 => Some(0),
            _ => None,
        }
    }

    /// The status; `None` where none came.
    pub(super) fn status(self) -> Option<u16> {
        Some(match self {
            Ending::Good
            | Ending::Long
            | Ending::NoSubject
            | Ending::EndsSoon
            | Ending::Ended
            | Ending::MaxAge
            | Ending::NoStore
            | Ending::WebPage
            | Ending::TooLarge
            | Ending::Encoded
            | Ending::Jwt => 200,
            Ending::NoContent => 204,
            Ending::Redirect => 302,
            Ending::BadToken | Ending::BadRequest => 400,
            Ending::Refused
            | Ending::RefusedNoStore
            | Ending::RefusedMaxAge
            | Ending::RefusedTooLarge => 401,
            Ending::NoScope | Ending::StepUp | Ending::Forbidden => 403,
            Ending::NotFound => 404,
            Ending::NotAllowed => 405,
            Ending::GaveUp => 408,
            Ending::Removed => 410,
            Ending::Misdirected => 421,
            Ending::TooEarly => 425,
            Ending::TooMany | Ending::TooManyFor2 | Ending::TooManyFor100 => 429,
            Ending::Broken => 500,
            Ending::NotBuilt => 501,
            Ending::BadGateway | Ending::Garbage => 502,
            Ending::BackIn3
            | Ending::BackIn30
            | Ending::BackIn0
            | Ending::Down
            | Ending::Unreachable => 503,
            Ending::GatewayTimeout | Ending::Silent => 504,
            Ending::NotSent | Ending::CutOff => return None,
        })
    }

    /// Whether Envoy made it, because nothing came.
    pub(super) fn is_envoys(self) -> bool {
        matches!(self, Ending::Unreachable | Ending::Garbage | Ending::Silent)
    }

    /// Whether its time is the provider's: refused at once, and broken off, it says nothing of it.
    pub(super) fn tells_time(self) -> bool {
        !matches!(self, Ending::Unreachable | Ending::Garbage | Ending::NotSent | Ending::CutOff)
    }

    /// Lets `with` see the answer. It carries the call's number wherever it can: what a request
    /// gets tells which answer decided it.
    pub(super) fn answer<T>(
        self,
        number: u64,
        exp: Option<u64>,
        with: impl FnOnce(&Answer<'_>) -> T,
    ) -> T {
        let status = match (self, self.status()) {
            (Ending::NotSent, _) => return with(&Answer::NotSent),
            (_, None) => return with(&Answer::CutOff),
            (_, Some(status)) => status.to_string(),
        };
        let document = self.document(number, exp);
        let body = match self {
            Ending::TooLarge | Ending::RefusedTooLarge => Body::TooLarge,
            _ => Body::Read(document.as_bytes()),
        };
        let number = number.to_string();
        let wait = self.retry_after().map(|seconds| seconds.to_string());
        let mut pairs = vec![(":status", status.as_bytes()), ("x-why", number.as_bytes())];
        pairs.push(match self {
            Ending::WebPage => ("content-type", b"text/html"),
            Ending::Jwt => ("content-type", b"application/jwt"),
            _ => ("content-type", b"application/json"),
        });
        if !self.is_envoys() {
            pairs.push(("x-envoy-upstream-service-time", b"1"));
        }
        match self {
            Ending::MaxAge | Ending::RefusedMaxAge => {
                pairs.push(("cache-control", b"private, max-age=1"));
            }
            Ending::NoStore | Ending::RefusedNoStore => pairs.push(("cache-control", b"no-store")),
            Ending::StepUp => pairs.push(("www-authenticate", STEP_UP)),
            Ending::Encoded => pairs.push(("content-encoding", b"gzip")),
            _ => {}
        }
        pairs.extend(wait.as_ref().map(|wait| ("retry-after", wait.as_bytes())));
        with(&Answer::Whole { head: message::head(&pairs), body })
    }

    fn document(self, number: u64, exp: Option<u64>) -> String {
        let mut body = format!(r#"{{"call":{number},"email":"mail{number}""#);
        match self {
            Ending::BadToken => body.push_str(r#","error":"invalid_token""#),
            Ending::NoScope => body.push_str(r#","error":"insufficient_scope""#),
            Ending::BadRequest => body.push_str(r#","error":"invalid_request""#),
            Ending::Long => body.push_str(&format!(r#","padding":"{}""#, "-".repeat(200))),
            _ => {}
        }
        if self != Ending::NoSubject {
            body.push_str(&format!(r#","sub":"user{number}""#));
        }
        if let Some(exp) = exp {
            body.push_str(&format!(r#","exp":{exp}"#));
        }
        body.push('}');
        body
    }
}
