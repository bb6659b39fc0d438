//! The keys: those of the schema, and those that the filter's reader says it knows.

use std::collections::{BTreeMap, BTreeSet};

use oidc_token_connector::policy;
use serde_json::{Value, json};

/// Longer than what the reader takes for a slip of another key, so that it lists all.
const STRANGE: &str = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";

/// Every place of the schema, `*` for names of the user's own, with what is said there.
pub(crate) fn places() -> BTreeMap<Vec<String>, Value> {
    let mut places = BTreeMap::new();
    walk(&cli::schema::schema(), &[], &mut places);
    assert!(places.len() > 50, "{places:?}");
    places
}

fn walk(schema: &Value, place: &[String], places: &mut BTreeMap<Vec<String>, Value>) {
    for form in forms(schema) {
        let properties = form.get("properties").and_then(Value::as_object).into_iter().flatten();
        let more = form.get("additionalProperties").filter(|more| more.is_object());
        let own = |more| (if is_header(place, more) { HEADER } else { "*" }, more);
        for (name, schema) in properties.map(|(n, s)| (n.as_str(), s)).chain(more.map(own)) {
            let place = [place, &[name.to_owned()]].concat();
            walk(schema, &place, places);
            // Two forms may have a place in common, such as a header's text and its object.
            let known = places.remove(&place).into_iter();
            let all: Vec<Value> = known.chain([schema.clone()]).collect();
            places.insert(place, json!({"anyOf": all}));
        }
    }
}

/// A header in `inject_headers` without regions: there `*` is a region.
const HEADER: &str = "*header";

fn is_header(place: &[String], value: &Value) -> bool {
    place == ["inject_headers"] && value["$ref"] == "#/$defs/ValueRule"
}

/// A schema and what it refers to, each form by itself.
pub(crate) fn forms(schema: &Value) -> Vec<Value> {
    let mut all = vec![schema.clone()];
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.strip_prefix("#/$defs/").unwrap();
        all.extend(forms(&cli::schema::schema()["$defs"][name]));
    }
    let branches = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    all.extend(branches.flat_map(forms));
    all
}

/// The location with generic names instead of the user's own.
pub(crate) fn named(place: &[String]) -> Vec<&str> {
    let own = |at: usize| match (place[0].as_str(), at) {
        ("inject_headers" | "introspection_client", 1) => "default",
        ("inject_headers", _) => "X-A",
        ("userinfo_headers", _) => "x-b",
        ("filter_state", _) => "user",
        _ => "A",
    };
    let mut names = Vec::new();
    for (at, name) in place.iter().enumerate() {
        names.push(match name.as_str() {
            "*" => own(at),
            HEADER => "X-A",
            name => name,
        });
    }
    names
}

/// The keys that the reader knows in the object at a place; `None` if it takes any, or no object.
fn known_to_the_reader(place: &[&str]) -> Option<BTreeSet<String>> {
    let configuration = super::with(&[place, &[STRANGE]].concat(), &Value::Null);
    let problems = policy::read(configuration.to_string().as_bytes()).err()?;
    problems.iter().filter(|problem| problem.path.contains(STRANGE)).find_map(|problem| {
        let listed = problem.message.strip_prefix("unknown key, expected one of ")?;
        Some(listed.split(", ").map(str::to_owned).collect())
    })
}

fn known_to_the_schema(schema: &Value) -> Option<BTreeSet<String>> {
    let closed = |form: &Value| form.get("additionalProperties") == Some(&json!(false));
    let form = forms(schema).into_iter().find(closed)?;
    Some(form["properties"].as_object().unwrap().keys().cloned().collect())
}

#[test]
fn schema_and_reader_have_the_same_keys() {
    let schema = cli::schema::schema();
    assert_eq!(known_to_the_reader(&[]), known_to_the_schema(&schema));
    let mut closed = Vec::new();
    for (place, schema) in places() {
        let reader = known_to_the_reader(&named(&place));
        assert_eq!(reader, known_to_the_schema(&schema), "{place:?}");
        if reader.is_some() {
            closed.push(place.join("."));
        }
    }
    let expected = [
        "breaker",
        "cache",
        "error_set",
        "filter_state.*",
        "inject_headers.*.*",
        "inject_headers.*header",
        "introspection_client",
        "introspection_client.*",
        "introspection_endpoint",
        "introspection_endpoint.issuers.*",
        "protected_resource",
        "require_claims.*",
        "userinfo_endpoint",
        "userinfo_endpoint.issuers.*",
        "userinfo_unavailable",
    ];
    assert_eq!(closed, expected);
}
