//! Files as they are given: JSON, or YAML with one document or several.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::Value;

use crate::tree::Document;
use crate::yaml;

/// Reads a file, or standard input for `-`.
///
/// # Errors
///
/// Why it cannot be read, and what to do.
pub(crate) fn read(file: &str) -> Result<Vec<Document>, String> {
    of_bytes(file, &bytes(Path::new(file))?)
}

/// What is in a file, or in standard input for `-`.
///
/// # Errors
///
/// Why it cannot be read, and what to do.
pub(crate) fn bytes(file: &Path) -> Result<Vec<u8>, String> {
    let name = file.display();
    let cannot = |error: io::Error| match error.kind() == io::ErrorKind::IsADirectory {
        true => format!("{name}: is a directory, expected a file; give a file in it"),
        false => format!("{name}: cannot be read: {error}; give a file that can be read"),
    };
    if file.as_os_str() != "-" {
        return fs::read(file).map_err(cannot);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes).map_err(cannot)
}

/// The documents of a file's content.
pub(crate) fn of_bytes(file: &str, bytes: &[u8]) -> Result<Vec<Document>, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| format!("{file}: is not UTF-8 text; give JSON or YAML, not a module"))?;
    documents(file, text.trim_start_matches('\u{feff}'))
}

/// The documents of a text.
pub(crate) fn documents(file: &str, text: &str) -> Result<Vec<Document>, String> {
    let document = |number, value, json: Option<&str>| Document {
        file: file.to_owned(),
        number,
        value,
        json: json.map(str::to_owned),
        texts: Vec::new(),
        merges: Vec::new(),
        written: json.and_then(yaml::written),
    };
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        if is_discovery(&value) {
            return Err(format!(
                "{file}: is a provider's discovery document, expected a configuration; `oidc-connector init \
                 --discovery {file} --output DIR` writes one"
            ));
        }
        return Ok(vec![document(None, value, Some(text))]);
    }
    let braced = text.trim_start().starts_with('{') && !extension_is(file, &["yaml", "yml"]);
    if braced || extension_is(file, &["json"]) {
        // JSON with a mistake in it: the filter's reader names the place.
        return Ok(vec![document(None, Value::Null, Some(text))]);
    }
    let read = yaml::read(text).map_err(|error| format!("{file}: {error}"))?;
    let read: Vec<_> = read.into_iter().filter(|read| !read.value.is_null()).collect();
    let several = read.len() > 1;
    let documents: Vec<Document> = (1..)
        .zip(read)
        .map(|(number, read)| Document {
            texts: read.texts,
            merges: read.merges,
            written: read.written,
            ..document(several.then_some(number), read.value, None)
        })
        .collect();
    if documents.is_empty() {
        return Err(format!("{file}: is empty; give JSON or YAML"));
    }
    Ok(documents)
}

/// Whether it is what a provider says of itself (OpenID Connect Discovery 1.0 §3, RFC 8414 §2): no
/// configuration has an issuer beside these.
fn is_discovery(value: &Value) -> bool {
    const OTHERS: [&str; 3] = ["authorization_endpoint", "token_endpoint", "jwks_uri"];
    let is_text = |key: &str| value.get(key).is_some_and(Value::is_string);
    is_text("issuer") && OTHERS.into_iter().any(is_text)
}

fn extension_is(file: &str, wanted: &[&str]) -> bool {
    let extension = Path::new(file).extension().unwrap_or_default();
    wanted.iter().any(|wanted| extension.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(file: &str, text: &str) -> Vec<(Option<usize>, Value)> {
        let documents = documents(file, text).unwrap();
        documents.into_iter().map(|d| (d.number, d.value)).collect()
    }

    #[test]
    fn json_and_yaml_are_detected_by_content() {
        assert_eq!(values("a", r#"{"a": 1}"#), [(None, json!({"a": 1}))]);
        assert_eq!(values("a", "a: 1\n"), [(None, json!({"a": 1}))]);
        assert_eq!(values("a.yaml", "{a: 1}"), [(None, json!({"a": 1}))]);
        let several = values("a", "a: 1\n---\n---\nb: 2\n");
        assert_eq!(several, [(Some(1), json!({"a": 1})), (Some(2), json!({"b": 2}))]);
    }

    #[test]
    fn yaml_has_anchors_and_keeps_the_order() {
        let [(None, value)] = &values("a", "z: &x {b: 1, a: 2}\ny: *x\n")[..] else {
            panic!("one document")
        };
        assert_eq!(value.to_string(), r#"{"z":{"b":1,"a":2},"y":{"b":1,"a":2}}"#);
    }

    #[test]
    fn broken_json_goes_to_the_filters_reader() {
        for file in ["a.json", "-"] {
            let documents = documents(file, "{\"a\": }").unwrap();
            assert_eq!(documents.len(), 1);
            assert_eq!(documents[0].json.as_deref(), Some("{\"a\": }"));
        }
    }

    #[test]
    fn discovery_document_is_for_init() {
        let error = |text| documents("d.json", text).unwrap_err();
        let said = "d.json: is a provider's discovery document, expected a configuration; `oidc-connector init \
                    --discovery d.json --output DIR` writes one";
        assert_eq!(error(include_str!("init/tests/oidc-provider.json")), said);
        assert_eq!(error(include_str!("init/tests/django-oauth-toolkit.json")), said);
        for other in [r#"{"issuer": "https://a.example"}"#, r#"{"jwks_uri": "https://a.example"}"#]
        {
            assert!(documents("d.json", other).is_ok(), "{other}");
        }
    }

    #[test]
    fn unknown_input_is_reported() {
        let error = |text| documents("f.yaml", text).unwrap_err();
        assert!(error("a: b: c").contains(": neither JSON nor YAML: "));
        let twice = "f.yaml: line 2, column 1: repeated key a; keep one of them";
        assert_eq!(error("a: 1\na: 2\n"), twice);
        assert!(error("").starts_with("f.yaml: is empty"));
        assert!(error("---\n").starts_with("f.yaml: is empty"));
    }
}
