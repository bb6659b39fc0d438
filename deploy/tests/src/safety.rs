//! The safety settings of the manifests equal those of the reference configuration: an edit of one
//! must not forget the other.

use serde_json::{Value, json};

use crate::files::{document, object, objects, root, text};

fn connection_manager() -> Value {
    let mut reference = document("envoy/envoy.yaml");
    let chain = &mut reference["static_resources"]["listeners"][0]["filter_chains"][0];
    chain["filters"][0]["typed_config"].take()
}

fn patches(name: &str) -> Vec<Value> {
    let spec = object("EnvoyFilter", name)["spec"].take();
    spec["configPatches"].as_array().expect("patches").clone()
}

#[test]
fn failed_module_lets_no_request_pass() {
    assert_eq!(object("WasmPlugin", "oidc-token-connector")["spec"]["failStrategy"], "FAIL_RELOAD");
    let policy = object("EnvoyExtensionPolicy", "oidc-token-connector");
    for wasm in policy["spec"]["wasm"].as_array().expect("a list") {
        assert_eq!(wasm["failOpen"], false);
    }
    let mut instances = 0;
    for patch in patches("oidc-token-connector") {
        let config = &patch["patch"]["value"]["typed_config"]["config"];
        if config.is_object() {
            instances += 1;
            assert_eq!(config["failure_policy"], "FAIL_RELOAD");
            assert_eq!(config["vm_config"]["vm_id"], "oidc-token-connector");
        }
    }
    assert_eq!(instances, 2);
}

/// A WasmPlugin runs before Istio's CORS filter; the others run after it.
#[test]
fn preflight_passes_only_if_filter_is_before_cors() {
    let plugin = object("WasmPlugin", "oidc-token-connector")["spec"].take();
    assert_eq!(plugin["phase"], "AUTHN");
    assert_eq!(plugin["pluginConfig"]["preflight"], "pass");
    assert_eq!(plugin["pluginConfig"]["cache"].get("shared"), None, "it has no vm_id of its own");
    for object in objects().iter().filter(|object| object.value["kind"] != "WasmPlugin") {
        // The guard accepts the filter's outcome for preflights.
        let text = object.value.to_string().replace("preflight;", "");
        assert!(!text.contains("preflight"), "{}", object.file);
    }
}

#[test]
fn image_is_pinned_by_digest() {
    let mut pinned = 0;
    for object in objects() {
        for (place, text) in texts(&object.value, "") {
            if place.ends_with("/sha256") {
                pinned += 1;
                assert_eq!(text, "0".repeat(64), "{}: {place}", object.file);
            }
            assert!(!text.contains(":latest"), "{}: {place}", object.file);
        }
    }
    assert_eq!(pinned, 4);
}

#[test]
fn istio_has_reference_settings_around_the_filter() {
    let reference = connection_manager();
    let patch = &patches("oidc-token-connector-surroundings")[0]["patch"];
    assert_eq!(patch["operation"], "MERGE");
    let set = patch["value"]["typed_config"].as_object().expect("settings");
    assert!(set.len() > 5);
    for (name, value) in set {
        if name == "common_http_protocol_options" {
            let action = "headers_with_underscores_action";
            assert_eq!(value, &json!({action: reference[name][action]}));
        } else {
            assert_eq!(value, &reference[name], "{name}");
        }
    }
    assert_eq!(set["stream_idle_timeout"], "30s");
}

/// Settings of Envoy's bootstrap: merged into Istio's own, so it must contain nothing else.
#[test]
fn istio_has_reference_limit_and_labels() {
    let reference = document("envoy/envoy.yaml");
    let patches = patches("oidc-token-connector-bootstrap");
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0]["applyTo"], "BOOTSTRAP");
    // Istio knows no other operation here.
    assert_eq!(patches[0]["patch"]["operation"], "MERGE");
    let layer = &reference["layered_runtime"]["layers"][0]["static_layer"];
    let limit = "http.async_response_buffer_limit";
    let mut value = patches[0]["patch"]["value"].clone();
    let tags = value["stats_config"]["stats_tags"].as_array_mut().expect("labels");
    let own = tags.split_off(tags.len() - 2);
    assert_eq!(
        value,
        json!({
            "layered_runtime": {
                "layers": [{"name": "oidc-token-connector", "static_layer": {limit: layer[limit]}}],
            },
            "stats_config": reference["stats_config"],
        })
    );

    // Istio switches Envoy's own labels off, and the alert about the guard needs one of them.
    let named: Vec<&Value> = own.iter().map(|tag| &tag["tag_name"]).collect();
    assert_eq!(named, ["envoy_rbac_http_prefix", "envoy_http_conn_manager_prefix"]);
    let prefix = guard()["typed_config"]["rules_stat_prefix"].as_str().expect("text").to_owned();
    for tag in &own {
        assert!(tag["regex"].as_str().expect("text").contains(&prefix), "{tag}");
    }
    let rules = text("deploy/prometheus/rules.yml");
    let selector = format!("envoy_http_rbac_denied{{envoy_rbac_http_prefix=\"{prefix}\"}}");
    assert!(rules.contains(&selector), "{selector}");
    let kept = format!("inclusionSuffixes: [{prefix}.denied]");
    assert!(text("deploy/istio/envoyfilter.yaml").contains(&kept), "{kept}");
}

/// The guard of the reference.
fn guard() -> Value {
    let mut manager = connection_manager();
    let filters = manager["http_filters"].as_array_mut().expect("filters");
    let guard = filters.iter_mut().find(|filter| filter["name"] == "oidc-token-connector-guard");
    guard.expect("the reference has a guard").take()
}

/// Every configuration of this repository with a guard counts where the alert looks.
#[test]
fn recipes_and_manifests_count_the_guard_where_the_alert_looks() {
    let prefix = guard()["typed_config"]["rules_stat_prefix"].as_str().expect("text").to_owned();
    let line = format!("rules_stat_prefix: {prefix}\n");
    let recipes = std::fs::read_dir(root().join("envoy/recipes")).expect("recipes");
    let recipes = recipes.map(|entry| entry.expect("an entry").file_name());
    let mut files: Vec<String> =
        recipes.map(|name| format!("envoy/recipes/{}", name.to_str().expect("text"))).collect();
    assert!(files.len() > 5, "{files:?}");
    let others = ["integration/mcp/envoy.yaml", "docs/security.md", "cli/src/bootstrap/envoy.yaml"];
    files.extend(others.map(str::to_owned));
    for file in files {
        let text = text(&file);
        let (_, guard) = text.split_once("- name: oidc-token-connector-guard").expect("a guard");
        let guard = guard.split("- name: ").next().expect("its end");
        assert!(guard.contains(&line), "{file}: the guard has no {line}");
    }
}

/// A WasmPlugin lets preflights pass, so there the guard has to as well.
#[test]
fn istio_has_reference_guard_and_preflight_principal() {
    let name = "oidc-token-connector-guard";
    let patches = patches(name);
    let [patch] = &patches[..] else { panic!("{patches:?}") };
    assert_eq!(
        (&patch["applyTo"], &patch["patch"]["operation"]),
        (&json!("HTTP_FILTER"), &json!("INSERT_BEFORE"))
    );
    let filter = &patch["match"]["listener"]["filterChain"]["filter"];
    assert_eq!(filter["subFilter"]["name"], "envoy.filters.http.router");
    let priority =
        |name: &str| object("EnvoyFilter", name)["spec"]["priority"].as_i64().unwrap_or(0);
    assert!(priority(name) > priority("oidc-token-connector"), "it would run before the filter");
    let mut expected = guard();
    let policies = &mut expected["typed_config"]["rules"]["policies"];
    let principals = &mut policies["passed-by-the-connector"]["principals"];
    let mut preflight = principals[0].clone();
    preflight["filter_state"]["string_match"]["prefix"] = json!("preflight;");
    principals.as_array_mut().expect("principals").push(preflight);
    assert_eq!(patch["patch"]["value"], expected);
}

#[test]
fn envoy_gateway_has_reference_guard() {
    let policy = object("EnvoyPatchPolicy", "oidc-token-connector-guard");
    let spec = &policy["spec"];
    let gateway = object("Gateway", "gateway");
    let patches = spec["jsonPatches"].as_array().expect("patches");
    let listeners = gateway["spec"]["listeners"].as_array().expect("listeners");
    assert_eq!((patches.len(), &spec["type"]), (listeners.len(), &json!("JSONPatch")));
    for (patch, listener) in patches.iter().zip(listeners) {
        let part = |value: &Value| value.as_str().expect("text").to_owned();
        let metadata = &gateway["metadata"];
        let name = [&metadata["namespace"], &metadata["name"], &listener["name"]].map(part);
        assert_eq!(patch["name"], name.join("/"));
        let operation = &patch["operation"];
        assert_eq!(operation["op"], "add");
        let before = "$..http_filters[?(@.name=='envoy.filters.http.router')]";
        assert_eq!((&operation["jsonPath"], &operation["value"]), (&json!(before), &guard()));
    }
}

/// By what name a cluster's options for HTTP are known.
const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The cluster of a provider in the reference.
fn provider() -> Value {
    let mut reference = document("envoy/envoy.yaml");
    let clusters = reference["static_resources"]["clusters"].as_array_mut().expect("clusters");
    let provider = clusters.iter_mut().find(|cluster| cluster["name"] == "idp_default");
    provider.expect("a provider").take()
}

/// How long an idle connection to a provider is kept, by the reference.
fn idle_timeout() -> Value {
    let options = &provider()["typed_extension_protocol_options"][OPTIONS];
    options["common_http_protocol_options"]["idle_timeout"].clone()
}

#[test]
fn manifests_have_reference_idle_timeout() {
    let rule = object("DestinationRule", "idp-example")["spec"].take();
    let settings = &rule["trafficPolicy"]["portLevelSettings"][0];
    assert_eq!(settings["connectionPool"]["http"]["idleTimeout"], idle_timeout());
    let traffic = object("BackendTrafficPolicy", "userinfo")["spec"].take();
    assert_eq!(traffic["timeout"]["http"]["connectionIdleTimeout"], idle_timeout());
    let route = object("HTTPRoute", "userinfo");
    let target = &traffic["targetRefs"][0];
    assert_eq!((&target["kind"], &target["name"]), (&route["kind"], &route["metadata"]["name"]));
    assert_eq!(idle_timeout(), "4s");
}

/// The reference speaks HTTP/1.1, which Envoy Gateway does not over TLS unless the provider does.
#[test]
fn manifests_allow_one_call_per_connection() {
    let reference = provider();
    let options = &reference["typed_extension_protocol_options"][OPTIONS];
    assert_eq!(options["explicit_http_config"], json!({"http_protocol_options": {}}));
    let traffic = object("BackendTrafficPolicy", "userinfo")["spec"].take();
    assert_eq!(traffic["http2"], json!({"maxConcurrentStreams": 1}));
    let entry = object("ServiceEntry", "idp-example")["spec"].take();
    assert_eq!(entry["ports"][0]["protocol"], "HTTP");
}

#[test]
fn manifests_have_reference_call_limits() {
    let reference = &provider()["circuit_breakers"]["thresholds"][0];
    let traffic = object("BackendTrafficPolicy", "userinfo")["spec"].take();
    let breaker = &traffic["circuitBreaker"];
    for (there, here) in [
        ("max_connections", "maxConnections"),
        ("max_pending_requests", "maxPendingRequests"),
        ("max_requests", "maxParallelRequests"),
    ] {
        assert_eq!((&breaker[here], &reference[there]), (&json!(16384), &json!(16384)), "{here}");
    }
}

#[test]
fn istio_route_always_has_one_instance() {
    let patches = patches("oidc-token-connector");
    let routes: Vec<_> = patches.iter().filter(|p| p["applyTo"] == "HTTP_ROUTE").collect();
    assert_eq!(routes.len(), 1);
    let said = &routes[0]["patch"]["value"]["typed_per_filter_config"];
    assert_eq!(said["oidc-token-connector"]["disabled"], true);
    assert_eq!(said["oidc-token-connector-partners"]["config"], json!({}));
    let filters: Vec<_> = patches.iter().filter(|p| p["applyTo"] == "HTTP_FILTER").collect();
    let off: Vec<_> = filters.iter().map(|p| p["patch"]["value"]["disabled"] == true).collect();
    assert_eq!(off, [false, true]);
}

#[test]
fn envoy_gateway_has_reference_settings_around_the_filter() {
    let reference = document("envoy/envoy.yaml");
    let traffic = object("ClientTrafficPolicy", "oidc-token-connector")["spec"].take();
    assert_eq!(
        traffic["timeout"]["http"]["streamIdleTimeout"],
        connection_manager()["stream_idle_timeout"]
    );
    assert_eq!(traffic["headers"]["withUnderscoresAction"], "RejectRequest");
    assert_eq!(traffic["path"]["escapedSlashesAction"], "RejectRequest");
    let proxy = object("EnvoyProxy", "oidc-token-connector")["spec"].take();
    let patches = proxy["bootstrap"]["jsonPatches"].as_array().expect("patches");
    let layer = &reference["layered_runtime"]["layers"][0]["static_layer"];
    assert_eq!(patches[0]["value"], layer["http.async_response_buffer_limit"]);
    assert_eq!(patches[1]["value"], reference["stats_config"]);
}

/// Prometheus gives each target `instance` and `job`, and each bucket `le`: a label of ours with such a name
/// would be renamed to `exported_…` by a scrape, or lost.
#[test]
fn no_label_is_reserved_by_prometheus() {
    let reference = document("envoy/envoy.yaml");
    let tags = reference["stats_config"]["stats_tags"].as_array().expect("tags");
    let names: Vec<_> = tags.iter().map(|tag| tag["tag_name"].as_str().expect("text")).collect();
    assert!(names.contains(&"connector"), "{names:?}");
    for name in names {
        let own = ["instance", "job", "le", "quantile"].contains(&name) || name.starts_with("__");
        assert!(!own, "the label {name} is Prometheus' own");
    }
}

/// Every text in a document, with its place.
fn texts(value: &Value, at: &str) -> Vec<(String, String)> {
    match value {
        Value::String(text) => vec![(at.to_owned(), text.clone())],
        Value::Array(items) => items.iter().flat_map(|item| texts(item, at)).collect(),
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| texts(value, &format!("{at}/{name}"))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}
