//! A raw HTTP/1.1 connection, on which the test decides about every byte. Every wait has a
//! deadline, and says what it waited for.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::DEADLINE;
use crate::response::Response;
use crate::wire::{Framing, Reader};

/// An HTTP/1.1 connection on which the test decides about every byte.
pub struct Connection {
    reader: Reader<TcpStream>,
    deadline: Duration,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// If no server listens there.
    pub async fn open(to: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { reader: Reader::new(stream), deadline: DEADLINE })
    }

    /// Sets how long each of the following steps may take.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Connection {
        self.deadline = deadline;
        self
    }

    /// Writes these bytes.
    ///
    /// # Errors
    ///
    /// If the peer has closed, or does not read them before the deadline.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within(self.deadline, "writing", self.reader.io.write_all(bytes.as_ref())).await
    }

    /// Reads one response (after any informational ones).
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` where it is cut off, `TimedOut` at the deadline, or what the system says
    /// (connection reset).
    pub async fn response(&mut self) -> io::Result<Response> {
        within(self.deadline, "a response", read_response(&mut self.reader, false)).await
    }

    /// Reads what comes until `n` bytes are there.
    ///
    /// # Errors
    ///
    /// As [`Connection::response`].
    pub async fn read(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let reading = self.reader.body(Framing::Length(n));
        Ok(within(self.deadline, "bytes", reading).await?.0)
    }

    /// Reads everything until the peer closes.
    ///
    /// # Errors
    ///
    /// As [`Connection::response`].
    pub async fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let reading = self.reader.body(Framing::UntilClose);
        Ok(within(self.deadline, "the end of the connection", reading).await?.0)
    }

    /// Closes at once with a TCP reset, like a client that vanishes.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn reset(self) -> io::Result<()> {
        self.reader.io.set_zero_linger()
    }

    /// Writes a whole request and reads its response, at once: a server may answer a long request
    /// before it has read it.
    ///
    /// # Errors
    ///
    /// As [`Connection::response`].
    pub async fn exchange(&mut self, bytes: &[u8], to_head: bool) -> io::Result<Response> {
        let deadline = self.deadline;
        let (buffered, io) = self.reader.parts();
        let (read, mut write) = io.split();
        let mut reader = Reader::with_buffered(read, std::mem::take(buffered));
        let writing = async {
            // A peer that has answered already may close before it has read everything: the answer
            // counts.
            let _ = write.write_all(bytes).await;
            std::future::pending::<()>().await;
        };
        let result = within(deadline, "a response", async {
            tokio::select! {
                response = read_response(&mut reader, to_head) => response,
                () = writing => unreachable!("it waits for ever"),
            }
        })
        .await;
        *buffered = reader.into_buffered();
        result
    }

    /// Ends the sending side, and reads until the peer closes. A peer that resets has sent nothing
    /// more either.
    ///
    /// # Errors
    ///
    /// `TimedOut` if the peer does not close before the deadline.
    pub async fn finish(mut self) -> io::Result<Vec<u8>> {
        let _ = self.reader.io.shutdown().await;
        within(self.deadline, "the end of the connection", self.reader.rest()).await
    }
}

async fn read_response<S>(reader: &mut Reader<S>, to_head: bool) -> io::Result<Response>
where
    S: AsyncRead + Unpin,
{
    let started = Instant::now();
    let mut interim = Vec::new();
    loop {
        let head = reader.head().await?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before a response")
        })?;
        let status: u16 =
            head.start.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("status line {:?}", head.start))
            })?;
        if (100..200).contains(&status) && status != 101 {
            interim.push(status);
            continue;
        }
        let framing = Framing::of_response(&head.headers, status, to_head);
        let (body, trailers) = reader.body(framing).await?;
        let elapsed = started.elapsed();
        return Ok(Response { status, headers: head.headers, body, trailers, interim, elapsed });
    }
}

async fn within<T>(
    deadline: Duration,
    what: &str,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what}: none within {deadline:?}")))
    })
}
