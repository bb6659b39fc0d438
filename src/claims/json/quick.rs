//! One pass over a document that is plain and correct, as nearly all are. Where it has any doubt it
//! gives nothing, and the strict reader decides: it must never give a value that the strict reader
//! does not give too. It reports no error.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "offsets into a text, at most a few bytes beyond its end"
)]

use std::borrow::Cow;

use hifijson::SliceLexer;
use hifijson::str::LexAlloc as _;
use hifijson::token::Lex as _;

use super::value::{Json, MAX_DEPTH, repeated};

/// The names of so many members are compared with each other; more are sorted, so that no object costs the square
/// of its size.
const FEW: usize = 16;

/// The document, and how far it has been read.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// The document's value, or nothing.
pub(super) fn document(text: &str) -> Option<Json<'_>> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(MAX_DEPTH)?;
    reader.next().is_none().then_some(value)
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes the next byte that is no blank.
    fn next(&mut self) -> Option<u8> {
        loop {
            let next = self.peek()?;
            self.at += 1;
            if !matches!(next, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(next);
            }
        }
    }

    /// A value; `depth` containers may still open.
    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        let first = self.next()?;
        self.value_after(first, depth)
    }

    /// A value whose first byte was taken.
    fn value_after(&mut self, first: u8, depth: usize) -> Option<Json<'a>> {
        match first {
            b'"' => self.string().map(Json::String),
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.array(depth.checked_sub(1)?),
            b'-' | b'0'..=b'9' => self.number(first),
            b't' => self.word("rue", Json::Bool(true)),
            b'f' => self.word("alse", Json::Bool(false)),
            b'n' => self.word("ull", Json::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Option<Json<'a>> {
        let end = self.at + word.len();
        let found = self.text.get(self.at..end)?;
        self.at = end;
        (found == word).then_some(value)
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        self.more_digits();
        (self.at > start).then_some(())
    }

    fn more_digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    /// A number whose first byte was taken.
    fn number(&mut self, first: u8) -> Option<Json<'a>> {
        let start = self.at - 1;
        // Any digit but a leading zero may be followed by others; what follows a value will not be one.
        match first {
            b'-' if self.peek() == Some(b'0') => self.at += 1,
            b'-' => self.digits()?,
            b'0' => {}
            _ => self.more_digits(),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.text.get(start..self.at).map(|text| Json::Number(Cow::Borrowed(text)))
    }

    /// A string whose opening quote was taken.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut at = start;
        // Eight bytes at a time, until one of them is special; the last few of the text one by one.
        while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let special = special(u64::from_le_bytes(*eight));
            if special != 0 {
                at += special.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        loop {
            match *bytes.get(at)? {
                b'"' => {
                    self.at = at + 1;
                    return self.text.get(start..at).map(Cow::Borrowed);
                }
                b'\\' => return self.escaped(),
                ..0x20 => return None,
                _ => at += 1,
            }
        }
    }

    /// A string with an escape in it, by the strict reader's own code.
    #[cold]
    fn escaped(&mut self) -> Option<Cow<'a, str>> {
        // It begins with the quote.
        let rest = self.text.as_bytes().get(self.at - 1..)?;
        let mut lexer = SliceLexer::new(rest);
        let string = lexer.discarded().str_string().ok()?;
        self.at += rest.len() - lexer.as_slice().len() - 1;
        Some(string)
    }

    /// An array whose opening bracket was taken.
    fn array(&mut self, depth: usize) -> Option<Json<'a>> {
        let mut elements = Vec::new();
        let mut first = self.next()?;
        if first == b']' {
            return Some(Json::Array(elements));
        }
        loop {
            elements.push(self.value_after(first, depth)?);
            match self.next()? {
                b',' => first = self.next()?,
                b']' => return Some(Json::Array(elements)),
                _ => return None,
            }
        }
    }

    /// An object whose opening brace was taken.
    fn object(&mut self, depth: usize) -> Option<Json<'a>> {
        let mut first = self.next()?;
        if first == b'}' {
            return Some(Json::Object(Vec::new()));
        }
        // Most documents have as many members at most; what is in them has fewer.
        let room = if depth + 1 == MAX_DEPTH { 16 } else { 4 };
        let mut members = Vec::with_capacity(room);
        loop {
            if first != b'"' {
                return None;
            }
            let name = self.string()?;
            if self.next()? != b':' {
                return None;
            }
            members.push((name, self.value(depth)?));
            match self.next()? {
                b',' => first = self.next()?,
                b'}' => break,
                _ => return None,
            }
        }
        (!repeats(&members)).then_some(Json::Object(members))
    }
}

/// Whether a name repeats. Names that differ in their first and last byte and their length are told
/// apart by that alone.
fn repeats(members: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    if members.len() > FEW {
        return repeated(members).is_some();
    }
    let mut seen = [0_u64; 4];
    for (at, (name, _)) in members.iter().enumerate() {
        let bytes = name.as_bytes();
        let (first, last) = (bytes.first().unwrap_or(&0), bytes.last().unwrap_or(&0));
        let mark = first.wrapping_mul(31).wrapping_add(last.wrapping_mul(7)) ^ bytes.len() as u8;
        let bit = 1_u64 << (mark & 63);
        let Some(part) = seen.get_mut(usize::from(mark >> 6)) else { return true };
        if *part & bit != 0 && members.iter().take(at).any(|(other, _)| other == name) {
            return true;
        }
        *part |= bit;
    }
    false
}

/// Marks the bytes that are a quote, a backslash or a control character, each by its highest bit. The
/// lowest mark is right; those above it may be wrong, by the borrow.
fn special(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGH;
    let is = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    is(b'"') | is(b'\\') | below(eight, 0x20)
}
