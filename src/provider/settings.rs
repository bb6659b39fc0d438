//! How the provider is called, and how large its response may be. All values are valid.

use std::fmt;
use std::time::Duration;

use crate::config::duration::Range;
use crate::config::file::Fields;
use crate::config::key::{Integer, Key, OptionalTime, Own, Time};
use crate::config::location::Report;
use crate::config::names;
use crate::config::shape::{Keys, Object, text};
use crate::config::tree::Tree;

/// The keys of this room.
pub(crate) const KEYS: Keys =
    &[&TIMEOUT, &DEADLINE, &BREAKER, &MAX_IN_FLIGHT, &USERINFO_HEADERS, &MAX_USERINFO_BYTES];

static TIMEOUT: Key<Time> = Key::new(
    "timeout",
    Time { range: &UP_TO_30_S, default: Duration::from_secs(5) },
    text("for one call; keep it well under Envoy's drain time"),
);

static DEADLINE: Key<OptionalTime> = Key::new(
    "deadline",
    OptionalTime(&UP_TO_60_S),
    text(
        "for all calls for one request, where an endpoint has several sites; not below `timeout`, and \
         2 × `timeout` where it is absent",
    ),
);

static BREAKER: Key<&Object> = Key::new(
    "breaker",
    &Object { title: "Breaker", keys: &[&FAILURES, &OPEN_FOR], more: text("") },
    text("when the filter stops sending requests to a site that does not respond"),
);

static FAILURES: Key<Integer> = Key::new(
    "failures",
    Integer { min: 0, max: 1000, default: 5 },
    text(
        "calls in a row without a response, after which the filter itself calls the site without a \
         token. If there is no response to that either, the site gets no requests until it responds to \
         such a call. 0 is off",
    ),
);

static OPEN_FOR: Key<Time> = Key::new(
    "open_for",
    Time { range: &UP_TO_5_MIN, default: Duration::from_secs(5) },
    text("the longest pause between the filter's own calls to such a site"),
);

static MAX_IN_FLIGHT: Key<Integer> = Key::new(
    "max_in_flight",
    Integer { min: 1, max: 65_536, default: 1024 },
    text("calls to one site at a time, per worker"),
);

static USERINFO_HEADERS: Key<Own> = Key::new(
    "userinfo_headers",
    Own {
        schema: text(
            r##"{"type": "object", "maxProperties": 64, "propertyNames": {"$ref": "#/$defs/HeaderName"},
                "additionalProperties": {"$ref": "#/$defs/HeaderText", "maxLength": 4096}}"##,
        ),
        told: text("object name → text"),
    },
    text(
        "fixed headers of the call, to every region and issuer alike: no key of one provider where there are \
         several. Not `accept-encoding`, which is always `identity`; default \
         `User-Agent: oidc-token-connector/<version>`. An `Accept` here replaces `application/json`",
    ),
);

static MAX_USERINFO_BYTES: Key<Integer> = Key::new(
    "max_userinfo_bytes",
    Integer { min: 1, max: 1_048_576, default: 65_536 },
    text("larger responses are not read"),
);

/// Envoy takes a timeout below one millisecond as none, and a call has to end before a drain.
const UP_TO_30_S: Range = Range {
    min: Duration::from_millis(1),
    max: Duration::from_secs(30),
    said: "1ms to 30s",
    whole_seconds: false,
};

/// For all calls about one request.
const UP_TO_60_S: Range = Range {
    min: Duration::from_millis(1),
    max: Duration::from_secs(60),
    said: "1ms to 60s",
    whole_seconds: false,
};

/// The longest pause between the filter's own questions to a site whose breaker is open.
const UP_TO_5_MIN: Range = Range {
    min: Duration::from_millis(100),
    max: Duration::from_secs(300),
    said: "100ms to 5m",
    whole_seconds: false,
};

/// Longest value of a fixed header, in bytes.
const LONGEST_VALUE: usize = 4096;

/// Most fixed headers: the host takes no more than 1024 for one call.
const MOST_HEADERS: usize = 64;

/// One place at which an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// Envoy cluster that carries the call.
    pub cluster: String,
    /// `:authority` of the call, as written in the URI.
    pub authority: String,
    /// Path and query of the call.
    pub path: String,
    /// `:scheme` of the call, `http` or `https`.
    pub scheme: &'static str,
}

/// For the log: several sites may have one cluster. Without the query, which may have anything in it.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Site { cluster, authority, path, scheme } = self;
        let path = path.split('?').next().unwrap_or_default();
        write!(f, "{cluster} ({scheme}://{authority}{path})")
    }
}

/// How the provider is asked.
pub struct CallPolicy {
    /// For one call; 1 ms to 30 s.
    pub timeout: Duration,
    /// For all calls about one request, where an endpoint has several sites; not below `timeout`.
    pub deadline: Duration,
    /// When requests are no longer sent to a site that does not answer.
    pub breaker: Breaker,
    /// Most calls to one site at a time.
    pub max_in_flight: usize,
    /// Largest response that is read, in bytes.
    pub max_bytes: usize,
    /// Fixed request headers, names lower-cased; `user-agent` always among them.
    pub headers: Vec<(String, String)>,
}

/// `breaker`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// A site is always called.
    Off,
    /// After so many calls that took time without a response, and a probe of the filter
    /// without one, a site gets no calls about tokens until it responds to a probe.
    After {
        /// Calls in a row that took time and got no response.
        failures: u32,
        /// The longest pause between probes while the breaker is open.
        open_for: Duration,
    },
}

/// Shows the names of the fixed headers alone: a value may be a key to the provider.
impl fmt::Debug for CallPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("CallPolicy")
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .field("breaker", &self.breaker)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_bytes", &self.max_bytes)
            .field("headers", &names)
            .finish()
    }
}

/// Reads how the provider is called.
pub(crate) fn call(top: &Fields<'_>, report: &mut Report) -> CallPolicy {
    let timeout = TIMEOUT.read(top, report);
    CallPolicy {
        timeout,
        deadline: deadline(top, timeout, report),
        breaker: breaker(top, report),
        max_in_flight: MAX_IN_FLIGHT.read_size(top, report),
        max_bytes: MAX_USERINFO_BYTES.read_size(top, report),
        headers: headers(top, report),
    }
}

/// Reports a fixed `content-type` where tokens are introspected: the call has a form for a body.
pub(crate) fn refuse_content_type(top: &Fields<'_>, report: &mut Report) {
    let map = USERINFO_HEADERS.node(top).filter(|node| matches!(node.value, Tree::Object(_)));
    for (name, node) in
        map.and_then(|node| Fields::open_map(node, report)).iter().flat_map(Fields::iter)
    {
        if names::same(name, "content-type") {
            report.problem(
                &node.place,
                "got a reserved header name with introspection_endpoint, expected another one: the call has \
                 a form for a body",
            );
        }
    }
}

fn deadline(top: &Fields<'_>, timeout: Duration, report: &mut Report) -> Duration {
    let deadline = DEADLINE.read(top, report);
    if let (Some(node), Some(deadline)) = (DEADLINE.node(top), deadline)
        && deadline < timeout
    {
        report.problem(
            &node.place,
            "got less than timeout, expected at least timeout: the deadline covers all calls for \
             one request",
        );
    }
    deadline.unwrap_or(timeout.saturating_mul(2))
}

fn breaker(top: &Fields<'_>, report: &mut Report) -> Breaker {
    let Some(fields) = BREAKER.open(top, report) else {
        return Breaker::After {
            failures: FAILURES.form().default,
            open_for: OPEN_FOR.form().default,
        };
    };
    match (FAILURES.read(&fields, report), OPEN_FOR.read(&fields, report)) {
        (0, _) => Breaker::Off,
        (failures, open_for) => Breaker::After { failures, open_for },
    }
}

/// The fixed headers. Their values may be secrets: what is wrong with one never shows it.
fn headers(top: &Fields<'_>, report: &mut Report) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (written, node) in top.map(USERINFO_HEADERS.name(), report).iter().flat_map(Fields::iter) {
        let name = names::writable(written).and_then(|name| {
            if names::same(&name, "accept-encoding") {
                let always = "got a reserved header name, expected another one: the filter always sends \
                              identity, it cannot read an encoded response";
                return Err(always.to_owned());
            }
            Ok(name)
        });
        let name = name.map_err(|wrong| report.problem(&node.place, wrong));
        let value = node.header_text(LONGEST_VALUE, report);
        let Ok(name) = name else {
            continue;
        };
        if let Some((twin, _)) = headers.iter().find(|(other, _)| names::same(other, &name)) {
            report.problem(&node.place, names::repeats(twin));
        }
        headers.push((name, value.unwrap_or_default().to_owned()));
    }
    if let (true, Some(node)) = (headers.len() > MOST_HEADERS, USERINFO_HEADERS.node(top)) {
        let found = headers.len();
        report
            .problem(&node.place, format!("got {found} headers, expected at most {MOST_HEADERS}"));
    }
    if !headers.iter().any(|(name, _)| name == "user-agent") {
        let version = env!("CARGO_PKG_VERSION");
        headers.push(("user-agent".to_owned(), format!("oidc-token-connector/{version}")));
    }
    headers
}
