//! The configuration contract as tables: each configuration with the lines it is answered with.
//!
//! Every configuration that a Struct can express is also read as one, and must give the same.

mod accepted;
mod forms;
mod headers;
mod refused;
mod resource;
mod rules;
mod tokens;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::Value as Document;

use super::{Endpoint, EndpointTable, Endpoints, Loaded, Problem, read};

/// A configuration in which nothing is wrong, with these members added.
fn with(members: &str) -> String {
    let comma = if members.is_empty() { "" } else { ", " };
    format!(
        r#"{{"userinfo_endpoint": {{"defaultURI": "https://idp.example/userinfo"}}{comma}{members}}}"#
    )
}

/// Checks the lines that the members get in a configuration in which nothing else is wrong.
#[track_caller]
fn check(members: &str, expected: &[&str]) {
    check_whole(&with(members), expected);
}

/// Members of `userinfo_endpoint` in an otherwise empty configuration.
#[track_caller]
fn check_endpoint(members: &str, expected: &[&str]) {
    check_whole(&format!(r#"{{"userinfo_endpoint": {{{members}}}}}"#), expected);
}

/// Members of an outermost `inject_headers`.
#[track_caller]
fn check_inject(members: &str, expected: &[&str]) {
    check(&format!(r#""inject_headers": {{{members}}}"#), expected);
}

/// Checks the lines that a whole configuration is refused with; none: it loads without a fault.
#[track_caller]
fn check_whole(config: &str, expected: &[&str]) {
    let lines = match read(config.as_bytes()) {
        Ok(loaded) => {
            assert!(loaded.faults.is_empty(), "faults: {:#?}", loaded.faults);
            Vec::new()
        }
        Err(problems) => lines(&problems),
    };
    assert_eq!(lines, expected, "for {config}");
    check_struct(config);
}

/// Reads a configuration that loads without a fault, in both forms.
#[track_caller]
fn load(config: &str) -> Loaded {
    check_whole(config, &[]);
    read(config.as_bytes()).unwrap()
}

/// Checks that the configuration as a Struct reads like the text whose members are sorted by
/// name, which is the order they have in a decoded Struct. Says whether a Struct can express it.
#[track_caller]
fn check_struct(config: &str) -> bool {
    let Ok(Document::Object(members)) = serde_json::from_str::<Document>(config) else {
        return false;
    };
    if members.is_empty() {
        return false;
    }
    let document = Document::Object(members);
    let mut text = String::new();
    write_sorted(&document, &mut text);
    let from_text = read(text.as_bytes()).map(summary);
    let from_struct = read(&encode(&document)).map(summary);
    assert_eq!(from_struct, from_text, "as a Struct: {config}");
    true
}

/// Checks what each key says of each kind of value that it does not take: `n`ull, a `b`oolean, a `d`igit,
/// `t`ext, an `a`rray, an `o`bject. `beside` is what the configuration has besides.
#[track_caller]
fn check_kinds(beside: &str, table: &[(&str, &str, &str)]) {
    for (key, allowed, kinds) in table {
        for kind in kinds.chars() {
            let (value, found) = match kind {
                'n' => ("null", "null"),
                'b' => ("false", "a boolean"),
                'd' => ("5", "a number"),
                't' => (r#""5""#, "text"),
                'a' => ("[{}]", "an array"),
                _ => ("{}", "an object"),
            };
            let names = key.split('.').rev();
            let nested =
                names.fold(value.to_owned(), |inner, name| format!(r#"{{"{name}": {inner}}}"#));
            let config = match beside {
                "" => nested,
                _ => format!("{{{beside}, {}", nested.trim_start_matches('{')),
            };
            // What is missing besides is another matter.
            let problems = lines(&read(config.as_bytes()).unwrap_err());
            let line = format!("{key}: got {found}, expected {allowed}");
            assert!(problems.contains(&line), "{line} not among {problems:#?}");
            check_struct(&config);
        }
    }
}

/// Everything of a loaded configuration, also what its `Debug` keeps back.
fn summary(loaded: Loaded) -> String {
    format!("{:?} {loaded:#?}", loaded.policy.call.headers)
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(Problem::to_string).collect()
}

/// The document as Envoy hands over a Struct.
fn encode(document: &Document) -> Vec<u8> {
    match protobuf(document).kind {
        Some(Kind::StructValue(encoded)) => encoded.encode_to_vec(),
        other => panic!("not an object: {other:?}"),
    }
}

fn protobuf(document: &Document) -> Value {
    let kind = match document {
        Document::Null => Kind::NullValue(0),
        Document::Bool(value) => Kind::BoolValue(*value),
        Document::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Document::String(text) => Kind::StringValue(text.clone()),
        Document::Array(elements) => {
            Kind::ListValue(ListValue { values: elements.iter().map(protobuf).collect() })
        }
        Document::Object(members) => {
            let fields: BTreeMap<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), protobuf(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Value { kind: Some(kind) }
}

/// The document as JSON text, members sorted, numbers as a double shows them.
fn write_sorted(document: &Document, out: &mut String) {
    match document {
        Document::Number(number) => write!(out, "{}", number.as_f64().unwrap()).unwrap(),
        Document::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_sorted(element, out);
            }
            out.push(']');
        }
        Document::Object(members) => {
            out.push('{');
            let sorted: BTreeMap<_, _> = members.iter().collect();
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write!(out, "{}:", Document::String(name.clone())).unwrap();
                write_sorted(value, out);
            }
            out.push('}');
        }
        Document::Null | Document::Bool(_) | Document::String(_) => {
            write!(out, "{document}").unwrap();
        }
    }
}

/// The endpoints of a configuration that has some.
fn table(loaded: &Loaded) -> &EndpointTable {
    match &loaded.policy.endpoints {
        Endpoints::Configured(table) => table,
        Endpoints::NotConfigured => panic!("no endpoints"),
    }
}

/// The header names that are injected for an endpoint.
fn injected(endpoint: &Endpoint) -> Vec<&str> {
    endpoint.rules.iter().map(|rule| &*rule.name).collect()
}
