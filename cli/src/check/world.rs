//! Everything of interest in the documents, found at any place.
//!
//! A bootstrap, a listener, an xDS response and an EnvoyFilter's patch nest the same messages
//! differently, so the search goes by what an object is, not by where.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::gateway::Manifests;
use super::instance::{self, Instance};
use super::kubernetes;
use crate::input::Document;
use crate::tree::Node;

/// The HTTP connection manager's message.
const MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
/// The message of the filter that forwards TCP connections.
const TCP: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
/// The Wasm filter's message.
const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// The cluster's message.
const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
/// A secret's message.
const SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.Secret";
/// A filter's configuration as a resource of its own.
const EXTENSION: &str = "envoy.config.core.v3.TypedExtensionConfig";

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct World<'a> {
    /// Every HTTP connection manager.
    pub(crate) managers: Vec<Manager<'a>>,
    /// Everything that forwards connections as they are.
    pub(crate) tcp_proxies: Vec<Node<'a>>,
    /// Every listener.
    pub(crate) listeners: Vec<Node<'a>>,
    /// Every instance of the filter.
    pub(crate) instances: Vec<Instance<'a>>,
    /// Every Wasm plugin's configuration, this filter's and others'.
    pub(crate) plugins: Vec<Node<'a>>,
    /// Every Envoy cluster.
    pub(crate) clusters: Vec<Node<'a>>,
    /// The clusters' values, by where they lie, so that none counts twice.
    known: HashSet<*const Value>,
    /// Their indexes by their names.
    by_name: HashMap<&'a str, Vec<usize>>,
    /// Every secret.
    secrets: Vec<Node<'a>>,
    /// Every route configuration.
    pub(crate) routes: Vec<Node<'a>>,
    /// Every bootstrap.
    pub(crate) bootstraps: Vec<Node<'a>>,
    /// Istio's ServiceEntries: their `spec`.
    pub(crate) service_entries: Vec<Node<'a>>,
    /// Istio's DestinationRules: their `spec`.
    pub(crate) destination_rules: Vec<Node<'a>>,
    /// Istio's VirtualServices: their `spec`.
    pub(crate) virtual_services: Vec<Node<'a>>,
    /// The manifests of EnvoyFilters and WasmPlugins: whole, for what says where they apply.
    pub(super) manifests: Vec<Node<'a>>,
    /// What EnvoyFilters change.
    pub(crate) patches: Vec<Node<'a>>,
    /// What Envoy Gateway makes clusters of.
    pub(crate) gateway: Manifests<'a>,
}

/// An HTTP connection manager.
#[derive(Debug)]
pub(crate) struct Manager<'a> {
    /// Its fields.
    pub(crate) node: Node<'a>,
    /// Its HTTP filters.
    pub(crate) filters: Vec<Node<'a>>,
    /// Its surroundings.
    pub(crate) platform: Platform,
}

/// The surroundings of an instance: they decide what can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Envoy's own configuration.
    Envoy,
    /// A manifest for Istio.
    Istio,
    /// A manifest for Envoy Gateway.
    Gateway,
    /// The filter's configuration alone.
    Alone,
}

impl<'a> World<'a> {
    /// Looks through the documents.
    pub(crate) fn of(documents: &'a [Document]) -> World<'a> {
        let mut world = World::default();
        for document in documents {
            world.read(document);
        }
        world.follow_discovery();
        world
    }

    fn read(&mut self, document: &'a Document) {
        let root = Node::root(document);
        if kubernetes::is_manifest(&root) {
            kubernetes::read(self, &root);
            return;
        }
        let before = self.found();
        self.walk(&root, None, Platform::Envoy);
        const ENVOYS: &[&str] =
            &["static_resources", "dynamic_resources", "admin", "resources", "configs", "@type"];
        let is_envoys = ENVOYS.iter().any(|field| root.has(field)) || is_listener(&root);
        if self.found() == before && !is_envoys {
            self.instances.push(Instance::alone(&root));
        }
    }

    fn found(&self) -> usize {
        self.managers.len()
            + self.instances.len()
            + self.plugins.len()
            + self.clusters.len()
            + self.routes.len()
            + self.bootstraps.len()
    }

    /// `manager` is the one whose `http_filters` contain the node.
    pub(super) fn walk(&mut self, node: &Node<'a>, manager: Option<usize>, platform: Platform) {
        if let Some(fields) = manager_fields(node) {
            let filters = fields.list("http_filters");
            let index = self.managers.len();
            let manager = Manager { node: fields.clone(), filters: filters.clone(), platform };
            self.managers.push(manager);
            for filter in &filters {
                self.walk(filter, Some(index), platform);
            }
            for (name, member) in fields.members() {
                if !matches!(name, "http_filters" | "httpFilters") {
                    self.walk(&member, None, platform);
                }
            }
            return;
        }
        if node.has("static_resources") {
            self.bootstraps.push(node.clone());
        }
        if node.has("virtual_hosts") {
            self.routes.push(node.clone());
        }
        if is_listener(node) {
            self.listeners.push(node.clone());
        }
        self.tcp_proxies.extend(node.message(TCP));
        if node.has("vm_config") {
            self.plugins.push(node.clone());
        }
        for cluster in node.list("clusters") {
            if cluster.text("name").is_some() && !cluster.has("weight") {
                self.cluster(cluster);
            }
        }
        self.secrets.extend(node.list("secrets").into_iter().filter(|node| node.has("name")));
        self.secrets.extend(node.message(SECRET));
        if node.any().is_some_and(|(message, _)| message == CLUSTER) || is_cluster(node) {
            self.cluster(node.clone());
        }
        if let Some(wasm) = node.get("typed_config").and_then(|config| config.message(WASM))
            && let Some(instance) = instance::in_envoy(node, &wasm, manager, platform)
        {
            self.instances.push(instance);
        }
        for (name, member) in node.members() {
            // The filter's own configuration is its own reader's affair.
            if name != "configuration" {
                self.walk(&member, manager, platform);
            }
        }
        for item in node.items() {
            self.walk(&item, manager, platform);
        }
    }

    fn cluster(&mut self, node: Node<'a>) {
        if self.known.insert(std::ptr::from_ref(node.value)) {
            if let Some(name) = node.text("name") {
                self.by_name.entry(name).or_default().push(self.clusters.len());
            }
            self.clusters.push(node);
        }
    }

    /// What a secret says of certificates, by the configuration that names it.
    pub(crate) fn validation(&self, named: &Node<'a>) -> Option<Node<'a>> {
        let name = named.text("name")?;
        let mut secrets = self.secrets.iter().filter(|node| self.together(node, named));
        secrets.find(|node| node.text("name") == Some(name))?.get("validation_context")
    }

    /// The clusters of that name.
    pub(crate) fn clusters_named(&self, name: &str) -> impl Iterator<Item = &Node<'a>> {
        let indexes = self.by_name.get(name).into_iter().flatten();
        indexes.filter_map(|index| self.clusters.get(*index))
    }

    /// Filters whose configuration is a resource of its own belong to the manager that names it, or
    /// are as the patch says that puts them there.
    fn follow_discovery(&mut self) {
        let patched = self.patches.iter().filter_map(|patch| patch.at(&["patch", "value"]));
        for filter in patched.filter(|value| value.has("config_discovery")) {
            let name = filter.text("name");
            let named = self.instances.iter_mut().filter(|instance| {
                instance.platform == Platform::Istio && name == Some(instance.name.as_str())
            });
            for instance in named {
                instance.disabled |= filter.is_true("disabled");
            }
        }
        for (index, manager) in self.managers.iter().enumerate() {
            for filter in manager.filters.iter().filter(|f| f.has("config_discovery")) {
                let name = filter.text("name");
                let named = self.instances.iter_mut().filter(|instance| {
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

    /// Whether two nodes can be parts of one Envoy's configuration. Each bootstrap is one by itself;
    /// everything else may be handed to the same Envoy.
    pub(crate) fn together(&self, one: &Node<'_>, other: &Node<'_>) -> bool {
        let same = std::ptr::eq(one.document, other.document);
        same || match (self.bootstrap(one), self.bootstrap(other)) {
            (Some(one), Some(other)) => std::ptr::eq(one.document, other.document),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The bootstrap to whose Envoy the node belongs: that in its document, or the only one there
    /// is. What a manifest says reaches Envoys that their control plane gives a bootstrap.
    pub(crate) fn bootstrap(&self, node: &Node<'_>) -> Option<&Node<'a>> {
        let own = self.bootstraps.iter().find(|known| std::ptr::eq(known.document, node.document));
        own.or_else(|| match &self.bootstraps[..] {
            [only] if !is_in_manifest(node) && !is_in_manifest(only) => Some(only),
            _ => None,
        })
    }

    /// The EnvoyFilter or WasmPlugin that contains the node.
    pub(crate) fn manifest(&self, node: &Node<'_>) -> Option<&Node<'a>> {
        self.manifests.iter().find(|manifest| node.is_inside(manifest))
    }

    /// Whether an instance is in a connection manager: among its filters, or in a list of
    /// filters that an upgrade has for itself.
    pub(crate) fn is_in_a_manager(&self, instance: &Instance<'_>) -> bool {
        instance.manager.is_some()
            || self.managers.iter().any(|manager| instance.node.is_inside(&manager.node))
    }

    /// The instances in a manager's list of filters, with their indexes.
    pub(crate) fn instances_in(&self, manager: usize) -> Vec<(usize, &Instance<'a>)> {
        let instances = self.instances.iter().enumerate();
        instances.filter(|(_, instance)| instance.manager == Some(manager)).collect()
    }
}

fn manager_fields<'a>(node: &Node<'a>) -> Option<Node<'a>> {
    node.message(MANAGER).or_else(|| {
        let bare =
            node.has("http_filters") && (node.has("stat_prefix") || node.has("route_config"));
        (bare && node.member("@type").is_none()).then(|| node.clone())
    })
}

fn is_in_manifest(node: &Node<'_>) -> bool {
    kubernetes::is_manifest(&Node::root(node.document))
}

fn is_listener(node: &Node<'_>) -> bool {
    node.has("filter_chains") || node.has("default_filter_chain")
}

/// Whether an object that says not what it is looks like a cluster.
fn is_cluster(node: &Node<'_>) -> bool {
    const FIELDS: &[&str] =
        &["load_assignment", "connect_timeout", "lb_policy", "cluster_type", "eds_cluster_config"];
    node.text("name").is_some()
        && node.member("@type").is_none()
        && FIELDS.iter().any(|field| node.has(field))
}
