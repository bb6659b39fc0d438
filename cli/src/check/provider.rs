//! Whether a cluster of Envoy's own leads to the provider: endpoints, TLS for each of them, the names;
//! and whether there is one for the module's code.

use oidc_token_connector::policy::Site;

use super::carrier::Carrier;
use super::finding::Findings;
use super::instance::{Instance, Platform};
use super::tls::{San, Tls};
use super::world::World;
use super::{codes, names};
use crate::tree::Node;

/// Looks at the cluster of a site, if it is in the files.
pub(crate) fn check<'a>(
    carrier: &Carrier<'a>,
    site: &Site,
    instance: &Instance<'_>,
    world: &World<'a>,
    findings: &mut Findings,
) {
    let Some(cluster) = world.cluster_beside(&site.cluster, &instance.node) else { return };
    if is_empty(cluster) {
        let found = format!("cluster {} has no endpoint", site.cluster);
        findings.add(codes::CLUSTER_WITHOUT_ENDPOINTS, cluster, found);
    }
    if site.scheme != "https" {
        return;
    }
    let matches = cluster.list("transport_socket_matches");
    let by_match = !matches.is_empty() && !cluster.has("transport_socket");
    if by_match && !all_matched(cluster, &matches) {
        let found = format!("cluster {} has TLS for matching endpoints only", site.cluster);
        let remedy = "give the cluster a transport_socket with TLS: endpoints without the metadata \
                      that an entry of transport_socket_matches asks for are called without TLS";
        findings.add_with(codes::CLUSTER_WITHOUT_TLS, cluster, found, Some(remedy.to_owned()));
    }
    let compares = matches!(carrier.tls, Tls::On { ca: true, san: San::Compared | San::Unseen });
    // The socket of one that is aggregated is in another cluster.
    let own = world.clusters.iter().find(|cluster| carrier.node.is_inside(cluster));
    if let Some(cluster) = own.filter(|_| compares) {
        let endpoints = instance.endpoints();
        let sites = endpoints.iter().flat_map(|endpoint| &endpoint.sites);
        let hosts = sites.filter(|other| other.cluster == site.cluster);
        let hosts: Vec<&str> = hosts.map(|other| host(&other.authority)).collect();
        names::check(&carrier.node, cluster, &hosts, world, findings);
    }
}

/// An authority without its port.
fn host(authority: &str) -> &str {
    let parts = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    parts.map_or(authority, |(host, _)| host)
}

/// Whether the module's code can be fetched.
pub(crate) fn check_code(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let path = &["vm_config", "code", "remote", "http_uri"];
    let uri = instance.plugin.as_ref().and_then(|plugin| plugin.at(path));
    let Some((uri, name)) = uri.as_ref().and_then(|uri| Some((uri, uri.text("cluster")?))) else {
        return;
    };
    let missing = world.cluster_beside(name, &instance.node).is_none();
    if missing && instance.platform == Platform::Envoy && world.has_all_clusters(&instance.node) {
        let found = format!("no cluster {name:?} for the module's code");
        let remedy = "add the cluster, or load the code from a file: until it is loaded every \
                      request is answered with 503";
        findings.add_with(codes::CLUSTER_MISSING, uri, found, Some(remedy.to_owned()));
    }
}

/// The endpoints that a cluster lists, by locality.
fn localities<'a>(cluster: &Node<'a>) -> Vec<Node<'a>> {
    cluster.get("load_assignment").map(|node| node.list("endpoints")).unwrap_or_default()
}

/// Whether a cluster that has to list its endpoints lists none.
fn is_empty(cluster: &Node<'_>) -> bool {
    const LISTING: [&str; 3] = ["STATIC", "STRICT_DNS", "LOGICAL_DNS"];
    const ENDPOINTS: [&str; 3] =
        ["lb_endpoints", "load_balancer_endpoints", "leds_cluster_locality_config"];
    const DNS: &str = "envoy.extensions.clusters.dns.v3.DnsCluster";
    let kind = cluster.get("type").map(|kind| kind.value.clone());
    let lists = match cluster.get("cluster_type") {
        // The newer form of the last two.
        Some(kind) => kind.get("typed_config").is_some_and(|config| config.message(DNS).is_some()),
        None => match kind {
            // Enums may be numbers.
            Some(kind) => {
                LISTING.iter().any(|name| kind == *name) || kind.as_u64().is_some_and(|n| n <= 2)
            }
            None => cluster.has("load_assignment"),
        },
    };
    let has_one = |locality: &Node<'_>| ENDPOINTS.iter().any(|field| locality.says(field));
    lists && !localities(cluster).iter().any(has_one)
}

/// Whether each endpoint has what an entry of `transport_socket_matches` asks for.
fn all_matched<'a>(cluster: &Node<'a>, matches: &[Node<'a>]) -> bool {
    const METADATA: &str = "envoy.transport_socket_match";
    let has = |node: &Node<'_>, name: &str, value: &Node<'_>| {
        let own = node.at(&["metadata", "filter_metadata"]).and_then(|all| all.member(METADATA));
        own.and_then(|own| own.member(name)).is_some_and(|own| own.value == value.value)
    };
    let asked = |entry: &Node<'a>| -> Vec<(&'a str, Node<'a>)> {
        entry.get("match").map(|asked| asked.members()).unwrap_or_default()
    };
    let localities = localities(cluster);
    let mut all = localities.iter().flat_map(|locality| {
        locality.list("lb_endpoints").into_iter().map(move |endpoint| (locality, endpoint))
    });
    let matched = |(locality, endpoint): (&Node<'_>, Node<'_>)| {
        matches.iter().any(|entry| {
            asked(entry)
                .iter()
                .all(|(name, value)| has(&endpoint, name, value) || has(locality, name, value))
        })
    };
    matches.iter().any(|entry| asked(entry).is_empty())
        || (!localities.is_empty() && all.all(matched))
}
