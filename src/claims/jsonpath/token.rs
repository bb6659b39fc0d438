//! The tokens of a path as a user writes it.
//!
//! Only what tells strings, patterns and names apart is decided here; whether the tokens make a
//! path is the parser's business.

use crate::claims::jsonpath::error::PathError;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Blank,
    Sign,
    Number,
    /// With its quotes.
    String,
    Word,
    /// `/pattern/flags`, only after `=~`.
    Regex,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    pub(super) text: &'s str,
    /// Byte offset in the source.
    pub(super) at: usize,
}

impl Token<'_> {
    /// Its text for a message: one line, whatever a name is made of.
    pub(super) fn shown(&self) -> String {
        self.text.escape_debug().to_string()
    }

    pub(super) fn is(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }
}

/// Longer ones first where one begins another.
const SIGNS: [&str; 23] = [
    "..", "==", "!=", "<=", ">=", "=~", "&&", "||", "$", "@", ".", "*", "[", "]", "(", ")", "?",
    ",", ":", "!", "<", ">", "-",
];

/// All tokens of a path.
pub(super) fn tokens(source: &str) -> Result<Vec<Token<'_>>, PathError> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let at = source.len().saturating_sub(rest.len());
        let after_match = tokens.iter().rfind(|token| token.kind != Kind::Blank);
        let after_match = after_match.is_some_and(|token| token.is("=~"));
        let (kind, length) = match first {
            ' ' | '\t' | '\n' | '\r' => (Kind::Blank, 1),
            '/' if after_match => (Kind::Regex, regex_length(rest, at)?),
            _ if after_match => return Err(refused(at, "`=~` needs a /pattern/ after it")),
            '\'' | '"' => (Kind::String, string_length(rest, first, at)?),
            _ if is_name_first(first) => {
                let end = rest.find(|c| !is_name_first(c) && !c.is_ascii_digit());
                (Kind::Word, end.unwrap_or(rest.len()))
            }
            _ => match number_length(rest) {
                0 => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                    Some(sign) => (Kind::Sign, sign.len()),
                    None => {
                        let reason = format!("unexpected `{}`", first.escape_debug());
                        return Err(refused(at, &reason));
                    }
                },
                length => (Kind::Number, length),
            },
        };
        let (text, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        tokens.push(Token { kind, text, at });
        rest = behind;
    }
    Ok(tokens)
}

/// The tokens from the first on that is no blank.
pub(super) fn solid<'t, 's>(tokens: &'t [Token<'s>]) -> &'t [Token<'s>] {
    let blanks = tokens.iter().take_while(|token| token.kind == Kind::Blank).count();
    tokens.get(blanks..).unwrap_or_default()
}

/// A path refused at that offset.
pub(super) fn refused(offset: usize, reason: &str) -> PathError {
    PathError { offset: Some(offset), reason: reason.to_owned() }
}

/// RFC 9535 §2.5.1.1, `name-first`.
fn is_name_first(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn string_length(rest: &str, quote: char, at: usize) -> Result<usize, PathError> {
    let length = closing(rest, quote).ok_or_else(|| refused(at, "the quote is not closed"))?;
    match rest.char_indices().take_while(|(at, _)| *at < length).find(|(_, c)| *c < ' ') {
        None => Ok(length),
        Some((beyond, _)) => {
            Err(refused(at.saturating_add(beyond), "a control character in quotes must be escaped"))
        }
    }
}

fn regex_length(rest: &str, at: usize) -> Result<usize, PathError> {
    let body = closing(rest, '/').ok_or_else(|| refused(at, "the /pattern/ is not closed"))?;
    let flags = rest.get(body..).unwrap_or_default();
    let flags = flags.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(flags.len());
    Ok(body.saturating_add(flags))
}

/// Length up to and with the delimiter that closes the one at the start.
fn closing(rest: &str, delimiter: char) -> Option<usize> {
    let mut escaped = false;
    let end = |(at, c): (usize, char)| at.saturating_add(c.len_utf8());
    rest.char_indices()
        .skip(1)
        .find(|(_, c)| {
            let closes = *c == delimiter && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        })
        .map(end)
}

/// Length of the number at the start, 0 if there is none. Whether it is well-formed is left to the
/// parser.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        let digits = bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit());
        digits.count()
    };
    let sign = usize::from(rest.starts_with('-'));
    let whole = digits(sign);
    if whole == 0 {
        return 0;
    }
    let mut end = sign.saturating_add(whole);
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end.saturating_add(1));
        if fraction > 0 {
            end = end.saturating_add(1).saturating_add(fraction);
        }
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end.saturating_add(1)), Some(b'+' | b'-')));
        let from = end.saturating_add(1).saturating_add(sign);
        let exponent = digits(from);
        if exponent > 0 {
            end = from.saturating_add(exponent);
        }
    }
    end
}
