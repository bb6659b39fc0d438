//! A text without what came with copying it: invisible characters, and the line numbers of an editor. What
//! may be meant, such as a comment behind a value, stays out of the reader's way and is named, once for all
//! lines. Lines keep their numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::cursor::{is_blank, is_quote};
use super::leniency::Leniency;

/// A text to be read.
#[derive(Debug, Default)]
pub(super) struct Cleaned {
    pub(super) text: String,
    /// What was removed, and in which lines.
    pub(super) lenient: BTreeMap<Leniency, BTreeSet<usize>>,
    /// Lines with a comment, which is not in the text.
    pub(super) comments: BTreeSet<usize>,
}

/// Cleans a text.
pub(super) fn clean(text: &str) -> Cleaned {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut cleaned = Cleaned::default();
    let mut lines: Vec<String> = Vec::new();
    for (number, line) in (1..).zip(text.split('\n')) {
        let visible: String = line.chars().filter(|c| !is_invisible(*c)).collect();
        if visible.len() < line.len() {
            cleaned.lenient.entry(Leniency::Invisible).or_default().insert(number);
        }
        lines.push(visible);
    }
    if let Some(without) = without_numbers(&lines) {
        let numbered = (1..).zip(&lines).filter(|(_, line)| !is_empty(line)).map(|(n, _)| n);
        cleaned.lenient.insert(Leniency::LineNumbers, numbered.collect());
        lines = without;
    }
    for (number, line) in (1..).zip(&mut lines) {
        if let Some(at) = comment(line) {
            line.truncate(at);
            cleaned.comments.insert(number);
        }
    }
    cleaned.text = lines.join("\n");
    cleaned
}

/// Whether nobody sees the character: soft hyphens, joiners, marks of direction. They come from web pages
/// and word processors, and in a name or path they would match nothing.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{AD}'
            | '\u{61C}'
            | '\u{34F}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206F}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF9}'..='\u{FFFB}'
            // Tags, and more variation selectors.
            | '\u{E0000}'..='\u{E0FFF}'
    )
}

fn is_empty(line: &str) -> bool {
    line.chars().all(is_blank)
}

/// The lines without their numbers: if each that is not empty begins with one, and they count up, with or
/// without the empty lines. No text of keys does.
fn without_numbers(lines: &[String]) -> Option<Vec<String>> {
    let mut last: Option<(usize, usize)> = None;
    let mut numbered = 0_usize;
    let mut without = Vec::new();
    for (line, text) in (1_usize..).zip(lines) {
        if is_empty(text) {
            without.push(String::new());
            continue;
        }
        let trimmed = text.trim_start_matches(is_blank);
        let digits = trimmed.chars().take_while(char::is_ascii_digit).count();
        let (number, rest) = trimmed.split_at_checked(digits)?;
        let number: usize = number.parse().ok()?;
        let is_mark = |c: char| matches!(c, ':' | '.' | '|' | ')');
        let rest = rest.strip_prefix(is_mark).unwrap_or(rest);
        let ends = rest.is_empty() || rest.starts_with(is_blank);
        let counts = last.is_none_or(|(before, counted)| {
            let passed = line.saturating_sub(before);
            [1, passed].iter().any(|more| number == counted.saturating_add(*more))
        });
        if !ends || !counts {
            return None;
        }
        last = Some((line, number));
        numbered = numbered.saturating_add(1);
        without.push(rest.to_owned());
    }
    (numbered > 1).then_some(without)
}

/// Where a comment begins: a `#` or `//` behind a blank or at the start of the line, outside quotation marks.
fn comment(line: &str) -> Option<usize> {
    let mut open: Option<char> = None;
    let mut after_blank = true;
    for (at, c) in line.char_indices() {
        match open {
            Some(quote) if closes(quote, c) => open = None,
            Some(_) => {}
            None if after_blank && starts_comment(line, at) => return Some(at),
            None if is_quote(c) => open = Some(c),
            None => {}
        }
        after_blank = is_blank(c);
    }
    None
}

fn starts_comment(line: &str, at: usize) -> bool {
    line.get(at..).is_some_and(|rest| rest.starts_with('#') || rest.starts_with("//"))
}

/// Typographic marks close each other.
fn closes(opening: char, c: char) -> bool {
    match opening {
        '"' | '\'' => c == opening,
        _ => is_quote(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text, and the lines of what was removed: invisible characters, numbers, comments.
    #[track_caller]
    fn check(text: &str, expected: &str, [invisible, numbers, comments]: [&[usize]; 3]) {
        let cleaned = clean(text);
        assert_eq!(cleaned.text, expected, "for {text}");
        let of = |leniency| {
            let lines = cleaned.lenient.get(&leniency).into_iter().flatten();
            lines.copied().collect::<Vec<usize>>()
        };
        assert_eq!(of(Leniency::Invisible), invisible, "for {text}");
        assert_eq!(of(Leniency::LineNumbers), numbers, "for {text}");
        assert_eq!(cleaned.comments.iter().copied().collect::<Vec<_>>(), comments, "for {text}");
    }

    #[test]
    fn invisible_characters_are_removed() {
        check("a: 1\nb\u{200B}c: x\u{AD}y\u{202E}\n", "a: 1\nbc: xy\n", [&[2], &[], &[]]);
        check("a\u{E0061}\u{FE0F}\u{3164}\u{E0100}: 1", "a: 1", [&[1], &[], &[]]);
        check("\u{FEFF}a: 1", "a: 1", [&[], &[], &[]]);
        check("a:\u{A0}\u{2028}b", "a:\u{A0}\u{2028}b", [&[], &[], &[]]);
    }

    #[test]
    fn line_numbers_are_removed_where_every_line_has_one() {
        check("1 a: {\n2   b: c\n3 }", " a: {\n   b: c\n }", [&[], &[1, 2, 3], &[]]);
        check("9: a: 1\n10: b: 2\n", " a: 1\n b: 2\n", [&[], &[1, 2], &[]]);
        // An editor counts an empty line; a numbered list does not.
        check("  1| a: 1\n\n  3| b: 2", " a: 1\n\n b: 2", [&[], &[1, 3], &[]]);
        check("1. a: 1\n\n2. b: 2", " a: 1\n\n b: 2", [&[], &[1, 3], &[]]);
        for kept in ["1 a: 1", "1 a: 1\n3 b: 2", "1 a: 1\nb: 2", "1a: 1\n2b: 2", "7: x\n7: y"] {
            check(kept, kept, [&[], &[], &[]]);
        }
    }

    #[test]
    fn comments_are_found_outside_quotation_marks() {
        check("# a: b\nc: d # e\n  // f", "\nc: d \n  ", [&[], &[], &[1, 2, 3]]);
        check("\"a\": \"b\", // c", "\"a\": \"b\", ", [&[], &[], &[1]]);
        for kept in [
            "a: https://b.example/c#d",
            "a: \"b # c\"",
            "a: \u{201C}b // c\u{201D}",
            "a: $.b[?(@.c == ' # ')]",
            "a: b#c//d",
        ] {
            check(kept, kept, [&[], &[], &[]]);
        }
    }
}
