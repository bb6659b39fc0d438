//! Whether each call to a provider has a cluster, and who can read it on the network.

use oidc_token_connector::policy::{Egress, Policy, Site};

use super::carrier::{Carrier, Resolved};
use super::finding::Findings;
use super::gateway;
use super::idle::Kept;
use super::instance::{Instance, Platform};
use super::istio;
use super::pool::{self, Pool, Shared};
use super::tls::{self, San, Tls};
use super::world::World;
use super::{codes, duration, provider, sockets};
use crate::tree::Node;

/// Looks at every cluster that one instance calls.
pub(crate) fn check(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let Some(policy) = &instance.policy else {
        return;
    };
    let mut not_seen: Vec<&str> = Vec::new();
    for site in instance.endpoints().iter().flat_map(|endpoint| &endpoint.sites) {
        if let Some(cluster) = world.cluster_beside(&site.cluster, &instance.node) {
            let ways = ways(cluster, world);
            for (_, carrier) in &ways {
                judge(carrier, site, instance, policy, findings);
            }
            let pool = pool::of_cluster(cluster, world);
            judge_pool(&pool, &site.cluster, policy.call.max_in_flight, findings);
            provider::check(&ways, site, instance, world, findings);
            continue;
        }
        match resolve(instance, site, world) {
            Resolved::Found(carrier) => {
                judge(&carrier, site, instance, policy, findings);
                let calls = policy.call.max_in_flight;
                judge_pool(&carrier.pool, &site.cluster, calls, findings);
            }
            Resolved::Missing(remedy) => {
                let Site { cluster, authority, .. } = site;
                let found = format!("no cluster {cluster:?} for {authority}");
                findings.add_with(codes::CLUSTER_MISSING, &instance.place, found, remedy);
            }
            Resolved::NotSeen if !not_seen.contains(&site.cluster.as_str()) => {
                not_seen.push(&site.cluster);
            }
            Resolved::NotSeen => {}
        }
    }
    if !not_seen.is_empty() {
        for note in policy.notes() {
            findings.add(codes::PROXY_REQUIRED, &instance.place, note);
        }
        let found = format!("not in these files: {}", not_seen.join(", "));
        let manifests = match instance.platform {
            Platform::Istio => Some("ServiceEntry and the DestinationRule"),
            Platform::Gateway => Some("HTTPRoute, the Backend and the BackendTLSPolicy"),
            Platform::Envoy | Platform::Alone => None,
        };
        let remedy =
            manifests.map(|kinds| format!("give the provider's manifests as well: the {kinds}"));
        findings.add_with(codes::CLUSTER_NOT_SEEN, &instance.place, found, remedy);
    }
}

/// Looks at clusters that no filter among the files calls: a file of clusters alone.
pub(crate) fn check_alone(world: &World<'_>, findings: &mut Findings) {
    // The members of an aggregate are among them.
    let own = world.clusters.iter().filter(|cluster| pool::aggregated(cluster, world).is_none());
    for (cluster, carrier) in own.flat_map(|cluster| ways(cluster, world)) {
        let name = cluster.text("name").unwrap_or_default();
        match carrier.tls {
            // Behind CONNECT there is no provider but with TLS.
            Tls::Absent if !carrier.proxy => {
                findings.add(codes::PLAIN_CLUSTER, &cluster, format!("cluster {name} has no TLS"));
            }
            Tls::Absent | Tls::On { .. } | Tls::Unseen => {
                judge_tls(&carrier, &format!("cluster {name}"), findings);
            }
        }
    }
}

fn resolve<'a>(instance: &Instance<'_>, site: &Site, world: &World<'a>) -> Resolved<'a> {
    match instance.platform {
        Platform::Istio => istio::resolve(site, instance, world),
        Platform::Gateway => gateway::resolve(site, world),
        Platform::Envoy | Platform::Alone => {
            if world.has_all_clusters(&instance.node) {
                Resolved::Missing(None)
            } else {
                Resolved::NotSeen
            }
        }
    }
}

fn judge(
    carrier: &Carrier<'_>,
    site: &Site,
    instance: &Instance<'_>,
    policy: &Policy,
    findings: &mut Findings,
) {
    let Site { cluster, authority, .. } = site;
    let wanted = match &policy.egress {
        Egress::Proxy { port, .. } => Some(*port),
        Egress::Direct => None,
    };
    for address in &carrier.proxy_addresses {
        judge_proxy(address, cluster, wanted, findings);
    }
    if wanted.is_some() && !carrier.proxy {
        findings.add(
            codes::CLUSTER_WITHOUT_PROXY,
            &carrier.node,
            format!("cluster {cluster} reaches {authority} without the forward proxy"),
        );
    }
    if site.scheme == "https" {
        let trusted = match instance.trusts_tls() {
            true => " and whose TLS userinfo_jwt takes for the provider's signature,",
            false => "",
        };
        let what = format!("cluster {cluster}, which reaches https://{authority},{trusted}");
        judge_tls(carrier, &what, findings);
    }
}

/// Compares a cluster's connection settings with the number of calls that a worker may make at a
/// time.
fn judge_pool(pool: &Pool<'_>, cluster: &str, max_in_flight: usize, findings: &mut Findings) {
    if let Some((at, unseen)) = &pool.unseen {
        let found = format!("cluster {cluster} aggregates {unseen}, not in these files");
        findings.add(codes::CLUSTER_NOT_SEEN, at, found);
    }
    if let Some(Kept { at, time, remedy }) = &pool.kept {
        let found = format!("cluster {cluster} keeps idle connections for {time}");
        findings.add_with(codes::NO_UPSTREAM_IDLE_TIMEOUT, at, found, remedy.clone());
    }
    if let Some(Shared { at, remedy }) = &pool.shared {
        let found = format!("calls of different callers share a connection of cluster {cluster}");
        findings.add_with(codes::CONNECTION_SHARED, at, found, remedy.clone());
    }
    let calls = u64::try_from(max_in_flight).unwrap_or(u64::MAX);
    for limits in &pool.limits {
        if let Some(low) = limits.below(calls) {
            let found = format!(
                "cluster {cluster} has {low} for all workers, and max_in_flight of each is {calls}"
            );
            findings.add_with(codes::CALL_LIMIT_TOO_LOW, &limits.at, found, limits.remedy.clone());
        }
    }
}

/// Compares a cluster's forward proxy with the filter's configuration.
fn judge_proxy(address: &Node<'_>, cluster: &str, wanted: Option<u16>, findings: &mut Findings) {
    // The placeholder that `migrate` writes for the proxy's address; it is unreachable.
    const NOWHERE: &str = "192.0.2.10";
    if address.text("address") == Some(NOWHERE) {
        let found = format!("cluster {cluster} goes to a proxy at {NOWHERE}, a placeholder");
        findings.add(codes::PROXY_NOWHERE, address, found);
    }
    let port = address.get("port_value").and_then(|node| duration::whole(node.value));
    if let (Some(port), Some(wanted)) = (port, wanted)
        && port != u64::from(wanted)
    {
        let found = format!(
            "cluster {cluster} goes to a proxy at port {port}, and http_proxy_port is {wanted}"
        );
        findings.add(codes::PROXY_DIFFERS, address, found);
    }
}

fn judge_tls(carrier: &Carrier<'_>, what: &str, findings: &mut Findings) {
    let mut says = |code, lacks: &str| {
        let found = format!("{what} {lacks}");
        findings.add_with(code, &carrier.node, found, carrier.remedy.clone());
    };
    let (ca, san) = match carrier.tls {
        Tls::Absent => return says(codes::CLUSTER_WITHOUT_TLS, "has no TLS"),
        Tls::Unseen => return,
        Tls::On { ca, san } => (ca, san),
    };
    if !ca {
        says(codes::TLS_WITHOUT_CA, "trusts any certificate");
    }
    match san {
        San::Missing => says(codes::TLS_WITHOUT_SAN, "compares no name"),
        San::Any => says(codes::TLS_WITHOUT_SAN, "accepts any name"),
        San::Unseen => {
            says(codes::TLS_NOT_SEEN, "gets the names from a secret that is not in these files")
        }
        San::Compared => {}
    }
}

/// How an Envoy cluster's connections are made, each with the cluster that has it: an aggregate has only
/// those of the clusters that it aggregates.
pub(super) fn ways<'a>(cluster: &Node<'a>, world: &World<'a>) -> Vec<(Node<'a>, Carrier<'a>)> {
    let members = match pool::aggregated(cluster, world) {
        Some(aggregated) => aggregated.members,
        None => vec![cluster.clone()],
    };
    let of_member = |member: Node<'a>| {
        let used = sockets::used(&member);
        let carriers = used.into_iter().map(|socket| match socket {
            Some(socket) => of_socket(&socket, &member, world),
            None => Carrier {
                node: member.clone(),
                proxy: false,
                proxy_addresses: Vec::new(),
                tls: Tls::Absent,
                remedy: sockets::remedy(&member),
                pool: Pool::default(),
            },
        });
        carriers.map(|carrier| (member.clone(), carrier)).collect::<Vec<_>>()
    };
    members.into_iter().flat_map(of_member).collect()
}

fn of_socket<'a>(socket: &Node<'a>, cluster: &Node<'a>, world: &World<'a>) -> Carrier<'a> {
    const SOCKETS: &str = "envoy.extensions.transport_sockets.";
    let way = |tls| Carrier {
        node: socket.clone(),
        proxy: false,
        proxy_addresses: Vec::new(),
        tls,
        remedy: None,
        pool: Pool::default(),
    };
    let Some((message, fields)) = socket.get("typed_config").and_then(|config| config.any()) else {
        return way(match socket.text("name") {
            Some("envoy.transport_sockets.raw_buffer") => Tls::Absent,
            Some("envoy.transport_sockets.tls") => Tls::On { ca: false, san: San::Missing },
            _ => Tls::Unseen,
        });
    };
    match message.strip_prefix(SOCKETS).unwrap_or(message) {
        // The second begins in clear, and nothing of HTTP asks it for TLS.
        "raw_buffer.v3.RawBuffer" | "starttls.v3.UpstreamStartTlsConfig" => way(Tls::Absent),
        "tls.v3.UpstreamTlsContext" => way(tls::of_context(&fields, cluster, world)),
        "quic.v3.QuicUpstreamTransport" => {
            let context = fields.get("upstream_tls_context");
            way(context.map_or(Tls::Unseen, |context| tls::of_context(&context, cluster, world)))
        }
        "http_11_proxy.v3.Http11ProxyUpstreamTransport" => {
            let (own, each) = proxies_of_endpoints(cluster);
            let default = fields.get("default_proxy_address");
            let unlisted = endpoints(cluster).is_empty();
            let elsewhere = unlisted
                && cluster.get("type").is_some_and(|kind| *kind.value == "EDS" || *kind.value == 3);
            let proxy = default.is_some() || each || elsewhere;
            // It is for the endpoints that name none; nothing uses it where each does.
            let default = default.filter(|_| !each);
            let addresses = own.into_iter().chain(default);
            let proxy_addresses =
                addresses.filter_map(|address| address.get("socket_address")).collect();
            let inner = fields.get("transport_socket");
            match inner.map(|inner| of_socket(&inner, cluster, world)) {
                Some(inner) => Carrier { proxy, proxy_addresses, ..inner },
                None => Carrier { proxy, proxy_addresses, ..way(Tls::Absent) },
            }
        }
        // Such as PROXY protocol: whatever it is, another socket is inside.
        _ => match fields.get("transport_socket") {
            Some(inner) => of_socket(&inner, cluster, world),
            None => way(Tls::Unseen),
        },
    }
}

/// By what name an endpoint's metadata say where the proxy is.
const PROXY: &str = "envoy.http11_proxy_transport_socket.proxy_address";

/// Where the proxy is by a node's metadata.
fn proxy_of<'a>(node: &Node<'a>) -> Option<Node<'a>> {
    node.at(&["metadata", "typed_filter_metadata"])?.member(PROXY)
}

/// The endpoints that a cluster lists, by locality.
fn endpoints<'a>(cluster: &Node<'a>) -> Vec<Node<'a>> {
    cluster.get("load_assignment").map(|node| node.list("endpoints")).unwrap_or_default()
}

/// The proxy addresses of the endpoints, and whether each has one: an endpoint without one uses the
/// default, or is called directly. Endpoints that come by EDS are not in the file.
fn proxies_of_endpoints<'a>(cluster: &Node<'a>) -> (Vec<Node<'a>>, bool) {
    let localities = endpoints(cluster);
    let (mut proxies, mut each) = (Vec::new(), !localities.is_empty());
    for locality in &localities {
        let endpoints = locality.list("lb_endpoints");
        let of_all = proxy_of(locality);
        each &= of_all.is_some() || endpoints.iter().all(|node| proxy_of(node).is_some());
        proxies.extend(endpoints.iter().filter_map(proxy_of).chain(of_all));
    }
    (proxies, each)
}
