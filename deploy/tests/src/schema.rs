//! Checks an object against the `openAPIV3Schema` of a CustomResourceDefinition, as strictly as
//! `kubectl apply --validate=strict`: a field that the schema does not know is an error, while an
//! API server would drop it silently. What it does not know itself it reports, so that nothing
//! goes unchecked. Rules in CEL (`x-kubernetes-validations`) are not evaluated.

use regex::Regex;
use serde_json::Value;

/// Everything that is wrong with the object, with its place.
pub(crate) fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(schema, value, "", true, &mut found);
    found
}

/// `structural`: outside of `oneOf` and similar keywords, where the schema names every field.
fn walk(schema: &Value, value: &Value, at: &str, structural: bool, found: &mut Vec<String>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let rules = schema.as_object().into_iter().flatten();
    for (keyword, rule) in rules {
        let holds = match keyword.as_str() {
            "type" => has_type(value, rule.as_str().unwrap_or_default()),
            "x-kubernetes-int-or-string" => value.is_i64() || value.is_string(),
            "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
            "required" => strings(rule).all(|name| value.get(name).is_some()),
            "pattern" => value.as_str().is_none_or(|text| pattern(rule).is_match(text)),
            "minimum" => value.as_f64().is_none_or(|n| Some(n) >= rule.as_f64()),
            "maximum" => value.as_f64().is_none_or(|n| Some(n) <= rule.as_f64()),
            "minLength" | "minItems" | "minProperties" => size(value) >= rule.as_u64(),
            "maxLength" | "maxItems" | "maxProperties" => size(value) <= rule.as_u64(),
            "allOf" => matching(rule, value) == count(rule),
            "anyOf" => matching(rule, value) > 0,
            "oneOf" => matching(rule, value) == 1,
            "not" => !matches(rule, value),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    walk(rule, item, &format!("{at}[{index}]"), structural, found);
                }
                true
            }
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(name) {
                        walk(rule, member, &format!("{at}.{name}"), structural, found);
                    }
                }
                true
            }
            "additionalProperties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    if rule.is_object() && schema["properties"].get(name).is_none() {
                        walk(rule, member, &format!("{at}.{name}"), structural, found);
                    }
                }
                true
            }
            "description"
            | "default"
            | "format"
            | "nullable"
            | "title"
            | "example"
            | "x-kubernetes-list-map-keys"
            | "x-kubernetes-list-type"
            | "x-kubernetes-map-type"
            | "x-kubernetes-preserve-unknown-fields"
            | "x-kubernetes-validations" => true,
            _ => {
                found.push(format!("{at}: this check does not know the keyword {keyword}"));
                true
            }
        };
        if !holds {
            found.push(format!("{at}: {value} is not what `{keyword}: {rule}` asks for"));
        }
    }
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true
        || schema.get("additionalProperties").is_some();
    if structural && !open && schema["type"] == "object" {
        for name in value.as_object().into_iter().flat_map(|members| members.keys()) {
            if schema["properties"].get(name).is_none() {
                found.push(format!("{at}.{name}: there is no such field"));
            }
        }
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    }
}

fn size(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => Some(text.chars().count() as u64),
        Value::Array(items) => Some(items.len() as u64),
        Value::Object(members) => Some(members.len() as u64),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn pattern(rule: &Value) -> Regex {
    let text = rule.as_str().expect("a pattern is text");
    Regex::new(text).unwrap_or_else(|e| panic!("a pattern of a schema: {e}"))
}

fn matches(schema: &Value, value: &Value) -> bool {
    let mut found = Vec::new();
    walk(schema, value, "", false, &mut found);
    found.is_empty()
}

fn matching(schemas: &Value, value: &Value) -> usize {
    schemas.as_array().into_iter().flatten().filter(|schema| matches(schema, value)).count()
}

fn count(schemas: &Value) -> usize {
    schemas.as_array().map_or(0, Vec::len)
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(schema: Value, value: Value) -> String {
        problems(&schema, &value).join("; ")
    }

    #[test]
    fn every_keyword_detects_a_violation() {
        let text = json!({"type": "string", "pattern": "^a", "minLength": 2, "maxLength": 3});
        let one_of = json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
        let list = json!({"type": "array", "minItems": 1, "items": {"enum": ["x"]}});
        for (schema, good, bad) in [
            (text, json!("ab"), vec![json!(1), json!("bb"), json!("a"), json!("abcd")]),
            (json!({"type": "integer", "minimum": 1}), json!(1), vec![json!(0), json!(1.5)]),
            (json!({"type": "number", "maximum": 2}), json!(1.5), vec![json!(3), json!("1")]),
            (one_of, json!({"a": 1}), vec![json!({}), json!({"a": 1, "b": 1})]),
            (list, json!(["x"]), vec![json!([]), json!(["y"]), json!({})]),
            (json!({"anyOf": [{"type": "string"}]}), json!("x"), vec![json!(1)]),
            (json!({"allOf": [{"minLength": 1}]}), json!("x"), vec![json!("")]),
            (json!({"not": {"required": ["a"]}}), json!({}), vec![json!({"a": 1})]),
            (json!({"x-kubernetes-int-or-string": true}), json!(1), vec![json!(true)]),
            (json!({"type": "boolean", "nullable": true}), json!(null), vec![json!("no")]),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                json!({"any": "text"}),
                vec![json!({"any": 1})],
            ),
        ] {
            assert_eq!(of(schema.clone(), good.clone()), "", "{schema} {good}");
            for bad in bad {
                assert_ne!(of(schema.clone(), bad.clone()), "", "{schema} {bad}");
            }
        }
    }

    #[test]
    fn unknown_field_is_detected_at_any_depth() {
        let schema = json!({"type": "object", "properties": {
            "known": {"type": "array", "items": {"type": "object", "properties": {"x": {}}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }});
        assert_eq!(of(schema.clone(), json!({"known": [{"x": 1}], "free": {"any": 1}})), "");
        let found = of(schema, json!({"known": [{"y": 1}], "unknown": 1}));
        assert_eq!(found, ".known[0].y: there is no such field; .unknown: there is no such field");
    }

    #[test]
    fn unknown_keyword_is_reported() {
        let found = of(json!({"uniqueItems": true}), json!([]));
        assert!(found.contains("does not know the keyword uniqueItems"), "{found}");
    }
}
