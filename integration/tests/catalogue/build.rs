//! Builders for rows: what the client sends, what provider and upstream do, and the expected
//! result. Each method changes one property of the ordinary case.

use std::sync::Arc;
use std::time::Duration;

use integration::{Call, Headers, Reply};
use serde_json::Value;

use crate::row::{Answers, Expected, Line, Pace, Play, Row, Skip, with_token};

/// What the client sends.
impl Row {
    /// The configuration it runs under.
    pub fn world(mut self, world: &'static str) -> Row {
        self.world = world;
        self
    }

    /// Its path starts so.
    pub fn under(mut self, prefix: &'static str) -> Row {
        self.under = prefix;
        self
    }

    pub fn method(mut self, method: &'static str) -> Row {
        self.sent.method = method;
        self
    }

    /// The query with its question mark.
    pub fn query(mut self, query: &'static str) -> Row {
        self.sent.query = query;
        self
    }

    /// The one `Authorization` line.
    pub fn authorization(self, value: impl AsRef<[u8]>) -> Row {
        self.no_authorization().and_authorization(value)
    }

    /// One more `Authorization` line.
    pub fn and_authorization(mut self, value: impl AsRef<[u8]>) -> Row {
        let value = with_token(value.as_ref());
        self.sent.headers.push(Line { name: "authorization".into(), value, arrives: false });
        self
    }

    pub fn no_authorization(mut self) -> Row {
        self.sent.headers.retain(|line| line.name != "authorization");
        self
    }

    /// A token of its own, which the provider must see to the letter.
    pub fn bearer(self, token: impl AsRef<[u8]>) -> Row {
        let value = [b"Bearer ", token.as_ref()].concat();
        self.authorization(value).token(token)
    }

    /// The token that the provider must see, where `Authorization` is written in an odd way.
    pub fn token(mut self, token: impl AsRef<[u8]>) -> Row {
        self.token = with_token(token.as_ref());
        self
    }

    /// A header that arrives upstream as it is, if anything arrives.
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Row {
        self.line(name, value, true)
    }

    /// A header that must never arrive upstream.
    pub fn forged(self, name: &str, value: impl AsRef<[u8]>) -> Row {
        self.line(name, value, false)
    }

    fn line(mut self, name: &str, value: impl AsRef<[u8]>, arrives: bool) -> Row {
        let value = with_token(value.as_ref());
        self.sent.headers.push(Line { name: name.to_owned(), value, arrives });
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Row {
        self.sent.body = body.as_ref().to_vec();
        self
    }

    /// The body goes in chunks (HTTP/1.1).
    pub fn chunked(mut self) -> Row {
        self.sent.chunked = true;
        self
    }

    /// A trailer that arrives upstream, where the upstream can be sent any.
    pub fn trailer(self, name: &str, value: impl AsRef<[u8]>) -> Row {
        self.trailer_line(name, value, true)
    }

    /// A trailer that must never arrive.
    pub fn forged_trailer(self, name: &str, value: impl AsRef<[u8]>) -> Row {
        self.trailer_line(name, value, false)
    }

    fn trailer_line(mut self, name: &str, value: impl AsRef<[u8]>, arrives: bool) -> Row {
        let value = value.as_ref().to_vec();
        self.sent.trailers.push(Line { name: name.to_owned(), value, arrives });
        self.chunked()
    }

    /// Exactly these bytes on an HTTP/1.1 connection. What must arrive, the row says with
    /// [`Row::arriving`].
    pub fn http1(mut self, bytes: impl AsRef<[u8]>) -> Row {
        self.sent.http1 = Some(with_token(bytes.as_ref()));
        self
    }

    /// Exactly these fields in an HTTP/2 HEADERS frame.
    pub fn http2<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        mut self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Row {
        let field = |(n, v): (N, V)| (n.as_ref().to_vec(), with_token(v.as_ref()));
        self.sent.http2 = Some(fields.into_iter().map(field).collect());
        self
    }

    /// The HTTP/2 stream stays open for a tunnel.
    pub fn stays_open(mut self) -> Row {
        self.sent.http2_ends = false;
        self
    }

    /// A header that must arrive although only [`Row::http1`] or [`Row::http2`] says that it is
    /// sent, or that Envoy writes otherwise than it was sent.
    pub fn arriving(mut self, name: &str, value: impl AsRef<[u8]>) -> Row {
        let identity = self.identity.get_or_insert_with(|| crate::worlds::identity(self.world));
        identity.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn pace(mut self, pace: Pace) -> Row {
        self.pace = pace;
        self
    }

    /// A client of its own.
    pub fn played(mut self, play: Play) -> Row {
        self.played = Some(play);
        self
    }
}

/// What provider and upstream do.
impl Row {
    pub fn answers(mut self, reply: Reply) -> Row {
        self.answers = Answers::Always(reply);
        self
    }

    /// The provider validates the token and returns these claims.
    pub fn claims(self, claims: &Value) -> Row {
        self.answers(Reply::json(200, claims))
    }

    pub fn answers_by(mut self, answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Row {
        self.answers = Answers::By(Arc::new(answer));
        self
    }

    /// Connections to the provider are refused.
    pub fn provider_down(mut self) -> Row {
        self.provider_down = true;
        self
    }

    /// The upstream answers so, once.
    pub fn upstream_answers(mut self, status: u16, headers: &[(&str, &str)]) -> Row {
        let mut lines = Headers::default();
        headers.iter().for_each(|(name, value)| lines.push(name, value));
        self.upstream_answers.push((status, lines));
        self
    }
}

/// The expected result.
impl Row {
    /// The upstream's answer with this status reaches the client.
    pub fn passes_with(mut self, status: u16) -> Row {
        self.expected = Expected::Pass(status);
        self
    }

    /// The filter refuses it: status, and `<outcome>:<reason>`.
    pub fn refused(mut self, status: u16, details: &'static str) -> Row {
        self.expected = Expected::Refused(status, details);
        self
    }

    /// Envoy refuses it before the filter, with one of these statuses or (0) without any response.
    pub fn envoy(mut self, statuses: &'static [u16]) -> Row {
        self.expected = Expected::Envoy(statuses);
        self
    }

    /// The client leaves during the call to the provider.
    pub fn leaves(mut self) -> Row {
        self.expected = Expected::Gone;
        self.pace(Pace::Leaves)
    }

    pub fn calls(mut self, calls: usize) -> Row {
        self.calls = Some(calls);
        self
    }

    pub fn region(mut self, region: &'static str) -> Row {
        self.region = region;
        self
    }

    /// Exactly these identity headers arrive.
    pub fn identity(mut self, headers: &[(&str, &str)]) -> Row {
        let line = |(n, v): &(&str, &str)| ((*n).to_owned(), v.as_bytes().to_vec());
        self.identity = Some(headers.iter().map(line).collect());
        self
    }

    pub fn arrivals(mut self, arrivals: usize) -> Row {
        self.arrivals = arrivals;
        self
    }

    pub fn body_upstream(mut self, body: impl AsRef<[u8]>) -> Row {
        self.body_upstream = Some(body.as_ref().to_vec());
        self
    }

    /// The bytes expected after the reply on the connection.
    pub fn tail(mut self, bytes: impl AsRef<[u8]>) -> Row {
        self.tail = bytes.as_ref().to_vec();
        self
    }

    pub fn reply_header(mut self, name: &'static str, value: &str) -> Row {
        self.reply_headers.push((name, Some(value.to_owned())));
        self
    }

    pub fn no_reply_header(mut self, name: &'static str) -> Row {
        self.reply_headers.push((name, None));
        self
    }

    pub fn reply_body(mut self, body: &str) -> Row {
        self.reply_body = Some(body.to_owned());
        self
    }

    /// The outcome counters that must rise, one per request.
    pub fn counted(mut self, outcomes: &[&'static str]) -> Row {
        self.counted = Some(outcomes.to_vec());
        self
    }

    /// The outcome expected in the access log.
    pub fn logged(mut self, outcome: &'static str) -> Row {
        self.logged = Some(outcome);
        self
    }

    /// Its path changes on the way upstream.
    pub fn elsewhere(mut self) -> Row {
        self.elsewhere = true;
        self
    }

    /// Does not run in this kind of variant, because.
    pub fn not(mut self, skip: Skip, because: &'static str) -> Row {
        self.left_out.push((skip, because));
        self
    }

    /// The longest time it may take.
    pub fn within(mut self, limit: Duration) -> Row {
        self.within = Some(limit);
        self
    }

    /// The reply comes at the look-up timeout, not earlier.
    pub fn waits(mut self) -> Row {
        self.waits = true;
        self
    }
}
