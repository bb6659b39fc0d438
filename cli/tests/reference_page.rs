//! The reference page has the row of every key, as the key's definition says it, and no other.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by a panic"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of every table whose first column is called `key`.
fn rows(page: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let mut of_keys = false;
    for line in page.lines() {
        of_keys = line.starts_with("| key |") || of_keys && line.starts_with('|');
        if of_keys && !line.starts_with("| key |") && !line.starts_with("| ---") {
            rows.push(line.to_owned());
        }
    }
    rows
}

#[test]
fn the_reference_page_has_the_row_of_every_key() {
    let mut found = rows(&page("configuration.md"));
    found.extend(rows(&page("caching.md")));
    let wanted = cli::schema::reference();
    let missing: Vec<&String> = wanted.iter().filter(|row| !found.contains(row)).collect();
    assert!(missing.is_empty(), "docs/configuration.md or caching.md lacks:\n{missing:#?}");
    let unknown: Vec<&String> = found.iter().filter(|row| !wanted.contains(row)).collect();
    assert!(unknown.is_empty(), "no key has this row:\n{unknown:#?}");
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "a key has two rows");
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
        ("/$defs/ValueObject/properties/join/maxLength", "`join` {}"),
        ("/properties/clusters/additionalProperties/maxLength", "cluster name {}"),
        ("/properties/userinfo_headers/maxProperties", "`userinfo_headers` {} entries"),
        ("/properties/userinfo_headers/additionalProperties/maxLength", "of at most {}"),
        ("/properties/realm/maxLength", "`error_set.content_type` {} each"),
        ("/$defs/ErrorSet/properties/detail_header/maxLength", "`error_set.content_type` {} each"),
        ("/$defs/ErrorSet/properties/content_type/maxLength", "`error_set.content_type` {} each"),
        ("/properties/http_proxy_server/maxLength", "host name {}"),
        ("/$defs/Name/maxLength", "`filter_state` and `stat_name` {}"),
        ("/$defs/RegionCode/maxLength", "region code {}"),
        ("/$defs/IntrospectionClient/properties/client_id/maxLength", "`client_id` {}"),
        ("/$defs/IntrospectionClient/properties/client_secret/maxLength", "secret {}"),
        ("/$defs/Scope/maxLength", "scope {}"),
        ("/properties/require_audience/items/maxLength", "audience and issuer {}"),
    ] {
        let phrase = phrase.replace("{}", &limit(pointer).to_string());
        assert!(text.contains(&phrase), "{pointer}: {phrase}");
    }
    assert_eq!(limit("/$defs/ErrorSet/properties/response_body/maxLength"), 64 * 1024);
    assert!(text.contains("`error_set.response_body` 64 KiB"));
    let sites = limit("/$defs/Endpoint/anyOf/1/maxItems");
    assert!(text.contains(&format!("1 to {sites} in order")));
    let regions = limit("/$defs/Endpoints/properties/regionCodeValue/maxProperties");
    assert!(text.contains(&format!("1 to {regions} |")));
}
