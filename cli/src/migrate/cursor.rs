//! The characters of a source text one after the other, with their line.
//!
//! Every step forward is bounded by the text; nothing here decides what a character means.

/// A place in the text.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

/// A place to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    at: usize,
    line: usize,
}

impl Cursor {
    /// The start of a text; every kind of line end becomes a line feed.
    pub(super) fn new(text: &str) -> Cursor {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        Cursor { chars: text.chars().collect(), at: 0, line: 1 }
    }

    /// The line of the next character, counted from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Everything from here on.
    pub(super) fn rest(&self) -> &[char] {
        self.chars.get(self.at..).unwrap_or_default()
    }

    /// The next character.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().first().copied()
    }

    /// The character after the next one.
    pub(super) fn peek_second(&self) -> Option<char> {
        self.rest().get(1).copied()
    }

    /// Takes the next character.
    pub(super) fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at = self.at.saturating_add(1);
        if c == '\n' {
            self.line = self.line.saturating_add(1);
        }
        Some(c)
    }

    /// Takes the next character if it is this one.
    pub(super) fn take_if(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.take();
        }
        found
    }

    /// Whether the rest of this line contains the character.
    pub(super) fn line_has(&self, wanted: char) -> bool {
        self.rest().iter().take_while(|c| **c != '\n').any(|c| *c == wanted)
    }

    /// This place.
    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.at, line: self.line }
    }

    /// Goes back to a place.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.at = mark.at;
        self.line = mark.line;
    }
}

/// Whether the character is a blank within a line, also one that only web pages have.
pub(super) fn is_blank(c: char) -> bool {
    c != '\n' && (c.is_whitespace() || matches!(c, '\u{200B}' | '\u{FEFF}'))
}

/// Whether text in quotation marks begins here.
pub(super) fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'') || is_smart(c)
}

/// Whether the character is a quotation mark that only word processors and web pages produce.
pub(super) fn is_smart(c: char) -> bool {
    matches!(c, '\u{2018}'..='\u{201F}' | '\u{AB}' | '\u{BB}')
}

/// Whether these characters start with a name and its colon, and the name is one of
/// `names`, with or without quotation marks.
pub(super) fn starts_member(rest: &[char], names: &[&str]) -> bool {
    let rest = match rest {
        ['"' | '\u{201C}' | '\u{201D}', rest @ ..] => rest,
        rest => rest,
    };
    names.iter().any(|name| {
        let mut left = rest.iter().copied();
        name.chars().all(|c| left.next() == Some(c)) && ends_name(left)
    })
}

/// Whether these characters start with any name and its colon.
pub(super) fn starts_any_member(rest: &[char]) -> bool {
    match rest {
        ['"' | '\'' | '\u{201C}' | '\u{2018}', ..] => true,
        _ => {
            let is_part = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-');
            let length = rest.iter().take_while(|c| is_part(c)).count();
            length > 0 && ends_name(rest.iter().copied().skip(length))
        }
    }
}

/// Whether what follows a name is its colon, and not that of `https://`.
fn ends_name(left: impl Iterator<Item = char>) -> bool {
    let mut left = left.skip_while(|c| is_blank(*c) || matches!(c, '"' | '\u{201C}' | '\u{201D}'));
    left.next() == Some(':') && !(left.next() == Some('/') && left.next() == Some('/'))
}

/// Whether these characters start with a URI, with or without quotation marks.
pub(super) fn starts_uri(rest: &[char]) -> bool {
    let rest = match rest {
        [first, rest @ ..] if is_quote(*first) => rest,
        rest => rest,
    };
    ["http://", "https://"].iter().any(|scheme| {
        let mut left = rest.iter();
        scheme.chars().all(|c| left.next().is_some_and(|l| l.eq_ignore_ascii_case(&c)))
    })
}
