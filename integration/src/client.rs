//! Ordinary requests in one line; `connection.rs` is for everything that is
//! not ordinary. A request without a complete response in time fails the test.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::DEADLINE;
use crate::connection::Connection;
use crate::response::Response;
use crate::wire::Headers;

/// A request being put together; sent by [`Request::send`] (HTTP/1.1) or [`Request::send_h2`].
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) to: SocketAddr,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Headers,
    chunked: bool,
    deadline: Duration,
}

impl Request {
    /// A request to `target` (path and query) of the server at `to`.
    #[must_use]
    pub fn new(to: SocketAddr, method: &str, target: &str) -> Request {
        Request {
            to,
            method: method.to_owned(),
            target: target.to_owned(),
            host: "gateway.example".to_owned(),
            headers: Headers::default(),
            body: Vec::new(),
            trailers: Headers::default(),
            chunked: false,
            deadline: DEADLINE,
        }
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Adds a header line; several with one name stay several.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers.push(name, value);
        self
    }

    /// Adds these header lines.
    #[must_use]
    pub fn headers<N: AsRef<str>, V: AsRef<[u8]>>(
        self,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Request {
        let add = |request: Request, (name, value): (N, V)| request.header(name.as_ref(), value);
        headers.into_iter().fold(self, add)
    }

    /// Says of whom it comes by all these header names, which only the filter may.
    #[must_use]
    pub fn forging(self, names: &[&str]) -> Request {
        self.headers(names.iter().map(|name| (name, "forged")))
    }

    /// Adds `Authorization: Bearer <token>`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Request {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sends this body, with a content-length.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sends the body in chunks (HTTP/1.1).
    #[must_use]
    pub fn chunked(mut self) -> Request {
        self.chunked = true;
        self
    }

    /// Adds a trailer line (HTTP/1.1: the body then goes in chunks).
    #[must_use]
    pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.trailers.push(name, value);
        self.chunked()
    }

    /// Sends this `Host`, or `:authority`.
    #[must_use]
    pub fn host(mut self, host: &str) -> Request {
        host.clone_into(&mut self.host);
        self
    }

    /// Fails after this time instead of 20 seconds.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Request {
        self.deadline = deadline;
        self
    }

    /// Sends it over HTTP/1.1 on a connection of its own and returns the response.
    ///
    /// # Panics
    ///
    /// If no complete response comes before the deadline.
    pub async fn send(self) -> Response {
        match self.try_send().await {
            Ok(response) => response,
            Err(e) => panic!("{} {}: no complete response: {e}", self.method, self.target),
        }
    }

    /// Like [`Request::send`], with a failure as a value.
    ///
    /// # Errors
    ///
    /// Where the connection or the response breaks off, or the deadline passes.
    pub async fn try_send(&self) -> io::Result<Response> {
        let mut connection = Connection::open(self.to).await?.deadline(self.deadline);
        let to_head = self.method == "HEAD";
        let bytes = self.to_bytes();
        let started = Instant::now();
        let mut response = connection.exchange(&bytes, to_head).await?;
        response.elapsed = started.elapsed();
        Ok(response)
    }

    /// The HTTP/1.1 bytes of this request.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out =
            format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.target, self.host)
                .into_bytes();
        self.headers.write_to(&mut out);
        if self.chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            for chunk in self.body.chunks(16 << 10) {
                out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                out.extend_from_slice(chunk);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"0\r\n");
            self.trailers.write_to(&mut out);
        } else if !self.body.is_empty() {
            out.extend(format!("content-length: {}\r\n", self.body.len()).into_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if !self.chunked {
            out.extend_from_slice(&self.body);
        }
        out
    }

    pub(crate) fn time_allowed(&self) -> Duration {
        self.deadline
    }
}
