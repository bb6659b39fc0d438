//! The values of `require_claims`: what a claim may be, and in which document it is.

use crate::claims::json::Json;
use crate::claims::rules::{Document, OF};
use crate::config::file::{Fields, Node};
use crate::config::key::{Key, Own};
use crate::config::location::Report;
use crate::config::shape::{Object, names_of, text};
use crate::config::tree::Tree;

/// Values as an object.
pub static ANY_OF: Object =
    Object { title: "AnyOf", keys: &[&ANY, &OF], more: text(r##""required": ["any"]"##) };

static ANY: Key<Own> = Key::new(
    "any",
    Own {
        schema: text(r##"{"$ref": "#/$defs/ClaimValues"}"##),
        told: text("list of texts, numbers, booleans"),
    },
    text("the values of which the claim has to be one"),
);

/// What a claim may be.
#[derive(Debug)]
pub(super) struct Allowed {
    values: Vec<Value>,
    /// Where the claim is.
    pub(super) of: Document,
}

#[derive(Debug)]
enum Value {
    Text(String),
    /// As written.
    Number(String),
    Boolean(bool),
}

impl Allowed {
    /// Whether this is one of the values.
    pub(super) fn has(&self, node: &Json<'_>) -> bool {
        self.values.iter().any(|value| value.is(node))
    }
}

impl Value {
    fn is(&self, node: &Json<'_>) -> bool {
        match (self, node) {
            (Value::Text(value), Json::String(text))
            | (Value::Number(value), Json::Number(text)) => value == text,
            (Value::Boolean(value), Json::Bool(found)) => value == found,
            (Value::Text(_) | Value::Number(_) | Value::Boolean(_), _) => false,
        }
    }
}

/// How many digits of a number a Struct keeps: it has doubles.
const EXACT_DIGITS: usize = 15;

const ONE: &str = "text, a number, true or false";

/// Reads one value, a list of them, or an object with `any`.
pub(super) fn read(node: &Node<'_>, report: &mut Report) -> Option<Allowed> {
    match node.value {
        Tree::List(_) => Some(Allowed { values: list(node, report)?, of: Document::Response }),
        Tree::Object(_) => {
            let node = Node { place: node.place.clone(), value: node.value };
            let fields = Fields::open(node, &names_of(&[ANY_OF.keys]), report)?;
            let of = OF.read(&fields, report);
            let Some(any) = ANY.node(&fields) else {
                let message = "missing, expected an array of values";
                report.problem(&fields.place.absent(ANY.name()), message);
                return None;
            };
            let Tree::List(_) = any.value else {
                return any.wrong_kind("an array of values", report);
            };
            Some(Allowed { values: list(&any, report)?, of })
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {
            let allowed = format!("{ONE}, an array of these, or an object with any");
            let value = value(node, &allowed, report)?;
            Some(Allowed { values: vec![value], of: Document::Response })
        }
    }
}

fn list(node: &Node<'_>, report: &mut Report) -> Option<Vec<Value>> {
    let values: Vec<Option<Value>> =
        node.elements().map(|element| value(&element, ONE, report)).collect();
    if values.is_empty() {
        report.problem(&node.place, "got an empty array, expected at least one value");
        return None;
    }
    values.into_iter().collect()
}

fn value(node: &Node<'_>, allowed: &str, report: &mut Report) -> Option<Value> {
    match node.value {
        Tree::Text(text) => Some(Value::Text(text.clone())),
        Tree::Bool(value) => Some(Value::Boolean(*value)),
        Tree::Number(text) if text.bytes().filter(u8::is_ascii_digit).count() > EXACT_DIGITS => {
            report.problem(
                &node.place,
                format!(
                    "got a number of more than {EXACT_DIGITS} digits, expected at most {EXACT_DIGITS}: \
                     a Struct does not keep it, and another user's number may be next to it"
                ),
            );
            None
        }
        Tree::Number(text) => Some(Value::Number(text.clone())),
        Tree::Null | Tree::List(_) | Tree::Object(_) => node.wrong_kind(allowed, report),
    }
}
