//! A JSON or YAML document in which every value knows its place.
//!
//! Protobuf's JSON form allows each field's name in snake_case and in lowerCamelCase, and control
//! planes print the latter: [`Node::get`] finds both.

use std::rc::Rc;

use serde_json::Value;

use crate::written::Tree;

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    /// The file's name as given.
    pub(crate) file: String,
    /// Which of the file's documents it is, from 1 and without empty ones; `None` if the file has
    /// no other.
    pub(crate) number: Option<usize>,
    /// Its value; `null` if it is text that only the filter's own reader can judge.
    pub(crate) value: Value,
    /// The text of a JSON file, so that the filter's reader sees it as written.
    pub(crate) json: Option<String>,
    /// Where Envoy sees text that others take for a number, and that text.
    pub(crate) texts: Vec<(String, String)>,
    /// Where there is a merge key, which Envoy refuses.
    pub(crate) merges: Vec<String>,
    /// As it is written, if that could be read.
    pub(crate) written: Option<Rc<Tree>>,
}

impl Document {
    /// The line of a place, if that is known.
    pub(crate) fn line(&self, place: &str) -> Option<usize> {
        self.written.as_ref().map(|written| written.line(place))
    }
}

/// A value, its place and its document.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    /// The document.
    pub(crate) document: &'a Document,
    /// The path from the document's root, such as `static_resources.listeners[0]`.
    pub(crate) place: String,
    /// The value.
    pub(crate) value: &'a Value,
}

impl<'a> Node<'a> {
    /// The whole document.
    pub(crate) fn root(document: &'a Document) -> Node<'a> {
        Node { document, place: String::new(), value: &document.value }
    }

    /// The member of that protobuf field; `null` is absent.
    pub(crate) fn get(&self, field: &str) -> Option<Node<'a>> {
        let found = self.member(field).or_else(|| self.member(&camel_case(field)));
        found.filter(|node| !node.value.is_null())
    }

    /// The member of exactly that name, `null` or not.
    pub(crate) fn member(&self, name: &str) -> Option<Node<'a>> {
        let (name, value) = self.value.as_object()?.get_key_value(name)?;
        Some(self.child(name, value))
    }

    /// The member at the end of a path of protobuf fields.
    pub(crate) fn at(&self, path: &[&str]) -> Option<Node<'a>> {
        path.iter().try_fold(self.clone(), |node, field| node.get(field))
    }

    /// Whether there is a member of that protobuf field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    /// Whether there is more than nothing in the member of that protobuf field.
    pub(crate) fn says(&self, field: &str) -> bool {
        self.get(field).is_some_and(|node| match node.value {
            Value::Array(items) => !items.is_empty(),
            Value::Object(members) => !members.is_empty(),
            Value::String(text) => !text.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        })
    }

    /// The elements of an array; none of anything else.
    pub(crate) fn items(&self) -> Vec<Node<'a>> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        let item = |(index, value)| {
            let place = format!("{}[{index}]", self.place);
            Node { document: self.document, place, value }
        };
        items.iter().enumerate().map(item).collect()
    }

    /// The elements of the array that is the member of that field.
    pub(crate) fn list(&self, field: &str) -> Vec<Node<'a>> {
        self.get(field).map(|node| node.items()).unwrap_or_default()
    }

    /// The members of an object, with their names as written; none of anything else.
    pub(crate) fn members(&self) -> Vec<(&'a str, Node<'a>)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(name, value)| (name.as_str(), self.child(name, value))).collect()
    }

    /// The text that is the member of that field.
    pub(crate) fn text(&self, field: &str) -> Option<&'a str> {
        self.get(field)?.value.as_str()
    }

    /// Whether the member of that field is true. Envoy's YAML reader also accepts the text `true`,
    /// and a wrapper with its value.
    pub(crate) fn is_true(&self, field: &str) -> bool {
        self.get(field).is_some_and(|node| {
            let value = node.member("value").map_or(node.value, |inner| inner.value);
            *value == Value::Bool(true) || *value == "true"
        })
    }

    /// The names of a field that is given in both spellings.
    pub(crate) fn spelt_twice(&self) -> Vec<&'a str> {
        let names = self.value.as_object().into_iter().flat_map(|members| members.keys());
        let twice = names.filter(|name| {
            let other = camel_case(name);
            other != **name && self.member(&other).is_some()
        });
        twice.map(String::as_str).collect()
    }

    /// The name of the message that an `Any` holds, such as `envoy.config.cluster.v3.Cluster`, and
    /// its fields. A TypedStruct represents the message that it names.
    pub(crate) fn any(&self) -> Option<(&'a str, Node<'a>)> {
        let message = message_name(self.member("@type")?.value.as_str()?);
        if matches!(message, "xds.type.v3.TypedStruct" | "udpa.type.v1.TypedStruct") {
            let named = self.text("type_url").map(message_name)?;
            return Some((named, self.get("value")?));
        }
        Some((message, self.clone()))
    }

    /// The fields, if this `Any` holds that message.
    pub(crate) fn message(&self, name: &str) -> Option<Node<'a>> {
        self.any().filter(|(found, _)| *found == name).map(|(_, fields)| fields)
    }

    /// Whether the other one contains it.
    pub(crate) fn is_inside(&self, other: &Node<'_>) -> bool {
        let rest = self.place.strip_prefix(other.place.as_str());
        std::ptr::eq(self.document, other.document)
            && rest.is_some_and(|rest| other.place.is_empty() || rest.starts_with(['.', '[']))
    }

    fn child(&self, name: &str, value: &'a Value) -> Node<'a> {
        let place = join(&self.place, name);
        Node { document: self.document, place, value }
    }
}

/// The place of a member of the value at a place.
pub(crate) fn join(place: &str, name: &str) -> String {
    let plain = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    match (plain, place.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{place}.{name}"),
        (false, _) => format!("{place}[{}]", Value::from(name)),
    }
}

fn message_name(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

fn camel_case(field: &str) -> String {
    let mut upper = false;
    let mut name = String::new();
    for c in field.chars() {
        match c {
            '_' => upper = true,
            _ if upper => {
                name.push(c.to_ascii_uppercase());
                upper = false;
            }
            _ => name.push(c),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input;

    fn document(json: &str) -> Document {
        input::documents("f.json", json).unwrap().remove(0)
    }

    #[test]
    fn fields_are_found_in_both_spellings_with_path() {
        let document = document(r#"{"a_b": [{"cD": {"x.y": 1, "n": null, "t": "true"}}]}"#);
        let root = Node::root(&document);
        let inner = root.list("a_b").remove(0).get("c_d").unwrap();
        assert_eq!(inner.place, "a_b[0].cD");
        assert_eq!(inner.member("x.y").unwrap().place, r#"a_b[0].cD["x.y"]"#);
        assert!(inner.has("t") && !inner.has("n") && inner.member("n").is_some());
        assert!(inner.is_true("t") && !inner.is_true("n"));
        assert!(root.at(&["a_b", "c_d"]).is_none());
    }

    #[test]
    fn typed_struct_is_read_as_its_message() {
        let text = r#"{"@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                       "type_url": "type.googleapis.com/a.B", "value": {"c": "d"}}"#;
        let document = document(text);
        let fields = Node::root(&document).message("a.B").unwrap();
        assert_eq!((fields.text("c"), fields.place.as_str()), (Some("d"), "value"));
        assert!(Node::root(&document).message("a.C").is_none());
    }
}
