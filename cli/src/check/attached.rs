//! Whether Envoy Gateway's EnvoyExtensionPolicies put the filter where requests come through: what
//! they target, and which other policy takes their place.
//!
//! A target that is not in the files is not judged, unless others of its kind are.

use super::codes;
use super::finding::{Findings, shown};
use super::instance::Platform;
use super::scope::namespace;
use super::world::World;
use crate::tree::Node;

/// In which annotation the reason is why a route, or a policy, is without the filter.
pub(super) const PUBLIC: &str = "oidc-token-connector/public";

/// What a policy is for.
pub(super) struct Target<'a> {
    pub(super) policy: &'a Node<'a>,
    /// What says so.
    pub(super) node: Node<'a>,
    kind: &'a str,
    name: &'a str,
    /// Whether the policy has an instance of the filter.
    pub(super) protects: bool,
}

impl<'a> Target<'a> {
    pub(super) fn section(&self) -> Option<&'a str> {
        self.node.text("sectionName")
    }

    /// Whether it is exactly that object.
    pub(super) fn is(&self, kind: &str, object: &Node<'_>) -> bool {
        self.kind == kind && self.is_called(object) && is_near(self.policy, object)
    }

    /// Whether it has that kind and name, wherever that is.
    pub(super) fn names(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.name == name
    }

    fn is_called(&self, object: &Node<'_>) -> bool {
        called(object) == Some(self.name)
    }

    fn shown(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

/// What every policy is for.
pub(super) fn targets<'w>(world: &'w World<'_>) -> Vec<Target<'w>> {
    let mut targets = Vec::new();
    for policy in &world.gateway.extensions {
        let mut instances = world.instances.iter().filter(|i| i.platform == Platform::Gateway);
        let protects = instances.any(|instance| instance.node.is_inside(policy));
        let Some(spec) = policy.get("spec") else { continue };
        let nodes = spec.get("targetRef").into_iter().chain(spec.list("targetRefs"));
        for node in nodes {
            let kind = node.text("kind").unwrap_or_default();
            let name = node.text("name").unwrap_or_default();
            targets.push(Target { policy, node, kind, name, protects });
        }
        for node in spec.list("targetSelectors") {
            let kind = node.text("kind").unwrap_or_default();
            let selected = objects(kind, world).iter();
            let selected = selected.filter(|o| is_near(policy, o) && selects(&node, o));
            let names: Vec<&str> = selected.filter_map(called).collect();
            let node = |name| Target { policy, node: node.clone(), kind, name, protects };
            targets.extend(names.into_iter().map(node));
        }
    }
    targets
}

/// Looks at every policy.
pub(super) fn check(targets: &[Target<'_>], world: &World<'_>, findings: &mut Findings) {
    for target in targets {
        if target.protects {
            check_target(target, world, findings);
            check_section(target, targets, world, findings);
        } else {
            check_replacing(target, targets, world, findings);
        }
    }
}

/// Whether an object has the labels that a selector asks for.
fn selects(selector: &Node<'_>, object: &Node<'_>) -> bool {
    let wanted = selector.get("matchLabels").map(|labels| labels.members()).unwrap_or_default();
    let labels = object.at(&["metadata", "labels"]);
    let has = |(name, value): &(&str, Node<'_>)| {
        let own = labels.as_ref().and_then(|labels| labels.member(name));
        own.is_some_and(|own| own.value == value.value)
    };
    let expressions = selector.list("matchExpressions");
    let holds = |expression: &Node<'_>| {
        let own = labels.as_ref().and_then(|labels| labels.member(expression.text("key")?));
        let values = expression.list("values");
        let among =
            own.as_ref().is_some_and(|own| values.iter().any(|value| value.value == own.value));
        match expression.text("operator") {
            Some("In") => among,
            Some("NotIn") => !among,
            Some("Exists") => own.is_some(),
            Some("DoesNotExist") => own.is_none(),
            _ => false,
        }
    };
    !(wanted.is_empty() && expressions.is_empty())
        && wanted.iter().all(has)
        && expressions.iter().all(holds)
}

fn objects<'w, 'a>(kind: &str, world: &'w World<'a>) -> &'w [Node<'a>] {
    match kind {
        "Gateway" => &world.gateway.gateways,
        "HTTPRoute" => &world.gateway.routes,
        "GRPCRoute" => &world.gateway.other_routes,
        _ => &[],
    }
}

/// Whether a route can have requests. One for names that nobody resolves (`.invalid`, RFC 6761 §6.4) only
/// makes a cluster, as the chart does for a provider's.
pub(super) fn serves(route: &Node<'_>) -> bool {
    let names = route.at(&["spec", "hostnames"]).map(|names| names.items()).unwrap_or_default();
    let is_nobodys = |name: &Node<'_>| name.value.as_str().is_some_and(|n| n.ends_with(".invalid"));
    names.is_empty() || !names.iter().all(is_nobodys)
}

/// Whether what a policy is for exists, as far as the files tell.
fn check_target(target: &Target<'_>, world: &World<'_>, findings: &mut Findings) {
    let objects = objects(target.kind, world);
    let mut says = |found: String, remedy: String| {
        findings.add_with(codes::INSTANCE_NOT_APPLIED, &target.node, found, Some(remedy));
    };
    let Some(object) = objects.iter().find(|object| target.is(target.kind, object)) else {
        let elsewhere = objects.iter().find(|object| target.is_called(object));
        match elsewhere.and_then(|object| namespace(object)) {
            Some(there) => says(
                format!("{} is in namespace {there}, the policy is not", target.shown()),
                format!("put the policy into namespace {there}: it targets only what is beside it"),
            ),
            None if !objects.iter().any(|route| serves(route) && !makes(route, world)) => {}
            None => says(
                format!("no {} in these files", target.shown()),
                "correct the name, or give the file that has it as well".to_owned(),
            ),
        }
        return;
    };
    let Some(section) = target.section() else { return };
    let parts = if target.kind == "Gateway" { "listeners" } else { "rules" };
    let parts = object.get("spec").map(|spec| spec.list(parts)).unwrap_or_default();
    if !parts.iter().any(|part| part.text("name") == Some(section)) {
        says(
            format!("{} has no section {section}", target.shown()),
            "correct sectionName, or remove it: then the policy is for all of them".to_owned(),
        );
    }
}

/// A policy for one listener of a Gateway leaves the others to whatever leads to them.
fn check_section(
    target: &Target<'_>,
    targets: &[Target<'_>],
    world: &World<'_>,
    findings: &mut Findings,
) {
    let (Some(section), "Gateway") = (target.section(), target.kind) else { return };
    let protects = |kind: &str, object: &Node<'_>, section: Option<&str>| {
        let mut all = targets.iter().filter(|other| other.protects && other.is(kind, object));
        all.any(|other| other.section().is_none() || other.section() == section)
    };
    let mut gateways = world.gateway.gateways.iter();
    let Some(gateway) = gateways.find(|gateway| target.is("Gateway", gateway)) else { return };
    let listeners = gateway.get("spec").map(|spec| spec.list("listeners")).unwrap_or_default();
    for listener in listeners.iter().filter_map(|listener| listener.text("name")) {
        if listener == section || protects("Gateway", gateway, Some(listener)) {
            continue;
        }
        let leads = |route: &&Node<'_>| {
            let spec = route.get("spec");
            let lists = |field| spec.as_ref().map(|spec| spec.list(field)).unwrap_or_default();
            lists("rules").iter().any(|rule| !rule.list("backendRefs").is_empty())
                && lists("parentRefs").iter().any(|parent| {
                    is_parent(parent, route, gateway)
                        && parent.text("sectionName").is_none_or(|name| name == listener)
                })
        };
        let mut routes = world.gateway.routes.iter().filter(leads);
        let open = routes.find(|route| {
            public(route).is_none() && !protects("HTTPRoute", route, None) && !makes(route, world)
        });
        if let Some(route) = open {
            let found = format!(
                "only listener {section}: listener {listener} leads to a backend by the HTTPRoute \
                 at {}",
                shown(route)
            );
            findings.add(codes::INSTANCE_NARROWED, &target.node, found);
        }
    }
}

/// A policy without the filter takes the place of one that has it.
fn check_replacing(
    target: &Target<'_>,
    targets: &[Target<'_>],
    world: &World<'_>,
    findings: &mut Findings,
) {
    let merged = target.policy.at(&["spec", "mergeType"]).is_some();
    let object = objects(target.kind, world).iter().find(|o| target.is(target.kind, o));
    // A route that only makes a cluster has no requests.
    if object.is_some_and(|route| makes(route, world)) {
        return;
    }
    let parents = object.and_then(|route| route.get("spec")).map(|spec| spec.list("parentRefs"));
    let around = |other: &&Target<'_>| {
        let near = is_near(target.policy, other.policy);
        // Of two for the same thing Envoy Gateway takes one.
        let same = (other.kind, other.name) == (target.kind, target.name);
        if !other.protects || same {
            let whole = other.section().is_none() || other.section() == target.section();
            // It merges with what is above it, never with another for the very same thing.
            let whole = whole && (!merged || other.section() == target.section());
            return other.protects && near && whole;
        }
        if merged {
            return false;
        }
        match (target.kind, object, &parents) {
            _ if other.kind != "Gateway" => false,
            ("Gateway", ..) => false,
            // The Gateway may be in another namespace than its route.
            (_, Some(route), Some(parents)) => parents.iter().any(|parent| {
                let there = parent.text("namespace").or_else(|| namespace(route));
                let own = namespace(other.policy);
                parent.text("name") == Some(other.name)
                    && (there.is_none() || own.is_none() || there == own)
            }),
            // The route is not in the files.
            _ => near,
        }
    };
    let Some(other) = targets.iter().find(around) else { return };
    if let Some(why) = public(target.policy).or_else(|| object.and_then(public)) {
        let found = format!("{} is public: {why}", target.shown());
        findings.add(codes::ROUTE_PUBLIC, &target.node, found);
        return;
    }
    let found = format!(
        "this policy for {} takes the place of the one with the filter, at {}",
        target.shown(),
        shown(other.policy)
    );
    let remedy = format!(
        "add the connector to its wasm; or, if it is public, give the reason in the metadata: \
         annotations: {{ {PUBLIC}: WHY }}"
    );
    findings.add_with(codes::ROUTE_UNPROTECTED, &target.node, found, Some(remedy));
}

/// Whether a route is there only so that Envoy Gateway makes a cluster for an instance's calls.
pub(super) fn makes(route: &Node<'_>, world: &World<'_>) -> bool {
    let Some(name) = called(route) else { return false };
    let part = format!("/{name}/rule/");
    let mut endpoints = world.instances.iter().flat_map(|instance| instance.endpoints());
    endpoints.any(|endpoint| endpoint.sites.iter().any(|site| site.cluster.contains(&part)))
}

fn is_parent(parent: &Node<'_>, route: &Node<'_>, gateway: &Node<'_>) -> bool {
    let there = parent.text("namespace").or_else(|| namespace(route));
    parent.text("name") == called(gateway)
        && (there.is_none() || namespace(gateway).is_none() || there == namespace(gateway))
}

fn called<'a>(object: &Node<'a>) -> Option<&'a str> {
    object.get("metadata")?.text("name")
}

/// Whether two may be in one namespace.
fn is_near(one: &Node<'_>, other: &Node<'_>) -> bool {
    match (namespace(one), namespace(other)) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    }
}

/// Why an object is marked as public.
pub(super) fn public<'a>(object: &Node<'a>) -> Option<&'a str> {
    let annotations = object.at(&["metadata", "annotations"])?;
    annotations.member(PUBLIC)?.value.as_str().filter(|why| !why.trim().is_empty())
}
