//! `oidc-connector schema`: the filter's configuration as a JSON Schema (draft 2020-12), for
//! editors and for checks without this program.
//!
//! The types are never filled: they say what the filter's reader accepts, in a form from which the
//! schema derives. The reader decides; tests hold the two together, from both sides, and say what a
//! schema cannot (`docs/configuration.md` tells it to the user).

mod pattern;
mod types;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use serde_json::{Map, Value};

/// The schema.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<types::Configuration>();
    // An absent key is not one that is null: the reader refuses null everywhere.
    RecursiveTransform(without_null).transform(&mut schema);
    RecursiveTransform(plain).transform(&mut schema);
    let mut first = Map::new();
    for key in ["$schema", "title", "description"] {
        first.extend(schema.remove(key).map(|value| (key.to_owned(), value)));
    }
    first.extend(schema.ensure_object().clone());
    Value::Object(first)
}

/// The schema as printed.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// Descriptions as one line, and no formats that only Rust knows.
fn plain(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    if object.get("type").is_some_and(|kind| kind == "integer") {
        object.shift_remove("format");
    }
}

/// What schemars adds for an `Option`, taken away.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            object.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(forms)) = object.get_mut("enum") {
        forms.retain(|form| !form.is_null());
    }
    if let Some(Value::Array(forms)) = object.get_mut("anyOf") {
        forms.retain(|form| form.get("type").is_none_or(|kind| kind != "null"));
        // What is left of an optional reference: its only form, where nothing else is said of it.
        if let [Value::Object(form)] = forms.as_slice() {
            let form = form.clone();
            object.shift_remove("anyOf");
            for (key, value) in form {
                object.entry(key).or_insert(value);
            }
        }
    }
}
