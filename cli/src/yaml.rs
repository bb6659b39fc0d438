//! YAML as those read it for whom it is meant: Envoy's reader (yaml-cpp, into a Struct) takes other
//! scalars for numbers than that of Kubernetes, and knows no merge keys.
//!
//! Values are counted and scalars weighed before aliases are followed, so that a small file never
//! becomes a large one.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use crate::written::{Kind, Location, Tree};

/// How deep values may nest: readers walk through them by recursion.
const MOST_DEPTH: usize = 200;
/// How many values a file may have, its aliases followed: more than any gateway has. A long scalar
/// counts as several.
const MOST_VALUES: usize = 2_000_000;
/// How many bytes of a scalar count as one more value.
const BYTES_OF_A_VALUE: usize = 64;
const KEY_IS_NO_TEXT: &str = "got a key that is not text, expected a name";

/// One document.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Its value.
    pub(crate) value: Value,
    /// Where Envoy sees text that others take for a number, and that text.
    pub(crate) texts: Vec<(String, String)>,
    /// Where there is a merge key in a file that is not for Kubernetes.
    pub(crate) merges: Vec<String>,
    /// As it is written.
    pub(crate) written: Option<Rc<Tree>>,
}

/// The documents of a text.
///
/// # Errors
///
/// Where and why it cannot be read, and what to do.
pub(crate) fn read(text: &str) -> Result<Vec<Read>, String> {
    let mut events = events(text);
    let (mut documents, mut values) = (Vec::new(), 0_usize);
    while let Some((event, _)) = events.next()? {
        let Event::DocumentStart(..) = event else { continue };
        let Some((event, at)) = events.next()? else { break };
        if matches!(event, Event::DocumentEnd) {
            continue;
        }
        let tree = Composer::default().tree(event, at, &mut events, 0)?;
        values = values.saturating_add(tree.values);
        if values > MOST_VALUES {
            return Err(format!(
                "has more than {MOST_VALUES} values once its aliases are followed, long ones \
                 counted several times; give fewer at a time"
            ));
        }
        let mut reading = Reading { kubernetes: tree.is_manifest(), read: Read::default() };
        let value = reading.value(&tree, "")?;
        documents.push(Read { value, written: Some(tree), ..reading.read });
    }
    Ok(documents)
}

/// A text of one document as it is written, for its lines; `None` if it is no YAML. JSON nearly
/// always is.
pub(crate) fn written(text: &str) -> Option<Rc<Tree>> {
    let mut events = events(text);
    while let Some((event, _)) = events.next().ok()? {
        if matches!(event, Event::DocumentStart(..)) {
            let (event, at) = events.next().ok()??;
            return Composer::default().tree(event, at, &mut events, 0).ok();
        }
    }
    None
}

fn events(text: &str) -> Events<'_> {
    let mut options = Options::default();
    options.emit_comments = false;
    options.flow_nesting_limit = MOST_DEPTH;
    options.block_nesting_limit = MOST_DEPTH;
    Events(Parser::new_from_str_with_options(text, options))
}

struct Events<'t>(Parser<'t, granit_parser::StrInput<'t>>);

impl<'t> Events<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Location)>, String> {
        match self.0.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, location(&span.start)))),
            Some(Err(error)) => {
                let what = format!("neither JSON nor YAML: {}", error.info());
                Err(location(error.marker()).says(&what))
            }
        }
    }
}

fn location(marker: &Marker) -> Location {
    Location { line: marker.line(), column: marker.col().saturating_add(1) }
}

#[derive(Default)]
struct Composer {
    anchors: HashMap<usize, Rc<Tree>>,
}

impl Composer {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the parser may learn further events")]
    fn tree(
        &mut self,
        event: Event<'_>,
        at: Location,
        events: &mut Events<'_>,
        depth: usize,
    ) -> Result<Rc<Tree>, String> {
        let too_deep = || at.says(&format!("nests more than {MOST_DEPTH} deep"));
        if depth > MOST_DEPTH {
            return Err(too_deep());
        }
        let within = depth.saturating_add(1);
        let (anchor, tree) = match event {
            Event::Alias(anchor) => {
                let tree = self.anchors.get(&anchor).cloned();
                let tree = tree.ok_or_else(|| at.says("an alias within its own anchor"))?;
                if depth.saturating_add(tree.depth) > MOST_DEPTH {
                    return Err(too_deep());
                }
                return Ok(tree);
            }
            Event::Scalar(text, style, anchor, tag) => {
                // As Envoy's reader: a tag other than `!` takes the quotes' place.
                let open = match tag {
                    Some(tag) => (tag.handle(), tag.suffix()) != ("", "!"),
                    None => style == ScalarStyle::Plain,
                };
                let values = 1_usize.saturating_add(text.len() / BYTES_OF_A_VALUE);
                let kind = Kind::Scalar(text.into_owned(), open);
                (anchor, Tree { kind, at, values, depth: 1 })
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match events.next()? {
                        None | Some((Event::SequenceEnd, _)) => break,
                        Some((event, at)) => items.push(self.tree(event, at, events, within)?),
                    }
                }
                let (values, depth) = sums(items.iter());
                (anchor, Tree { kind: Kind::List(items), at, values, depth })
            }
            Event::MappingStart(_, anchor, _) => {
                let mut members = Vec::new();
                loop {
                    let key = match events.next()? {
                        None | Some((Event::MappingEnd, _)) => break,
                        Some((event, at)) => self.key(event, at, events, within)?,
                    };
                    let Some((event, at)) = events.next()? else { break };
                    members.push((key, self.tree(event, at, events, within)?));
                }
                let (values, depth) = sums(members.iter().map(|(_, value)| value));
                // A short key counts with its value.
                let keys = members.iter().map(|(key, _)| key.values.saturating_sub(1));
                let values = keys.fold(values, usize::saturating_add);
                (anchor, Tree { kind: Kind::Object(members), at, values, depth })
            }
            _ => return Err(at.says("got no value")),
        };
        let tree = Rc::new(tree);
        // 0: none.
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&tree));
        }
        Ok(tree)
    }

    /// A key, which must be a scalar: depth is counted through values only.
    fn key(
        &mut self,
        event: Event<'_>,
        at: Location,
        events: &mut Events<'_>,
        depth: usize,
    ) -> Result<Rc<Tree>, String> {
        if matches!(event, Event::SequenceStart(..) | Event::MappingStart(..)) {
            return Err(at.says(KEY_IS_NO_TEXT));
        }
        let key = self.tree(event, at, events, depth)?;
        match key.kind {
            Kind::Scalar(..) => Ok(key),
            Kind::List(_) | Kind::Object(_) => Err(at.says(KEY_IS_NO_TEXT)),
        }
    }
}

/// How many values a list or object is, and how deep.
fn sums<'t>(inner: impl Iterator<Item = &'t Rc<Tree>>) -> (usize, usize) {
    let add = |(values, depth): (usize, usize), tree: &Rc<Tree>| {
        (values.saturating_add(tree.values), depth.max(tree.depth.saturating_add(1)))
    };
    inner.fold((1, 1), add)
}

struct Reading {
    kubernetes: bool,
    read: Read,
}

impl Reading {
    fn value(&mut self, tree: &Tree, place: &str) -> Result<Value, String> {
        match &tree.kind {
            Kind::Scalar(text, false) => Ok(Value::from(text.as_str())),
            Kind::Scalar(text, true) => Ok(self.scalar(text, place)),
            Kind::List(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(n, item)| self.value(item, &format!("{place}[{n}]")));
                items.collect()
            }
            Kind::Object(members) => self.object(members, place),
        }
    }

    fn object(&mut self, members: &[(Rc<Tree>, Rc<Tree>)], place: &str) -> Result<Value, String> {
        let mut object = Map::new();
        for (key, tree) in members {
            let Kind::Scalar(name, open) = &key.kind else {
                return Err(key.at.says(KEY_IS_NO_TEXT));
            };
            if *open && name == "<<" {
                continue;
            }
            let value = self.value(tree, &crate::tree::join(place, name))?;
            if object.insert(name.clone(), value).is_some() {
                let what = format!("repeated key {name}; keep one of them");
                return Err(key.at.says(&what));
            }
        }
        let merges = members
            .iter()
            .filter(|(key, _)| matches!(&key.kind, Kind::Scalar(name, true) if name == "<<"));
        for (key, tree) in merges {
            if !self.kubernetes {
                self.read.merges.push(place.to_owned());
            }
            let several = match &tree.kind {
                Kind::List(items) => items.as_slice(),
                Kind::Scalar(..) | Kind::Object(_) => std::slice::from_ref(tree),
            };
            for merged in several {
                let Value::Object(merged) = self.value(merged, place)? else {
                    return Err(key.at.says("a merge key without an object; write the members"));
                };
                for (name, value) in merged {
                    object.entry(name).or_insert(value);
                }
            }
        }
        Ok(Value::Object(object))
    }

    fn scalar(&mut self, text: &str, place: &str) -> Value {
        if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Value::Null;
        }
        if let Some(value) = boolean(text) {
            return Value::Bool(value);
        }
        if self.kubernetes {
            return number(text).map_or_else(|| Value::from(text), Value::Number);
        }
        match integer(text) {
            Some(value) if i32::try_from(value).is_ok() => Value::from(value),
            // Envoy keeps a number as text if it may not fit a double.
            Some(value) => {
                self.read.texts.push((place.to_owned(), text.to_owned()));
                Value::from(value.to_string())
            }
            None => {
                if number(text).is_some() {
                    self.read.texts.push((place.to_owned(), text.to_owned()));
                }
                Value::from(text)
            }
        }
    }
}

/// The keywords of both readers.
fn boolean(text: &str) -> Option<bool> {
    let mut rest = text.chars();
    let first = rest.next()?;
    let rest = rest.as_str();
    let lower = rest.chars().all(|c| c.is_ascii_lowercase());
    let upper = first.is_ascii_uppercase() && rest.chars().all(|c| c.is_ascii_uppercase());
    if !(lower || upper) {
        return None;
    }
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "on" => Some(true),
        "n" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// Text that a C++ stream reads as a whole number: decimal, `0x` and hexadecimal, or `0` and octal.
fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (base, digits) = match (hexadecimal, digits.strip_prefix('0')) {
        (Some(digits), _) => (16, digits),
        (None, Some(octal)) if !octal.is_empty() => (8, octal),
        (None, _) => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

/// Text that other readers take for a number.
fn number(text: &str) -> Option<Number> {
    let first = text.trim_start_matches(['+', '-']);
    if !first.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let plain = text.replace('_', "");
    let octal = plain.strip_prefix("0o").and_then(|octal| i64::from_str_radix(octal, 8).ok());
    if let Some(value) = integer(&plain).or(octal) {
        return Some(value.into());
    }
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    let value: f64 = plain.parse().ok().filter(|_| plain.chars().all(numeric))?;
    // On its way through JSON a whole one loses its point: 4096.0 and 1e3 are whole numbers.
    let whole = value.to_string().parse::<i32>().ok();
    whole.map(Number::from).or_else(|| Number::from_f64(value))
}

#[cfg(test)]
mod tests;
