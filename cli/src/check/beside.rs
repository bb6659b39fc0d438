//! What Envoy Gateway's other manifests do to requests that an instance lets pass, or has yet to see: the
//! rules of HTTPRoutes, ClientTrafficPolicies, SecurityPolicies and EnvoyPatchPolicies.
//!
//! The `jwt` of a SecurityPolicy leaves the token, and is before the filter.

use super::attached::Target;
use super::finding::Findings;
use super::headers::{self, Mutation};
use super::instance::{Instance, Platform};
use super::world::World;
use super::{chain, codes, mesh, undone};
use crate::tree::Node;

/// Looks at everything around the instances of the policies.
pub(super) fn check(targets: &[Target<'_>], world: &World<'_>, findings: &mut Findings) {
    for instance in world.instances.iter().filter(|i| i.platform == Platform::Gateway) {
        let own = targets.iter().filter(|target| instance.node.is_inside(target.policy));
        let own: Vec<&Target<'_>> = own.collect();
        let routes = world.gateway.routes.iter().map(|route| ("HTTPRoute", route));
        let grpc = world.gateway.other_routes.iter().map(|route| ("GRPCRoute", route));
        let on = |(kind, route): &(&str, &Node<'_>)| {
            own.iter().any(|target| target.is(kind, route))
                || parents(route).iter().any(|name| own.iter().any(|t| t.names("Gateway", name)))
        };
        let routes: Vec<(&str, &Node<'_>)> = routes.chain(grpc).filter(on).collect();
        for (_, route) in &routes {
            check_route(route, instance, findings);
        }
        // Whether what a manifest is for has the instance, or routes that have it.
        let meets = |manifest: &Node<'_>| {
            let spec = manifest.get("spec");
            let list = spec.as_ref().map(|spec| spec.list("targetRefs")).unwrap_or_default();
            let one = spec.as_ref().and_then(|spec| spec.get("targetRef"));
            list.into_iter().chain(one).any(|reference| {
                let kind = reference.text("kind").unwrap_or_default();
                let name = reference.text("name").unwrap_or_default();
                match kind {
                    "GatewayClass" => true,
                    "Gateway" => {
                        own.iter().any(|target| target.names(kind, name))
                            || routes.iter().any(|(_, route)| parents(route).contains(&name))
                    }
                    _ => routes.iter().any(|(own, route)| {
                        let called = route.at(&["metadata", "name"]);
                        *own == kind && called.is_some_and(|called| *called.value == name)
                    }),
                }
            })
        };
        for policy in world.gateway.client_policies.iter().filter(|policy| meets(policy)) {
            check_early(policy, instance, findings);
        }
        for policy in world.gateway.security_policies.iter().filter(|policy| meets(policy)) {
            if let Some(basic) = policy.at(&["spec", "basicAuth"]) {
                let found = "wants a password in Authorization, where the filter wants a token";
                findings.add(codes::TOKEN_LOST_BEFORE, &basic, format!("basicAuth {found}"));
            }
            check_logins(policy, findings);
        }
        for policy in world.gateway.patch_policies.iter().filter(|policy| meets(policy)) {
            check_patches(policy, instance, findings);
            undone::check_policy(policy, instance, world, findings);
        }
    }
}

/// Other ways to log in that take `Authorization`.
fn check_logins(policy: &Node<'_>, findings: &mut Findings) {
    if let Some(oidc) = policy.at(&["spec", "oidc"])
        && !oidc.is_true("forwardAccessToken")
        && !oidc.is_true("passThroughAuthHeader")
    {
        let found = "oidc takes Authorization from every request";
        let remedy = "set forwardAccessToken: true for browsers that log in there, or \
                      passThroughAuthHeader: true for clients with tokens of their own";
        findings.add_with(codes::TOKEN_LOST_BEFORE, &oidc, found, Some(remedy.to_owned()));
    }
    let keys = policy.at(&["spec", "apiKeyAuth"]).map(|keys| keys.list("extractFrom"));
    let headers = keys.into_iter().flatten().flat_map(|from| from.list("headers"));
    let is_authorization = |header: &Node<'_>| {
        header.value.as_str().is_some_and(|name| name.eq_ignore_ascii_case("authorization"))
    };
    for header in headers.filter(is_authorization) {
        let found = "apiKeyAuth wants a key in Authorization, where the filter wants a token";
        findings.add(codes::TOKEN_LOST_BEFORE, &header, found);
    }
}

/// The names of the Gateways of a route.
fn parents<'a>(route: &Node<'a>) -> Vec<&'a str> {
    let parents = route.get("spec").map(|spec| spec.list("parentRefs")).unwrap_or_default();
    parents.iter().filter_map(|parent| parent.text("name")).collect()
}

fn check_route(route: &Node<'_>, instance: &Instance<'_>, findings: &mut Findings) {
    for rule in route.get("spec").map(|spec| spec.list("rules")).unwrap_or_default() {
        for header in rule.list("matches").iter().flat_map(|matched| matched.list("headers")) {
            mesh::check_match(header.text("name").unwrap_or_default(), &header, instance, findings);
        }
        let filters = rule.list("backendRefs").into_iter().chain([rule]);
        for filter in filters.flat_map(|part| part.list("filters")) {
            let Some(changes) = filter.get("requestHeaderModifier") else { continue };
            for change in written(&changes) {
                let list = [mutation(&change)].into_iter().flatten().collect::<Vec<_>>();
                mesh::check_written(&list, &change, instance, findings);
            }
        }
    }
}

/// The headers that a modification sets or adds.
fn written<'a>(changes: &Node<'a>) -> Vec<Node<'a>> {
    ["set", "add"].into_iter().flat_map(|field| changes.list(field)).collect()
}

fn mutation<'a>(change: &Node<'a>) -> Option<Mutation<'a>> {
    Some(Mutation::Write(change.text("name")?, change.text("value")?.into()))
}

/// Changes of headers before any filter and any route.
fn check_early(policy: &Node<'_>, instance: &Instance<'_>, findings: &mut Findings) {
    let Some(early) = policy.at(&["spec", "headers", "earlyRequestHeaders"]) else { return };
    let removed = early.list("remove").into_iter();
    let removed = removed.filter_map(|name| name.value.as_str().map(Mutation::Remove));
    let written = written(&early);
    let changes: Vec<Mutation<'_>> = written.iter().filter_map(mutation).chain(removed).collect();
    if headers::loses_the_token(&changes) {
        let found = format!("earlyRequestHeaders removes Authorization before {}", instance.name);
        findings.add(codes::TOKEN_LOST_BEFORE, &early, found);
    } else if headers::gives_a_token(&changes) {
        let found =
            format!("earlyRequestHeaders writes a fixed Authorization before {}", instance.name);
        findings.add(codes::TOKEN_FOR_ALL, &early, found);
    }
}

/// Filters that a patch puts at the beginning of the list, or right before the router.
fn check_patches(policy: &Node<'_>, instance: &Instance<'_>, findings: &mut Findings) {
    let patches = policy.get("spec").map(|spec| spec.list("jsonPatches")).unwrap_or_default();
    let added = patches.iter().filter_map(|patch| {
        let operation = patch.get("operation")?;
        Some((undone::is_added(&operation)?, operation.get("value")?))
    });
    let added: Vec<(bool, Node<'_>)> = added.collect();
    let all: Vec<Node<'_>> = added.iter().map(|(_, value)| value.clone()).collect();
    for (behind, value) in &added {
        chain::check_beside(value, &all, instance, *behind, findings);
    }
}
