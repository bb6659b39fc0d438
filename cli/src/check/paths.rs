//! Spellings of one path: Envoy may take one for a public path that the backend takes for a protected
//! one. Only routes to one backend are compared.

use regex_lite::Regex;

use super::backends::Backends;
use super::codes;
use super::finding::{Findings, shown};
use super::routes::{self, Way};
use super::world::World;
use crate::tree::Node;

/// Ways out of a path that Envoy corrects, if it is told to.
const DETOURS: [&str; 7] =
    ["/../x", "/..%2Fx", "/..%2fx", "/%2e%2e/x", "//..//x", "/a/../../x", "/a//../../x"];
/// Those that it never corrects: some servers cut off what is behind a `;` first.
const PARAMETERS: [&str; 3] = ["/..;/x", "/..;a=b/x", "/a/..;/..;/x"];

/// Looks for ways with other instances, or none, to a backend that an instance protects.
pub(crate) fn check<'a>(ways: &[Way<'a>], world: &World<'a>, findings: &mut Findings) {
    let backends = Backends::of(ways, world);
    // One that is not marked as public is reported as unprotected.
    let judged = |way: &Way<'_>| !way.on.is_empty() || way.public.is_some();
    for (reach, way) in backends.with(ways).filter(|(_, way)| judged(way)) {
        let loose = way.manager.as_ref().map(loose).unwrap_or_default();
        let Some(matched) = &way.matched else { continue };
        let everything = is_everything(matched);
        // No setting corrects these; with other rules of another instance somebody still has a token.
        let detours = match (loose.is_empty(), way.on.is_empty()) {
            (false, _) => &DETOURS[..],
            (true, true) => &PARAMETERS[..],
            (true, false) => continue,
        };
        if !everything && !takes_a_detour(matched, detours) {
            continue;
        }
        let mut all = backends.with(ways);
        let other = all.find(|(others, other)| {
            !other.on.is_empty()
                && other.on != way.on
                && reach.meets(others)
                && world.together(&way.node, &other.node)
                && (!everything || is_left_out(other, way))
        });
        let Some((_, other)) = other else { continue };
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
fn is_left_out(other: &Way<'_>, everything: &Way<'_>) -> bool {
    let hosts = other.host.as_ref().zip(everything.host.as_ref());
    let same = hosts.is_some_and(|(one, two)| {
        std::ptr::eq(one.document, two.document) && one.place == two.place
    });
    same && other.matched.as_ref().is_some_and(|others| !is_everything(others))
}

/// Whether a route takes every path of its host.
fn is_everything(matched: &Node<'_>) -> bool {
    matched.text("prefix").is_some_and(|prefix| prefix.len() <= 1)
        || regex_of(matched).is_some_and(|regex| [".*", ".+", "/.*", "^/.*$"].contains(&regex))
}

fn regex_of<'a>(matched: &Node<'a>) -> Option<&'a str> {
    matched.at(&["safe_regex", "regex"]).and_then(|node| node.value.as_str())
}

/// Whether a route takes a path that leads out of it again.
fn takes_a_detour(matched: &Node<'_>, detours: &[&str]) -> bool {
    let Some(text) = regex_of(matched) else {
        // An exact path has one spelling.
        let policy = matched.at(&["path_match_policy", "typed_config"]).and_then(|p| p.any());
        let template = policy.as_ref().and_then(|(_, fields)| fields.text("path_template"));
        return matched.has("prefix")
            || matched.has("path_separated_prefix")
            || template.is_some_and(|text| text.contains("**"));
    };
    // Envoy's expressions have to match all of it. One that is not understood may take any path.
    let Ok(regex) = Regex::new(&format!("^(?:{text})$")) else { return true };
    let literal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_');
    let start: String = text.trim_start_matches('^').chars().take_while(literal).collect();
    let start = start.trim_end_matches('/');
    detours.iter().any(|detour| regex.is_match(&format!("{start}{detour}")))
}
