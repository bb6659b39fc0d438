//! Public routes by which a client reaches what another route protects: it chooses the backend, the route
//! rewrites the path, or takes every path.
//!
//! Spellings of one path are the affair of `paths.rs`. What is public through a listener of its own, or a
//! host of its own, is so on purpose, as far as its path goes.

use std::collections::BTreeSet;

use super::backends::{Backends, Choice, Reach};
use super::finding::{Findings, shown};
use super::headers::Mutation;
use super::routes::{self, Way};
use super::rules::{self, PROGRAMS};
use super::taken::Taken;
use super::world::World;
use super::{codes, other, writes};
use crate::tree::Node;

/// Upgrades behind which no further requests come: the second one Envoy removes from every request.
const MESSAGES: [&str; 2] = ["websocket", "h2c"];

/// What of a request says where it goes.
const PLACES: [&str; 3] = [":path", ":authority", "host"];

/// Looks at the public ways; gives the indexes of those that are open.
pub(super) fn check<'a>(
    ways: &[Way<'a>],
    taken: &[Option<Taken<'a>>],
    world: &World<'a>,
    findings: &mut Findings,
) -> BTreeSet<usize> {
    let backends = Backends::of(ways, world);
    let mut open = BTreeSet::new();
    for (index, (reach, way)) in backends.with(ways).enumerate() {
        let label = routes::label(&way.node);
        if let Some(what) = tunnel(way).filter(|_| !way.on.is_empty()) {
            let found = format!("{label} {what}, behind which check sees no requests");
            let remedy = "make sure that no HTTP is spoken there: it would pass without a token, and \
                          with identity headers of the client's";
            findings.add_with(codes::NOT_JUDGED, &way.node, found, Some(remedy.to_owned()));
        }
        if !way.on.is_empty() || way.public.is_none() {
            continue;
        }
        let all: Vec<(&Reach, Met<'_, 'a>)> = backends
            .with(ways)
            .zip(taken)
            .enumerate()
            .filter(|(_, ((_, other), _))| {
                !other.on.is_empty() && world.together(&way.node, &other.node)
            })
            .map(|(index, ((reach, way), taken))| {
                (reach, Met { index, way, taken: taken.as_ref() })
            })
            .collect();
        let Some((_, first)) = all.first() else { continue };
        match &reach.choice {
            Some(Choice::Client(by)) => {
                let found = format!(
                    "the client chooses the backend of {label} by {by}, also that of {}",
                    shown(&first.way.node)
                );
                findings.add(codes::PUBLIC_TOO_WIDE, &way.node, found);
                open.insert(index);
                continue;
            }
            Some(Choice::Unknown(what)) => {
                let found = format!("the backend of {label} is chosen by {what}");
                findings.add(codes::NOT_JUDGED, &way.node, found);
            }
            None => {}
        }
        let met = all.iter().filter(|(others, _)| reach.meets(others)).map(|(_, other)| *other);
        let met: Vec<Met<'_, 'a>> = met.collect();
        if !met.is_empty() {
            check_filters(way, world, findings);
        }
        let own = Met { index, way, taken: taken.get(index).and_then(Option::as_ref) };
        if let Some((other, what)) = opened(&own, &met) {
            let found = format!(
                "{label} {what}, and leads to backend {}, which the filter protects at {}",
                way.cluster.unwrap_or_default(),
                shown(&other.node)
            );
            findings.add(codes::PUBLIC_TOO_WIDE, &way.node, found);
            open.insert(index);
        }
    }
    open
}

/// A way with its paths.
#[derive(Clone, Copy)]
struct Met<'w, 'a> {
    /// Its position: within a virtual host that is the order of the routes.
    index: usize,
    way: &'w Way<'a>,
    taken: Option<&'w Taken<'a>>,
}

/// By what a public way leads to what one of the others protects.
fn opened<'w, 'a>(own: &Met<'w, 'a>, met: &[Met<'w, 'a>]) -> Option<(&'w Way<'a>, String)> {
    let (first, way) = (met.first()?.way, own.way);
    if let Some(what) = tunnel(way) {
        return Some((first, what));
    }
    let taken = own.taken?;
    let beside = |other: &&Met<'w, 'a>| is_same(&other.way.manager, &way.manager);
    // A listener of its own takes every path on purpose.
    let apart = taken.everything && !met.iter().any(|other| beside(&other));
    if let Some(name) = rewriting(way).filter(|_| !apart) {
        return Some((first, format!("rewrites {name} by a filter")));
    }
    let (paths, hosts) = rewrites(way);
    if let Some(field) = paths.first().filter(|_| !apart) {
        return Some((first, format!("rewrites the path by {field}")));
    }
    let same_host = |other: &Met<'w, 'a>| values(&rewrites(other.way).1) == values(&hosts);
    if let Some(field) = hosts.first().filter(|_| !apart && !met.iter().any(same_host)) {
        return Some((first, format!("rewrites the host by {field}")));
    }
    let wide = Wide::of(own, taken)?;
    let covered = met.iter().filter(beside).find(|other| wide.covers(other));
    covered.map(|other| (other.way, "takes the protected paths".to_owned()))
}

/// Notes the filters of a public way that may change its path, since their own code decides.
fn check_filters(way: &Way<'_>, world: &World<'_>, findings: &mut Findings) {
    let filters = way.manager.iter().flat_map(|manager| manager.list("http_filters"));
    for entry in filters {
        let is_instance = world.instances.iter().any(|instance| {
            Some(instance.name.as_str()) == entry.text("name") || instance.node.is_inside(&entry)
        });
        for other in other::met(&entry, way).iter().filter(|_| !is_instance) {
            if PROGRAMS.contains(&other.kind) || !writes::is_known(other) {
                let label = routes::label(&way.node);
                let found =
                    format!("{} may change the path of {label}, which is public", other.name());
                findings.add(codes::FILTER_NOT_JUDGED, &other.entry, found);
            }
        }
    }
}

/// What of a request's place a filter of the way writes.
fn rewriting<'a>(way: &Way<'a>) -> Option<&'a str> {
    let filters = way.manager.iter().flat_map(|manager| manager.list("http_filters"));
    let met = filters.flat_map(|entry| other::met(&entry, way));
    let mut changes = met.flat_map(|other| rules::mutations(&other));
    changes.find_map(|change| match change {
        Mutation::Write(name, _) => {
            PLACES.iter().any(|place| place.eq_ignore_ascii_case(name)).then_some(name)
        }
        Mutation::Remove(_) | Mutation::RemoveWhere(_) => None,
    })
}

/// Upgrades of a way behind which a client sends what it likes.
fn tunnel(way: &Way<'_>) -> Option<String> {
    let action = way.levels.iter().find_map(|level| level.get("route"));
    let own = action.map(|action| action.list("upgrade_configs")).unwrap_or_default();
    let general = way.manager.iter().flat_map(|manager| manager.list("upgrade_configs"));
    let kind = |upgrade: &Node<'_>| upgrade.text("upgrade_type").unwrap_or_default().to_lowercase();
    let said: Vec<String> = own.iter().map(kind).collect();
    let general = general.filter(|upgrade| !said.contains(&kind(upgrade)));
    let mut allowed = own.iter().cloned().chain(general).filter(routes::enabled);
    // A request for a tunnel has no path: only a route for such requests takes it.
    let connects = way.matched.as_ref().is_some_and(|matched| matched.has("connect_matcher"));
    let opaque = allowed.find(|upgrade| {
        let kind = kind(upgrade);
        let reached = connects || !kind.starts_with("connect");
        reached && !MESSAGES.contains(&kind.as_str())
    })?;
    Some(format!("allows the upgrade {}", kind(&opaque)))
}

/// The fields of a way that change the path, and those that change the host.
pub(super) fn rewrites<'a>(way: &Way<'a>) -> (Vec<Field<'a>>, Vec<Field<'a>>) {
    let (mut paths, mut hosts) = (Vec::new(), Vec::new());
    let action = way.levels.iter().find_map(|level| level.get("route"));
    let part = way.levels.first().filter(|level| !level.has("route"));
    for (name, value) in action.iter().chain(part).flat_map(|node| node.members()) {
        let lower = name.to_ascii_lowercase();
        if !lower.contains("rewrite") || value.value.is_null() || *value.value == false {
            continue;
        }
        // A path that stays as it is was not rewritten.
        let matched = way.matched.as_ref();
        let same = ["prefix", "path", "path_separated_prefix"].iter().any(|field| {
            matched
                .and_then(|matched| matched.get(field))
                .is_some_and(|own| own.value == value.value)
        });
        if lower.contains("host") {
            hosts.push(Field { name, value });
        } else if !same {
            paths.push(Field { name, value });
        }
    }
    (paths, hosts)
}

/// A field that is set.
pub(super) struct Field<'a> {
    name: &'a str,
    value: Node<'a>,
}

impl std::fmt::Display for Field<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name)
    }
}

fn values<'s>(fields: &'s [Field<'_>]) -> Vec<(&'s str, &'s serde_json::Value)> {
    fields.iter().map(|field| (field.name, field.value.value)).collect()
}

/// A public route, as it is compared with others.
struct Wide<'w, 'a> {
    index: usize,
    host: &'w Node<'a>,
    taken: &'w Taken<'a>,
    /// Whether it takes every path of any host.
    any_host: bool,
    /// Whether it takes more than one path, or that one on a condition of the client's.
    any_path: bool,
    /// Whether it is for some methods.
    by_method: bool,
}

impl<'w, 'a> Wide<'w, 'a> {
    fn of(own: &Met<'w, 'a>, taken: &'w Taken<'a>) -> Option<Wide<'w, 'a>> {
        let host = own.way.host.as_ref()?;
        // The client names any host, such as the protected one with a port.
        let any = |domain: &Node<'_>| domain.value.as_str().is_some_and(|name| name.ends_with('*'));
        // Of a matcher the order is not known, and a note says so.
        let in_order = !host.has("matcher");
        Some(Wide {
            index: own.index,
            host,
            taken,
            any_host: taken.everything && host.list("domains").iter().any(any),
            any_path: in_order && (!taken.is_exact() || is_by_client(&taken.matched)),
            by_method: has_method(&taken.matched),
        })
    }

    /// Whether it takes what another route of the same connection manager protects.
    fn covers(&self, other: &Met<'_, '_>) -> bool {
        let (Some(host), Some(others)) = (&other.way.host, other.taken) else { return false };
        if !is_same_node(self.host, host) {
            return self.any_host;
        }
        if !self.any_path {
            return false;
        }
        let reaches = match others.start() {
            Some(start) if !others.everything => self.taken.takes(start),
            Some(_) | None => self.taken.everything,
        };
        if !reaches {
            return false;
        }
        // Behind a route that takes all of its paths nothing is left of them.
        let by_method = has_method(&others.matched);
        let before = self.index <= other.index;
        !(by_method && self.by_method) && (before || by_method || is_by_client(&others.matched))
    }
}

/// Whether the client decides by more than the path, or chance does.
fn is_by_client(matched: &Node<'_>) -> bool {
    let method = |header: &Node<'_>| header.text("name") == Some(":method");
    matched.list("headers").iter().any(|header| !method(header))
        || ["query_parameters", "cookies", "runtime_fraction"].iter().any(|f| matched.says(f))
}

fn has_method(matched: &Node<'_>) -> bool {
    matched.list("headers").iter().any(|header| header.text("name") == Some(":method"))
}

fn is_same(one: &Option<Node<'_>>, other: &Option<Node<'_>>) -> bool {
    one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| is_same_node(one, other))
}

fn is_same_node(one: &Node<'_>, other: &Node<'_>) -> bool {
    std::ptr::eq(one.document, other.document) && one.place == other.place
}
