//! What the keys of the configuration are called and may be, as data for those who describe them: the
//! list of the keys that are expected, the JSON Schema and the reference page. What only people read
//! ([`Text`]) is not in the module. It reads nothing.

#[cfg(not(target_arch = "wasm32"))]
use std::time::Duration;

#[cfg(not(target_arch = "wasm32"))]
use super::duration::Range;

/// A key of any form.
pub trait AnyKey: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it means.
    #[cfg(not(target_arch = "wasm32"))]
    fn meaning(&self) -> &'static str;
    /// What its value may be.
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape;
}

/// Keys of one room or one object, in the order of the reference.
pub type Keys = &'static [&'static dyn AnyKey];

/// The names of all these keys.
pub(crate) fn names_of(rooms: &[Keys]) -> Vec<&'static str> {
    rooms.iter().flat_map(|keys| keys.iter()).map(|key| key.name()).collect()
}

/// What a key's value may be, as data: for those who describe the configuration.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
pub enum Shape {
    /// `true` or `false`.
    Boolean {
        /// When absent.
        default: bool,
    },
    /// A whole number.
    Integer {
        /// Smallest.
        min: u32,
        /// Largest.
        max: u32,
        /// When absent.
        default: u32,
    },
    /// Text such as `"250ms"`.
    Duration {
        /// Shortest and longest.
        range: &'static Range,
        /// When absent, if that is a fixed duration.
        default: Option<Duration>,
    },
    /// One of a few words; the first is the default.
    Choice(Vec<&'static str>),
    /// Text that is a header's value.
    HeaderText {
        /// Fewest bytes, 0 or 1.
        shortest: usize,
        /// Most bytes.
        longest: usize,
        /// When absent.
        default: &'static str,
    },
    /// An object with fixed keys.
    Object(&'static Object),
    /// A form of its own.
    Own {
        /// Its JSON Schema, as JSON text.
        schema: &'static str,
        /// The column "type, default" of the reference.
        told: &'static str,
    },
}

/// An object with fixed keys.
pub struct Object {
    /// What the schema calls it.
    pub title: &'static str,
    /// Its keys.
    pub keys: Keys,
    /// More of its JSON Schema, as the members of a JSON object without its braces.
    pub more: Text,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.title)
    }
}

/// A form that can be described.
pub(crate) trait Described {
    /// What the value may be.
    #[cfg(not(target_arch = "wasm32"))]
    fn shape(&self) -> Shape;
}

/// Text for people. It is not in the module.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    #[cfg(not(target_arch = "wasm32"))]
    text: &'static str,
}

/// Text for people.
#[cfg_attr(target_arch = "wasm32", allow(unused_variables, reason = "it is left out there"))]
pub(crate) const fn text(text: &'static str) -> Text {
    Text {
        #[cfg(not(target_arch = "wasm32"))]
        text,
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Text {
    /// The text.
    #[must_use]
    pub fn get(self) -> &'static str {
        self.text
    }
}
