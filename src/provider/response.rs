//! What comes back from a call, as plain data; and whether a provider or Envoy itself wrote it.

use crate::request::headers::{Field, HeaderView, media_type, says_json};

/// What became of a call, as the host tells it.
#[derive(Debug)]
pub enum Answer<'b> {
    /// The host did not make the call: no such cluster, no healthy host, circuit breaker open.
    NotSent,
    /// The call ended without a whole answer: reset, timeout or over the host's limit after the
    /// headers had come.
    CutOff,
    /// A whole answer. It may be one that Envoy made itself because none came.
    Whole {
        /// Its headers, `:status` among them.
        head: HeaderView<'b>,
        /// Its body.
        body: Body<'b>,
    },
}

/// The body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'b> {
    /// Within `max_userinfo_bytes`.
    Read(&'b [u8]),
    /// Larger, and therefore not read.
    TooLarge,
}

impl<'b> Body<'b> {
    /// The bytes, where they were read and the answer's `content-encoding` leaves them as they are.
    pub(crate) fn plain(self, head: &HeaderView<'_>) -> Result<&'b [u8], Unreadable> {
        let encoded = !head.values("content-encoding").all(|v| {
            let coding = v.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
        });
        match self {
            Body::TooLarge => Err(Unreadable::TooLarge),
            Body::Read(_) if encoded => Err(Unreadable::Encoded),
            Body::Read(bytes) => Ok(bytes),
        }
    }
}

/// Why a body is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    TooLarge,
    Encoded,
}

/// The status code of an answer, if it has exactly one.
pub(crate) fn status(head: &HeaderView<'_>) -> Option<u16> {
    match head.field(":status") {
        // Three digits (RFC 9110 §15): `+200` and `0200` are numbers too, but no status.
        Field::One(text) if text.len() == 3 && text.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(text).ok()?.parse().ok()
        }
        Field::One(_) => None,
        Field::Absent | Field::Several => None,
    }
}

/// Whether the answer's body is to be read as JSON: it says so, or says nothing at all.
pub(crate) fn is_json(head: &HeaderView<'_>) -> bool {
    match head.field("content-type") {
        Field::Absent => true,
        Field::One(value) => says_json(value),
        Field::Several => false,
    }
}

/// Whether an answer is the provider's own, of any status.
pub(crate) fn is_providers(answer: &Answer<'_>) -> bool {
    match answer {
        Answer::NotSent | Answer::CutOff => false,
        Answer::Whole { head, .. } => {
            !(is_envoys_own(head) && matches!(status(head), Some(502..=504)))
        }
    }
}

/// Whether the time of a call says how long the provider takes: it answered, or Envoy waited for it in vain
/// (its own 504). A connection that is refused takes none.
pub(crate) fn tells_time(answer: &Answer<'_>) -> bool {
    let in_vain = |head| status(head) == Some(504);
    is_providers(answer) || matches!(answer, Answer::Whole { head, .. } if in_vain(head))
}

/// Envoy marks what a provider really sent; its own 502, 503 and 504 lack the mark.
pub(crate) fn is_envoys_own(head: &HeaderView<'_>) -> bool {
    head.field("x-envoy-upstream-service-time") == Field::Absent
}

/// Whether the answer is a JWT (OpenID Connect Core §5.3.2).
pub(crate) fn is_jwt(head: &HeaderView<'_>) -> bool {
    is_typed(head, b"application/jwt")
}

/// Whether the answer is a signed introspection response (RFC 9701 §5).
pub(crate) fn is_introspection_jwt(head: &HeaderView<'_>) -> bool {
    is_typed(head, b"application/token-introspection+jwt")
}

fn is_typed(head: &HeaderView<'_>, kind: &[u8]) -> bool {
    match head.field("content-type") {
        Field::One(value) => {
            value.len() >= kind.len() && media_type(value).eq_ignore_ascii_case(kind)
        }
        Field::Absent | Field::Several => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_refused_tells_no_time() {
        let tells = |status: &[u8], own: bool| {
            let mark: (&[u8], &[u8]) = (b"x-envoy-upstream-service-time", b"1");
            let mut pairs: Vec<(&[u8], &[u8])> = vec![(b":status", status)];
            pairs.extend((!own).then_some(mark));
            tells_time(&Answer::Whole { head: HeaderView::new(pairs), body: Body::Read(b"") })
        };
        assert!([&b"200"[..], b"401", b"502", b"503", b"504"].iter().all(|s| tells(s, false)));
        assert_eq!([&b"502"[..], b"503", b"504"].map(|s| tells(s, true)), [false, false, true]);
        assert!(!tells_time(&Answer::NotSent) && !tells_time(&Answer::CutOff));
    }

    #[test]
    fn an_encoded_or_oversized_body_is_not_read() {
        let head = |coding: &'static [u8]| HeaderView::new(vec![(b"content-encoding", coding)]);
        assert_eq!(Body::Read(b"x").plain(&HeaderView::default()), Ok(&b"x"[..]));
        assert_eq!(Body::Read(b"x").plain(&head(b"Identity")), Ok(&b"x"[..]));
        assert_eq!(Body::Read(b"x").plain(&head(b"gzip")), Err(Unreadable::Encoded));
        assert_eq!(Body::Read(b"x").plain(&head(b"identity, gzip")), Err(Unreadable::Encoded));
        assert_eq!(Body::TooLarge.plain(&HeaderView::default()), Err(Unreadable::TooLarge));
    }

    #[test]
    fn only_one_well_formed_status_counts() {
        assert_eq!(status(&HeaderView::new(vec![(b":status", b"200")])), Some(200));
        for text in ["2e2", "+200", "0200", "20", "", " 200", "-20"] {
            assert_eq!(
                status(&HeaderView::new(vec![(b":status", text.as_bytes())])),
                None,
                "{text}"
            );
        }
        assert_eq!(
            status(&HeaderView::new(vec![(b":status", b"200"), (b":status", b"200")])),
            None
        );
        assert_eq!(status(&HeaderView::default()), None);
    }
}
