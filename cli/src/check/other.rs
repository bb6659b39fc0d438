//! The filters in a list besides the instances: what kind each is, and how it is configured.

use super::pool;
use super::routes::Way;
use super::world::World;
use crate::tree::Node;

pub(super) const CACHES: &[&str] = &["cache.v3.CacheConfig", "cache_v2.v3.CacheV2Config"];
pub(super) const ROUTER: &[&str] = &["router.v3.Router"];
/// Filters that hold others.
const HOLDERS: &[&str] = &["composite.v3.Composite", "filter_chain.v3.FilterChainConfig"];
/// What all their messages begin with.
const FILTERS: &str = "envoy.extensions.filters.http.";

/// A filter that is on where an instance is.
pub(super) struct Other<'a> {
    /// Its entry.
    pub(super) entry: Node<'a>,
    /// The message of its configuration, without `envoy.extensions.filters.http.`.
    pub(super) kind: &'a str,
    /// The configuration; nothing where it is discovered.
    pub(super) config: Option<Node<'a>>,
    /// What the routes say of it.
    of_routes: Vec<Node<'a>>,
}

impl<'a> Other<'a> {
    /// The filter in an entry, with what the routes say of it.
    fn of(entry: &Node<'a>, of_routes: Vec<Node<'a>>) -> Other<'a> {
        const WITH_MATCHER: &str = "envoy.extensions.common.matching.v3.ExtensionWithMatcher";
        let any = entry.get("typed_config").and_then(|config| config.any());
        // What is inside is on for some requests at least.
        let any = any.and_then(|(message, fields)| match message {
            WITH_MATCHER => fields.at(&["extension_config", "typed_config"])?.any(),
            _ => Some((message, fields)),
        });
        let urls = entry.get("config_discovery").map(|node| node.list("type_urls"));
        let url = urls.iter().flatten().find_map(|url| url.value.as_str()?.rsplit('/').next());
        // Older releases knew a filter by its name.
        let by_name = match entry.text("name") {
            Some("envoy.filters.http.cache") => CACHES.first(),
            Some("envoy.filters.http.cache_v2") => CACHES.get(1),
            Some("envoy.filters.http.router") => ROUTER.first(),
            _ => None,
        };
        let (message, config) = match any {
            Some((message, fields)) => (message, Some(fields)),
            None => (url.or(by_name.copied()).unwrap_or_default(), None),
        };
        let kind = message.strip_prefix(FILTERS).unwrap_or(message);
        Other { entry: entry.clone(), kind, config, of_routes }
    }

    pub(super) fn name(&self) -> &'a str {
        self.entry.text("name").unwrap_or_default()
    }

    /// Its own configuration and those of the routes.
    pub(super) fn configs(&self) -> Vec<Node<'a>> {
        let of_routes = self.of_routes.iter().filter_map(|said| said.any()).map(|(_, fields)| {
            // Inside a FilterConfig, or as it is.
            fields.get("config").and_then(|config| config.any()).map_or(fields, |(_, inner)| inner)
        });
        self.config.clone().into_iter().chain(of_routes).collect()
    }
}

/// Whether an entry is the router.
pub(super) fn is_router(entry: &Node<'_>) -> bool {
    ROUTER.contains(&Other::of(entry, Vec::new()).kind)
}

/// The filters of an entry, whether they are on or not. Of a filter that holds others these count: each
/// is on for some requests.
pub(super) fn all<'a>(entry: &Node<'a>, of_routes: &[Node<'a>]) -> Vec<Other<'a>> {
    let own = Other::of(entry, of_routes.to_vec());
    if !HOLDERS.contains(&own.kind) {
        return vec![own];
    }
    let mut held = Vec::new();
    for place in entry.get("typed_config").iter().chain(of_routes) {
        collect(place, &mut held);
    }
    if held.is_empty() { vec![own] } else { held }
}

fn collect<'a>(node: &Node<'a>, held: &mut Vec<Other<'a>>) {
    let message = node.get("typed_config").and_then(|config| Some(config.any()?.0));
    let kind = message.and_then(|message| message.strip_prefix(FILTERS));
    // The rest of that one are its conditions.
    if kind.is_some_and(|kind| !kind.starts_with("composite.") && !HOLDERS.contains(&kind)) {
        held.push(Other::of(node, Vec::new()));
        return;
    }
    for inner in node.members().into_iter().map(|(_, member)| member).chain(node.items()) {
        collect(&inner, held);
    }
}

/// The filters of an entry, if it is on for a way.
pub(super) fn met<'a>(entry: &Node<'a>, way: &Way<'a>) -> Vec<Other<'a>> {
    if way.met(entry).is_none() {
        return Vec::new();
    }
    let name = entry.text("name").unwrap_or_default();
    let levels = way.levels.iter();
    let said = levels.filter_map(|level| level.get("typed_per_filter_config")?.member(name));
    all(entry, &said.collect::<Vec<_>>())
}

/// The filters of calls to a way's backend: those of its clusters, or else of the router.
pub(super) fn upstream<'a>(
    met: &[Vec<Other<'a>>],
    way: &Way<'a>,
    world: &World<'a>,
) -> Vec<Other<'a>> {
    let cluster = way.cluster.and_then(|name| world.cluster_beside(name, &way.node));
    let clusters = cluster.map(|cluster| match pool::aggregated(cluster, world) {
        Some(aggregated) => aggregated.members,
        None => vec![cluster.clone()],
    });
    let options = clusters.unwrap_or_default().into_iter().filter_map(|c| pool::options(&c));
    let own: Vec<Node<'a>> = options.flat_map(|options| options.list("http_filters")).collect();
    let entries = if own.is_empty() {
        let mut routers = met.iter().flatten().filter(|other| ROUTER.contains(&other.kind));
        let config = routers.find_map(|router| router.config.as_ref());
        config.map(|config| config.list("upstream_http_filters")).unwrap_or_default()
    } else {
        own
    };
    entries.iter().flat_map(|entry| all(entry, &[])).collect()
}
