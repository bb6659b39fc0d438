//! Which of Istio's manifests apply to the same proxies.

use super::instance::Instance;
use super::world::World;
use crate::tree::Node;

/// Istio's root namespace: its resources apply to every namespace.
const ROOT: &str = "istio-system";

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
    let namespace = |manifest: &Node<'_>| {
        manifest
            .at(&["metadata", "namespace"])
            .and_then(|node| node.value.as_str().map(str::to_owned))
    };
    let (there, here) = (namespace(patch), namespace(own));
    let (wanted, labels) = (selector(patch), selector(own));
    let near = match (there.as_deref(), here.as_deref()) {
        (None | Some(ROOT), _) | (_, None) => true,
        // Without a selector it is in the proxies of every namespace.
        (_, Some(ROOT)) if labels.is_empty() => true,
        (there, here) => there == here,
    };
    let differs = |(name, value): &(&str, Node<'_>)| {
        labels.iter().any(|(label, own)| label == name && own.value != value.value)
    };
    near && !wanted.iter().any(differs)
}

/// The labels of the workloads for which a manifest is; none for all.
pub(crate) fn selector<'a>(manifest: &Node<'a>) -> Vec<(&'a str, Node<'a>)> {
    let of_filter = manifest.at(&["spec", "workloadSelector", "labels"]);
    let labels = of_filter.or_else(|| manifest.at(&["spec", "selector", "matchLabels"]));
    labels.map(|labels| labels.members()).unwrap_or_default()
}
