//! A header map as the host gave it, read once and looked at as bytes.
//!
//! Names arrive lower-cased from Envoy. Values may be any bytes: nothing here converts them to
//! text, and nothing picks the first of several values silently.

use std::fmt;

/// What a name and a value take beside their bytes: two allocations and a place in a list.
pub(crate) const PAIR: usize = 64;

/// The headers of one message, borrowed from the block the host handed over.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct HeaderView<'b> {
    pairs: Vec<(&'b [u8], &'b [u8])>,
    ends: bool,
}

/// Shows names alone: a value may be a credential.
impl fmt::Debug for HeaderView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names().map(String::from_utf8_lossy)).finish()
    }
}

/// How often a header occurs, and its value if that question has one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'b> {
    /// No such header.
    Absent,
    /// Exactly one.
    One(&'b [u8]),
    /// More than one: a reader that takes only one could be tricked into the wrong one.
    Several,
}

impl<'b> HeaderView<'b> {
    /// A head of these name and value pairs. A body may follow.
    pub fn new(pairs: Vec<(&'b [u8], &'b [u8])>) -> HeaderView<'b> {
        HeaderView { pairs, ends: false }
    }

    /// The same head, of a message that ends with it or does not.
    #[must_use]
    pub fn ending(self, ends: bool) -> HeaderView<'b> {
        HeaderView { ends, ..self }
    }

    /// Whether the message is known to end here: neither body nor trailers follow.
    pub fn ends(&self) -> bool {
        self.ends
    }

    /// The header of that lower-cased name.
    pub fn field(&self, name: &str) -> Field<'b> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None, _) => Field::Absent,
            (Some(value), None) => Field::One(value),
            (Some(_), Some(_)) => Field::Several,
        }
    }

    /// Every value of that lower-cased name, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.pairs.iter().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
    }

    /// Every name and value, in order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> {
        self.pairs.iter().copied()
    }

    /// Every header name, in order, as often as it occurs.
    pub fn names(&self) -> impl Iterator<Item = &'b [u8]> {
        self.pairs.iter().map(|(name, _)| *name)
    }
}

/// Whether a content type (RFC 9110 §8.3) says JSON: `application/json` or any `+json`. Values
/// that were joined from several headers say nothing.
pub fn says_json(content_type: &[u8]) -> bool {
    if content_type == b"application/json" {
        return true;
    }
    let essence = media_type(content_type);
    essence.eq_ignore_ascii_case(b"application/json")
        || essence
            .len()
            .checked_sub(b"+json".len())
            .and_then(|at| essence.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(b"+json"))
            && essence.iter().filter(|b| **b == b'/').count() == 1
            && !essence.contains(&b',')
}

/// The `type/subtype` of a content type, without its parameters.
pub fn media_type(content_type: &[u8]) -> &[u8] {
    content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_is_one_several_or_absent() {
        let head = HeaderView::new(vec![(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]);
        assert_eq!(head.field("a"), Field::Several);
        assert_eq!(head.field("b"), Field::One(b"2"));
        assert_eq!(head.field("c"), Field::Absent);
    }

    #[test]
    fn debug_shows_no_value() {
        let head = HeaderView::new(vec![(b"authorization", b"Bearer sesame")]);
        assert_eq!(format!("{head:?}"), r#"["authorization"]"#);
    }

    #[test]
    fn content_types() {
        let yes = ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"];
        let no = ["", "text/html", "application/jwt", "text/html,application/json", "json"];
        let also_no = ["text/html,application/ld+json", "+json", "application/jsonp"];
        assert!(yes.iter().all(|t| says_json(t.as_bytes())));
        assert!(no.iter().chain(&also_no).all(|t| !says_json(t.as_bytes())));
    }
}
