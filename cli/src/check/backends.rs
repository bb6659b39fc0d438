//! Which ways lead to the same backend: by the same cluster, by one that aggregates it, by one with the same
//! address, or by a cluster that the request names.

use std::collections::{BTreeSet, HashMap};

use super::pool;
use super::routes::Way;
use super::world::World;
use crate::tree::Node;

/// The backends of ways.
pub(super) struct Backends<'w, 'a> {
    world: &'w World<'a>,
    /// What each cluster leads to, by its name and the document that asks for it.
    known: HashMap<(&'a str, *const crate::tree::Document), BTreeSet<String>>,
}

impl<'w, 'a> Backends<'w, 'a> {
    /// Those of these ways.
    pub(super) fn of(ways: &[Way<'a>], world: &'w World<'a>) -> Backends<'w, 'a> {
        let mut known = HashMap::new();
        for way in ways {
            for name in clusters(way) {
                let key = (name, std::ptr::from_ref(way.node.document));
                known.entry(key).or_insert_with(|| reached(name, &way.node, world));
            }
        }
        Backends { world, known }
    }

    /// What a way leads to.
    pub(super) fn keys(&self, way: &Way<'a>) -> BTreeSet<String> {
        let of_one = |name: &'a str| {
            let key = (name, std::ptr::from_ref(way.node.document));
            self.known.get(&key).cloned().unwrap_or_else(|| reached(name, &way.node, self.world))
        };
        clusters(way).into_iter().flat_map(of_one).collect()
    }

    /// Whether both may lead to one backend.
    pub(super) fn meet(&self, one: &Way<'a>, other: &Way<'a>) -> bool {
        if is_any(one) || is_any(other) {
            return true;
        }
        let (Some(first), Some(second)) = (one.cluster, other.cluster) else { return false };
        first == second || !self.keys(one).is_disjoint(&self.keys(other))
    }
}

/// Whether the request itself names the cluster.
pub(super) fn is_any(way: &Way<'_>) -> bool {
    let by_part = way.levels.first().is_some_and(|level| level.has("cluster_header"));
    let action = way.levels.iter().find_map(|level| level.get("route"));
    way.cluster.is_none() && (by_part || action.is_some_and(|action| action.has("cluster_header")))
}

/// The clusters that get the requests of a way: also those to which it copies them.
fn clusters<'a>(way: &Way<'a>) -> Vec<&'a str> {
    let action = way.levels.iter().find_map(|level| level.get("route"));
    let copies = action.map(|action| action.list("request_mirror_policies")).unwrap_or_default();
    let copies = copies.iter().filter_map(|copy| copy.text("cluster"));
    way.cluster.into_iter().chain(copies).collect()
}

/// The names and addresses to which a cluster of that name leads.
pub(super) fn reached(name: &str, beside: &Node<'_>, world: &World<'_>) -> BTreeSet<String> {
    let mut keys = BTreeSet::from([format!("cluster {name}")]);
    let Some(cluster) = world.cluster_beside(name, beside) else { return keys };
    let members = match pool::aggregated(cluster, world) {
        Some(aggregated) => aggregated.members,
        None => vec![cluster.clone()],
    };
    for member in members {
        keys.extend(member.text("name").map(|name| format!("cluster {name}")));
        let localities = member.get("load_assignment").map(|node| node.list("endpoints"));
        for endpoint in localities.iter().flatten().flat_map(|l| l.list("lb_endpoints")) {
            keys.extend(endpoint.at(&["endpoint", "address"]).map(|address| address_of(&address)));
        }
    }
    keys
}

fn address_of(address: &Node<'_>) -> String {
    match address.get("socket_address") {
        Some(socket) => {
            let host = socket.text("address").unwrap_or_default().to_ascii_lowercase();
            let port = socket.get("port_value").map(|port| port.value.to_string());
            format!("address {host}:{}", port.unwrap_or_default().trim_matches('"'))
        }
        None => format!("address {}", address.value),
    }
}
