//! Strict JSON (RFC 8259), kept as it was written.
//!
//! The provider's responses are read with it. Numbers keep their text and members their order, so that
//! nothing is rounded or reordered on its way into a header: `serde_json` keeps number texts only with
//! a feature whose private key a document can forge. It must never accept what two readers could
//! understand differently: a byte order mark, text after the document, invalid UTF-8 or nesting beyond
//! the limit are errors.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use hifijson::num::LexWrite as _;
use hifijson::str::LexAlloc as _;
use hifijson::token::{Expect, Lex as _};
use hifijson::{SliceLexer, escape};

/// How deeply arrays and objects may nest: a document at this depth is read, a deeper one refused.
pub const MAX_DEPTH: usize = 127;

/// Why an object is refused in which a name repeats.
const REPEATED: &str = "a member name repeats within its object";

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

/// Why a text is not a JSON document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset from the start of the text.
    pub offset: usize,
    /// What was expected or found, without any byte of the text itself.
    pub reason: String,
}

/// Reads exactly one document; a member name that repeats within its object is an error.
pub fn parse(text: &[u8]) -> Result<Json<'_>, JsonError> {
    let error = |offset, reason: &str| JsonError { offset, reason: reason.to_owned() };
    if text.starts_with(b"\xEF\xBB\xBF") {
        return Err(error(0, "got a byte order mark before the document"));
    }
    if let Err(invalid) = std::str::from_utf8(text) {
        return Err(error(invalid.valid_up_to(), "not UTF-8"));
    }
    let mut lexer = SliceLexer::new(text);
    let read = lexer.exactly_one(SliceLexer::ws_peek, |next, lexer| value(next, lexer, MAX_DEPTH));
    read.map_err(|fault: Fault| {
        let left = fault.left.unwrap_or(lexer.as_slice().len());
        error(text.len().saturating_sub(left), fault.reason)
    })
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

/// An error on its way up; where it happened is known from the bytes that were left then, which
/// is what the lexer still has unless `left` says otherwise.
struct Fault {
    reason: &'static str,
    left: Option<usize>,
}

impl From<Expect> for Fault {
    fn from(expected: Expect) -> Fault {
        let reason = match expected {
            Expect::Value => "expected a value",
            Expect::ValueOrEnd => "expected a value or the closing bracket",
            Expect::CommaOrEnd => "expected a comma or the closing bracket",
            Expect::String => "expected a member name in double quotes",
            Expect::Colon => "expected a colon after the member name",
            Expect::Eof => "text after the end of the document",
        };
        Fault { reason, left: None }
    }
}

/// Reads the value that starts with the peeked byte `next`; `depth` containers may still open.
fn value<'a>(next: u8, lexer: &mut SliceLexer<'a>, depth: usize) -> Result<Json<'a>, Fault> {
    let left = lexer.as_slice().len();
    match next {
        b'"' => string(lexer).map(Json::String),
        b'-' | b'0'..=b'9' => match lexer.num_string().validated() {
            Ok((number, _)) => Ok(Json::Number(Cow::Borrowed(number))),
            Err(_) => Err(Fault { reason: "expected a digit in the number", left: None }),
        },
        b'[' | b'{' => {
            let too_deep = Fault { reason: "nested deeper than 127", left: Some(left) };
            let depth = depth.checked_sub(1).ok_or(too_deep)?;
            lexer.discarded();
            if next == b'[' { array(lexer, depth) } else { object(lexer, depth) }
        }
        _ => match lexer.null_or_bool() {
            Some(None) => Ok(Json::Null),
            Some(Some(truth)) => Ok(Json::Bool(truth)),
            None => Err(Fault { left: Some(left), ..Fault::from(Expect::Value) }),
        },
    }
}

fn array<'a>(lexer: &mut SliceLexer<'a>, depth: usize) -> Result<Json<'a>, Fault> {
    let mut elements = Vec::new();
    lexer.seq(b']', SliceLexer::ws_peek, |next, lexer| {
        elements.push(value(next, lexer, depth)?);
        Ok::<(), Fault>(())
    })?;
    Ok(Json::Array(elements))
}

fn object<'a>(lexer: &mut SliceLexer<'a>, depth: usize) -> Result<Json<'a>, Fault> {
    let mut members = Vec::new();
    let mut starts = Vec::new();
    lexer.seq(b'}', SliceLexer::ws_peek, |next, lexer| {
        if next != b'"' {
            return Err(Fault::from(Expect::String));
        }
        starts.push(lexer.as_slice().len());
        let name = string(lexer)?;
        lexer.expect(SliceLexer::ws_peek, b':').ok_or(Expect::Colon)?;
        let next = lexer.ws_peek().ok_or(Expect::Value)?;
        members.push((name, value(next, lexer, depth)?));
        Ok(())
    })?;
    match repeated(&members).and_then(|at| starts.get(at).copied()) {
        None => Ok(Json::Object(members)),
        left => Err(Fault { reason: REPEATED, left }),
    }
}

/// Index of the first member whose name stood before. Sorting keeps a hostile object from
/// costing the square of its size.
fn repeated(members: &[(Cow<'_, str>, Json<'_>)]) -> Option<usize> {
    let mut names: Vec<(&str, usize)> =
        members.iter().enumerate().map(|(at, (name, _))| (name.as_ref(), at)).collect();
    names.sort_unstable();
    let pairs = names.iter().zip(names.iter().skip(1));
    pairs.filter(|((one, _), (next, _))| one == next).map(|(_, (_, at))| *at).min()
}

/// Reads a string whose opening quote is peeked.
fn string<'a>(lexer: &mut SliceLexer<'a>) -> Result<Cow<'a, str>, Fault> {
    use hifijson::str::Error;
    let opening = lexer.as_slice().len();
    let read = lexer.discarded().str_string();
    // How far the lexer has read beyond the start of the error.
    let at = |reason, beyond| Fault {
        reason,
        left: Some(lexer.as_slice().len().saturating_add(beyond)),
    };
    read.map_err(|error| match error {
        Error::Control => at("a control character in a string must be escaped", 1),
        Error::Eof | Error::Escape(escape::Error::Eof) => {
            Fault { reason: "the string is not closed", left: Some(opening) }
        }
        Error::Utf8(_) => at("not UTF-8", 0),
        Error::Escape(escape::Error::InvalidKind(_)) => at("no such escape in a string", 1),
        Error::Escape(escape::Error::InvalidHex(_)) => at("expected a hexadecimal digit", 1),
        Error::Escape(escape::Error::InvalidChar(_) | escape::Error::ExpectedLowSurrogate) => {
            at("half of a surrogate pair", 6)
        }
    })
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
