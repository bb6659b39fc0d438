//! The RFC 9535 compliance suite, where it is at hand. Every case passes, or is listed below with
//! the documented limit that refuses it.

#![allow(clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::path::Path;

use oidc_token_connector::claims::json::{self, Json};
use oidc_token_connector::claims::jsonpath::{Budget, JsonPath, Selection};

/// Valid selectors that are refused by a documented limit, under the reason that the user reads.
/// No invalid selector of the suite is accepted: none of them is a bare name.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "got a query in a filter that can select several nodes, expected only names and indexes: no `..`, `*`, slice, union or filter",
        &[
            "filter, absolute existence, with segments",
            "filter, non-singular existence, wildcard",
            "filter, non-singular existence, multiple",
            "filter, non-singular existence, slice",
            "filter, non-singular existence, negated",
        ],
    ),
    ("nested filters are not supported", &["filter, nested"]),
    (
        "got function `length` in a filter, expected `match` or `search`",
        &[
            "filter, equals, special nothing",
            "filter, equals, empty node list and special nothing",
            "functions, length, string data",
            "functions, length, string data, unicode",
            "functions, length, array data",
            "functions, length, missing data",
            "functions, length, number arg",
            "functions, length, true arg",
            "functions, length, false arg",
            "functions, length, null arg",
            "functions, length, arg is a function expression",
            "functions, length, arg is special nothing",
            "whitespace, functions, spaces in a relative singular selector",
            "whitespace, functions, newlines in a relative singular selector",
            "whitespace, functions, tabs in a relative singular selector",
            "whitespace, functions, returns in a relative singular selector",
            "whitespace, functions, spaces in an absolute singular selector",
            "whitespace, functions, newlines in an absolute singular selector",
            "whitespace, functions, tabs in an absolute singular selector",
            "whitespace, functions, returns in an absolute singular selector",
        ],
    ),
    (
        "got function `count` in a filter, expected `match` or `search`",
        &[
            "functions, count, count function",
            "functions, count, single-node arg",
            "functions, count, multiple-selector arg",
            "whitespace, functions, space between parenthesis and arg",
            "whitespace, functions, newline between parenthesis and arg",
            "whitespace, functions, tab between parenthesis and arg",
            "whitespace, functions, return between parenthesis and arg",
            "whitespace, functions, space between arg and parenthesis",
            "whitespace, functions, newline between arg and parenthesis",
            "whitespace, functions, tab between arg and parenthesis",
            "whitespace, functions, return between arg and parenthesis",
        ],
    ),
    (
        "the pattern of `match` and `search` must be text in quotes",
        &[
            "functions, match, regex from the document",
            "functions, match, non-string second arg",
            "functions, search, regex from the document",
            "functions, search, non-string second arg",
        ],
    ),
    (
        "`\\p` and `\\P` (Unicode categories) are not supported in a pattern: use a range such as [A-Z]",
        &[
            "functions, match, filter, match function, unicode char class, uppercase",
            "functions, match, filter, match function, unicode char class negated, uppercase",
            "functions, search, filter, search function, unicode char class, uppercase",
            "functions, search, filter, search function, unicode char class negated, uppercase",
        ],
    ),
    (
        "got function `value` in a filter, expected `match` or `search`",
        &[
            "functions, match, arg is a function expression",
            "functions, search, arg is a function expression",
            "functions, value, single-value nodelist",
            "functions, value, multi-value nodelist",
        ],
    ),
];

#[test]
fn every_compliance_case_passes_or_hits_a_documented_limit() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/jsonpath-compliance.json");
    let Ok(bytes) = std::fs::read(&file) else {
        // Past the test harness, which shows what is printed only where a test fails.
        let mut shown = std::io::stderr();
        let _ = writeln!(shown, "LEFT OUT: no JSONPath compliance suite at {}", file.display());
        return;
    };
    let suite = json::parse(&bytes).expect("the suite is JSON");
    let Some(Json::Array(cases)) = suite.member("tests") else { panic!("no tests in the suite") };
    assert_eq!(cases.len(), 703);

    let mut wrong = Vec::new();
    let mut refused = Vec::new();
    for case in cases {
        let name = text(case, "name");
        match run(case) {
            Outcome::Passed => {}
            Outcome::Refused(reason) => refused.push((name, reason)),
            Outcome::Wrong(what) => wrong.push(format!("{name}: {what}")),
        }
    }
    assert!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));

    let listed: Vec<(&str, String)> = REFUSED
        .iter()
        .flat_map(|(reason, names)| names.iter().map(|name| (*name, (*reason).to_owned())))
        .collect();
    let unlisted: Vec<_> = refused.iter().filter(|case| !listed.contains(case)).collect();
    assert!(unlisted.is_empty(), "refused, but not listed: {unlisted:#?}");
    let stale: Vec<_> = listed.iter().filter(|case| !refused.contains(case)).collect();
    assert!(stale.is_empty(), "listed, but not refused like this: {stale:#?}");
    assert_eq!(refused.len(), listed.len(), "a case is listed twice");
}

enum Outcome {
    Passed,
    Refused(String),
    Wrong(String),
}

fn run(case: &Json<'_>) -> Outcome {
    let selector = text(case, "selector");
    let compiled = JsonPath::compile(selector);
    if case.member("invalid_selector") == Some(&Json::Bool(true)) {
        return match compiled {
            Err(_) => Outcome::Passed,
            Ok(_) => Outcome::Wrong(format!("{selector} is invalid, yet accepted")),
        };
    }
    let path = match compiled {
        Ok(path) => path,
        Err(error) => return Outcome::Refused(error.reason),
    };
    let document = case.member("document").expect("a document");
    let mut budget = Budget { steps: 100_000 };
    let found = match path.select(document, &mut budget) {
        Selection::Nothing => Vec::new(),
        Selection::One(node) => vec![node.clone()],
        Selection::Many(nodes) => nodes.into_iter().cloned().collect(),
        Selection::OverBudget => return Outcome::Wrong("over budget".to_owned()),
    };
    let found = Json::Array(found);
    let expected = match (case.member("result"), case.member("results")) {
        (Some(result), None) => std::slice::from_ref(result),
        (None, Some(Json::Array(results))) => results.as_slice(),
        other => panic!("a case without a result: {other:?}"),
    };
    if expected.contains(&found) {
        Outcome::Passed
    } else {
        Outcome::Wrong(format!("{selector} found {}", found.to_compact()))
    }
}

fn text<'j>(case: &'j Json<'_>, name: &str) -> &'j str {
    match case.member(name) {
        Some(Json::String(text)) => text,
        other => panic!("{name} is no text: {other:?}"),
    }
}
