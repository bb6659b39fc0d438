//! Turns the reference configuration into what one Envoy process of the rig is started with:
//! addresses, ports, the module's path and the trusted CA filled in, listeners multiplied. It never
//! invents configuration: what the reference does not say, a `Listener` must.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::listener::{Listener, Parts, hcm};
use crate::root;
use crate::tls::trusted_ca;

/// `envoy/envoy.yaml`, parsed, nothing changed.
///
/// # Errors
///
/// If it cannot be read or is not YAML.
pub fn reference() -> Result<Value, String> {
    parsed("envoy/envoy.yaml")
}

/// The cluster of `envoy/forward-proxy.yaml`, parsed, nothing changed.
///
/// # Errors
///
/// If it cannot be read or is not YAML.
pub fn forward_proxy_cluster() -> Result<Value, String> {
    Ok(parsed("envoy/forward-proxy.yaml")?[0].take())
}

pub(crate) fn parsed(file: &str) -> Result<Value, String> {
    let path = root().join(file);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_saphyr::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// One listener to be, with the addresses of its surroundings.
pub(crate) struct Place {
    pub(crate) listener: Listener,
    pub(crate) provider: SocketAddr,
    pub(crate) upstream: SocketAddr,
}

/// The complete bootstrap for these listeners.
pub(crate) fn assemble(module: &Path, places: &[Place]) -> Result<Value, String> {
    let mut bootstrap = reference()?;
    bootstrap["admin"]["address"] = address("127.0.0.1", 0);
    let listener = bootstrap["static_resources"]["listeners"][0].take();
    let clusters = bootstrap["static_resources"]["clusters"].take();

    let (mut all_listeners, mut all_clusters) = (Vec::new(), Vec::new());
    for place in places {
        let provider = place.listener.provider_at.unwrap_or(place.provider);
        let mut parts = Parts {
            listener: listener.clone(),
            clusters: clusters
                .as_array()
                .cloned()
                .ok_or("the reference has no list of clusters")?,
        };
        parts.listener["address"] = address("127.0.0.1", place.listener.port);
        for cluster in parts.clusters.iter_mut().filter(|cluster| is_provider(cluster)) {
            if place.listener.plain_provider {
                cluster.as_object_mut().map(|cluster| cluster.shift_remove("transport_socket"));
            }
        }
        place.listener.change(&mut parts);
        for cluster in &mut parts.clusters {
            point(cluster, if is_provider(cluster) { provider } else { place.upstream });
            trust_the_rig(cluster);
        }
        for (at, cluster) in &place.listener.extra_clusters {
            parts.clusters.retain(|known| name(known) != cluster);
            parts.clusters.push(static_cluster(cluster, at.unwrap_or(provider)));
        }
        if let Some(suffix) = &place.listener.name {
            rename(&mut parts, suffix, &place.listener.extra_clusters);
        }
        set_module(&mut parts.listener, module);
        all_listeners.push(parts.listener);
        all_clusters.extend(parts.clusters);
    }
    bootstrap["static_resources"]["listeners"] = Value::Array(all_listeners);
    bootstrap["static_resources"]["clusters"] = Value::Array(all_clusters);
    Ok(bootstrap)
}

pub(crate) fn address(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

pub(crate) fn name(of: &Value) -> &str {
    of["name"].as_str().unwrap_or_default()
}

fn is_provider(cluster: &Value) -> bool {
    name(cluster).starts_with("idp_")
}

pub(crate) fn point(cluster: &mut Value, to: SocketAddr) {
    let endpoints = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"];
    endpoints[0]["endpoint"]["address"] = address(&to.ip().to_string(), to.port());
}

fn static_cluster(name: &str, at: SocketAddr) -> Value {
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {}}]}],
        },
    });
    point(&mut cluster, at);
    cluster
}

/// Gives a listener and its clusters unique names, also inside the filter configurations, so that
/// one process can have many.
fn rename(parts: &mut Parts, suffix: &str, verbatim: &[(Option<SocketAddr>, String)]) {
    let names: Vec<String> = parts
        .clusters
        .iter()
        .map(|cluster| name(cluster).to_owned())
        .filter(|name| !verbatim.iter().any(|(_, kept)| kept == name))
        .collect();
    for cluster in &mut parts.clusters {
        if names.iter().any(|known| known == name(cluster)) {
            let renamed = Value::from(format!("{}_{suffix}", name(cluster)));
            cluster["load_assignment"]["cluster_name"] = renamed.clone();
            cluster["name"] = renamed;
        }
    }
    replace_names(&mut parts.listener, &names, suffix);
    parts.listener["name"] = Value::from(suffix);
    hcm(&mut parts.listener)["stat_prefix"] = Value::from(suffix);
}

fn replace_names(value: &mut Value, names: &[String], suffix: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|v| replace_names(v, names, suffix)),
        Value::Object(members) => {
            for (key, member) in members {
                // Names of routes and filters may be spelled like a cluster's.
                if key != "name" {
                    replace_names(member, names, suffix);
                }
            }
        }
        Value::String(text) => {
            for name in names {
                if text == name {
                    text.push('_');
                    text.push_str(suffix);
                    break;
                }
                // JSON text inside a StringValue, valid or not: only the quoted name changes.
                *text = text.replace(&format!("\"{name}\""), &format!("\"{name}_{suffix}\""));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

pub(crate) fn set_module(value: &mut Value, module: &Path) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|v| set_module(v, module)),
        Value::Object(members) => {
            for (key, member) in members {
                if key == "filename" && member.as_str().is_some_and(|f| f.ends_with(".wasm")) {
                    *member = Value::from(module.to_string_lossy());
                } else {
                    set_module(member, module);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Replaces every trusted CA by the one that signs the rig's certificates.
pub(crate) fn trust_the_rig(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(trust_the_rig),
        Value::Object(members) => {
            for (key, member) in members {
                if key == "trusted_ca" {
                    *member = json!({"inline_string": trusted_ca()});
                } else {
                    trust_the_rig(member);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Gives every module's VM an environment variable.
pub(crate) fn set_environment(value: &mut Value, variable: &str, text: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|v| set_environment(v, variable, text)),
        Value::Object(members) => {
            for (key, member) in members {
                if key == "vm_config" {
                    member["environment_variables"]["key_values"][variable] = Value::from(text);
                } else {
                    set_environment(member, variable, text);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{Config, DEFAULT_INSTANCE, PARTNERS_INSTANCE};

    fn assembled(listeners: Vec<Listener>) -> Value {
        let place = |listener| Place {
            listener,
            provider: SocketAddr::from(([127, 0, 0, 1], 1)),
            upstream: SocketAddr::from(([127, 0, 0, 1], 2)),
        };
        let places: Vec<Place> = listeners.into_iter().map(place).collect();
        assemble(Path::new("/module.wasm"), &places).unwrap()
    }

    /// Paths of the places where two documents differ.
    fn differences(left: &Value, right: &Value, at: &str, out: &mut Vec<String>) {
        match (left, right) {
            (Value::Object(l), Value::Object(r)) if l.keys().eq(r.keys()) => {
                l.iter().for_each(|(k, v)| differences(v, &r[k], &format!("{at}.{k}"), out));
            }
            (Value::Array(l), Value::Array(r)) if l.len() == r.len() => {
                l.iter().zip(r).for_each(|(l, r)| differences(l, r, at, out));
            }
            _ if left == right => {}
            _ => out.push(at.to_owned()),
        }
    }

    #[test]
    fn only_addresses_the_module_and_the_ca_are_filled_into_the_reference() {
        let mut changed = Vec::new();
        let bootstrap = assembled(vec![Listener::reference()]);
        differences(&reference().unwrap(), &bootstrap, "", &mut changed);
        for place in changed {
            let last = place.rsplit('.').next().unwrap();
            assert!(["address", "port_value", "filename", "trusted_ca"].contains(&last), "{place}");
        }
    }

    #[test]
    fn a_named_listener_and_its_clusters_are_renamed_in_both_forms_of_configuration() {
        let broken = r#"{"clusters": {"a": "idp_fr", "upstream""#;
        let listener = Listener::named("x")
            .config(broken)
            .config_of(PARTNERS_INSTANCE, Config::Struct(json!({"clusters": {"a": "idp_us"}})))
            .provider_cluster("idp_de");
        let bootstrap = assembled(vec![listener, Listener::named("y")]);
        let resources = &bootstrap["static_resources"];
        let clusters = resources["clusters"].as_array().unwrap();
        let of_x: Vec<&str> = clusters.iter().map(name).filter(|n| !n.ends_with("_y")).collect();
        let all = [
            "upstream_x",
            "partners_x",
            "public_x",
            "idp_default_x",
            "idp_fr_x",
            "idp_us_x",
            "idp_de",
        ];
        assert_eq!(of_x, all);
        assert_eq!(resources["listeners"][1]["name"], "y");

        let chain = &resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let config = |instance: &str| {
            let filters = chain["http_filters"].as_array().unwrap();
            let filter = filters.iter().find(|f| f["name"] == instance).unwrap();
            filter["typed_config"]["config"]["configuration"]["value"].clone()
        };
        let renamed = r#"{"clusters": {"a": "idp_fr_x", "upstream_x""#;
        assert_eq!(config(DEFAULT_INSTANCE), renamed);
        assert_eq!(config(PARTNERS_INSTANCE)["clusters"]["a"], "idp_us_x");
        let routes = &chain["route_config"]["virtual_hosts"][0]["routes"];
        assert_eq!(routes[1]["route"]["cluster"], "partners_x");
        assert_eq!(routes[1]["name"], "partners");
    }

    #[test]
    fn an_environment_variable_reaches_every_instance() {
        let mut bootstrap = assembled(vec![Listener::reference()]);
        let text = bootstrap.to_string();
        set_environment(&mut bootstrap, "A", "b");
        let set = bootstrap.to_string().matches(r#""key_values":{"A":"b"}"#).count();
        assert_eq!((set, text.matches("vm_config").count()), (2, 2));
    }

    #[test]
    fn providers_and_backends_are_told_apart() {
        let bootstrap = assembled(vec![Listener::reference()]);
        for cluster in bootstrap["static_resources"]["clusters"].as_array().unwrap() {
            let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
            let port = &endpoint["endpoint"]["address"]["socket_address"]["port_value"];
            let expected = if name(cluster).starts_with("idp_") { 1 } else { 2 };
            assert_eq!(port, &json!(expected), "{cluster}");
        }
    }
}
