//! The filter configurations in the manifests load, by the filter's own reader, and every cluster that
//! they name is one that the manifests around them make.

use std::collections::BTreeSet;

use oidc_token_connector::policy;
use serde_json::Value;

use crate::files::{Set, set, sets};

/// The filter configurations of a set, in the form in which the control plane hands them to the filter.
fn configurations(set: &Set) -> Vec<String> {
    let mut found = Vec::new();
    for object in &set.objects {
        let spec = &object["spec"];
        match object["kind"].as_str() {
            // Both write the object as JSON text.
            Some("WasmPlugin") => found.push(spec["pluginConfig"].to_string()),
            Some("EnvoyExtensionPolicy") => {
                let all = spec["wasm"].as_array().expect("a list");
                found.extend(all.iter().map(|wasm| wasm["config"].to_string()));
            }
            Some("EnvoyFilter") => {
                let patches = spec["configPatches"].as_array().expect("patches");
                let values = patches.iter().map(|patch| &patch["patch"]["value"]["typed_config"]);
                let texts =
                    values.filter_map(|typed| typed["config"]["configuration"]["value"].as_str());
                found.extend(texts.map(str::to_owned));
            }
            _ => {}
        }
    }
    found
}

fn parsed(set: &Set) -> Vec<Value> {
    let parse = |text: &String| serde_json::from_str(text);
    let all = configurations(set);
    let all = all.iter().map(|text| parse(text).unwrap_or_else(|e| panic!("{}: {e}", set.file)));
    all.collect()
}

#[test]
fn each_configuration_loads_without_problems() {
    let mut count = 0;
    for set in sets() {
        for text in configurations(&set) {
            count += 1;
            match policy::read(text.as_bytes()) {
                Ok(loaded) => {
                    let faults = loaded.faults.iter().map(ToString::to_string);
                    assert_eq!(faults.collect::<Vec<_>>(), Vec::<String>::new(), "{}", set.file);
                }
                Err(problems) => {
                    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    panic!("{}: {}", set.file, problems.join("; "));
                }
            }
        }
    }
    assert_eq!(count, 10);
}

#[test]
fn each_configuration_has_the_recommended_settings() {
    for set in sets() {
        for config in parsed(&set) {
            let introspects = config["introspection_endpoint"].is_object();
            assert_eq!(config["require_subject"], !introspects, "{}", set.file);
            assert_eq!(config["userinfo_unavailable"]["status"], 503, "{}", set.file);
            assert_eq!(config["provider_errors"], "map", "{}", set.file);
            assert_eq!(config["access_log_state"], true, "{}", set.file);
            // A WasmPlugin has no vm_id of its own; the others have one.
            let shared = if set.is_plugin() { Value::Null } else { true.into() };
            assert_eq!(config["cache"]["shared"], shared, "{}", set.file);
        }
    }
}

/// A variable that a client's secret comes from is handed to the VM, and where the platform can, to the
/// pod.
#[test]
fn each_secret_reaches_the_vm() {
    let mut count = 0;
    for set in sets() {
        let wanted: BTreeSet<String> = parsed(&set).iter().flat_map(variables).collect();
        count += wanted.len();
        let handed: Vec<BTreeSet<String>> = set.objects.iter().flat_map(handed).collect();
        if wanted.is_empty() {
            assert_eq!(handed, Vec::<BTreeSet<String>>::new(), "{}", set.file);
        }
        for names in handed {
            assert_eq!(names, wanted, "{}", set.file);
        }
        for proxy in set.of_kind("EnvoyProxy") {
            let container =
                &proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"];
            let env = container["env"].as_array().cloned().unwrap_or_default();
            let from = |entry: &Value| entry["valueFrom"]["secretKeyRef"]["key"].is_string();
            assert!(env.iter().all(from), "{}", set.file);
            let names = env.iter().map(|entry| entry["name"].as_str().expect("text").to_owned());
            assert_eq!(names.collect::<BTreeSet<String>>(), wanted, "{}", set.file);
        }
    }
    assert_eq!(count, 4);
}

/// The variables that a configuration names.
fn variables(config: &Value) -> Vec<String> {
    match config {
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                ("client_secret_env", Value::String(name)) => vec![name.clone()],
                _ => variables(value),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// What an object hands to the VMs of its instances.
fn handed(object: &Value) -> Vec<BTreeSet<String>> {
    let spec = &object["spec"];
    let mut lists = vec![spec["vmConfig"]["env"].clone()];
    lists.extend(
        spec["wasm"].as_array().into_iter().flatten().map(|w| w["env"]["hostKeys"].clone()),
    );
    for patch in spec["configPatches"].as_array().into_iter().flatten() {
        let vm = &patch["patch"]["value"]["typed_config"]["config"]["vm_config"];
        lists.push(vm["environment_variables"]["host_env_keys"].clone());
    }
    let name = |entry: &Value| {
        // A WasmPlugin's entry says where its value is.
        assert!(entry.is_string() || entry["valueFrom"] == "HOST", "{entry}");
        entry["name"].as_str().or(entry.as_str()).expect("a name").to_owned()
    };
    let names = |list: &Value| list.as_array().map(|list| list.iter().map(name).collect());
    lists.iter().filter_map(names).collect()
}

#[test]
fn each_provider_cluster_is_in_the_manifest() {
    let mut count = 0;
    for set in sets() {
        for config in parsed(&set) {
            let endpoint = ["userinfo_endpoint", "introspection_endpoint"].map(|key| &config[key]);
            for uri in endpoint.into_iter().flat_map(uris) {
                count += 1;
                let rest =
                    uri.strip_prefix("https://").unwrap_or_else(|| panic!("{uri}: not https"));
                let authority = rest.split('/').next().expect("an authority");
                let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
                let cluster = config["clusters"][authority].as_str().expect("the host's cluster");
                let port: u64 = port.parse().expect("a port");
                let made = match set.is_istio() {
                    true => istio_cluster(&set, host, port),
                    false => gateway_cluster(&set, host, port),
                };
                assert_eq!(cluster, made, "{}", set.file);
            }
        }
    }
    assert_eq!(count, 14);
}

/// The URIs of an endpoint.
fn uris(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if text.contains("://") => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(uris).collect(),
        Value::Object(members) => members.values().flat_map(uris).collect(),
        _ => Vec::new(),
    }
}

/// The only object of this kind that is for that host.
fn of_host<'a>(set: &'a Set, kind: &str, is: impl Fn(&Value) -> bool) -> &'a Value {
    let found: Vec<&Value> = set.of_kind(kind).into_iter().filter(|object| is(object)).collect();
    assert_eq!(found.len(), 1, "{}: {kind}", set.file);
    found[0]
}

/// Istio's name for the service, which must lead to TLS with the right name.
fn istio_cluster(set: &Set, host: &str, port: u64) -> String {
    let entry = &of_host(set, "ServiceEntry", |entry| entry["spec"]["hosts"][0] == host)["spec"];
    let ports = entry["ports"].as_array().expect("ports");
    let found = ports.iter().find(|entry| entry["targetPort"] == port).expect("the port");
    assert_eq!(found["protocol"], "HTTP");
    let rule = &of_host(set, "DestinationRule", |rule| rule["spec"]["host"] == host)["spec"];
    let settings = rule["trafficPolicy"]["portLevelSettings"].as_array().expect("ports");
    let settings = settings.iter().find(|entry| entry["port"]["number"] == found["number"]);
    let tls = &settings.expect("the port's settings")["tls"];
    assert_eq!(tls["mode"], "SIMPLE");
    assert_eq!((&tls["sni"], &tls["subjectAltNames"][0]), (&host.into(), &host.into()));
    assert!(tls["caCertificates"].is_string(), "without a CA any certificate is taken");
    assert_ne!(tls["insecureSkipVerify"], true);
    // Both are for the gateway's namespace alone, and both are in it.
    for spec in [entry, rule] {
        assert_eq!(spec["exportTo"], serde_json::json!(["."]));
    }
    format!("outbound|{}||{host}", found["number"])
}

/// Envoy Gateway's name for the route's first rule, which must lead to TLS with the right name.
fn gateway_cluster(set: &Set, host: &str, port: u64) -> String {
    let backend = of_host(set, "Backend", |backend| {
        let endpoint = &backend["spec"]["endpoints"][0]["fqdn"];
        endpoint["hostname"] == host && endpoint["port"] == port
    });
    let name = &backend["metadata"]["name"];
    let route = of_host(set, "HTTPRoute", |route| {
        route["spec"]["rules"][0]["backendRefs"][0]["name"] == *name
    });
    let tls =
        of_host(set, "BackendTLSPolicy", |policy| policy["spec"]["targetRefs"][0]["name"] == *name);
    let validation = &tls["spec"]["validation"];
    assert_eq!(validation["hostname"], host);
    let ca = ["wellKnownCACertificates", "caCertificateRefs"].map(|key| validation.get(key));
    assert_eq!(ca.iter().flatten().count(), 1, "without a CA any certificate is taken");
    let part = |name: &str| route["metadata"][name].as_str().expect("text").to_owned();
    format!("httproute/{}/{}/rule/0", part("namespace"), part("name"))
}

/// What the values say that differs, arrives where it differs.
#[test]
fn a_provider_may_differ() {
    let regions = set("istio-regions");
    let name = "oidc-token-connector-us-idp-example";
    let rule = &regions.object("DestinationRule", name)["spec"]["trafficPolicy"];
    let settings = &rule["portLevelSettings"][0];
    assert_eq!(settings["tls"]["caCertificates"], "/etc/provider/ca.pem");
    assert_eq!(settings["connectionPool"]["http"]["idleTimeout"], "2s");
    let issuers = set("envoy-gateway-issuers");
    let name = "oidc-token-connector-two-idp-example-8443";
    let tls = &issuers.object("BackendTLSPolicy", name)["spec"]["validation"];
    assert_eq!(tls["caCertificateRefs"][0]["name"], "two-ca");
}
