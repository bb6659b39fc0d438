//! Which routes of Envoy Gateway go through the filter, and whether others lead to the same backends.
//!
//! The most particular policy counts: a rule's, its route's, a listener's, the Gateway's. One with
//! `mergeType` leaves the more general ones on. Routes for connections (TCPRoute, TLSRoute, UDPRoute) meet
//! no filter for requests at all.

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
    for route in &gateway.streams {
        let kind = match route.text("kind") {
            Some("TLSRoute") => "TLSRoute",
            Some("UDPRoute") => "UDPRoute",
            _ => "TCPRoute",
        };
        for rule in route.get("spec").map(|spec| spec.list("rules")).unwrap_or_default() {
            parts.push(Part { kind, route, rule, on: false, open: true });
        }
    }
    for (kind, route) in routes.filter(|(_, route)| serves(route) && !makes(route, world)) {
        for rule in route.get("spec").map(|spec| spec.list("rules")).unwrap_or_default() {
            let (on, open) = ways(kind, route, &rule, targets);
            parts.push(Part { kind, route, rule, on, open });
        }
    }
    let leads = |part: &&Part<'_, '_>| part.open && !backends(&part.rule).is_empty();
    let open = |part: &&Part<'_, '_>| leads(part) && why(part, targets).is_none();
    for target in targets.iter().filter(|target| target.protects && target.section().is_some()) {
        let own = |part: &&Part<'_, '_>| target.is(part.kind, part.route);
        if let Some(part) = parts.iter().filter(own).find(open) {
            let section = target.section().unwrap_or_default();
            let found = format!("only rule {section}: the rule at {} is open", shown(&part.rule));
            findings.add_with(codes::INSTANCE_NARROWED, &target.node, found, Some(remedy()));
        }
    }
    check_rewritten(&parts, targets, findings);
    for part in parts.iter().filter(leads) {
        // Of the same route it is said above.
        let mut others = parts.iter().filter(|other| {
            other.on && (std::ptr::eq(*other, part) || !std::ptr::eq(other.route, part.route))
        });
        let Some(other) = others.find(|other| share(part, other).is_some()) else { continue };
        if let Some(why) = why(part, targets) {
            let found = format!("{} {} is public: {why}", part.kind, called(part.route));
            findings.add(codes::ROUTE_PUBLIC, &part.rule, found);
            continue;
        }
        let found = format!(
            "backend {} without the filter, which protects it at {}",
            share(part, other).unwrap_or_default(),
            shown(&other.rule)
        );
        let remedy = match part.kind {
            "HTTPRoute" | "GRPCRoute" => remedy(),
            _ => format!(
                "lead it to another backend, since no filter sees its requests; or, if it is \
                 public, give the reason in the route's metadata: annotations: {{ {PUBLIC}: WHY }}"
            ),
        };
        findings.add_with(codes::ROUTE_UNPROTECTED, &part.rule, found, Some(remedy));
    }
}

/// Why a rule is public, by its route or by a policy of its own without the filter.
fn why<'a>(part: &Part<'_, 'a>, targets: &[Target<'a>]) -> Option<&'a str> {
    let own = |target: &&Target<'_>| {
        let section = target.section();
        target.is(part.kind, part.route) && (section.is_none() || section == part.rule.text("name"))
    };
    let mut policies = targets.iter().filter(own).filter(|target| !target.protects);
    public(part.route).or_else(|| policies.find_map(|target| public(target.policy)))
}

/// A public rule that writes another path: the backend then gets one for which the filter wants a token.
fn check_rewritten(parts: &[Part<'_, '_>], targets: &[Target<'_>], findings: &mut Findings) {
    let is_public = |part: &&Part<'_, '_>| {
        let mut own = targets.iter().filter(|target| target.is(part.kind, part.route));
        let by_policy = !part.on && own.any(|target| public(target.policy).is_some());
        public(part.route).is_some() && (part.open || !part.on) || by_policy
    };
    let open: Vec<&Part<'_, '_>> = parts.iter().filter(is_public).collect();
    for part in &open {
        for filter in part.rule.list("filters") {
            let Some(path) = filter.at(&["urlRewrite", "path"]) else { continue };
            let Some((new, below)) =
                (match (path.text("replacePrefixMatch"), path.text("replaceFullPath")) {
                    (Some(new), _) => Some((new, true)),
                    (None, Some(new)) => Some((new, false)),
                    (None, None) => None,
                })
            else {
                continue;
            };
            let known = open.iter().filter(|other| share(part, other).is_some());
            let known: Vec<String> = known
                .flat_map(|other| paths(&other.rule))
                .filter(|(_, path)| is_below(new, path))
                .map(|(_, path)| path)
                .collect();
            let leads = |(kind, path): (String, String)| match kind.as_str() {
                "RegularExpression" => true,
                "Exact" => path == new || below && is_below(&path, new),
                // The longest prefix counts.
                _ => {
                    below && path != new && is_below(&path, new)
                        || is_below(new, &path) && !known.iter().any(|own| own.len() > path.len())
                }
            };
            let mut protected =
                parts.iter().filter(|other| other.on && share(part, other).is_some());
            if let Some(other) = protected.find(|other| paths(&other.rule).into_iter().any(leads)) {
                let found = format!(
                    "a public rule writes the path {new}, for which the filter wants a token at {}",
                    shown(&other.rule)
                );
                let remedy = "remove the rewrite, or lead it to a backend of its own".to_owned();
                findings.add_with(codes::ROUTE_UNPROTECTED, &path, found, Some(remedy));
            }
        }
    }
}

/// The kinds of paths that a rule takes, and the paths.
fn paths(rule: &Node<'_>) -> Vec<(String, String)> {
    let matches = rule.list("matches").into_iter();
    let paths = matches.map(|matched| {
        let path = matched.get("path");
        let text = |field: &str| path.as_ref().and_then(|path| path.text(field)).map(str::to_owned);
        let kind = text("type").unwrap_or_else(|| "PathPrefix".to_owned());
        (kind, text("value").unwrap_or_else(|| "/".to_owned()))
    });
    let paths: Vec<(String, String)> = paths.collect();
    match paths.is_empty() {
        true => vec![("PathPrefix".to_owned(), "/".to_owned())],
        false => paths,
    }
}

/// Whether a path is another one, or below it.
fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Everything to which a rule leads, also with a copy of the request.
fn backends<'a>(rule: &Node<'a>) -> Vec<Node<'a>> {
    let filters = rule.list("filters").into_iter();
    let copies = filters.filter_map(|filter| filter.at(&["requestMirror", "backendRef"]));
    rule.list("backendRefs").into_iter().chain(copies).collect()
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

/// Whether requests of a rule meet the filter, and whether some do not. A policy for the route itself that
/// replaces one with the filter is not judged here.
fn ways(kind: &str, route: &Node<'_>, rule: &Node<'_>, targets: &[Target<'_>]) -> (bool, bool) {
    let own = |target: &&Target<'_>| target.is(kind, route);
    let of_rule =
        |target: &&Target<'_>| target.section().is_some() && target.section() == rule.text("name");
    let whole = |target: &&Target<'_>| target.section().is_none();
    let particular = said(targets.iter().filter(own).filter(of_rule))
        .or_else(|| said(targets.iter().filter(own).filter(whole)));
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
    let by_parent = parents.iter().any(on);
    let Some(particular) = particular else { return (by_parent, !parents.iter().all(on)) };
    // A policy that takes the place of one with the filter is named by itself.
    let replaces = by_parent || targets.iter().filter(own).filter(whole).any(|t| t.protects);
    (particular, !particular && !replaces && !parents.is_empty())
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
    let other_refs = backends(&other.rule);
    let kind = |node: &Node<'_>| node.text("kind").unwrap_or("Service").to_owned();
    let same = |here: &Node<'_>, there: &Node<'_>| {
        let here_in = here.text("namespace").or_else(|| namespace(one.route));
        let there_in = there.text("namespace").or_else(|| namespace(other.route));
        here.text("name") == there.text("name")
            && kind(here) == kind(there)
            && (here_in.is_none() || there_in.is_none() || here_in == there_in)
    };
    let mut refs = backends(&one.rule).into_iter();
    refs.find(|here| other_refs.iter().any(|there| same(here, there)))?.text("name")
}
