//! `envoy/minimal.yaml` is short, and as safe as the reference: `check.rs` finds nothing in it, and each
//! protection that it needs has the reference's value.

#![allow(clippy::panic, clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may panic")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// Fewer lines than this, so that it can be read at once.
const LINES: usize = 80;

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn manager(bootstrap: &Value) -> &Value {
    let listener = &bootstrap["static_resources"]["listeners"][0];
    &listener["filter_chains"][0]["filters"][0]["typed_config"]
}

fn filter<'v>(bootstrap: &'v Value, name: &str) -> &'v Value {
    let filters = manager(bootstrap)["http_filters"].as_array().unwrap();
    let found = filters.iter().find(|filter| filter["name"] == name);
    &found.unwrap_or_else(|| panic!("no filter {name}"))["typed_config"]
}

fn cluster<'v>(bootstrap: &'v Value, name: &str) -> &'v Value {
    let clusters = bootstrap["static_resources"]["clusters"].as_array().unwrap();
    clusters.iter().find(|cluster| cluster["name"] == name).unwrap()
}

#[test]
fn it_is_short() {
    let lines = text("envoy/minimal.yaml").lines().count();
    assert!(lines < LINES, "{lines} lines");
}

#[test]
fn every_protection_has_the_value_of_the_reference() {
    let (reference, minimal) = (yaml("envoy/envoy.yaml"), yaml("envoy/minimal.yaml"));
    let both = |part: &dyn Fn(&Value) -> Value| {
        let (expected, found) = (part(&reference), part(&minimal));
        assert_ne!(expected, Value::Null, "the reference lacks it");
        assert_eq!(found, expected);
    };
    both(&|b| b["admin"].clone());
    both(&|b| b["layered_runtime"].clone());
    both(&|b| b["stats_config"].clone());
    both(&|b| b["static_resources"]["listeners"][0]["per_connection_buffer_limit_bytes"].clone());
    for setting in [
        "stream_idle_timeout",
        "request_headers_timeout",
        "common_http_protocol_options",
        "http2_protocol_options",
        "normalize_path",
        "merge_slashes",
        "path_with_escaped_slashes_action",
        "use_remote_address",
    ] {
        both(&|b| manager(b)[setting].clone());
    }
    let instance = |b: &Value| filter(b, "oidc-token-connector")["config"].clone();
    both(&|b| instance(b)["failure_policy"].clone());
    both(&|b| instance(b)["vm_config"].clone());
    both(&|b| filter(b, "oidc-token-connector-guard").clone());
    for setting in ["circuit_breakers", "typed_extension_protocol_options", "transport_socket"] {
        let of = |b: &Value, name: &str| cluster(b, name)[setting].clone();
        assert_eq!(of(&minimal, "idp"), of(&reference, "idp_default"), "{setting}");
    }
}

#[test]
fn the_connector_comes_first_and_the_guard_behind_it() {
    let minimal = yaml("envoy/minimal.yaml");
    let filters = manager(&minimal)["http_filters"].as_array().unwrap();
    let names: Vec<&Value> = filters.iter().map(|filter| &filter["name"]).collect();
    let expected =
        ["oidc-token-connector", "oidc-token-connector-guard", "envoy.filters.http.router"];
    assert_eq!(json!(names), json!(expected));
}

/// A line of the access log must not contain what may be a token.
#[test]
fn the_access_log_has_no_query_and_no_credentials() {
    let minimal = yaml("envoy/minimal.yaml");
    let log = manager(&minimal)["access_log"].to_string();
    assert!(log.contains("%PATH(NQ)%") && log.contains("wasm.oidc_outcome"), "{log}");
    assert!(
        !log.to_ascii_lowercase().contains("authorization") && !log.contains(":PATH)"),
        "{log}"
    );
}
