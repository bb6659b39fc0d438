//! Lists of distinct texts, as several keys have them, and scopes among them.

use super::file::Node;
use super::location::Report;
use super::problem::first_not;
use super::tree::Tree;

/// Longest scope, in bytes.
const LONGEST_SCOPE: usize = 256;

/// A list of 1 to `most` distinct texts that are not empty, and of which `wrong` says nothing; `allowed` says
/// what a text would be.
pub(crate) fn texts(
    node: &Node<'_>,
    most: usize,
    allowed: &str,
    wrong: impl Fn(&str) -> Option<String>,
    report: &mut Report,
) -> Vec<String> {
    let Tree::List(elements) = node.value else {
        return node.wrong_kind("an array of texts", report).unwrap_or_default();
    };
    let count = elements.len();
    if !(1..=most).contains(&count) {
        report.problem(&node.place, format!("got {count} elements, expected 1 to {most}"));
    }
    let mut texts: Vec<String> = Vec::new();
    for element in node.elements() {
        let Some(text) = element.text(allowed, report) else {
            continue;
        };
        let wrong = if text.is_empty() {
            Some(format!("got empty text, expected {allowed}"))
        } else if texts.iter().any(|other| other == text) {
            Some("repeated text, expected each once".to_owned())
        } else {
            wrong(text)
        };
        match wrong {
            Some(wrong) => report.problem(&element.place, wrong),
            None => texts.push(text.to_owned()),
        }
    }
    texts
}

/// What is wrong with a scope (RFC 6749 §3.3). In these characters it can stand in a challenge.
pub(crate) fn wrong_scope(text: &str) -> Option<String> {
    if text.len() > LONGEST_SCOPE {
        return Some(format!("got {} bytes, expected at most {LONGEST_SCOPE}", text.len()));
    }
    let found = first_not(text, |c| matches!(c, '!' | '#'..='[' | ']'..='~'))?;
    Some(format!(
        "got {found}, expected one scope in its characters (RFC 6749 §3.3): each scope is an element of \
         its own"
    ))
}
