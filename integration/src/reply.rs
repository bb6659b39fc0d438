//! The scripted provider's replies: ordinary answers, and every fault on the wire. A `Reply` is
//! data; `provider.rs` sends it.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::frames;
use crate::wire::Headers;

/// One thing done on the connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Lets so much time pass.
    Wait(Duration),
    Drip {
        bytes: Vec<u8>,
        size: usize,
        every: Duration,
    },
    Hold(Gate),
    /// Sends nothing more and waits until the caller closes.
    Stall,
    Close,
    Reset,
}

/// An answer of the provider. Built from a beginning (`json`, `text`, `raw`, `silence`…) and
/// refinements.
#[derive(Clone, Debug)]
pub struct Reply {
    status: String,
    headers: Headers,
    body: Vec<u8>,
    shape: Shape,
    gate: Option<Gate>,
    interim: Vec<u8>,
    /// Before the first byte.
    wait: Duration,
    end: End,
}

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The next call may come.
    Kept,
    /// The connection is closed after so long, without having said so.
    Closed(Duration),
    /// HTTP/2: no further stream is taken.
    Goaway,
}

#[derive(Clone, Debug)]
enum Shape {
    Whole,
    Chunked,
    UntilClose,
    Drip {
        size: usize,
        every: Duration,
    },
    StallAfter(usize),
    CutAfter(usize),
    ResetAfter(usize),
    ChunkCutAfter(usize),
    Verbatim,
    Then(Step),
    /// HTTP/2: the end of the stream by error.
    RefusedStream,
    /// HTTP/2: the end of the connection, which takes this stream with it, or leaves it undone.
    Goaway {
        taken: bool,
    },
}

impl Reply {
    /// `status` with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Reply {
        Reply::text(status, body.to_string()).header("content-type", "application/json")
    }

    /// `status` with these bytes as they are, and no content-type.
    #[must_use]
    pub fn text(status: u16, body: impl AsRef<[u8]>) -> Reply {
        Reply {
            status: format!("{status:03} {}", reason(status)),
            headers: Headers::default(),
            body: body.as_ref().to_vec(),
            shape: Shape::Whole,
            gate: None,
            interim: Vec::new(),
            wait: Duration::ZERO,
            end: End::Kept,
        }
    }

    /// `status` without a body.
    #[must_use]
    pub fn status(status: u16) -> Reply {
        Reply::text(status, "")
    }

    /// These bytes and nothing else, then the connection is closed.
    #[must_use]
    pub fn raw(bytes: impl AsRef<[u8]>) -> Reply {
        Reply { shape: Shape::Verbatim, ..Reply::text(0, bytes) }
    }

    /// Reads the request and never answers.
    #[must_use]
    pub fn silence() -> Reply {
        Reply { shape: Shape::Then(Step::Stall), ..Reply::text(0, "") }
    }

    /// Reads the request and resets the connection (TCP RST) before any header.
    #[must_use]
    pub fn reset() -> Reply {
        Reply { shape: Shape::Then(Step::Reset), ..Reply::text(0, "") }
    }

    /// Reads the request and closes the connection (TCP FIN) before any header.
    #[must_use]
    pub fn close() -> Reply {
        Reply { shape: Shape::Then(Step::Close), ..Reply::text(0, "") }
    }

    /// HTTP/2: `RST_STREAM` with `REFUSED_STREAM`, instead of an answer.
    #[must_use]
    pub fn refused_stream() -> Reply {
        Reply { shape: Shape::RefusedStream, ..Reply::text(0, "") }
    }

    /// HTTP/2: `GOAWAY` that leaves this stream out, instead of an answer. Streams before it are
    /// still answered.
    #[must_use]
    pub fn goaway_below() -> Reply {
        Reply { shape: Shape::Goaway { taken: false }, ..Reply::text(0, "") }
    }

    /// HTTP/2: `GOAWAY` that accepts this stream, then the connection closes without an answer, on
    /// this and every other stream.
    #[must_use]
    pub fn goaway_at() -> Reply {
        Reply { shape: Shape::Goaway { taken: true }, ..Reply::text(0, "") }
    }

    /// Lets so much time pass before the first byte.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Reply {
        self.wait = time;
        self
    }

    /// Closes the connection after the answer, without having said so (`Connection: close`).
    #[must_use]
    pub fn then_close(self) -> Reply {
        self.then_close_after(Duration::ZERO)
    }

    /// The same so long after the answer. What comes meanwhile is not read.
    #[must_use]
    pub fn then_close_after(mut self, time: Duration) -> Reply {
        self.end = End::Closed(time);
        self
    }

    /// HTTP/2: `GOAWAY` after the answer.
    #[must_use]
    pub fn then_goaway(mut self) -> Reply {
        self.end = End::Goaway;
        self
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Reply {
        self.headers.push(name, value);
        self
    }

    /// A valid gzip stream without compression, with `Content-Encoding: gzip`.
    #[must_use]
    pub fn gzip(mut self) -> Reply {
        self.body = gzip_stored(&self.body);
        self.header("content-encoding", "gzip")
    }

    /// Waits for `gate` before the first byte. The request is recorded before that.
    #[must_use]
    pub fn held_by(mut self, gate: &Gate) -> Reply {
        self.gate = Some(gate.clone());
        self
    }

    /// Sends an informational response (100, 103) first.
    #[must_use]
    pub fn after_interim(mut self, status: u16) -> Reply {
        self.interim.extend(format!("HTTP/1.1 {status} {}\r\n\r\n", reason(status)).into_bytes());
        self
    }

    /// The body as chunks instead of with a content-length.
    #[must_use]
    pub fn chunked(self) -> Reply {
        self.shaped(Shape::Chunked)
    }

    /// No length: the body ends where the connection does.
    #[must_use]
    pub fn until_close(self) -> Reply {
        self.shaped(Shape::UntilClose)
    }

    /// The body in pieces of `size` bytes, one piece every `every`.
    #[must_use]
    pub fn drip(self, size: usize, every: Duration) -> Reply {
        self.shaped(Shape::Drip { size, every })
    }

    /// Header and `bytes` of the body, then nothing more. 0 stalls right after the header.
    #[must_use]
    pub fn stall_after(self, bytes: usize) -> Reply {
        self.shaped(Shape::StallAfter(bytes))
    }

    /// Header with the whole content-length, `bytes` of the body, then the connection is closed.
    #[must_use]
    pub fn cut_after(self, bytes: usize) -> Reply {
        self.shaped(Shape::CutAfter(bytes))
    }

    /// Header with the whole content-length, `bytes` of the body, then the connection is reset.
    #[must_use]
    pub fn reset_after(self, bytes: usize) -> Reply {
        self.shaped(Shape::ResetAfter(bytes))
    }

    /// A chunk announced at full size, `bytes` of it sent, then the connection is closed.
    #[must_use]
    pub fn chunk_cut_after(self, bytes: usize) -> Reply {
        self.shaped(Shape::ChunkCutAfter(bytes))
    }

    fn shaped(mut self, shape: Shape) -> Reply {
        self.shape = shape;
        self
    }

    /// The actions on an HTTP/1.1 connection.
    pub(crate) fn steps(&self, to_head: bool) -> Vec<Step> {
        let mut steps = self.first_steps();
        if !self.interim.is_empty() {
            steps.push(Step::Send(self.interim.clone()));
        }
        let body = if to_head { &[] } else { self.body.as_slice() };
        let part = |n: usize| body[..n.min(body.len())].to_vec();
        let length = format!("content-length: {}\r\n", self.body.len());
        match &self.shape {
            Shape::Whole => steps.push(Step::Send(self.head(&length, body))),
            Shape::Chunked => {
                let mut bytes = self.head("transfer-encoding: chunked\r\n", b"");
                for chunk in body.chunks(16 << 10) {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
                steps.push(Step::Send(bytes));
            }
            Shape::UntilClose => {
                steps.extend([Step::Send(self.head("connection: close\r\n", body)), Step::Close]);
            }
            Shape::Drip { size, every } => steps.extend([
                Step::Send(self.head(&length, b"")),
                Step::Drip { bytes: body.to_vec(), size: *size, every: *every },
            ]),
            Shape::StallAfter(n) => {
                steps.extend([Step::Send(self.head(&length, &part(*n))), Step::Stall]);
            }
            Shape::CutAfter(n) => {
                steps.extend([Step::Send(self.head(&length, &part(*n))), Step::Close]);
            }
            Shape::ResetAfter(n) => {
                steps.extend([Step::Send(self.head(&length, &part(*n))), Step::Reset]);
            }
            Shape::ChunkCutAfter(n) => {
                let mut bytes = self.head("transfer-encoding: chunked\r\n", b"");
                bytes.extend(format!("{:x}\r\n", body.len()).into_bytes());
                bytes.extend(part(*n));
                steps.extend([Step::Send(bytes), Step::Close]);
            }
            Shape::Verbatim => steps.extend([Step::Send(self.body.clone()), Step::Close]),
            Shape::Then(step) => steps.push(step.clone()),
            Shape::RefusedStream | Shape::Goaway { .. } => panic!("only HTTP/2 has it: {self:?}"),
        }
        match self.end {
            End::Kept => {}
            End::Closed(after) => steps.extend([Step::Wait(after), Step::Close]),
            End::Goaway => panic!("only HTTP/2 has it: {self:?}"),
        }
        steps
    }

    /// The actions on a stream of an HTTP/2 connection.
    pub(crate) fn steps_on(&self, stream: u32) -> Vec<Step> {
        let mut steps = self.first_steps();
        match &self.shape {
            Shape::Whole => {
                let status = &self.status.as_bytes()[..3];
                let length = self.body.len().to_string();
                let own = [(&b":status"[..], status), (b"content-length", length.as_bytes())];
                // A field name has no capitals there (RFC 9113 §8.2.1).
                let lower = |(n, v): &(String, Vec<u8>)| (n.to_ascii_lowercase(), v.clone());
                let more: Vec<_> = self.headers.0.iter().map(lower).collect();
                let more = more.iter().map(|(n, v)| (n.as_bytes(), v.as_slice()));
                let fields: Vec<_> = own.into_iter().chain(more).collect();
                steps.push(Step::Send(frames::response(stream, &fields, &self.body)));
            }
            Shape::Then(step) => steps.push(step.clone()),
            Shape::RefusedStream => steps.push(Step::Send(frames::refused_stream(stream))),
            Shape::Goaway { taken: true } => {
                steps.extend([Step::Send(frames::goaway(stream)), Step::Close]);
            }
            Shape::Goaway { taken: false } => {
                steps.push(Step::Send(frames::goaway(stream.saturating_sub(2))));
            }
            _ => panic!("only HTTP/1.1 has it: {self:?}"),
        }
        match self.end {
            End::Kept => {}
            End::Closed(after) => steps.extend([Step::Wait(after), Step::Close]),
            End::Goaway => steps.push(Step::Send(frames::goaway(stream))),
        }
        steps
    }

    fn first_steps(&self) -> Vec<Step> {
        let wait = (!self.wait.is_zero()).then_some(Step::Wait(self.wait));
        self.gate.iter().cloned().map(Step::Hold).chain(wait).collect()
    }

    fn head(&self, framing: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {}\r\n", self.status).into_bytes();
        self.headers.write_to(&mut bytes);
        bytes.extend_from_slice(framing.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        bytes
    }
}

/// Holds replies back until the test opens it: the order of events without a sleep.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A gate that holds.
    #[must_use]
    pub fn closed() -> Gate {
        Gate(watch::Sender::new(false))
    }

    /// Lets everything through, now and from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn opened(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Unknown")
}

/// A gzip member (RFC 1952) of stored blocks (RFC 1951 §3.2.4): real gzip, without a compression
/// library.
fn gzip_stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("chunks of 64 KiB - 1");
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend(crc32(bytes).to_le_bytes());
    out.extend(u32::try_from(bytes.len() & 0xffff_ffff).expect("masked").to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}
