//! `filter_state` and `stat_name`: what Envoy's other filters, and its statistics, get to know.

use std::rc::Rc;

use super::file::Fields;
use super::inject;
use super::location::Report;
use crate::policy::ClaimRule;

/// Longest name, in bytes.
const LONGEST: usize = 64;

/// What the filter itself leaves there.
const OWN: &str = "oidc_outcome";

/// Reads `filter_state`: names, and where their values are in the UserInfo answer.
pub(super) fn filter_state(top: &Fields<'_>, report: &mut Report) -> Rc<[ClaimRule]> {
    let mut rules = Vec::new();
    for (name, node) in top.map("filter_state", report).iter().flat_map(Fields::iter) {
        let wrong = match wrong_name(name) {
            None if name == OWN => Some(format!("reserved name: the filter sets {OWN} itself")),
            wrong => wrong,
        };
        match (wrong, inject::value(&node, report)) {
            (Some(wrong), _) => report.problem(&node.place, wrong),
            (None, Some((path, lists))) => rules.push(ClaimRule { name: name.into(), path, lists }),
            (None, None) => {}
        }
    }
    rules.into()
}

/// Reads `stat_name`: what tells this instance's counters from those of others.
pub(super) fn stat_name(top: &Fields<'_>, report: &mut Report) -> Option<String> {
    let node = top.get("stat_name")?;
    let text = node.text("a name as text", report)?;
    if let Some(wrong) = wrong_name(text) {
        report.problem(&node.place, wrong);
        return None;
    }
    Some(text.to_owned())
}

/// A dot would end the name in a statistic, and other characters need quoting where it is read.
fn wrong_name(name: &str) -> Option<String> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.len() > LONGEST {
        let length = name.len();
        return Some(format!("got a name of {length} bytes, expected at most {LONGEST}"));
    }
    (!starts || !name.chars().all(allowed))
        .then(|| "invalid name, expected a-z, 0-9 and _, starting with a letter".to_owned())
}
