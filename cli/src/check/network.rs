//! The filters of listeners and connections around those of HTTP: whether one leads past the filter, or
//! writes what the guard reads. Connection managers and TCP proxies are looked at elsewhere.

use super::backends::{self, Backends};
use super::finding::{Findings, shown};
use super::routes::Way;
use super::world::World;
use super::{codes, guard, others};
use crate::tree::Node;

const NETWORK: &str = "envoy.extensions.filters.network.";
const LISTENER: &str = "envoy.extensions.filters.listener.";
/// The filter that forwards connections to a cluster.
const TCP_PROXY: &str = "tcp_proxy.v3.TcpProxy";
/// Filters that leave it to the client where a TCP proxy behind them leads.
const BY_NAME: [&str; 2] =
    ["sni_cluster.v3.SniCluster", "sni_dynamic_forward_proxy.v3.FilterConfig"];
/// Under what names the filter state says where a TCP proxy leads.
const TARGETS: [&str; 3] = [
    "envoy.tcp_proxy.cluster",
    "envoy.upstream.dynamic_host",
    "envoy.network.upstream_server_name",
];
/// Filters that lead nowhere, and write nothing that the filter or the guard reads.
const KNOWN: [&str; 15] = [
    "connection_limit.v3.ConnectionLimit",
    "direct_response.v3.Config",
    "echo.v3.Echo",
    "http_connection_manager.v3.HttpConnectionManager",
    "http_inspector.v3.HttpInspector",
    "local_ratelimit.v3.LocalRateLimit",
    "original_dst.v3.OriginalDst",
    "original_src.v3.OriginalSrc",
    "proxy_protocol.v3.ProxyProtocol",
    "ratelimit.v3.RateLimit",
    "rbac.v3.RBAC",
    "set_filter_state.v3.Config",
    "sni_cluster.v3.SniCluster",
    TCP_PROXY,
    "tls_inspector.v3.TlsInspector",
];
/// Istio's own.
const ISTIOS: [&str; 3] = [
    "envoy.tcp.metadataexchange.config.MetadataExchange",
    "io.istio.network.peer_metadata.Config",
    "stats.PluginConfig",
];

/// Looks at the filters of every listener of a gateway that has the filter.
pub(super) fn check<'a>(ways: &[Way<'a>], world: &World<'a>, findings: &mut Findings) {
    check_others(world, findings);
    let backends = Backends::of(ways, world);
    for listener in &world.listeners {
        let protected = || {
            backends
                .with(ways)
                .filter(|(_, way)| !way.on.is_empty() && world.together(&way.node, listener))
        };
        let Some((_, first)) = protected().next() else { continue };
        let own = listener.list("listener_filters");
        let default = listener.get("default_filter_chain");
        let chains = listener.list("filter_chains").into_iter().chain(default);
        let chains = chains.map(|chain| chain.list("filters")).chain([own]);
        for (chain, filter) in chains.flat_map(|chain| {
            let filters = chain.clone().into_iter();
            filters.map(move |filter| (chain.clone(), filter))
        }) {
            let kind = kind(&filter);
            if kind == "http_connection_manager.v3.HttpConnectionManager" || kind == TCP_PROXY {
                continue;
            }
            let name = filter.text("name").unwrap_or_default();
            let below = below(&filter);
            check_mark(&filter, "connection", findings);
            let proxied = chain.iter().any(|filter| self::kind(filter) == TCP_PROXY);
            let target = below
                .iter()
                .any(|node| node.text("object_key").is_some_and(|key| TARGETS.contains(&key)));
            if proxied && (BY_NAME.contains(&kind) || target) {
                let what = format!(
                    "{name} lets the client choose the backend, also that of {}",
                    shown(&first.node)
                );
                findings.add(codes::PUBLIC_TOO_WIDE, &filter, what);
                continue;
            }
            let clusters = below.iter().filter_map(|node| node.text("cluster"));
            let leading = clusters.into_iter().find_map(|cluster| {
                let reached = backends::reached(cluster, &filter, world);
                let way =
                    protected().find(|(reach, _)| reach.keys().any(|key| reached.contains(key)));
                Some((cluster, way?.1))
            });
            if let Some((cluster, way)) = leading {
                let what = format!("the filter {name}");
                others::tell_past(&what, cluster, way, &filter, world, findings);
            } else if !KNOWN.contains(&kind) && !ISTIOS.contains(&kind) {
                let found = format!("{name} is a filter of a kind that check does not know");
                findings.add(codes::NOT_JUDGED, &filter, found);
            }
        }
    }
}

/// Looks for the mark in connection managers without an instance: their filter state may come along with
/// what they send to this Envoy again.
fn check_others(world: &World<'_>, findings: &mut Findings) {
    for (index, manager) in world.managers.iter().enumerate() {
        let others = world.instances_in(index).is_empty();
        let beside = world.instances.iter().any(|i| world.together(&i.node, &manager.node));
        for filter in manager.filters.iter().filter(|_| others && beside) {
            check_mark(filter, "request of another connection manager", findings);
        }
    }
}

/// Whether a filter writes the mark that the guard reads.
fn check_mark(filter: &Node<'_>, of: &str, findings: &mut Findings) {
    let below = below(filter);
    let mut marks = below.iter().filter(|node| node.text("object_key") == Some(guard::OUTCOME));
    if let Some(at) = marks.next() {
        let (name, key) = (filter.text("name").unwrap_or_default(), guard::OUTCOME);
        let found = format!("{name} writes {key}, which the guard reads, for every {of}");
        let remedy = "remove the change: only the filter may write wasm.oidc_outcome, by which the \
                      guard knows that it ran";
        findings.add_with(codes::NO_GUARD, at, found, Some(remedy.to_owned()));
    }
}

/// The message of a filter, without what all begin with; where only the name is written, what it stands
/// for.
fn kind<'a>(filter: &Node<'a>) -> &'a str {
    if let Some((message, _)) = filter.get("typed_config").and_then(|config| config.any()) {
        let short = message.strip_prefix(NETWORK).or_else(|| message.strip_prefix(LISTENER));
        return short.unwrap_or(message);
    }
    let name = filter.text("name").unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or_default();
    let named =
        |known: &&&str| name.starts_with("envoy.filters.") && known.split('.').next() == Some(last);
    KNOWN.iter().find(named).copied().unwrap_or(name)
}

/// A node and all below it.
fn below<'a>(node: &Node<'a>) -> Vec<Node<'a>> {
    let mut all = vec![node.clone()];
    for inner in node.members().into_iter().map(|(_, member)| member).chain(node.items()) {
        all.extend(below(&inner));
    }
    all
}
