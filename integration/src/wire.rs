//! HTTP/1.1 as bytes: headers and bodies read byte for byte, nothing normalised, nothing lost.
//! Client, provider and upstream share it, because a test must see the bytes that an HTTP library
//! would normalise.

use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest head that is read; Envoy's own limit is 60 KiB, so anything above is a mistake of the
/// test.
const MAX_HEAD: usize = 4 << 20;

/// Header (or trailer) lines in the order in which they came, values as bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Vec<u8>)>);

impl Headers {
    /// The value of the one line with this name (case-insensitive), as text.
    ///
    /// # Panics
    ///
    /// If several lines have the name: a test that expects one must not overlook a second. Use
    /// [`Headers::all`].
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let all = self.all(name);
        assert!(all.len() < 2, "header {name} came {} times: {all:?}", all.len());
        all.into_iter().next()
    }

    /// The values of all lines with this name, as text (bytes that are not UTF-8 replaced: see
    /// [`Headers::bytes`]).
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        self.bytes(name).into_iter().map(|v| String::from_utf8_lossy(&v).into_owned()).collect()
    }

    /// The values of all lines with this name, byte for byte.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Vec<Vec<u8>> {
        self.0
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.clone())
            .collect()
    }

    /// Whether any line has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// Adds a line at the end.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.0.push((name.to_owned(), value.as_ref().to_vec()));
    }

    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Whether a comma-separated list header has this member.
    pub(crate) fn lists(&self, name: &str, member: &str) -> bool {
        self.all(name)
            .iter()
            .flat_map(|v| v.split(','))
            .any(|m| m.trim().eq_ignore_ascii_case(member))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(n, v)| format!("{n}: {}", v.escape_ascii())))
            .finish()
    }
}

/// How far the body goes (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    pub(crate) fn of_request(headers: &Headers) -> Framing {
        match Framing::stated(headers) {
            Some(framing) => framing,
            None => Framing::Length(0),
        }
    }

    pub(crate) fn of_response(headers: &Headers, status: u16, to_head: bool) -> Framing {
        if to_head || status == 204 || status == 304 || status < 200 {
            return Framing::Length(0);
        }
        Framing::stated(headers).unwrap_or(Framing::UntilClose)
    }

    fn stated(headers: &Headers) -> Option<Framing> {
        if headers.lists("transfer-encoding", "chunked") {
            return Some(Framing::Chunked);
        }
        headers.all("content-length").first()?.trim().parse().ok().map(Framing::Length)
    }
}

/// Start line and header lines of one message.
#[derive(Clone, Debug)]
pub(crate) struct MessageHead {
    pub(crate) start: String,
    pub(crate) headers: Headers,
}

/// Reads messages from a stream, keeping what came too early for the next one.
pub(crate) struct Reader<S> {
    pub(crate) io: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(crate) fn new(io: S) -> Reader<S> {
        Reader::with_buffered(io, Vec::new())
    }

    /// A reader for which these bytes have come already.
    pub(crate) fn with_buffered(io: S, buffer: Vec<u8>) -> Reader<S> {
        Reader { io, buffer }
    }

    /// Bytes that have come and were not read yet.
    pub(crate) fn into_buffered(self) -> Vec<u8> {
        self.buffer
    }

    pub(crate) fn parts(&mut self) -> (&mut Vec<u8>, &mut S) {
        (&mut self.buffer, &mut self.io)
    }

    /// Everything until the peer closes or resets.
    pub(crate) async fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return Ok(std::mem::take(&mut self.buffer)),
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(std::mem::take(&mut self.buffer));
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// The next head, or none where the peer closed between messages.
    pub(crate) async fn head(&mut self) -> io::Result<Option<MessageHead>> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(invalid("head without an end"));
            }
            if !self.fill().await? {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(cut(&format!("inside a head: {}", self.buffer.escape_ascii())));
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let mut lines =
            head[..end].split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
        let start = latin1(lines.next().unwrap_or_default());
        let headers = lines.map(header_line).collect::<io::Result<Vec<_>>>()?;
        Ok(Some(MessageHead { start, headers: Headers(headers) }))
    }

    /// The body and, after a chunked one, its trailers. An end before the stated one is an error of
    /// kind `UnexpectedEof`.
    pub(crate) async fn body(&mut self, framing: Framing) -> io::Result<(Vec<u8>, Headers)> {
        match framing {
            Framing::Length(n) => Ok((self.exactly(n).await?, Headers::default())),
            Framing::UntilClose => {
                while self.fill().await? {}
                Ok((std::mem::take(&mut self.buffer), Headers::default()))
            }
            Framing::Chunked => self.chunks().await,
        }
    }

    /// The next bytes, as they come; empty at the end of the stream.
    pub(crate) async fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    async fn chunks(&mut self) -> io::Result<(Vec<u8>, Headers)> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = line.split(|b| *b == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size)
                .ok()
                .and_then(|s| usize::from_str_radix(s.trim(), 16).ok())
                .ok_or_else(|| invalid(&format!("chunk size {}", line.escape_ascii())))?;
            if size == 0 {
                break;
            }
            body.extend(self.exactly(size).await?);
            self.line().await?;
        }
        let mut trailers = Headers::default();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok((body, trailers));
            }
            trailers.0.push(header_line(&line)?);
        }
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = self.buffer[..at].to_vec();
                self.buffer.drain(..at + 2);
                return Ok(line);
            }
            if !self.fill().await? {
                return Err(cut("inside a chunked body"));
            }
        }
    }

    async fn exactly(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < n {
            if !self.fill().await? {
                return Err(cut(&format!("after {} of {n} bytes", self.buffer.len())));
            }
        }
        let rest = self.buffer.split_off(n);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(64 << 10);
        Ok(self.io.read_buf(&mut self.buffer).await? > 0)
    }
}

/// One byte, one character: keeps every byte of a header line in a `String`.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

fn header_line(line: &[u8]) -> io::Result<(String, Vec<u8>)> {
    let colon = line
        .iter()
        .position(|b| *b == b':')
        .ok_or_else(|| invalid(&format!("header line without a colon: {}", line.escape_ascii())))?;
    Ok((latin1(&line[..colon]), line[colon + 1..].trim_ascii().to_vec()))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn cut(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the stream ended {what}"))
}
