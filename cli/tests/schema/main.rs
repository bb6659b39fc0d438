//! The schema and the filter's reader judge alike: same keys, same borders, same verdict on a table
//! of configurations. What a schema cannot say is a list of its own.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by a panic"
)]

mod borders;
mod keys;
mod tokens;
mod verdicts;

use std::fs;
use std::path::Path;

use jsonschema::Validator;
use oidc_token_connector::policy;
use serde_json::{Value, json};

fn validator() -> Validator {
    jsonschema::draft202012::new(&cli::schema::schema()).expect("a schema")
}

/// Whether the filter's reader finds nothing wrong, faults with which it loads included.
fn reads(text: &str) -> bool {
    policy::read(text.as_bytes()).is_ok_and(|loaded| loaded.faults.is_empty())
}

/// The common verdict about a configuration.
#[track_caller]
fn verdict(validator: &Validator, configuration: &Value) -> bool {
    let (schema, reader) = (validator.is_valid(configuration), reads(&configuration.to_string()));
    let problems = policy::read(configuration.to_string().as_bytes()).err();
    let said = validator.iter_errors(configuration).map(|error| error.to_string());
    assert_eq!(
        schema,
        reader,
        "{configuration}\nthe schema says {:?}\nthe reader {problems:?}",
        said.collect::<Vec<_>>()
    );
    schema
}

/// A configuration in which nothing is wrong.
fn base() -> Value {
    json!({"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"}})
}

/// The same with introspection.
fn introspecting() -> Value {
    json!({
        "introspection_endpoint": {"defaultURI": "https://idp.example/introspect"},
        "introspection_client": {"client_id": "gateway", "client_secret_env": "SECRET"},
    })
}

/// The same with a value at a place, and with the keys that it requires.
fn with(place: &[&str], value: &Value) -> Value {
    let is_introspecting = place.first().is_some_and(|key| key.starts_with("introspection"));
    let mut configuration = if is_introspecting { introspecting() } else { base() };
    let endpoint = |members: Value| {
        let mut endpoint = json!({"defaultURI": "https://a.example/"});
        endpoint.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        json!({place[0]: endpoint})
    };
    let beside = match place {
        ["http_proxy_server"] => json!({"http_proxy_port": 1}),
        ["http_proxy_port"] => json!({"http_proxy_server": "a"}),
        ["deadline"] => json!({"timeout": "1ms"}),
        ["userinfo_unavailable", "retry_after"] => json!({"userinfo_unavailable": {"status": 503}}),
        ["provider_errors"] => json!({"userinfo_unavailable": {"status": 503}}),
        ["anonymous_header"] => json!({"credentials": "optional"}),
        ["unknown_issuer"] => json!({"userinfo_endpoint": {"defaultURI": "https://a.example/",
            "issuers": {"A": {"name": "a", "uri": "https://a.example/"}}}}),
        [_, "regionCodeHeader"] => {
            endpoint(json!({"regionCodeValue": {"A": "https://a.example/"}}))
        }
        [_, "regionCodeValue", ..] => endpoint(json!({"regionCodeHeader": "x-r"})),
        // Alone: one client is for one provider, which the schema cannot say.
        [key, "issuers", issuer, _] => json!({*key: {
            "issuers": {*issuer: {"name": "a", "uri": "https://a.example/"}}}}),
        ["introspection_client", key, ..] => {
            let key = if *key == "default" { place.get(2).unwrap_or(key) } else { key };
            let members = match (*key, value.as_str()) {
                ("client_secret" | "client_secret_env", _) | ("auth_method", Some("none")) => {
                    json!({"client_id": "gateway"})
                }
                _ => json!({"client_id": "gateway", "client_secret_env": "SECRET"}),
            };
            json!({"introspection_client": match place[1] {
                "default" => json!({"default": members}),
                _ => members,
            }})
        }
        ["protected_resource", _] => json!({"protected_resource": {
            "resource": "https://a.example", "authorization_servers": ["https://a.example"]}}),
        ["inject_headers", "X-A", _, ..] => json!({"inject_headers": {"X-A": {"path": "$"}}}),
        ["inject_headers", _, _, _] => json!({"inject_headers": {place[1]: {place[2]:
            {"path": "$"}}}}),
        ["filter_state", name, _] => json!({"filter_state": {*name: {"path": "$"}}}),
        ["require_claims", path, _] => json!({"require_claims": {*path: {"any": [1]}}}),
        _ => json!({}),
    };
    configuration.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    // Endpoints at different hosts have clients of their own.
    if let ["introspection_endpoint", "regionCodeValue", code, ..] = place {
        let client = configuration["introspection_client"].clone();
        configuration["introspection_client"] = json!({*code: client, "default": client});
    }
    let mut at = &mut configuration;
    for name in place {
        if at.get(name).is_none() {
            if !at.is_object() {
                *at = json!({});
            }
            at[*name] = json!({});
        }
        at = &mut at[*name];
    }
    *at = value.clone();
    configuration
}

fn project(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn schema_is_valid_for_its_draft() {
    let schema = cli::schema::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    if let Err(error) = jsonschema::meta::validate(&schema) {
        panic!("{error}");
    }
}

#[test]
fn committed_file_equals_printed_schema() {
    assert!(
        project("docs/config.schema.json") == cli::schema::text(),
        "docs/config.schema.json is not what the types say; write it anew: \
         cargo run -p cli -- schema > docs/config.schema.json"
    );
}

#[test]
fn every_key_is_described() {
    for (place, schema) in keys::places() {
        let described = keys::forms(&schema).iter().any(|form| form.get("description").is_some());
        assert!(described || place.iter().any(|name| name.starts_with('*')), "{place:?}");
    }
}

#[test]
fn the_reference_configurations_are_valid() {
    let validator = validator();
    let bootstrap: Value = serde_saphyr::from_str(&project("envoy/envoy.yaml")).unwrap();
    let mut found = Vec::new();
    configurations(&bootstrap, &mut found);
    assert_eq!(found.len(), 2, "{found:?}");
    for configuration in &found {
        assert!(verdict(&validator, configuration), "{configuration}");
    }
}

/// Every filter configuration in an Envoy configuration, in both of its forms.
fn configurations(value: &Value, found: &mut Vec<Value>) {
    if let Some(value) = value.get("configuration").and_then(|any| any.get("value")) {
        found.push(match value.as_str() {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => value.clone(),
        });
    }
    if let Some(members) = value.as_object() {
        members.values().for_each(|member| configurations(member, found));
    }
    if let Some(elements) = value.as_array() {
        elements.iter().for_each(|element| configurations(element, found));
    }
}
