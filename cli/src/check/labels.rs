//! The labels of the filter's counters, which a bootstrap's `stats_config` makes of their names. The
//! alert rules and the dashboard of `deploy/` find nothing without them.

use regex_lite::Regex;

use super::finding::Findings;
use super::{codes, guard};
use crate::tree::Node;

/// A label, a counter's name that has it, what should be left of that, and the label's value.
const LABELS: [(&str, &str, &str, &str); 6] = [
    ("outcome", "wasmcustom.oidc_outcome.pass", "wasmcustom.oidc_outcome", "pass"),
    ("source", "wasmcustom.oidc_source.hit", "wasmcustom.oidc_source", "hit"),
    ("reason", "wasmcustom.oidc_reason.timeout", "wasmcustom.oidc_reason", "timeout"),
    ("region", "wasmcustom.oidc_region.FR", "wasmcustom.oidc_region", "FR"),
    ("region", "wasmcustom.oidc_userinfo_ms.FR", "wasmcustom.oidc_userinfo_ms", "FR"),
    ("event", "wasmcustom.oidc_cache.hit", "wasmcustom.oidc_cache", "hit"),
];

/// Looks at the labels of a bootstrap, if its counters can be read at all.
pub(crate) fn check(bootstrap: &Node<'_>, findings: &mut Findings) {
    if !bootstrap.has("admin") && !bootstrap.has("stats_sinks") {
        return;
    }
    if let Some(matcher) = bootstrap.at(&["stats_config", "stats_matcher"])
        && let Some((_, counter, ..)) =
            LABELS.iter().find(|(_, counter, ..)| !keeps(&matcher, counter))
    {
        let found = format!("stats_matcher leaves out {counter}");
        let remedy = "leave the counters of the filter in: their names begin with wasmcustom.oidc_";
        findings.add_with(codes::LABELS_MISSING, &matcher, found, Some(remedy.to_owned()));
        return;
    }
    let tags = bootstrap.get("stats_config").map(|config| config.list("stats_tags"));
    let tags = tags.unwrap_or_default();
    let mut missing: Vec<&str> = Vec::new();
    for (label, counter, rest, value) in LABELS {
        let mut named = tags.iter().filter(|tag| tag.text("tag_name") == Some(label));
        let cuts = |tag: &Node<'_>| {
            tag.text("regex").is_some_and(|regex| cuts(regex, counter, rest, value))
        };
        if !named.any(cuts) && !missing.contains(&label) {
            missing.push(label);
        }
    }
    if !missing.is_empty() {
        let found = format!("stats_config makes no label {}", missing.join(", "));
        findings.add(codes::LABELS_MISSING, bootstrap, found);
    }
}

/// Whether Envoy keeps a counter of that name at all.
fn keeps(matcher: &Node<'_>, counter: &str) -> bool {
    let taken = |list: &Node<'_>| list.list("patterns").iter().any(|p| guard::takes(p, counter));
    if let Some(left_out) = matcher.get("exclusion_list") {
        return !taken(&left_out);
    }
    match matcher.get("inclusion_list") {
        Some(kept) => taken(&kept),
        None => !matcher.is_true("reject_all"),
    }
}

/// Whether an expression leaves this of a counter's name, with this value. One that is not understood
/// is not judged.
fn cuts(regex: &str, counter: &str, rest: &str, value: &str) -> bool {
    let Ok(regex) = Regex::new(regex) else { return true };
    let Some(found) = regex.captures(counter) else { return false };
    // The first group is cut out of the name, the second is the value; one group is both.
    let Some(cut) = found.get(1) else { return false };
    let own = found.get(2).unwrap_or(cut);
    let left = [counter.get(..cut.start()), counter.get(cut.end()..)];
    left.into_iter().flatten().collect::<String>() == rest && own.as_str() == value
}
