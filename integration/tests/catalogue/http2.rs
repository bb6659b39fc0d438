//! A raw HTTP/2 client on which the row decides about every field: an HTTP library would refuse to
//! send what must not be sent. One connection carries one request, on stream 1.

use std::io;
use std::net::SocketAddr;

use integration::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, MOST, PING,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame,
};
use integration::{Headers, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const STREAM: u32 = 1;

/// A field: name and value.
pub type Field = (Vec<u8>, Vec<u8>);

/// A connection with its one stream.
pub struct Http2 {
    io: TcpStream,
    buffer: Vec<u8>,
    decoder: loona_hpack::Decoder<'static>,
    block: Vec<u8>,
    connection_window: i64,
    stream_window: i64,
    got: Got,
}

/// The bytes that have come on the stream.
#[derive(Default)]
struct Got {
    heads: Vec<Vec<Field>>,
    body: Vec<u8>,
    ended: bool,
    reset: Option<u32>,
    goaway: bool,
    closed: bool,
    pings: usize,
    after_end: usize,
}

impl Got {
    fn over(&self) -> bool {
        self.ended || self.reset.is_some() || self.goaway || self.closed
    }
}

impl Http2 {
    pub async fn open(to: SocketAddr) -> io::Result<Http2> {
        let io = TcpStream::connect(to).await?;
        io.set_nodelay(true)?;
        let mut connection = Http2 {
            io,
            buffer: Vec::new(),
            decoder: loona_hpack::Decoder::new(),
            block: Vec::new(),
            connection_window: 65_535,
            stream_window: 65_535,
            got: Got::default(),
        };
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // SETTINGS_INITIAL_WINDOW_SIZE and the connection's window: room for any reply here.
        hello.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 0x40, 0, 0]));
        hello.extend(frame(WINDOW_UPDATE, 0, 0, &0x0040_0000_u32.to_be_bytes()));
        connection.io.write_all(&hello).await?;
        Ok(connection)
    }

    /// Sends a header block, or trailers.
    pub async fn headers(&mut self, fields: &[Field], end: bool) -> io::Result<()> {
        let block = block(fields);
        let mut pieces = block.chunks(MOST).peekable();
        let mut kind = HEADERS;
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next() {
            let mut flags = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            if end && kind == HEADERS {
                flags |= END_STREAM;
            }
            bytes.extend(frame(kind, flags, STREAM, piece));
            kind = CONTINUATION;
        }
        self.io.write_all(&bytes).await
    }

    /// Sends a part of the body as the peer's windows allow; stops where the peer has ended the
    /// stream.
    pub async fn data(&mut self, mut bytes: &[u8], end: bool) -> io::Result<()> {
        loop {
            let room = self.connection_window.min(self.stream_window).max(0);
            let n = bytes.len().min(MOST).min(usize::try_from(room).unwrap_or(0));
            if n > 0 || bytes.is_empty() {
                let (part, rest) = bytes.split_at(n);
                let last = end && rest.is_empty();
                let flags = if last { END_STREAM } else { 0 };
                self.io.write_all(&frame(DATA, flags, STREAM, part)).await?;
                self.connection_window -= i64::try_from(n).unwrap_or(i64::MAX);
                self.stream_window -= i64::try_from(n).unwrap_or(i64::MAX);
                bytes = rest;
                if bytes.is_empty() {
                    return Ok(());
                }
            } else if self.got.over() {
                return Ok(());
            } else {
                self.frame().await?;
            }
        }
    }

    /// How many bytes a whole connection with this one request takes, its settings'
    /// acknowledgement left out.
    pub fn size(fields: &[Field], body: &[u8], trailers: Option<&[Field]>) -> usize {
        let block = |fields: &[Field]| 9 + block(fields).len();
        let data = if body.is_empty() { 0 } else { 9 + body.len() };
        24 + 15 + 13 + block(fields) + data + trailers.map_or(0, block)
    }

    /// Reads until the end of the stream, or until this many bytes of the response's body have
    /// come.
    pub async fn response(&mut self, enough: Option<usize>) -> io::Result<Response> {
        let whole =
            |http2: &Http2| http2.got.over() && (http2.block.is_empty() || http2.got.closed);
        while !whole(self) && enough.is_none_or(|n| self.got.body.len() < n) {
            self.frame().await?;
        }
        let mut response = Response::default();
        for fields in &self.got.heads {
            let status = fields.iter().find(|(name, _)| name == b":status");
            let status = status.and_then(|(_, s)| std::str::from_utf8(s).ok()?.parse().ok());
            match status {
                Some(status @ 100..200) => response.interim.push(status),
                Some(status) => {
                    response.status = status;
                    response.headers = without_pseudo(fields);
                }
                None => response.trailers = without_pseudo(fields),
            }
        }
        response.body.clone_from(&self.got.body);
        Ok(response)
    }

    /// Waits until the peer has dealt with everything sent so far; whether anything more than one
    /// reply has come.
    pub async fn settle(&mut self) -> io::Result<bool> {
        let before = self.got.pings;
        if self.got.goaway {
            // It closes soon, and may send something until then.
            while !self.got.closed {
                self.frame().await?;
            }
        } else if !self.got.closed && self.io.write_all(&frame(PING, 0, 0, &[7; 8])).await.is_ok() {
            while self.got.pings == before && !self.got.closed {
                self.frame().await?;
            }
        }
        let status = |fields: &&Vec<Field>| {
            fields.iter().any(|(name, value)| name == b":status" && !value.starts_with(b"1"))
        };
        Ok(self.got.after_end > 0 || self.got.heads.iter().filter(status).count() > 1)
    }

    /// Resets the stream (`CANCEL`).
    pub async fn cancel(&mut self) -> io::Result<()> {
        self.io.write_all(&frame(RST_STREAM, 0, STREAM, &8_u32.to_be_bytes())).await?;
        self.settle().await.map(|_| ())
    }

    /// Reads one frame and notes what it says.
    async fn frame(&mut self) -> io::Result<()> {
        let Some(Frame { kind, flags, stream, payload }) = self.next().await? else {
            return Ok(());
        };
        if matches!(kind, DATA | HEADERS) && stream == STREAM && self.got.ended {
            self.got.after_end += 1;
        }
        match kind {
            DATA => {
                self.got.body.extend(payload);
                self.got.ended |= flags & END_STREAM != 0;
            }
            HEADERS | CONTINUATION => {
                self.block.extend(payload);
                // END_STREAM is on HEADERS, before its CONTINUATIONs.
                self.got.ended |= kind == HEADERS && flags & END_STREAM != 0;
                if flags & END_HEADERS != 0 {
                    let block = std::mem::take(&mut self.block);
                    let fields = self.decoder.decode(&block).map_err(|e| {
                        io::Error::new(io::ErrorKind::InvalidData, format!("HPACK: {e:?}"))
                    })?;
                    let fields = fields.into_iter().map(|(n, v)| (n.to_vec(), v.to_vec()));
                    self.got.heads.push(fields.collect());
                }
            }
            RST_STREAM if stream == STREAM => self.got.reset = Some(be32(&payload)),
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6).filter(|s| s[..2] == [0, 4]) {
                    self.stream_window += i64::from(be32(&setting[2..])) - 65_535;
                }
                // Reading shows that the peer has gone.
                let _ = self.io.write_all(&frame(SETTINGS, ACK, 0, &[])).await;
            }
            PING if flags & ACK != 0 => self.got.pings += 1,
            GOAWAY => self.got.goaway = true,
            WINDOW_UPDATE if stream == 0 => self.connection_window += i64::from(be32(&payload)),
            WINDOW_UPDATE => self.stream_window += i64::from(be32(&payload)),
            _ => {}
        }
        Ok(())
    }

    /// The next frame; none where the peer has closed or reset the connection.
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = Frame::take(&mut self.buffer) {
                return Ok(Some(frame));
            }
            self.buffer.reserve(MOST);
            match self.io.read_buf(&mut self.buffer).await {
                Ok(0) => self.got.closed = true,
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => self.got.closed = true,
                Err(e) => return Err(e),
                Ok(_) => continue,
            }
            return Ok(None);
        }
    }
}

fn without_pseudo(fields: &[Field]) -> Headers {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let plain = fields.iter().filter(|(name, _)| !name.starts_with(b":"));
    Headers(plain.map(|(name, value)| (text(name), value.clone())).collect())
}

fn be32(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |four| u32::from_be_bytes(*four))
}
