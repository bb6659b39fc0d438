//! A configuration as a tree, before anything is known about its keys: JSON text by `serde_json`, or
//! a binary `google.protobuf.Struct`.
//!
//! Members keep their order, and names that repeat are kept, so that the reader can report every
//! problem in its place. A tree never reaches a log.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A value of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as written; from a Struct, which does not know that, the shortest text for it.
    Number(String),
    /// Text, escapes resolved.
    Text(String),
    /// Elements in order.
    List(Vec<Tree>),
    /// Members in order; a name may repeat.
    Object(Vec<(String, Tree)>),
}

/// Reasons of `serde_json` that do not say what is expected, and how they are told.
const REASONS: [(&str, &str); 6] = [
    ("key must be a string", "expected a member name in double quotes"),
    ("expected ident", "expected null, true or false"),
    ("expected value", "expected a value"),
    ("trailing comma", "got a comma, expected a value or a member after it"),
    ("trailing characters", "got text after the end of the document, expected nothing more"),
    ("recursion limit exceeded", "got a value nested deeper than 127, expected at most that"),
];

/// Reads JSON text (RFC 8259).
///
/// # Errors
///
/// Where the text is no JSON, and why, as product text.
pub(super) fn read(text: &[u8]) -> Result<Tree, String> {
    let read = serde_json::from_slice(text).and_then(|mut tree: Tree| {
        tree.spell(serde_json::from_slice(text)?)?;
        Ok(tree)
    });
    read.map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let told = error.to_string();
        let reason = told.strip_suffix(&place).unwrap_or(&told);
        let reason =
            REASONS.iter().find(|(theirs, _)| *theirs == reason).map_or(reason, |(_, r)| r);
        let line = text.split(|b| *b == b'\n').nth(error.line().saturating_sub(1));
        // The reader counts bytes: UTF-8 continuation bytes are no columns of their own.
        let before = line.unwrap_or_default().iter().take(error.column().saturating_sub(1));
        let column = before.filter(|b| (**b & 0xC0) != 0x80).count().saturating_add(1);
        format!("invalid JSON at line {}, column {column}: {reason}", error.line())
    })
}

impl Tree {
    /// Gives every number its text in `written`, from which this tree was read.
    fn spell(&mut self, written: &RawValue) -> Result<(), serde_json::Error> {
        match self {
            Tree::Number(text) => written.get().clone_into(text),
            Tree::List(elements) => {
                let Raw(parts) = serde_json::from_str(written.get())?;
                elements.iter_mut().zip(parts).try_for_each(|(tree, part)| tree.spell(part))?;
            }
            Tree::Object(members) => {
                let Raw(parts) = serde_json::from_str(written.get())?;
                members.iter_mut().zip(parts).try_for_each(|((_, tree), part)| tree.spell(part))?;
            }
            Tree::Null | Tree::Bool(_) | Tree::Text(_) => {}
        }
        Ok(())
    }
}

/// The values in an array or an object, in order, as written.
struct Raw<'t>(Vec<&'t RawValue>);

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Raw<'de>, D::Error> {
        from.deserialize_any(Parts)
    }
}

struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Raw<'de>, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = elements.next_element()? {
            parts.push(part);
        }
        Ok(Raw(parts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Raw<'de>, A::Error> {
        let mut parts = Vec::new();
        while let Some((IgnoredAny, part)) = members.next_entry()? {
            parts.push(part);
        }
        Ok(Raw(parts))
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Tree, D::Error> {
        from.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Tree::Object(object))
    }
}
