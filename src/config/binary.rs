//! A configuration written as YAML inside Envoy's file: `google.protobuf.Struct`.
//!
//! Envoy 1.40 hands it over as binary protobuf, not as JSON text. It becomes the same tree as the
//! text would, so that nothing after this module knows the difference. Two things are lost before
//! the filter sees them: the order of members, and how a number was written.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use super::tree::Tree;

/// Whether the bytes are a Struct rather than JSON text.
///
/// A Struct with at least one member starts with the tag of its map entry, 0x0A, and that entry
/// holds the tag of its value, 0x12. JSON text may start with 0x0A, a line feed, but never
/// contains 0x12: RFC 8259 §7 has every control character in a string escaped, and no other one
/// than tab, line feed and carriage return outside.
pub(crate) fn is_struct(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x0A) && bytes.contains(&0x12)
}

/// The tree of a Struct. How deeply it may nest is bounded by the decoder.
pub(crate) fn decode(bytes: &[u8]) -> Result<Tree, String> {
    match Struct::decode(bytes) {
        Ok(decoded) => Ok(object(decoded)),
        Err(_) => Err("got bytes with control character U+0012, expected JSON text or a \
                       google.protobuf.Struct"
            .to_owned()),
    }
}

fn object(decoded: Struct) -> Tree {
    let members = decoded.fields.into_iter();
    Tree::Object(members.map(|(name, value)| (name, tree(value))).collect())
}

fn tree(value: Value) -> Tree {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Tree::Null,
        Some(Kind::BoolValue(value)) => Tree::Bool(value),
        Some(Kind::NumberValue(number)) => Tree::Number(number_text(number)),
        Some(Kind::StringValue(text)) => Tree::Text(text),
        Some(Kind::ListValue(list)) => Tree::List(list.values.into_iter().map(tree).collect()),
        Some(Kind::StructValue(inner)) => object(inner),
    }
}

/// The shortest text that reads as this number; for a whole number its digits.
fn number_text(number: f64) -> String {
    // Without the sum, minus zero would keep its sign.
    format!("{}", number + 0.0)
}
