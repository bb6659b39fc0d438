//! Single values of the text form: in quotation marks of any kind, or without.

use super::super::cursor::{
    is_blank, is_quote, is_smart, starts_any_member, starts_member, starts_uri,
};
use super::{ENDPOINT_KEYS, KEYS, Leniency, Reader};

impl Reader {
    /// Text in quotation marks, whose opening mark is next; escapes as in JSON. It ends within its
    /// line.
    pub(super) fn string(&mut self) -> String {
        let line = self.cursor.line();
        let Some(opening) = self.cursor.take() else { return String::new() };
        let single = matches!(opening, '\'' | '\u{2018}'..='\u{201B}');
        // A text that begins with a plain mark ends with one, unless none is left in the line.
        let plain = !is_smart(opening) && self.cursor.line_has(opening);
        let closes = |c: char| match (plain, single) {
            (true, _) => c == opening,
            (false, true) => c == '\'' || matches!(c, '\u{2018}'..='\u{201B}'),
            (false, false) => {
                c == '"' || matches!(c, '\u{201C}'..='\u{201F}' | '\u{AB}' | '\u{BB}')
            }
        };
        if single {
            self.note(Leniency::SingleQuotes, line);
        }
        let mut text = String::new();
        while let Some(c) = self.cursor.peek().filter(|c| *c != '\n') {
            self.cursor.take();
            if closes(c) {
                if is_smart(c) || is_smart(opening) {
                    self.note(Leniency::SmartQuotes, line);
                }
                return text;
            }
            match c {
                '\\' => self.escape(&mut text, line),
                c => text.push(c),
            }
        }
        self.unreadable(
            line,
            "a quotation mark that is not closed in its line",
            "close it, or remove it",
        );
        text
    }

    /// The value in a line below the name: within braces in quotation marks, as JSON has it, and a
    /// URI anywhere, because it can be no line of its own.
    pub(super) fn value_below(&mut self, line: usize) -> Option<String> {
        let uri = self.cursor.line() > line && starts_uri(self.cursor.rest());
        let (inside, start) = (self.inside(), self.cursor.mark());
        if self.cursor.peek().is_some_and(is_quote) && (inside || uri) {
            let text = self.string();
            self.blanks();
            // A colon makes it the next name.
            if self.cursor.peek() == Some(':') {
                self.cursor.back_to(start);
                return None;
            }
            if !inside {
                self.note(Leniency::ValueBelow, line);
            }
            return Some(text);
        }
        uri.then(|| {
            self.note(Leniency::ValueBelow, line);
            self.unquoted()
        })
    }

    fn escape(&mut self, text: &mut String, line: usize) {
        let escaped = match self.cursor.peek() {
            Some(c @ ('"' | '\\' | '/' | '\'')) => Some(c),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{C}'),
            Some('u') => return self.code_point(text, line),
            Some(_) | None => None,
        };
        match escaped {
            Some(c) => {
                self.cursor.take();
                text.push(c);
            }
            None => {
                self.note(Leniency::Backslash, line);
                text.push('\\');
            }
        }
    }

    fn code_point(&mut self, text: &mut String, line: usize) {
        let digits: String = self.cursor.rest().iter().skip(1).take(4).collect();
        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
        match code.and_then(char::from_u32) {
            Some(c) => {
                for _ in 0..5 {
                    self.cursor.take();
                }
                text.push(c);
            }
            None => self.unreadable(
                line,
                "an invalid \\u escape in quotation marks",
                "write the character itself",
            ),
        }
    }

    /// Text without quotation marks: to the end of its line, unless another member, or the end of
    /// the object, comes first. Brackets, braces and quotation marks within it belong to it.
    pub(super) fn unquoted(&mut self) -> String {
        let mut text = String::new();
        let mut open: Vec<char> = Vec::new();
        while let Some(c) = self.cursor.peek().filter(|c| *c != '\n') {
            if open.is_empty() && self.ends_here(c) {
                break;
            }
            match (c, open.last()) {
                ('}', None) => break,
                (_, Some(quote @ ('\'' | '"'))) if *quote != c => {}
                (_, Some(closing)) if *closing == c => {
                    open.pop();
                }
                ('[', _) => open.push(']'),
                ('(', _) => open.push(')'),
                ('{', _) => open.push('}'),
                ('\'' | '"', _) => open.push(c),
                _ => {}
            }
            self.cursor.take();
            text.push(c);
        }
        text.trim_matches(is_blank).to_owned()
    }

    /// Whether a value without quotation marks ends before this comma or blank.
    fn ends_here(&self, c: char) -> bool {
        let after = self.cursor.rest().get(1..).unwrap_or_default();
        let blanks = after.iter().take_while(|c| is_blank(**c)).count();
        let after = after.get(blanks..).unwrap_or_default();
        let known = starts_member(after, &KEYS) || starts_member(after, &ENDPOINT_KEYS);
        match c {
            ',' if self.inside() => {
                known
                    || matches!(after.first(), None | Some('\n' | '}'))
                    || starts_any_member(after)
            }
            ',' => known || matches!(after.first(), None | Some('\n')),
            c if is_blank(c) => known,
            _ => false,
        }
    }
}
