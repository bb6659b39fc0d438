//! Strict JSON (RFC 8259), kept as it was written.
//!
//! The provider's responses are read with it. Numbers keep their text and members their order, so that
//! nothing is rounded or reordered on its way into a header: `serde_json` keeps number texts only with
//! a feature whose private key a document can forge. It must never accept what two readers could
//! understand differently: a byte order mark, text after the document, invalid UTF-8 or nesting beyond
//! the limit are errors.

mod quick;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;

use hifijson::num::LexWrite as _;
use hifijson::str::LexAlloc as _;
use hifijson::token::{Expect, Lex as _};
use hifijson::{SliceLexer, escape};

use value::repeated;
pub use value::{Json, MAX_DEPTH};

/// Why an object is refused in which a name repeats.
const REPEATED: &str = "a member name repeats within its object";

/// Why a text is not a JSON document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// Byte offset from the start of the text.
    pub offset: usize,
    /// What was expected or found, without any byte of the text itself.
    pub reason: String,
}

/// Reads exactly one document; a member name that repeats within its object is an error.
pub fn parse(bytes: &[u8]) -> Result<Json<'_>, JsonError> {
    let text = decoded(bytes)?;
    quick::document(text).map_or_else(|| strict(text.as_bytes()), Ok)
}

/// The same by the strict reader alone, which says what is wrong: what [`parse`] has to agree with.
pub fn parse_strictly(bytes: &[u8]) -> Result<Json<'_>, JsonError> {
    strict(decoded(bytes)?.as_bytes())
}

fn decoded(bytes: &[u8]) -> Result<&str, JsonError> {
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Err(error(0, "got a byte order mark before the document"));
    }
    std::str::from_utf8(bytes).map_err(|invalid| error(invalid.valid_up_to(), "not UTF-8"))
}

fn error(offset: usize, reason: &str) -> JsonError {
    JsonError { offset, reason: reason.to_owned() }
}

/// Reads text that is known to be UTF-8.
fn strict(text: &[u8]) -> Result<Json<'_>, JsonError> {
    let mut lexer = SliceLexer::new(text);
    let read = lexer.exactly_one(SliceLexer::ws_peek, |next, lexer| value(next, lexer, MAX_DEPTH));
    read.map_err(|fault: Fault| {
        let left = fault.left.unwrap_or(lexer.as_slice().len());
        error(text.len().saturating_sub(left), fault.reason)
    })
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
