//! What a rule found in a document, and what it expected, in words: kinds of values and the values of
//! the configuration. It never shows a value of the document.

use oidc_token_connector::claims::json::Json;
use oidc_token_connector::claims::jsonpath::{Budget, JsonPath, Selection};

/// As many values are named; a message has one line.
const MOST: usize = 5;

/// Expected values, such as `one of "staff", "admin"`.
pub(super) fn expected(quantity: &str, values: &[String]) -> String {
    match values {
        [one] => one.clone(),
        _ => {
            let more = values.len().saturating_sub(MOST);
            let named: Vec<&str> = values.iter().take(MOST).map(String::as_str).collect();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{quantity} {}{more}", named.join(", "))
        }
    }
}

/// What is there instead of a text, or of a list of texts, that would do.
pub(super) fn texts(found: Option<&Json<'_>>, allows_list: bool) -> &'static str {
    match found {
        Some(Json::String(_)) => "another text",
        Some(Json::Array(elements)) if allows_list => {
            match elements.iter().all(|element| matches!(element, Json::String(_))) {
                true => "an array of other texts",
                false => "an array with elements that are no texts",
            }
        }
        Some(other) => kind(other),
        None => "nothing",
    }
}

/// What a path of `require_claims` finds instead of one of these values.
pub(super) fn claim(path: &str, document: &Json<'_>, values: &[String]) -> String {
    let select = |path: &str, values: &[String]| {
        JsonPath::compile(path).ok().map(|path| kinds(&path, document, values))
    };
    let found = select(path, values).unwrap_or(Found::Nothing);
    let all = path.strip_suffix("[*]").or_else(|| path.strip_suffix(".*"));
    match (found, all) {
        (Found::OverBudget, _) => "more steps than the budget allows".to_owned(),
        (Found::Nothing, Some(parent)) => match select(parent, &[]) {
            Some(Found::Kinds(kinds)) => {
                let kinds = kinds.join(", ");
                format!("nothing: `{parent}` is {kinds}, in which `{path}` selects nothing")
            }
            Some(Found::Nothing | Found::OverBudget) | None => "nothing".to_owned(),
        },
        (Found::Nothing, None) => "nothing".to_owned(),
        (Found::Kinds(kinds), _) => kinds.join(", "),
    }
}

/// How `[*]` is meant, where a path selects a whole list or object and values are in it.
pub(super) fn hint(path: &str, document: &Json<'_>) -> String {
    let selected = JsonPath::compile(path).ok();
    let selected = selected.map(|path| match path.select(document, &mut Budget::for_answer()) {
        Selection::One(Json::Array(_)) => Some("elements"),
        Selection::One(Json::Object(_)) => Some("members"),
        Selection::One(_) | Selection::Many(_) | Selection::Nothing | Selection::OverBudget => None,
    });
    match selected.flatten() {
        Some(parts) => format!("; `{path}[*]` selects its {parts}"),
        None => String::new(),
    }
}

/// What a path finds.
enum Found {
    Nothing,
    OverBudget,
    /// Each kind of value once.
    Kinds(Vec<&'static str>),
}

fn kinds(path: &JsonPath, document: &Json<'_>, values: &[String]) -> Found {
    let nodes = match path.select(document, &mut Budget::for_answer()) {
        Selection::One(node) => vec![node],
        Selection::Many(nodes) => nodes,
        Selection::Nothing => return Found::Nothing,
        Selection::OverBudget => return Found::OverBudget,
    };
    let texts = values.iter().any(|value| value.starts_with('"'));
    let numbers = values.iter().any(|value| is_number(value));
    let mut kinds = Vec::new();
    for node in nodes {
        let kind = match node {
            Json::String(_) if texts => "another text",
            Json::Number(_) if numbers => "another number, or one written in another way",
            Json::Bool(true) => "true",
            Json::Bool(false) => "false",
            Json::Null | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
                kind(node)
            }
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Found::Kinds(kinds)
}

fn is_number(written: &str) -> bool {
    written.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

fn kind(node: &Json<'_>) -> &'static str {
    match node {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}
