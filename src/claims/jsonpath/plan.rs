//! A path in the form in which it is walked: nothing left to parse, compile or refuse.

use crate::claims::json::Json;
use crate::claims::jsonpath::pattern::Pattern;

/// One step of a path (RFC 9535 §2.5).
#[derive(Debug)]
pub(super) struct Segment {
    /// Whether it applies to the node and all its descendants, or to the node alone.
    pub(super) descends: bool,
    /// At least one.
    pub(super) selectors: Vec<Selector>,
}

/// What a segment takes from a node (RFC 9535 §2.3).
#[derive(Debug)]
pub(super) enum Selector {
    Key(Key),
    Wildcard,
    Slice(Slice),
    Filter(Filter),
}

/// A selector that takes at most one child.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Name(Box<str>),
    /// From the end where negative.
    Index(i64),
}

/// `start:end:step`, as written.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    pub(super) step: i64,
}

/// A condition on a node (RFC 9535 §2.3.5).
#[derive(Debug)]
pub(super) enum Filter {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    Not(Box<Filter>),
    Exists(Query),
    Compare(Operand, Relation, Operand),
    Matches(Operand, Pattern),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug)]
pub(super) enum Operand {
    Literal(Json<'static>),
    Query(Query),
}

/// A query for at most one node, from within a filter.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) from: Origin,
    pub(super) keys: Vec<Key>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// `$`
    Root,
    /// `@`
    Current,
}

impl Segment {
    /// The key, if the segment can select nothing but that one child.
    pub(super) fn only_key(&self) -> Option<&Key> {
        match self.selectors.as_slice() {
            [Selector::Key(key)] if !self.descends => Some(key),
            _ => None,
        }
    }
}
