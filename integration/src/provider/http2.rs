//! The scripted provider's HTTP/2: the streams of a connection side by side, frame by frame.
//!
//! It reads what Envoy sends and nothing else: no push, no priorities. Answers are small, so it
//! leaves the caller's windows alone.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};

use super::call::Line;
use super::script::Answers;
use crate::frames::{
    self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, RST_STREAM,
    SETTINGS,
};
use crate::pass;
use crate::reply::Step;
use crate::tls::{self, Link};
use crate::wire::{Headers, MessageHead, latin1};

/// A client's first bytes, before its first frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the answer to a stream does to the connection.
enum Out {
    Bytes(Vec<u8>),
    Close,
    Reset,
}

/// A stream whose answer is on its way.
struct Asked {
    answering: AbortHandle,
    gone: Arc<OnceLock<Instant>>,
}

/// A connection as it is read.
struct Frames {
    link: Link,
    buffer: Vec<u8>,
}

/// Serves the connection until either side ends it; `early` has been read already.
pub(super) async fn serve(
    answers: &Answers,
    link: Link,
    early: Vec<u8>,
    line: &Line,
) -> io::Result<()> {
    let mut asked = HashMap::new();
    let served = streams(answers, Frames { link, buffer: early }, line, &mut asked).await;
    let now = Instant::now();
    for Asked { gone, .. } in asked.values() {
        let _ = gone.set(now);
    }
    served
}

async fn streams(
    answers: &Answers,
    mut frames: Frames,
    line: &Line,
    asked: &mut HashMap<u32, Asked>,
) -> io::Result<()> {
    let (out, mut outs) = unbounded_channel();
    // Ends them all when the connection does.
    let mut answering = JoinSet::new();
    let mut requests: HashMap<u32, (MessageHead, Vec<u8>)> = HashMap::new();
    let mut decoder = loona_hpack::Decoder::new();
    let (mut block, mut nth) = (Vec::new(), 0);
    // Whether the request ends with the header section that is being read.
    let mut without_body = false;
    while frames.buffer.len() < PREFACE.len() {
        if frames.more().await? == 0 {
            return Ok(());
        }
    }
    frames.buffer.drain(..PREFACE.len());
    frames.link.write_all(&frames::greeting()).await?;
    loop {
        let frame = tokio::select! {
            out = outs.recv() => {
                match out {
                    Some(Out::Bytes(bytes)) => {
                        frames.link.write_all(&bytes).await?;
                        frames.link.flush().await?;
                    }
                    Some(Out::Reset) => return tls::reset(&frames.link),
                    Some(Out::Close) | None => return frames.link.shutdown().await,
                }
                continue;
            }
            frame = frames.next() => match frame? {
                Some(frame) => frame,
                None => return Ok(()),
            },
        };
        while answering.try_join_next().is_some() {}
        let Frame { kind, flags, stream, payload } = frame;
        let mut whole = false;
        match kind {
            HEADERS | CONTINUATION => {
                block.extend(payload);
                if kind == HEADERS {
                    without_body = flags & END_STREAM != 0;
                    requests.entry(stream).or_insert_with(|| (empty(), Vec::new()));
                }
                if flags & END_HEADERS != 0 {
                    whole = without_body;
                    let fields = decoder.decode(&std::mem::take(&mut block));
                    let fields = fields.map_err(|e| io::Error::other(format!("{e:?}")))?;
                    if let Some((head, _)) = requests.get_mut(&stream) {
                        fields.iter().for_each(|(name, value)| add(head, name, value));
                    }
                }
            }
            DATA => {
                if let Some((_, body)) = requests.get_mut(&stream) {
                    body.extend(payload);
                }
                whole = flags & END_STREAM != 0;
            }
            RST_STREAM => {
                if let Some(Asked { answering, gone }) = asked.remove(&stream) {
                    answering.abort();
                    let _ = gone.set(Instant::now());
                }
            }
            SETTINGS if flags & ACK == 0 => {
                frames.link.write_all(&frames::frame(SETTINGS, ACK, 0, b"")).await?;
            }
            PING if flags & ACK == 0 => {
                frames.link.write_all(&frames::frame(PING, ACK, 0, &payload)).await?;
            }
            _ => {}
        }
        if whole && let Some((head, body)) = requests.remove(&stream) {
            let call = line.call(nth, head, body);
            nth += 1;
            let gone = call.gone.clone();
            let steps = answers.answer(call).steps_on(stream);
            let answering = answering.spawn(answer(steps, out.clone()));
            asked.insert(stream, Asked { answering, gone });
        }
    }
}

async fn answer(steps: Vec<Step>, out: UnboundedSender<Out>) {
    for step in steps {
        let done = match step {
            Step::Send(bytes) => out.send(Out::Bytes(bytes)),
            Step::Wait(time) => {
                pass(time).await;
                Ok(())
            }
            Step::Hold(gate) => {
                gate.opened().await;
                Ok(())
            }
            Step::Close => out.send(Out::Close),
            Step::Reset => out.send(Out::Reset),
            Step::Stall => std::future::pending().await,
            Step::Drip { .. } => panic!("only HTTP/1.1 has it"),
        };
        if done.is_err() {
            return;
        }
    }
}

fn empty() -> MessageHead {
    MessageHead { start: String::new(), headers: Headers::default() }
}

/// Adds a field, as HTTP/1.1 would say it.
fn add(head: &mut MessageHead, name: &[u8], value: &[u8]) {
    match name {
        // `:method` comes before `:path` with Envoy, as with every client.
        b":method" => head.start = format!("{} {}", latin1(value), head.start),
        b":path" => head.start.push_str(&latin1(value)),
        b":authority" => head.headers.push("host", value),
        b":scheme" => {}
        name => head.headers.push(&latin1(name), value),
    }
}

impl Frames {
    /// The next frame; none if the caller has closed. The future may be dropped and created again.
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = Frame::take(&mut self.buffer) {
                return Ok(Some(frame));
            }
            if self.more().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.link.read_buf(&mut self.buffer).await
    }
}
