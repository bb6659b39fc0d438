//! The endpoint of one region or issuer, as the configuration writes it: a URI, or several in the order in
//! which they are tried.

use crate::config::file::Node;
use crate::config::location::{Location, Report};
use crate::config::tree::Tree;
use crate::config::uri::{self, Uri};

/// Most sites of one endpoint.
const MOST_SITES: usize = 5;

/// One region's endpoint as written.
#[derive(Debug)]
pub(crate) struct Region {
    /// The region code, or `default`.
    pub(crate) code: String,
    /// The issuer whose tokens go there, where that chooses.
    pub(crate) issuer: Option<String>,
    /// In order; at least one.
    pub(crate) targets: Vec<Target>,
}

/// One site as written.
#[derive(Debug)]
pub(crate) struct Target {
    /// Where it is called.
    pub(crate) uri: Uri,
    /// Where the configuration says so.
    pub(crate) place: Location,
}

/// A region's endpoint: one URI, or several in the order in which they are tried.
pub(super) fn region(code: &str, node: Node<'_>, report: &mut Report) -> Option<Region> {
    let targets: Vec<Target> = match node.value {
        Tree::List(elements) => {
            let count = elements.len();
            if !(1..=MOST_SITES).contains(&count) {
                let message = format!("got {count} endpoint URIs, expected 1 to {MOST_SITES}");
                report.problem(&node.place, message);
            }
            let mut targets: Vec<Target> = Vec::new();
            for element in node.elements() {
                let Some(target) = target(&element, "an endpoint URI as text", report) else {
                    continue;
                };
                if targets.iter().any(|other| other.uri == target.uri) {
                    report.problem(&target.place, "repeated endpoint URI, expected each once");
                }
                targets.push(target);
            }
            targets
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Object(_) => {
            let allowed = "an endpoint URI as text, or an array of them";
            target(&node, allowed, report).into_iter().collect()
        }
    };
    (!targets.is_empty()).then(|| Region { code: code.to_owned(), issuer: None, targets })
}

fn target(node: &Node<'_>, allowed: &str, report: &mut Report) -> Option<Target> {
    let text = node.text(allowed, report)?;
    match uri::endpoint(text) {
        Ok(uri) => Some(Target { uri, place: node.place.clone() }),
        Err(wrong) => {
            report.problem(&node.place, wrong);
            None
        }
    }
}
