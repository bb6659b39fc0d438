//! Every protection of the reference is in each file.

use super::*;

/// Every protection of the reference is in each file.
#[test]
fn envoy_configuration_equals_the_reference() {
    let reference = yaml(&project("envoy/envoy.yaml"));
    let options = Options { ca: Some("/ca.pem".to_owned()), ..Options::default() };
    let envoy = yaml(&made(OIDC_PROVIDER, &options).0);
    for part in ["admin", "layered_runtime", "stats_config"] {
        assert_eq!(envoy[part], reference[part], "{part}");
    }
    let without = |value: &Json, keys: &[&str]| {
        let mut value = value.clone();
        value.as_object_mut().unwrap().retain(|key, _| !keys.contains(&key.as_str()));
        value
    };
    let around = |bootstrap: &Json| without(manager(bootstrap), &["http_filters", "route_config"]);
    assert_eq!(around(&envoy), around(&reference));
    let guard = |bootstrap: &Json| {
        let filters = manager(bootstrap)["http_filters"].as_array().unwrap().clone();
        filters.into_iter().find(|filter| filter["name"] == "oidc-token-connector-guard")
    };
    assert_eq!(guard(&envoy), guard(&reference));
    let provider = |bootstrap: &Json, name: &str| {
        let clusters = bootstrap["static_resources"]["clusters"].as_array().unwrap();
        let found = clusters.iter().find(|cluster| cluster["name"] == name).unwrap();
        let text = found.to_string().replace("/ca.pem", "/etc/ssl/certs/ca-certificates.crt");
        serde_json::from_str::<Json>(&text.replace("idp_idp_example", "idp_default")).unwrap()
    };
    assert_eq!(provider(&envoy, "idp_idp_example"), provider(&reference, "idp_default"));
}

#[test]
fn manifests_have_the_protections_of_the_reference() {
    let reference = yaml(&project("envoy/envoy.yaml"));
    let guard = manager(&reference)["http_filters"].as_array().unwrap().iter();
    let guard = guard.clone().find(|f| f["name"] == "oidc-token-connector-guard").unwrap();
    let tags = reference["stats_config"]["stats_tags"].as_array().unwrap();
    let limit = &reference["layered_runtime"]["layers"][0]["static_layer"];

    let istio = yamls(&made(OIDC_PROVIDER, &on(Platform::Istio, Options::default())).0);
    let of = |kind: &str, name: &str| {
        let named = |value: &&Json| value["kind"] == kind && value["metadata"]["name"] == name;
        istio.iter().find(named).unwrap_or_else(|| panic!("no {kind} {name}"))["spec"].clone()
    };
    let plugin = of("WasmPlugin", "oidc-token-connector");
    assert_eq!(plugin["failStrategy"], "FAIL_RELOAD");
    assert_eq!(plugin["sha256"], "a".repeat(64));
    assert_eq!(plugin["pluginConfig"]["preflight"], "pass");
    assert_eq!(plugin["pluginConfig"]["cache"].get("shared"), None);
    assert_eq!(
        plugin["pluginConfig"]["clusters"],
        json!({"idp.example": "outbound|80||idp.example"})
    );
    let around = of("EnvoyFilter", "oidc-token-connector-surroundings");
    let set = &around["configPatches"][0]["patch"]["value"]["typed_config"];
    for (name, value) in set.as_object().unwrap() {
        match name.as_str() {
            "common_http_protocol_options" => {
                let action = "headers_with_underscores_action";
                assert_eq!(value, &json!({action: manager(&reference)[name][action]}));
            }
            _ => assert_eq!(value, &manager(&reference)[name], "{name}"),
        }
    }
    assert_eq!(set["stream_idle_timeout"], "30s");
    let bootstrap = of("EnvoyFilter", "oidc-token-connector-bootstrap");
    let value = &bootstrap["configPatches"][0]["patch"]["value"];
    assert_eq!(&value["layered_runtime"]["layers"][0]["static_layer"], limit);
    assert_eq!(value["stats_config"]["stats_tags"].as_array().unwrap()[..tags.len()], tags[..]);
    let own = of("EnvoyFilter", "oidc-token-connector-guard")["configPatches"][0]["patch"]["value"]
        .clone();
    let principals = "/typed_config/rules/policies/passed-by-the-connector/principals";
    let mut expected = guard.clone();
    let all = expected.pointer_mut(principals).unwrap().as_array_mut().unwrap();
    let mut preflight = all[0].clone();
    preflight["filter_state"]["string_match"]["prefix"] = json!("preflight;");
    all.push(preflight);
    assert_eq!(own, expected);
    let rule =
        of("DestinationRule", "oidc-provider")["trafficPolicy"]["portLevelSettings"][0].clone();
    let tls = json!({"mode": "SIMPLE", "sni": "idp.example", "subjectAltNames": ["idp.example"],
        "caCertificates": "system"});
    assert_eq!(
        (&rule["tls"], &rule["connectionPool"]["http"]["idleTimeout"]),
        (&tls, &json!("4s"))
    );

    let gateway = yamls(&made(OIDC_PROVIDER, &on(Platform::EnvoyGateway, Options::default())).0);
    let of = |kind: &str| {
        let found = gateway.iter().find(|value| value["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}"))["spec"].clone()
    };
    let wasm = of("EnvoyExtensionPolicy")["wasm"][0].clone();
    assert_eq!(wasm["failOpen"], false);
    let cluster = "httproute/default/oidc-provider/rule/0";
    assert_eq!(wasm["config"]["clusters"], json!({"idp.example": cluster}));
    assert_eq!(of("EnvoyPatchPolicy")["jsonPatches"][0]["operation"]["value"], *guard);
    let validation = json!({"hostname": "idp.example", "wellKnownCACertificates": "System"});
    assert_eq!(of("BackendTLSPolicy")["validation"], validation);
    let patches = of("EnvoyProxy")["bootstrap"]["jsonPatches"].clone();
    assert_eq!(patches[0]["value"], limit["http.async_response_buffer_limit"]);
    assert_eq!(patches[1]["value"], reference["stats_config"]);
}
