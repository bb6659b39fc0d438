//! A call to a provider, as plain data for the shell to send.

use std::time::Duration;

use crate::provider::settings::{CallPolicy, Site};
use crate::request::correlation::Correlation;

/// The host counts in milliseconds and takes 0 for "never".
pub(crate) const LEAST: Duration = Duration::from_millis(1);

/// One HTTP call for the host to make. It has no `Debug`: it carries the token, and perhaps a secret.
pub struct Call {
    /// The Envoy cluster that carries it.
    pub cluster: String,
    /// Request headers, pseudo-headers first.
    pub headers: HeaderList,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// When the host gives up, at least 1 ms: the host takes 0 for "never".
    pub timeout: Duration,
}

/// Headers to send, in one piece of memory: a call has eleven, and every request that asks makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderList {
    text: String,
    /// Where each name and each value ends.
    ends: Vec<(usize, usize)>,
}

impl Default for HeaderList {
    /// An empty list with room for a usual call.
    fn default() -> HeaderList {
        HeaderList { text: String::with_capacity(512), ends: Vec::with_capacity(11) }
    }
}

impl HeaderList {
    /// Adds a header whose value consists of these parts.
    pub(crate) fn push(&mut self, name: &str, value: &[&str]) {
        self.text.push_str(name);
        let name_end = self.text.len();
        value.iter().for_each(|part| self.text.push_str(part));
        self.ends.push((name_end, self.text.len()));
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let (mut rest, mut begin) = (self.text.as_str(), 0);
        // The next part of the text, which ends there.
        let mut part = move |end: usize| {
            let (part, after) = rest.split_at_checked(end.saturating_sub(begin))?;
            (rest, begin) = (after, end);
            Some(part)
        };
        self.ends.iter().map(move |(name, value)| {
            (part(*name).unwrap_or_default(), part(*value).unwrap_or_default())
        })
    }
}

/// The pseudo-headers of a call to this site.
pub(crate) fn begin(method: &str, site: &Site) -> HeaderList {
    let mut headers = HeaderList::default();
    headers.push(":method", &[method]);
    headers.push(":scheme", &[site.scheme]);
    headers.push(":authority", &[&site.authority]);
    headers.push(":path", &[&site.path]);
    headers
}

/// What every call says of the response that it wants, and the operator's fixed headers.
pub(crate) fn accept(headers: &mut HeaderList, policy: &CallPolicy) {
    if !is_fixed(policy, "accept") {
        headers.push("accept", &["application/json"]);
    }
    // Without it any coding is allowed (RFC 9110 §12.5.3), and an encoded response is of no use.
    headers.push("accept-encoding", &["identity"]);
    for (name, value) in &policy.headers {
        headers.push(name, &[value]);
    }
}

/// The identifiers by which the provider's log can be joined; what the operator has fixed stays so.
pub(crate) fn correlated(headers: &mut HeaderList, policy: &CallPolicy, correlation: &Correlation) {
    for (name, value) in correlation.headers() {
        if !is_fixed(policy, name) {
            headers.push(name, &[value]);
        }
    }
}

fn is_fixed(policy: &CallPolicy, name: &str) -> bool {
    policy.headers.iter().any(|(fixed, _)| fixed == name)
}
