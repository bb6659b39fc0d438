//! A document as it is written: its values before anybody reads them, each with its line.
//!
//! Aliases share what they refer to, so a small file never becomes a large one here.

use std::rc::Rc;

use serde_json::Value;

/// A line and a column, from 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Location {
    /// The line.
    pub(crate) line: usize,
    /// The column.
    pub(crate) column: usize,
}

impl Location {
    /// A message about it.
    pub(crate) fn says(self, what: &str) -> String {
        format!("line {}, column {}: {what}", self.line, self.column)
    }
}

/// A value as written; aliases share it.
#[derive(Debug)]
pub(crate) struct Tree {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it begins.
    pub(crate) at: Location,
    /// How many values it is, with all in it.
    pub(crate) values: usize,
    /// How deep it is.
    pub(crate) depth: usize,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Text, and whether it has no quotes, or a tag that overrides quotes.
    Scalar(String, bool),
    /// A sequence.
    List(Vec<Rc<Tree>>),
    /// A mapping, with its keys in their order.
    Object(Vec<(Rc<Tree>, Rc<Tree>)>),
}

impl Tree {
    /// Whether it is a manifest of Kubernetes.
    pub(crate) fn is_manifest(&self) -> bool {
        self.key("apiVersion").is_some() && self.key("kind").is_some()
    }

    /// The line of a place such as `static_resources.listeners[0]`: that of its key, or of the
    /// innermost value around it that is written.
    pub(crate) fn line(&self, place: &str) -> usize {
        let (mut tree, mut line, mut rest) = (self, self.at.line, place);
        while let Some((step, after)) = step(rest) {
            let inner = match (&tree.kind, &step) {
                (Kind::List(items), Step::Item(index)) => {
                    items.get(*index).map(|item| (item.at.line, item))
                }
                (_, Step::Member(name)) => tree.key(name).map(|(key, value)| (key.at.line, value)),
                (Kind::Scalar(..) | Kind::Object(_), Step::Item(_)) => None,
            };
            let Some((at, value)) = inner else { break };
            (tree, line, rest) = (value, at, after);
        }
        line
    }

    fn key(&self, wanted: &str) -> Option<&(Rc<Tree>, Rc<Tree>)> {
        let Kind::Object(members) = &self.kind else { return None };
        let is = |key: &Tree| matches!(&key.kind, Kind::Scalar(text, _) if text == wanted);
        members.iter().find(|(key, _)| is(key))
    }
}

enum Step {
    Item(usize),
    Member(String),
}

/// The first step of a place, as `tree::join` writes it, and what comes after it.
fn step(place: &str) -> Option<(Step, &str)> {
    let place = place.strip_prefix('.').unwrap_or(place);
    let Some(bracketed) = place.strip_prefix('[') else {
        let end = place.find(['.', '[']).unwrap_or(place.len());
        let (name, rest) = place.split_at_checked(end)?;
        return (!name.is_empty()).then(|| (Step::Member(name.to_owned()), rest));
    };
    if bracketed.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(bracketed).into_iter::<Value>();
        let Some(Ok(Value::String(name))) = values.next() else { return None };
        let rest = bracketed.get(values.byte_offset()..)?.strip_prefix(']')?;
        return Some((Step::Member(name), rest));
    }
    let (index, rest) = bracketed.split_once(']')?;
    Some((Step::Item(index.parse().ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_apart() {
        let steps = |mut place: &str| {
            let mut steps = Vec::new();
            while let Some((step, rest)) = step(place) {
                steps.push(match step {
                    Step::Item(index) => index.to_string(),
                    Step::Member(name) => format!("<{name}>"),
                });
                place = rest;
            }
            steps.concat()
        };
        for (place, expected) in [
            ("", ""),
            ("a", "<a>"),
            ("a.b[0].c", "<a><b>0<c>"),
            ("[12][3]", "123"),
            (r#"a["x.y"].b"#, "<a><x.y><b>"),
            (r#"["\"]"][1]"#, "<\"]>1"),
            ("[", ""),
            ("a[x]", "<a>"),
        ] {
            assert_eq!(steps(place), expected, "{place}");
        }
    }
}
