//! Whether each call to a provider has a cluster to carry it, and who can read it on the way.

use oidc_token_connector::config::{Egress, Site};

use super::codes;
use super::finding::Findings;
use super::instance::Instance;
use super::istio;
use super::world::{Platform, World};
use crate::tree::Node;

/// How a cluster's connections are made.
#[derive(Debug)]
pub(crate) struct Carrier<'a> {
    /// Where it says so.
    pub(crate) node: Node<'a>,
    /// Whether a forward proxy is asked with CONNECT.
    pub(crate) proxy: bool,
    /// How they are encrypted.
    pub(crate) tls: Tls,
    /// What to do if they are not, where Envoy's own words do not fit.
    pub(crate) remedy: Option<String>,
}

/// How connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Not at all.
    Absent,
    /// With TLS.
    On {
        /// Whether the certificate must come from a trusted authority.
        ca: bool,
        /// Whether it must bear a given name.
        san: bool,
    },
    /// By something that only Envoy knows.
    Unseen,
}

/// What a cluster's name leads to.
pub(crate) enum Resolved<'a> {
    /// A cluster.
    Found(Carrier<'a>),
    /// Nothing: where it should be has been seen. With what to do, if that is known.
    Missing(Option<String>),
    /// Where it should be has not been seen.
    NotSeen,
}

/// Looks at every cluster that one instance calls.
pub(crate) fn check(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let Some(policy) = &instance.policy else {
        return;
    };
    let mut not_seen: Vec<&str> = Vec::new();
    for site in instance.endpoints().iter().flat_map(|endpoint| &endpoint.sites) {
        match resolve(instance, site, world) {
            Resolved::Found(carrier) => {
                let proxied = matches!(policy.egress, Egress::Proxy { .. });
                judge(&carrier, site, proxied, findings);
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
        findings.add(codes::CLUSTER_NOT_SEEN, &instance.place, found);
    }
}

/// Looks at clusters that no filter among the files calls: a file of clusters alone.
pub(crate) fn check_alone(world: &World<'_>, findings: &mut Findings) {
    for cluster in &world.clusters {
        let carrier = carrier(cluster);
        let name = cluster.text("name").unwrap_or_default();
        match carrier.tls {
            // Behind CONNECT there is no provider but with TLS.
            Tls::Absent if !carrier.proxy => {
                findings.add(codes::PLAIN_CLUSTER, cluster, format!("cluster {name} has no TLS"));
            }
            Tls::Absent | Tls::On { .. } | Tls::Unseen => {
                judge_tls(&carrier, &format!("cluster {name}"), findings);
            }
        }
    }
}

fn resolve<'a>(instance: &Instance<'_>, site: &Site, world: &World<'a>) -> Resolved<'a> {
    let clusters = world.clusters.iter().filter(|node| world.together(node, &instance.node));
    // Its own document's before one that is handed over beside it.
    let own = |node: &Node<'_>| std::ptr::eq(node.document, instance.node.document);
    let mut seen = false;
    let mut found: Option<&Node<'a>> = None;
    for cluster in clusters {
        seen = true;
        let is_named = cluster.text("name") == Some(site.cluster.as_str());
        if is_named && (found.is_none() || own(cluster)) {
            found = Some(cluster);
        }
    }
    if let Some(cluster) = found {
        return Resolved::Found(carrier(cluster));
    }
    match instance.platform {
        Platform::Istio => istio::resolve(site, world),
        Platform::Gateway => Resolved::NotSeen,
        Platform::Envoy | Platform::Alone => {
            let complete = match world.bootstrap(&instance.node) {
                Some(bootstrap) => bootstrap.at(&["dynamic_resources", "cds_config"]).is_none(),
                None => seen,
            };
            if complete { Resolved::Missing(None) } else { Resolved::NotSeen }
        }
    }
}

fn judge(carrier: &Carrier<'_>, site: &Site, proxied: bool, findings: &mut Findings) {
    let Site { cluster, authority, .. } = site;
    if proxied && !carrier.proxy {
        findings.add(
            codes::CLUSTER_WITHOUT_PROXY,
            &carrier.node,
            format!("cluster {cluster} reaches {authority} without the forward proxy"),
        );
    }
    if site.scheme == "https" {
        let what = format!("cluster {cluster}, which reaches https://{authority},");
        judge_tls(carrier, &what, findings);
    }
}

fn judge_tls(carrier: &Carrier<'_>, what: &str, findings: &mut Findings) {
    let (code, lacks) = match carrier.tls {
        Tls::Absent => (codes::CLUSTER_WITHOUT_TLS, "has no TLS"),
        // Without a CA no name is looked at either.
        Tls::On { ca: false, .. } => (codes::TLS_WITHOUT_CA, "trusts any certificate"),
        Tls::On { san: false, .. } => (codes::TLS_WITHOUT_SAN, "compares no name"),
        Tls::On { .. } | Tls::Unseen => return,
    };
    findings.add_with(code, &carrier.node, format!("{what} {lacks}"), carrier.remedy.clone());
}

/// How an Envoy cluster's connections are made; where it has several ways, the worst.
fn carrier<'a>(cluster: &Node<'a>) -> Carrier<'a> {
    let by_match = cluster.list("transport_socket_matches").into_iter();
    let by_match = by_match.filter_map(|entry| entry.get("transport_socket"));
    let sockets: Vec<Node<'a>> = by_match.chain(cluster.get("transport_socket")).collect();
    let ways = sockets.iter().map(|socket| of_socket(socket, cluster));
    let worst = ways.min_by_key(|way| match way.tls {
        Tls::Absent => 0,
        Tls::On { ca: false, .. } => 1,
        Tls::On { san: false, .. } => 2,
        Tls::Unseen => 3,
        Tls::On { .. } => 4,
    });
    worst.unwrap_or_else(|| Carrier {
        node: cluster.clone(),
        proxy: false,
        tls: Tls::Absent,
        remedy: None,
    })
}

fn of_socket<'a>(socket: &Node<'a>, cluster: &Node<'a>) -> Carrier<'a> {
    const SOCKETS: &str = "envoy.extensions.transport_sockets.";
    let way = |tls| Carrier { node: socket.clone(), proxy: false, tls, remedy: None };
    let Some((message, fields)) = socket.get("typed_config").and_then(|config| config.any()) else {
        return way(match socket.text("name") {
            Some("envoy.transport_sockets.raw_buffer") => Tls::Absent,
            Some("envoy.transport_sockets.tls") => Tls::On { ca: false, san: false },
            _ => Tls::Unseen,
        });
    };
    match message.strip_prefix(SOCKETS).unwrap_or(message) {
        "raw_buffer.v3.RawBuffer" => way(Tls::Absent),
        "tls.v3.UpstreamTlsContext" => way(of_context(&fields, cluster)),
        "quic.v3.QuicUpstreamTransport" => {
            let context = fields.get("upstream_tls_context");
            way(context.map_or(Tls::Unseen, |context| of_context(&context, cluster)))
        }
        "http_11_proxy.v3.Http11ProxyUpstreamTransport" => {
            let proxy = fields.has("default_proxy_address") || endpoints_name_a_proxy(cluster);
            let inner = fields.get("transport_socket");
            match inner.map(|inner| of_socket(&inner, cluster)) {
                Some(inner) => Carrier { proxy, ..inner },
                None => Carrier { proxy, ..way(Tls::Absent) },
            }
        }
        // Such as PROXY protocol: whatever it is, another one is inside.
        _ => match fields.get("transport_socket") {
            Some(inner) => of_socket(&inner, cluster),
            None => way(Tls::Unseen),
        },
    }
}

/// Whether each endpoint says where the proxy is: one that does not is called directly.
fn endpoints_name_a_proxy(cluster: &Node<'_>) -> bool {
    const KEY: &str = "envoy.http11_proxy_transport_socket.proxy_address";
    let says = |node: &Node<'_>| {
        let metadata = node.at(&["metadata", "typed_filter_metadata"]);
        metadata.is_some_and(|metadata| metadata.member(KEY).is_some())
    };
    let assignment = cluster.get("load_assignment");
    let localities = assignment.map_or_else(Vec::new, |node| node.list("endpoints"));
    if localities.is_empty() {
        // Endpoints that come by EDS are not in the file.
        return cluster.text("type") == Some("EDS");
    }
    localities
        .iter()
        .all(|locality| says(locality) || locality.list("lb_endpoints").iter().all(says))
}

fn of_context(context: &Node<'_>, cluster: &Node<'_>) -> Tls {
    const CAS: &[&str] = &[
        "trusted_ca",
        "ca_certificate_provider_instance",
        "system_root_certs",
        "verify_certificate_hash",
        "verify_certificate_spki",
        "custom_validator_config",
    ];
    const NAMES: &[&str] = &[
        "match_typed_subject_alt_names",
        "match_subject_alt_names",
        "verify_certificate_hash",
        "verify_certificate_spki",
        "custom_validator_config",
    ];
    let common = context.get("common_tls_context");
    let common = common.as_ref();
    let combined = common.and_then(|common| common.get("combined_validation_context"));
    let combined = combined.as_ref();
    let places = [
        common.and_then(|common| common.get("validation_context")),
        combined.and_then(|combined| combined.get("default_validation_context")),
    ];
    let secret = "validation_context_sds_secret_config";
    // What comes as a secret is not in the file; that somebody serves it says enough.
    let by_secret = common.is_some_and(|common| common.has(secret))
        || combined.is_some_and(|combined| combined.has(secret));
    let has = |fields: &[&str]| {
        places.iter().flatten().any(|context| fields.iter().any(|field| context.has(field)))
    };
    let untrusted = places
        .iter()
        .flatten()
        .any(|context| context.text("trust_chain_verification") == Some("ACCEPT_UNTRUSTED"));
    let by_sni = context.is_true("auto_sni_san_validation");
    Tls::On {
        ca: !untrusted && (by_secret || has(CAS)),
        san: by_secret || has(NAMES) || by_sni || validates_host(cluster),
    }
}

/// Whether the name is taken from the call itself.
fn validates_host(cluster: &Node<'_>) -> bool {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let extended = cluster.get("typed_extension_protocol_options");
    let extended = extended.and_then(|options| options.member(OPTIONS));
    [extended.as_ref(), Some(cluster)].into_iter().flatten().any(|node| {
        let options = node.get("upstream_http_protocol_options");
        options.is_some_and(|options| options.is_true("auto_san_validation"))
    })
}
