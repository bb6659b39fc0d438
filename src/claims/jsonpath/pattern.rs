//! Regular expressions of filters: I-Regexp (RFC 9485) as far as `regex-lite` reads it.
//!
//! A pattern is compiled once, with the path. Its size is estimated here rather than taken from
//! the compiled form, which differs between the module and a native check: both must refuse the
//! same patterns and count the same steps.

use std::iter::Peekable;
use std::str::Chars;

use regex_lite::{Regex, RegexBuilder};

use crate::claims::jsonpath::budget::{Budget, OverBudget};

/// Largest pattern, in states of the automaton as estimated.
const MAX_STATES: usize = 512;
/// What starting a run costs, in steps.
const START_STEPS: usize = 20;
/// Backstop for what the estimate misses, in bytes of the compiled form.
const MAX_COMPILED_BYTES: usize = 256 * 1024;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    states: usize,
}

impl Pattern {
    /// A pattern that must match the whole text (`match`).
    pub(super) fn whole(pattern: &str) -> Result<Pattern, String> {
        // By itself first: `a)(b` would become well-formed in the group.
        Pattern::part(pattern)?;
        Pattern::compile(pattern, &format!("^(?:{pattern})$"))
    }

    /// A pattern that may match anywhere in the text (`search`).
    pub(super) fn part(pattern: &str) -> Result<Pattern, String> {
        Pattern::compile(pattern, pattern)
    }

    fn compile(written: &str, pattern: &str) -> Result<Pattern, String> {
        let states = estimate(written)?;
        if states > MAX_STATES {
            return Err("the pattern is too large: use fewer or smaller `{n}` \
                        repetitions"
                .to_owned());
        }
        // In its CRLF mode `.` leaves out both line ends, as RFC 9485 §5 has it.
        let regex = RegexBuilder::new(pattern)
            .crlf(true)
            .size_limit(MAX_COMPILED_BYTES)
            .build()
            .map_err(|error| format!("not a regular expression: {error}"))?;
        Ok(Pattern { regex, states })
    }

    /// Whether the text matches.
    pub(super) fn is_match(&self, text: &str, budget: &mut Budget) -> Result<bool, OverBudget> {
        // One step for each state at each byte, which is how the automaton is run.
        let pairs = text.len().saturating_add(1).saturating_mul(self.states);
        budget.take(pairs.saturating_add(START_STEPS))?;
        Ok(self.regex.is_match(text))
    }
}

/// How many states the pattern has at most, give or take a few. Needs no well-formed pattern.
fn estimate(pattern: &str) -> Result<usize, String> {
    let mut chars = pattern.chars().peekable();
    // The sizes before each open group; the current sum; its last atom.
    let mut outer: Vec<usize> = Vec::new();
    let mut sum = 1_usize;
    let mut atom = 0_usize;
    while let Some(c) = chars.next() {
        let size = match c {
            '(' => {
                if group_flags(&mut chars)? {
                    outer.push(sum);
                    sum = 0;
                }
                atom = 0;
                continue;
            }
            ')' => {
                atom = sum.saturating_add(2);
                sum = outer.pop().unwrap_or(0).saturating_add(atom);
                continue;
            }
            '{' => {
                if let Some(copies) = repetition(&mut chars) {
                    let repeated = copies.of(atom);
                    sum = sum.saturating_sub(atom).saturating_add(repeated);
                    atom = repeated;
                    continue;
                }
                1
            }
            '*' | '+' | '?' => {
                atom = atom.saturating_add(1);
                sum = sum.saturating_add(1);
                continue;
            }
            '\\' => escape(&mut chars)?,
            '[' => class(&mut chars)?,
            _ => 1,
        };
        atom = size;
        sum = sum.saturating_add(size);
    }
    Ok(outer.iter().fold(sum, |sum, open| sum.saturating_add(*open)))
}

/// Whether a group opens, after its `(`; `(?i)` opens none. The other flags would change what `.`
/// matches or how the rest is read.
fn group_flags(chars: &mut Peekable<Chars<'_>>) -> Result<bool, String> {
    if chars.next_if_eq(&'?').is_none() {
        return Ok(true);
    }
    let ignores_case = chars.next_if_eq(&'i').is_some();
    match chars.next() {
        Some(':') => Ok(true),
        Some(')') if ignores_case => Ok(false),
        _ => Err("unsupported group in a pattern, expected `:`, `i)` or `i:` after \
                  `(?`"
            .to_owned()),
    }
}

/// The most copies that `{…}` makes of the atom before it.
enum Copies {
    Exactly(usize),
    /// Each with a state of its own to leave it out or to repeat it.
    UpTo(usize),
}

impl Copies {
    fn of(&self, atom: usize) -> usize {
        match self {
            Copies::Exactly(times) => atom.max(1).saturating_mul(*times),
            Copies::UpTo(times) => atom.saturating_add(1).saturating_mul(*times),
        }
    }
}

/// The rest of `{n}`, `{n,}` or `{n,m}` after its `{`; nothing is read if it is none of them.
fn repetition(chars: &mut Peekable<Chars<'_>>) -> Option<Copies> {
    let written: String = chars.clone().take_while(|c| *c != '}').collect();
    let number = |digits: &str| {
        let digits = digits.trim();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse::<usize>().unwrap_or(usize::MAX))
    };
    let copies = match written.split_once(',') {
        None => Copies::Exactly(number(&written)?),
        Some((least, most)) if most.trim().is_empty() => {
            Copies::UpTo(number(least)?.saturating_add(1))
        }
        Some((least, most)) => Copies::UpTo(number(least)?.max(number(most)?)),
    };
    chars.find(|c| *c == '}')?;
    Some(copies)
}

fn escape(chars: &mut Peekable<Chars<'_>>) -> Result<usize, String> {
    match chars.next() {
        Some('p' | 'P') => Err("`\\p` and `\\P` (Unicode categories) are not supported in a \
                                pattern: use a range such as [A-Z]"
            .to_owned()),
        // A code point in braces is no repetition.
        Some('x' | 'u' | 'U') if chars.peek() == Some(&'{') => {
            chars.find(|c| *c == '}');
            Ok(1)
        }
        _ => Ok(1),
    }
}

fn class(chars: &mut Peekable<Chars<'_>>) -> Result<usize, String> {
    let mut length = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            ']' => break,
            '\\' => length = length.saturating_add(escape(chars)?),
            _ => length = length.saturating_add(1),
        }
    }
    // Its ranges are tried one after the other.
    Ok((length / 4).saturating_add(1))
}
