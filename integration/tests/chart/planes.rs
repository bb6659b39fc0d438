//! What Istio and Envoy Gateway make of the manifests, as far as it is about a connection manager:
//! a model of the two control planes, which are not here. It must not add a setting that the manifests
//! do not have, so it takes those out of the reference first.

use serde_json::{Map, Value, json};

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const SWITCH: &str = "type.googleapis.com/envoy.config.route.v3.FilterConfig";

/// Settings of the reference that the manifests have to bring.
const AROUND: [&str; 5] = [
    "stream_idle_timeout",
    "request_headers_timeout",
    "normalize_path",
    "merge_slashes",
    "path_with_escaped_slashes_action",
];

/// Makes of the reference's connection manager what the control plane makes: routes with these names,
/// each for the paths below its name, and one for all others.
pub(crate) fn apply(objects: &[Value], routes: &[&str], manager: &mut Value) {
    bare(routes, manager);
    match objects.iter().any(|object| object["kind"] == "EnvoyExtensionPolicy") {
        true => envoy_gateway(objects, manager),
        false => istio(objects, manager),
    }
}

/// The filter configurations, in the form in which the filter gets them.
pub(crate) fn configurations(manager: &Value) -> Vec<Value> {
    let filters = manager["http_filters"].as_array().expect("filters");
    let texts = filters
        .iter()
        .filter_map(|filter| filter["typed_config"]["config"]["configuration"]["value"].as_str());
    texts.map(|text| serde_json::from_str(text).expect("JSON")).collect()
}

fn bare(routes: &[&str], manager: &mut Value) {
    let members = manager.as_object_mut().expect("a connection manager");
    for setting in AROUND {
        assert!(members.shift_remove(setting).is_some(), "the reference has no {setting}");
    }
    let common = members["common_http_protocol_options"].as_object_mut().expect("options");
    common.shift_remove("headers_with_underscores_action").expect("an action");
    let filters = members["http_filters"].as_array_mut().expect("filters");
    filters.retain(|filter| {
        let name = filter["name"].as_str().expect("a name");
        name == "envoy.filters.http.cors" || name == "envoy.filters.http.router"
    });
    assert_eq!(filters.len(), 2);
    let route = |name: &str, prefix: String| {
        let to = json!({"cluster": "upstream"});
        json!({"name": name, "match": {"prefix": prefix}, "route": to})
    };
    let mut all: Vec<Value> = routes.iter().map(|name| route(name, format!("/{name}"))).collect();
    all.push(route("all", "/".to_owned()));
    *self::routes(manager) = all;
}

fn routes(manager: &mut Value) -> &mut Vec<Value> {
    let host = &mut manager["route_config"]["virtual_hosts"][0];
    host["routes"].as_array_mut().expect("routes")
}

fn before_the_router(manager: &mut Value, filter: Value) {
    let filters = manager["http_filters"].as_array_mut().expect("filters");
    filters.insert(filters.len() - 1, filter);
}

/// The module under test instead of the image; `set_module` of the rig fills in the path.
fn local() -> Value {
    json!({"local": {"filename": "/oidc_token_connector.wasm"}})
}

fn istio(objects: &[Value], manager: &mut Value) {
    for plugin in objects.iter().filter(|object| object["kind"] == "WasmPlugin") {
        let filters = manager["http_filters"].as_array_mut().expect("filters");
        filters.insert(0, wasm_plugin(plugin));
    }
    let mut filters: Vec<&Value> =
        objects.iter().filter(|object| object["kind"] == "EnvoyFilter").collect();
    filters.sort_by_key(|filter| filter["spec"]["priority"].as_i64().unwrap_or(0));
    let patches = filters
        .iter()
        .flat_map(|filter| filter["spec"]["configPatches"].as_array().expect("patches").iter());
    let mut extensions = Map::new();
    for patch in patches {
        let value = patch["patch"]["value"].clone();
        match patch["applyTo"].as_str().expect("text") {
            "NETWORK_FILTER" => merge(manager, value["typed_config"].clone()),
            "EXTENSION_CONFIG" => {
                let mut typed = value["typed_config"].clone();
                typed["config"]["vm_config"]["code"] = local();
                extensions.insert(value["name"].as_str().expect("a name").to_owned(), typed);
            }
            "HTTP_FILTER" => before_the_router(manager, discovered(value, &extensions)),
            "HTTP_ROUTE" => {
                let name = &patch["match"]["routeConfiguration"]["vhost"]["route"]["name"];
                let mut named = routes(manager).iter_mut().filter(|route| route["name"] == *name);
                merge(named.next().expect("a route of that name"), value);
            }
            "BOOTSTRAP" => {}
            other => panic!("a patch of {other}"),
        }
    }
}

/// A filter with the configuration that it would get by discovery.
fn discovered(mut filter: Value, extensions: &Map<String, Value>) -> Value {
    let members = filter.as_object_mut().expect("a filter");
    if members.shift_remove("config_discovery").is_some() {
        let name = members["name"].as_str().expect("a name");
        let typed = extensions[name].clone();
        members.insert("typed_config".to_owned(), typed);
    }
    filter
}

fn wasm_plugin(plugin: &Value) -> Value {
    let spec = &plugin["spec"];
    let env = spec["vmConfig"]["env"].as_array().into_iter().flatten();
    let keys: Vec<&Value> = env.map(|entry| &entry["name"]).collect();
    wasm(
        &format!("istio-system.{}", plugin["metadata"]["name"].as_str().expect("a name")),
        spec["failStrategy"].as_str().expect("a strategy"),
        &keys,
        &spec["pluginConfig"],
    )
}

fn wasm(name: &str, policy: &str, variables: &[&Value], config: &Value) -> Value {
    json!({
        "name": name,
        "typed_config": {
            "@type": WASM,
            "config": {
                "name": name,
                "failure_policy": policy,
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": local(),
                    "environment_variables": {"host_env_keys": variables},
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": config.to_string(),
                },
            },
        },
    })
}

/// What a route answers that takes no request.
pub(crate) const TAKEN: u16 = 418;

/// A match of an HTTPRoute, by an exact path and expressions for headers, as Envoy Gateway writes it for Envoy.
fn exactly(matched: &Value) -> Value {
    assert_eq!(matched["path"]["type"], "Exact");
    let headers = matched["headers"].as_array().expect("headers").iter().map(|header| {
        assert_eq!(header["type"], "RegularExpression");
        json!({"name": header["name"], "string_match": {"safe_regex": {"regex": header["value"]}}})
    });
    json!({"path": matched["path"]["value"], "headers": headers.collect::<Vec<_>>()})
}

fn envoy_gateway(objects: &[Value], manager: &mut Value) {
    let of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    let mut of_gateway = None;
    let mut of_routes = Map::new();
    for policy in of("EnvoyExtensionPolicy") {
        for wasm_ in policy["spec"]["wasm"].as_array().expect("a list") {
            let name =
                format!("envoy.filters.http.wasm/{}", wasm_["name"].as_str().expect("a name"));
            let keys: Vec<&Value> =
                wasm_["env"]["hostKeys"].as_array().into_iter().flatten().collect();
            assert_eq!(wasm_["failOpen"], false);
            let mut filter = wasm(&name, "FAIL_CLOSED", &keys, &wasm_["config"]);
            filter["typed_config"]["config"]["vm_config"]["vm_id"] = json!(name);
            filter["disabled"] = json!(true);
            before_the_router(manager, filter);
            for target in policy["spec"]["targetRefs"].as_array().expect("targets") {
                match target["kind"].as_str() {
                    Some("Gateway") => of_gateway = Some(name.clone()),
                    _ => {
                        let route = target["name"].as_str().expect("a name").to_owned();
                        of_routes.insert(route, json!(name));
                    }
                }
            }
        }
    }
    let of_gateway = of_gateway.expect("a policy of the Gateway");
    for route in routes(manager) {
        let name = route["name"].as_str().expect("a name");
        let filter = of_routes.get(name).and_then(Value::as_str).unwrap_or(&of_gateway).to_owned();
        route["typed_per_filter_config"] = json!({filter: {"@type": SWITCH, "config": {}}});
    }
    // The provider's own routes are there for their clusters alone: a request that one takes would be seen.
    let rules = of("HTTPRoute").flat_map(|route| route["spec"]["rules"].as_array().expect("rules"));
    let matches = rules.flat_map(|rule| rule["matches"].as_array().expect("matches"));
    for (index, matched) in matches.enumerate() {
        let taken = exactly(matched);
        let answer = json!({"status": TAKEN});
        let route =
            json!({"name": format!("provider {index}"), "match": taken, "direct_response": answer});
        routes(manager).insert(0, route);
    }
    // One listener is run here, and each of the Gateway's has the guard.
    let guard = of("EnvoyPatchPolicy").next().expect("a guard");
    let operation = &guard["spec"]["jsonPatches"][0]["operation"];
    assert_eq!(operation["jsonPath"], "$..http_filters[?(@.name=='envoy.filters.http.router')]");
    before_the_router(manager, operation["value"].clone());
    let traffic = &of("ClientTrafficPolicy").next().expect("a policy")["spec"];
    manager["stream_idle_timeout"] = traffic["timeout"]["http"]["streamIdleTimeout"].clone();
    assert_eq!(traffic["headers"]["withUnderscoresAction"], "RejectRequest");
    assert_eq!(traffic["path"]["escapedSlashesAction"], "RejectRequest");
    let around = json!({
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        // Where nothing is said.
        "normalize_path": true,
        "merge_slashes": true,
    });
    merge(manager, around);
}

/// As messages are merged: lists grow, single values are replaced.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(there) => merge(there, value),
                    None => {
                        into.insert(name, value);
                    }
                }
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from),
        (into, from) => *into = from,
    }
}
