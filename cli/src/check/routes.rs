//! Which instances a request meets on each route.
//!
//! Of a filter's switches the most particular one counts: a weighted cluster's, the route's, the
//! virtual host's, the route configuration's; without any, the filter's own `disabled`.

use std::time::Duration;

pub(crate) use super::chosen::label;
use super::finding::Findings;
use super::instance::Instance;
use super::world::{Manager, World};
use super::{chosen, codes, duration};
use crate::tree::Node;

/// The message that switches a filter.
const SWITCH: &str = "envoy.config.route.v3.FilterConfig";
/// Under what name a route's metadata speak of this filter.
const METADATA: &str = "oidc-token-connector";

/// A way to a backend.
pub(crate) struct Way<'a> {
    /// The route, or the weighted cluster in it.
    pub(crate) node: Node<'a>,
    /// The instances that are on, by their index.
    pub(crate) on: Vec<usize>,
    /// The route's own idle timeout.
    pub(crate) idle_timeout: Option<Duration>,
    /// The route's own time for a whole request.
    pub(crate) stream_duration: Option<Duration>,
    /// The backend, where the route names one.
    pub(crate) cluster: Option<&'a str>,
    /// The reason why it is public, if the route or virtual host is marked.
    pub(crate) public: Option<&'a str>,
    /// The upgrades of which the route speaks, and whether it allows them.
    pub(crate) upgrades: Vec<(&'a str, bool)>,
    /// The headers that Envoy removes.
    pub(crate) removed: Vec<String>,
    /// Where filters may be switched for it, the most particular first.
    pub(crate) levels: Vec<Node<'a>>,
    /// What chooses the route.
    pub(crate) matched: Option<Node<'a>>,
    /// The virtual host.
    pub(crate) host: Option<Node<'a>>,
    /// The connection manager.
    pub(crate) manager: Option<Node<'a>>,
}

impl<'a> Way<'a> {
    /// Through these instances, of which nothing else is known.
    pub(crate) fn of(node: Node<'a>, on: Vec<usize>) -> Way<'a> {
        Way {
            node,
            on,
            idle_timeout: None,
            stream_duration: None,
            cluster: None,
            public: None,
            upgrades: Vec::new(),
            removed: Vec::new(),
            levels: Vec::new(),
            matched: None,
            host: None,
            manager: None,
        }
    }

    /// What a filter is configured with here, if it is on: the most particular level that speaks of it,
    /// or `None` for its own entry alone.
    pub(crate) fn met(&self, entry: &Node<'a>) -> Option<Option<Node<'a>>> {
        let name = entry.text("name").unwrap_or_default();
        let mut levels = self.levels.iter();
        match levels.find_map(|level| level.get("typed_per_filter_config")?.member(name)) {
            None => (!entry.is_true("disabled")).then_some(None),
            Some(said) => {
                let off = said.any().is_some_and(|(_, fields)| fields.is_true("disabled"));
                (!off).then_some(Some(said))
            }
        }
    }
}

/// Looks at a manager's routes; `None` if they are not all in these files.
pub(crate) fn check<'a>(
    manager: &Manager<'a>,
    instances: &[(usize, &Instance<'a>)],
    world: &World<'a>,
    findings: &mut Findings,
) -> Option<Vec<Way<'a>>> {
    let Some(configs) = configurations(manager, world) else {
        let found = "the routes of this connection manager are not in these files";
        findings.add(codes::ROUTES_NOT_SEEN, &manager.node, found);
        return None;
    };
    let look = Look { manager: Some(manager), instances };
    let mut ways = Vec::new();
    for config in &configs {
        look.check_switches(config, findings);
        if let Some(vhds) = config.get("vhds") {
            let found = "discovered virtual hosts are not in these files";
            findings.add(codes::ROUTES_NOT_SEEN, &vhds, found);
        }
    }
    let hosts = configs.iter().flat_map(|config| {
        config.list("virtual_hosts").into_iter().map(move |host| (config, host))
    });
    for (config, host) in hosts {
        look.check_switches(&host, findings);
        if let Some(matcher) = host.get("matcher") {
            let found = "the conditions under which a matcher selects routes are not checked";
            findings.add(codes::ROUTES_NOT_SEEN, &matcher, found);
        }
        let routes = chosen::routes(&host);
        let before = ways.len();
        for route in &routes {
            look.check_switches(route, findings);
            for cluster in weighted(route) {
                look.check_switches(&cluster, findings);
            }
            for way in look.ways(route, [route, &host, config]) {
                look.check_way(&way, route, findings);
                ways.push(way);
            }
        }
        let removing = ways.iter().skip(before).flat_map(|way| look.on(way));
        if let Some(instance) = removing.into_iter().find(|instance| instance.removes_the_token()) {
            chosen::check(&host, &routes, instance, findings);
            chosen::check_scopes(&manager.node, instance, findings);
        }
    }
    Some(ways)
}

/// The ways to backends through a manager without an instance; `None` if its routes are not in
/// these files.
pub(crate) fn bare<'a>(manager: &Manager<'a>, world: &World<'a>) -> Option<Vec<Way<'a>>> {
    let configs = configurations(manager, world)?;
    let look = Look { manager: Some(manager), instances: &[] };
    let mut ways = Vec::new();
    for config in &configs {
        for host in config.list("virtual_hosts") {
            for route in chosen::routes(&host) {
                ways.extend(look.ways(&route, [&route, &host, config]));
            }
        }
    }
    Some(ways)
}

/// Checks a patch's routes whose filters are `instances`.
pub(crate) fn check_patch<'a>(
    patch: &Node<'a>,
    instances: &[(usize, &Instance<'a>)],
    findings: &mut Findings,
) {
    let look = Look { manager: None, instances };
    look.check_switches(patch, findings);
    let switched = |(_, instance): &&(usize, &Instance<'a>)| switch(patch, &instance.name);
    if !instances.iter().any(|instance| switched(&instance).is_some()) {
        return;
    }
    let is_on = |entry: &&(usize, &Instance<'a>)| switched(entry).unwrap_or(!entry.1.disabled);
    let on = instances.iter().filter(is_on).map(|(index, _)| *index).collect();
    let way = Way { public: public(patch), ..Way::of(patch.clone(), on) };
    look.check_way(&way, patch, findings);
}

/// The parts among which a route divides its requests.
pub(crate) fn weighted<'a>(route: &Node<'a>) -> Vec<Node<'a>> {
    let clusters = route.at(&["route", "weighted_clusters"]);
    clusters.map(|node| node.list("clusters")).unwrap_or_default()
}

/// All of a manager's route configurations; `None` if one is not in these files.
pub(crate) fn configurations<'a>(
    manager: &Manager<'a>,
    world: &World<'a>,
) -> Option<Vec<Node<'a>>> {
    if let Some(inline) = manager.node.get("route_config") {
        return Some(vec![inline]);
    }
    let named = |name: Option<Node<'a>>| {
        let name = name?;
        let mut named = world.routes.iter().filter(|config| {
            world.together(config, &manager.node) && config.text("name") == name.value.as_str()
        });
        named.next().cloned()
    };
    let Some(scoped) = manager.node.get("scoped_routes") else {
        return Some(vec![named(manager.node.at(&["rds", "route_config_name"]))?]);
    };
    let scopes = scoped.get("scoped_route_configurations_list")?;
    let scopes = scopes.list("scoped_route_configurations").into_iter();
    let configs = scopes.map(|scope| {
        scope.get("route_configuration").or_else(|| named(scope.get("route_configuration_name")))
    });
    configs.collect()
}

struct Look<'w, 'a> {
    /// `None` if it is not known which filters there are.
    manager: Option<&'w Manager<'a>>,
    instances: &'w [(usize, &'w Instance<'a>)],
}

impl<'a> Look<'_, 'a> {
    /// The switches at one level that Envoy refuses, drops or does not know.
    fn check_switches(&self, level: &Node<'a>, findings: &mut Findings) {
        let Some(configs) = level.get("typed_per_filter_config") else {
            return;
        };
        for (name, config) in configs.members() {
            let ours = self.instances.iter().any(|(_, instance)| instance.name == name);
            let Some(switch) = config.message(SWITCH) else {
                if ours {
                    let found = format!("a configuration for {name} that is not a FilterConfig");
                    findings.add(codes::ROUTE_CONFIG_REFUSED, &config, found);
                }
                continue;
            };
            let filters = self.manager.map(|manager| &manager.filters);
            let is_named = |filter: &Node<'_>| filter.text("name") == Some(name);
            if filters.is_some_and(|filters| !filters.iter().any(is_named)) {
                let found = format!("no filter {name} in this connection manager");
                findings.add(codes::ROUTE_FILTER_UNKNOWN, &config, found);
            }
            if !ours || switch.is_true("disabled") {
                continue;
            }
            match switch.get("config") {
                None => {
                    let found = format!("a FilterConfig for {name} without a setting");
                    findings.add(codes::ROUTE_CONFIG_REFUSED, &config, found);
                }
                Some(_) if switch.is_true("is_optional") => {
                    let found = format!("an optional FilterConfig for {name}");
                    findings.add(codes::ROUTE_CONFIG_IGNORED, &config, found);
                }
                Some(inner) if inner.member("@type").is_none() => {}
                Some(_) => {
                    let found = format!("a configuration of its own for {name}");
                    findings.add(codes::ROUTE_CONFIG_REFUSED, &config, found);
                }
            }
        }
    }

    /// The ways that a route leads to backends; none for what Envoy answers itself.
    fn ways(&self, route: &Node<'a>, levels: [&Node<'a>; 3]) -> Vec<Way<'a>> {
        let Some(action) = route.get("route") else {
            return Vec::new();
        };
        let upgrades = action.list("upgrade_configs");
        let way = |node: &Node<'a>, particular: Option<&Node<'a>>, cluster| {
            let [route, host, _] = levels;
            let levels: Vec<&Node<'a>> = particular.into_iter().chain(levels).collect();
            let is_on = |instance: &Instance<'a>| {
                let switched = levels.iter().find_map(|level| switch(level, &instance.name));
                switched.unwrap_or(!instance.disabled)
            };
            let on = self.instances.iter().filter(|(_, instance)| is_on(instance));
            let removed = levels.iter().flat_map(|level| level.list("request_headers_to_remove"));
            Way {
                matched: route.get("match"),
                host: Some(host.clone()),
                manager: self.manager.map(|manager| manager.node.clone()),
                node: node.clone(),
                on: on.map(|(index, _)| *index).collect(),
                idle_timeout: duration::of(&action, "idle_timeout"),
                stream_duration: action
                    .get("max_stream_duration")
                    .and_then(|own| duration::of(&own, "max_stream_duration")),
                cluster,
                public: [route, host].into_iter().find_map(public),
                upgrades: upgrades
                    .iter()
                    .filter_map(|upgrade| Some((upgrade.text("upgrade_type")?, enabled(upgrade))))
                    .collect(),
                removed: removed
                    .filter_map(|name| name.value.as_str().map(str::to_ascii_lowercase))
                    .collect(),
                levels: levels.into_iter().cloned().collect(),
            }
        };
        if action.has("weighted_clusters") {
            let clusters = weighted(route).into_iter().map(|cluster| {
                // The remedy is for the route, unless the cluster has its own setting.
                let own = cluster.has("typed_per_filter_config");
                let node = if own { &cluster } else { route };
                way(node, Some(&cluster), cluster.text("name"))
            });
            clusters.collect()
        } else {
            vec![way(route, None, action.text("cluster"))]
        }
    }

    fn check_way(&self, way: &Way<'a>, route: &Node<'a>, findings: &mut Findings) {
        let label = label(route);
        match &way.on[..] {
            [] => {
                match way.public {
                    Some(why) => {
                        let found = format!("{label} is public: {why}");
                        findings.add(codes::ROUTE_PUBLIC, &way.node, found);
                    }
                    None => {
                        let found = format!("no instance of the filter is on for {label}");
                        findings.add(codes::ROUTE_UNPROTECTED, &way.node, found);
                    }
                };
            }
            [_] => {}
            [others @ .., _] => {
                let names: Vec<&str> = self.on(way).map(|instance| &*instance.name).collect();
                let found = format!("{label} has {}", names.join(" and "));
                let mut others = self.instances.iter().filter(|(index, _)| others.contains(index));
                match others.find(|(_, instance)| instance.removes_the_token()) {
                    Some((_, first)) => {
                        let found = format!("{found}, and {} removes Authorization", first.name);
                        let remedy = codes::ROUTE_WITH_TWO_INSTANCES.remedy.to_owned();
                        let at = &way.node;
                        findings.add_with(codes::TOKEN_LOST_BEFORE, at, found, Some(remedy));
                    }
                    None => findings.add(codes::ROUTE_WITH_TWO_INSTANCES, &way.node, found),
                }
            }
        }
        let redirects = route.at(&["route", "internal_redirect_policy"]);
        let mut on = self.on(way);
        if let (Some(at), Some(instance)) = (redirects, on.find(|i| i.removes_the_token())) {
            let found =
                format!("{label} follows redirects, and {} removes Authorization", instance.name);
            findings.add(codes::INTERNAL_REDIRECT, &at, found);
        }
        for header in route.get("match").iter().flat_map(|matched| matched.list("headers")) {
            let name = header.text("name").unwrap_or_default().to_ascii_lowercase();
            if self.on(way).any(|instance| instance.strips(&name)) {
                let found = format!("{label} matches on {name}, which the filter sets");
                findings.add(codes::ROUTE_BY_IDENTITY_HEADER, &header, found);
            }
        }
    }

    fn on<'s>(&'s self, way: &'s Way<'a>) -> impl Iterator<Item = &'s Instance<'a>> {
        let instances = self.instances.iter();
        instances.filter(|(index, _)| way.on.contains(index)).map(|(_, instance)| *instance)
    }
}

/// Whether an upgrade of a manager or a route is allowed; it is unless something says otherwise.
pub(crate) fn enabled(upgrade: &Node<'_>) -> bool {
    match upgrade.get("enabled") {
        Some(_) => upgrade.is_true("enabled"),
        None => true,
    }
}

/// Whether a level switches the filter of that name on or off.
pub(crate) fn switch(level: &Node<'_>, name: &str) -> Option<bool> {
    Some(switches_on(&level.get("typed_per_filter_config")?.member(name)?))
}

/// Whether what a level says of a filter leaves it on.
pub(crate) fn switches_on(config: &Node<'_>) -> bool {
    !config.message(SWITCH).is_some_and(|switch| switch.is_true("disabled"))
}

/// The reason with which a route, virtual host or listener is marked as public.
pub(crate) fn public<'a>(node: &Node<'a>) -> Option<&'a str> {
    let metadata = node.at(&["metadata", "filter_metadata"])?.member(METADATA)?;
    metadata.text("public").filter(|why| !why.trim().is_empty())
}
