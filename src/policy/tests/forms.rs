//! The forms in which a configuration arrives: text that is no JSON, Structs, and rubbish.

use super::*;
use crate::config::{MAX_CONFIG_BYTES, binary};

#[track_caller]
fn refused(bytes: &[u8]) -> Vec<String> {
    lines(&read(bytes).unwrap_err())
}

/// The catalogue's row 169.
#[test]
fn an_empty_configuration_says_how_to_give_one() {
    let line = "empty configuration: give the filter a JSON object as `configuration`, in a \
                google.protobuf.StringValue or as a google.protobuf.Struct";
    assert_eq!(refused(b""), [line]);
}

/// The catalogue's row 169.
#[test]
fn not_an_object() {
    for (text, found) in [
        ("[]", "an array"),
        ("null", "null"),
        ("true", "a boolean"),
        ("1", "a number"),
        (r#""{}""#, "text"),
    ] {
        assert_eq!(refused(text.as_bytes()), [format!("got {found}, expected an object")]);
    }
}

/// The line and column are this module's word, the reason is the JSON reader's.
///
/// The catalogue's row 169.
#[test]
fn not_json() {
    for (text, place) in [
        ("userinfo_endpoint: {}", "line 1, column 1"),
        ("{\n  \"realm\": \"x\"\n  \"timeout\": \"5s\"\n}", "line 3, column 3"),
        ("{\"realm\": \"äöü\" x}", "line 1, column 17"),
        ("{\"realm\": nan}", "line 1, column 12"),
        ("{} {}", "line 1, column 4"),
        ("{}\n// end", "line 2, column 1"),
        ("\n\u{1}", "line 2, column 1"),
        ("{\"realm\": \"\u{12}\"}", "line 1, column 12"),
    ] {
        let lines = refused(text.as_bytes());
        assert_eq!(lines.len(), 1, "{text}");
        let begins = format!("invalid JSON at {place}: ");
        assert!(lines[0].starts_with(&begins), "{lines:?} for {text:?}");
    }
    for (text, reason) in [
        ("{realm: 1}", "expected a member name in double quotes"),
        ("{\"realm\": nan}", "expected null, true or false"),
        ("{\"realm\": x}", "expected a value"),
        ("{\"realm\": 1,}", "got a comma, expected a value or a member after it"),
        ("{} {}", "got text after the end of the document, expected nothing more"),
        (&"[".repeat(128), "got a value nested deeper than 127, expected at most that"),
    ] {
        assert!(refused(text.as_bytes())[0].ends_with(&format!(": {reason}")), "{text}: {reason}");
    }
    for text in [b" ".as_slice(), b"{", b"{\"a\"", b"\xef\xbb\xbf{}", b"{\"realm\": \"\xff\"}"] {
        let lines = refused(text);
        assert!(
            lines.len() == 1 && lines[0].starts_with("invalid JSON at line 1, column "),
            "{lines:?}"
        );
    }
}

/// The catalogue's row 169.
#[test]
fn too_large_or_too_deep() {
    let large = with(&format!(r#""realm": "{}""#, "x".repeat(1 << 20)));
    let line = format!("got {} bytes, expected at most {MAX_CONFIG_BYTES}", large.len());
    assert_eq!(refused(large.as_bytes()), [line]);

    let padded = |bytes: usize| format!("{}{}", with(""), " ".repeat(bytes - with("").len()));
    assert!(read(padded(MAX_CONFIG_BYTES).as_bytes()).is_ok());
    assert!(read(padded(MAX_CONFIG_BYTES + 1).as_bytes()).is_err());

    let deep = format!(r#"{{"clusters": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let lines = refused(deep.as_bytes());
    assert!(
        lines.len() == 1
            && lines[0].starts_with(
                "invalid JSON at line 1, column \
                                                      "
            ),
        "{lines:?}"
    );

    let mut deep = Document::Null;
    for _ in 0..1000 {
        deep = Document::Array(vec![deep]);
    }
    let encoded = encode(&serde_json::json!({ "clusters": deep }));
    assert!(binary::is_struct(&encoded));
    assert_eq!(refused(&encoded), [UNREADABLE]);
}

const UNREADABLE: &str = "got bytes with control character U+0012, expected JSON text or a \
                          google.protobuf.Struct";

#[test]
fn a_struct_is_told_from_text_by_its_bytes() {
    let text = with("");
    assert!(!binary::is_struct(text.as_bytes()));
    assert!(!binary::is_struct(format!("\n{text}").as_bytes()));
    assert!(read(format!("\n{text}").as_bytes()).is_ok());
    for document in ["{\"a\": null}", "{\"\": \"\"}", "{\"a\": []}", "{\"a\": {}}", &text] {
        let encoded = encode(&serde_json::from_str(document).unwrap());
        assert!(binary::is_struct(&encoded), "{document}");
    }
    assert_eq!(refused(b"\n{\"realm\": \"\x12\"}"), [UNREADABLE]);

    let whole = encode(&serde_json::from_str(&text).unwrap());
    let cut = &whole[..whole.len() - 1];
    assert_eq!(refused(cut), [UNREADABLE]);
}

/// Every table goes through this comparison; it must not pass for want of something to compare.
#[test]
fn the_comparison_with_a_struct_takes_place() {
    for config in [with(""), with(r#""realm": 1"#), r#"{"userinfo_endpoint": null}"#.to_owned()] {
        assert!(check_struct(&config), "{config}");
    }
    for config in ["{}", "[]", "{", r#"{"a": }"#] {
        assert!(!check_struct(config), "{config}");
    }
}

#[test]
fn the_numbers_of_a_struct() {
    for (number, text) in [
        (0.0, "0"),
        (-0.0, "0"),
        (8192.0, "8192"),
        (-1.0, "-1"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (1.5, "1.5"),
        (0.1, "0.1"),
        (1e21, "1000000000000000000000"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
    ] {
        let fields = [("realm".to_owned(), Value { kind: Some(Kind::NumberValue(number)) })];
        let encoded = Struct { fields: fields.into_iter().collect() }.encode_to_vec();
        let decoded = binary::decode(&encoded).unwrap();
        assert_eq!(
            decoded,
            crate::config::tree::Tree::Object(vec![(
                "realm".into(),
                crate::config::tree::Tree::Number(text.into())
            )])
        );
        let fields =
            [("max_token_bytes".to_owned(), Value { kind: Some(Kind::NumberValue(number)) })];
        let encoded = Struct { fields: fields.into_iter().collect() }.encode_to_vec();
        assert_eq!(read(&encoded).is_ok(), number == 8192.0, "{number}");
    }
}

#[test]
fn a_value_that_a_struct_leaves_unset_is_null() {
    // Written out: unlike Envoy, the encoder used here leaves out a value that says nothing.
    let encoded = b"\x0A\x09\x0A\x05realm\x12\x00";
    let lines = refused(encoded);
    assert_eq!(lines[0], "realm: got null, expected text");
}

/// The same bytes always give the same result, and no bytes stop the reader.
#[test]
fn arbitrary_bytes_are_answered() {
    let text = with(
        r#""inject_headers": {"default": {"X-A": {"path": "$.roles[*]", "join": ","}}},
           "timeout": "250ms", "userinfo_headers": {"X-B": "c"}, "max_token_bytes": 100,
           "userinfo_unavailable": {"status": 503, "retry_after": "5s"}, "error_set": {"code": 403},
           "clusters": {"idp.example": "idp"}, "http_proxy_server": "p", "http_proxy_port": 1"#,
    );
    let encoded = encode(&serde_json::from_str(&text).unwrap());
    assert!(read(text.as_bytes()).is_ok() && read(&encoded).is_ok());
    // A fixed sequence (Numerical Recipes' generator), so that a failure can be repeated.
    let mut state = 1u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let mut answers = [0, 0];
    for round in 0..20_000 {
        let mut bytes = if round % 2 == 0 { text.clone().into_bytes() } else { encoded.clone() };
        for _ in 0..=random(3) {
            let at = random(bytes.len().max(1));
            if bytes.is_empty() {
                break;
            }
            match random(4) {
                0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                1 => bytes.insert(at, b"\"{}[]:,\\0\x00\x12\xff"[random(12)]),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let answer = read(&bytes).map(summary);
        answers[usize::from(answer.is_ok())] += 1;
        assert_eq!(answer, read(&bytes).map(summary), "{bytes:?}");
        if let Err(problems) = answer {
            assert!(!problems.is_empty());
            for problem in problems {
                let line = problem.to_string();
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
    assert!(answers.iter().all(|count| *count > 100), "too much alike: {answers:?}");
}
