//! The configuration as written: a JSON tree in which every value knows its place. A reader that
//! gets `None` reports nothing: either the key is absent and its default applies, or the problem
//! has been reported. Messages describe values by their kind and never show them, except one of a
//! few fixed words or a number.

use std::collections::BTreeSet;

use super::duration;
use super::location::{Location, Report};
use super::problem::quoted;
use super::tree::Tree;

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node<'j> {
    pub(crate) place: Location,
    pub(crate) value: &'j Tree,
}

impl<'j> Node<'j> {
    /// Reports each key that repeats within its object, at any depth.
    pub(crate) fn report_repeated_keys(&self, report: &mut Report) {
        match self.value {
            Tree::Object(members) => {
                let mut seen = BTreeSet::new();
                for (index, (name, value)) in members.iter().enumerate() {
                    let place = self.place.member(index, name);
                    if !seen.insert(name.as_str()) {
                        report.problem(&place, "repeated key, expected each key once");
                    }
                    Node { place, value }.report_repeated_keys(report);
                }
            }
            Tree::List(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    Node { place: self.place.element(index), value }.report_repeated_keys(report);
                }
            }
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {}
        }
    }

    /// The value as text; `allowed` says what the text would be.
    pub(crate) fn text(&self, allowed: &str, report: &mut Report) -> Option<&'j str> {
        let Tree::Text(text) = self.value else {
            return self.wrong_kind(allowed, report);
        };
        Some(text)
    }

    /// The value as text of printable ASCII characters, at most `longest` bytes, without blanks
    /// at its ends: what Envoy carries unchanged as a header's value. The text is never shown.
    pub(crate) fn header_text(&self, longest: usize, report: &mut Report) -> Option<&'j str> {
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

    /// The value as text that is not empty, of at most `longest` bytes, without control characters; `allowed`
    /// says what it would be. The text is never shown: it may be a secret.
    pub(crate) fn plain_text(
        &self,
        allowed: &str,
        longest: usize,
        report: &mut Report,
    ) -> Option<&'j str> {
        let text = self.text(allowed, report)?;
        let wrong = if text.is_empty() {
            "got empty text, expected at least one character".to_owned()
        } else if text.len() > longest {
            format!("got {} bytes, expected at most {longest}", text.len())
        } else if let Some(found) = super::problem::first_not(text, |c| !c.is_control()) {
            format!("got {found}, expected no control characters")
        } else {
            return Some(text);
        };
        report.problem(&self.place, wrong);
        None
    }

    /// The value as a duration within the range.
    pub(crate) fn duration(
        &self,
        range: &duration::Range,
        report: &mut Report,
    ) -> Option<std::time::Duration> {
        let text = self.text(&format!("a duration as text, {range}"), report)?;
        duration::parse(text, range).map_err(|wrong| report.problem(&self.place, wrong)).ok()
    }

    /// The value as `true` or `false`.
    pub(crate) fn boolean(&self, report: &mut Report) -> Option<bool> {
        match self.value {
            Tree::Bool(value) => Some(*value),
            Tree::Text(_) => self.wrong_kind("true or false without quotation marks", report),
            Tree::Null | Tree::Number(_) | Tree::List(_) | Tree::Object(_) => {
                self.wrong_kind("true or false", report)
            }
        }
    }

    /// The value as one of a few words, to the letter.
    pub(crate) fn word(&self, words: &[&str], report: &mut Report) -> Option<&'j str> {
        let allowed = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" or ");
        let text = self.text(&allowed, report)?;
        if words.contains(&text) {
            return Some(text);
        }
        let case = words.iter().any(|word| word.eq_ignore_ascii_case(text));
        let note = if case { " (case-sensitive)" } else { "" };
        report.problem(&self.place, format!("got {}, expected {allowed}{note}", quoted(text)));
        None
    }

    /// The value as a whole number that `fits`, written without fraction or exponent; `allowed`
    /// says which ones do.
    pub(crate) fn whole_number(
        &self,
        allowed: &str,
        fits: impl Fn(&u32) -> bool,
        report: &mut Report,
    ) -> Option<u32> {
        let text = match self.value {
            Tree::Number(text) => text,
            Tree::Text(_) => {
                return self.wrong_kind(&format!("{allowed} without quotation marks"), report);
            }
            Tree::Null | Tree::Bool(_) | Tree::List(_) | Tree::Object(_) => {
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
    pub(crate) fn elements(&self) -> impl Iterator<Item = Node<'j>> {
        let elements = match self.value {
            Tree::List(elements) => elements.as_slice(),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Object(_) => &[],
        };
        let element = |(index, value)| Node { place: self.place.element(index), value };
        elements.iter().enumerate().map(element)
    }

    /// Reports that the value's kind is not the one that is allowed.
    pub(crate) fn wrong_kind<T>(&self, allowed: &str, report: &mut Report) -> Option<T> {
        report.problem(&self.place, format!("got {}, expected {allowed}", self.kind()));
        None
    }

    /// What kind of value it is, as a word with its article.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Tree::Null => "null",
            Tree::Bool(_) => "a boolean",
            Tree::Number(_) => "a number",
            Tree::Text(_) => "text",
            Tree::List(_) => "an array",
            Tree::Object(_) => "an object",
        }
    }
}

/// The members of one object. Of a key that repeats, only the first counts: the others have been
/// reported.
#[derive(Debug)]
pub(crate) struct Fields<'j> {
    pub(crate) place: Location,
    members: Vec<(usize, &'j str, &'j Tree)>,
}

impl<'j> Fields<'j> {
    /// The members of an object with fixed keys; any other key is reported.
    pub(crate) fn open(node: Node<'j>, keys: &[&str], report: &mut Report) -> Option<Fields<'j>> {
        let fields = Fields::open_map(node, report)?;
        for (index, name, _) in &fields.members {
            if !keys.contains(name) {
                report.problem(&fields.place.member(*index, name), unknown_key(name, keys));
            }
        }
        Some(fields)
    }

    /// No members: those of an object that is absent.
    pub(crate) fn none() -> Fields<'j> {
        Fields { place: Location::root(), members: Vec::new() }
    }

    /// The members of an object whose keys are the user's own.
    pub(crate) fn open_map(node: Node<'j>, report: &mut Report) -> Option<Fields<'j>> {
        let Tree::Object(members) = node.value else {
            return node.wrong_kind("an object", report);
        };
        let mut seen = BTreeSet::new();
        let members = members
            .iter()
            .enumerate()
            .map(|(index, (name, value))| (index, name.as_str(), value))
            .filter(|(_, name, _)| seen.insert(*name))
            .collect();
        Some(Fields { place: node.place, members })
    }

    /// Every member in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'j str, Node<'j>)> {
        self.members.iter().map(|(index, name, value)| {
            (*name, Node { place: self.place.member(*index, name), value })
        })
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The member of that name.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'j>> {
        let (index, name, value) = self.members.iter().find(|(_, name, _)| *name == key)?;
        Some(Node { place: self.place.member(*index, name), value })
    }

    /// A member that is an object whose keys are the user's own.
    pub(crate) fn map(&self, key: &str, report: &mut Report) -> Option<Fields<'j>> {
        Fields::open_map(self.get(key)?, report)
    }
}

/// Keys of an endpoint.
const MOVED: &[&str] = &["regionCodeHeader", "regionCodeValue", "defaultURI"];

fn unknown_key(name: &str, keys: &[&str]) -> String {
    // In the source system's text form these may be top-level keys.
    if MOVED.contains(&name) {
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
