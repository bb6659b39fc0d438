//! Which ways lead to the same backend: by the same cluster, by one that aggregates it, by one with the same
//! address, or by a cluster that the request names.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::pool;
use super::routes::Way;
use super::world::World;
use crate::tree::{Document, Node};

/// What a cluster leads to.
type Keys = Rc<BTreeSet<String>>;

/// What a way leads to.
pub(super) struct Reach {
    /// Whether the request itself names the cluster.
    pub(super) is_any: bool,
    clusters: Vec<Keys>,
    /// Who else than the configuration says where it leads.
    pub(super) choice: Option<Choice>,
}

/// Who says to which address a request goes, if the configuration does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// The client, by this.
    Client(&'static str),
    /// Something that is not looked into.
    Unknown(String),
}

/// The backends of ways, in their order.
pub(super) struct Backends(Vec<Reach>);

impl Backends {
    /// Those of these ways.
    pub(super) fn of<'a>(ways: &[Way<'a>], world: &World<'a>) -> Backends {
        let mut known: HashMap<(&'a str, *const Document), Keys> = HashMap::new();
        let reach = |way: &Way<'a>| {
            let keys = |name: &'a str| {
                let key = (name, std::ptr::from_ref(way.node.document));
                let keys = known.entry(key);
                Rc::clone(keys.or_insert_with(|| Rc::new(reached(name, &way.node, world))))
            };
            Reach {
                is_any: is_any(way),
                clusters: clusters(way).into_iter().map(keys).collect(),
                choice: choice(way, world),
            }
        };
        Backends(ways.iter().map(reach).collect())
    }

    /// Each way with what it leads to.
    pub(super) fn with<'w, 'a>(
        &self,
        ways: &'w [Way<'a>],
    ) -> impl Iterator<Item = (&Reach, &'w Way<'a>)> {
        self.0.iter().zip(ways)
    }
}

impl Reach {
    /// What it leads to.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.clusters.iter().flat_map(|keys| keys.iter()).map(String::as_str)
    }

    /// Whether both may lead to one backend.
    pub(super) fn meets(&self, other: &Reach) -> bool {
        let same = |one: &Keys, other: &Keys| Rc::ptr_eq(one, other) || !one.is_disjoint(other);
        self.is_any
            || other.is_any
            || self.clusters.iter().any(|one| other.clusters.iter().any(|two| same(one, two)))
    }
}

/// Whether the request itself names the cluster.
fn is_any(way: &Way<'_>) -> bool {
    let by_part = way.levels.first().is_some_and(|level| level.has("cluster_header"));
    let action = way.levels.iter().find_map(|level| level.get("route"));
    way.cluster.is_none() && (by_part || action.is_some_and(|action| action.has("cluster_header")))
}

/// Who says where the requests of a way go, if the configuration does not.
fn choice(way: &Way<'_>, world: &World<'_>) -> Option<Choice> {
    if is_any(way) {
        return Some(Choice::Client("cluster_header"));
    }
    if copies(way).iter().any(|copy| copy.has("cluster_header")) {
        return Some(Choice::Client("cluster_header of a copy"));
    }
    let names = clusters(way);
    let action = way.levels.iter().find_map(|level| level.get("route"));
    if way.cluster.is_none() && action.is_some() {
        return Some(Choice::Unknown("a plugin".to_owned()));
    }
    let choices = names.into_iter().filter_map(|name| chosen(name, &way.node, world));
    // What the client decides is worse.
    choices.max_by_key(|choice| matches!(choice, Choice::Client(_)))
}

/// Who says where the requests to a cluster of that name go, if not the configuration does: endpoints
/// by DNS or by EDS are the operator's.
pub(super) fn chosen(name: &str, beside: &Node<'_>, world: &World<'_>) -> Option<Choice> {
    const BY_HOST: &str = "envoy.extensions.clusters.dynamic_forward_proxy.";
    const ORIGINAL: [&str; 2] = ["envoy.cluster.original_dst", "ORIGINAL_DST"];
    /// What else `cluster_type` may name.
    const FIXED: [&str; 7] = [
        "envoy.cluster.eds",
        "envoy.cluster.logical_dns",
        "envoy.cluster.static",
        "envoy.cluster.strict_dns",
        "envoy.clusters.dns",
        "envoy.clusters.redis",
        "envoy.cluster.dns",
    ];
    let of_member = |member: &Node<'_>| {
        let extension = member.get("cluster_type");
        let message = extension.as_ref().and_then(|node| Some(node.get("typed_config")?.any()?.0));
        let named = extension.as_ref().and_then(|node| node.text("name")).or(member.text("type"));
        let (message, named) = (message.unwrap_or_default(), named.unwrap_or_default());
        if message.starts_with(BY_HOST) || named == "envoy.clusters.dynamic_forward_proxy" {
            return Some(Choice::Client("the host that the client names"));
        }
        let by_number = extension.is_none() && member.get("type").is_some_and(|t| *t.value == 4);
        if by_number || ORIGINAL.contains(&named) {
            let settings = member.get("original_dst_lb_config");
            let by_header = settings.is_some_and(|settings| settings.is_true("use_http_header"));
            return Some(match by_header {
                true => Choice::Client("the header of ORIGINAL_DST"),
                false => Choice::Unknown("the address to which the client connects".to_owned()),
            });
        }
        let known =
            message == "envoy.extensions.clusters.dns.v3.DnsCluster" || FIXED.contains(&named);
        (extension.is_some() && !known).then(|| Choice::Unknown(format!("cluster_type {named}")))
    };
    let cluster = world.cluster_beside(name, beside)?;
    let members = match pool::aggregated(cluster, world) {
        Some(aggregated) => aggregated.members,
        None => vec![cluster.clone()],
    };
    let choices = members.iter().filter_map(of_member);
    choices.max_by_key(|choice| matches!(choice, Choice::Client(_)))
}

/// The clusters that get the requests of a way: also those to which it copies them.
fn clusters<'a>(way: &Way<'a>) -> Vec<&'a str> {
    let copies = copies(way);
    way.cluster.into_iter().chain(copies.iter().filter_map(|copy| copy.text("cluster"))).collect()
}

/// Where Envoy sends copies of a way's requests: the route says so, its virtual host, or the whole
/// configuration.
fn copies<'a>(way: &Way<'a>) -> Vec<Node<'a>> {
    let actions = way.levels.iter().filter_map(|level| level.get("route"));
    let levels: Vec<Node<'a>> = way.levels.iter().cloned().chain(actions).collect();
    levels.iter().flat_map(|level| level.list("request_mirror_policies")).collect()
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
        // EDS knows a cluster by this name, or by its own.
        let service = member.at(&["eds_cluster_config", "service_name"]);
        let service = service.and_then(|service| service.value.as_str()).filter(|s| !s.is_empty());
        if let Some(service) = service.or(member.text("name").filter(|_| is_discovered(&member))) {
            keys.insert(format!("service {service}"));
        }
        let localities = member.get("load_assignment").map(|node| node.list("endpoints"));
        for endpoint in localities.iter().flatten().flat_map(|l| l.list("lb_endpoints")) {
            let more = endpoint.get("endpoint").map(|node| node.list("additional_addresses"));
            let more = more.unwrap_or_default().into_iter().filter_map(|node| node.get("address"));
            let all = endpoint.at(&["endpoint", "address"]).into_iter().chain(more);
            keys.extend(all.map(|address| address_of(&address)));
        }
    }
    keys
}

/// Whether a cluster's endpoints come by EDS.
fn is_discovered(cluster: &Node<'_>) -> bool {
    // Enums may be numbers.
    cluster.get("type").is_some_and(|kind| *kind.value == "EDS" || *kind.value == 3)
}

/// The key of a backend with this address.
pub(super) fn address_of(address: &Node<'_>) -> String {
    match address.get("socket_address") {
        Some(socket) => {
            let host = socket.text("address").unwrap_or_default().to_ascii_lowercase();
            let port = socket.get("port_value").map(|port| port.value.to_string());
            format!("address {host}:{}", port.unwrap_or_default().trim_matches('"'))
        }
        None => format!("address {}", address.value),
    }
}
