//! The echo upstream: answers every request with a JSON description of it and records it. It
//! supports HTTP/1.1 (by hand, to keep order and bytes), HTTP/2 by prior knowledge and protocol
//! upgrades, on one port; it counts every byte that reaches it, so that a test can assert that
//! nothing came through.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::io::InspectReader;

use crate::tally::Tally;
use crate::wire::{Framing, Headers, Reader, latin1};
use crate::{DEADLINE, runtime};

/// One request that reached the upstream.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header lines; in their order for HTTP/1.1, grouped by name for HTTP/2 (`:authority` shown as
    /// `host`).
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// Trailer lines.
    pub trailers: Headers,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: String,
}

impl Received {
    /// The upstream's answer: this request as JSON, for people to read: one line for each header.
    #[must_use]
    pub fn echo(&self) -> String {
        let Value::Object(parts) = self.to_json() else { unreachable!("built as an object") };
        let parts: Vec<String> =
            parts.iter().map(|(name, part)| format!("  \"{name}\": {}", lined(part))).collect();
        format!("{{\n{}\n}}\n", parts.join(",\n"))
    }

    /// This request as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "method": self.method,
            "path": self.target,
            "protocol": self.protocol,
            "headers": lines(&self.headers),
            "body_bytes": self.body.len(),
            "body_sha256": sha256(&self.body),
            "trailers": lines(&self.trailers),
        })
    }
}

/// SHA-256 in hexadecimal, as the echo shows it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The echo upstream. Clones are handles to the same one; it stops when the last is dropped.
#[derive(Clone, Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    received: Mutex<Vec<Received>>,
    forgetful: AtomicBool,
    next: Mutex<VecDeque<(u16, Headers)>>,
    count: watch::Sender<usize>,
    bytes: AtomicU64,
}

impl Upstream {
    /// Starts one on a free port of 127.0.0.1.
    pub async fn start() -> Upstream {
        Upstream::start_on(0).await.expect("a free port on loopback")
    }

    /// Starts one on a given port of 127.0.0.1, 0 for a free one.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub async fn start_on(port: u16) -> io::Result<Upstream> {
        let listener = runtime()
            .spawn(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))))
            .await
            .expect("binding does not panic")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            forgetful: AtomicBool::new(false),
            next: Mutex::default(),
            count: watch::Sender::new(0),
            bytes: AtomicU64::new(0),
        });
        let weak = Arc::downgrade(&shared);
        let mut gone = shared.count.subscribe();
        runtime().spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (Ok((stream, _)), Some(shared)) = (accepted, weak.upgrade()) else {
                            continue;
                        };
                        runtime().spawn(async move { shared.serve(stream).await });
                    }
                    // Ends only when the sender goes, with the last handle.
                    _ = gone.wait_for(|_| false) => return,
                }
            }
        });
        Ok(Upstream { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have come completely (upgrades: their header).
    #[must_use]
    pub fn count(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// How many bytes of requests have come; the HTTP/2 connection's own frames do not count.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::SeqCst)
    }

    /// Every request so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Every request since the last use of this method; clears them.
    #[must_use]
    pub fn take(&self) -> Vec<Received> {
        let mut received = self.shared.received.lock();
        std::mem::take(received.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut()))
    }

    /// Counts requests from now on, but does not keep them: for more than memory should hold.
    pub fn forget(&self) -> &Upstream {
        self.shared.forgetful.store(true, Ordering::SeqCst);
        drop(self.take());
        self
    }

    /// Answers the next request that has no such answer yet with this status and these headers
    /// beside the echo.
    pub fn answer_next(&self, status: u16, headers: Headers) -> &Upstream {
        let next = self.shared.next.lock();
        next.unwrap_or_else(std::sync::PoisonError::into_inner).push_back((status, headers));
        self
    }

    /// The one request that came.
    ///
    /// # Panics
    ///
    /// If none or several came.
    #[must_use]
    pub fn only(&self) -> Received {
        let all = self.received();
        assert_eq!(all.len(), 1, "requests at the upstream: {all:#?}");
        all.into_iter().next().expect("counted")
    }

    /// Asserts that not one byte has come.
    ///
    /// # Panics
    ///
    /// If any has.
    pub fn assert_untouched(&self) {
        assert_eq!(self.bytes(), 0, "bytes at the upstream; requests: {:#?}", self.received());
    }

    /// Waits until `n` requests have come.
    ///
    /// # Panics
    ///
    /// After 20 seconds without.
    pub async fn wait(&self, n: usize) {
        let mut count = self.shared.count.subscribe();
        let enough = tokio::time::timeout(DEADLINE, count.wait_for(|seen| *seen >= n)).await;
        assert!(enough.is_ok(), "waited for {n} requests at the upstream, {} came", self.count());
    }
}

impl Shared {
    async fn serve(self: Arc<Shared>, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        // "PRI" is no HTTP/1.1 method (RFC 9113 §3.4).
        let mut early = Vec::new();
        while early.len() < 3 {
            if stream.read_buf(&mut early).await? == 0 {
                return Ok(());
            }
        }
        let is_http2 = early.starts_with(b"PRI");
        let mut tally = if is_http2 { Tally::http2() } else { Tally::Http1 };
        let seen = self.clone();
        let (reader, writer) = stream.into_split();
        let reader =
            InspectReader::new(io::Cursor::new(early).chain(reader), move |bytes: &[u8]| {
                seen.bytes.fetch_add(tally.count(bytes), Ordering::SeqCst);
            });
        let stream = tokio::io::join(reader, writer);
        if is_http2 {
            self.serve_http2(stream).await.map_err(io::Error::other)
        } else {
            self.serve_http1(stream).await
        }
    }

    async fn serve_http1(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut reader = Reader::new(stream);
        while let Some(head) = reader.head().await? {
            let (body, trailers) = reader.body(Framing::of_request(&head.headers)).await?;
            let mut start = head.start.splitn(3, ' ').map(str::to_owned);
            let request = Received {
                method: start.next().unwrap_or_default(),
                target: start.next().unwrap_or_default(),
                protocol: start.next().unwrap_or_default(),
                headers: head.headers,
                body,
                trailers,
            };
            let upgrade = request.headers.get("upgrade");
            let to_head = request.method == "HEAD";
            let echo = self.record(request);
            if let Some(protocol) = upgrade {
                let switch = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n\
                     upgrade: {protocol}\r\n\r\n"
                );
                reader.io.write_all(switch.as_bytes()).await?;
                loop {
                    let bytes = reader.some().await?;
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    reader.io.write_all(&bytes).await?;
                }
            }
            let (status, headers) = self.next();
            let mut answer = format!("HTTP/1.1 {status} Echo\r\n").into_bytes();
            headers.write_to(&mut answer);
            answer.extend_from_slice(b"content-type: application/json\r\n");
            answer.extend(format!("content-length: {}\r\n\r\n", echo.len()).into_bytes());
            if !to_head {
                answer.extend_from_slice(echo.as_bytes());
            }
            reader.io.write_all(&answer).await?;
        }
        Ok(())
    }

    async fn serve_http2(
        self: Arc<Shared>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<(), h2::Error> {
        let mut builder = h2::server::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(16 << 20);
        let mut connection = builder.handshake::<_, Bytes>(stream).await?;
        while let Some(accepted) = connection.accept().await {
            let (request, respond) = accepted?;
            let shared = self.clone();
            runtime().spawn(async move { shared.answer_http2(request, respond).await });
        }
        Ok(())
    }

    async fn answer_http2(
        &self,
        request: http::Request<h2::RecvStream>,
        mut respond: h2::server::SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let (parts, mut stream) = request.into_parts();
        let mut body = Vec::new();
        while let Some(chunk) = stream.data().await {
            let chunk = chunk?;
            stream.flow_control().release_capacity(chunk.len())?;
            body.extend_from_slice(&chunk);
        }
        let trailers = stream.trailers().await?.unwrap_or_default();
        let mut headers = Headers::default();
        if let Some(authority) = parts.uri.authority() {
            headers.push("host", authority.as_str());
        }
        headers.0.extend(from_map(&parts.headers).0);
        let echo = self.record(Received {
            method: parts.method.to_string(),
            target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            protocol: "HTTP/2".to_owned(),
            headers,
            body,
            trailers: from_map(&trailers),
        });
        let (status, headers) = self.next();
        let mut response = http::Response::builder().status(status);
        for (name, value) in &headers.0 {
            response = response.header(name.as_str(), value.as_slice());
        }
        let response = response.header("content-type", "application/json").body(());
        let mut out = respond.send_response(response.expect("a response to send"), false)?;
        out.send_data(Bytes::from(echo), true)
    }

    fn next(&self) -> (u16, Headers) {
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        next.pop_front().unwrap_or_else(|| (200, Headers::default()))
    }

    fn record(&self, request: Received) -> String {
        let echo = request.echo();
        if !self.forgetful.load(Ordering::SeqCst) {
            self.received.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(request);
        }
        self.count.send_modify(|count| *count += 1);
        echo
    }
}

pub(crate) fn from_map(map: &http::HeaderMap) -> Headers {
    Headers(map.iter().map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec())).collect())
}

/// A list with a line for each member; anything else on one line.
fn lined(part: &Value) -> String {
    match part.as_array().map(Vec::as_slice) {
        None | Some([]) => part.to_string(),
        Some(members) => {
            let members: Vec<String> =
                members.iter().map(|member| format!("    {member}")).collect();
            format!("[\n{}\n  ]", members.join(",\n"))
        }
    }
}

/// Lossless: `value` is the text; where the bytes are not plain ASCII, `latin1` has one character
/// per byte.
fn lines(headers: &Headers) -> Value {
    headers
        .0
        .iter()
        .map(|(name, value)| {
            let mut line = json!({"name": name, "value": String::from_utf8_lossy(value)});
            if !value.is_ascii() {
                line["latin1"] = Value::from(latin1(value));
            }
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_is_json_with_one_line_for_each_header() {
        let received = Received {
            headers: Headers(vec![
                ("host".into(), b"api".to_vec()),
                ("x-user-id".into(), b"1".to_vec()),
            ]),
            ..Received::default()
        };
        let echo = received.echo();
        assert_eq!(serde_json::from_str::<Value>(&echo).unwrap(), received.to_json());
        // compose-test.sh looks for lines of this form.
        let line = r#"    {"name":"x-user-id","value":"1"}"#;
        assert_eq!(echo.lines().filter(|l| *l == line).count(), 1, "{echo}");
    }
}
