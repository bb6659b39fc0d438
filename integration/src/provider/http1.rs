//! The scripted provider's HTTP/1.1: one call after the other on a connection.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::call::Line;
use super::script::Answers;
use crate::pass;
use crate::reply::Step;
use crate::tls::{self, Link};
use crate::wire::{Framing, MessageHead, Reader};

/// Serves the connection until either side ends it; `early` has been read already.
pub(super) async fn serve(
    answers: &Answers,
    link: Link,
    early: Vec<u8>,
    line: &Line,
) -> io::Result<()> {
    let mut reader = Reader::with_buffered(link, early);
    for nth in 0.. {
        let Some(head) = next(&mut reader, line.idle).await? else {
            return reader.io.shutdown().await;
        };
        let (body, _) = reader.body(Framing::of_request(&head.headers)).await?;
        let call = line.call(nth, head, body);
        let (to_head, gone) = (call.method == "HEAD", call.gone.clone());
        for step in answers.answer(call).steps(to_head) {
            match step {
                Step::Send(bytes) => {
                    reader.io.write_all(&bytes).await?;
                    reader.io.flush().await?;
                }
                Step::Drip { bytes, size, every } => {
                    drip(&mut reader.io, &bytes, size, every).await?;
                }
                Step::Wait(time) => pass(time).await,
                Step::Hold(gate) => gate.opened().await,
                Step::Stall => {
                    let mut sink = [0; 1024];
                    while matches!(reader.io.read(&mut sink).await, Ok(n) if n > 0) {}
                    let _ = gone.set(Instant::now());
                    return Ok(());
                }
                Step::Close => return reader.io.shutdown().await,
                Step::Reset => return tls::reset(&reader.io),
            }
        }
    }
    Ok(())
}

/// The next head; none where the caller has closed, or nothing has come for too long.
async fn next(
    reader: &mut Reader<Link>,
    idle: Option<Duration>,
) -> io::Result<Option<MessageHead>> {
    match idle {
        None => reader.head().await,
        Some(idle) => tokio::time::timeout(idle, reader.head()).await.unwrap_or(Ok(None)),
    }
}

/// The slowness is the misbehaviour under test, so here time passes on purpose.
async fn drip(io: &mut Link, bytes: &[u8], size: usize, every: Duration) -> io::Result<()> {
    let mut clock = tokio::time::interval(every);
    for piece in bytes.chunks(size.max(1)) {
        clock.tick().await;
        io.write_all(piece).await?;
        io.flush().await?;
    }
    Ok(())
}
