//! The connector guide's older forms, rewritten as RFC 9535.
//!
//! Reads the path into tokens, so that a string or a pattern that looks like an older form stays
//! as it is. It also refuses, with the position in the path as written, what the parser behind it
//! must never see: nesting on which a backtracking parser takes exponential time or deep
//! recursion, and blanks inside names, which that parser skips.

use crate::claims::jsonpath::error::PathError;
use crate::claims::jsonpath::refuse::function_refused;
use crate::claims::jsonpath::token::{Kind, Token, refused, solid, tokens};

/// How deeply brackets and parentheses may nest.
const MAX_NESTING: usize = 16;

const RELATIONS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];

/// A path as RFC 9535 writes it.
#[derive(Debug)]
pub(super) struct Translated {
    /// The path.
    pub(super) text: String,
    /// Where each piece of it starts, and the offset in the source that it comes from.
    origins: Vec<(usize, usize)>,
}

impl Translated {
    /// The offset in the path as the user wrote it.
    pub(super) fn source_offset(&self, at: usize) -> usize {
        let before = self.origins.iter().rev().find(|(start, _)| *start <= at);
        before.map_or(0, |(_, source)| *source)
    }
}

/// Rewrites a path.
pub(super) fn translate(source: &str) -> Result<Translated, PathError> {
    let tokens = tokens(source)?;
    let mut writer = Writer { source_len: source.len(), ..Writer::default() };
    writer.path(&tokens)?;

    let mut text = String::new();
    let mut origins = Vec::new();
    for piece in writer.pieces {
        origins.push((text.len(), piece.source));
        text.push_str(&piece.text);
    }
    origins.push((text.len(), source.len()));
    Ok(Translated { text, origins })
}

/// A bracket that is open.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Open {
    Bracket,
    /// A bracket whose current selector is a filter.
    Filter,
    Parenthesis,
    /// The parenthesis of a function.
    Call,
}

#[derive(Debug)]
struct Piece {
    text: String,
    source: usize,
}

#[derive(Debug, Default)]
struct Writer {
    source_len: usize,
    pieces: Vec<Piece>,
    /// With the offset of each.
    open: Vec<(Open, usize)>,
    /// Index of the piece with which the operand begins that a `=~` would apply to.
    operand: usize,
}

impl Writer {
    fn path(&mut self, tokens: &[Token<'_>]) -> Result<(), PathError> {
        let mut tokens = tokens;
        if let [first, rest @ ..] = tokens {
            if first.kind == Kind::Word {
                self.write("$", 0);
                self.name(first);
                self.no_hyphen(first, rest)?;
                tokens = rest;
            } else if first.is(".") || first.is("..") || first.is("[") {
                self.write("$", 0);
            }
        }
        while let [token, rest @ ..] = tokens {
            tokens = self.token(token, rest)?;
        }
        match self.open.last() {
            None => Ok(()),
            Some((Open::Bracket | Open::Filter, at)) => Err(refused(*at, "`[` is not closed")),
            Some((Open::Parenthesis | Open::Call, at)) => Err(refused(*at, "`(` is not closed")),
        }
    }

    /// Writes one token, or several that belong together; returns those that follow.
    fn token<'t, 's>(
        &mut self,
        token: &Token<'s>,
        rest: &'t [Token<'s>],
    ) -> Result<&'t [Token<'s>], PathError> {
        match token.kind {
            Kind::Blank | Kind::Number | Kind::String => self.copy(token),
            Kind::Word => return self.word(token, rest),
            Kind::Regex => {
                return Err(refused(
                    token.at,
                    "got a /pattern/, expected it only after \
                                                         `=~`",
                ));
            }
            Kind::Sign => match token.text {
                "." | ".." => return self.dots(token, rest),
                "[" => return self.bracket(token, rest),
                "(" => {
                    self.open(Open::Parenthesis, token)?;
                    self.boundary(token);
                }
                "=~" => return self.full_match(token, rest),
                ")" => self.parenthesis(token, rest)?,
                "]" => self.close(token, |open| matches!(open, Open::Bracket | Open::Filter))?,
                "?" => self.filter(token)?,
                "," => {
                    if let Some((open @ Open::Filter, _)) = self.open.last_mut() {
                        *open = Open::Bracket;
                    }
                    self.boundary(token);
                }
                "&&" | "||" | "!" => self.boundary(token),
                _ => self.copy(token),
            },
        }
        Ok(rest)
    }

    /// `.` or `..` and what it applies to. Names are written in quotes: the parser takes blanks,
    /// also those of Unicode, off names that have none.
    fn dots<'t, 's>(
        &mut self,
        token: &Token<'s>,
        rest: &'t [Token<'s>],
    ) -> Result<&'t [Token<'s>], PathError> {
        let [next, behind @ ..] = rest else {
            return Err(refused(self.source_len, "expected a name, `*` or `[` after the dot"));
        };
        let descends = token.is("..");
        if next.kind == Kind::Word {
            if descends {
                self.copy(token);
            }
            self.name(next);
            self.no_hyphen(next, behind)?;
            return Ok(behind);
        }
        if next.is("*") || (descends && next.is("[")) {
            self.copy(token);
            return Ok(rest);
        }
        let reason = match next.kind {
            Kind::Number => format!(
                "got a name that starts with a digit: write it as \
                                     ['{}']",
                next.text
            ),
            Kind::Blank => "got white space after a dot: remove it".to_owned(),
            Kind::Sign | Kind::String | Kind::Word | Kind::Regex => {
                "expected a name or `*` after a dot".to_owned()
            }
        };
        Err(refused(next.at, &reason))
    }

    fn no_hyphen(&self, name: &Token<'_>, rest: &[Token<'_>]) -> Result<(), PathError> {
        match rest.first() {
            Some(next) if next.text.starts_with('-') => {
                let reason = format!("got a name with `-`: quote it, as ['{}-…']", name.shown());
                Err(refused(next.at, &reason))
            }
            _ => Ok(()),
        }
    }

    /// `[`, or the guide's `[(@.length-1)]` as a whole.
    fn bracket<'t, 's>(
        &mut self,
        token: &Token<'s>,
        rest: &'t [Token<'s>],
    ) -> Result<&'t [Token<'s>], PathError> {
        let Some(script) = solid(rest).first().filter(|next| next.is("(")) else {
            self.open(Open::Bracket, token)?;
            self.copy(token);
            return Ok(rest);
        };
        match length_script(rest) {
            Some((back, behind)) => {
                self.write(&format!("[-{back}]"), token.at);
                Ok(behind)
            }
            None => Err(refused(
                script.at,
                "got an unsupported script, expected [(@.length-N)] \
                                            with N of at least 1",
            )),
        }
    }

    fn parenthesis(&mut self, token: &Token<'_>, rest: &[Token<'_>]) -> Result<(), PathError> {
        let of_call = matches!(self.open.last(), Some((Open::Call, _)));
        self.close(token, |open| matches!(open, Open::Parenthesis | Open::Call))?;
        match solid(rest).first() {
            Some(next) if of_call && RELATIONS.iter().any(|sign| next.is(sign)) => {
                Err(refused(next.at, "`match` and `search` are conditions, not values to compare"))
            }
            _ => Ok(()),
        }
    }

    fn filter(&mut self, token: &Token<'_>) -> Result<(), PathError> {
        if self.is_open(Open::Filter) {
            return Err(refused(token.at, "nested filters are not supported"));
        }
        if let Some((open @ Open::Bracket, _)) = self.open.last_mut() {
            *open = Open::Filter;
        }
        self.boundary(token);
        Ok(())
    }

    /// A word that does not follow a dot: a literal, or a function with its parenthesis.
    fn word<'t, 's>(
        &mut self,
        token: &Token<'s>,
        rest: &'t [Token<'s>],
    ) -> Result<&'t [Token<'s>], PathError> {
        let name = token.shown();
        if !self.is_open(Open::Filter) {
            let reason = format!(
                "got a name without a dot: write it after a dot, or in quotes as \
                                  ['{name}']"
            );
            return Err(refused(token.at, &reason));
        }
        match rest {
            [next, behind @ ..] if next.is("(") => {
                if !matches!(token.text, "match" | "search") {
                    return Err(refused(token.at, &function_refused(&token.shown())));
                }
                self.no_call(token)?;
                self.copy(token);
                self.open(Open::Call, next)?;
                self.boundary(next);
                Ok(behind)
            }
            _ if matches!(token.text, "true" | "false" | "null") => {
                self.copy(token);
                Ok(rest)
            }
            _ => {
                let reason = format!(
                    "got `{name}`, expected true, false or null: write a member as @.{name}"
                );
                Err(refused(token.at, &reason))
            }
        }
    }

    /// `=~` and its pattern: in the guide's engine the whole value must match.
    fn full_match<'t, 's>(
        &mut self,
        token: &Token<'s>,
        rest: &'t [Token<'s>],
    ) -> Result<&'t [Token<'s>], PathError> {
        if !self.is_open(Open::Filter) {
            return Err(refused(token.at, "got `=~`, expected it only in a filter"));
        }
        self.no_call(token)?;
        let written = self.pieces.iter().skip(self.operand);
        if written.map(|piece| piece.text.trim()).all(str::is_empty) {
            return Err(refused(token.at, "`=~` needs a query before it"));
        }
        let Some((pattern, behind)) = solid(rest).split_first() else {
            return Err(refused(self.source_len, "`=~` needs a /pattern/ after it"));
        };
        let (body, flags) = pattern
            .text
            .strip_prefix('/')
            .and_then(|text| text.rsplit_once('/'))
            .unwrap_or_default();
        let prefix = match flags {
            "" => "",
            "i" => "(?i)",
            _ => {
                let reason = format!("got flags `{flags}` after the pattern, expected only `i`");
                return Err(refused(pattern.at, &reason));
            }
        };
        let opening = Piece { text: "match(".to_owned(), source: token.at };
        self.pieces.insert(self.operand, opening);
        self.write(&format!(",'{prefix}{}')", quoted(body)), pattern.at);
        Ok(behind)
    }

    /// A function within a function would cost the parser exponential time.
    fn no_call(&self, token: &Token<'_>) -> Result<(), PathError> {
        if self.is_open(Open::Call) {
            return Err(refused(token.at, "nested functions are not supported"));
        }
        Ok(())
    }

    fn is_open(&self, kind: Open) -> bool {
        self.open.iter().any(|(open, _)| *open == kind)
    }

    fn open(&mut self, kind: Open, token: &Token<'_>) -> Result<(), PathError> {
        if self.open.len() >= MAX_NESTING {
            let reason = format!("brackets are nested deeper than {MAX_NESTING}");
            return Err(refused(token.at, &reason));
        }
        self.open.push((kind, token.at));
        Ok(())
    }

    fn close(&mut self, token: &Token<'_>, fits: fn(Open) -> bool) -> Result<(), PathError> {
        match self.open.pop() {
            Some((open, _)) if fits(open) => {
                self.copy(token);
                Ok(())
            }
            _ => Err(refused(token.at, &format!("`{}` has no opening bracket", token.text))),
        }
    }

    fn name(&mut self, token: &Token<'_>) {
        self.write(&format!("['{}']", token.text), token.at);
    }

    /// Writes a sign after which a new operand begins.
    fn boundary(&mut self, token: &Token<'_>) {
        self.copy(token);
        self.operand = self.pieces.len();
    }

    fn copy(&mut self, token: &Token<'_>) {
        self.write(token.text, token.at);
    }

    fn write(&mut self, text: &str, source: usize) {
        self.pieces.push(Piece { text: text.to_owned(), source });
    }
}

/// The script after `[` in `[(@.length-1)]`: the distance from the end, and the tokens after it.
fn length_script<'t, 's>(tokens: &'t [Token<'s>]) -> Option<(&'s str, &'t [Token<'s>])> {
    let mut rest = tokens;
    let mut next = || match solid(rest) {
        [token, behind @ ..] => {
            rest = behind;
            Some(token)
        }
        [] => None,
    };
    let opens = next()?.is("(") && next()?.is("@") && next()?.is(".");
    let length = next()?;
    if !opens || length.kind != Kind::Word || length.text != "length" {
        return None;
    }
    let mut number = next()?;
    if number.is("-") {
        number = next()?;
    } else if !number.text.starts_with('-') {
        return None;
    }
    let back = number.text.trim_start_matches('-');
    let counts = back.bytes().all(|byte| byte.is_ascii_digit()) && !back.starts_with('0');
    let closes = next()?.is(")") && next()?.is("]");
    (counts && number.kind == Kind::Number && closes).then_some((back, rest))
}

/// A pattern as the inside of a string literal in single quotes.
fn quoted(pattern: &str) -> String {
    let mut quoted = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                quoted.push_str("\\\\");
                // The escaped character as well, lest a second backslash begin an escape.
                match chars.next() {
                    Some(escaped @ ('\\' | '\'')) => quoted.extend(['\\', escaped]),
                    Some(escaped) => quoted.push(escaped),
                    None => {}
                }
            }
            '\'' => quoted.push_str("\\'"),
            _ => quoted.push(c),
        }
    }
    quoted
}
