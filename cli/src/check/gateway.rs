//! The clusters that Envoy Gateway creates from HTTPRoutes, Backends and BackendTLSPolicies, with
//! names such as `httproute/default/userinfo/rule/0`.

use oidc_token_connector::policy::Site;

use super::carrier::{Carrier, Resolved};
use super::idle::{self, Kept};
use super::pool::{self, Limits, Pool, Shared};
use super::tls::{San, Tls};
use super::world::{Manifests, World};
use crate::tree::Node;

/// The result of looking up a cluster's name.
pub(crate) fn resolve<'a>(site: &Site, world: &World<'a>) -> Resolved<'a> {
    let manifests = &world.gateway;
    let parts: Vec<&str> = site.cluster.split('/').collect();
    // Others come from patches or other kinds of routes, which are not looked at.
    let &["httproute", namespace, name, "rule", rule] = &parts[..] else {
        return Resolved::NotSeen;
    };
    let missing = || {
        Resolved::Missing(Some(format!(
            "give the HTTPRoute {name} of namespace {namespace} a rule {rule} (the first is 0) that \
             leads to the provider's Backend, or correct `clusters`"
        )))
    };
    let Some(route) = named(&manifests.routes, namespace, name) else {
        return Resolved::NotSeen;
    };
    if let Some(hosts) = refused_by(&route, namespace, manifests) {
        return Resolved::Missing(Some(format!(
            "Envoy Gateway attaches the HTTPRoute {name} to no listener, they are for {hosts}: leave \
             its hostnames out"
        )));
    }
    let rules = route.get("spec").map(|spec| spec.list("rules")).unwrap_or_default();
    let Some(rule) = rule.parse().ok().and_then(|rule: usize| rules.get(rule).cloned()) else {
        return missing();
    };
    let carriers = rule.list("backendRefs").into_iter().map(|reference| {
        let namespace = reference.text("namespace").unwrap_or(namespace);
        carrier(&reference, namespace, manifests)
    });
    // With several, the worst counts.
    let worst = carriers.min_by_key(|carrier| match carrier {
        Some(Carrier { tls: Tls::Absent, .. }) => 0,
        Some(Carrier { tls: Tls::On { ca: true, san: San::Compared }, .. }) => 3,
        Some(_) => 1,
        None => 2,
    });
    match worst {
        Some(Some(carrier)) => {
            let pool = pool(&route, &rule, namespace, &carrier.tls, manifests);
            Resolved::Found(Box::new(Carrier { pool, ..carrier }))
        }
        Some(None) => Resolved::NotSeen,
        None => missing(),
    }
}

/// The host names of the listeners, if none of them takes a route; nothing if that cannot be seen.
fn refused_by(route: &Node<'_>, namespace: &str, manifests: &Manifests<'_>) -> Option<String> {
    let spec = route.get("spec")?;
    let names = spec.list("hostnames");
    let mut refused = Vec::new();
    for parent in spec.list("parentRefs") {
        let there = parent.text("namespace").unwrap_or(namespace);
        let gateway = named(&manifests.gateways, there, parent.text("name")?)?;
        let section = parent.text("sectionName");
        for listener in gateway.get("spec")?.list("listeners") {
            let meant = section.is_none() || section == listener.text("name");
            if !meant || !matches!(listener.text("protocol"), Some("HTTP" | "HTTPS")) {
                continue;
            }
            let host = listener.text("hostname").filter(|host| !host.is_empty())?;
            if names.iter().filter_map(|name| name.value.as_str()).any(|name| meet(name, host)) {
                return None;
            }
            refused.push(host);
        }
    }
    (!names.is_empty() && !refused.is_empty()).then(|| refused.join(", "))
}

/// Whether two host names, perhaps with wildcards, have one in common.
fn meet(one: &str, other: &str) -> bool {
    let covers = |wide: &str, host: &str| {
        wide.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix))
    };
    one == other || covers(one, other) || covers(other, one)
}

/// How connections to what a rule refers to are made; `None` if that cannot be seen.
fn carrier<'a>(
    reference: &Node<'a>,
    namespace: &str,
    manifests: &Manifests<'a>,
) -> Option<Carrier<'a>> {
    let kind = reference.text("kind").unwrap_or("Service");
    let name = reference.text("name")?;
    let backend = named(&manifests.backends, namespace, name).filter(|_| kind == "Backend");
    let own = backend.as_ref().and_then(|backend| backend.at(&["spec", "tls"]));
    let policy = manifests.tls_policies.iter().find(|policy| {
        let targets = policy.get("spec").map(|spec| spec.list("targetRefs")).unwrap_or_default();
        namespace_of(policy).is_none_or(|own| own == namespace)
            && targets
                .iter()
                .any(|to| to.text("kind") == Some(kind) && to.text("name") == Some(name))
    });
    let validation = policy.and_then(|policy| policy.at(&["spec", "validation"]));
    let (node, tls) = match (validation, own, backend) {
        (Some(validation), ..) => (validation.clone(), of_validation(&validation)),
        (None, Some(own), _) => (own.clone(), of_validation(&own)),
        (None, None, Some(backend)) => (backend, Tls::Absent),
        (None, None, None) => return None,
    };
    let remedy = format!(
        "add a BackendTLSPolicy with targetRefs: [{{ group: gateway.envoyproxy.io, kind: {kind}, \
         name: {name} }}] and validation: {{ hostname: HOST, wellKnownCACertificates: System }}"
    );
    let remedy = Some(remedy);
    Some(Carrier {
        node,
        proxy: false,
        proxy_addresses: Vec::new(),
        tls,
        remedy,
        pool: Pool::default(),
    })
}

/// The connection settings of the policy of a route, or else of its Gateway.
fn pool<'a>(
    route: &Node<'a>,
    rule: &Node<'a>,
    namespace: &str,
    tls: &Tls,
    manifests: &Manifests<'a>,
) -> Pool<'a> {
    let name = route.get("metadata").and_then(|metadata| metadata.text("name"));
    let near = |policy: &&Node<'a>| match (namespace_of(policy), namespace_of(route)) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    };
    let targets = |policy: &Node<'a>, kind: &str, name: Option<&str>| {
        let spec = policy.get("spec");
        let one = spec.as_ref().and_then(|spec| spec.get("targetRef"));
        let several = spec.as_ref().map(|spec| spec.list("targetRefs")).unwrap_or_default();
        one.into_iter().chain(several).any(|target| {
            target.text("kind") == Some(kind) && (name.is_none() || target.text("name") == name)
        })
    };
    let policies = || manifests.traffic_policies.iter();
    // Whom these select is not in the files.
    if policies().any(|policy| policy.at(&["spec", "targetSelectors"]).is_some()) {
        return Pool::default();
    }
    let own = policies().filter(near).find(|policy| targets(policy, "HTTPRoute", name));
    let policy = own.or_else(|| policies().find(|policy| targets(policy, "Gateway", None)));
    let at = policy.unwrap_or(route);
    let remedy = |settings: &str| {
        let name = name.unwrap_or_default();
        Some(format!(
            "add a BackendTrafficPolicy with targetRefs: [{{ group: gateway.networking.k8s.io, \
             kind: HTTPRoute, name: {name} }}] and {settings}"
        ))
    };
    let kept = idle::kept(at, &["spec", "timeout", "http"], "connectionIdleTimeout", at);
    let kept = kept.map(|kept| Kept {
        remedy: remedy(
            "timeout.http.connectionIdleTimeout below the provider's keep-alive: 4s where that is \
             not known",
        ),
        ..kept
    });

    let spec = policy.and_then(|policy| policy.get("spec"));
    let said = |path: &str, field: &str| pool::number(&spec.as_ref()?.get(path)?, field);
    let calls = match may_share(rule, namespace, tls, manifests)
        && !spec.as_ref().is_some_and(|spec| spec.is_true("useClientProtocol"))
        && said("circuitBreaker", "maxRequestsPerConnection") != Some(1)
    {
        true => said("http2", "maxConcurrentStreams"),
        false => Some(1),
    };
    let shared = (calls != Some(1))
        .then(|| Shared { at: at.clone(), remedy: remedy("http2: { maxConcurrentStreams: 1 }") });
    let names = ["maxConnections", "maxPendingRequests", "maxParallelRequests"];
    let breaker = |name: &str| Some(said("circuitBreaker", name).unwrap_or(pool::DEFAULT));
    let limits = Limits {
        at: at.clone(),
        each: pool::each(names, breaker, calls),
        remedy: remedy(
            "circuitBreaker: { maxConnections, maxPendingRequests, maxParallelRequests } of \
             workers × max_in_flight or more, for example 16384, or make max_in_flight smaller",
        ),
    };
    Pool { kept, shared, limits: vec![limits], unseen: None }
}

/// Whether calls may share a connection: with TLS Envoy Gateway leaves the choice of the protocol to
/// the provider (older releases did not); without TLS a Backend says that it speaks HTTP/2.
fn may_share(rule: &Node<'_>, namespace: &str, tls: &Tls, manifests: &Manifests<'_>) -> bool {
    let h2c = |reference: Node<'_>| {
        let namespace = reference.text("namespace").unwrap_or(namespace);
        let backend = named(&manifests.backends, namespace, reference.text("name")?)?;
        let protocols = backend.get("spec")?.list("appProtocols");
        Some(protocols.iter().any(|protocol| *protocol.value == "gateway.envoyproxy.io/h2c"))
    };
    matches!(tls, Tls::On { .. })
        || rule.list("backendRefs").into_iter().any(|reference| h2c(reference) == Some(true))
}

/// A policy's validation, or a Backend's own TLS, which has the same fields.
fn of_validation(fields: &Node<'_>) -> Tls {
    let named = ["hostname", "subjectAltNames", "sni"].iter().any(|field| fields.says(field));
    Tls::On {
        ca: !fields.is_true("insecureSkipVerify")
            && (fields.says("caCertificateRefs") || fields.says("wellKnownCACertificates")),
        san: if named { San::Compared } else { San::Missing },
    }
}

/// The manifest of that name. One without a namespace may be applied in any namespace.
fn named<'a>(manifests: &[Node<'a>], namespace: &str, name: &str) -> Option<Node<'a>> {
    let of_name = |node: &&Node<'_>| {
        node.get("metadata").is_some_and(|metadata| metadata.text("name") == Some(name))
    };
    let named = || manifests.iter().filter(of_name);
    let exactly = named().find(|node| namespace_of(node) == Some(namespace));
    exactly.or_else(|| named().find(|node| namespace_of(node).is_none())).cloned()
}

fn namespace_of<'a>(manifest: &Node<'a>) -> Option<&'a str> {
    manifest.get("metadata")?.text("namespace")
}
