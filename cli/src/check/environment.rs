//! The variables of a VM's environment: whether those that a configuration names are handed over, and
//! whether a secret is written where they are.

use std::collections::BTreeMap;

use serde_json::Value;

use super::codes;
use super::finding::{Findings, shown};
use super::instance::Instance;
use super::world::World;
use crate::tree::Node;

/// Where the value of a variable is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// In the environment of Envoy's process.
    Host,
    /// In the configuration itself.
    Written(Value),
}

type Variables = BTreeMap<String, Source>;

/// Looks at the `environment_variables` of Envoy's PluginConfig, and of others with the same module.
pub(crate) fn check_plugin(
    instance: &Instance<'_>,
    plugin: &Node<'_>,
    world: &World<'_>,
    findings: &mut Findings,
) {
    let at = plugin.get("vm_config").unwrap_or_else(|| plugin.clone());
    let own = of_plugin(plugin);
    check(instance, &own, &at, None, findings);
    let same = |field: &[&str], other: &Node<'_>| {
        let value = |plugin: &Node<'_>| plugin.at(field).map(|node| node.value.clone());
        value(plugin) == value(other)
    };
    // The first one that differs says it, of the later ones each by itself.
    let before = world.instances.iter().take_while(|other| other.node.place != instance.node.place);
    let mut plugins = before.filter_map(|other| other.plugin.as_ref());
    let twin = plugins.find(|other| {
        world.together(plugin, other)
            && same(&["vm_config", "vm_id"], other)
            && same(&["vm_config", "code"], other)
            && of_plugin(other) != own
    });
    if let Some(twin) = twin {
        let found = format!("other environment_variables than at {}", shown(twin));
        findings.add(codes::ENVIRONMENT_DIFFERS, &at, found);
    }
}

/// Looks at `vmConfig.env` of an Istio WasmPlugin (`spec`).
pub(crate) fn check_wasm_plugin(instance: &Instance<'_>, spec: &Node<'_>, findings: &mut Findings) {
    let at = spec.get("vmConfig").unwrap_or_else(|| spec.clone());
    let variables = at.list("env").into_iter().filter_map(|entry| {
        let source = match entry.text("valueFrom") {
            Some("HOST") => Source::Host,
            _ => Source::Written(entry.get("value").map(|node| node.value.clone())?),
        };
        Some((entry.text("name")?.to_owned(), source))
    });
    let remedy = "write it in vmConfig.env as { name: NAME, valueFrom: HOST }, and set it for the \
                  proxy's container";
    check(instance, &variables.collect(), &at, Some(remedy), findings);
}

/// Looks at `env` of an Envoy Gateway EnvoyExtensionPolicy's Wasm extension.
pub(crate) fn check_extension(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let at = &instance.node;
    let keys = at.get("env").map(|env| env.list("hostKeys")).unwrap_or_default();
    let keys = keys.iter().filter_map(|key| key.value.as_str());
    let variables = keys.map(|key| (key.to_owned(), Source::Host)).collect();
    let remedy = "list it in env.hostKeys, and set it for Envoy's container by an EnvoyProxy";
    check(instance, &variables, at, Some(remedy), findings);
    let clients = instance.clients();
    let named = clients.iter().filter_map(|client| client.get("client_secret_env")?.as_str());
    for name in named.filter(|name| variables.contains_key(*name)) {
        check_proxies(name, at, world, findings);
    }
}

/// Whether Envoy's process gets a variable, as far as the files tell. No name is shown that may be a
/// secret in the wrong place.
fn check_proxies(name: &str, at: &Node<'_>, world: &World<'_>, findings: &mut Findings) {
    let sets = |proxy: &Node<'_>| {
        ["envoyDeployment", "envoyDaemonSet"].iter().any(|kind| {
            let container = proxy.at(&["spec", "provider", "kubernetes", kind, "container"]);
            let env = container.map(|container| container.list("env")).unwrap_or_default();
            env.iter().any(|entry| entry.text("name") == Some(name))
        })
    };
    let (proxies, gateways) = (&world.gateway.proxies, &world.gateway.gateways);
    let mut named = false;
    for gateway in gateways {
        let reference = gateway.at(&["spec", "infrastructure", "parametersRef"]);
        let Some(reference) = reference.filter(|to| to.text("kind") == Some("EnvoyProxy")) else {
            continue;
        };
        let called = |proxy: &&Node<'_>| {
            let metadata = proxy.get("metadata");
            metadata.is_some_and(|metadata| metadata.text("name") == reference.text("name"))
        };
        let proxy = proxies.iter().find(called);
        named |= proxy.is_some_and(sets);
        if let Some(proxy) = proxy.filter(|proxy| !sets(proxy)) {
            let found = format!(
                "the EnvoyProxy at {}, which the Gateway names, does not set the variable of \
                 client_secret_env",
                shown(proxy)
            );
            let remedy = "set it in provider.kubernetes.envoyDeployment.container.env of that";
            findings.add_with(codes::VARIABLE_MISSING, at, found, Some(remedy.to_owned()));
            return;
        }
    }
    if !proxies.iter().any(sets) {
        let found = "no EnvoyProxy in these files sets the variable of client_secret_env";
        findings.add(codes::VARIABLE_NOT_SEEN, at, found);
    } else if !gateways.is_empty() && !named {
        let found = "no Gateway in these files names the EnvoyProxy with the variable of \
                     client_secret_env";
        findings.add(codes::VARIABLE_NOT_SEEN, at, found);
    }
}

fn of_plugin(plugin: &Node<'_>) -> Variables {
    let Some(own) = plugin.at(&["vm_config", "environment_variables"]) else {
        return Variables::new();
    };
    let host = own.list("host_env_keys").into_iter().filter_map(|key| key.value.as_str());
    let host = host.map(|key| (key.to_owned(), Source::Host));
    let written = own.get("key_values").map(|values| values.members()).unwrap_or_default();
    let written = written.into_iter();
    let written = written.map(|(key, node)| (key.to_owned(), Source::Written(node.value.clone())));
    host.chain(written).collect()
}

/// Compares the variables that clients name with those that there are. `remedy` is the platform's own.
fn check(
    instance: &Instance<'_>,
    variables: &Variables,
    at: &Node<'_>,
    remedy: Option<&str>,
    findings: &mut Findings,
) {
    for client in instance.clients() {
        let Some(name) = client.get("client_secret_env").and_then(Value::as_str) else { continue };
        // No name is shown that may be a secret in the wrong place.
        let (code, found) = match variables.get(name) {
            Some(Source::Host) => continue,
            Some(Source::Written(_)) => (
                codes::SECRET_IN_CLEAR,
                "the value of the variable of client_secret_env is in the configuration",
            ),
            None => (
                codes::VARIABLE_MISSING,
                "client_secret_env names a variable that is not listed for the VM",
            ),
        };
        findings.add_with(code, at, found.to_owned(), remedy.map(str::to_owned));
    }
}
