//! A JSON value, and how it is written again. It knows no reader.

use std::borrow::Cow;

/// How deeply arrays and objects may nest: a document at this depth is read, a deeper one refused.
pub const MAX_DEPTH: usize = 127;

/// A JSON value. Strings are decoded; numbers are the text between their delimiters.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The number's own text, for example `1.50`.
    Number(Cow<'a, str>),
    /// The string's value, escapes resolved.
    String(Cow<'a, str>),
    /// Elements in order.
    Array(Vec<Json<'a>>),
    /// Members in order, each name once.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl Json<'_> {
    /// The member of that name; `None` if there is none or this is not an object.
    pub fn member(&self, name: &str) -> Option<&Json<'_>> {
        match self {
            Json::Object(members) => {
                members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
        }
    }

    /// The same, independent of the text that it was read from.
    pub(crate) fn into_owned(self) -> Json<'static> {
        let text = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Json::Null => Json::Null,
            Json::Bool(value) => Json::Bool(value),
            Json::Number(number) => Json::Number(text(number)),
            Json::String(string) => Json::String(text(string)),
            Json::Array(elements) => {
                Json::Array(elements.into_iter().map(Json::into_owned).collect())
            }
            Json::Object(members) => Json::Object(
                members.into_iter().map(|(name, value)| (text(name), value.into_owned())).collect(),
            ),
        }
    }

    /// Compact JSON text: no blanks, members in order, numbers as written.
    ///
    /// Control characters, DEL and those up to U+009F among them, are escaped, so a header can
    /// carry the text.
    pub fn to_compact(&self) -> String {
        let mut text = String::new();
        let _ = self.append_compact(&mut text, usize::MAX);
        text
    }

    /// Appends what [`Json::to_compact`] returns, unless `text` would grow beyond `limit` bytes;
    /// then it is false and `text` holds a useless beginning.
    ///
    /// The work is bounded by `limit`, not by the value: what a path selects may repeat one large
    /// value many times.
    #[must_use = "a text that is too long is cut"]
    pub fn append_compact(&self, text: &mut String, limit: usize) -> bool {
        match self {
            Json::Null => append(text, limit, "null"),
            Json::Bool(true) => append(text, limit, "true"),
            Json::Bool(false) => append(text, limit, "false"),
            Json::Number(number) => append(text, limit, number),
            Json::String(string) => append_string(text, limit, string),
            Json::Array(elements) => {
                let mut separator = "[";
                for element in elements {
                    if !append(text, limit, separator) || !element.append_compact(text, limit) {
                        return false;
                    }
                    separator = ",";
                }
                append(text, limit, if elements.is_empty() { "[]" } else { "]" })
            }
            Json::Object(members) => {
                let mut separator = "{";
                for (name, value) in members {
                    if !append(text, limit, separator)
                        || !append_string(text, limit, name)
                        || !append(text, limit, ":")
                        || !value.append_compact(text, limit)
                    {
                        return false;
                    }
                    separator = ",";
                }
                append(text, limit, if members.is_empty() { "{}" } else { "}" })
            }
        }
    }
}

/// Index of the first member whose name stood before. Sorting keeps a hostile object from
/// costing the square of its size.
pub(super) fn repeated(members: &[(Cow<'_, str>, Json<'_>)]) -> Option<usize> {
    let mut names: Vec<(&str, usize)> =
        members.iter().enumerate().map(|(at, (name, _))| (name.as_ref(), at)).collect();
    names.sort_unstable();
    let pairs = names.iter().zip(names.iter().skip(1));
    pairs.filter(|((one, _), (next, _))| one == next).map(|(_, (_, at))| *at).min()
}

fn append(text: &mut String, limit: usize, piece: &str) -> bool {
    let fits = text.len().saturating_add(piece.len()) <= limit;
    if fits {
        text.push_str(piece);
    }
    fits
}

fn append_string(text: &mut String, limit: usize, string: &str) -> bool {
    // Quotes included; escapes make it longer and are counted at the end, by then at most sixfold.
    if text.len().saturating_add(string.len()).saturating_add(2) > limit {
        return false;
    }
    text.push('"');
    // 0xC2 leads U+0080 to U+00BF, the first half of which are control characters.
    if string.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0x7F | 0xC2 | ..0x20)) {
        string.chars().for_each(|c| append_escaped(text, c));
    } else {
        text.push_str(string);
    }
    text.push('"');
    text.len() <= limit
}

fn append_escaped(text: &mut String, c: char) {
    match c {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\u{8}' => text.push_str("\\b"),
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\u{C}' => text.push_str("\\f"),
        '\r' => text.push_str("\\r"),
        '\0'..='\x1F' | '\x7F'..='\u{9F}' => {
            let code = u32::from(c);
            text.push_str("\\u00");
            text.extend(
                [code >> 4, code & 0xF].map(|digit| char::from_digit(digit, 16)).iter().flatten(),
            );
        }
        _ => text.push(c),
    }
}
