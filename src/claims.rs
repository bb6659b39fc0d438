//! From a document, the provider's response or the token's payload, to values that are safe in a header.
//!
//! A claim that cannot be written as it is, is not written: never truncated, rounded or trimmed,
//! because two users' different claims must not become one header value.

pub mod json;
pub mod jsonpath;
pub mod required;
pub mod rules;
pub mod token;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::claims::json::Json;
use crate::claims::jsonpath::{Budget, Selection};
use crate::claims::rules::{Encoding, Lists, ValueRule};

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

/// How many claims of one response gave nothing although something was, or may have been, there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClaimFaults {
    /// Values that no header, and no filter state, may carry.
    pub invalid: u32,
    /// Searches given up for their cost.
    pub over_budget: u32,
}

impl ClaimFaults {
    /// A value that cannot be handed on.
    pub(crate) fn one_invalid(&mut self) {
        self.invalid = self.invalid.saturating_add(1);
    }

    /// A search is given up.
    pub(crate) fn one_over_budget(&mut self) {
        self.over_budget = self.over_budget.saturating_add(1);
    }
}

/// Reads one rule's claim.
pub fn read(document: &Json<'_>, rule: &ValueRule, budget: &mut Budget) -> Claim {
    let selection = rule.path.select(document, budget);
    let text = match (&rule.lists, &selection) {
        (_, Selection::OverBudget) => return Claim::OverBudget,
        (Lists::Joined(separator), Selection::Many(nodes)) => {
            joined(nodes.iter().copied(), separator)
        }
        (Lists::Joined(separator), Selection::One(Json::Array(elements))) => {
            joined(elements.iter(), separator)
        }
        // One value is a list of one, as providers write it: a group `a,b` must not become two.
        (Lists::Joined(separator), Selection::One(node)) => joined([*node].into_iter(), separator),
        (Lists::Always, Selection::One(node)) => list_of_one(node),
        (Lists::Joined(_) | Lists::Json | Lists::Always, _) => text(&selection, MAX_VALUE),
    };
    match text.map(|text| encoded(text, rule.encoding)) {
        Ok(text) if text.is_empty() => Claim::Absent,
        Ok(text) if text.len() <= MAX_VALUE && is_header_safe(&text) => Claim::Value(text),
        Ok(_) | Err(Unwritable) => Claim::Invalid,
    }
}

/// A JSON array also of one value; what says nothing is no value.
fn list_of_one(node: &Json<'_>) -> Result<String, Unwritable> {
    match node {
        Json::Null => Ok(String::new()),
        Json::String(text) if text.is_empty() => Ok(String::new()),
        Json::Array(_) => text(&Selection::One(node), MAX_VALUE),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => {
            text(&Selection::Many(vec![node]), MAX_VALUE)
        }
    }
}

/// Percent-encoding of all but the unreserved characters (RFC 3986 §2.3), of the text's UTF-8.
pub(crate) fn percent_encoded(text: &str) -> String {
    const RESERVED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The UTF-8 of a text in characters that any backend takes.
fn encoded(text: String, encoding: Encoding) -> String {
    match encoding {
        Encoding::Plain => text,
        Encoding::Percent => percent_encoded(&text),
        Encoding::Base64Url => URL_SAFE_NO_PAD.encode(text),
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

/// Elements with the separator between them. What says nothing, and what no separator can part, is
/// left out: `null`, `""`, arrays and objects.
fn joined<'j, 'a: 'j>(
    nodes: impl Iterator<Item = &'j Json<'a>>,
    separator: &str,
) -> Result<String, Unwritable> {
    let mut text = String::new();
    for node in nodes {
        let element = match node {
            Json::String(text) | Json::Number(text) => text.as_ref(),
            Json::Bool(true) => "true",
            Json::Bool(false) => "false",
            Json::Null | Json::Array(_) | Json::Object(_) => "",
        };
        if element.is_empty() {
            continue;
        }
        let between = if text.is_empty() { "" } else { separator };
        if !append(&mut text, between, MAX_VALUE)
            || !append(&mut text, element, MAX_VALUE)
            || !can_be_parted(element, separator)
        {
            return Err(Unwritable);
        }
    }
    Ok(text)
}

/// Whether a reader that splits a joined list gets this element back, from the left or from the
/// right, with or without surrounding spaces: a group `users,admin` must not become two, and `
/// admin` must not become `admin`.
fn can_be_parted(element: &str, separator: &str) -> bool {
    if element.starts_with(is_blank) || element.ends_with(is_blank) {
        return false;
    }
    let core = separator.trim_matches(is_blank);
    if core.is_empty() {
        return !element.contains(is_blank);
    }
    if core.len() == 1 {
        return !element.contains(core);
    }
    // Neither within the element nor with its edges, `admin|` before `||`, may there be another one.
    let between = [separator, element, separator].concat();
    between.as_bytes().windows(core.len()).filter(|part| *part == core.as_bytes()).count() == 2
}

/// What somebody's `trim` takes away: Unicode's blanks, and what JavaScript takes for one too.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{FEFF}'
}

fn append(text: &mut String, more: &str, limit: usize) -> bool {
    let fits = text.len().saturating_add(more.len()) <= limit;
    if fits {
        text.push_str(more);
    }
    fits
}

/// Whether a text can identify a user: it is not empty, and a header can carry it. A subject
/// that no header can carry would reach the upstream authenticated and without an identity.
pub(crate) fn is_identity(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_VALUE && is_header_safe(text)
}

/// Whether all bytes are printable ASCII, eight at a time.
fn is_printable_ascii(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (eights, rest) = bytes.as_chunks::<8>();
    let is_printable = |eight: &[u8; 8]| {
        let eight = u64::from_le_bytes(*eight);
        // The highest bit of a byte is set: in a byte below 0x20 by the borrow, in one above 0x7E by the sum,
        // or it was set before.
        let control = eight.wrapping_sub(ONES.wrapping_mul(0x20));
        let high = eight.wrapping_add(ONES);
        (control | high | eight) & ONES.wrapping_mul(0x80) == 0
    };
    eights.iter().all(is_printable) && rest.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Text without control characters and without blanks at its ends.
fn is_header_safe(text: &str) -> bool {
    // Nearly all values are printable ASCII, which needs no decoding.
    if is_printable_ascii(text.as_bytes()) {
        return !text.starts_with(' ') && !text.ends_with(' ');
    }
    !text.chars().any(char::is_control)
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::json;
    use crate::claims::jsonpath::JsonPath;

    #[track_caller]
    fn check(path: &str, join: Option<&str>, body: &str, expected: Claim) {
        let rule = ValueRule {
            lists: join.map_or(Lists::Json, |s| Lists::Joined(s.to_owned())),
            ..ValueRule::plain(JsonPath::compile(path).unwrap())
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
        check("$.c", join, r#"{"c":["a"]}"#, value("a"));
        check("$.c", Some(" "), r#"{"c":["a","b"]}"#, value("a b"));
        check("$.c", Some(", "), r#"{"c":["a;b","c d"]}"#, value("a;b, c d"));
    }

    /// As some providers write a list of one.
    #[test]
    fn one_value_is_a_list_of_one() {
        for (one, text) in [(r#""users""#, "users"), ("7", "7"), ("false", "false")] {
            check("$.c", Some(","), &format!("{{\"c\":{one}}}"), value(text));
        }
        check("$.c", Some(","), r#"{"c":"users,admin"}"#, Claim::Invalid);
        check("$.c", Some(" "), r#"{"c":"Domain Users"}"#, Claim::Invalid);
        for none in ["null", r#""""#, "{}", r#"{"a":1}"#, "[]", "[[]]"] {
            check("$.c", Some(","), &format!("{{\"c\":{none}}}"), Claim::Absent);
        }
    }

    #[test]
    fn what_says_nothing_or_cannot_be_joined_is_left_out_of_a_list() {
        for path in ["$.c", "$.c[*]"] {
            for out in ["null", r#""""#, "[]", "{}", r#"["admin"]"#, r#"{"a":"admin"}"#] {
                check(path, Some(","), &format!("{{\"c\":[{out}]}}"), Claim::Absent);
                for list in [
                    format!(r#"{out},"a","b""#),
                    format!(r#""a",{out},"b""#),
                    format!(r#""a","b",{out}"#),
                ] {
                    check(path, Some(","), &format!("{{\"c\":[{list}]}}"), value("a,b"));
                }
            }
        }
    }

    #[test]
    fn an_element_that_would_not_come_back_makes_the_claim_invalid() {
        for (separator, wrong, right) in [
            (",", &["a,b", ",", ",a", "a,", " admin", "admin ", "\u{a0}a", "a\u{3000}"][..], "a b"),
            (", ", &["a,b", "a, b", "a ,b", ","], "a b"),
            (" ,", &["a,b"], "a;b"),
            (" ", &["a b", "a\u{a0}b", "a\u{2003}b", "a\u{feff}b", "\u{feff}a"], "a_b"),
            ("||", &["admin|", "|admin", "a||b", "|"], "a|b"),
            (" || ", &["a||b", "||", "a || b"], "a|b"),
            ("|| ", &["admin|", "a||b"], "a|b"),
            (" ||", &["|admin"], "a|b"),
            ("aba", &["ab", "ba", "xab", "bax", "b", "abab"], "xa"),
            ("::=", &["::="], ":=:"),
            ("é", &["é", "aéb"], "e"),
            ("-1", &["-1", "-1.5"], "1"),
        ] {
            for element in wrong {
                let element = serde_json::to_string(element).unwrap();
                for list in [
                    format!("[{element}]"),
                    format!("[\"x\",{element}]"),
                    format!("[{element},\"x\"]"),
                ] {
                    let body = format!("{{\"c\":{list}}}");
                    check("$.c", Some(separator), &body, Claim::Invalid);
                    check("$.c[*]", Some(separator), &body, Claim::Invalid);
                }
            }
            let body = format!("{{\"c\":[\"{right}\",\"x\",\"{right}\"]}}");
            let text = [right, "x", right].join(separator);
            check("$.c", Some(separator), &body, value(&text));
        }
        // A number is text too.
        check("$.c", Some("."), r#"{"c":[1.5]}"#, Claim::Invalid);
        check("$.c", Some("--"), r#"{"c":["a",-1]}"#, Claim::Invalid);
    }

    /// What comes out is taken apart again by every reader, or nothing comes out.
    #[test]
    fn joined_lists_can_be_split_again() {
        // A fixed sequence (xorshift), so that a failure can be repeated.
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) % below
        };
        let signs = ['|', ',', ' ', 'a', '\u{a0}', '|'];
        let mut word = |least: u64, most: u64| -> String {
            let length = least + random(most - least + 1);
            (0..length).map(|_| signs[random(signs.len() as u64) as usize]).collect()
        };
        let mut counts = [0, 0, 0];
        for round in 0..20_000 {
            let separator = word(1, 3);
            let elements: Vec<String> = (0..1 + round % 4).map(|_| word(0, 4)).collect();
            let rule = ValueRule {
                lists: Lists::Joined(separator.clone()),
                ..ValueRule::plain(JsonPath::compile("$").unwrap())
            };
            let body = serde_json::to_string(&elements).unwrap();
            let document = json::parse(body.as_bytes()).unwrap();
            let claim = read(&document, &rule, &mut Budget::for_answer());
            let said: Vec<&str> =
                elements.iter().map(String::as_str).filter(|e| !e.is_empty()).collect();
            let comes_back = |text: &str, said: &[&str]| {
                let core = separator.trim();
                let mut backwards: Vec<&str> = text.rsplit(&*separator).collect();
                backwards.reverse();
                let forwards: Vec<&str> = text.split(&*separator).collect();
                let trimmed: Vec<&str> = match core {
                    "" => text.split_whitespace().collect(),
                    _ => text.split(core).map(str::trim).collect(),
                };
                forwards == said && backwards == said && trimmed == said
            };
            match claim {
                Claim::Value(text) => {
                    counts[0] += 1;
                    assert!(comes_back(&text, &said), "{separator:?} {elements:?} {text:?}");
                }
                Claim::Absent => {
                    counts[1] += 1;
                    assert!(said.is_empty(), "{separator:?} {elements:?}");
                }
                Claim::Invalid => {
                    counts[2] += 1;
                    // One of them would not come back, in the company of itself.
                    let alone = said.iter().any(|element| {
                        let three = [*element; 3];
                        let text = three.join(&separator);
                        let places = text
                            .char_indices()
                            .filter(|(at, _)| text[*at..].starts_with(separator.trim()));
                        !comes_back(&text, &three)
                            || !separator.trim().is_empty() && places.count() != 2
                    });
                    assert!(alone, "{separator:?} {elements:?}");
                }
                Claim::OverBudget => panic!("{elements:?}"),
            }
        }
        assert!(counts.iter().all(|count| *count > 500), "{counts:?}");
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
        let rule = ValueRule {
            lists: Lists::Json,
            ..ValueRule::plain(JsonPath::compile("$..*").unwrap())
        };
        let document = json::parse(b"[[[1]]]").unwrap();
        assert_eq!(read(&document, &rule, &mut Budget { steps: 2 }), Claim::OverBudget);
    }

    /// Eight bytes at a time find what one at a time finds, wherever it is.
    #[test]
    fn printable_ascii_is_told_by_each_byte() {
        for length in [1, 7, 8, 9, 20] {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'~'; length];
                    text[place] = byte;
                    let printable = (b' '..=b'~').contains(&byte);
                    assert_eq!(is_printable_ascii(&text), printable, "{byte} at {place}");
                }
            }
        }
        assert!(is_printable_ascii(b""));
    }
}
