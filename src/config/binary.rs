//! A configuration written as YAML inside Envoy's file: `google.protobuf.Struct`.
//!
//! Envoy 1.40 hands it over as binary protobuf, not as JSON text. It becomes the same tree as the
//! text would, so that nothing after this module knows the difference. Two things are lost before
//! the filter sees them: the order of members, and how a number was written.

use std::borrow::Cow;

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use crate::claims::json::Json;

/// Whether the bytes are a Struct rather than JSON text.
///
/// A Struct with at least one member starts with the tag of its map entry, 0x0A, and that entry
/// holds the tag of its value, 0x12. JSON text may start with 0x0A, a line feed, but never
/// contains 0x12: RFC 8259 §7 has every control character in a string escaped, and no other one
/// than tab, line feed and carriage return outside.
pub(super) fn is_struct(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x0A) && bytes.contains(&0x12)
}

/// The tree of a Struct. How deeply it may nest is bounded by the decoder.
pub(super) fn decode(bytes: &[u8]) -> Result<Json<'static>, String> {
    match Struct::decode(bytes) {
        Ok(decoded) => Ok(object(decoded)),
        Err(_) => Err("got bytes with control character U+0012, expected JSON text or a \
                       google.protobuf.Struct"
            .to_owned()),
    }
}

fn object(decoded: Struct) -> Json<'static> {
    let members = decoded.fields.into_iter();
    Json::Object(members.map(|(name, value)| (Cow::Owned(name), tree(value))).collect())
}

fn tree(value: Value) -> Json<'static> {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => Json::Bool(value),
        Some(Kind::NumberValue(number)) => Json::Number(Cow::Owned(number_text(number))),
        Some(Kind::StringValue(text)) => Json::String(Cow::Owned(text)),
        Some(Kind::ListValue(list)) => Json::Array(list.values.into_iter().map(tree).collect()),
        Some(Kind::StructValue(inner)) => object(inner),
    }
}

/// The shortest text that reads as this number; for a whole number its digits.
fn number_text(number: f64) -> String {
    // Without the sum, minus zero would keep its sign.
    format!("{}", number + 0.0)
}
