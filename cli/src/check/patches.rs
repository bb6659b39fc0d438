//! What EnvoyFilters change around the filter, and what WasmPlugins stand before.
//!
//! A patch is merged into what Istio makes: what it does not say is not missing.

use oidc_token_connector::config::Preflight;

use super::finding::Findings;
use super::instance::Instance;
use super::world::{Platform, World};
use super::{codes, manager, routes};

/// Looks at everything of Istio's that is no instance itself.
pub(crate) fn check(world: &World<'_>, findings: &mut Findings) {
    let instances = world.instances.iter().enumerate();
    let instances: Vec<(usize, &Instance<'_>)> =
        instances.filter(|(_, instance)| instance.platform == Platform::Istio).collect();
    for patch in &world.patches {
        let of_routes = matches!(
            patch.text("applyTo"),
            Some("HTTP_ROUTE" | "VIRTUAL_HOST" | "ROUTE_CONFIGURATION")
        );
        if let Some(value) = patch.at(&["patch", "value"]).filter(|_| of_routes) {
            routes::check_patch(&value, &instances, findings);
        }
    }
    for patched in world.managers.iter().filter(|manager| manager.platform == Platform::Istio) {
        manager::check_patch(patched, &instances, findings);
    }
    for (_, instance) in instances.iter().filter(|(_, instance)| instance.plugin.is_none()) {
        check_preflight(instance, world, findings);
    }
}

/// In whatever phase, Istio puts a WasmPlugin before its CORS filter.
fn check_preflight(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let policy = instance.policy.as_ref();
    if policy.is_none_or(|policy| policy.preflight == Preflight::Pass) {
        return;
    }
    let mut routes = world.virtual_services.iter().flat_map(|service| service.list("http"));
    let remedy = Some("set \"preflight\": \"pass\" in pluginConfig".to_owned());
    if routes.any(|route| route.has("corsPolicy")) {
        let found = "a WasmPlugin stands before Istio's CORS filter, and a VirtualService has a \
                     corsPolicy";
        findings.add_with(codes::CORS_AFTER_FILTER, &instance.place, found, remedy);
    } else {
        let found = "a WasmPlugin stands before Istio's CORS filter, without preflight: pass";
        findings.add_with(codes::PREFLIGHT_REFUSED, &instance.place, found, remedy);
    }
}
