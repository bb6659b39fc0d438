//! The filter configurations in the manifests load, by the filter's own reader, and every cluster that
//! they name is one that the manifest around them makes.

use oidc_token_connector::policy;
use serde_json::Value;

use crate::files::{object, objects};

/// A filter configuration in the form in which the control plane hands it to the filter.
struct Found {
    file: &'static str,
    text: String,
}

impl Found {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{}: {e}", self.file))
    }
}

/// All of them, in order.
fn configurations() -> Vec<Found> {
    let mut found = Vec::new();
    for object in objects() {
        let spec = &object.value["spec"];
        let texts: Vec<String> = match object.value["kind"].as_str() {
            // Both write the object as JSON text.
            Some("WasmPlugin") => vec![spec["pluginConfig"].to_string()],
            Some("EnvoyExtensionPolicy") => {
                let all = spec["wasm"].as_array().expect("a list");
                all.iter().map(|wasm| wasm["config"].to_string()).collect()
            }
            Some("EnvoyFilter") => {
                let patches = spec["configPatches"].as_array().expect("patches");
                let values = patches.iter().map(|patch| &patch["patch"]["value"]["typed_config"]);
                values
                    .filter_map(|typed| typed["config"]["configuration"]["value"].as_str())
                    .map(str::to_owned)
                    .collect()
            }
            _ => Vec::new(),
        };
        found.extend(texts.into_iter().map(|text| Found { file: object.file, text }));
    }
    found
}

#[test]
fn each_configuration_loads_without_problems() {
    let all = configurations();
    assert_eq!(all.len(), 4);
    for found in all {
        match policy::read(found.text.as_bytes()) {
            Ok(loaded) => {
                let faults: Vec<String> = loaded.faults.iter().map(ToString::to_string).collect();
                assert_eq!(faults, Vec::<String>::new(), "{}", found.file);
            }
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                panic!("{}: {}", found.file, problems.join("; "));
            }
        }
    }
}

#[test]
fn each_configuration_has_the_recommended_settings() {
    for found in configurations() {
        let config = found.json();
        assert_eq!(config["require_subject"], true, "{}", found.file);
        assert_eq!(config["userinfo_unavailable"]["status"], 503, "{}", found.file);
        assert_eq!(config["provider_errors"], "map", "{}", found.file);
        assert_eq!(config["access_log_state"], true, "{}", found.file);
    }
}

#[test]
fn each_provider_cluster_is_in_the_manifest() {
    for found in configurations() {
        let config = found.json();
        let uri = config["userinfo_endpoint"]["defaultURI"].as_str().expect("a URI");
        let host = uri.strip_prefix("https://").and_then(|rest| rest.split('/').next());
        let host = host.unwrap_or_else(|| panic!("{uri}: not https"));
        let cluster = config["clusters"][host].as_str().expect("the host's cluster");
        let made =
            if found.file.contains("istio") { istio_cluster(host) } else { gateway_cluster(host) };
        assert_eq!(cluster, made, "{}", found.file);
    }
}

/// Istio's name for the service, which must lead to TLS with the right name.
fn istio_cluster(host: &str) -> String {
    let entry = object("ServiceEntry", "idp-example")["spec"].take();
    assert_eq!(entry["hosts"][0], host);
    let port = &entry["ports"][0];
    assert_eq!((port["targetPort"].as_u64(), port["protocol"].as_str()), (Some(443), Some("HTTP")));
    let rule = object("DestinationRule", "idp-example")["spec"].take();
    assert_eq!(rule["host"], host);
    let settings = &rule["trafficPolicy"]["portLevelSettings"][0];
    assert_eq!(settings["port"]["number"], port["number"]);
    let tls = &settings["tls"];
    assert_eq!(tls["mode"], "SIMPLE");
    assert_eq!((&tls["sni"], &tls["subjectAltNames"][0]), (&host.into(), &host.into()));
    assert!(tls["caCertificates"].is_string(), "without a CA any certificate is taken");
    assert_ne!(tls["insecureSkipVerify"], true);
    format!("outbound|{}||{host}", port["number"])
}

/// Envoy Gateway's name for the route's first rule, which must lead to TLS with the right name.
fn gateway_cluster(host: &str) -> String {
    let route = object("HTTPRoute", "userinfo");
    let backend = object("Backend", "idp-example");
    let reference = &route["spec"]["rules"][0]["backendRefs"][0];
    assert_eq!(reference["name"], backend["metadata"]["name"]);
    let endpoint = &backend["spec"]["endpoints"][0]["fqdn"];
    assert_eq!((endpoint["hostname"].as_str(), endpoint["port"].as_u64()), (Some(host), Some(443)));
    let tls = object("BackendTLSPolicy", "idp-example")["spec"].take();
    assert_eq!(tls["targetRefs"][0]["name"], backend["metadata"]["name"]);
    assert_eq!(tls["validation"]["hostname"], host);
    assert_eq!(tls["validation"]["wellKnownCACertificates"], "System");
    let part = |name: &str| route["metadata"][name].as_str().expect("text").to_owned();
    format!("httproute/{}/{}/rule/0", part("namespace"), part("name"))
}
