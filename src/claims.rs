//! From a UserInfo document to values that are safe in a header.
//!
//! A claim that cannot be written as it is, is not written: never truncated, rounded or trimmed,
//! because two users' different claims must not become one header value.

use crate::config::{ClaimRule, Lists};
use crate::json::Json;
use crate::jsonpath::{Budget, Selection};

/// Longest header value, in bytes.
pub const MAX_VALUE: usize = 4 * 1024;

/// Most bytes of all injected headers of one request, names and values: what usual backends still
/// take. A user who writes a long profile must not get every request refused there.
pub const MAX_ALL: usize = 16 * 1024;

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A value for its header.
    Value(String),
    /// Nothing: no such node, `null`, or an empty text.
    Absent,
    /// Something that no header may carry.
    Invalid,
    /// The search was given up; counts as nothing found.
    OverBudget,
}

/// Reads one rule's claim.
pub fn read(document: &Json<'_>, rule: &ClaimRule, budget: &mut Budget) -> Claim {
    let selection = rule.path.select(document, budget);
    let text = match (&rule.lists, &selection) {
        (_, Selection::OverBudget) => return Claim::OverBudget,
        (Lists::Joined(separator), Selection::Many(nodes)) => {
            joined(nodes.iter().copied(), separator)
        }
        (Lists::Joined(separator), Selection::One(Json::Array(elements))) => {
            joined(elements.iter(), separator)
        }
        (Lists::Joined(_) | Lists::Json, _) => text(&selection, MAX_VALUE),
    };
    match text {
        Ok(text) if text.is_empty() => Claim::Absent,
        Ok(text) if is_header_safe(&text) => Claim::Value(text),
        Ok(_) | Err(Unwritable) => Claim::Invalid,
    }
}

/// What was found cannot be written as asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unwritable;

/// A selection as text of at most `limit` bytes: a string as it is, a number as written, what else
/// there is as compact JSON; empty for nothing and for `null`. The work is bounded by `limit`: a
/// path may select one large value many times.
pub(crate) fn text(selection: &Selection<'_, '_>, limit: usize) -> Result<String, Unwritable> {
    let mut text = String::new();
    let fits = match selection {
        Selection::Nothing | Selection::OverBudget | Selection::One(Json::Null) => true,
        Selection::One(Json::String(string)) => append(&mut text, string, limit),
        Selection::One(node) => node.append_compact(&mut text, limit),
        Selection::Many(nodes) => {
            let mut opening = "[";
            nodes.iter().all(|node| {
                let fits = append(&mut text, opening, limit);
                opening = ",";
                fits && node.append_compact(&mut text, limit)
            }) && append(&mut text, "]", limit)
        }
    };
    if fits { Ok(text) } else { Err(Unwritable) }
}

/// Elements with the separator between them. Only scalars can be joined, and only those that do
/// not contain the separator: a group named `users,admin` must not become two groups.
fn joined<'j, 'a: 'j>(
    nodes: impl Iterator<Item = &'j Json<'a>>,
    separator: &str,
) -> Result<String, Unwritable> {
    let mut text = String::new();
    for (place, node) in nodes.enumerate() {
        let element = match node {
            Json::String(text) | Json::Number(text) => text.as_ref(),
            Json::Bool(true) => "true",
            Json::Bool(false) => "false",
            Json::Null | Json::Array(_) | Json::Object(_) => return Err(Unwritable),
        };
        let between = if place == 0 { "" } else { separator };
        let joinable = !element.is_empty() && !element.contains(separator);
        if !joinable
            || !append(&mut text, between, MAX_VALUE)
            || !append(&mut text, element, MAX_VALUE)
        {
            return Err(Unwritable);
        }
    }
    Ok(text)
}

fn append(text: &mut String, more: &str, limit: usize) -> bool {
    let fits = text.len().saturating_add(more.len()) <= limit;
    if fits {
        text.push_str(more);
    }
    fits
}

/// Whether a text can stand for a user: there is something, and a header can carry it. A subject
/// that no header can carry would reach the upstream authenticated and without an identity.
pub(crate) fn is_identity(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_VALUE && is_header_safe(text)
}

/// Text without control characters and without blanks at its ends.
fn is_header_safe(text: &str) -> bool {
    !text.chars().any(char::is_control)
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::jsonpath::JsonPath;

    #[track_caller]
    fn check(path: &str, join: Option<&str>, body: &str, expected: Claim) {
        let rule = ClaimRule {
            name: "x-claim".into(),
            path: JsonPath::compile(path).unwrap(),
            lists: join.map_or(Lists::Json, |s| Lists::Joined(s.to_owned())),
        };
        let document = json::parse(body.as_bytes()).unwrap();
        let claim = read(&document, &rule, &mut Budget::for_answer());
        assert_eq!(claim, expected, "{path} on {body}");
    }

    fn value(text: &str) -> Claim {
        Claim::Value(text.to_owned())
    }

    #[test]
    fn one_node_as_text() {
        for (json, text) in [
            (r#""Claes Rosenlöf""#, "Claes Rosenlöf"),
            (r#""\u00e9\ud83d\ude00""#, "é😀"),
            ("true", "true"),
            ("false", "false"),
            ("0", "0"),
            ("-0", "-0"),
            ("1.50", "1.50"),
            ("1e400", "1e400"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("9007199254740993", "9007199254740993"),
            ("[]", "[]"),
            ("{}", "{}"),
            (r#"{"b": [1, "x"], "a": null}"#, r#"{"b":[1,"x"],"a":null}"#),
        ] {
            check("$.c", None, &format!("{{\"c\": {json}}}"), value(text));
        }
    }

    #[test]
    fn nothing_or_nothing_to_say() {
        check("$.c", None, "{}", Claim::Absent);
        check("$.c", None, r#"{"c":null}"#, Claim::Absent);
        check("$.c", None, r#"{"c":""}"#, Claim::Absent);
        check("$.c[*]", None, r#"{"c":[]}"#, Claim::Absent);
    }

    #[test]
    fn what_no_header_may_carry() {
        for text in
            ["a\\r\\nb", "a\\u0000b", "a\\tb", "a\\u007fb", "a\\u0085b", " a", "a ", "\\u00a0a"]
        {
            check("$.c", None, &format!("{{\"c\":\"{text}\"}}"), Claim::Invalid);
        }
        let longest = "x".repeat(MAX_VALUE);
        check("$.c", None, &format!("{{\"c\":\"{longest}\"}}"), value(&longest));
        check("$.c", None, &format!("{{\"c\":\"{longest}x\"}}"), Claim::Invalid);
    }

    #[test]
    fn several_nodes_are_a_list_even_if_there_is_one() {
        check("$.c[*]", None, r#"{"c":["a"]}"#, value(r#"["a"]"#));
        check("$.c[*]", None, r#"{"c":["a",{"b":1.0}]}"#, value(r#"["a",{"b":1.0}]"#));
    }

    #[test]
    fn joined_lists() {
        let join = Some(",");
        check("$.c[*]", join, r#"{"c":["a",1,true]}"#, value("a,1,true"));
        check("$.c", join, r#"{"c":["a","b"]}"#, value("a,b"));
        check("$.c", join, r#"{"c":"a"}"#, value("a"));
        check("$.c", join, r#"{"c":[]}"#, Claim::Absent);
        for elements in [r#""a,b","c""#, r#""a",["b"]"#, r#""a",null"#, r#""a",{}"#, r#""a","""#] {
            check("$.c[*]", join, &format!("{{\"c\":[{elements}]}}"), Claim::Invalid);
        }
        check("$.c", Some(" "), r#"{"c":["a","b"]}"#, value("a b"));
    }

    /// Four gigabytes, were they written.
    #[test]
    fn a_value_that_is_selected_over_and_over_is_written_up_to_the_limit() {
        let forty = format!("[{}]", ["0"; 40].join(","));
        let path = format!("${forty}{forty}{forty}");
        let body = format!("[[[\"{}\"]]]", "x".repeat(60_000));
        check(&path, None, &body, Claim::Invalid);
        check(&path, Some(","), &body, Claim::Invalid);
    }

    #[test]
    fn a_value_that_is_selected_a_few_times_is_written_as_often() {
        let long = "x".repeat(1000);
        let fits = format!("[\"{long}\"]");
        check("$[0,0,0]", Some(","), &fits, value(&[&*long; 3].join(",")));
        check("$[0,0,0,0]", Some(","), &fits, value(&[&*long; 4].join(",")));
        check("$[0,0,0,0,0]", Some(","), &fits, Claim::Invalid);
        let list = format!("[\"{}\"]", [&*long; 4].join("\",\""));
        check("$[0,0,0,0]", None, &fits, value(&list));
        check("$[0,0,0,0,0]", None, &fits, Claim::Invalid);
    }

    #[test]
    fn the_longest_value_of_each_form() {
        let nine = |length: usize| "9".repeat(length);
        let array = |length: usize| format!("[{}]", nine(length - 2));
        for join in [None, Some(",")] {
            check("$", join, &nine(MAX_VALUE), value(&nine(MAX_VALUE)));
            check("$", join, &nine(MAX_VALUE + 1), Claim::Invalid);
        }
        check("$", None, &array(MAX_VALUE), value(&array(MAX_VALUE)));
        check("$", None, &array(MAX_VALUE + 1), Claim::Invalid);
        let one = |length: usize| format!("[{}]", nine(length));
        check("$[*]", Some(","), &one(MAX_VALUE), value(&nine(MAX_VALUE)));
        check("$[*]", Some(","), &one(MAX_VALUE + 1), Claim::Invalid);
        check("$[*]", None, &array(MAX_VALUE), value(&array(MAX_VALUE)));
        check("$[*]", None, &array(MAX_VALUE + 1), Claim::Invalid);
    }

    #[test]
    fn over_budget_is_not_a_value() {
        let rule = ClaimRule {
            name: "x".into(),
            path: JsonPath::compile("$..*").unwrap(),
            lists: Lists::Json,
        };
        let document = json::parse(b"[[[1]]]").unwrap();
        assert_eq!(read(&document, &rule, &mut Budget { steps: 2 }), Claim::OverBudget);
    }
}
