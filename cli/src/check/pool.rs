//! How a cluster's connections carry calls: whether idle ones are kept, whether calls of different
//! callers share a connection, and how many calls Envoy makes at a time.
//!
//! The provider's own limits are not in the files, and are not checked.

use std::collections::HashSet;

use super::duration;
use super::idle::{self, Kept};
use super::world::World;
use crate::tree::Node;

/// By what name a cluster's options for HTTP are known.
const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// The messages of clusters that aggregate others.
const AGGREGATES: [&str; 2] = [
    "envoy.extensions.clusters.aggregate.v3.ClusterConfig",
    "envoy.extensions.clusters.composite.v3.ClusterConfig",
];
/// Envoy's default limit of each, for all workers together.
pub(crate) const DEFAULT: u64 = 1024;

/// The known settings of a cluster's connections.
#[derive(Debug, Default)]
pub(crate) struct Pool<'a> {
    /// Idle ones that are kept.
    pub(crate) kept: Option<Kept<'a>>,
    /// Ones that several calls share.
    pub(crate) shared: Option<Shared<'a>>,
    /// How many calls go out at a time.
    pub(crate) limits: Vec<Limits<'a>>,
    /// An aggregate whose clusters of these names are not in the files.
    pub(crate) unseen: Option<(Node<'a>, String)>,
}

/// Connections that several calls share, so that what ends one ends all calls on it.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    /// Where that is said.
    pub(crate) at: Node<'a>,
    /// The remedy, where Envoy's own field names do not apply.
    pub(crate) remedy: Option<String>,
}

/// Envoy's own bounds of a cluster.
#[derive(Debug)]
pub(crate) struct Limits<'a> {
    /// Their place, or where it should be.
    pub(crate) at: Node<'a>,
    /// Each that bounds how many calls go out, with its name.
    pub(crate) each: Vec<(&'static str, u64)>,
    /// The remedy, where Envoy's own field names do not apply.
    pub(crate) remedy: Option<String>,
}

impl Limits<'_> {
    /// The limits that allow fewer calls, as text.
    pub(crate) fn below(&self, calls: u64) -> Option<String> {
        let low = self.each.iter().filter(|(_, most)| *most < calls);
        let low: Vec<String> = low.map(|(name, most)| format!("{name}: {most}")).collect();
        (!low.is_empty()).then(|| low.join(", "))
    }
}

/// The connection settings of an Envoy cluster.
pub(crate) fn of_cluster<'a>(cluster: &Node<'a>, world: &World<'a>) -> Pool<'a> {
    let parts = parts(cluster, world);
    Pool {
        kept: parts.iter().find_map(|part| {
            let at = &part.cluster;
            idle::kept(&part.options, &["common_http_protocol_options"], "idle_timeout", at)
        }),
        shared: parts.iter().find_map(shared),
        limits: parts.iter().map(limits).collect(),
        unseen: aggregated(cluster, world).and_then(|aggregated| {
            let unseen = aggregated.unseen.join(", ");
            (!unseen.is_empty()).then(|| (cluster.clone(), unseen))
        }),
    }
}

/// A cluster that has connections, and what says how they speak HTTP.
struct Part<'a> {
    cluster: Node<'a>,
    options: Node<'a>,
    /// Whether the options are the cluster's own fields, as they were in older releases.
    old: bool,
}

impl<'a> Part<'a> {
    fn of(cluster: &Node<'a>) -> Part<'a> {
        // If these exist, the cluster's own HTTP settings do not count.
        let options = options(cluster);
        let old = options.is_none();
        let options = options.unwrap_or_else(|| cluster.clone());
        Part { cluster: cluster.clone(), options, old }
    }

    /// The setting by which calls may share a connection, and its options; `None` is HTTP/1.1. With
    /// the client's protocol calls are HTTP/1.1 too: the filter's calls have no client.
    fn sharing(&self) -> Option<(Node<'a>, Option<Node<'a>>)> {
        if self.old {
            let http2 = self.options.get("http2_protocol_options")?;
            let as_client = self.options.text("protocol_selection");
            let as_client = as_client == Some("USE_DOWNSTREAM_PROTOCOL");
            return (!as_client).then(|| (http2.clone(), Some(http2)));
        }
        if let Some(either) = self.options.get("auto_config") {
            let http2 = either.get("http2_protocol_options");
            return Some((either, http2));
        }
        let explicit = self.options.get("explicit_http_config")?;
        if let Some(http3) = explicit.get("http3_protocol_options") {
            let quic = http3.get("quic_protocol_options");
            return Some((http3, quic));
        }
        let http2 = explicit.get("http2_protocol_options")?;
        Some((http2.clone(), Some(http2)))
    }

    /// How many calls a connection carries at a time; `None` where the provider decides.
    fn calls(&self) -> Option<u64> {
        let common = self.options.get("common_http_protocol_options");
        let ever = common.and_then(|common| number(&common, "max_requests_per_connection"));
        match self.sharing() {
            None => Some(1),
            Some(_) if ever == Some(1) => Some(1),
            Some((_, options)) => number(&options?, "max_concurrent_streams"),
        }
    }
}

/// A cluster's options for HTTP, if they stand by themselves.
pub(crate) fn options<'a>(cluster: &Node<'a>) -> Option<Node<'a>> {
    let options = cluster.get("typed_extension_protocol_options")?.member(OPTIONS)?;
    Some(options.any().map_or(options, |(_, fields)| fields))
}

/// The clusters whose connections a cluster uses.
fn parts<'a>(cluster: &Node<'a>, world: &World<'a>) -> Vec<Part<'a>> {
    match aggregated(cluster, world) {
        Some(Aggregated { members, .. }) => members.iter().map(Part::of).collect(),
        None => vec![Part::of(cluster)],
    }
}

/// What an aggregate comes down to.
pub(crate) struct Aggregated<'a> {
    /// The clusters that are in the files.
    pub(crate) members: Vec<Node<'a>>,
    /// The names of the others.
    pub(crate) unseen: Vec<&'a str>,
}

/// The clusters that a cluster aggregates, if it does.
pub(crate) fn aggregated<'a>(cluster: &Node<'a>, world: &World<'a>) -> Option<Aggregated<'a>> {
    let mut aggregated = Aggregated { members: Vec::new(), unseen: Vec::new() };
    let (mut left, mut known) = (vec![aggregate(cluster)?], HashSet::new());
    while let Some(config) = left.pop() {
        let parts = config.list("clusters");
        for name in parts.iter().filter_map(|part| part.value.as_str().or(part.text("name"))) {
            if !known.insert(name) {
                continue;
            }
            let mut seen = false;
            for part in world.clusters_named(name).filter(|part| world.together(part, cluster)) {
                seen = true;
                match aggregate(part) {
                    Some(inner) => left.push(inner),
                    None => aggregated.members.push(part.clone()),
                }
            }
            if !seen {
                aggregated.unseen.push(name);
            }
        }
    }
    Some(aggregated)
}

fn aggregate<'a>(cluster: &Node<'a>) -> Option<Node<'a>> {
    let (message, config) = cluster.at(&["cluster_type", "typed_config"])?.any()?;
    AGGREGATES.contains(&message).then_some(config)
}

fn shared<'a>(part: &Part<'a>) -> Option<Shared<'a>> {
    let (at, _) = part.sharing()?;
    (part.calls() != Some(1)).then_some(Shared { at, remedy: None })
}

fn limits<'a>(part: &Part<'a>) -> Limits<'a> {
    let breakers = part.cluster.get("circuit_breakers");
    let thresholds = breakers.map(|breakers| breakers.list("thresholds")).unwrap_or_default();
    // The filter's calls have the default priority.
    let own = thresholds.into_iter().find(|entry| {
        entry
            .get("priority")
            .is_none_or(|priority| *priority.value == "DEFAULT" || *priority.value == 0)
    });
    let said = |name: &str| Some(own.as_ref().and_then(|own| number(own, name)).unwrap_or(DEFAULT));
    let names = ["max_connections", "max_pending_requests", "max_requests"];
    let each = each(names, said, part.calls());
    Limits { at: own.clone().unwrap_or_else(|| part.cluster.clone()), each, remedy: None }
}

/// The limits on connections, on requests that wait for one and on requests, by these names. The
/// first counts only where a connection carries one call: else fewer may be enough.
pub(crate) fn each(
    names: [&'static str; 3],
    said: impl Fn(&str) -> Option<u64>,
    calls: Option<u64>,
) -> Vec<(&'static str, u64)> {
    let [connections, others @ ..] = names;
    let connections = (calls == Some(1)).then_some(connections);
    let names = connections.into_iter().chain(others);
    names.filter_map(|name| said(name).map(|most| (name, most))).collect()
}

/// The whole number that is the member of that field.
pub(crate) fn number(node: &Node<'_>, field: &str) -> Option<u64> {
    duration::whole(node.get(field)?.value)
}
