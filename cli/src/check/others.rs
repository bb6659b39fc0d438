//! Other ways to a backend than through the filter: connection managers without an instance, TCP
//! proxies, lists of filters that an upgrade has for itself, and instances that believe different
//! headers.

use std::collections::{BTreeMap, BTreeSet};

use super::backends::{self, Backends, Choice};
use super::finding::{Findings, shown};
use super::instance::Instance;
use super::routes::{self, Way};
use super::world::{Manager, World};
use super::{chain, codes, guard, open, paths, taken};
use crate::tree::Node;

/// Looks at every way there is beside those through a manager that has the filter.
pub(crate) fn check<'a>(mut ways: Vec<Way<'a>>, world: &World<'a>, findings: &mut Findings) {
    check_tcp(&ways, world, findings);
    let bare = bare(&ways, world, findings);
    // Routes that are not marked as public are reported as unprotected; that is enough.
    ways.extend(bare.into_iter().filter(|way| way.public.is_some()));
    check_backends(&ways, world, findings);
    let taken = taken::all(&ways);
    let open = open::check(&ways, &taken, world, findings);
    paths::check(&ways, &taken, &open, world, findings);
}

/// The routes by which a manager without an instance leads to a backend that an instance protects.
fn bare<'a>(ways: &[Way<'a>], world: &World<'a>, findings: &mut Findings) -> Vec<Way<'a>> {
    let backends = Backends::of(ways, world);
    let mut protected: BTreeMap<&str, Vec<&Way<'a>>> = BTreeMap::new();
    for (reach, way) in backends.with(ways).filter(|(_, way)| !way.on.is_empty()) {
        for key in reach.keys() {
            protected.entry(key).or_default().push(way);
        }
    }
    let mut found = Vec::new();
    for (index, manager) in world.managers.iter().enumerate() {
        let beside = |way: &&Way<'_>| world.together(&way.node, &manager.node);
        if !world.instances_in(index).is_empty() {
            continue;
        }
        let Some(bare) = routes::bare(manager, world) else {
            let elsewhere = manager.node.has("rds") || manager.node.has("scoped_routes");
            if elsewhere && protected.values().flatten().any(beside) {
                let what = "the routes of this connection manager, which has no instance of the \
                            filter, are not in these files";
                findings.add(codes::ROUTES_NOT_SEEN, &manager.node, what);
            }
            continue;
        };
        let around = || public_around(&manager.node, world);
        let own = Backends::of(&bare, world);
        for (reach, way) in own.with(&bare) {
            if let Some(Choice::Unknown(what)) = &reach.choice
                && protected.values().flatten().any(beside)
            {
                let label = routes::label(&way.node);
                let found = format!("the backend of {label} is chosen by {what}");
                findings.add(codes::NOT_JUDGED, &way.node, found);
            }
        }
        let others = own.with(&bare).map(|(reach, _)| {
            if reach.is_any || matches!(reach.choice, Some(Choice::Client(_))) {
                return protected.values().flatten().find(|way| beside(way)).copied();
            }
            let mut shared = reach.keys().filter_map(|key| protected.get(key)).flatten();
            shared.find(|way| beside(way)).copied()
        });
        let others: Vec<Option<&Way<'a>>> = others.collect();
        for (mut way, other) in bare.into_iter().zip(others) {
            way.public = way.public.or_else(around);
            let cluster = way.cluster.unwrap_or_default();
            let Some(other) = other else { continue };
            let label = routes::label(&way.node);
            match way.public {
                Some(why) => {
                    let what = format!("{label} is public: {why}");
                    findings.add(codes::ROUTE_PUBLIC, &way.node, what);
                }
                None => findings.add(
                    codes::ROUTE_UNPROTECTED,
                    &way.node,
                    format!(
                        "{label} leads to backend {cluster} through a connection manager without \
                         the filter, which protects it at {}",
                        shown(&other.node)
                    ),
                ),
            }
            found.push(way);
        }
    }
    found
}

/// The reason why the listener around a node is marked as public.
fn public_around<'a>(node: &Node<'_>, world: &World<'a>) -> Option<&'a str> {
    let mut around = world.listeners.iter().filter(|around| node.is_inside(around));
    around.find_map(routes::public)
}

/// Filters that forward connections unchanged to a backend that an instance protects.
fn check_tcp<'a>(ways: &[Way<'a>], world: &World<'a>, findings: &mut Findings) {
    let backends = Backends::of(ways, world);
    for proxy in &world.tcp_proxies {
        let weighted = proxy.at(&["weighted_clusters"]).map(|node| node.list("clusters"));
        let weighted = weighted.unwrap_or_default();
        let names = weighted.iter().map(|part| part.text("name")).chain([proxy.text("cluster")]);
        for cluster in names.flatten() {
            let own = backends::reached(cluster, proxy, world);
            let mut protected = backends.with(ways).filter(|(_, way)| !way.on.is_empty());
            let way = protected.find(|(reach, way)| {
                reach.keys().any(|key| own.contains(key)) && world.together(&way.node, proxy)
            });
            if let Some((_, way)) = way {
                tell_past("a TCP proxy", cluster, way, proxy, world, findings);
                continue;
            }
            // Of these no address is known.
            let mut protected = backends.with(ways).filter(|(_, way)| !way.on.is_empty());
            let beside = protected.find(|(_, way)| world.together(&way.node, proxy));
            let Some((_, way)) = beside else { continue };
            match backends::chosen(cluster, proxy, world) {
                Some(Choice::Client(by)) => {
                    let what = format!(
                        "the client chooses the backend of a TCP proxy by {by}, also that of {}",
                        shown(&way.node)
                    );
                    findings.add(codes::PUBLIC_TOO_WIDE, proxy, what);
                }
                Some(Choice::Unknown(what)) => {
                    let found = format!("the backend of a TCP proxy is chosen by {what}");
                    findings.add(codes::NOT_JUDGED, proxy, found);
                }
                None => {}
            }
        }
    }
}

/// Says that something leads past the filter to a backend that it protects on a way, or that it is public.
pub(super) fn tell_past(
    what: &str,
    cluster: &str,
    way: &Way<'_>,
    at: &Node<'_>,
    world: &World<'_>,
    findings: &mut Findings,
) {
    if let Some(why) = public_around(at, world) {
        let found = format!("{what} to backend {cluster} is public: {why}");
        findings.add(codes::ROUTE_PUBLIC, at, found);
        return;
    }
    let found = format!(
        "{what} leads to backend {cluster}, which the filter protects at {}",
        shown(&way.node)
    );
    let remedy = "use another backend; or, if it is public, give the reason in the listener's \
                  metadata: filter_metadata: { oidc-token-connector: { public: WHY } }";
    findings.add_with(codes::ROUTE_UNPROTECTED, at, found, Some(remedy.to_owned()));
}

/// Backends that trust a header which another route to them does not strip.
fn check_backends<'a>(ways: &[Way<'a>], world: &World<'a>, findings: &mut Findings) {
    let backends = Backends::of(ways, world);
    let mut by_key: BTreeMap<&str, Vec<&Way<'a>>> = BTreeMap::new();
    for (reach, way) in backends.with(ways) {
        for key in reach.keys() {
            by_key.entry(key).or_default().push(way);
        }
    }
    // One backend has several keys: what is the same set of ways is said once.
    let mut known: BTreeSet<Vec<String>> = BTreeSet::new();
    let any: Vec<&Way<'a>> =
        backends.with(ways).filter(|(reach, _)| reach.is_any).map(|(_, way)| way).collect();
    for ways in by_key.into_values() {
        if !known.insert(ways.iter().map(|way| shown(&way.node)).collect()) {
            continue;
        }
        let ways: Vec<&Way<'a>> = ways.into_iter().chain(any.iter().copied()).collect();
        let cluster = ways.iter().find_map(|way| way.cluster).unwrap_or_default();
        // The headers that each backend trusts, each once for each set of instances.
        let mut believed: Vec<(&Way<'_>, &[usize], String)> = Vec::new();
        for way in &ways {
            for header in on(way, world).flat_map(Instance::identity_headers) {
                let known = believed.iter().any(|(_, on, name)| **on == *way.on && *name == header);
                if !known {
                    believed.push((way, &way.on, header));
                }
            }
        }
        // What leaks through one route has one cause.
        for way in &ways {
            let (mut headers, mut places) = (BTreeSet::new(), BTreeSet::new());
            for (believing, _, header) in &believed {
                let leaks = world.together(&way.node, &believing.node)
                    && !way.removed.contains(header)
                    && !on(way, world).any(|instance| instance.strips(header));
                if leaks {
                    headers.insert(header.as_str());
                    places.insert(shown(&believing.node));
                }
            }
            if !headers.is_empty() {
                let them = if headers.len() == 1 { "it" } else { "them" };
                let found = format!(
                    "backend {cluster} gets the client's own {} here, and trusts {them} from {}",
                    headers.into_iter().collect::<Vec<_>>().join(", "),
                    places.into_iter().collect::<Vec<_>>().join(" and ")
                );
                findings.add(codes::BACKEND_SHARED, &way.node, found);
            }
        }
    }
}

fn on<'w, 'a>(way: &Way<'_>, world: &'w World<'a>) -> impl Iterator<Item = &'w Instance<'a>> {
    way.on.iter().filter_map(|index| world.instances.get(*index))
}

/// An upgrade may have a list of filters of its own, which takes the place of the manager's.
pub(crate) fn check_upgrades<'a>(
    manager: &Manager<'a>,
    world: &World<'a>,
    ways: Option<&[Way<'a>]>,
    findings: &mut Findings,
) {
    for upgrade in manager.node.list("upgrade_configs") {
        let Some(filters) = upgrade.get("filters").filter(|node| !node.items().is_empty()) else {
            continue;
        };
        let kind = upgrade.text("upgrade_type").unwrap_or_default();
        let by_default = routes::enabled(&upgrade);
        let allowed = |way: &&Way<'_>| {
            let own = way.upgrades.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind));
            own.map_or(by_default, |(_, allowed)| *allowed)
        };
        let reached = match ways {
            Some(ways) => ways.iter().filter(allowed).any(|way| !way.on.is_empty()),
            None => by_default,
        };
        let switched_on = |name: &str| {
            let ways = ways.unwrap_or_default().iter();
            ways.flat_map(|way| on(way, world)).any(|instance| instance.name == name)
        };
        let protected = world.instances.iter().any(|instance| {
            instance.node.is_inside(&filters) && (!instance.disabled || switched_on(&instance.name))
        }) || names_an_instance(&filters.items(), world, manager);
        if reached && !protected {
            let found = format!(
                "the upgrade {kind} has a list of filters of its own, and no instance is in it"
            );
            let remedy = "remove `filters`, so that the upgrade goes through http_filters, or put \
                          the instances into it";
            let remedy = Some(remedy.to_owned());
            findings.add_with(codes::ROUTE_UNPROTECTED, &upgrade, found, remedy);
        } else if reached {
            guard::check_list(&filters, kind, world, findings);
            let ways = ways.unwrap_or_default().iter();
            let ways: Vec<&Way<'_>> = ways.filter(allowed).filter(|w| !w.on.is_empty()).collect();
            chain::check_list(&filters, &ways, world, findings);
        }
    }
}

/// Whether a filter that is discovered has an instance's name.
fn names_an_instance(filters: &[Node<'_>], world: &World<'_>, of: &Manager<'_>) -> bool {
    let names = filters.iter().filter(|filter| filter.has("config_discovery"));
    let mut names = names.filter_map(|filter| filter.text("name"));
    names.any(|name| {
        let mut instances = world.instances.iter();
        instances.any(|i| i.name == name && !i.disabled && world.together(&i.node, &of.node))
    })
}
