//! Everything of interest that is in the documents, and what belongs together. `search.rs` finds it.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::instance::{Instance, Platform};
use crate::tree::Node;

/// The findings.
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
    /// The module where it is no HTTP filter, and what it is there.
    pub(crate) misplaced: Vec<(Node<'a>, &'static str)>,
    /// Every Wasm plugin's configuration, this filter's and others'.
    pub(crate) plugins: Vec<Node<'a>>,
    /// Every Envoy cluster.
    pub(crate) clusters: Vec<Node<'a>>,
    /// The clusters' values, by where they lie, so that none counts twice.
    known: HashSet<*const Value>,
    /// Their indexes by their names.
    by_name: HashMap<&'a str, Vec<usize>>,
    /// Every secret.
    pub(super) secrets: Vec<Node<'a>>,
    /// Every route configuration.
    pub(crate) routes: Vec<Node<'a>>,
    /// Every bootstrap.
    pub(crate) bootstraps: Vec<Node<'a>>,
    /// Istio's ServiceEntries: the manifests.
    pub(crate) service_entries: Vec<Node<'a>>,
    /// Istio's DestinationRules: the manifests.
    pub(crate) destination_rules: Vec<Node<'a>>,
    /// Istio's RequestAuthentications: the manifests.
    pub(crate) authentications: Vec<Node<'a>>,
    /// Istio's VirtualServices: the manifests.
    pub(crate) virtual_services: Vec<Node<'a>>,
    /// Istio's Gateways: the manifests.
    pub(crate) istio_gateways: Vec<Node<'a>>,
    /// The manifests of EnvoyFilters and WasmPlugins: whole, for what says where they apply.
    pub(super) manifests: Vec<Node<'a>>,
    /// The changes of EnvoyFilters.
    pub(crate) patches: Vec<Node<'a>>,
    /// The manifests that were read, by kind, namespace and name: one that is in two files is one.
    pub(super) applied: HashMap<(&'a str, &'a str, &'a str), Vec<&'a Value>>,
    /// Manifests of kinds that are not read: surroundings, if anything else is there.
    pub(crate) foreign: Vec<Node<'a>>,
    /// Documents of no known kind.
    pub(crate) unknown: Vec<Node<'a>>,
    /// The sources of Envoy Gateway's clusters.
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

/// The manifests of which Envoy Gateway makes clusters: whole, for their names are in their metadata.
#[derive(Debug, Default)]
pub(crate) struct Manifests<'a> {
    pub(crate) routes: Vec<Node<'a>>,
    pub(crate) backends: Vec<Node<'a>>,
    pub(crate) tls_policies: Vec<Node<'a>>,
    pub(crate) traffic_policies: Vec<Node<'a>>,
    /// EnvoyExtensionPolicies.
    pub(crate) extensions: Vec<Node<'a>>,
    pub(crate) gateways: Vec<Node<'a>>,
    /// Routes of other kinds than HTTPRoute that an EnvoyExtensionPolicy may be for.
    pub(crate) other_routes: Vec<Node<'a>>,
    /// Routes that forward connections as they are: no filter for requests sees these.
    pub(crate) streams: Vec<Node<'a>>,
    pub(crate) client_policies: Vec<Node<'a>>,
    pub(crate) security_policies: Vec<Node<'a>>,
    pub(crate) patch_policies: Vec<Node<'a>>,
    /// EnvoyProxies.
    pub(crate) proxies: Vec<Node<'a>>,
    /// The changes of EnvoyPatchPolicies to the generated configuration: no manifests.
    pub(crate) patches: Vec<Node<'a>>,
}

impl<'a> World<'a> {
    /// Takes a cluster, once.
    pub(super) fn cluster(&mut self, node: Node<'a>) {
        if self.known.insert(std::ptr::from_ref(node.value)) {
            if let Some(name) = node.text("name") {
                self.by_name.entry(name).or_default().push(self.clusters.len());
            }
            self.clusters.push(node);
        }
    }

    /// The certificate settings of a secret, by the configuration that names it.
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

    /// The cluster of that name beside a node: its own document's before one that is handed over beside
    /// it.
    pub(crate) fn cluster_beside(&self, name: &str, node: &Node<'_>) -> Option<&Node<'a>> {
        let own = |other: &&Node<'_>| std::ptr::eq(other.document, node.document);
        let named = || self.clusters_named(name).filter(|other| self.together(other, node));
        named().filter(own).last().or_else(|| named().next())
    }

    /// Whether all clusters around a node are in the files.
    pub(crate) fn has_all_clusters(&self, node: &Node<'_>) -> bool {
        match self.bootstrap(node) {
            Some(bootstrap) => bootstrap.at(&["dynamic_resources", "cds_config"]).is_none(),
            None => self.clusters.iter().any(|cluster| self.together(cluster, node)),
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

    /// The bootstrap whose Envoy the node belongs to: the one in its document, or the only one.
    /// Manifests apply to Envoys whose control plane gives them a bootstrap.
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

fn is_in_manifest(node: &Node<'_>) -> bool {
    is_manifest(&Node::root(node.document))
}

/// Whether an object is a manifest.
pub(crate) fn is_manifest(node: &Node<'_>) -> bool {
    node.text("apiVersion").is_some() && node.text("kind").is_some()
}
