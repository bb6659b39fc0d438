//! The promises of the reference configuration, read from the file itself: a lint, so that an edit
//! cannot silently remove a protection.

use std::collections::{BTreeMap, BTreeSet};

use integration::{DEFAULT_INSTANCE, GUARD, forward_proxy_cluster, reference};
use serde_json::{Value, json};

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

fn connection_manager(bootstrap: &Value) -> &Value {
    let listeners = bootstrap["static_resources"]["listeners"].as_array().unwrap();
    assert_eq!(listeners.len(), 1);
    &listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]
}

fn filters(bootstrap: &Value) -> &Vec<Value> {
    connection_manager(bootstrap)["http_filters"].as_array().unwrap()
}

fn instances(bootstrap: &Value) -> impl Iterator<Item = &Value> {
    filters(bootstrap).iter().filter(|f| f["typed_config"]["@type"] == WASM)
}

#[test]
fn every_instance_fails_closed_in_its_own_vm() {
    let bootstrap = reference().unwrap();
    assert_eq!(instances(&bootstrap).count(), 2);
    for instance in instances(&bootstrap) {
        let config = &instance["typed_config"]["config"];
        assert_eq!(config["failure_policy"], "FAIL_RELOAD", "{instance}");
        assert_eq!(config["vm_config"]["vm_id"], "oidc-token-connector", "{instance}");
        assert_eq!(config["name"], instance["name"]);
    }
}

#[test]
fn one_instance_is_on_by_default_and_both_configuration_forms_are_shown() {
    let bootstrap = reference().unwrap();
    let on: Vec<_> = instances(&bootstrap).filter(|f| f["disabled"] != true).collect();
    assert_eq!(on.len(), 1);
    assert_eq!(on[0]["name"], DEFAULT_INSTANCE);
    let forms: Vec<_> = instances(&bootstrap)
        .map(|f| f["typed_config"]["config"]["configuration"]["@type"].as_str().unwrap())
        .map(|form| form.rsplit('.').next().unwrap())
        .collect();
    assert_eq!(forms, ["StringValue", "Struct"]);
}

#[test]
fn route_disables_the_default_only_for_another_instance_or_if_public() {
    let bootstrap = reference().unwrap();
    let routes = &connection_manager(&bootstrap)["route_config"]["virtual_hosts"][0]["routes"];
    let mut unprotected = Vec::new();
    for route in routes.as_array().unwrap() {
        let said = &route["typed_per_filter_config"];
        let off = said[DEFAULT_INSTANCE]["disabled"] == true;
        let other = instances(&bootstrap)
            .filter_map(|f| f["name"].as_str())
            .any(|name| name != DEFAULT_INSTANCE && said[name]["config"].is_object());
        assert_eq!(off && other, other, "{}: two instances would decide", route["name"]);
        if off && !other {
            unprotected.push(route["name"].as_str().unwrap());
        }
    }
    assert_eq!(unprotected, ["public"]);
}

#[test]
fn cors_comes_first_and_the_router_last() {
    let bootstrap = reference().unwrap();
    let names: Vec<_> = filters(&bootstrap).iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names.first(), Some(&"envoy.filters.http.cors"));
    assert_eq!(names.last(), Some(&"envoy.filters.http.router"));
}

/// Behind the instances, so that it is there where Envoy leaves them out; `guard.rs` sees it at work.
#[test]
fn guard_passes_only_requests_passed_by_an_instance() {
    let bootstrap = reference().unwrap();
    let filters = filters(&bootstrap);
    let guard = &filters[filters.len() - 2];
    assert_eq!((&guard["name"], guard.get("disabled")), (&json!(GUARD), None));
    let config = &guard["typed_config"];
    assert!(config["@type"].as_str().unwrap().ends_with(".filters.http.rbac.v3.RBAC"), "{config}");
    let passed = json!({"key": "wasm.oidc_outcome", "string_match": {"prefix": "pass;"}});
    let policy = json!({"permissions": [{"any": true}], "principals": [{"filter_state": passed}]});
    let rules = json!({"action": "ALLOW", "policies": {"passed-by-the-connector": policy}});
    assert_eq!(config["rules"], rules);
    // Of its own, or it could not be told from those of another such filter.
    assert_eq!(config["rules_stat_prefix"], "oidc_token_connector_guard");
    for instance in instances(&bootstrap) {
        assert_eq!(configuration(instance)["access_log_state"], true, "{}", instance["name"]);
    }
}

/// Every header that an instance may set, in lower case.
fn identity_headers(bootstrap: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for instance in instances(bootstrap) {
        let config = configuration(instance);
        names.extend(config["region_header"].as_str().map(str::to_ascii_lowercase));
        for (name, rule) in config["inject_headers"].as_object().unwrap() {
            // By region, or for all.
            let is_path = rule.is_string() || rule.get("path").is_some();
            let of_region = rule.as_object().filter(|_| !is_path).into_iter().flatten();
            let names_there = of_region.map(|(name, _)| name).chain(is_path.then_some(name));
            names.extend(names_there.map(|name| name.to_ascii_lowercase()));
        }
    }
    names
}

#[test]
fn guard_is_off_only_on_public_routes_which_remove_identity_headers() {
    let bootstrap = reference().unwrap();
    let routes = &connection_manager(&bootstrap)["route_config"]["virtual_hosts"][0]["routes"];
    let expected = identity_headers(&bootstrap);
    assert!(
        ["x-user-id", "x-user-region", "x-partner-roles"].iter().all(|n| expected.contains(*n))
    );
    for route in routes.as_array().unwrap() {
        let off = |filter: &str| route["typed_per_filter_config"][filter]["disabled"] == true;
        let public = route["name"] == "public";
        assert_eq!(off(GUARD), public, "{}", route["name"]);
        if public {
            let removed = route["request_headers_to_remove"].as_array().unwrap().iter();
            let removed: BTreeSet<_> = removed.map(|name| name.as_str().unwrap()).collect();
            let missing = expected.iter().filter(|name| !removed.contains(name.as_str()));
            assert_eq!(missing.count(), 0, "{removed:?}");
            assert!(removed.contains("authorization"));
        }
    }
}

#[test]
fn limits_and_refusals_are_set() {
    let bootstrap = reference().unwrap();
    let hcm = connection_manager(&bootstrap);
    assert_eq!(hcm["stream_idle_timeout"], "30s");
    let refused = &hcm["common_http_protocol_options"]["headers_with_underscores_action"];
    assert_eq!(refused, "REJECT_REQUEST");
    assert_eq!(hcm["path_with_escaped_slashes_action"], "REJECT_REQUEST");
    assert_eq!(hcm["normalize_path"], true);
    let layer = &bootstrap["layered_runtime"]["layers"][0]["static_layer"];
    let held = layer["http.async_response_buffer_limit"].as_str().unwrap();
    assert!(held.parse::<u32>().unwrap() > 65_536, "below max_userinfo_bytes: {held}");
    assert_eq!(bootstrap["admin"]["address"]["socket_address"]["address"], "127.0.0.1");
}

#[test]
fn default_instance_requires_subject_and_reports_outcomes_and_outages() {
    let bootstrap = reference().unwrap();
    let default = instances(&bootstrap).next().unwrap();
    let text = &default["typed_config"]["config"]["configuration"]["value"];
    let config: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    assert_eq!(config["require_subject"], true);
    assert_eq!(config["access_log_state"], true);
    assert_eq!(config["userinfo_unavailable"]["status"], 503);
    assert!(config["userinfo_unavailable"]["retry_after"].is_string());
    let regions = config["userinfo_endpoint"]["regionCodeValue"].as_object().unwrap();
    assert!(regions.keys().eq(["FR", "US", "DE"]));
    let log = connection_manager(&bootstrap)["access_log"][0].to_string();
    for shown in ["%RESPONSE_CODE_DETAILS%", "%FILTER_STATE(wasm.oidc_outcome:PLAIN)%"] {
        assert!(log.contains(shown), "{log}");
    }
    for secret in ["AUTHORIZATION", "authorization", "%REQ(:PATH)%"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// The configuration of an instance, whichever form it has.
fn configuration(instance: &Value) -> Value {
    let value = &instance["typed_config"]["config"]["configuration"]["value"];
    value.as_str().map_or_else(|| value.clone(), |text| serde_json::from_str(text).unwrap())
}

fn uris(endpoints: &Value) -> Vec<&str> {
    let regions = endpoints["regionCodeValue"].as_object().into_iter().flat_map(|r| r.values());
    regions.chain([&endpoints["defaultURI"]]).map(|uri| uri.as_str().unwrap()).collect()
}

/// Without a trusted CA Envoy takes any certificate, without the name anybody's.
#[test]
fn every_provider_cluster_has_tls_with_ca_name_and_sni() {
    let bootstrap = reference().unwrap();
    let mut names = BTreeMap::new();
    for instance in instances(&bootstrap) {
        let config = configuration(instance);
        for uri in uris(&config["userinfo_endpoint"]) {
            let rest = uri.strip_prefix("https://").unwrap_or_else(|| panic!("{uri}: not TLS"));
            let host = rest.split('/').next().unwrap();
            let cluster = config["clusters"][host].as_str().unwrap();
            let known = names.insert(cluster.to_owned(), host.to_owned());
            assert!(known.is_none_or(|known| known == host), "{cluster} has two names");
        }
    }
    let clusters = bootstrap["static_resources"]["clusters"].as_array().unwrap();
    let providers =
        clusters.iter().filter_map(|c| c["name"].as_str()).filter(|n| n.contains("idp"));
    assert!(names.len() == 4 && providers.clone().count() == 4, "{names:?}");

    for (cluster, host) in names {
        let cluster = clusters.iter().find(|c| c["name"] == cluster.as_str()).unwrap();
        let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
        let socket = &endpoint["address"]["socket_address"];
        assert_eq!(socket, &json!({"address": host, "port_value": 443}));
        // Before the provider closes an idle connection; and one call at a time on each.
        let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let connections = json!({
            "@type": format!("type.googleapis.com/{options}"),
            "common_http_protocol_options": {"idle_timeout": "4s"},
            "explicit_http_config": {"http_protocol_options": {}},
        });
        assert_eq!(cluster["typed_extension_protocol_options"], json!({options: connections}));
        let tls = &cluster["transport_socket"]["typed_config"];
        assert!(tls["@type"].as_str().unwrap().ends_with(".tls.v3.UpstreamTlsContext"), "{tls}");
        assert_eq!(tls["sni"], host);
        let common = &tls["common_tls_context"];
        assert_eq!(common["tls_params"]["tls_maximum_protocol_version"], "TLSv1_3");
        let expected = json!({
            "trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": host}}],
        });
        assert_eq!(common["validation_context"], expected, "{host}");
    }
}

#[test]
fn forward_proxy_cluster_has_the_same_tls_and_connections() {
    let bootstrap = reference().unwrap();
    let clusters = bootstrap["static_resources"]["clusters"].as_array().unwrap();
    let behind = forward_proxy_cluster().unwrap();
    let direct = clusters.iter().find(|cluster| cluster["name"] == behind["name"]).unwrap();
    let outer = &behind["transport_socket"]["typed_config"];
    assert!(outer["@type"].as_str().unwrap().ends_with(".Http11ProxyUpstreamTransport"));
    assert_eq!(outer["transport_socket"], direct["transport_socket"]);
    let connections = "typed_extension_protocol_options";
    assert!(direct[connections].is_object() && behind[connections] == direct[connections]);
    let host = &direct["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    let named = &behind["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    assert_eq!(named["hostname"], host["address"]["socket_address"]["address"]);
}
