//! The recipes of `docs/recipes.md`: the page shows the files of `envoy/recipes/` as they are, and
//! `oidc-connector check` finds nothing wrong with the reference that has one of them in it. That they
//! do what the page says is for `integration/tests/recipes/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

#[allow(dead_code, reason = "only with input here")]
mod run;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use run::run_with_input;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The files of the recipes.
fn recipes() -> Vec<String> {
    let names = fs::read_dir(root().join("envoy/recipes")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| format!("envoy/recipes/{name}")).collect()
}

/// The reference with a recipe in it, as the page says.
fn with(recipe: &str) -> Value {
    let mut bootstrap = yaml("envoy/envoy.yaml");
    let resources = &mut bootstrap["static_resources"];
    for (key, value) in yaml(recipe).as_object().unwrap() {
        let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0];
        match key.as_str() {
            "http_filters" | "route_config" | "upgrade_configs" => {
                manager["typed_config"][key] = value.clone();
            }
            "secrets" => resources[key] = value.clone(),
            _ => panic!("{recipe}: the page does not say where {key} belongs"),
        }
    }
    bootstrap
}

fn found(bootstrap: &Value) -> BTreeSet<String> {
    let ran = run_with_input(&["check", "--format", "json", "-"], &bootstrap.to_string());
    let report: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.err));
    let of = |finding: &Value| finding["code"].as_str().unwrap().to_owned();
    report["findings"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn page_shows_every_recipe_verbatim() {
    let page = text("docs/recipes.md");
    let files = recipes();
    assert_eq!(page.matches("```yaml\n").count(), files.len(), "one block for each file");
    for file in files {
        let shown = format!("[`{file}`](../{file}):\n\n```yaml\n{}```\n", text(&file));
        assert!(page.contains(&shown), "docs/recipes.md does not show {file} as it is");
    }
}

/// The notes that a recipe has, because it says itself what they say.
const NOTES: [(&str, &str); 2] = [
    ("envoy/recipes/scope-per-route.yaml", "rule-needs-jwt"),
    // A script moves the token.
    ("envoy/recipes/token-elsewhere.yaml", "filter-not-judged"),
];

#[test]
fn check_finds_nothing_else_in_the_reference_with_a_recipe() {
    for recipe in recipes() {
        let notes = NOTES.iter().filter(|(file, _)| *file == recipe);
        let notes: BTreeSet<String> = notes.map(|(_, code)| (*code).to_owned()).collect();
        assert_eq!(found(&with(&recipe)), notes, "{recipe}");
    }
}

/// As the page says: the reference's CORS filter works in a recipe only with its policy.
#[test]
fn check_sees_a_cors_filter_kept_without_its_policy() {
    let reference = yaml("envoy/envoy.yaml");
    let reference =
        &reference["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let reference = &reference["typed_config"];
    let mut bootstrap = with("envoy/recipes/tenants.yaml");
    let listener = &mut bootstrap["static_resources"]["listeners"][0];
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    let cors = reference["http_filters"][0].clone();
    assert_eq!(cors["name"], "envoy.filters.http.cors");
    manager["http_filters"].as_array_mut().unwrap().insert(0, cors);
    let mut whole = manager.clone();
    let key = "typed_per_filter_config";
    let policy = reference["route_config"]["virtual_hosts"][0][key].clone();
    whole["route_config"]["virtual_hosts"][0][key] = policy;
    assert_eq!(found(&bootstrap), ["cors-without-policy".to_owned()].into());
    let listener = &mut bootstrap["static_resources"]["listeners"][0];
    listener["filter_chains"][0]["filters"][0]["typed_config"] = whole;
    assert_eq!(found(&bootstrap), BTreeSet::new());
}

/// What the check sees of a recipe: the filters, routes and surroundings, and not only the object.
#[test]
fn check_sees_what_a_recipe_leaves_out() {
    let mut bootstrap = with("envoy/recipes/tenants.yaml");
    let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"];
    let filters = manager[0]["typed_config"]["http_filters"].as_array_mut().unwrap();
    filters.retain(|filter| filter["name"] != "oidc-token-connector-guard");
    assert!(!found(&bootstrap).is_empty());
}

/// Without what a recipe says KEEP of, the filters around the connector are wrong.
#[test]
fn check_sees_a_kept_setting_that_a_recipe_leaves_out() {
    for (recipe, kept, code) in [
        ("response-cache", "{ remove: x-user-id }, ", "cache-behind-filter"),
        ("jwt-and-revocation", "          forward: true\n", "token-lost-before"),
        (
            "route-by-token",
            "            block_authorization_header: false\n",
            "route-by-authorization",
        ),
    ] {
        let file = format!("envoy/recipes/{recipe}.yaml");
        let (whole, without) = (text(&file), text(&file).replacen(kept, "", 1));
        assert_ne!(whole, without, "{file}");
        let mut bootstrap = with(&file);
        let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0];
        let filters: Value = serde_saphyr::from_str(&without).unwrap();
        manager["filters"][0]["typed_config"]["http_filters"] = filters["http_filters"].clone();
        assert_eq!(found(&bootstrap), [code.to_owned()].into(), "{file}");
    }
}
