//! What is written down of each request: access logs and traces that hold the token.

use super::codes;
use super::finding::Findings;
use crate::tree::Node;

/// Looks at everything in a document that is written down.
pub(super) fn check(document: &Node<'_>, findings: &mut Findings) {
    look(document, None, findings);
}

/// Looks at a node and all below it; `sink` is what writes them down.
fn look(node: &Node<'_>, sink: Option<&str>, findings: &mut Findings) {
    let Some(sink) = sink else {
        for (name, member) in node.members() {
            look(&member, is_sink(name).then_some(name), findings);
        }
        for item in node.items() {
            look(&item, None, findings);
        }
        return;
    };
    if node.value.as_str().is_some_and(is_read) {
        let found = format!("{sink} writes Authorization");
        findings.add(codes::TOKEN_LOGGED, node, found);
    }
    for (name, member) in node.members() {
        // A condition decides whether, not what.
        if matches!(name, "filter" | "match" | "matches") && !member.value.is_string() {
            continue;
        }
        let lower = name.to_ascii_lowercase();
        let names_a_header = matches!(lower.as_str(), "name" | "header_name" | "headername");
        if names_a_header && is_authorization(&member) {
            findings.add(codes::TOKEN_LOGGED, &member, format!("{sink} writes Authorization"));
        }
        if lower.contains("header") {
            for item in member.items().iter().filter(|item| is_authorization(item)) {
                findings.add(codes::TOKEN_LOGGED, item, format!("{sink} writes Authorization"));
            }
        }
        look(&member, Some(sink), findings);
    }
    for item in node.items() {
        look(&item, Some(sink), findings);
    }
}

/// Whether what stands under a name is written down somewhere.
fn is_sink(name: &str) -> bool {
    let name = name.replace('_', "").to_ascii_lowercase();
    name.contains("accesslog")
        || name == "upstreamlog"
        || name.contains("customtags")
        || name == "tracing"
}

/// Whether a format reads the header.
fn is_read(format: &str) -> bool {
    // Operators stand between two percent signs.
    format.split('%').skip(1).step_by(2).any(|operator| {
        let operator = operator.to_ascii_lowercase();
        let (name, rest) = operator.split_once('(').unwrap_or((&operator, ""));
        let arguments = rest.split(')').next().unwrap_or_default();
        match name {
            "req" | "req_without_query" | "request_header" => {
                arguments.split('?').any(|name| name.trim() == "authorization")
            }
            "cel" => rest.contains("authorization"),
            _ => false,
        }
    })
}

fn is_authorization(node: &Node<'_>) -> bool {
    node.value.as_str().is_some_and(|name| name.eq_ignore_ascii_case("authorization"))
}
