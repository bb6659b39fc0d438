//! The changes of EnvoyFilters around the filter, and the filters that run after a WasmPlugin.
//!
//! A patch is merged into what Istio makes: what it does not say is not missing.

use oidc_token_connector::policy::Preflight;

use super::fed::Fed;
use super::finding::Findings;
use super::instance::{Instance, Platform};
use super::routes::{self, Way};
use super::scope::{is_for_gateways, meets, same_context};
use super::world::World;
use super::{chain, chosen, codes, manager, mesh};
use crate::tree::Node;

/// Looks at everything of Istio's that is no instance itself.
pub(crate) fn check(world: &World<'_>, findings: &mut Findings) {
    let instances = world.instances.iter().enumerate();
    let instances: Vec<(usize, &Instance<'_>)> =
        instances.filter(|(_, instance)| instance.platform == Platform::Istio).collect();
    let meeting = |node: &Node<'_>| -> Vec<(usize, &Instance<'_>)> {
        let instances = instances.iter().copied();
        instances.filter(|(_, instance)| meets(node, instance, world)).collect()
    };
    for patch in &world.patches {
        let of_routes = matches!(
            patch.text("applyTo"),
            Some("HTTP_ROUTE" | "VIRTUAL_HOST" | "ROUTE_CONFIGURATION")
        );
        if let Some(value) = patch.at(&["patch", "value"]).filter(|_| of_routes) {
            let mut instances = meeting(patch);
            routes::check_patch(&value, &instances, findings);
            instances.retain(|(_, instance)| same_context(patch, instance, world));
            check_changes(&value, &instances, findings);
        }
    }
    for patched in world.managers.iter().filter(|manager| manager.platform == Platform::Istio) {
        let mut meeting = meeting(&patched.node);
        if let Some(patch) = world.patches.iter().find(|patch| patched.node.is_inside(patch)) {
            meeting.retain(|(_, instance)| same_context(patch, instance, world));
        }
        manager::check_patch(patched, &meeting, findings);
    }
    let own: Vec<&Instance<'_>> = instances.iter().map(|(_, instance)| *instance).collect();
    mesh::check(&own, world, findings);
    for (_, instance) in instances.iter().filter(|(_, instance)| instance.plugin.is_none()) {
        check_preflight(instance, world, findings);
    }
}

/// Checks what a patch changes of routes on which the instances are, at every level that it has.
fn check_changes<'a>(
    patch: &Node<'a>,
    instances: &[(usize, &Instance<'a>)],
    findings: &mut Findings,
) {
    let hosts = patch.list("virtual_hosts");
    let routes: Vec<Node<'a>> =
        hosts.iter().chain([patch]).flat_map(|level| level.list("routes")).collect();
    for level in hosts.iter().chain(&routes).chain([patch]) {
        let on = instances.iter().filter(|(_, instance)| {
            routes::switch(level, &instance.name).unwrap_or(!instance.disabled)
        });
        for (_, instance) in on {
            let parts = routes::weighted(level).into_iter().chain([level.clone()]).collect();
            let way = Way { levels: parts, ..Way::of(level.clone(), Vec::new()) };
            chain::check_added(&way, instance, &Fed::default(), findings);
            let redirects = level.at(&["route", "internal_redirect_policy"]);
            if let Some(at) = redirects.filter(|_| instance.removes_the_token()) {
                let found = format!(
                    "{} follows redirects, and {} removes Authorization",
                    routes::label(level),
                    instance.name
                );
                findings.add(codes::INTERNAL_REDIRECT, &at, found);
            }
            if instance.removes_the_token() {
                chosen::check(level, std::slice::from_ref(level), instance, findings);
            }
        }
    }
}

/// Istio puts a WasmPlugin before its CORS filter in every phase.
fn check_preflight(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let policy = instance.policy.as_ref();
    if policy.is_none_or(|policy| policy.preflight == Preflight::Pass) {
        return;
    }
    let for_gateways = world.manifest(&instance.node).is_some_and(is_for_gateways);
    let services = world.virtual_services.iter();
    let services = services.filter(|service| !(for_gateways && mesh::is_for_the_mesh(service)));
    let mut routes = services.filter_map(|s| s.get("spec")).flat_map(|spec| spec.list("http"));
    let remedy = Some("set \"preflight\": \"pass\" in pluginConfig".to_owned());
    if routes.any(|route| route.has("corsPolicy")) {
        let found = "a WasmPlugin is before Istio's CORS filter, and a VirtualService has a \
                     corsPolicy";
        findings.add_with(codes::CORS_AFTER_FILTER, &instance.place, found, remedy);
    } else {
        let found = "a WasmPlugin is before Istio's CORS filter, without preflight: pass";
        findings.add_with(codes::PREFLIGHT_REFUSED, &instance.place, found, remedy);
    }
}
