//! Reads the source system's text form: one `key: value` per line, objects in lenient braces.
//!
//! The form has no grammar that is published; its guide shows it by example. So the reader takes
//! what can be meant in one way alone, writes down which liberty it took in which line, and names
//! each line of which it can make nothing. It never guesses a value.

mod scalar;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::cursor::{Cursor, is_blank, is_quote, starts_member};
use super::leniency::Leniency;

/// The keys of the outermost level, in the order of the reference.
pub(super) const KEYS: [&str; 9] = [
    "userinfo_endpoint",
    "inject_headers",
    "block_authorization_header",
    "error_metadata_location",
    "error_header_name",
    "error_payload_location",
    "enable_error_set",
    "http_proxy_server",
    "http_proxy_port",
];

/// The keys of `userinfo_endpoint`.
pub(super) const ENDPOINT_KEYS: [&str; 3] = ["regionCodeHeader", "regionCodeValue", "defaultURI"];

/// The keys whose value is an object.
const OBJECTS: [&str; 3] = ["userinfo_endpoint", "inject_headers", "regionCodeValue"];

/// How deeply braces may nest: far beyond what any key needs, and it bounds what a text can cost.
const MAX_DEPTH: usize = 8;

/// A name with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) value: Value,
}

/// A value as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Map(Vec<Member>),
}

/// The content of a text.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) members: Vec<Member>,
    pub(super) lenient: BTreeMap<Leniency, BTreeSet<usize>>,
    /// Lines of which nothing can be made: what is wrong, and the remedy.
    pub(super) unreadable: Vec<(usize, &'static str, &'static str)>,
}

/// Reads a text to its end.
pub(super) fn read(text: &str) -> Reading {
    let mut reader = Reader {
        cursor: Cursor::new(text),
        reading: Reading::default(),
        frames: vec![Frame::default()],
        outer: false,
        dropped: 0,
        fresh: true,
    };
    reader.run();
    reader.finish()
}

/// An object whose closing brace has not come yet. The lowest one is the text itself.
#[derive(Debug, Default)]
struct Frame {
    /// `None`: braces without a name, whose members belong to the object around them.
    name: Option<String>,
    line: usize,
    members: Vec<Member>,
    /// Opened by its content, not by a brace.
    implicit: bool,
    /// A comma follows the last member.
    separated: bool,
}

struct Reader {
    cursor: Cursor,
    reading: Reading,
    frames: Vec<Frame>,
    /// Within one pair of braces around everything.
    outer: bool,
    /// Braces too deep to be opened, whose closing ones have not come yet.
    dropped: usize,
    /// Nothing but blanks has come in this line.
    fresh: bool,
}

impl Reader {
    fn run(&mut self) {
        loop {
            self.skip_between();
            let line = self.cursor.line();
            match self.cursor.peek() {
                None => break,
                Some('}') => {
                    self.cursor.take();
                    self.close(line);
                }
                Some('{') => {
                    self.cursor.take();
                    let first = self.frames.len() == 1
                        && self.frames.iter().all(|frame| frame.members.is_empty());
                    if first && !self.outer {
                        self.outer = true;
                        self.note(Leniency::OuterBraces, line);
                    } else {
                        self.note(Leniency::StrayOpen, line);
                        self.open(None, line, false);
                    }
                }
                Some(_) => self.member(),
            }
            self.fresh = false;
        }
    }

    fn note(&mut self, leniency: Leniency, line: usize) {
        self.reading.lenient.entry(leniency).or_default().insert(line);
    }

    fn unreadable(&mut self, line: usize, what: &'static str, remedy: &'static str) {
        self.reading.unreadable.push((line, what, remedy));
    }

    /// Whether this place is within braces, where commas separate and quotation marks are usual.
    fn inside(&self) -> bool {
        self.outer || self.frames.len() > 1
    }

    /// Skips the separators between two members.
    fn skip_between(&mut self) {
        while let Some(c) = self.cursor.peek() {
            let line = self.cursor.line();
            match (c, self.cursor.peek_second()) {
                ('\n', _) => self.fresh = true,
                (',', _) => self.comma(line),
                ('\\', Some('{' | '}')) => self.note(Leniency::Backslash, line),
                ('-' | '*' | '\u{2022}', Some(next)) if self.fresh && is_blank(next) => {
                    self.note(Leniency::Bullet, line);
                }
                (c, _) if is_blank(c) => self.odd(c, line),
                _ => break,
            }
            self.cursor.take();
        }
    }

    fn comma(&mut self, line: usize) {
        let inside = self.inside();
        let Some(frame) = self.frames.last_mut() else { return };
        if !inside || frame.separated || frame.members.is_empty() {
            self.note(Leniency::StrayComma, line);
        } else {
            frame.separated = true;
        }
    }

    fn odd(&mut self, c: char, line: usize) {
        if !c.is_ascii() {
            self.note(Leniency::OddBlank, line);
        }
    }

    fn blanks(&mut self) {
        while let Some(c) = self.cursor.peek().filter(|c| is_blank(*c)) {
            self.odd(c, self.cursor.line());
            self.cursor.take();
        }
    }

    fn open(&mut self, name: Option<String>, line: usize, implicit: bool) {
        if self.frames.len() > MAX_DEPTH {
            self.dropped = self.dropped.saturating_add(1);
            self.unreadable(
                line,
                "braces nested deeper than any key needs",
                "remove the extra braces",
            );
            return;
        }
        self.frames.push(Frame { name, line, implicit, ..Frame::default() });
    }

    fn close(&mut self, line: usize) {
        if self.dropped > 0 {
            self.dropped = self.dropped.saturating_sub(1);
        } else if self.frames.len() > 1 {
            if self.frames.last().is_some_and(|frame| frame.separated) {
                self.note(Leniency::StrayComma, line);
            }
            self.pop();
        } else if self.outer {
            self.outer = false;
        } else {
            self.note(Leniency::StrayClose, line);
        }
    }

    /// Ends the innermost object.
    fn pop(&mut self) {
        if self.frames.len() < 2 {
            return;
        }
        let Some(Frame { name, line, members, .. }) = self.frames.pop() else { return };
        match name {
            Some(name) => self.add(name, line, Value::Map(members)),
            None => {
                if let Some(parent) = self.frames.last_mut() {
                    parent.members.extend(members);
                }
            }
        }
    }

    fn add(&mut self, name: String, line: usize, value: Value) {
        if let Some(frame) = self.frames.last_mut() {
            frame.members.push(Member { name, line, value });
            frame.separated = false;
        }
    }

    fn member(&mut self) {
        let (line, fresh) = (self.cursor.line(), self.fresh);
        let Some((name, quoted)) = self.name(line) else { return };
        if fresh {
            self.go_home(&name, line);
        } else if !self.inside() {
            self.note(Leniency::OneLine, line);
        }
        if self.inside() {
            if self.frames.last().is_some_and(|f| !f.members.is_empty() && !f.separated) {
                self.note(Leniency::NoComma, line);
            }
            if !quoted {
                self.note(Leniency::Unquoted, line);
            }
        }
        self.value(name, line);
    }

    /// A name and its colon, and whether the name was in quotation marks.
    fn name(&mut self, line: usize) -> Option<(String, bool)> {
        let quoted = self.cursor.peek().is_some_and(is_quote);
        let name = if quoted {
            self.string()
        } else {
            let mut name = String::new();
            while let Some(c) = self.cursor.peek() {
                if matches!(c, ':' | '\n' | '{' | '}' | ',') {
                    break;
                }
                name.extend(self.cursor.take());
            }
            name.trim_matches(is_blank).to_owned()
        };
        self.blanks();
        if self.cursor.take_if(':') {
            if name.is_empty() {
                self.unreadable(line, "a colon without a name before it", "write `key: value`");
                while self.cursor.peek().is_some_and(|c| c != '\n') {
                    self.cursor.take();
                }
                return None;
            }
            return Some((name, quoted));
        }
        if self.cursor.peek() == Some('{') {
            self.note(Leniency::MissingColon, line);
            return Some((name, quoted));
        }
        self.unreadable(
            line,
            "text without a colon",
            "write `key: value`, or remove what belongs to no key",
        );
        None
    }

    /// Closes the objects to which a known key at the start of a line cannot belong.
    fn go_home(&mut self, name: &str, line: usize) {
        let home = if KEYS.contains(&name) {
            1
        } else if ENDPOINT_KEYS.contains(&name) {
            let of = |frame: &Frame| frame.name.as_deref() == Some("userinfo_endpoint");
            self.frames.iter().position(of).map_or(1, |index| index.saturating_add(1))
        } else {
            return;
        };
        while self.frames.len() > home {
            if self.frames.last().is_some_and(|frame| !frame.implicit) {
                self.note(Leniency::MissingClose, line);
            }
            self.pop();
        }
    }

    fn value(&mut self, name: String, line: usize) {
        self.blanks();
        if let (Some('\\'), Some('{')) = (self.cursor.peek(), self.cursor.peek_second()) {
            self.note(Leniency::Backslash, line);
            self.cursor.take();
        }
        match self.cursor.peek() {
            Some('{') => {
                self.cursor.take();
                self.open(Some(name), line, false);
            }
            None | Some('\n' | '}' | ',') => self.nothing(name, line),
            Some(c) if is_quote(c) => {
                let start = self.cursor.mark();
                let text = self.string();
                self.blanks();
                if OBJECTS.contains(&name.as_str()) && self.cursor.peek() == Some(':') {
                    self.cursor.back_to(start);
                    self.open_implicit(name, line);
                } else {
                    self.add(name, line, Value::Text(text));
                }
            }
            Some(_)
                if OBJECTS.contains(&name.as_str())
                    && starts_member(self.cursor.rest(), &ENDPOINT_KEYS) =>
            {
                self.open_implicit(name, line);
            }
            Some(_) => {
                let text = self.unquoted();
                // The same as in JSON.
                let literal =
                    matches!(text.as_str(), "true" | "false") || text.parse::<u32>().is_ok();
                if self.inside() && !literal {
                    self.note(Leniency::Unquoted, line);
                }
                self.add(name, line, Value::Text(text));
            }
        }
    }

    fn open_implicit(&mut self, name: String, line: usize) {
        self.note(Leniency::MissingOpen, line);
        self.open(Some(name), line, true);
    }

    /// A name with nothing behind it in its line: empty, unless its object begins below.
    fn nothing(&mut self, name: String, line: usize) {
        let here = self.cursor.mark();
        while self.cursor.peek().is_some_and(|c| c == '\n' || is_blank(c)) {
            self.cursor.take();
        }
        if self.cursor.line() > line && self.cursor.take_if('{') {
            self.note(Leniency::BraceBelow, line);
            self.open(Some(name), line, false);
            return;
        }
        if let Some(text) = self.value_below(line) {
            return self.add(name, line, Value::Text(text));
        }
        let rest = self.cursor.rest();
        let begins = match name.as_str() {
            "userinfo_endpoint" => starts_member(rest, &ENDPOINT_KEYS),
            "inject_headers" | "regionCodeValue" => {
                // Without quotation marks it might be a key of any other processor.
                rest.first().is_some_and(|c| is_quote(*c))
                    && !starts_member(rest, &KEYS)
                    && !starts_member(rest, &ENDPOINT_KEYS)
            }
            _ => false,
        };
        self.cursor.back_to(here);
        if begins {
            self.open_implicit(name, line);
        } else {
            self.add(name, line, Value::Text(String::new()));
        }
    }

    fn finish(mut self) -> Reading {
        let line = self.cursor.line();
        while self.frames.len() > 1 {
            if self.frames.last().is_some_and(|frame| !frame.implicit) {
                self.note(Leniency::MissingClose, line);
            }
            self.pop();
        }
        if self.outer {
            self.note(Leniency::MissingClose, line);
        }
        let members = self.frames.pop().map(|frame| frame.members).unwrap_or_default();
        Reading { members, ..self.reading }
    }
}
