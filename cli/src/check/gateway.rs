//! What Envoy Gateway makes of HTTPRoutes, Backends and BackendTLSPolicies: clusters with names
//! such as `httproute/default/userinfo/rule/0`.

use oidc_token_connector::config::Site;

use super::cluster::{Carrier, Resolved};
use super::idle::{self, Kept};
use super::tls::{San, Tls};
use super::world::World;
use crate::tree::Node;

/// The manifests of which clusters are made: whole, for their names are in their metadata.
#[derive(Debug, Default)]
pub(crate) struct Manifests<'a> {
    pub(crate) routes: Vec<Node<'a>>,
    pub(crate) backends: Vec<Node<'a>>,
    pub(crate) tls_policies: Vec<Node<'a>>,
    pub(crate) traffic_policies: Vec<Node<'a>>,
    /// What EnvoyPatchPolicies change of what is made: no manifests.
    pub(crate) patches: Vec<Node<'a>>,
}

/// What a cluster's name leads to.
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
            Resolved::Found(Carrier { kept: kept(&route, manifests), ..carrier })
        }
        Some(None) => Resolved::NotSeen,
        None => missing(),
    }
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
    Some(Carrier { node, proxy: false, proxy_addresses: Vec::new(), tls, remedy, kept: None })
}

/// What the policy of a route, or else of its Gateway, says of idle connections.
fn kept<'a>(route: &Node<'a>, manifests: &Manifests<'a>) -> Option<Kept<'a>> {
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
        return None;
    }
    let own = policies().filter(near).find(|policy| targets(policy, "HTTPRoute", name));
    let policy = own.or_else(|| policies().find(|policy| targets(policy, "Gateway", None)));
    let remedy = format!(
        "add a BackendTrafficPolicy with targetRefs: [{{ group: gateway.networking.k8s.io, kind: \
         HTTPRoute, name: {} }}] and timeout.http.connectionIdleTimeout below the provider's \
         keep-alive: 4s where that is not known",
        name.unwrap_or_default()
    );
    let at = policy.unwrap_or(route);
    let kept = idle::kept(at, &["spec", "timeout", "http"], "connectionIdleTimeout", at)?;
    Some(Kept { remedy: Some(remedy), ..kept })
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

/// The manifest of that name. One that leaves its namespace to whoever applies it may be in any.
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
