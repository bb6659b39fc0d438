//! Looks through documents for everything of interest.

use super::instance::{Instance, Platform};
use super::world::{World, is_manifest};
use super::{envoy, kubernetes};
use crate::tree::{Document, Node};

/// A filter's configuration as a resource of its own.
const EXTENSION: &str = "envoy.config.core.v3.TypedExtensionConfig";

/// Everything of interest in the documents.
pub(crate) fn world_of<'a>(documents: &'a [Document]) -> World<'a> {
    let mut world = World::default();
    for document in documents {
        read(&mut world, document);
    }
    follow_discovery(&mut world);
    world
}

fn read<'a>(world: &mut World<'a>, document: &'a Document) {
    let root = Node::root(document);
    if is_manifest(&root) {
        kubernetes::read(world, &root);
        return;
    }
    let before = found(world);
    envoy::walk(world, &root, None, Platform::Envoy);
    const ENVOYS: &[&str] =
        &["static_resources", "dynamic_resources", "admin", "resources", "configs", "@type"];
    let is_envoys = ENVOYS.iter().any(|field| root.has(field)) || envoy::is_listener(&root);
    if found(world) == before && !is_envoys {
        world.instances.push(Instance::alone(&root));
    }
}

fn found(world: &World<'_>) -> usize {
    world.managers.len()
        + world.instances.len()
        + world.plugins.len()
        + world.clusters.len()
        + world.routes.len()
        + world.bootstraps.len()
}

/// A filter whose configuration is a separate resource belongs to the manager that names it, or
/// follows the patch that inserts it.
fn follow_discovery(world: &mut World<'_>) {
    let patched = world.patches.iter().filter_map(|patch| patch.at(&["patch", "value"]));
    for filter in patched.filter(|value| value.has("config_discovery")) {
        let name = filter.text("name");
        let named = world.instances.iter_mut().filter(|instance| {
            instance.platform == Platform::Istio && name == Some(instance.name.as_str())
        });
        for instance in named {
            instance.disabled |= filter.is_true("disabled");
        }
    }
    for (index, manager) in world.managers.iter().enumerate() {
        for filter in manager.filters.iter().filter(|f| f.has("config_discovery")) {
            let name = filter.text("name");
            let named = world.instances.iter_mut().filter(|instance| {
                instance.manager.is_none()
                    && instance.node.any().is_some_and(|(message, _)| message == EXTENSION)
                    && name == Some(instance.name.as_str())
            });
            for instance in named {
                instance.manager = Some(index);
                instance.disabled = filter.is_true("disabled");
            }
        }
    }
}
