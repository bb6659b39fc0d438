//! What is wrong with a configuration, as product text.
//!
//! Texts from the configuration get into a message only through [`quoted`] and [`named`], which
//! keep them on one line and short: the messages are written to Envoy's log as they are.

use std::fmt;

/// One thing that is wrong: where, what was found, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the offending piece, for example `inject_headers.US["X-User Email"]`.
    pub path: String,
    /// What was found and what is allowed, one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// How many characters of a text from the configuration are shown.
const SHOWN: usize = 48;

/// The text in quotation marks, escaped as in JSON and cut to a length that leaves a line
/// readable. Not for values that may be secret.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    let mut chars = text.chars();
    for c in chars.by_ref().take(SHOWN) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\'' => out.push(c),
            // Also what turns the direction of a line or cannot be seen in it.
            _ if c.escape_debug().len() > 1 => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => out.push(c),
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out.push('"');
    out
}

/// One character, so that it can be found also where it cannot be seen.
pub(crate) fn named(c: char) -> String {
    match c {
        ' ' => "space".to_owned(),
        '\t' => "tab".to_owned(),
        '"' => "quotation mark".to_owned(),
        '!'..='~' => format!("\"{c}\""),
        _ if c.is_control() => format!("control character U+{:04X}", u32::from(c)),
        _ => format!("non-ASCII character U+{:04X}", u32::from(c)),
    }
}

/// The first character that `allowed` refuses, named, with its position counted from 1.
pub(crate) fn first_not(text: &str, allowed: impl Fn(char) -> bool) -> Option<String> {
    let (position, c) = (1usize..).zip(text.chars()).find(|(_, c)| !allowed(*c))?;
    Some(format!("{} at {position}", named(c)))
}
