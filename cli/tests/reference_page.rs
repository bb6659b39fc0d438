//! The reference page and the schema say the same: every key of the one is a key of the other, with
//! its default and range.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by a panic"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The entry of a row of a table of keys.
#[derive(Debug, Clone)]
struct Row {
    kind: String,
    meaning: String,
}

/// The rows of every table whose first column is called `key`, by key.
fn rows(page: &str, prefix: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    let mut of_keys = false;
    for line in page.lines() {
        let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            of_keys = false;
            continue;
        };
        let cells: Vec<&str> = cells.split(" | ").collect();
        if cells[0] == "key" {
            of_keys = true;
        } else if of_keys && cells[0] != "---" {
            assert_eq!(cells.len(), 3, "{line}");
            for key in cells[0].split(", ") {
                let key = key.trim_matches('`');
                let row = Row { kind: cells[1].to_owned(), meaning: cells[2].to_owned() };
                assert!(rows.insert(format!("{prefix}{key}"), row).is_none(), "{key} has two rows");
            }
        }
    }
    rows
}

fn reference() -> BTreeMap<String, Row> {
    let mut all = rows(&page("configuration.md"), "");
    all.extend(rows(&page("caching.md"), "cache."));
    all
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    match reference.and_then(|reference| reference.strip_prefix("#/$defs/")) {
        Some(name) => &root["$defs"][name],
        None => schema,
    }
}

/// A key's default and range as the pages write them.
fn said(schema: &Value, dash: &str) -> Vec<String> {
    let mut said = Vec::new();
    match schema.get("default") {
        Some(Value::String(text)) if text.is_empty() => said.push("(empty)".to_owned()),
        Some(default) => said.push(default.to_string()),
        None => {}
    }
    if let (Some(low), Some(high)) = (schema.get("minimum"), schema.get("maximum")) {
        said.push(format!("{low}{dash}{high}"));
    }
    said.extend(schema.get("x-range").and_then(Value::as_str).map(str::to_owned));
    let words = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    said.extend(words.map(Value::to_string));
    said
}

/// The text of a row in parentheses behind the name of a member: `` `name` (…) ``.
fn member<'a>(meaning: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = meaning.split_once(&format!("`{name}` ("))?;
    Some(after.split_once(')').map_or(after, |(inside, _)| inside))
}

#[test]
fn the_reference_page_has_every_key_with_its_default_and_range() {
    let (root, rows) = (cli::schema::schema(), reference());
    let mut known = Vec::new();
    for (key, schema) in root["properties"].as_object().unwrap() {
        let object = resolved(&root, schema);
        let members = object.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut in_row = Vec::new();
        for (name, schema) in members {
            let place = format!("{key}.{name}");
            match rows.get(&place) {
                Some(row) => check(&place, &said(schema, " to "), &row.kind),
                None => in_row.push((name, schema)),
            }
            known.push(place);
        }
        known.push(key.clone());
        let Some(row) = rows.get(key) else {
            assert!(in_row.is_empty() && object != schema, "{key} has no row");
            continue;
        };
        check(key, &said(schema, " to "), &row.kind);
        for (name, schema) in in_row {
            let text = member(&row.meaning, name).unwrap_or_else(|| panic!("{key} lacks {name}"));
            check(&format!("{key}.{name}"), &said(schema, "–"), &format!("({text})"));
        }
    }
    let unknown: Vec<&String> = rows.keys().filter(|key| !known.contains(key)).collect();
    assert!(unknown.is_empty(), "not in the schema: {unknown:?}");
}

#[track_caller]
fn check(key: &str, wanted: &[String], text: &str) {
    for wanted in wanted {
        let bare = wanted.trim_matches('"');
        let found = text.contains(wanted.as_str()) || text.contains(&format!("`{bare}`"));
        assert!(found, "{key}: the page says {text:?}, the schema {wanted}");
    }
}

/// The lengths that the page lists, and where the schema has them.
#[test]
fn the_reference_page_has_every_limit() {
    let (root, page) = (cli::schema::schema(), page("configuration.md"));
    let text = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let limit = |pointer: &str| root.pointer(pointer).and_then(Value::as_u64).unwrap();
    for (pointer, phrase) in [
        ("/$defs/Uri/maxLength", "URI {} bytes"),
        ("/$defs/HeaderName/maxLength", "header name {}"),
        ("/$defs/JsonPath/maxLength", "JSONPath {}"),
        ("/properties/error_payload_location/maxLength", "JSONPath {}"),
        ("/properties/error_header_name/maxLength", "header name {}"),
        ("/properties/clusters/additionalProperties/maxLength", "cluster name {}"),
        ("/properties/userinfo_headers/maxProperties", "`userinfo_headers` {} entries"),
        ("/properties/userinfo_headers/additionalProperties/maxLength", "of at most {}"),
        ("/properties/realm/maxLength", "`error_set.content_type` {} each"),
        ("/$defs/ErrorSet/properties/detail_header/maxLength", "`error_set.content_type` {} each"),
        ("/$defs/ErrorSet/properties/content_type/maxLength", "`error_set.content_type` {} each"),
        ("/$defs/ListRule/properties/join/maxLength", "`join` {}"),
        ("/properties/http_proxy_server/maxLength", "host name {}"),
        ("/properties/stat_name/maxLength", "`filter_state` and `stat_name` {}"),
        ("/properties/filter_state/propertyNames/maxLength", "`filter_state` and `stat_name` {}"),
        (
            "/$defs/UserinfoEndpoint/properties/regionCodeValue/propertyNames/maxLength",
            "region code {}",
        ),
    ] {
        let phrase = phrase.replace("{}", &limit(pointer).to_string());
        assert!(text.contains(&phrase), "{pointer}: {phrase}");
    }
    assert_eq!(limit("/$defs/ErrorSet/properties/response_body/maxLength"), 64 * 1024);
    assert!(text.contains("`error_set.response_body` 64 KiB"));
    let sites = limit("/$defs/Endpoint/anyOf/1/maxItems");
    assert!(text.contains(&format!("1 to {sites} in order")));
    let regions = limit("/$defs/UserinfoEndpoint/properties/regionCodeValue/maxProperties");
    assert!(text.contains(&format!("1 to {regions} |")));
}
