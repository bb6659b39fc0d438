//! The configuration as written: a JSON tree in which every value knows its place. A reader that
//! gets `None` reports nothing: either the key is absent and its default applies, or the problem
//! has been reported. Messages describe values by their kind and never show them, except one of a
//! few fixed words or a number.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::duration;
use super::location::{Location, Report};
use super::names::ENDPOINT_KEYS;
use super::problem::quoted;
use crate::claims::json::Json;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node<'j> {
    pub(super) place: Location,
    pub(super) json: &'j Json<'j>,
}

impl<'j> Node<'j> {
    /// Reports each key that repeats within its object, at any depth.
    pub(super) fn report_repeated_keys(&self, report: &mut Report) {
        match self.json {
            Json::Object(members) => {
                let mut seen = BTreeSet::new();
                for (index, (name, json)) in members.iter().enumerate() {
                    let place = self.place.member(index, name);
                    if !seen.insert(name.as_ref()) {
                        report.problem(&place, "repeated key, expected each key once");
                    }
                    Node { place, json }.report_repeated_keys(report);
                }
            }
            Json::Array(elements) => {
                for (index, json) in elements.iter().enumerate() {
                    Node { place: self.place.element(index), json }.report_repeated_keys(report);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }

    /// The value as text; `allowed` says what the text would be.
    pub(super) fn text(&self, allowed: &str, report: &mut Report) -> Option<&'j str> {
        let Json::String(text) = self.json else {
            return self.wrong_kind(allowed, report);
        };
        Some(text)
    }

    /// The value as text of printable ASCII characters, at most `longest` bytes, without blanks
    /// at its ends: what Envoy carries unchanged as a header's value. The text is never shown.
    pub(super) fn header_text(&self, longest: usize, report: &mut Report) -> Option<&'j str> {
        let text = self.text("text", report)?;
        let wrong = if text.len() > longest {
            format!("got {} bytes, expected at most {longest}", text.len())
        } else if let Some(found) = super::problem::first_not(text, |c| matches!(c, ' '..='~')) {
            format!("got {found}, expected printable ASCII characters")
        } else if text.starts_with(' ') || text.ends_with(' ') {
            "got a space at the start or end, expected spaces only between other \
             characters"
                .to_owned()
        } else {
            return Some(text);
        };
        report.problem(&self.place, wrong);
        None
    }

    /// The value as a duration within the range.
    pub(super) fn duration(
        &self,
        range: &duration::Range,
        report: &mut Report,
    ) -> Option<std::time::Duration> {
        let text = self.text(&format!("a duration as text, {range}"), report)?;
        duration::parse(text, range).map_err(|wrong| report.problem(&self.place, wrong)).ok()
    }

    /// The value as a whole number that `fits`, written without fraction or exponent; `allowed`
    /// says which ones do.
    fn whole_number(
        &self,
        allowed: &str,
        fits: impl Fn(&u32) -> bool,
        report: &mut Report,
    ) -> Option<u32> {
        let text = match self.json {
            Json::Number(text) => text,
            Json::String(_) => {
                return self.wrong_kind(&format!("{allowed} without quotation marks"), report);
            }
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => {
                return self.wrong_kind(allowed, report);
            }
        };
        let number = text.parse().ok().filter(fits);
        if number.is_none() {
            let shown: String = text.chars().take(24).collect();
            let fraction = text.contains(['.', 'e', 'E']);
            let note = if fraction { " without fraction or exponent" } else { "" };
            report.problem(&self.place, format!("got {shown}, expected {allowed}{note}"));
        }
        number
    }

    /// The elements of an array in order; none of anything else.
    pub(super) fn elements(&self) -> impl Iterator<Item = Node<'j>> {
        let elements = match self.json {
            Json::Array(elements) => elements.as_slice(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => &[],
        };
        let element = |(index, json)| Node { place: self.place.element(index), json };
        elements.iter().enumerate().map(element)
    }

    /// Reports that the value's kind is not the one that is allowed.
    pub(super) fn wrong_kind<T>(&self, allowed: &str, report: &mut Report) -> Option<T> {
        report.problem(&self.place, format!("got {}, expected {allowed}", self.kind()));
        None
    }

    /// What kind of value it is, as a word with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self.json {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "text",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }
}

/// The members of one object. Of a key that repeats, only the first counts: the others have been
/// reported.
#[derive(Debug)]
pub(super) struct Fields<'j> {
    pub(super) place: Location,
    members: Vec<(usize, &'j str, &'j Json<'j>)>,
}

impl<'j> Fields<'j> {
    /// The members of an object with fixed keys; any other key is reported.
    pub(super) fn open(node: Node<'j>, keys: &[&str], report: &mut Report) -> Option<Fields<'j>> {
        let fields = Fields::open_map(node, report)?;
        for (index, name, _) in &fields.members {
            if !keys.contains(name) {
                report.problem(&fields.place.member(*index, name), unknown_key(name, keys));
            }
        }
        Some(fields)
    }

    /// The members of an object whose keys are the user's own.
    pub(super) fn open_map(node: Node<'j>, report: &mut Report) -> Option<Fields<'j>> {
        let Json::Object(members) = node.json else {
            return node.wrong_kind("an object", report);
        };
        let mut seen = BTreeSet::new();
        let members = members
            .iter()
            .enumerate()
            .map(|(index, (name, json))| (index, name.as_ref(), json))
            .filter(|(_, name, _)| seen.insert(*name))
            .collect();
        Some(Fields { place: node.place, members })
    }

    /// Every member in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'j str, Node<'j>)> {
        self.members.iter().map(|(index, name, json)| {
            (*name, Node { place: self.place.member(*index, name), json })
        })
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The member of that name.
    pub(super) fn get(&self, key: &str) -> Option<Node<'j>> {
        let (index, name, json) = self.members.iter().find(|(_, name, _)| *name == key)?;
        Some(Node { place: self.place.member(*index, name), json })
    }

    /// A member that is `true` or `false`.
    pub(super) fn boolean(&self, key: &str, report: &mut Report) -> Option<bool> {
        let node = self.get(key)?;
        match node.json {
            Json::Bool(value) => Some(*value),
            Json::String(_) => node.wrong_kind("true or false without quotation marks", report),
            Json::Null | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                node.wrong_kind("true or false", report)
            }
        }
    }

    /// A member that is a whole number within the range.
    pub(super) fn integer(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
        report: &mut Report,
    ) -> Option<u32> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.get(key)?.whole_number(&allowed, |number| range.contains(number), report)
    }

    /// A member that is a number of bytes within the range.
    pub(super) fn size(
        &self,
        key: &str,
        range: RangeInclusive<u32>,
        report: &mut Report,
    ) -> Option<usize> {
        self.integer(key, range, report)?.try_into().ok()
    }

    /// A member that is one of a few whole numbers.
    pub(super) fn one_of(&self, key: &str, numbers: &[u32], report: &mut Report) -> Option<u32> {
        let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
        let node = self.get(key)?;
        node.whole_number(&words.join(" or "), |number| numbers.contains(number), report)
    }

    /// A member that is one of a few words, to the letter.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        report: &mut Report,
    ) -> Option<T> {
        let node = self.get(key)?;
        let words: Vec<String> = choices.iter().map(|(word, _)| quoted(word)).collect();
        let allowed = words.join(" or ");
        let text = node.text(&allowed, report)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let case = choices.iter().any(|(word, _)| word.eq_ignore_ascii_case(text));
        let note = if case { " (case-sensitive)" } else { "" };
        report.problem(&node.place, format!("got {}, expected {allowed}{note}", quoted(text)));
        None
    }

    /// A member that is an object with fixed keys.
    pub(super) fn object(
        &self,
        key: &str,
        keys: &[&str],
        report: &mut Report,
    ) -> Option<Fields<'j>> {
        Fields::open(self.get(key)?, keys, report)
    }

    /// A member that is an object whose keys are the user's own.
    pub(super) fn map(&self, key: &str, report: &mut Report) -> Option<Fields<'j>> {
        Fields::open_map(self.get(key)?, report)
    }
}

fn unknown_key(name: &str, keys: &[&str]) -> String {
    // In the source system's text form these may be top-level keys.
    if ENDPOINT_KEYS.contains(&name) {
        return "unknown key, move it into userinfo_endpoint".to_owned();
    }
    // Beyond the longest key and a few slips nothing is near, and the search stays cheap.
    let near = (name.len() <= 40)
        .then(|| keys.iter().map(|key| (distance(name, key), key)).min())
        .flatten()
        .filter(|(slips, key)| *slips <= (key.len() / 3).min(3));
    match near {
        Some((_, key)) => format!("unknown key, did you mean {key}?"),
        None => format!("unknown key, expected one of {}", keys.join(", ")),
    }
}

/// In how many insertions, deletions and replacements two names differ, but for letter case and
/// the choice between `-` and `_`.
fn distance(a: &str, b: &str) -> usize {
    let fold = |c: u8| {
        if c == b'-' { b'_' } else { c.to_ascii_lowercase() }
    };
    let b: Vec<u8> = b.bytes().map(fold).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.bytes().map(fold).enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        let mut next = vec![left];
        for (b, above) in b.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal.saturating_add(usize::from(a != *b));
            left = replaced.min(left.saturating_add(1)).min(above.saturating_add(1));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
