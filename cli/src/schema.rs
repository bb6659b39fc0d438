//! `oidc-connector schema`: the filter's configuration as a JSON Schema (draft 2020-12), for editors and
//! for checks without this program; and the tables of the reference page.
//!
//! Both come from the definitions with which the filter reads its keys (`src/config/key.rs`). The reader
//! decides; tests hold it and the schema together, from both sides, and say what a schema cannot
//! (`docs/configuration.md` tells it to the user).

mod pattern;

use std::process::ExitCode;
use std::time::Duration;

use oidc_token_connector::config::duration::Range;
use oidc_token_connector::config::shape::{AnyKey, Object, Shape};
use oidc_token_connector::policy::{ROOMS, schema as shared};
use serde_json::{Map, Value, json};

use crate::output::say;

/// The schema.
#[must_use]
pub fn schema() -> Value {
    let mut forms = members(shared::FORMS);
    let keys = ROOMS.iter().flat_map(|room| room.iter().copied());
    let properties = properties(keys, &mut forms);
    for (meaning, object) in shared::OBJECTS {
        define(object, meaning, &mut forms);
    }
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "oidc-token-connector",
        "description": "Configuration of the Envoy filter oidc-token-connector. `oidc-connector check` \
                        sees more than a schema can say.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if let Some(schema) = schema.as_object_mut() {
        schema.extend(members(shared::RULES));
        schema.insert("$defs".to_owned(), Value::Object(forms));
    }
    schema
}

/// Prints the schema.
#[must_use]
pub fn run() -> ExitCode {
    say(text().trim_end());
    ExitCode::SUCCESS
}

/// The schema as printed.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// The rows of the reference page: name, type and default, meaning. The members of an object follow the
/// first key that has it; those of objects that are no key's own value come last.
#[must_use]
pub fn reference() -> Vec<String> {
    let mut rows = Vec::new();
    let mut told: Vec<*const Object> = Vec::new();
    for key in ROOMS.iter().flat_map(|room| room.iter()) {
        let shape = key.shape();
        rows.push(row("", *key, &shape));
        if let Shape::Object(object) = shape
            && !told.contains(&std::ptr::from_ref(object))
        {
            told.push(object);
            let prefix = format!("{}.", key.name());
            rows.extend(object.keys.iter().map(|key| row(&prefix, *key, &key.shape())));
        }
    }
    for (meaning, object) in shared::OBJECTS {
        rows.extend(object.keys.iter().map(|key| {
            let told = told_of(&key.shape());
            format!("| `{}` of {meaning} | {told} | {} |", key.name(), key.meaning())
        }));
    }
    rows
}

fn row(prefix: &str, key: &dyn AnyKey, shape: &Shape) -> String {
    format!("| `{prefix}{}` | {} | {} |", key.name(), told_of(shape), key.meaning())
}

/// The column "type, default".
fn told_of(shape: &Shape) -> String {
    match shape {
        Shape::Boolean { default } => format!("boolean, {default}"),
        Shape::Integer { min, max, default } => format!("integer, {default}, {min} to {max}"),
        Shape::Duration { range, default: Some(default) } => {
            format!("duration, `\"{}\"`, {}", duration(*default), told_range(range))
        }
        Shape::Duration { range, default: None } => format!("duration, {}", told_range(range)),
        Shape::Choice(words) => {
            let words = words.iter().enumerate().map(|(at, word)| match at {
                0 => format!("`\"{word}\"` (default)"),
                _ => format!("`\"{word}\"`"),
            });
            words.collect::<Vec<_>>().join(", ")
        }
        Shape::HeaderText { default, .. } => format!("text, `\"{default}\"`"),
        Shape::Object(_) => "object".to_owned(),
        Shape::Own { told, .. } => (*told).to_owned(),
    }
}

fn told_range(range: &Range) -> String {
    format!("{} to {}", duration(range.min), duration(range.max))
}

/// As in a configuration, in the largest unit that fits.
fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0 => "0s".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) && millis > 60_000 => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

fn properties<'k>(
    keys: impl Iterator<Item = &'k dyn AnyKey>,
    forms: &mut Map<String, Value>,
) -> Map<String, Value> {
    let mut properties = Map::new();
    for key in keys {
        let mut schema = of_shape(&key.shape(), key.meaning(), forms);
        schema.insert("description".to_owned(), plain(key.meaning()).into());
        properties.insert(key.name().to_owned(), Value::Object(schema));
    }
    properties
}

fn of_shape(shape: &Shape, meaning: &str, forms: &mut Map<String, Value>) -> Map<String, Value> {
    let schema = match shape {
        Shape::Boolean { default } => json!({"type": "boolean", "default": default}),
        Shape::Integer { min, max, default } => json!({
            "type": "integer", "default": default, "minimum": min, "maximum": max,
        }),
        Shape::Duration { range, default } => {
            let (min, max) = (millis(range.min), millis(range.max));
            let pattern = match range.whole_seconds {
                true => pattern::whole_seconds(min / 1000, max / 1000),
                false => pattern::duration(min, max),
            };
            let mut schema =
                json!({"type": "string", "pattern": pattern, "x-range": told_range(range)});
            if let (Some(schema), Some(default)) = (schema.as_object_mut(), default) {
                schema.insert("default".to_owned(), duration(*default).into());
            }
            schema
        }
        Shape::Choice(words) => json!({"type": "string", "enum": words, "default": words.first()}),
        Shape::HeaderText { shortest, longest, default } => json!({
            "$ref": "#/$defs/HeaderText", "minLength": shortest, "maxLength": longest,
            "default": default,
        }),
        Shape::Object(object) => {
            define(object, meaning, forms);
            json!({"$ref": format!("#/$defs/{}", object.title)})
        }
        Shape::Own { schema, .. } => Value::Object(members(schema)),
    };
    schema.as_object().cloned().unwrap_or_default()
}

/// Adds an object's schema to the forms, under its title.
fn define(object: &Object, meaning: &str, forms: &mut Map<String, Value>) {
    let properties = properties(object.keys.iter().copied(), forms);
    let mut schema = Map::new();
    schema.insert("description".to_owned(), plain(meaning).into());
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("additionalProperties".to_owned(), false.into());
    schema.extend(members(&format!("{{{}}}", object.more.get())));
    forms.insert(object.title.to_owned(), Value::Object(schema));
}

/// A meaning without the page's links.
fn plain(meaning: &str) -> String {
    let mut text = String::new();
    let mut rest = meaning;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((_, behind)) = after.split_once(')') else { break };
        text.push_str(&before.replacen('[', "", 1));
        rest = behind;
    }
    text.push_str(rest);
    text
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

/// The members of JSON text that the filter's source holds; tests read all of it.
fn members(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slip in a definition's JSON text would leave its key without any rule.
    #[test]
    fn the_json_text_of_every_definition_is_an_object() {
        let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text);
        let texts = [shared::FORMS, shared::RULES];
        for text in texts {
            assert!(object(text).is_ok_and(|members| !members.is_empty()), "{text}");
        }
        let check = |key: &dyn AnyKey| {
            if let Shape::Own { schema, .. } = key.shape() {
                assert!(object(schema).is_ok_and(|members| !members.is_empty()), "{}", key.name());
            }
        };
        for key in ROOMS.iter().flat_map(|room| room.iter()) {
            check(*key);
            if let Shape::Object(of) = key.shape() {
                assert!(object(&format!("{{{}}}", of.more.get())).is_ok(), "{}", key.name());
                of.keys.iter().for_each(|key| check(*key));
            }
        }
    }
}
