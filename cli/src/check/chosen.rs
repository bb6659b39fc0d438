//! By what Envoy chooses a route: it does so again once the token is removed, so nothing may depend on it.

use super::codes;
use super::finding::Findings;
use super::instance::Instance;
use crate::tree::Node;

/// The routes of a virtual host, also those that a matcher selects.
pub(super) fn routes<'a>(host: &Node<'a>) -> Vec<Node<'a>> {
    const ROUTE: &str = "envoy.config.route.v3.Route";
    const LIST: &str = "envoy.config.route.v3.RouteList";
    let mut routes = host.list("routes");
    for node in host.get("matcher").iter().flat_map(below) {
        match node.any() {
            Some((ROUTE, fields)) => routes.push(fields),
            Some((LIST, fields)) => routes.extend(fields.list("routes")),
            Some(_) | None => {}
        }
    }
    routes
}

/// Looks for routes of a virtual host that depend on the token that an instance removes.
pub(super) fn check(
    host: &Node<'_>,
    routes: &[Node<'_>],
    instance: &Instance<'_>,
    findings: &mut Findings,
) {
    let name = &instance.name;
    for route in routes {
        let headers = route.get("match").map(|matched| matched.list("headers")).unwrap_or_default();
        for header in headers.iter().filter(|header| is_the_tokens(header, "name")) {
            let found = format!("{} matches on Authorization, which {name} removes", label(route));
            findings.add(codes::ROUTE_BY_AUTHORIZATION, header, found);
        }
        let action = route.get("route");
        if let Some(action) = action.filter(|action| is_the_tokens(action, "cluster_header")) {
            let found = format!(
                "{} takes the cluster's name from Authorization, which {name} removes",
                label(route)
            );
            findings.add(codes::ROUTE_BY_AUTHORIZATION, &action, found);
        }
    }
    let inputs = host.get("matcher").iter().flat_map(below).collect::<Vec<_>>();
    for input in inputs.iter().filter(|node| is_the_tokens(node, "header_name")) {
        let found = format!("a matcher reads Authorization, which {name} removes");
        findings.add(codes::ROUTE_BY_AUTHORIZATION, input, found);
    }
}

/// Looks for a connection manager that chooses among its route configurations by the token.
pub(super) fn check_scopes(manager: &Node<'_>, instance: &Instance<'_>, findings: &mut Findings) {
    let builder = manager.at(&["scoped_routes", "scope_key_builder"]);
    for fragment in builder.iter().flat_map(|builder| builder.list("fragments")) {
        let header = fragment.get("header_value_extractor");
        if let Some(header) = header.filter(|header| is_the_tokens(header, "name")) {
            let found =
                format!("the scope is read from Authorization, which {} removes", instance.name);
            findings.add(codes::ROUTE_BY_AUTHORIZATION, &header, found);
        }
    }
}

fn is_the_tokens(node: &Node<'_>, field: &str) -> bool {
    node.text(field).is_some_and(|name| name.eq_ignore_ascii_case("authorization"))
}

/// A node and all below it.
fn below<'a>(node: &Node<'a>) -> Vec<Node<'a>> {
    let mut all = Vec::new();
    let mut left = vec![node.clone()];
    while let Some(node) = left.pop() {
        left.extend(node.members().into_iter().map(|(_, member)| member));
        left.extend(node.items());
        all.push(node);
    }
    all
}

/// A route as a message calls it.
pub(crate) fn label(route: &Node<'_>) -> String {
    match route.text("name") {
        Some(name) => format!("route {name}"),
        None => "this route".to_owned(),
    }
}
