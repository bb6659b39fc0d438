//! Where an instance stands. Only as an entry of `http_filters` does it see every request, once and
//! before any backend.

use super::codes;
use super::finding::Findings;
use super::instance::Instance;
use super::world::World;
use crate::tree::Node;

/// What else may load the module, by the message of its configuration.
const OTHERS: [(&str, &str); 4] = [
    ("envoy.extensions.filters.network.wasm.v3.Wasm", "a network filter"),
    ("envoy.extensions.wasm.v3.WasmService", "a service of the bootstrap"),
    ("envoy.extensions.access_loggers.wasm.v3.WasmAccessLog", "an access logger"),
    ("envoy.extensions.stat_sinks.wasm.v3.Wasm", "a sink of counters"),
];
/// What decides for each request whether the filters in it are met.
const CONDITIONS: [&str; 2] = [
    "envoy.extensions.common.matching.v3.ExtensionWithMatcher",
    "envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute",
];
/// Any other filter that holds the instance decides for itself when to call it.
const FILTERS: &str = "envoy.extensions.filters.http.";

/// What loads a Wasm module with that configuration, where it is no HTTP filter.
pub(crate) fn other_kind<'a>(node: &Node<'a>) -> Option<(&'static str, Node<'a>)> {
    let (message, fields) = node.get("typed_config")?.any()?;
    let (_, kind) = OTHERS.iter().find(|(known, _)| *known == message)?;
    Some((kind, fields))
}

/// Looks at the places of all instances.
pub(crate) fn check(world: &World<'_>, findings: &mut Findings) {
    for (node, kind) in &world.misplaced {
        let name = node.text("name").unwrap_or_default();
        findings.add(codes::NOT_AN_HTTP_FILTER, node, format!("{name} is {kind}"));
    }
    for instance in &world.instances {
        let (name, node) = (&instance.name, &instance.node);
        let around = around(node);
        let condition = around.iter().find_map(|outer| {
            let (message, _) = outer.any()?;
            let holds = message.starts_with(FILTERS) || CONDITIONS.contains(&message);
            holds.then(|| message.rsplit('.').next().unwrap_or(message))
        });
        let early = waits_not(instance, world);
        if let Some(entry) = early {
            let found = format!(
                "{name} is not there until its configuration has come: until then default_config is"
            );
            let remedy = "remove apply_default_config_without_warming, or give the filter itself as \
                          default_config";
            let remedy = Some(remedy.to_owned());
            findings.add_with(codes::FILTER_BY_CONDITION, &entry, found, remedy);
        }
        if is_upstream(instance, world) {
            let found = format!("{name} is among the filters of calls to a backend");
            findings.add(codes::UPSTREAM_FILTER, node, found);
        } else if let Some(condition) = condition {
            let found = format!("{name} is inside {condition}");
            findings.add(codes::FILTER_BY_CONDITION, node, found);
        }
    }
}

/// The entry that lets requests pass by another filter until an instance's configuration has come.
fn waits_not<'a>(instance: &Instance<'a>, world: &World<'a>) -> Option<Node<'a>> {
    const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
    let manager = world.managers.get(instance.manager?)?;
    let mut entries = manager.filters.iter();
    let named = |entry: &&Node<'a>| entry.text("name") == Some(instance.name.as_str());
    let entry = entries.find(|entry| named(entry) && entry.has("config_discovery"))?;
    let discovery = entry.get("config_discovery")?;
    let default = discovery.get("default_config")?;
    let other = default.message(WASM).is_none();
    (other && discovery.is_true("apply_default_config_without_warming")).then(|| entry.clone())
}

/// Whether it is met on the way from Envoy to a backend: by each try of a request, after the route.
fn is_upstream(instance: &Instance<'_>, world: &World<'_>) -> bool {
    let place = instance.node.place.as_str();
    ["upstream_http_filters[", "upstreamHttpFilters["].iter().any(|field| place.contains(field))
        || world.clusters.iter().any(|cluster| instance.node.is_inside(cluster))
}

/// Everything that a node is inside of, from its document on.
fn around<'a>(node: &Node<'a>) -> Vec<Node<'a>> {
    let mut around = vec![Node::root(node.document)];
    while let Some(next) = around.last().and_then(|outer| {
        let members = outer.members().into_iter().map(|(_, member)| member);
        members.chain(outer.items()).find(|inner| node.is_inside(inner))
    }) {
        around.push(next);
    }
    around
}
