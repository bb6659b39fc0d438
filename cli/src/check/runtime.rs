//! Envoy's runtime: settings by which it changes what the rest of its configuration says.

use serde_json::Value;

use super::codes;
use super::finding::Findings;
use crate::tree::Node;

/// The share of requests for which `path_with_escaped_slashes_action` counts.
const SLASHES: &str = "http_connection_manager.path_with_escaped_slashes_action_enabled";
/// What the names of settings begin with that change nothing the filter depends on.
const KNOWN: [&str; 14] = [
    "circuit_breakers.",
    "envoy.deprecated_features",
    "envoy.restart_features.",
    "health_check.",
    "http.async_response_buffer_limit",
    // These count only where the connection manager says nothing, which is a finding of its own.
    "http_connection_manager.normalize_path",
    "http_connection_manager.path_with_escaped_slashes_action",
    "listener.",
    "outlier_detection.",
    "overload.",
    "ratelimit.",
    "re2.",
    "tracing.",
    "upstream.",
];

/// Looks at the layers of a bootstrap whose Envoy has the filter.
pub(super) fn check(bootstrap: &Node<'_>, findings: &mut Findings) {
    let layers = bootstrap.get("layered_runtime").map(|runtime| runtime.list("layers"));
    for layer in layers.unwrap_or_default() {
        for kind in ["rtds_layer", "disk_layer"] {
            if let Some(at) = layer.get(kind) {
                let found = format!("the settings of {kind} are not in these files");
                findings.add(codes::NOT_JUDGED, &at, found);
            }
        }
        let Some(settings) = layer.get("static_layer") else { continue };
        for (name, setting) in flat(&settings, "") {
            if name == SLASHES {
                if !is_everything(&setting) {
                    let found = format!("{name} is not 100");
                    findings.add(codes::RUNTIME_OVERRIDES, &setting, found);
                }
            } else if !KNOWN.iter().any(|known| name.starts_with(known)) {
                let found = format!("check does not know what the runtime setting {name} changes");
                findings.add(codes::NOT_JUDGED, &setting, found);
            }
        }
    }
}

/// The settings of a layer, by their whole names: Envoy takes an object for the parts of a name.
fn flat<'a>(node: &Node<'a>, name: &str) -> Vec<(String, Node<'a>)> {
    let is_part = |node: &Node<'_>| node.value.is_object() && !node.has("numerator");
    let mut all = Vec::new();
    for (part, member) in node.members() {
        let whole = if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
        match is_part(&member) {
            true => all.extend(flat(&member, &whole)),
            false => all.push((whole, member)),
        }
    }
    all
}

/// Whether a share is all of it.
fn is_everything(share: &Node<'_>) -> bool {
    let number = |value: &Value| {
        value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse::<f64>().ok()))
    };
    let Some(numerator) = share.get("numerator") else {
        return number(share.value).is_some_and(|percent| percent >= 100.0);
    };
    let most = match share.get("denominator").map(|node| node.value.clone()) {
        Some(kind) if kind == "TEN_THOUSAND" || kind == 1 => 10_000.0,
        Some(kind) if kind == "MILLION" || kind == 2 => 1_000_000.0,
        _ => 100.0,
    };
    number(numerator.value).is_some_and(|numerator| numerator >= most)
}
