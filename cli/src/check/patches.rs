//! The changes of EnvoyFilters around the filter, and the filters that run after a WasmPlugin.
//!
//! A patch is merged into what Istio makes: what it does not say is not missing.

use oidc_token_connector::policy::Preflight;

use super::finding::Findings;
use super::instance::{Instance, Platform};
use super::scope::{is_for_gateways, meets};
use super::world::World;
use super::{codes, manager, routes};
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
            routes::check_patch(&value, &meeting(patch), findings);
        }
    }
    for patched in world.managers.iter().filter(|manager| manager.platform == Platform::Istio) {
        manager::check_patch(patched, &meeting(&patched.node), findings);
    }
    for (_, instance) in instances.iter().filter(|(_, instance)| instance.plugin.is_none()) {
        check_preflight(instance, world, findings);
    }
}

/// Whether a VirtualService is for the mesh's own calls only, and not for gateways.
fn is_for_the_mesh(service: &Node<'_>) -> bool {
    service.list("gateways").iter().all(|gateway| *gateway.value == "mesh")
}

/// Istio puts a WasmPlugin before its CORS filter in every phase.
fn check_preflight(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let policy = instance.policy.as_ref();
    if policy.is_none_or(|policy| policy.preflight == Preflight::Pass) {
        return;
    }
    let for_gateways = world.manifest(&instance.node).is_some_and(is_for_gateways);
    let services = world.virtual_services.iter();
    let services = services.filter(|service| !(for_gateways && is_for_the_mesh(service)));
    let mut routes = services.flat_map(|service| service.list("http"));
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
