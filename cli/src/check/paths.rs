//! Spellings of one path: Envoy may take one for a public path that the backend takes for a protected
//! one. Only routes to one backend are compared.

use std::collections::BTreeSet;

use super::backends::Backends;
use super::codes;
use super::finding::{Findings, shown};
use super::routes::{self, Way};
use super::taken::{self, Taken};
use super::world::World;
use crate::tree::Node;

/// Ways out of a path that Envoy corrects, if it is told to.
const DETOURS: [&str; 7] =
    ["/../x", "/..%2Fx", "/..%2fx", "/%2e%2e/x", "//..//x", "/a/../../x", "/a//../../x"];
/// Those that it never corrects: some servers cut off what is behind a `;` first.
const PARAMETERS: [&str; 3] = ["/..;/x", "/..;a=b/x", "/a/..;/..;/x"];

/// Looks for ways with other instances, or none, to a backend that an instance protects. Those that are
/// known to be `open`, by their index, take more than spellings.
pub(crate) fn check<'a>(
    ways: &[Way<'a>],
    taken: &[Option<Taken<'a>>],
    open: &BTreeSet<usize>,
    world: &World<'a>,
    findings: &mut Findings,
) {
    let backends = Backends::of(ways, world);
    // One that is not marked as public is reported as unprotected.
    let judged = |index: usize, way: &Way<'_>| {
        !open.contains(&index) && (!way.on.is_empty() || way.public.is_some())
    };
    for (index, (reach, way)) in backends.with(ways).enumerate() {
        if !judged(index, way) {
            continue;
        }
        let loose = way.manager.as_ref().map(loose).unwrap_or_default();
        let Some(Some(own)) = taken.get(index) else { continue };
        let everything = own.everything;
        // No setting corrects these; with other rules of another instance somebody still has a token.
        let detours = match (loose.is_empty(), way.on.is_empty()) {
            (false, _) => &DETOURS[..],
            (true, true) => &PARAMETERS[..],
            (true, false) => continue,
        };
        if !everything && !takes_a_detour(own, detours) {
            continue;
        }
        let mut all = backends.with(ways).zip(taken);
        let other = all.find(|((others, other), taken)| {
            !other.on.is_empty()
                && !has_same_rules(other, way, world)
                && reach.meets(others)
                && world.together(&way.node, &other.node)
                && (!everything || is_left_out((other, taken.as_ref()), way))
        });
        let Some(((_, other), _)) = other else { continue };
        let label = routes::label(&way.node);
        if loose.is_empty() {
            let found = format!(
                "{label} takes paths with `;`, and leads to the same backend {} as {}",
                way.cluster.unwrap_or_default(),
                shown(&other.node)
            );
            findings.add(codes::PATH_PARAMETERS, &way.node, found);
            continue;
        }
        let found = format!(
            "{label} and {} lead to backend {}, and the connection manager lacks {}",
            shown(&other.node),
            way.cluster.unwrap_or_default(),
            loose.join(", ")
        );
        findings.add(codes::PATH_NOT_NORMALIZED, &way.node, found);
    }
}

/// Whether the same configurations are on for two ways: there is nothing to gain by the other one.
fn has_same_rules(one: &Way<'_>, other: &Way<'_>, world: &World<'_>) -> bool {
    let same = |(one, other): (&usize, &usize)| {
        let text = |index: &usize| world.instances.get(*index)?.text().ok();
        one == other || text(one).is_some_and(|own| text(other) == Some(own))
    };
    one.on.len() == other.on.len() && one.on.iter().zip(&other.on).all(same)
}

/// The settings of a connection manager without which it takes spellings of one path for several.
fn loose(manager: &Node<'_>) -> Vec<&'static str> {
    const SLASHES: &str = "path_with_escaped_slashes_action";
    let mut loose: Vec<&'static str> = ["normalize_path", "merge_slashes"]
        .into_iter()
        .filter(|field| !manager.is_true(field))
        .collect();
    // Enums may be numbers.
    let strict = manager.get(SLASHES).is_some_and(|action| {
        action.value.as_u64().is_some_and(|number| number >= 2)
            || action.value.as_str().is_some_and(|word| {
                ["REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD"].contains(&word)
            })
    });
    if !strict {
        loose.push(SLASHES);
    }
    loose
}

/// Whether the paths of a route are left out of one that takes every path. Of another host they are not:
/// it has all paths anyway.
fn is_left_out((other, taken): (&Way<'_>, Option<&Taken<'_>>), everything: &Way<'_>) -> bool {
    let hosts = other.host.as_ref().zip(everything.host.as_ref());
    let same = hosts.is_some_and(|(one, two)| {
        std::ptr::eq(one.document, two.document) && one.place == two.place
    });
    same && taken.is_some_and(|others| !others.everything)
}

/// Whether a route takes a path that leads out of it again.
fn takes_a_detour(taken: &Taken<'_>, detours: &[&str]) -> bool {
    let Some(text) = taken::regex_of(&taken.matched) else {
        // An exact path has one spelling. What is not understood may take any path.
        let template = taken::template(&taken.matched);
        return !taken.is_exact() && template.is_none_or(|text| text.contains("**"));
    };
    let literal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_');
    let start: String = text.trim_start_matches('^').chars().take_while(literal).collect();
    let start = start.trim_end_matches('/');
    detours.iter().any(|detour| taken.takes(&format!("{start}{detour}")))
}
