//! `error_metadata_location` and the two keys that go with it: where a provider's error text is.

use crate::claims::jsonpath::JsonPath;
use crate::claims::rules::json_path;
use crate::config::file::Fields;
use crate::config::key::{Key, Own};
use crate::config::location::Report;
use crate::config::names;
use crate::config::shape::{Keys, text};
use crate::config::tree::Tree;

/// The keys of this room.
pub(crate) const KEYS: Keys =
    &[&ERROR_METADATA_LOCATION, &ERROR_HEADER_NAME, &ERROR_PAYLOAD_LOCATION];

static ERROR_METADATA_LOCATION: Key<Own> = Key::new(
    "error_metadata_location",
    Own {
        schema: text(r##"{"examples": ["ResponsePayload", "ResponseHeaders"]}"##),
        told: text("`\"ResponsePayload\"`, `\"ResponseHeaders\"`"),
    },
    text("where the provider's error text is; anything else counts as not given"),
);

static ERROR_HEADER_NAME: Key<Own> = Key::new(
    "error_header_name",
    Own {
        schema: text(r##"{"anyOf": [{"const": ""}, {"$ref": "#/$defs/HeaderName"}]}"##),
        told: text("header name"),
    },
    text("the provider's response header with the text, for `ResponseHeaders`"),
);

static ERROR_PAYLOAD_LOCATION: Key<Own> = Key::new(
    "error_payload_location",
    Own { schema: text(r##"{"type": "string", "maxLength": 256}"##), told: text("JSONPath") },
    text(
        "where in the provider's JSON body the text is, for `ResponsePayload`; absent or empty: the \
         whole body",
    ),
);

/// `error_metadata_location` with `error_header_name` or `error_payload_location`
#[derive(Debug)]
pub enum ProviderText {
    /// Not handed on.
    Withheld,
    /// In the response header of this name, lower-cased.
    Header(String),
    /// At this path of the JSON body.
    PayloadAt(JsonPath),
    /// The whole body.
    Payload,
}

/// Where the provider's error text is: `error_metadata_location` and the key that goes with it.
/// Both names are checked even where the location does not use them.
pub(crate) fn read(top: &Fields<'_>, report: &mut Report) -> ProviderText {
    // Anything else counts as not given, as in the source system, whatever its type.
    let location = ERROR_METADATA_LOCATION.node(top).and_then(|node| {
        if let Tree::Text(word) = node.value { Some(word.as_str()) } else { None }
    });
    let header = ERROR_HEADER_NAME.node(top).filter(|node| !is_empty(node.value));
    let header = header.and_then(|node| {
        let text = node.text("the name of a response header", report)?;
        names::header(text).map_err(|wrong| report.problem(&node.place, wrong)).ok()
    });
    let payload = ERROR_PAYLOAD_LOCATION.node(top).filter(|node| !is_empty(node.value));
    let payload = payload.and_then(|node| json_path(&node, "a JSONPath as text", report));
    match location {
        Some("ResponseHeaders") => header.map_or(ProviderText::Withheld, ProviderText::Header),
        Some("ResponsePayload") => payload.map_or(ProviderText::Payload, ProviderText::PayloadAt),
        _ => ProviderText::Withheld,
    }
}

fn is_empty(value: &Tree) -> bool {
    matches!(value, Tree::Text(text) if text.is_empty())
}
