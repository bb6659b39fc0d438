//! HTTP/2 byte for byte (RFC 9113), for what a library would not send, or not so that it can be
//! counted. One stream per connection, nothing compressed.

use std::io::ErrorKind;

use crate::Connection;

/// Body bytes.
pub const DATA: u8 = 0;
/// A header or trailer section.
pub const HEADERS: u8 = 1;
/// The end of a stream by error.
pub const RST_STREAM: u8 = 3;
/// The end of a connection.
pub const GOAWAY: u8 = 7;

const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One frame as it was read.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its type, for example [`DATA`].
    pub kind: u8,
    /// Whether its stream ends with it.
    pub last: bool,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// What a connection begins with (RFC 9113 §3.4).
#[must_use]
pub fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, b"")].concat()
}

/// A header or trailer section, as literal fields without indexing (RFC 7541 §6.2.2); `last` if
/// nothing follows.
///
/// # Panics
///
/// If a name or value takes 127 bytes or more.
#[must_use]
pub fn headers(fields: &[(&str, &str)], last: bool) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "the length takes more than one byte: {text}");
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS | (u8::from(last) * END_STREAM), 1, &block)
}

/// A part of the body; `last` if nothing follows.
#[must_use]
pub fn data(bytes: &[u8], last: bool) -> Vec<u8> {
    frame(DATA, u8::from(last) * END_STREAM, 1, bytes)
}

/// Reads the next frame; none where the peer has closed the connection.
///
/// # Panics
///
/// If none comes in time.
pub async fn next(connection: &mut Connection) -> Option<Frame> {
    let head = match connection.read(9).await {
        Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            return None;
        }
        read => read.expect("a frame"),
    };
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let payload = connection.read(length as usize).await.expect("the whole frame");
    let last = matches!(head[3], DATA | HEADERS) && head[4] & END_STREAM != 0;
    Some(Frame { kind: head[3], last, payload })
}

/// The first frame that answers the request; none where the peer has closed the connection.
///
/// # Panics
///
/// As [`next`].
pub async fn answer(connection: &mut Connection) -> Option<Frame> {
    loop {
        let frame = next(connection).await?;
        if matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY) {
            return Some(frame);
        }
    }
}

/// The body of the response, read to its end.
///
/// # Panics
///
/// If the stream or the connection ends before.
pub async fn body(connection: &mut Connection) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let frame = next(connection).await.expect("a whole response");
        assert!(!matches!(frame.kind, RST_STREAM | GOAWAY), "no whole response: {frame:?}");
        if frame.kind == DATA {
            body.extend(&frame.payload);
        }
        if frame.last {
            return body;
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&[0, length[0], length[1], kind, flags, 0, 0, 0, stream], payload].concat()
}
