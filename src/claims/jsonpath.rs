//! JSONPath (RFC 9535), compiled once and walked within a step budget.
//!
//! The parser is `jsonpath-rust`'s; its evaluator is not used, because nothing bounds it and a
//! Wasm module runs without fuel: one document could stop a worker for seconds. A path that can
//! only select one node is walked directly. Evaluation must never take more than its budget.

mod budget;
mod compare;
mod error;
mod guide;
mod pattern;
mod plan;
mod refuse;
#[cfg(test)]
mod tests;
mod token;
mod walk;

use budget::OverBudget;
pub use budget::{ANSWER_STEPS, Budget};
pub use error::PathError;
use jsonpath_rust::parser::errors::JsonPathError;
use jsonpath_rust::parser::parse_json_path;
use pest::error::InputLocation;

use crate::claims::json::Json;
use plan::{Key, Segment};

/// Longest path that is read, in bytes.
pub const MAX_PATH_BYTES: usize = 256;

/// A compiled path.
#[derive(Debug)]
pub struct JsonPath {
    plan: Plan,
}

/// What a path found.
#[derive(Debug, PartialEq)]
pub enum Selection<'j, 'a> {
    /// No node.
    Nothing,
    /// The node of a path that can only select one.
    One(&'j Json<'a>),
    /// The nodes, at least one, of a path that may select several, in the order of RFC 9535; one
    /// node may be there more than once.
    Many(Vec<&'j Json<'a>>),
    /// The budget ran out before the answer was known.
    OverBudget,
}

#[derive(Debug)]
enum Plan {
    Singular(Vec<Key>),
    Plural(Vec<Segment>),
}

impl JsonPath {
    /// Compiles a path as a user writes it, in RFC 9535's or the connector guide's older form.
    pub fn compile(text: &str) -> Result<JsonPath, PathError> {
        JsonPath::read(text).map_err(PathError::on_one_line)
    }

    fn read(text: &str) -> Result<JsonPath, PathError> {
        let at = |offset, reason: &str| PathError { offset: Some(offset), reason: reason.into() };
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
        if text.is_empty() {
            return Err(at(0, "got empty text, expected a path: `$` is the whole document"));
        }
        if text.len() > MAX_PATH_BYTES {
            return Err(PathError {
                offset: None,
                reason: format!("got {} bytes, expected at most {MAX_PATH_BYTES}", text.len()),
            });
        }
        if text.starts_with(blank) {
            return Err(at(0, "got white space before the path: remove it"));
        }
        let end = text.trim_end_matches(blank).len();
        if end < text.len() {
            return Err(at(end, "got white space after the path: remove it"));
        }

        let translated = guide::translate(text)?;
        let query =
            parse_json_path(&translated.text).map_err(|error| unparsed(&translated, &error))?;
        let segments = refuse::plan(&query).map_err(|reason| PathError { offset: None, reason })?;
        let keys = segments.iter().map(|segment| segment.only_key().cloned()).collect();
        let plan = match keys {
            Some(keys) => Plan::Singular(keys),
            None => Plan::Plural(segments),
        };
        Ok(JsonPath { plan })
    }

    /// Whether the path can only select one node: names and indexes, nothing else.
    pub fn is_singular(&self) -> bool {
        match self.plan {
            Plan::Singular(_) => true,
            Plan::Plural(_) => false,
        }
    }

    /// Runs the path over a document. A singular path takes nothing from the budget: its work is
    /// bounded by the document.
    pub fn select<'j, 'a>(&self, document: &'j Json<'a>, budget: &mut Budget) -> Selection<'j, 'a> {
        match &self.plan {
            Plan::Singular(keys) => match walk::follow(keys, document) {
                Some(node) => Selection::One(node),
                None => Selection::Nothing,
            },
            Plan::Plural(segments) => match walk::select(segments, document, budget) {
                Ok(nodes) if nodes.is_empty() => Selection::Nothing,
                Ok(nodes) => Selection::Many(nodes),
                Err(OverBudget) => Selection::OverBudget,
            },
        }
    }
}

fn unparsed(translated: &guide::Translated, error: &JsonPathError) -> PathError {
    let offset = if let JsonPathError::PestError(error) = error {
        let (InputLocation::Pos(at) | InputLocation::Span((at, _))) = error.location;
        Some(translated.source_offset(at))
    } else {
        None
    };
    PathError { offset, reason: "not a JSONPath (RFC 9535)".to_owned() }
}
