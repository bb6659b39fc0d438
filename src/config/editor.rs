//! `$schema`: what editors look for in a JSON document. The filter ignores it.

use super::file::Fields;
use super::key::{Key, Own};
use super::location::Report;
use super::shape::{Keys, text};

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&SCHEMA];

static SCHEMA: Key<Own> = Key::new(
    "$schema",
    Own { schema: text(r##"{"type": "string"}"##), told: text("text") },
    text("ignored: by it an editor finds the JSON Schema"),
);

/// Ignores the key; anything but text is a slip.
pub(crate) fn ignore(top: &Fields<'_>, report: &mut Report) {
    if let Some(node) = SCHEMA.node(top) {
        node.text("the schema's address as text", report);
    }
}
