//! Whether Envoy Gateway's guard is at every listener at which a policy for the Gateway puts the filter,
//! and whether the listeners that its patches name exist.
//!
//! A Gateway that is not in the files is not judged, nor one without any guard.

use super::attached::Target;
use super::codes;
use super::finding::Findings;
use super::guard;
use super::scope::namespace;
use super::world::World;
use crate::tree::Node;

/// Looks at every Gateway.
pub(super) fn check(targets: &[Target<'_>], world: &World<'_>, findings: &mut Findings) {
    for gateway in &world.gateway.gateways {
        let guards = guards(gateway, world);
        let listeners = gateway.get("spec").map(|spec| spec.list("listeners")).unwrap_or_default();
        if guards.is_empty() || listeners.is_empty() {
            continue;
        }
        let names = |patch: &Node<'_>, listener: &Node<'_>| is_named(patch, listener, gateway);
        for patch in &guards {
            if !listeners.iter().any(|listener| names(patch, listener)) {
                let known = listeners.iter().filter_map(|listener| listener.text("name"));
                let found = format!(
                    "the guard is for {}, and the Gateway's listeners are {}",
                    patch.text("name").unwrap_or_default(),
                    known.collect::<Vec<_>>().join(", ")
                );
                let remedy = "name them <namespace>/<Gateway>/<listener>, or tcp-<port> with Envoy \
                              Gateway's runtime flag XDSNameSchemeV2";
                findings.add_with(codes::NO_GUARD, patch, found, Some(remedy.to_owned()));
            }
        }
        for listener in &listeners {
            let own = listener.text("name");
            let on = targets.iter().any(|target| {
                target.protects
                    && target.is("Gateway", gateway)
                    && (target.section().is_none() || target.section() == own)
            });
            let http = matches!(listener.text("protocol"), Some("HTTP" | "HTTPS"));
            // Listeners with one port are one in Envoy, by the name of the first.
            let port = listener.get("port").map(|port| port.value);
            let same = |twin: &&Node<'_>| twin.get("port").map(|port| port.value) == port;
            let mut twins = listeners.iter().filter(same);
            let guarded = twins.any(|twin| guards.iter().any(|patch| names(patch, twin)));
            if on && http && !guarded {
                let own = own.unwrap_or_default();
                let found = format!("no guard is at the listener {own}, but the filter is");
                let remedy = "give the EnvoyPatchPolicy an entry for each listener of the Gateway";
                findings.add_with(codes::NO_GUARD, listener, found, Some(remedy.to_owned()));
            }
        }
    }
}

/// The patches that put a guard into a Gateway's listeners.
fn guards<'a>(gateway: &Node<'a>, world: &World<'a>) -> Vec<Node<'a>> {
    let called = gateway.get("metadata").and_then(|metadata| metadata.text("name"));
    let is_meant = |policy: &&Node<'a>| {
        let spec = policy.get("spec");
        let list = spec.as_ref().map(|spec| spec.list("targetRefs")).unwrap_or_default();
        let one = spec.as_ref().and_then(|spec| spec.get("targetRef"));
        let near = match (namespace(policy), namespace(gateway)) {
            (Some(own), Some(there)) => own == there,
            (None, _) | (_, None) => true,
        };
        near && list.into_iter().chain(one).any(|to| {
            to.text("kind") == Some("Gateway") && called.is_some() && to.text("name") == called
        })
    };
    let policies = world.gateway.patch_policies.iter().filter(is_meant);
    let patches = policies.filter_map(|policy| policy.get("spec"));
    let patches = patches.flat_map(|spec| spec.list("jsonPatches"));
    let is_guard = |patch: &Node<'a>| {
        patch.text("type").is_some_and(|kind| kind.ends_with(".Listener"))
            && patch.at(&["operation", "value"]).is_some_and(|value| guard::is_guard(&value))
    };
    patches.filter(is_guard).collect()
}

/// Whether a patch names a listener, by either of Envoy Gateway's names for it.
fn is_named(patch: &Node<'_>, listener: &Node<'_>, gateway: &Node<'_>) -> bool {
    let name = patch.text("name").unwrap_or_default();
    if let [there, called, own] = name.split('/').collect::<Vec<_>>()[..] {
        let metadata = gateway.get("metadata");
        let is = metadata.as_ref().and_then(|metadata| metadata.text("name"));
        return listener.text("name") == Some(own)
            && is == Some(called)
            && namespace(gateway).is_none_or(|own| own == there);
    }
    // Envoy itself listens at another port where that is below 1024.
    let port = listener.get("port").and_then(|port| port.value.as_u64()).unwrap_or_default();
    name == format!("tcp-{port}") || name == format!("tcp-{}", port.saturating_add(10_000))
}
