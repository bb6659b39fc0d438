//! Whether Envoy closes an idle connection to a provider, and so may do it before the provider does.
//! When the provider does is not in the files: a time that is there is not judged.

use super::duration;
use super::world::World;
use crate::tree::Node;

/// By what name a cluster's options for HTTP are known.
const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// The message of a cluster that stands for others.
const AGGREGATE: &str = "envoy.extensions.clusters.aggregate.v3.ClusterConfig";

/// Idle connections that Envoy keeps.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    /// Where the time should be.
    pub(crate) at: Node<'a>,
    /// How long it keeps them.
    pub(crate) time: &'static str,
    /// What to do about it, where Envoy's own words do not fit.
    pub(crate) remedy: Option<String>,
}

/// What a cluster says of idle connections; `None` if it has a time for them.
pub(crate) fn of_cluster<'a>(cluster: &Node<'a>, world: &World<'a>) -> Option<Kept<'a>> {
    let aggregate = cluster.at(&["cluster_type", "typed_config"]);
    if let Some(config) = aggregate.and_then(|config| config.message(AGGREGATE)) {
        // Its connections are those of the clusters that it names.
        let names = config.list("clusters");
        let mut parts = names
            .iter()
            .filter_map(|name| name.value.as_str())
            .flat_map(|name| world.clusters_named(name))
            .filter(|part| world.together(part, cluster) && !has_aggregate(part));
        return parts.find_map(|part| of_options(part));
    }
    of_options(cluster)
}

fn has_aggregate(cluster: &Node<'_>) -> bool {
    let config = cluster.at(&["cluster_type", "typed_config"]);
    config.is_some_and(|config| config.message(AGGREGATE).is_some())
}

fn of_options<'a>(cluster: &Node<'a>) -> Option<Kept<'a>> {
    let extended = cluster.get("typed_extension_protocol_options");
    // Where these are, what the cluster itself says of HTTP does not count.
    let options = extended.and_then(|extended| extended.member(OPTIONS));
    let options = options.unwrap_or_else(|| cluster.clone());
    kept(&options, &["common_http_protocol_options"], "idle_timeout", cluster)
}

/// What stands below a node about idle connections; `at` is the place to mend.
pub(crate) fn kept<'a>(
    node: &Node<'a>,
    path: &[&str],
    field: &str,
    at: &Node<'a>,
) -> Option<Kept<'a>> {
    let time = match node.at(path).and_then(|node| Some((node.get(field)?, node))) {
        None => "an hour",
        Some((_, node)) if duration::of(&node, field).is_some_and(|time| time.is_zero()) => {
            "ever: 0s is off"
        }
        Some(_) => return None,
    };
    Some(Kept { at: at.clone(), time, remedy: None })
}
