//! The safety settings of the manifests equal those of the reference configuration: an edit of one
//! must not forget the other.

use serde_json::{Value, json};

use crate::files::{PLAIN, Set, document, root, set, sets, sets_of, text};

fn connection_manager() -> Value {
    let mut reference = document("envoy/envoy.yaml");
    let chain = &mut reference["static_resources"]["listeners"][0]["filter_chains"][0];
    chain["filters"][0]["typed_config"].take()
}

/// The name of all objects, or its beginning.
const NAME: &str = "oidc-token-connector";

/// The instances of an EnvoyFilter.
fn plugins(set: &Set) -> Vec<Value> {
    let patches = if set.is_plugin() { Vec::new() } else { set.patches(NAME) };
    let configs = patches
        .into_iter()
        .map(|mut patch| patch["patch"]["value"]["typed_config"]["config"].take());
    configs.filter(Value::is_object).collect()
}

#[test]
fn failed_module_lets_no_request_pass() {
    for set in sets_of(true) {
        if set.is_plugin() {
            assert_eq!(set.object("WasmPlugin", NAME)["spec"]["failStrategy"], "FAIL_RELOAD");
            continue;
        }
        let plugins = plugins(&set);
        assert_eq!(plugins.len(), 2);
        for config in plugins {
            assert_eq!(config["failure_policy"], "FAIL_RELOAD");
            assert_eq!(config["vm_config"]["vm_id"], NAME);
        }
    }
    for set in sets_of(false) {
        for policy in set.of_kind("EnvoyExtensionPolicy") {
            for wasm in policy["spec"]["wasm"].as_array().expect("a list") {
                assert_eq!(wasm["failOpen"], false, "{}", set.file);
            }
        }
    }
}

/// A WasmPlugin runs before Istio's CORS filter; the others run after it.
#[test]
fn preflight_passes_only_if_filter_is_before_cors() {
    for set in sets() {
        if set.is_plugin() {
            let plugin = &set.object("WasmPlugin", NAME)["spec"];
            assert_eq!(plugin["phase"], "AUTHN");
            assert_eq!(plugin["pluginConfig"]["preflight"], "pass");
            continue;
        }
        let rules =
            |object: &&Value| object["kind"] != "PrometheusRule" && object["kind"] != "ConfigMap";
        for object in set.objects.iter().filter(rules) {
            assert!(!object.to_string().contains("preflight"), "{}", set.file);
        }
    }
}

#[test]
fn image_is_pinned_by_digest() {
    for set in sets() {
        let mut pinned = 0;
        for object in &set.objects {
            for (place, text) in texts(object, "") {
                if place.ends_with("/sha256") {
                    pinned += 1;
                    let is_digest = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
                    assert!(is_digest, "{}: {place}", set.file);
                }
                assert!(!text.contains(":latest"), "{}: {place}", set.file);
            }
        }
        let instances = set.of_kind("WasmPlugin").len()
            + set.of_kind("EnvoyExtensionPolicy").len()
            + if set.is_istio() { plugins(&set).len() } else { 0 };
        assert!(instances > 0);
        assert_eq!(pinned, instances, "{}", set.file);
    }
}

#[test]
fn istio_has_reference_settings_around_the_filter() {
    let reference = connection_manager();
    for set in sets_of(true) {
        let patch = &set.patches(&format!("{NAME}-surroundings"))[0]["patch"];
        assert_eq!(patch["operation"], "MERGE");
        let settings = patch["value"]["typed_config"].as_object().expect("settings");
        assert!(settings.len() > 5);
        for (name, value) in settings {
            if name == "common_http_protocol_options" {
                let action = "headers_with_underscores_action";
                assert_eq!(value, &json!({action: reference[name][action]}));
            } else {
                assert_eq!(value, &reference[name], "{name}");
            }
        }
        assert_eq!(settings["stream_idle_timeout"], "30s");
    }
}

/// Settings of Envoy's bootstrap: merged into Istio's own, so it must contain nothing else.
#[test]
fn istio_has_reference_limit_and_labels() {
    let reference = document("envoy/envoy.yaml");
    let set = set("istio");
    let patches = set.patches(&format!("{NAME}-bootstrap"));
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
            "layered_runtime": {"layers": [{"name": NAME, "static_layer": {limit: layer[limit]}}]},
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
    assert!(text(&set.file).contains(&kept), "{kept}");
    assert!(text("deploy/helm/oidc-token-connector/templates/NOTES.txt").contains(&kept), "{kept}");
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

/// The guard of the reference, with a principal for each of these outcomes.
fn guard_for(outcomes: &[&str]) -> Value {
    let mut expected = guard();
    let policies = &mut expected["typed_config"]["rules"]["policies"];
    let principals = &mut policies["passed-by-the-connector"]["principals"];
    let principals = principals.as_array_mut().expect("principals");
    let model = principals.remove(0);
    assert!(principals.is_empty());
    principals.extend(outcomes.iter().map(|outcome| {
        let mut principal = model.clone();
        principal["filter_state"]["string_match"]["prefix"] = json!(outcome);
        principal
    }));
    expected
}

/// What an instance lets pass, the guard has to as well: a WasmPlugin preflights, another instance
/// requests without credentials.
#[test]
fn istio_has_reference_guard_with_the_outcomes_of_its_instances() {
    for set in sets_of(true) {
        let name = format!("{NAME}-guard");
        let patches = set.patches(&name);
        let [patch] = &patches[..] else { panic!("{patches:?}") };
        assert_eq!(
            (&patch["applyTo"], &patch["patch"]["operation"]),
            (&json!("HTTP_FILTER"), &json!("INSERT_BEFORE"))
        );
        let filter = &patch["match"]["listener"]["filterChain"]["filter"];
        assert_eq!(filter["subFilter"]["name"], "envoy.filters.http.router");
        let priority = |filter: &Value| filter["spec"]["priority"].as_i64().unwrap_or(0);
        let before = set.of_kind("EnvoyFilter").into_iter().map(priority).max();
        assert_eq!(
            before,
            Some(priority(set.object("EnvoyFilter", &name))),
            "it has to be the last"
        );
        let outcomes: &[&str] = match set.name.as_str() {
            "istio-routes" => &["pass;"],
            "istio-routes-introspection" => &["pass;", "anonymous;"],
            _ => &["pass;", "preflight;"],
        };
        assert_eq!(patch["patch"]["value"], guard_for(outcomes), "{}", set.file);
    }
}

#[test]
fn envoy_gateway_has_reference_guard_at_each_listener() {
    for set in sets_of(false) {
        let spec = &set.object("EnvoyPatchPolicy", &format!("{NAME}-guard"))["spec"];
        assert_eq!(spec["type"], "JSONPatch");
        let patches = spec["jsonPatches"].as_array().expect("patches");
        let listeners: &[&str] = match set.name.as_str() {
            "envoy-gateway" => &["default/gateway/http"],
            _ => &["default/edge/http", "default/edge/https"],
        };
        let names: Vec<&Value> = patches.iter().map(|patch| &patch["name"]).collect();
        assert_eq!(names, listeners, "{}", set.file);
        for patch in patches {
            let operation = &patch["operation"];
            assert_eq!(operation["op"], "add");
            let before = "$..http_filters[?(@.name=='envoy.filters.http.router')]";
            assert_eq!(operation["jsonPath"], before);
            assert_eq!(operation["value"], guard(), "{}", set.file);
        }
    }
}

/// The guard is at the listeners of the Gateway that is made.
#[test]
fn envoy_gateway_has_a_gateway_with_the_bootstrap() {
    let set = set("envoy-gateway");
    let gateway = set.object("Gateway", "gateway");
    assert_eq!(
        gateway["spec"]["listeners"],
        json!([{"name": "http", "port": 80, "protocol": "HTTP"}])
    );
    let parameters = &gateway["spec"]["infrastructure"]["parametersRef"];
    assert_eq!((&parameters["kind"], &parameters["name"]), (&json!("EnvoyProxy"), &json!(NAME)));
    set.object("EnvoyProxy", NAME);
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

/// The settings of connections to the providers, one for each.
fn settings_of_ports(set: &Set) -> Vec<Value> {
    let rules = set.of_kind("DestinationRule").into_iter();
    let settings = rules.map(|rule| &rule["spec"]["trafficPolicy"]["portLevelSettings"]);
    settings.flat_map(|list| list.as_array().expect("ports").clone()).collect()
}

#[test]
fn manifests_have_reference_idle_timeout() {
    for set in sets().iter().filter(|set| set.name != "istio-regions") {
        for settings in settings_of_ports(set) {
            assert_eq!(settings["connectionPool"]["http"]["idleTimeout"], idle_timeout());
        }
        for traffic in set.of_kind("BackendTrafficPolicy") {
            let kept = &traffic["spec"]["timeout"]["http"]["connectionIdleTimeout"];
            assert_eq!(*kept, idle_timeout());
            let target = &traffic["spec"]["targetRefs"][0];
            assert_eq!(target["kind"], "HTTPRoute");
            set.object("HTTPRoute", target["name"].as_str().expect("a name"));
        }
        assert_eq!(set.of_kind("BackendTrafficPolicy").len(), set.of_kind("HTTPRoute").len());
        assert_eq!(set.of_kind("DestinationRule").len(), set.of_kind("ServiceEntry").len());
    }
    assert_eq!(idle_timeout(), "4s");
}

/// The reference speaks HTTP/1.1, which Envoy Gateway does not over TLS unless the provider does.
#[test]
fn manifests_allow_one_call_per_connection() {
    let reference = provider();
    let options = &reference["typed_extension_protocol_options"][OPTIONS];
    assert_eq!(options["explicit_http_config"], json!({"http_protocol_options": {}}));
    for set in sets() {
        for traffic in set.of_kind("BackendTrafficPolicy") {
            assert_eq!(traffic["spec"]["http2"], json!({"maxConcurrentStreams": 1}));
        }
        for entry in set.of_kind("ServiceEntry") {
            assert_eq!(entry["spec"]["ports"][0]["protocol"], "HTTP");
        }
    }
}

#[test]
fn manifests_have_reference_call_limits() {
    let reference = &provider()["circuit_breakers"]["thresholds"][0];
    let names = [
        ("max_connections", "maxConnections"),
        ("max_pending_requests", "maxPendingRequests"),
        ("max_requests", "maxParallelRequests"),
    ];
    for set in sets_of(false) {
        for traffic in set.of_kind("BackendTrafficPolicy") {
            for (there, here) in names {
                let found = &traffic["spec"]["circuitBreaker"][here];
                assert_eq!((found, &reference[there]), (&json!(16384), &json!(16384)), "{here}");
            }
        }
    }
}

/// `kubectl apply -f` of a directory applies all of its files: more than one active instance on a route
/// refuses everybody, since the first removes the token.
#[test]
fn each_directory_has_one_file_with_one_active_instance() {
    for (name, file) in PLAIN {
        let directory = root().join(file);
        let directory = directory.parent().expect("a directory");
        let files = std::fs::read_dir(directory).expect("files").count();
        assert_eq!(files, 1, "{}", directory.display());
        let set = set(name);
        let filters =
            if set.is_istio() && !set.is_plugin() { set.patches(NAME) } else { Vec::new() };
        let filters = filters.iter().filter(|patch| patch["applyTo"] == "HTTP_FILTER");
        let on = filters.filter(|patch| patch["patch"]["value"]["disabled"] != true);
        let instances = set.of_kind("WasmPlugin").len()
            + set.of_kind("EnvoyExtensionPolicy").len()
            + on.count();
        assert_eq!(instances, 1, "{file}");
    }
}

#[test]
fn istio_route_always_has_one_instance() {
    for set in ["istio-routes", "istio-routes-introspection"].map(set) {
        let patches = set.patches(NAME);
        let of = |kind: &str| -> Vec<&Value> {
            let patches = patches.iter().filter(|patch| patch["applyTo"] == kind);
            patches.map(|patch| &patch["patch"]["value"]).collect()
        };
        let off: Vec<_> = of("HTTP_FILTER").iter().map(|f| f["disabled"] == true).collect();
        assert_eq!(off, [false, true]);
        let routes = of("HTTP_ROUTE");
        assert!(!routes.is_empty());
        for route in routes {
            let said = route["typed_per_filter_config"].as_object().expect("what it says");
            assert_eq!(said[NAME]["disabled"], true);
            let mut others = said.iter().filter(|(name, _)| *name != NAME);
            let (name, other) = others.next().expect("another filter");
            match route.get("metadata") {
                None => assert_eq!(other["config"], json!({}), "{name}"),
                // Public: nobody says who he is, and the guard would refuse everybody.
                Some(metadata) => {
                    assert_eq!(
                        (name.as_str(), &other["disabled"]),
                        ("oidc-token-connector-guard", &json!(true))
                    );
                    assert_eq!(metadata["filter_metadata"][NAME]["public"], "health checks");
                    let removed = json!(["X-Anonymous", "X-Client-Id", "X-User-Id"]);
                    assert_eq!(route["request_headers_to_remove"], removed);
                }
            }
        }
    }
}

#[test]
fn envoy_gateway_has_reference_settings_around_the_filter() {
    let reference = document("envoy/envoy.yaml");
    for set in sets_of(false) {
        let traffic = &set.object("ClientTrafficPolicy", NAME)["spec"];
        assert_eq!(
            traffic["timeout"]["http"]["streamIdleTimeout"],
            connection_manager()["stream_idle_timeout"]
        );
        assert_eq!(traffic["headers"]["withUnderscoresAction"], "RejectRequest");
        assert_eq!(traffic["path"]["escapedSlashesAction"], "RejectRequest");
        let proxy = &set.object("EnvoyProxy", NAME)["spec"];
        let patches = proxy["bootstrap"]["jsonPatches"].as_array().expect("patches");
        let layer = &reference["layered_runtime"]["layers"][0]["static_layer"];
        assert_eq!(patches[0]["value"], layer["http.async_response_buffer_limit"]);
        assert_eq!(patches[1]["value"], reference["stats_config"]);
    }
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
