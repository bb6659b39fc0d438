//! Every block of YAML or JSON in README.md and docs/ is what it looks like: a configuration that
//! the filter reads, or a fragment of Envoy's that is listed here with its kind. A new block that
//! is neither fails.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by a panic"
)]

#[allow(dead_code, reason = "only with input here")]
mod run;

use std::fs;
use std::path::{Path, PathBuf};

use oidc_token_connector::policy;
use run::run_with_input;
use serde_json::{Value, json};

/// The kind of a block that is not a complete configuration of the filter.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Envoy's `http_filters`, with the filter's configuration in it.
    HttpFilters,
    /// Envoy's `http_filters`, of which the second is the guard.
    Guard,
    /// One member of the filter's configuration.
    Member,
    /// The members of a route of the reference.
    RouteMetadata,
    /// The part of a VM's configuration that hands it variables.
    Environment,
    /// The route of a protected resource's metadata.
    MetadataRoute,
    /// A listener, in addition to the reference's.
    Listener,
    /// Clusters; `migration_page.rs` compares them with what is made.
    Clusters,
    /// Values of the Helm chart, with the filter's configuration in them.
    ChartValues,
}

/// File, first line, kind.
const LISTED: [(&str, &str, Kind); 9] = [
    ("README.md", "http_filters:", Kind::HttpFilters),
    ("docs/caching.md", "\"cache\": {", Kind::Member),
    ("docs/check.md", "metadata:", Kind::RouteMetadata),
    ("docs/configuration.md", "vm_config:", Kind::Environment),
    ("docs/configuration.md", "routes:", Kind::MetadataRoute),
    ("docs/deployment.md", "- name: metrics", Kind::Listener),
    ("docs/deployment.md", "# values.yaml", Kind::ChartValues),
    ("docs/migration.md", "- name: idp_uki_acme_travel_com_9001", Kind::Clusters),
    ("docs/security.md", "http_filters:", Kind::Guard),
];

/// Languages whose blocks are no configuration.
const OTHERS: [&str; 5] = ["sh", "console", "text", "markdown", "mermaid"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn pages() -> Vec<String> {
    let names = fs::read_dir(root().join("docs")).unwrap().map(|e| e.unwrap().file_name());
    let names = names.map(|name| format!("docs/{}", name.to_str().unwrap()));
    let mut pages: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

/// A fenced block.
struct Block {
    language: String,
    line: usize,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for (line, text) in (1..).zip(page.lines()) {
        match (text.trim_start().strip_prefix("```"), open.take()) {
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), line, text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(block)) => open = Some(Block { text: block.text + text + "\n", ..block }),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

fn yaml(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// The filter's problems with a configuration.
fn refused(text: &str) -> Result<(), String> {
    let said = |all: Vec<String>| if all.is_empty() { Ok(()) } else { Err(all.join("; ")) };
    match policy::read(text.as_bytes()) {
        Ok(loaded) => said(loaded.faults.iter().map(ToString::to_string).collect()),
        Err(problems) => said(problems.iter().map(ToString::to_string).collect()),
    }
}

/// The problem of an unlisted block.
fn unlisted(language: &str, text: &str) -> Result<(), String> {
    match language {
        "json" => refused(text),
        _ => refused(&yaml(text)?.to_string()),
    }
}

/// Every type that a fragment names, wherever.
fn types(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("@type").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| types(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| types(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What `check` finds if this route leads to a resource's metadata, in a configuration with nothing
/// else wrong.
fn checked(route: &Value) -> Result<(), String> {
    let around = text("cli/tests/broken/fine-metadata.yaml");
    // The page's own names of the instances and the backend.
    let around = around.replace("oidc-b:", "mcp:").replace("name: oidc-b\n", "name: mcp\n");
    let around = around.replace("oidc: {", "default: {").replace("name: oidc\n", "name: default\n");
    let mut bootstrap = yaml(&around.replace("cluster: other", "cluster: mcp"))?;
    let listener = &mut bootstrap["static_resources"]["listeners"][0];
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    let own = &mut manager["route_config"]["virtual_hosts"][0]["routes"][0];
    if own["match"] != route["match"] {
        return Err(format!("{} is not the path of {}", route["match"], own["match"]));
    }
    *own = route.clone();
    let ran = run_with_input(&["check", "-"], &bootstrap.to_string());
    if ran.code == 0 { Ok(()) } else { Err(ran.out) }
}

fn listed(kind: Kind, text: &str) -> Result<(), String> {
    let reference = yaml(&self::text("envoy/envoy.yaml"))?;
    let listener = &reference["static_resources"]["listeners"][0];
    let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    let mut known = Vec::new();
    types(&reference, &mut known);
    types(&yaml(&self::text("envoy/forward-proxy.yaml"))?, &mut known);
    let same = |found: &Value, wanted: &Value, what: &str| {
        let same = found == wanted && !found.is_null();
        if same { Ok(()) } else { Err(format!("{what}: {found} instead of {wanted}")) }
    };
    if kind == Kind::Member {
        let uri = json!({"defaultURI": "https://idp.example/userinfo"});
        return refused(&format!("{{\"userinfo_endpoint\": {uri}, {text}}}"));
    }
    let value = yaml(text)?;
    if kind == Kind::ChartValues {
        return refused(&value["connector"].to_string());
    }
    let mut named = Vec::new();
    types(&value, &mut named);
    if let Some(strange) = named.iter().find(|name| !known.contains(name)) {
        return Err(format!("the reference has no {strange}"));
    }
    match kind {
        Kind::Member | Kind::ChartValues => unreachable!("done above"),
        Kind::HttpFilters => {
            let filters = manager["http_filters"].as_array().unwrap();
            let of_reference = filters.iter().find(|f| f["name"] == "oidc-token-connector");
            let (found, wanted) = (&value["http_filters"][0], of_reference.unwrap());
            let inner = |filter: &Value, key: &str| filter["typed_config"]["config"][key].clone();
            same(&found["name"], &wanted["name"], "name")?;
            for key in ["failure_policy", "vm_config"] {
                same(&inner(found, key), &inner(wanted, key), key)?;
            }
            refused(inner(found, "configuration")["value"].as_str().ok_or("no text")?)
        }
        Kind::Guard => {
            let filters = manager["http_filters"].as_array().unwrap();
            let guard = filters.iter().find(|f| f["name"] == "oidc-token-connector-guard");
            same(&value["http_filters"][1], guard.unwrap(), "guard")
        }
        Kind::RouteMetadata => {
            let routes = manager["route_config"]["virtual_hosts"][0]["routes"].as_array().unwrap();
            let public = routes.iter().find(|route| route["name"] == "public").unwrap();
            same(&value["metadata"], &public["metadata"], "metadata")
        }
        Kind::Environment => {
            let keys = &value["vm_config"]["environment_variables"]["host_env_keys"];
            same(keys, &json!(["OIDC_CLIENT_SECRET"]), "variables")
        }
        Kind::MetadataRoute => {
            let route = &value["routes"][0];
            let path = json!("/.well-known/oauth-protected-resource/mcp");
            same(&route["match"]["path"], &path, "path")?;
            checked(route)
        }
        Kind::Listener => {
            let chain = &value[0]["filter_chains"][0]["filters"][0];
            same(&chain["name"], &listener["filter_chains"][0]["filters"][0]["name"], "filter")?;
            let address = &value[0]["address"]["socket_address"];
            if !address["address"].is_string() || !address["port_value"].is_u64() {
                return Err(format!("no address: {address}"));
            }
            // One way to the admin interface, and no other.
            let routes = &chain["typed_config"]["route_config"]["virtual_hosts"][0]["routes"];
            let only =
                json!([{"match": {"path": "/stats/prometheus"}, "route": {"cluster": "admin"}}]);
            same(routes, &only, "routes")
        }
        Kind::Clusters => {
            let all = value.as_array().ok_or("no list")?;
            let whole = |c: &Value| c["load_assignment"]["cluster_name"] == c["name"];
            if all.iter().all(whole) { Ok(()) } else { Err("a cluster's names differ".to_owned()) }
        }
    }
}

#[test]
fn every_fenced_block_is_valid() {
    let mut used = Vec::new();
    for page in pages() {
        for Block { language, line, text } in blocks(&text(&page)) {
            let at = format!("{page}:{line}");
            if OTHERS.contains(&language.as_str()) {
                continue;
            }
            assert!(["yaml", "json"].contains(&language.as_str()), "{at}: language {language:?}");
            let entry =
                LISTED.iter().position(|(file, first, _)| *file == page && text.starts_with(first));
            // Parts of Envoy's configuration, which `recipes.rs` compares and checks.
            if page == "docs/recipes.md" {
                continue;
            }
            let checked = match entry {
                Some(entry) => {
                    used.push(entry);
                    listed(LISTED[entry].2, &text)
                }
                None => unlisted(&language, &text),
            };
            assert_eq!(checked, Ok(()), "{at}");
        }
    }
    used.sort_unstable();
    assert_eq!(used, (0..LISTED.len()).collect::<Vec<_>>(), "each entry matches one block");
}

/// An unlisted block must be a configuration that the filter reads.
#[test]
fn invalid_block_is_detected() {
    let good = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/u"}}"#;
    assert_eq!(unlisted("json", good), Ok(()));
    assert_eq!(unlisted("yaml", "userinfo_endpoint: {defaultURI: https://idp.example/u}"), Ok(()));
    for (language, bad) in [
        ("json", r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/u"}, "tmeout": 1}"#),
        ("json", r#"{"timeout": "5s"}"#),
        ("json", "\"cache\": {}"),
        ("yaml", "- name: metrics"),
        ("yaml", "a: [b"),
    ] {
        assert!(unlisted(language, bad).is_err(), "{bad}");
    }
    for (kind, bad) in [
        (Kind::Member, "\"cache\": { \"ttl\": 60 }"),
        (Kind::RouteMetadata, "metadata: {filter_metadata: {other: {public: x}}}"),
        (Kind::Listener, "- name: metrics"),
        (Kind::Clusters, "- {name: a, load_assignment: {cluster_name: b}}"),
        (
            Kind::MetadataRoute,
            "routes: [{match: {path: /.well-known/oauth-protected-resource/mcp}, route: {cluster: \
             mcp}, typed_per_filter_config: {default: {disabled: true}, mcp: {}}}]",
        ),
        (Kind::HttpFilters, "http_filters: [{name: oidc-token-connector}]"),
        (Kind::Guard, "http_filters: [{}, {name: oidc-token-connector-guard}]"),
    ] {
        assert!(listed(kind, bad).is_err(), "{kind:?} {bad}");
    }
}
