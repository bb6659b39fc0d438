//! The filters before and behind an instance, and what they do there to the token, to the identity
//! headers and to responses. The table of `rules.rs` says which filter is a mistake on which side.
//!
//! A filter whose code decides what it does is not judged, and a note says so.

use super::codes;
use super::fed::Fed;
use super::finding::Findings;
use super::headers::{self, Mutation};
use super::instance::Instance;
use super::other::{self, Other};
use super::routes::Way;
use super::rules::{Around, PROGRAMS, RULES, Side};
use super::world::{Manager, World};
use super::{guard, writes};
use crate::tree::Node;

/// Looks at the filters around the instances of a manager.
pub(crate) fn check<'a>(
    manager: &Manager<'a>,
    instances: &[(usize, &Instance<'a>)],
    ways: Option<&[Way<'a>]>,
    world: &World<'a>,
    findings: &mut Findings,
) {
    let by_default = instances.iter().filter(|(_, instance)| !instance.disabled);
    let whole = Way::of(manager.node.clone(), by_default.map(|(index, _)| *index).collect());
    let all: Vec<&Instance<'a>> = instances.iter().map(|(_, instance)| *instance).collect();
    check_all(&manager.filters, &all, &whole, findings);
    for way in ways.unwrap_or(std::slice::from_ref(&whole)) {
        let on = instances.iter().filter(|(index, _)| way.on.contains(index));
        let on: Vec<&Instance<'a>> = on.map(|(_, instance)| *instance).collect();
        for instance in &on {
            check_early(manager, instance, findings);
        }
        check_way(&manager.filters, &all, &on, (way, world), findings);
    }
}

/// Looks at a list of filters that an upgrade has for itself, for the routes that allow the upgrade.
pub(crate) fn check_list<'a>(
    filters: &Node<'a>,
    ways: &[&Way<'a>],
    world: &World<'a>,
    findings: &mut Findings,
) {
    let entries = filters.items();
    let all = world.instances.iter().filter(|instance| instance.node.is_inside(filters));
    let all: Vec<&Instance<'a>> = all.collect();
    let whole = Way::of(filters.clone(), Vec::new());
    check_all(&entries, &all, &whole, findings);
    let ways = if ways.is_empty() { &[&whole][..] } else { ways };
    for way in ways {
        let is_on = |instance: &&Instance<'a>| {
            entries.iter().any(|entry| holds(entry, instance) && way.met(entry).is_some())
        };
        let on: Vec<&Instance<'a>> = all.iter().copied().filter(is_on).collect();
        if let [first, second, ..] = &on[..] {
            let found = format!("{} and {} are in one list of filters", first.name, second.name);
            let code = match first.removes_the_token() {
                true => codes::TOKEN_LOST_BEFORE,
                false => codes::ROUTE_WITH_TWO_INSTANCES,
            };
            let remedy = "leave one instance in the upgrade's `filters`, or remove `filters`";
            findings.add_with(code, filters, found, Some(remedy.to_owned()));
        }
        check_way(&entries, &all, &on, (way, world), findings);
    }
}

/// Whether an instance is an entry, or in it.
fn holds(entry: &Node<'_>, instance: &Instance<'_>) -> bool {
    let node = &instance.node;
    let same = std::ptr::eq(node.document, entry.document) && node.place == entry.place;
    same || node.is_inside(entry)
}

/// As if every filter were on, for what a route elsewhere may switch on.
fn check_all<'a>(
    entries: &[Node<'a>],
    instances: &[&Instance<'a>],
    way: &Way<'a>,
    findings: &mut Findings,
) {
    let all: Vec<Vec<Other<'a>>> = entries.iter().map(|e| other::all(e, &[])).collect();
    for instance in instances {
        judge(entries, &all, (instance, instances, way), true, findings);
    }
}

/// What a request meets on a way.
fn check_way<'a>(
    entries: &[Node<'a>],
    instances: &[&Instance<'a>],
    on: &[&Instance<'a>],
    (way, world): (&Way<'a>, &World<'a>),
    findings: &mut Findings,
) {
    let mut met: Vec<Vec<Other<'a>>> = entries.iter().map(|entry| other::met(entry, way)).collect();
    // Behind the router.
    met.push(other::upstream(&met, way, world));
    for instance in on {
        judge(entries, &met, (instance, instances, way), false, findings);
        let fed = Fed::of(&met, position(entries, instance), instance);
        check_added(way, instance, &fed, findings);
    }
}

/// The position of an instance among the entries of a list.
fn position(entries: &[Node<'_>], instance: &Instance<'_>) -> usize {
    let held = entries.iter().position(|entry| holds(entry, instance));
    let named = || entries.iter().position(|e| e.text("name") == Some(instance.name.as_str()));
    held.or_else(named).unwrap_or_default()
}

/// Judges what is around an instance; the others are no others.
fn judge<'a>(
    entries: &[Node<'a>],
    met: &[Vec<Other<'a>>],
    (instance, instances, way): (&Instance<'a>, &[&Instance<'a>], &Way<'a>),
    even_off: bool,
    findings: &mut Findings,
) {
    let at = position(entries, instance);
    let fed = Fed::of(met, at, instance);
    let is_instance = |other: &Other<'_>| {
        instances.iter().any(|one| holds(&other.entry, one) || one.name == other.name())
    };
    for (index, others) in met.iter().enumerate() {
        let side = if index < at { Side::Before } else { Side::Behind };
        let between = met.iter().take(index.max(at)).skip(index.min(at).saturating_add(1));
        let between: Vec<&Other<'a>> = between.flatten().collect();
        let behind = met.iter().skip(index.saturating_add(1)).flatten();
        let guard = behind.map(|other| &other.entry).find(|entry| guard::is_on(entry, way));
        let guard = guard.and_then(|entry| entry.text("name"));
        let around = Around { instance, between: &between, guard, way, fed: &fed };
        for other in others.iter().filter(|other| !is_instance(other)) {
            let rules = RULES.iter().filter(|rule| rule.even_off == even_off && rule.side == side);
            for rule in rules.filter(|rule| rule.kinds.contains(&other.kind)) {
                if let Some(wrong) = (rule.judge)(other, &around) {
                    let found = format!("{} {wrong}", other.name());
                    let remedy = rule.remedy.map(str::to_owned);
                    findings.add_with(rule.code, &other.entry, found, remedy);
                }
            }
            if !even_off {
                check_kind(other, &other.entry, side, &around, findings);
            }
        }
    }
}

/// What holds for filters of every kind: an identity header that they write behind the instance, and that
/// of a kind that is not known nothing can be said.
fn check_kind(
    other: &Other<'_>,
    at: &Node<'_>,
    side: Side,
    around: &Around<'_, '_>,
    findings: &mut Findings,
) {
    let (name, own) = (other.name(), &around.instance.name);
    let (is_behind, word) = match side {
        Side::Before => (false, "before"),
        Side::Behind => (true, "behind"),
    };
    let written = writes::overwritten(other, around.instance, around.way).filter(|_| is_behind);
    if let Some(written) = written {
        let found = format!("{name} writes {written}, behind {own}");
        let remedy = "write it to a header with another name, or move the filter before this one";
        findings.add_with(codes::IDENTITY_OVERWRITTEN, at, found, Some(remedy.to_owned()));
    }
    if !writes::is_known(other) && !PROGRAMS.contains(&other.kind) {
        let found = format!("{name} is {word} {own}, and check does not know this kind of filter");
        findings.add(codes::FILTER_NOT_JUDGED, at, found);
    }
}

/// Changes of headers before any filter and any route.
pub(crate) fn check_early(manager: &Manager<'_>, instance: &Instance<'_>, findings: &mut Findings) {
    const EARLY: &str =
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation";
    for extension in manager.node.list("early_header_mutation_extensions") {
        let config = extension.get("typed_config").and_then(|config| config.message(EARLY));
        let Some(config) = config else { continue };
        let changes = headers::mutations(&config.list("mutations"));
        let name = extension.text("name").unwrap_or_default();
        if headers::loses_the_token(&changes) {
            let found = format!("{name} removes Authorization before {}", instance.name);
            findings.add(codes::TOKEN_LOST_BEFORE, &extension, found);
        }
        if headers::gives_a_token(&changes) {
            let found = format!("{name} writes a fixed Authorization before {}", instance.name);
            findings.add(codes::TOKEN_FOR_ALL, &extension, found);
        }
    }
}

/// Looks at a filter that a manifest puts before or behind an instance. Of a cache the changes of all
/// other filters in the manifests count, wherever these stand.
pub(crate) fn check_beside<'a>(
    entry: &Node<'a>,
    others: &[Node<'a>],
    instance: &Instance<'a>,
    behind: bool,
    findings: &mut Findings,
) {
    let others: Vec<Other<'a>> = others.iter().flat_map(|o| other::all(o, &[])).collect();
    let between: Vec<&Other<'a>> = others.iter().collect();
    let (way, fed) = (Way::of(entry.clone(), Vec::new()), Fed::default());
    let around = Around { instance, between: &between, guard: None, way: &way, fed: &fed };
    let side = if behind { Side::Behind } else { Side::Before };
    let off = entry.is_true("disabled");
    for other in &other::all(entry, &[]) {
        let rules = RULES.iter().filter(|rule| rule.side == side && (rule.even_off || !off));
        for rule in rules.filter(|rule| rule.kinds.contains(&other.kind)) {
            if let Some(wrong) = (rule.judge)(other, &around) {
                let remedy = rule.remedy.map(str::to_owned);
                findings.add_with(rule.code, entry, format!("{} {wrong}", other.name()), remedy);
            }
        }
        if !off {
            check_kind(other, entry, side, &around, findings);
        }
    }
}

/// Headers that a route adds: Envoy does so behind all filters.
pub(super) fn check_added(
    way: &Way<'_>,
    instance: &Instance<'_>,
    fed: &Fed,
    findings: &mut Findings,
) {
    for level in &way.levels {
        for added in level.list("request_headers_to_add") {
            let change: Vec<Mutation<'_>> = headers::written(&added).into_iter().collect();
            if let Some(written) = headers::forged(&change, instance, fed) {
                let found = format!("{written}, behind {}", instance.name);
                findings.add(codes::IDENTITY_OVERWRITTEN, &added, found);
            }
        }
    }
}
