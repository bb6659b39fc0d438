//! Target: a JSONPath and a document. Input: the path, a line break, the document.

use jsonpath_rust::JsonPath as _;
use jsonpath_rust::parser::parse_json_path;
use oidc_token_connector::claims::json::{self, Json};
use oidc_token_connector::claims::jsonpath::{Budget, JsonPath, MAX_PATH_BYTES, Selection};

/// Runs the target.
pub fn check(data: &[u8]) {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let Ok(text) = std::str::from_utf8(&data[..at]) else { return };
    let path = match JsonPath::compile(text) {
        Ok(path) => path,
        Err(refused) => {
            assert!(!refused.reason.is_empty());
            assert!(!refused.reason.chars().any(char::is_control), "{:?}", refused.reason);
            assert!(refused.offset.is_none_or(|at| at <= text.len() && text.is_char_boundary(at)));
            return;
        }
    };
    assert!(text.len() <= MAX_PATH_BYTES);
    let bytes = data.get(at + 1..).unwrap_or_default();
    let Ok(document) = json::parse(bytes) else { return };
    round_trip(&document);

    let mut full = Budget::for_answer();
    let allowed = full.steps;
    let selection = path.select(&document, &mut full);
    let taken = allowed - full.steps;
    match &selection {
        Selection::One(_) => assert!(path.is_singular() && taken == 0),
        Selection::Many(nodes) => {
            assert!(!path.is_singular() && !nodes.is_empty());
            assert!(nodes.len() <= taken as usize, "{} nodes in {taken} steps", nodes.len());
        }
        Selection::Nothing | Selection::OverBudget => {}
    }
    if selection != Selection::OverBudget {
        // Just enough is enough; one less is too little, and never a shorter list.
        let mut exact = Budget { steps: taken };
        assert_eq!(path.select(&document, &mut exact), selection);
        assert_eq!(exact.steps, 0);
        if let Some(less) = taken.checked_sub(1) {
            let short = path.select(&document, &mut Budget { steps: less });
            assert_eq!(short, Selection::OverBudget);
        }
    }
    without_its_root(text, &path, &document, &selection);
    if path.is_singular() {
        agrees(text, bytes, &selection);
    }
}

/// Compact text is the same document again, and its limit is kept.
fn round_trip(document: &Json<'_>) {
    let compact = document.to_compact();
    assert!(!compact.chars().any(char::is_control), "{compact:?}");
    let again = json::parse(compact.as_bytes()).expect("compact text is JSON");
    assert_eq!(&again, document);
    let half = compact.len() / 2;
    let mut short = String::new();
    assert!(!document.append_compact(&mut short, half));
}

/// The leading `$` may be left out.
fn without_its_root(text: &str, path: &JsonPath, document: &Json<'_>, found: &Selection<'_, '_>) {
    let full = match text.as_bytes() {
        [b'$', ..] => return,
        [b'.' | b'[', ..] => format!("${text}"),
        _ => format!("$.{text}"),
    };
    if full.len() > MAX_PATH_BYTES {
        return;
    }
    let full = JsonPath::compile(&full).expect("with its `$` as good as without");
    assert_eq!(full.is_singular(), path.is_singular());
    assert_eq!(&full.select(document, &mut Budget::for_answer()), found);
}

/// Where the parser's own evaluator reads the same path, it finds the same node.
fn agrees(text: &str, bytes: &[u8], found: &Selection<'_, '_>) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let Ok(query) = parse_json_path(text) else { return };
    if query.segments.is_empty() {
        return;
    }
    let Ok(theirs) = value.query(text) else { return };
    match (found, theirs.as_slice()) {
        (Selection::Nothing, []) => {}
        (Selection::One(Json::String(ours)), [serde_json::Value::String(theirs)]) => {
            assert_eq!(ours, theirs);
        }
        (Selection::One(Json::Array(ours)), [serde_json::Value::Array(theirs)]) => {
            assert_eq!(ours.len(), theirs.len());
        }
        (Selection::One(Json::Object(ours)), [serde_json::Value::Object(theirs)]) => {
            assert!(ours.iter().all(|(name, _)| theirs.contains_key(name.as_ref())));
        }
        (Selection::One(Json::Bool(ours)), [serde_json::Value::Bool(theirs)]) => {
            assert_eq!(ours, theirs);
        }
        (Selection::One(Json::Null), [serde_json::Value::Null])
        | (Selection::One(Json::Number(_)), [serde_json::Value::Number(_)]) => {}
        _ => panic!("{text} on {bytes:?}: {found:?}, theirs {theirs:?}"),
    }
}
