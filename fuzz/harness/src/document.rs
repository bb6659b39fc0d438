//! JSON read a second time, with `serde_json` as the judge of syntax: numbers as written, members in
//! their order. Where the core promises to refuse what `serde_json` reads, it is refused here too.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How many arrays and objects may lie in each other.
const DEEPEST: usize = 127;

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as written.
    Number(String),
    /// A string, escapes resolved.
    Text(String),
    /// An array.
    List(Vec<Document>),
    /// An object; no name occurs twice.
    Members(Vec<(String, Document)>),
}

impl Document {
    /// The one document of that text, if it is one that may be read.
    pub fn read(text: &[u8]) -> Option<Document> {
        let text = std::str::from_utf8(text).ok()?;
        Document::within(serde_json::from_str::<&RawValue>(text).ok()?.get(), DEEPEST)
    }

    fn within(text: &str, depth: usize) -> Option<Document> {
        Some(match text.as_bytes().first()? {
            b'n' => Document::Null,
            b't' | b'f' => Document::Bool(text == "true"),
            b'"' => Document::Text(serde_json::from_str(text).ok()?),
            b'[' => {
                let depth = depth.checked_sub(1)?;
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let read = items.iter().map(|item| Document::within(item.get(), depth));
                Document::List(read.collect::<Option<_>>()?)
            }
            b'{' => {
                let depth = depth.checked_sub(1)?;
                let Members(members) = serde_json::from_str(text).ok()?;
                for (index, (name, _)) in members.iter().enumerate() {
                    if members[..index].iter().any(|(before, _)| before == name) {
                        return None;
                    }
                }
                let read = members
                    .into_iter()
                    .map(|(name, value)| Some((name, Document::within(value.get(), depth)?)));
                Document::Members(read.collect::<Option<_>>()?)
            }
            _ => Document::Number(text.to_owned()),
        })
    }

    /// The member of that name, where this is an object that has one.
    pub fn member(&self, name: &str) -> Option<&Document> {
        match self {
            Document::Members(members) => {
                members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text, where this is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Document::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Elements or members' values, in order.
    pub fn children(&self) -> Vec<&Document> {
        match self {
            Document::List(items) => items.iter().collect(),
            Document::Members(members) => members.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        }
    }

    /// Without blanks, as it may be in a header.
    pub fn compact(&self) -> String {
        let joined = |items: Vec<String>| items.join(",");
        match self {
            Document::Null => "null".to_owned(),
            Document::Bool(truth) => truth.to_string(),
            Document::Number(number) => number.clone(),
            Document::Text(text) => quoted(text),
            Document::List(items) => {
                format!("[{}]", joined(items.iter().map(Document::compact).collect()))
            }
            Document::Members(members) => {
                let member =
                    |(name, value): &(String, Document)| quoted(name) + ":" + &value.compact();
                format!("{{{}}}", joined(members.iter().map(member).collect()))
            }
        }
    }
}

/// `serde_json` leaves the control characters alone that JSON allows in a string; a header does not.
fn quoted(text: &str) -> String {
    let mut safe = String::new();
    for c in serde_json::to_string(text).expect("a string is JSON").chars() {
        match c {
            '\u{7F}'..='\u{9F}' => safe += &format!("\\u{:04x}", u32::from(c)),
            _ => safe.push(c),
        }
    }
    safe
}

/// An object's members, every one of them.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        from.deserialize_map(All)
    }
}
