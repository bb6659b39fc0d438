//! Whether a cluster of Envoy's own leads to the provider: endpoints, TLS for each of them, the names;
//! and whether there is one for the module's code.

use oidc_token_connector::policy::Site;

use super::carrier::Carrier;
use super::finding::Findings;
use super::instance::{Instance, Platform};
use super::tls::{San, Tls};
use super::world::World;
use super::{codes, names, sockets, weak};
use crate::tree::Node;

/// Looks at the ways of a site's cluster, each with the cluster that has it.
pub(crate) fn check<'a>(
    ways: &[(Node<'a>, Carrier<'a>)],
    site: &Site,
    instance: &Instance<'_>,
    world: &World<'a>,
    findings: &mut Findings,
) {
    for (cluster, carrier) in ways {
        let name = cluster.text("name").unwrap_or_default();
        if is_empty(cluster) {
            let found = format!("cluster {name} has no endpoint");
            findings.add(codes::CLUSTER_WITHOUT_ENDPOINTS, cluster, found);
        }
        if site.scheme != "https" {
            continue;
        }
        weak::check_unknown(cluster, findings);
        weak::check(&carrier.node, cluster, world, findings);
        if sockets::is_unseen(cluster) {
            let found = format!(
                "cluster {name} has TLS for some endpoints only, and these are not in these files"
            );
            findings.add(codes::CLUSTER_NOT_SEEN, cluster, found);
        }
        if matches!(carrier.tls, Tls::On { ca: true, san: San::Compared | San::Unseen }) {
            let endpoints = instance.endpoints();
            let sites = endpoints.iter().flat_map(|endpoint| &endpoint.sites);
            let hosts = sites.filter(|other| other.cluster == site.cluster);
            let hosts: Vec<&str> = hosts.map(|other| host(&other.authority)).collect();
            names::check(&carrier.node, cluster, &hosts, world, findings);
        }
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
    if let Some(cluster) = world.cluster_beside(name, &instance.node) {
        if is_empty(cluster) {
            let found = format!("cluster {name}, of the module's code, has no endpoint");
            findings.add(codes::CLUSTER_WITHOUT_ENDPOINTS, cluster, found);
        }
        return;
    }
    let missing = match instance.platform {
        Platform::Envoy => world.has_all_clusters(&instance.node),
        // Istio makes clusters of hosts; others come by EnvoyFilters, as the provider's. Of an
        // EXTENSION_CONFIG Istio's agent fetches the code itself.
        Platform::Istio => {
            let patch = world.patches.iter().find(|patch| instance.node.is_inside(patch));
            let agents = patch.and_then(|patch| patch.text("applyTo")) == Some("EXTENSION_CONFIG");
            !agents && !name.contains('|') && world.has_all_clusters(&instance.node)
        }
        Platform::Gateway | Platform::Alone => false,
    };
    if missing {
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
