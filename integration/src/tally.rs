//! Counts the bytes of requests on a connection, and nothing else.
//!
//! An HTTP/2 connection carries bytes without any request: settings, their acknowledgement,
//! windows, pings. A test that asserts "not one byte of the request" must not see those.

/// The preface with which an HTTP/2 client begins (RFC 9113 §3.4).
const PREFACE: usize = 24;
/// A frame's header (RFC 9113 §4.1).
const FRAME_HEADER: usize = 9;

/// Counts what is read from one connection.
pub(crate) enum Tally {
    /// Every byte belongs to a request.
    Http1,
    /// Only DATA, HEADERS and CONTINUATION frames do.
    Http2(Frames),
}

/// The state of a reader of frames.
pub(crate) struct Frames {
    /// Bytes of the preface, or of a frame's payload, still to come.
    rest: usize,
    /// Whether they are a request's.
    of_request: bool,
    header: Vec<u8>,
}

impl Tally {
    pub(crate) fn http2() -> Tally {
        Tally::Http2(Frames { rest: PREFACE, of_request: false, header: Vec::new() })
    }

    /// How many of these next bytes belong to requests.
    pub(crate) fn count(&mut self, bytes: &[u8]) -> u64 {
        match self {
            Tally::Http1 => bytes.len() as u64,
            Tally::Http2(frames) => frames.count(bytes),
        }
    }
}

impl Frames {
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut counted = 0;
        while !bytes.is_empty() {
            if self.rest > 0 {
                let taken = self.rest.min(bytes.len());
                counted += if self.of_request { taken } else { 0 };
                self.rest -= taken;
                bytes = &bytes[taken..];
                continue;
            }
            let taken = (FRAME_HEADER - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let [a, b, c, kind, ..] = self.header[..]
                && self.header.len() == FRAME_HEADER
            {
                self.rest = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.of_request = matches!(kind, 0 | 1 | 9);
                counted += if self.of_request { FRAME_HEADER } else { 0 };
                self.header.clear();
            }
        }
        counted as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn only_frames_of_requests_count_however_they_are_cut() {
        let wire = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, &[0; 12]),
            frame(1, b"head"),
            frame(8, &[0; 4]),
            frame(0, b"data!"),
            frame(4, b""),
            frame(9, b""),
        ]
        .concat();
        let of_requests = (9 + 4) + (9 + 5) + 9;
        for size in 1..=wire.len() {
            let mut tally = Tally::http2();
            let counted: u64 = wire.chunks(size).map(|part| tally.count(part)).sum();
            assert_eq!(counted, of_requests, "in parts of {size}");
        }
    }

    #[test]
    fn every_byte_of_http1_counts() {
        assert_eq!(Tally::Http1.count(b"GET"), 3);
    }
}
