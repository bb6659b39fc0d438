//! Looks through documents for everything of interest.

use clap::ValueEnum;

use super::instance::{self, Instance, Platform};
use super::world::{World, is_manifest};
use super::{envoy, kubernetes};
use crate::tree::{Document, Node};

/// A filter's configuration as a resource of its own.
const EXTENSION: &str = "envoy.config.core.v3.TypedExtensionConfig";

/// What a file is, if its content does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The filter's own configuration.
    Filter,
    /// Envoy's configuration, or a part of it.
    Envoy,
}

/// Everything of interest in the documents. `kind` says what those are that do not show it.
pub(crate) fn world_of(documents: &[Document], kind: Option<Kind>) -> World<'_> {
    let mut world = World::default();
    for document in documents {
        read(&mut world, document, kind);
    }
    follow_discovery(&mut world);
    world
}

fn read<'a>(world: &mut World<'a>, document: &'a Document, kind: Option<Kind>) {
    let root = Node::root(document);
    if is_manifest(&root) {
        if !kubernetes::is_known(&root) {
            world.foreign.push(root);
            return;
        }
        kubernetes::read(world, &root);
        return;
    }
    let before = found(world);
    envoy::walk(world, &root, None, Platform::Envoy);
    if found(world) > before || is_envoys(&root) {
        return;
    }
    match kind {
        Some(Kind::Envoy) => {}
        Some(Kind::Filter) => world.instances.push(Instance::alone(&root)),
        None if instance::is_alone(&root) => world.instances.push(Instance::alone(&root)),
        None => world.unknown.push(root),
    }
}

/// Whether it is Envoy's, though nothing in it was found.
fn is_envoys(root: &Node<'_>) -> bool {
    let is_any = |node: &Node<'_>| node.member("@type").is_some();
    let lists = ["resources", "configs"].iter().flat_map(|field| root.list(field));
    ["static_resources", "dynamic_resources"].iter().any(|field| root.has(field))
        || root.get("admin").is_some_and(|admin| {
            admin.value.as_object().is_some_and(serde_json::Map::is_empty)
                || admin.get("address").is_some_and(|address| address.value.is_object())
                || admin.has("access_log")
                || admin.has("access_log_path")
        })
        || envoy::is_listener(root)
        || is_any(root)
        || lists.into_iter().any(|item| is_any(&item))
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
