//! One definition for each key of the configuration. The reader, the list of the keys that are
//! expected, the JSON Schema and the reference page come from it.
//!
//! A key lives in the room that uses it, as a `static` of type [`Key`]; the room lists its keys, and
//! `policy.rs` lists the rooms.

use std::time::Duration;

use super::file::{Fields, Node};
use super::location::Report;
#[cfg(not(target_arch = "wasm32"))]
use super::shape::Shape;
use super::shape::{AnyKey, Described, Object, Text, names_of};
use super::{duration, names};

/// One key: its name, the form of its value, and its line in the reference.
#[derive(Debug)]
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "some of it only people read"))]
pub(crate) struct Key<F> {
    name: &'static str,
    form: F,
    meaning: Text,
}

impl<F> Key<F> {
    /// A key; `meaning` is the text of the reference page and of the schema.
    pub(crate) const fn new(name: &'static str, form: F, meaning: Text) -> Key<F> {
        Key { name, form, meaning }
    }

    /// Its name.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// The value with its place; `None` if the key is absent.
    pub(crate) fn node<'j>(&self, fields: &Fields<'j>) -> Option<Node<'j>> {
        fields.get(self.name)
    }

    /// The value's form.
    pub(crate) const fn form(&self) -> &F {
        &self.form
    }
}

impl<F: Form> Key<F> {
    /// The value: what is written, or else the default. A wrong value is reported, and counts as the
    /// default from then on.
    pub(crate) fn read(&self, fields: &Fields<'_>, report: &mut Report) -> F::Value {
        let node = self.node(fields);
        node.and_then(|node| self.form.read(&node, report)).unwrap_or_else(|| self.form.absent())
    }
}

impl Key<&'static Object> {
    /// The members of the object; `None` if the key is absent, or is no object, which is reported.
    pub(crate) fn open<'j>(&self, fields: &Fields<'j>, report: &mut Report) -> Option<Fields<'j>> {
        Fields::open(self.node(fields)?, &names_of(&[self.form.keys]), report)
    }
}

impl<F: Described + Sync> AnyKey for Key<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn meaning(&self) -> &'static str {
        self.meaning.get()
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape {
        self.form.shape()
    }
}

/// A form that reads its value.
pub(crate) trait Form: Described {
    /// What is read.
    type Value;
    /// The value at that place; `None` if it is wrong, which is reported.
    fn read(&self, node: &Node<'_>, report: &mut Report) -> Option<Self::Value>;
    /// What an absent key means.
    fn absent(&self) -> Self::Value;
}

/// `true` or `false`.
#[derive(Debug)]
pub(crate) struct Boolean {
    /// When absent.
    pub(crate) default: bool,
}

impl Described for Boolean {
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape {
        Shape::Boolean { default: self.default }
    }
}

impl Form for Boolean {
    type Value = bool;

    fn read(&self, node: &Node<'_>, report: &mut Report) -> Option<bool> {
        node.boolean(report)
    }

    fn absent(&self) -> bool {
        self.default
    }
}

/// A whole number from `min` to `max`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Integer {
    /// Smallest.
    pub min: u32,
    /// Largest.
    pub max: u32,
    /// When absent.
    pub default: u32,
}

impl Described for Integer {
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape {
        {
            let Integer { min, max, default } = *self;
            Shape::Integer { min, max, default }
        }
    }
}

impl Form for Integer {
    type Value = u32;

    fn read(&self, node: &Node<'_>, report: &mut Report) -> Option<u32> {
        let allowed = format!("a whole number from {} to {}", self.min, self.max);
        node.whole_number(&allowed, |number| (self.min..=self.max).contains(number), report)
    }

    fn absent(&self) -> u32 {
        self.default
    }
}

impl Key<Integer> {
    /// The value as a size.
    pub(crate) fn read_size(&self, fields: &Fields<'_>, report: &mut Report) -> usize {
        self.read(fields, report).try_into().unwrap_or(usize::MAX)
    }
}

/// A duration within a range, with a fixed default.
#[derive(Debug)]
pub(crate) struct Time {
    /// What is allowed.
    pub(crate) range: &'static duration::Range,
    /// When absent.
    pub(crate) default: Duration,
}

impl Described for Time {
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape {
        Shape::Duration { range: self.range, default: Some(self.default) }
    }
}

impl Form for Time {
    type Value = Duration;

    fn read(&self, node: &Node<'_>, report: &mut Report) -> Option<Duration> {
        node.duration(self.range, report)
    }

    fn absent(&self) -> Duration {
        self.default
    }
}

/// A duration within a range, or none.
#[derive(Debug)]
pub(crate) struct OptionalTime(pub(crate) &'static duration::Range);

impl Described for OptionalTime {
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape {
        Shape::Duration { range: self.0, default: None }
    }
}

impl Form for OptionalTime {
    type Value = Option<Duration>;

    fn read(&self, node: &Node<'_>, report: &mut Report) -> Option<Option<Duration>> {
        node.duration(self.0, report).map(Some)
    }

    fn absent(&self) -> Option<Duration> {
        None
    }
}

/// One of a few words, to the letter; the first one is the default.
#[derive(Debug)]
pub(crate) struct Choice<T: 'static> {
    /// The default.
    pub(crate) default: (&'static str, T),
    /// The others.
    pub(crate) others: &'static [(&'static str, T)],
}

impl<T> Choice<T> {
    fn all(&self) -> impl Iterator<Item = &(&'static str, T)> {
        std::iter::once(&self.default).chain(self.others)
    }
}

impl<T> Described for Choice<T> {
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape {
        Shape::Choice(self.all().map(|(word, _)| *word).collect())
    }
}

impl<T: Copy> Form for Choice<T> {
    type Value = T;

    fn read(&self, node: &Node<'_>, report: &mut Report) -> Option<T> {
        let words: Vec<&str> = self.all().map(|(word, _)| *word).collect();
        let word = node.word(&words, report)?;
        self.all().find(|(known, _)| *known == word).map(|(_, value)| *value)
    }

    fn absent(&self) -> T {
        self.default.1
    }
}

/// Printable ASCII without blanks at its ends: what Envoy carries unchanged as a header's value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderText {
    /// Fewest bytes, 0 or 1.
    pub shortest: usize,
    /// Most bytes.
    pub longest: usize,
    /// When absent.
    pub default: &'static str,
}

impl Described for HeaderText {
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape {
        {
            let HeaderText { shortest, longest, default } = *self;
            Shape::HeaderText { shortest, longest, default }
        }
    }
}

impl Form for HeaderText {
    type Value = String;

    fn read(&self, node: &Node<'_>, report: &mut Report) -> Option<String> {
        let text = node.header_text(self.longest, report)?;
        if text.len() < self.shortest {
            report.problem(&node.place, "got empty text, expected at least one character");
            return None;
        }
        Some(text.to_owned())
    }

    fn absent(&self) -> String {
        self.default.to_owned()
    }
}

/// The name of a header that the filter writes, lower-cased, or none.
#[derive(Debug)]
pub(crate) struct HeaderName;

impl Described for HeaderName {
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape {
        Shape::Own { schema: r##"{"$ref": "#/$defs/HeaderName"}"##, told: "header name" }
    }
}

impl Form for HeaderName {
    type Value = Option<String>;

    fn read(&self, node: &Node<'_>, report: &mut Report) -> Option<Option<String>> {
        let text = node.text("a header name as text", report)?;
        names::writable(text).map(Some).map_err(|wrong| report.problem(&node.place, wrong)).ok()
    }

    fn absent(&self) -> Option<String> {
        None
    }
}

impl Described for &'static Object {
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape {
        Shape::Object(self)
    }
}

/// A value that its room reads by itself.
#[derive(Debug)]
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "some of it only people read"))]
pub(crate) struct Own {
    /// Its JSON Schema, as JSON text.
    pub(crate) schema: Text,
    /// The column "type, default" of the reference.
    pub(crate) told: Text,
}

impl Described for Own {
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape {
        Shape::Own { schema: self.schema.get(), told: self.told.get() }
    }
}
