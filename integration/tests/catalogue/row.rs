//! One row of the catalogue as data: what is sent, what the provider does, and the expected result.
//!
//! The defaults are the ordinary case: a GET with one valid token, a provider that validates it, a
//! request that passes with exactly the provider's claims.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use integration::{Call, Headers, Reply, Response};
use serde_json::{Value, json};

use crate::stage::Stage;

/// Part of every good token: must appear nowhere but at the provider, and upstream only where
/// tokens are forwarded. In a row's values it is written `{t}`.
pub const CANARY_TOKEN: &str = "canary-token-7f3a91";
/// The claim value that must appear nowhere but upstream.
pub const CANARY_CLAIM: &str = "canary-claim-c20e5b";

/// A row. Built from [`row`] and refinements.
#[derive(Clone)]
pub struct Row {
    /// Its number in the catalogue, with a suffix where one number holds several inputs.
    pub number: String,
    /// What is unusual about it.
    pub what: String,
    /// The configuration it runs under, see `worlds.rs`.
    pub world: &'static str,
    /// What the client sends.
    pub sent: Sent,
    /// How the client goes about it.
    pub pace: Pace,
    /// Replaces the client altogether, for what is not one request.
    pub played: Option<Play>,
    /// The provider's answer.
    pub answers: Answers,
    /// Whether connections to the provider are refused.
    pub provider_down: bool,
    /// The upstream's answers, in order, before it echoes with 200 as usual.
    pub upstream_answers: Vec<(u16, Headers)>,
    /// The expected result.
    pub expected: Expected,
    /// The expected number of calls; by default it follows from the outcome.
    pub calls: Option<usize>,
    /// The token that the provider must have seen.
    pub token: Vec<u8>,
    /// The region that must have been called.
    pub region: &'static str,
    /// The identity headers that the upstream must have seen; those of the world unless said.
    pub identity: Option<Vec<(String, Vec<u8>)>>,
    /// How many requests must have come upstream, each as expected.
    pub arrivals: usize,
    /// The body that must have come upstream, where it is not the one sent.
    pub body_upstream: Option<Vec<u8>>,
    /// The bytes expected after the reply on the connection (after an upgrade).
    pub tail: Vec<u8>,
    /// Headers of the reply that must be so; `None` for absent.
    pub reply_headers: Vec<(&'static str, Option<String>)>,
    /// The body of the reply, where it is not the usual one.
    pub reply_body: Option<String>,
    /// How the filter counts it, unless it counts the outcome once.
    pub counted: Option<Vec<&'static str>>,
    /// Where it is not run, and why.
    pub left_out: Vec<(Skip, &'static str)>,
    /// The prefix of its path, for routes of their own.
    pub under: &'static str,
    /// The outcome in the access log, if it differs.
    pub logged: Option<&'static str>,
    /// Whether the path changes on the way upstream.
    pub elsewhere: bool,
    /// Whether it must not be over before the look-up timeout either.
    pub waits: bool,
    /// The longest time by Envoy's clock; by default less than two call timeouts: no request waits
    /// for a second one.
    pub within: Option<Duration>,
}

/// A client of its own: returns the reply to check.
pub type Play = fn(Stage) -> Pin<Box<dyn Future<Output = Result<Response, String>> + Send>>;

/// What a client sends.
#[derive(Clone)]
pub struct Sent {
    pub method: &'static str,
    pub query: &'static str,
    pub host: &'static str,
    /// In the order in which they are sent, with what must become of each.
    pub headers: Vec<Line>,
    pub body: Vec<u8>,
    pub chunked: bool,
    pub trailers: Vec<Line>,
    /// The bytes on an HTTP/1.1 connection; `{path}` is replaced by the row's own path.
    pub http1: Option<Vec<u8>>,
    /// The fields of the HTTP/2 HEADERS frame; `{path}` as above.
    pub http2: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    /// Whether the client ends its HTTP/2 stream; a tunnel stays open.
    pub http2_ends: bool,
}

/// A header or trailer line.
#[derive(Clone)]
pub struct Line {
    pub name: String,
    pub value: Vec<u8>,
    /// Whether it must arrive upstream as it is; else it must not arrive.
    pub arrives: bool,
}

/// How a client goes about sending.
#[derive(Clone, Copy, PartialEq)]
pub enum Pace {
    /// Everything at once.
    AtOnce,
    /// Everything at once, and the provider answers only when Envoy has read it (or as much as it
    /// may hold): nothing may have come upstream by then.
    Held,
    /// The body follows only after the call to the provider.
    BodyAfterCall,
    /// Only this many bytes of the body until the verdict shows: by the reply or by the first byte
    /// upstream.
    BodyWaits(usize),
    /// The client leaves during the call to the provider.
    Leaves,
}

/// What the provider does.
#[derive(Clone)]
pub enum Answers {
    Always(Reply),
    By(Arc<dyn Fn(&Call) -> Reply + Send + Sync>),
}

/// The expected result of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// It reaches the upstream, and the upstream's answer the client: with this status.
    Pass(u16),
    /// The filter refuses it: status, and `<outcome>:<reason>` of the response code details.
    Refused(u16, &'static str),
    /// Envoy refuses it: one of these statuses, or no response at all (0).
    Envoy(&'static [u16]),
    /// The client has left and gets nothing.
    Gone,
}

/// A kind of variant that a row is not run in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Skip {
    Http1,
    Http2,
    /// `allow_on_headers_stop_iteration` unset.
    FlagUnset,
    /// `allow_on_headers_stop_iteration: true`
    FlagTrue,
}

/// A row that passes, until it says otherwise.
pub fn row(number: impl ToString, what: impl ToString) -> Row {
    Row {
        number: number.to_string(),
        what: what.to_string(),
        world: "plain",
        sent: Sent {
            method: "GET",
            query: "",
            host: "gateway.example",
            headers: Vec::new(),
            body: Vec::new(),
            chunked: false,
            trailers: Vec::new(),
            http1: None,
            http2: None,
            http2_ends: true,
        },
        pace: Pace::AtOnce,
        played: None,
        answers: Answers::Always(good()),
        provider_down: false,
        upstream_answers: Vec::new(),
        expected: Expected::Pass(200),
        calls: None,
        token: CANARY_TOKEN.into(),
        region: "default",
        identity: None,
        arrivals: 1,
        body_upstream: None,
        tail: Vec::new(),
        reply_headers: Vec::new(),
        reply_body: None,
        counted: None,
        left_out: Vec::new(),
        under: "",
        logged: None,
        elsewhere: false,
        waits: false,
        within: None,
    }
    .authorization("Bearer {t}")
}

/// The claims of a good token in the catalogue.
pub fn claims() -> Value {
    json!({"sub": CANARY_CLAIM, "name": "Ada", "groups": ["a", "b"]})
}

/// The provider validates the token.
pub fn good() -> Reply {
    Reply::json(200, &claims())
}

/// The provider does not know the token.
pub fn expired() -> Reply {
    Reply::json(401, &json!({"error": "invalid_token", "sub": CANARY_CLAIM}))
}

/// The values that the harness derives.
impl Row {
    /// The number without its suffix.
    pub fn case(&self) -> u32 {
        let digits = self.number.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.number.len());
        self.number[..digits].parse().unwrap_or_else(|_| panic!("no number: {}", self.number))
    }

    pub fn is_grpc(&self) -> bool {
        self.sent.headers.iter().any(|l| l.value.starts_with(b"application/grpc"))
    }

    pub fn passes(&self) -> bool {
        matches!(self.expected, Expected::Pass(_))
    }

    /// The expected number of calls.
    pub fn calls_expected(&self) -> usize {
        self.calls.unwrap_or(match self.expected {
            Expected::Pass(_) | Expected::Gone => 1,
            Expected::Envoy(_) => 0,
            Expected::Refused(_, details) => {
                let asked = [
                    "invalid_token:",
                    "forbidden:",
                    "provider_error:",
                    "unavailable:",
                    "unusable:",
                    "claim_refused:",
                ];
                let asked = asked.iter().any(|outcome| details.starts_with(outcome));
                usize::from(asked && !self.provider_down && !details.ends_with(":not_sent"))
            }
        })
    }

    /// How the filter must have counted it.
    pub fn outcomes_expected(&self) -> Vec<&'static str> {
        self.counted.clone().unwrap_or_else(|| match self.expected {
            Expected::Pass(_) => vec!["pass"],
            Expected::Gone => vec!["client_gone"],
            Expected::Envoy(_) => vec![],
            Expected::Refused(_, details) => vec![details.split(':').next().unwrap_or_default()],
        })
    }
}

/// `bytes` with the token in its places.
pub fn with_token(bytes: &[u8]) -> Vec<u8> {
    replaced(bytes, b"{t}", CANARY_TOKEN.as_bytes())
}

/// `bytes` with every `what` replaced.
pub fn replaced(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(what.len()).position(|w| w == what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}
