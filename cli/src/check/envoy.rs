//! Envoy's own messages, found at any place.
//!
//! A bootstrap, a listener, an xDS response and an EnvoyFilter's patch nest the same messages
//! differently, so the search identifies an object by its content, not by its place.

use super::instance::{self, Platform};
use super::place;
use super::world::{Manager, World};
use crate::tree::Node;

/// The HTTP connection manager's message.
const MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
/// The message of the filter that forwards connections unchanged.
const TCP: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
/// The Wasm filter's message.
const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// The cluster's message.
const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
/// A secret's message.
const SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.Secret";

/// Collects the relevant objects of a node and all below it; `manager` is the one whose
/// `http_filters` contain the node.
pub(crate) fn walk<'a>(
    world: &mut World<'a>,
    node: &Node<'a>,
    manager: Option<usize>,
    platform: Platform,
) {
    if let Some(fields) = manager_fields(node) {
        let filters = fields.list("http_filters");
        let index = world.managers.len();
        let manager = Manager { node: fields.clone(), filters: filters.clone(), platform };
        world.managers.push(manager);
        for filter in &filters {
            walk(world, filter, Some(index), platform);
        }
        for (name, member) in fields.members() {
            if !matches!(name, "http_filters" | "httpFilters") {
                walk(world, &member, None, platform);
            }
        }
        return;
    }
    if node.has("static_resources") {
        world.bootstraps.push(node.clone());
    }
    if node.has("virtual_hosts") {
        world.routes.push(node.clone());
    }
    if is_listener(node) {
        world.listeners.push(node.clone());
    }
    world.tcp_proxies.extend(node.message(TCP));
    if node.has("vm_config") {
        world.plugins.push(node.clone());
    }
    for cluster in node.list("clusters") {
        // Outside of a bootstrap other programs have lists of that name.
        let in_bootstrap =
            node.place.ends_with("static_resources") || node.place.ends_with("staticResources");
        let is_cluster = is_cluster(&cluster) || in_bootstrap && cluster.text("name").is_some();
        if is_cluster && !cluster.has("weight") {
            world.cluster(cluster);
        }
    }
    world.secrets.extend(node.list("secrets").into_iter().filter(|node| node.has("name")));
    world.secrets.extend(node.message(SECRET));
    if node.any().is_some_and(|(message, _)| message == CLUSTER) || is_cluster(node) {
        world.cluster(node.clone());
    }
    if let Some(wasm) = node.get("typed_config").and_then(|config| config.message(WASM))
        && let Some(instance) = instance::in_envoy(node, &wasm, manager, platform)
    {
        world.instances.push(instance);
    }
    if let Some((kind, config)) = place::other_kind(node)
        && instance::in_envoy(node, &config, None, platform).is_some()
    {
        world.misplaced.push((node.clone(), kind));
    }
    for (name, member) in node.members() {
        // The filter's own configuration is its own reader's affair.
        if name != "configuration" {
            // The router's own filters are not the manager's.
            let is_own = !matches!(name, "upstream_http_filters" | "upstreamHttpFilters");
            walk(world, &member, manager.filter(|_| is_own), platform);
        }
    }
    for item in node.items() {
        walk(world, &item, manager, platform);
    }
}

fn manager_fields<'a>(node: &Node<'a>) -> Option<Node<'a>> {
    node.message(MANAGER).or_else(|| {
        let bare =
            node.has("http_filters") && (node.has("stat_prefix") || node.has("route_config"));
        (bare && node.member("@type").is_none()).then(|| node.clone())
    })
}

/// Whether an object is a listener.
pub(crate) fn is_listener(node: &Node<'_>) -> bool {
    ["filter_chains", "default_filter_chain", "listener_filters"]
        .iter()
        .any(|field| node.has(field))
}

/// Whether an object that says not what it is looks like a cluster.
fn is_cluster(node: &Node<'_>) -> bool {
    const FIELDS: &[&str] = &[
        "load_assignment",
        "connect_timeout",
        "lb_policy",
        "cluster_type",
        "eds_cluster_config",
        "transport_socket",
        "transport_socket_matches",
    ];
    node.text("name").is_some()
        && node.member("@type").is_none()
        // An entry of `transport_socket_matches` has a name and a socket, too.
        && !node.has("match")
        && FIELDS.iter().any(|field| node.has(field))
}
