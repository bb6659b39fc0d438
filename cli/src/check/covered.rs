//! Which routes of Envoy Gateway go through the filter, and whether others lead to the same backends.
//!
//! The most particular policy counts: a rule's, its route's, a listener's, the Gateway's. One with
//! `mergeType` leaves the more general ones on.

use super::attached::{PUBLIC, Target, makes, public, serves};
use super::codes;
use super::finding::{Findings, shown};
use super::scope::namespace;
use super::world::World;
use crate::tree::Node;

/// A rule of a route.
struct Part<'w, 'a> {
    kind: &'static str,
    route: &'w Node<'a>,
    rule: Node<'a>,
    /// Whether the filter is on by one way at least, and whether one is open.
    on: bool,
    open: bool,
}

/// Looks at every route.
pub(super) fn check(targets: &[Target<'_>], world: &World<'_>, findings: &mut Findings) {
    let gateway = &world.gateway;
    let of_http = gateway.routes.iter().map(|route| ("HTTPRoute", route));
    let routes = of_http.chain(gateway.other_routes.iter().map(|route| ("GRPCRoute", route)));
    let mut parts = Vec::new();
    for (kind, route) in routes.filter(|(_, route)| serves(route) && !makes(route, world)) {
        for rule in route.get("spec").map(|spec| spec.list("rules")).unwrap_or_default() {
            let (on, open) = ways(kind, route, &rule, targets);
            parts.push(Part { kind, route, rule, on, open });
        }
    }
    let leads = |part: &&Part<'_, '_>| part.open && !part.rule.list("backendRefs").is_empty();
    let open = |part: &&Part<'_, '_>| leads(part) && public(part.route).is_none();
    for target in targets.iter().filter(|target| target.protects && target.section().is_some()) {
        let own = |part: &&Part<'_, '_>| target.is(part.kind, part.route);
        if let Some(part) = parts.iter().filter(own).find(open) {
            let section = target.section().unwrap_or_default();
            let found = format!("only rule {section}: the rule at {} is open", shown(&part.rule));
            findings.add_with(codes::INSTANCE_NARROWED, &target.node, found, Some(remedy()));
        }
    }
    for part in parts.iter().filter(leads) {
        // Of the same route it is said above.
        let mut others = parts.iter().filter(|other| {
            other.on && (std::ptr::eq(*other, part) || !std::ptr::eq(other.route, part.route))
        });
        let Some(other) = others.find(|other| share(part, other).is_some()) else { continue };
        if let Some(why) = public(part.route) {
            let found = format!("{} {} is public: {why}", part.kind, called(part.route));
            findings.add(codes::ROUTE_PUBLIC, &part.rule, found);
            continue;
        }
        let found = format!(
            "backend {} without the filter, which protects it at {}",
            share(part, other).unwrap_or_default(),
            shown(&other.rule)
        );
        findings.add_with(codes::ROUTE_UNPROTECTED, &part.rule, found, Some(remedy()));
    }
}

fn remedy() -> String {
    format!(
        "target the route, or its Gateway, as well; or, if it is public, give the reason in the \
         route's metadata: annotations: {{ {PUBLIC}: WHY }}"
    )
}

fn called<'a>(route: &Node<'a>) -> &'a str {
    route.get("metadata").and_then(|metadata| metadata.text("name")).unwrap_or_default()
}

/// Whether requests of a rule meet the filter, and whether some do not. What a policy for the route
/// itself replaces is not judged here.
fn ways(kind: &str, route: &Node<'_>, rule: &Node<'_>, targets: &[Target<'_>]) -> (bool, bool) {
    let own = |target: &&Target<'_>| target.is(kind, route);
    let of_rule =
        |target: &&Target<'_>| target.section().is_some() && target.section() == rule.text("name");
    let whole = |target: &&Target<'_>| target.section().is_none();
    let particular = said(targets.iter().filter(own).filter(of_rule))
        .or_else(|| said(targets.iter().filter(own).filter(whole)));
    if let Some(on) = particular {
        return (on, false);
    }
    let parents = route.get("spec").map(|spec| spec.list("parentRefs")).unwrap_or_default();
    let on = |parent: &Node<'_>| {
        let there = parent.text("namespace").or_else(|| namespace(route));
        let mut own = targets.iter().filter(|target| {
            let near = namespace(target.policy);
            let near = near.is_none() || there.is_none() || near == there;
            // Of one listener only it is said elsewhere which others lead to the route.
            let listener = parent.text("sectionName");
            let listens =
                target.section().is_none() || listener.is_none() || target.section() == listener;
            near && listens && target.names("Gateway", parent.text("name").unwrap_or_default())
        });
        own.any(|target| target.protects || public(target.policy).is_some())
    };
    (parents.iter().any(on), !parents.iter().all(on))
}

/// What the policies of one level say; nothing if there are none, or others count as well.
fn said<'t, 'a: 't>(policies: impl Iterator<Item = &'t Target<'a>>) -> Option<bool> {
    let policies: Vec<&Target<'_>> = policies.collect();
    let protects = policies.iter().any(|target| target.protects);
    let merged = policies.iter().all(|target| target.policy.at(&["spec", "mergeType"]).is_some());
    (protects || !merged).then_some(protects)
}

/// The name of a backend to which both lead.
fn share<'a>(one: &Part<'_, 'a>, other: &Part<'_, '_>) -> Option<&'a str> {
    let other_refs = other.rule.list("backendRefs");
    let kind = |node: &Node<'_>| node.text("kind").unwrap_or("Service").to_owned();
    let same = |here: &Node<'_>, there: &Node<'_>| {
        let here_in = here.text("namespace").or_else(|| namespace(one.route));
        let there_in = there.text("namespace").or_else(|| namespace(other.route));
        here.text("name") == there.text("name")
            && kind(here) == kind(there)
            && (here_in.is_none() || there_in.is_none() || here_in == there_in)
    };
    let mut refs = one.rule.list("backendRefs").into_iter();
    refs.find(|here| other_refs.iter().any(|there| same(here, there)))?.text("name")
}
