//! HTTP/2 byte for byte (RFC 9113), for what a library would not send, or not so that it can be
//! counted. Nothing compressed; a client's connection has one stream.

use std::io::ErrorKind;

use crate::Connection;

/// Body bytes.
pub const DATA: u8 = 0;
/// A header or trailer section.
pub const HEADERS: u8 = 1;
/// The end of a stream by error.
pub const RST_STREAM: u8 = 3;
/// The limits for the other side.
pub const SETTINGS: u8 = 4;
/// A question whether the other side is there, and the answer.
pub const PING: u8 = 6;
/// The end of a connection.
pub const GOAWAY: u8 = 7;
/// More room for the other's body bytes.
pub const WINDOW_UPDATE: u8 = 8;
/// The rest of a header section.
pub const CONTINUATION: u8 = 9;

/// Nothing follows on the stream.
pub const END_STREAM: u8 = 1;
/// The answer to settings or a ping.
pub const ACK: u8 = 1;
/// No [`CONTINUATION`] follows.
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// The most that a frame carries (`SETTINGS_MAX_FRAME_SIZE` as it begins).
pub const MOST: usize = 16_384;
const REFUSED_STREAM: u32 = 7;

/// One frame as it was read.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its type, for example [`DATA`].
    pub kind: u8,
    /// For example [`END_STREAM`].
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// Its payload, without padding and priority.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Takes the first frame out of these bytes, if it is there as a whole.
    pub fn take(buffer: &mut Vec<u8>) -> Option<Frame> {
        let head = buffer.first_chunk::<9>()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        if buffer.len() < 9 + length {
            return None;
        }
        let mut payload: Vec<u8> = buffer.drain(..9 + length).skip(9).collect();
        if matches!(kind, DATA | HEADERS) && flags & PADDED != 0 {
            let padding = usize::from(payload.remove(0));
            payload.truncate(payload.len().saturating_sub(padding));
        }
        if kind == HEADERS && flags & PRIORITY != 0 {
            payload.drain(..5);
        }
        Some(Frame { kind, flags, stream, payload })
    }
}

/// A client's first bytes on a connection (RFC 9113 §3.4).
#[must_use]
pub fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, b"")].concat()
}

/// A server's first frames: default settings, and a window for any request.
pub(crate) fn greeting() -> Vec<u8> {
    let room = 0x0100_0000_u32.to_be_bytes();
    [frame(SETTINGS, 0, 0, b""), frame(WINDOW_UPDATE, 0, 0, &room)].concat()
}

/// A header or trailer section; `last` if nothing follows.
#[must_use]
pub fn headers(fields: &[(&str, &str)], last: bool) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | (u8::from(last) * END_STREAM), 1, &block(fields))
}

/// A complete response. It must fit into the peer's initial windows, which are not tracked.
pub(crate) fn response(stream: u32, fields: &[(&[u8], &[u8])], body: &[u8]) -> Vec<u8> {
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &block(fields));
    for part in body.chunks(MOST) {
        bytes.extend(frame(DATA, 0, stream, part));
    }
    bytes.extend(frame(DATA, END_STREAM, stream, b""));
    bytes
}

/// The end of a stream that the server has not looked at.
pub(crate) fn refused_stream(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &REFUSED_STREAM.to_be_bytes())
}

/// The end of a connection, without an error; streams after `last` are not looked at.
pub(crate) fn goaway(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
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
    let mut bytes = match connection.read(9).await {
        Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            return None;
        }
        read => read.expect("a frame"),
    };
    let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
    bytes.extend(connection.read(length as usize).await.expect("the whole frame"));
    Frame::take(&mut bytes)
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
        if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
            return body;
        }
    }
}

/// One frame.
///
/// # Panics
///
/// If it carries more than a frame may.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= MOST, "{} bytes in a frame", payload.len());
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// Literal fields without indexing and without Huffman coding (RFC 7541 §6.2.2): any bytes at all.
pub fn block(fields: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name.as_ref());
        string(&mut block, value.as_ref());
    }
    block
}

/// A string, its length with a prefix of 7 bits (RFC 7541 §5.1, §5.2).
fn string(block: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(rest as u8);
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push((rest % 128) as u8 | 0x80);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend_from_slice(text);
}
