//! The settings of calls, and which answers validate a token. All values are valid.

use std::fmt;
use std::time::Duration;

use crate::claims::jsonpath::JsonPath;

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

/// How the provider is asked.
pub struct CallPolicy {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// For one call; 1 ms to 30 s.
    pub timeout: Duration,
    /// For all calls about one request, where an endpoint has several sites; not below `timeout`.
    pub deadline: Duration,
    /// When requests are no longer sent to a site that does not answer.
    pub breaker: Breaker,
    /// Most calls to one site at a time.
    pub max_in_flight: usize,
    /// Fixed request headers, names lower-cased; `user-agent` always among them.
    pub headers: Vec<(String, String)>,
}

/// `breaker`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// A site is always asked.
    Off,
    /// After so many calls that were waited for in vain, and a question of the filter's own that was
    /// too, a site is not asked about tokens until it answers the filter again.
    After {
        /// Calls that were waited for and got no answer, in a row.
        failures: u32,
        /// The longest pause between the filter's own questions while the site is not asked.
        open_for: Duration,
    },
}

/// Shows the names of the fixed headers alone: a value may be a key to the provider.
impl fmt::Debug for CallPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("CallPolicy")
            .field("method", &self.method)
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .field("breaker", &self.breaker)
            .field("max_in_flight", &self.max_in_flight)
            .field("headers", &names)
            .finish()
    }
}

/// What counts as a usable answer.
#[derive(Debug)]
pub struct AnswerPolicy {
    /// Largest answer that is read, in bytes.
    pub max_bytes: usize,
    /// Which 200 is a success.
    pub success: Success,
}

/// Which answers with status 200 are successful validations. It is part of the token's key
/// (`provider/key.rs`): a success by one rule is not a success by another.
#[derive(Debug)]
pub enum Success {
    /// A JSON object.
    Object,
    /// A JSON object with a string `sub` (OpenID Connect Core §5.3.2) that a header can carry.
    ObjectWithSubject,
    /// A JSON object with a subject elsewhere: text that a header can carry, or an integer.
    ObjectWithSubjectAt(SubjectPath),
    /// Any complete, unencoded answer within the size, as in the source system.
    Any,
}

/// Where the subject is. The path is singular: of several nodes nobody could say which is meant.
#[derive(Debug)]
pub struct SubjectPath {
    /// As written.
    pub text: Box<str>,
    /// The path itself.
    pub path: JsonPath,
}
