//! The call to a UserInfo endpoint, and what comes back, as plain data.
//!
//! Nothing of the client's request goes into a call but its bearer token and the identifiers by
//! which the provider's log can be joined, where these are well-formed.

use std::time::Duration;

use crate::config::{CallPolicy, Site};
use crate::request::bearer::BearerToken;
use crate::request::correlation::Correlation;
use crate::request::headers::{Field, HeaderView, says_json};

/// The host counts in milliseconds and takes 0 for "never".
pub(crate) const LEAST: Duration = Duration::from_millis(1);

/// One HTTP call for the host to make. It has no `Debug`: it carries the token.
pub struct Call {
    /// The Envoy cluster that carries it.
    pub cluster: String,
    /// Request headers, pseudo-headers first.
    pub headers: HeaderList,
    /// When the host gives up, at least 1 ms: the host takes 0 for "never".
    pub timeout: Duration,
}

/// The call that asks this site about this token and gives up after `timeout`.
pub fn call(
    policy: &CallPolicy,
    site: &Site,
    token: &BearerToken<'_>,
    correlation: &Correlation,
    timeout: Duration,
) -> Call {
    let mut headers = begin(policy, site);
    headers.push("authorization", &["Bearer ", token.expose()]);
    fixed(&mut headers, policy);
    for (name, value) in correlation.headers() {
        // What the operator has fixed stays so.
        if !is_fixed(policy, name) {
            headers.push(name, &[value]);
        }
    }
    Call { cluster: site.cluster.clone(), headers, timeout: timeout.max(LEAST) }
}

/// The call that asks whether this site answers at all: about no token.
pub fn probe(policy: &CallPolicy, site: &Site, timeout: Duration) -> Call {
    let mut headers = begin(policy, site);
    fixed(&mut headers, policy);
    Call { cluster: site.cluster.clone(), headers, timeout: timeout.max(LEAST) }
}

fn begin(policy: &CallPolicy, site: &Site) -> HeaderList {
    let mut headers = HeaderList::default();
    headers.push(":method", &[policy.method]);
    headers.push(":scheme", &[site.scheme]);
    headers.push(":authority", &[&site.authority]);
    headers.push(":path", &[&site.path]);
    headers
}

fn fixed(headers: &mut HeaderList, policy: &CallPolicy) {
    if !is_fixed(policy, "accept") {
        headers.push("accept", &["application/json"]);
    }
    // Without it any coding is allowed (RFC 9110 §12.5.3), and an encoded answer is of no use.
    headers.push("accept-encoding", &["identity"]);
    for (name, value) in &policy.headers {
        headers.push(name, &[value]);
    }
}

fn is_fixed(policy: &CallPolicy, name: &str) -> bool {
    policy.headers.iter().any(|(fixed, _)| fixed == name)
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
    fn push(&mut self, name: &str, value: &[&str]) {
        self.text.push_str(name);
        let name_end = self.text.len();
        value.iter().for_each(|part| self.text.push_str(part));
        self.ends.push((name_end, self.text.len()));
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let mut begin = 0;
        self.ends.iter().map(move |(name_end, end)| {
            let name = self.text.get(begin..*name_end).unwrap_or_default();
            let value = self.text.get(*name_end..*end).unwrap_or_default();
            begin = *end;
            (name, value)
        })
    }
}

/// What became of a call, as the host tells it.
#[derive(Debug)]
pub enum Answer<'b> {
    /// The host did not make the call: no such cluster, no healthy host, circuit breaker open.
    NotSent,
    /// The call ended without a whole answer: reset, timeout or over the host's limit after the
    /// headers had come.
    CutOff,
    /// A whole answer. It may be one that Envoy made itself because none came.
    Whole {
        /// Its headers, `:status` among them.
        head: HeaderView<'b>,
        /// Its body.
        body: Body<'b>,
    },
}

/// The body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'b> {
    /// Within `max_userinfo_bytes`.
    Read(&'b [u8]),
    /// Larger, and therefore not read.
    TooLarge,
}

impl<'b> Body<'b> {
    /// The bytes, where they were read and the answer's `content-encoding` leaves them as they are.
    pub(crate) fn plain(self, head: &HeaderView<'_>) -> Result<&'b [u8], Unreadable> {
        let encoded = !head.values("content-encoding").all(|v| {
            let coding = v.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
        });
        match self {
            Body::TooLarge => Err(Unreadable::TooLarge),
            Body::Read(_) if encoded => Err(Unreadable::Encoded),
            Body::Read(bytes) => Ok(bytes),
        }
    }
}

/// Why a body is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    TooLarge,
    Encoded,
}

/// The status code of an answer, if it has exactly one.
pub(crate) fn status(head: &HeaderView<'_>) -> Option<u16> {
    match head.field(":status") {
        // Three digits (RFC 9110 §15): `+200` and `0200` are numbers too, but no status.
        Field::One(text) if text.len() == 3 && text.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(text).ok()?.parse().ok()
        }
        Field::One(_) => None,
        Field::Absent | Field::Several => None,
    }
}

/// Whether the answer's body is to be read as JSON: it says so, or says nothing at all.
pub(crate) fn is_json(head: &HeaderView<'_>) -> bool {
    match head.field("content-type") {
        Field::Absent => true,
        Field::One(value) => says_json(value),
        Field::Several => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::bearer;
    use crate::sim::call_policy;

    #[test]
    fn a_call_holds_the_token_what_joins_the_logs_and_nothing_else_of_the_request() {
        let head = HeaderView::new(vec![
            (b"authorization", b"bearer  t0k"),
            (b"cookie", b"c"),
            (b"x-request-id", b"7b1c"),
            (b"traceparent", b"malformed"),
            (b"x-envoy-max-retries", b"9"),
            (b":path", b"/orders"),
        ]);
        let site = Site {
            cluster: "idp_fr".into(),
            authority: "idp.example:9001".into(),
            path: "/fr/userinfo?schema=openid".into(),
            scheme: "https",
        };
        let policy = CallPolicy {
            method: "POST",
            headers: vec![("user-agent".into(), "gateway/1".into())],
            ..call_policy()
        };
        let token = bearer::parse(&head, 8).unwrap();
        let correlation = Correlation::of(&head);
        let call = call(&policy, &site, &token, &correlation, Duration::from_secs(2));
        assert_eq!((call.cluster.as_str(), call.timeout), ("idp_fr", Duration::from_secs(2)));
        let headers: Vec<_> = call.headers.iter().collect();
        assert_eq!(
            headers,
            [
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "idp.example:9001"),
                (":path", "/fr/userinfo?schema=openid"),
                ("authorization", "Bearer t0k"),
                ("accept", "application/json"),
                ("accept-encoding", "identity"),
                ("user-agent", "gateway/1"),
                ("x-request-id", "7b1c"),
            ]
        );
    }

    #[test]
    fn an_encoded_or_oversized_body_is_not_read() {
        let head = |coding: &'static [u8]| HeaderView::new(vec![(b"content-encoding", coding)]);
        assert_eq!(Body::Read(b"x").plain(&HeaderView::default()), Ok(&b"x"[..]));
        assert_eq!(Body::Read(b"x").plain(&head(b"Identity")), Ok(&b"x"[..]));
        assert_eq!(Body::Read(b"x").plain(&head(b"gzip")), Err(Unreadable::Encoded));
        assert_eq!(Body::Read(b"x").plain(&head(b"identity, gzip")), Err(Unreadable::Encoded));
        assert_eq!(Body::TooLarge.plain(&HeaderView::default()), Err(Unreadable::TooLarge));
    }

    #[test]
    fn only_one_well_formed_status_counts() {
        assert_eq!(status(&HeaderView::new(vec![(b":status", b"200")])), Some(200));
        for text in ["2e2", "+200", "0200", "20", "", " 200", "-20"] {
            assert_eq!(
                status(&HeaderView::new(vec![(b":status", text.as_bytes())])),
                None,
                "{text}"
            );
        }
        assert_eq!(
            status(&HeaderView::new(vec![(b":status", b"200"), (b":status", b"200")])),
            None
        );
        assert_eq!(status(&HeaderView::default()), None);
    }
}
