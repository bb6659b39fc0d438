//! Where one run of a row takes place, and the two clients that play it: HTTP/1.1 byte for byte,
//! HTTP/2 field for field. A client reports what came back; it judges nothing but what it alone
//! can see.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use integration::{Gate, Gateway, Request, Response};

use crate::crowd::memory;
use crate::http2::{Field, Http2};
use crate::row::{Answers, Line, Pace, Row, good, replaced};

/// The bytes of a body that Envoy may hold in any variant: an HTTP/2 stream's window.
const HELD: u64 = 60 << 10;

/// The protocol between client and Envoy.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Protocol {
    Http1,
    Http2,
}

/// Where one run takes place.
#[derive(Clone)]
pub struct Stage {
    pub gateway: Gateway,
    /// The listener's name, in its statistics too.
    pub listener: String,
    pub protocol: Protocol,
    pub path: String,
    pub desk: Arc<Desk>,
}

/// The current behaviour of one listener's provider; its runs take turns.
#[derive(Default)]
pub struct Desk(Mutex<Now>);

struct Now {
    answers: Answers,
    gate: Option<Gate>,
    /// Bytes that had reached the upstream at the time of each call.
    upstream_bytes: Vec<u64>,
}

impl Default for Now {
    fn default() -> Now {
        Now { answers: Answers::Always(good()), gate: None, upstream_bytes: Vec::new() }
    }
}

impl Desk {
    /// Makes the gateway's provider answer as the desk says.
    pub fn of(gateway: &Gateway) -> Arc<Desk> {
        let desk = Arc::new(Desk::default());
        let (at, upstream) = (desk.clone(), gateway.upstream.clone());
        gateway.provider.answer_with(move |call| {
            let mut now = at.lock();
            now.upstream_bytes.push(upstream.bytes());
            let reply = match &now.answers {
                Answers::Always(reply) => reply.clone(),
                Answers::By(answer) => answer(call),
            };
            Some(match &now.gate {
                Some(gate) => reply.held_by(gate),
                None => reply,
            })
        });
        desk
    }

    /// The next run begins.
    pub fn set(&self, answers: Answers, gate: Option<Gate>) {
        *self.lock() = Now { answers, gate, upstream_bytes: Vec::new() };
    }

    /// Bytes that had reached the upstream at the time of each call of this run.
    pub fn upstream_bytes(&self) -> Vec<u64> {
        self.lock().upstream_bytes.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What a client saw.
pub struct Exchange {
    /// The reply; status 0 where none came.
    pub response: Response,
    /// The bytes after it, if the row expects some.
    pub tail: Vec<u8>,
    /// Problems that only the client could see.
    pub complaints: Vec<String>,
}

impl Exchange {
    fn of(response: Response) -> Exchange {
        Exchange { response, tail: Vec::new(), complaints: Vec::new() }
    }
}

impl Stage {
    /// Plays the row. `Err` where it cannot be played to its end: nothing may hang.
    pub async fn play(&self, row: &Row) -> Result<Exchange, String> {
        let gate = matches!(row.pace, Pace::Held | Pace::Leaves).then(Gate::closed);
        self.desk.set(row.answers.clone(), gate.clone());
        if row.provider_down {
            self.gateway.provider.down().await;
        }
        let playing = async {
            match gate {
                None => self.exchange(row).await,
                Some(gate) if row.pace == Pace::Leaves => {
                    let exchange = self.exchange(row).await;
                    // Only when Envoy knows that the client has gone does the provider answer.
                    let mut ask = tokio::time::interval(Duration::from_millis(5));
                    while self.stat("downstream_rq_active").await > 0 {
                        ask.tick().await;
                    }
                    gate.open();
                    exchange
                }
                Some(gate) => {
                    let received = self.received().await;
                    let hold = self.hold(row, received, &gate);
                    let (exchange, early) = tokio::join!(self.exchange(row), hold);
                    let mut exchange = exchange?;
                    exchange.complaints.extend(early);
                    Ok(exchange)
                }
            }
        };
        let played = tokio::time::timeout(HANGS, playing).await;
        if row.provider_down {
            self.gateway.provider.up().map_err(|e| format!("the provider comes not up: {e}"))?;
        }
        played.unwrap_or_else(|_| Err(format!("not over within {HANGS:?}")))
    }

    async fn exchange(&self, row: &Row) -> Result<Exchange, String> {
        match (row.played, self.protocol) {
            (Some(play), _) => play(self.clone()).await.map(Exchange::of),
            (None, Protocol::Http1) => self.http1(row).await.map_err(|e| e.to_string()),
            (None, Protocol::Http2) => self.http2(row).await.map_err(|e| e.to_string()),
        }
    }

    /// Opens the gate when Envoy has read everything, or as much as it may hold; a complaint if
    /// anything has come upstream by then.
    async fn hold(&self, row: &Row, received: u64, gate: &Gate) -> Option<String> {
        let size = match self.protocol {
            Protocol::Http1 => self.bytes(row).len(),
            Protocol::Http2 => {
                let trailers = fields_of(&row.sent.trailers);
                let trailers = (!trailers.is_empty()).then_some(trailers);
                Http2::size(&self.fields(row), &row.sent.body, trailers.as_deref())
            }
        };
        let (upstream, held) = (self.gateway.upstream.bytes(), memory(self.gateway.envoy.id()));
        let wanted = received + HELD.min(size as u64);
        // Envoy has no event for it.
        let mut ask = tokio::time::interval(Duration::from_millis(5));
        while self.desk.upstream_bytes().is_empty() || self.received().await < wanted {
            ask.tick().await;
        }
        let came = self.gateway.upstream.bytes() - upstream;
        let grown = memory(self.gateway.envoy.id()).saturating_sub(held);
        gate.open();
        if grown > GROWTH {
            return Some(format!("Envoy holds {grown} bytes more"));
        }
        (came > 0).then(|| format!("{came} bytes came upstream before the verdict"))
    }

    /// Bytes that this listener has read.
    async fn received(&self) -> u64 {
        self.stat("downstream_cx_rx_bytes_total").await
    }

    /// Waits until no call to this listener's provider is under way: a call outlives its client, and
    /// the next run, which has the same token, would share it.
    pub async fn idle(&self) {
        let filter = format!("^cluster.idp_[a-z]*_{}.upstream_rq_active$", self.listener);
        // Envoy has no event for it.
        let mut ask = tokio::time::interval(Duration::from_millis(5));
        loop {
            ask.tick().await;
            let asked = self.gateway.envoy.admin_get(&format!("/stats?filter={filter}")).await;
            let text = asked.expect("the admin interface answers").text();
            assert!(!text.trim().is_empty(), "no such statistics: {filter}");
            if text.lines().all(|line| line.ends_with(": 0")) {
                return;
            }
        }
    }

    /// One of this listener's statistics.
    async fn stat(&self, name: &str) -> u64 {
        let name = format!("http.{}.{name}", self.listener);
        let asked = self.gateway.envoy.admin_get(&format!("/stats?filter=^{name}$")).await;
        let text = asked.expect("the admin interface answers").text();
        // Before its first use a statistic is not there.
        text.trim().rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// The HTTP/1.1 bytes of a row.
    fn bytes(&self, row: &Row) -> Vec<u8> {
        let sent = &row.sent;
        if let Some(bytes) = &sent.http1 {
            return self.filled(bytes);
        }
        let target = format!("{}{}", self.path, sent.query);
        let mut request =
            Request::new(self.gateway.address(), sent.method, &target).host(sent.host);
        for line in &sent.headers {
            request = request.header(&line.name, &line.value);
        }
        request = request.body(&sent.body);
        if sent.chunked {
            request = request.chunked();
        }
        for line in &sent.trailers {
            request = request.trailer(&line.name, &line.value);
        }
        request.to_bytes()
    }

    fn filled(&self, bytes: &[u8]) -> Vec<u8> {
        let bytes = replaced(bytes, b"{path}", self.path.as_bytes());
        replaced(&bytes, b"{host}", host_of(&self.path).as_bytes())
    }

    /// The HTTP/2 header fields of a row.
    fn fields(&self, row: &Row) -> Vec<Field> {
        let sent = &row.sent;
        if let Some(fields) = &sent.http2 {
            let field = |(name, value): &Field| (name.clone(), self.filled(value));
            return fields.iter().map(field).collect();
        }
        let target = format!("{}{}", self.path, sent.query);
        let pseudo = [
            (":method", sent.method),
            (":scheme", "http"),
            (":authority", sent.host),
            (":path", &target),
        ];
        let pseudo = pseudo.map(|(name, value)| (name.into(), value.into()));
        pseudo.into_iter().chain(fields_of(&sent.headers)).collect()
    }

    async fn http1(&self, row: &Row) -> io::Result<Exchange> {
        let mut connection = self.gateway.connect().await?.deadline(HANGS);
        let bytes = self.bytes(row);
        let to_head = row.sent.method == "HEAD";
        let now = match row.pace {
            Pace::BodyWaits(n) => bytes.len() - row.sent.body.len() + n,
            Pace::BodyAfterCall => bytes.len() - row.sent.body.len(),
            Pace::AtOnce | Pace::Held | Pace::Leaves => bytes.len(),
        };
        if row.pace == Pace::Leaves {
            connection.write(&bytes).await?;
            self.asked().await;
            connection.reset()?;
            return Ok(Exchange::of(Response::default()));
        }
        let (now, later) = bytes.split_at(now);
        let rest = match row.pace {
            Pace::BodyAfterCall => {
                connection.write(now).await?;
                self.asked().await;
                later
            }
            Pace::BodyWaits(_) if row.passes() => {
                connection.write(now).await?;
                self.forwarded().await;
                later
            }
            _ => now,
        };
        let response = match connection.exchange(rest, to_head).await {
            Ok(response) => response,
            Err(e) if is_end(&e) => return Ok(Exchange::of(Response::default())),
            Err(e) => return Err(e),
        };
        let mut exchange = Exchange::of(response);
        if !row.tail.is_empty() {
            exchange.tail = connection.read(row.tail.len()).await?;
        }
        let more = connection.finish().await?;
        if !more.is_empty() {
            let more = more[..more.len().min(300)].escape_ascii().to_string();
            exchange.complaints.push(format!("after the reply came: {more}"));
        }
        Ok(exchange)
    }

    async fn http2(&self, row: &Row) -> io::Result<Exchange> {
        let mut connection = Http2::open(self.gateway.address()).await?;
        let (body, trailers) = (&row.sent.body, fields_of(&row.sent.trailers));
        let ends = body.is_empty() && trailers.is_empty() && row.sent.http2_ends;
        connection.headers(&self.fields(row), ends).await?;
        if row.pace == Pace::Leaves {
            self.asked().await;
            connection.cancel().await?;
            return Ok(Exchange::of(Response::default()));
        }
        let now = match row.pace {
            Pace::BodyWaits(n) => n,
            Pace::BodyAfterCall => {
                self.asked().await;
                body.len()
            }
            Pace::AtOnce | Pace::Held | Pace::Leaves => body.len(),
        };
        let ends = trailers.is_empty() && row.sent.http2_ends;
        if now > 0 {
            connection.data(&body[..now], ends && now == body.len()).await?;
        }
        if now < body.len() && row.passes() {
            self.forwarded().await;
            connection.data(&body[now..], ends).await?;
        }
        if !trailers.is_empty() {
            connection.headers(&trailers, true).await?;
        }
        let enough = (!row.tail.is_empty()).then_some(row.tail.len());
        let mut response = connection.response(enough).await?;
        let mut complaints = Vec::new();
        if connection.settle().await? {
            complaints.push("something came after the reply".to_owned());
        }
        let tail = match enough {
            Some(_) => std::mem::take(&mut response.body),
            None => Vec::new(),
        };
        Ok(Exchange { response, tail, complaints })
    }

    /// Waits until the provider has got a call.
    async fn asked(&self) {
        let mut look = tokio::time::interval(Duration::from_millis(2));
        while self.desk.upstream_bytes().is_empty() {
            look.tick().await;
        }
    }

    /// Waits until the first byte has come upstream.
    async fn forwarded(&self) {
        self.asked().await;
        // Requests that came before the call cannot be this one.
        let before = self.desk.upstream_bytes().first().copied();
        let mut look = tokio::time::interval(Duration::from_millis(2));
        while Some(self.gateway.upstream.bytes()) == before {
            look.tick().await;
        }
    }
}

/// How much Envoy's memory may grow by other things meanwhile.
const GROWTH: u64 = 8 << 20;

/// How long anything may take before it counts as hanging.
const HANGS: Duration = Duration::from_secs(8);

/// The authority of a request that has no path.
pub fn host_of(path: &str) -> String {
    path.trim_start_matches('/').replace('/', "-")
}

fn fields_of(lines: &[Line]) -> Vec<Field> {
    // An HTTP/2 field name has no capitals (RFC 9113 §8.2.1).
    lines.iter().map(|l| (l.name.to_ascii_lowercase().into_bytes(), l.value.clone())).collect()
}

/// The peer ended the connection instead of answering.
fn is_end(e: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(e.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}
