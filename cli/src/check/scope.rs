//! Which of Istio's manifests apply to the same proxies.

use super::instance::Instance;
use super::world::World;
use crate::tree::Node;

/// Istio's root namespace: its resources apply to every namespace.
pub(crate) const ROOT: &str = "istio-system";

/// The patches of that kind for a proxy that has the instance.
pub(crate) fn around<'a>(world: &World<'a>, instance: &Instance<'_>, kind: &str) -> Vec<Node<'a>> {
    let patches = world.patches.iter().filter(|patch| patch.text("applyTo") == Some(kind));
    let near = patches.filter(|patch| meets(patch, instance, world));
    near.filter_map(|patch| patch.at(&["patch", "value"])).collect()
}

/// Whether a patch can change a proxy in which the instance is, by what their manifests say of where
/// they apply.
pub(crate) fn meets(patch: &Node<'_>, instance: &Instance<'_>, world: &World<'_>) -> bool {
    let manifests = (world.manifest(patch), world.manifest(&instance.node));
    let (Some(patch), Some(own)) = manifests else { return true };
    share_proxies(patch, own)
}

/// The namespace of a manifest; one without may be applied in any.
pub(crate) fn namespace<'a>(manifest: &Node<'a>) -> Option<&'a str> {
    manifest.get("metadata")?.text("namespace")
}

/// Whether the proxies of a namespace see what a manifest of another one exports.
pub(crate) fn is_exported(manifest: &Node<'_>, to: Option<&str>) -> bool {
    let list = manifest.get("spec").map(|spec| spec.list("exportTo")).unwrap_or_default();
    let (own, mut names) = (namespace(manifest), list.iter().filter_map(|n| n.value.as_str()));
    list.is_empty()
        || names.any(|name| match name {
            "*" => true,
            "." => own.is_none() || to.is_none() || own == to,
            name => to.is_none_or(|to| to == name),
        })
}

/// The labels of the workloads for which a manifest is; none for all.
pub(crate) fn selector<'a>(manifest: &Node<'a>) -> Vec<(&'a str, Node<'a>)> {
    let of_filter = manifest.at(&["spec", "workloadSelector", "labels"]);
    let labels = of_filter.or_else(|| manifest.at(&["spec", "selector", "matchLabels"]));
    labels.map(|labels| labels.members()).unwrap_or_default()
}

/// Whether a manifest is for gateways only.
pub(crate) fn is_for_gateways(manifest: &Node<'_>) -> bool {
    let spec = manifest.get("spec");
    let targets = spec.map(|spec| spec.list("targetRefs")).unwrap_or_default();
    targets.iter().any(|target| target.text("kind") == Some("Gateway"))
        || selector(manifest).iter().any(|(name, value)| {
            name.contains("gateway") || value.value.as_str().is_some_and(|v| v.contains("gateway"))
        })
}

/// Whether a manifest is for Istio's gateways (true), or for workloads (false), where that is certain:
/// a workload may have `gateway` in its own name.
pub(crate) fn surely_for_gateways(manifest: &Node<'_>) -> Option<bool> {
    let labels = selector(manifest);
    let is = |(name, value): &(&str, Node<'_>)| {
        let value = value.value.as_str().unwrap_or_default();
        *name == "istio" && value.contains("gateway")
            || value.contains("ingressgateway")
            || name.ends_with("/gateway-name")
    };
    let targets = manifest.get("spec").map(|spec| spec.list("targetRefs")).unwrap_or_default();
    if targets.iter().any(|target| target.text("kind") == Some("Gateway")) || labels.iter().any(is)
    {
        return Some(true);
    }
    (!labels.is_empty() && !is_for_gateways(manifest)).then_some(false)
}

/// Whether a manifest can be for proxies in which an instance is, by namespace and labels.
pub(crate) fn share_proxies(manifest: &Node<'_>, own: &Node<'_>) -> bool {
    let labels = selector(own);
    let near = match (namespace(manifest), namespace(own)) {
        (None | Some(ROOT), _) | (_, None) => true,
        // Without a selector it is in the proxies of every namespace.
        (_, Some(ROOT)) if labels.is_empty() => true,
        (there, here) => there == here,
    };
    let differs = |(name, value): &(&str, Node<'_>)| {
        labels.iter().any(|(label, own)| label == name && own.value != value.value)
    };
    near && !selector(manifest).iter().any(differs)
}

/// Whether a patch is for the kind of proxies in which an instance is, and for the same direction.
pub(crate) fn same_context(patch: &Node<'_>, instance: &Instance<'_>, world: &World<'_>) -> bool {
    let context = |patch: &Node<'_>| {
        let context = patch.at(&["match", "context"])?;
        context.value.as_str().filter(|context| *context != "ANY").map(str::to_owned)
    };
    let Some(there) = context(patch) else { return true };
    let own = world.patches.iter().find(|patch| instance.node.is_inside(patch));
    if let Some(here) = own.and_then(context) {
        return here == there;
    }
    let for_gateways = world.manifest(&instance.node).and_then(surely_for_gateways);
    for_gateways.is_none_or(|for_gateways| for_gateways == (there == "GATEWAY"))
}
