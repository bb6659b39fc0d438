//! Tests: what is read, refused, and written back.

#![allow(clippy::arithmetic_side_effects, clippy::string_slice)]

use proptest::prelude::*;

use super::{Json, MAX_DEPTH, REPEATED, parse, parse_strictly, quick};

/// Reads `text` and writes it again, or gives `offset: reason`. Both readers have to agree.
fn check(text: impl AsRef<[u8]>) -> String {
    assert_eq!(parse(text.as_ref()), parse_strictly(text.as_ref()));
    match parse(text.as_ref()) {
        Ok(document) => document.to_compact(),
        Err(error) => format!("{}: {}", error.offset, error.reason),
    }
}

#[test]
fn documents_are_kept_as_written() {
    for (text, compact) in [
        ("null", "null"),
        (" \t\r\n true \n", "true"),
        ("false", "false"),
        ("[]", "[]"),
        ("{}", "{}"),
        ("[ ]", "[]"),
        ("[[],{}]", "[[],{}]"),
        (r#"{ "b" : 1 , "a" : [ 1 , 2 ] }"#, r#"{"b":1,"a":[1,2]}"#),
        ("12345678901234567890123", "12345678901234567890123"),
        ("1.50", "1.50"),
        ("1e5", "1e5"),
        ("1E+5", "1E+5"),
        ("-0", "-0"),
        ("-0.0e-0", "-0.0e-0"),
        ("1e400", "1e400"),
        (r#""Claes Rosenlöf""#, r#""Claes Rosenlöf""#),
        (r#""\u00f6\ud83d\ude00\/""#, r#""ö😀/""#),
        (r#""\"\\\b\f\n\r\t""#, r#""\"\\\b\f\n\r\t""#),
        (r#""\u0000\u0013\u0014\u001f\u0020\u007f""#, r#""\u0000\u0013\u0014\u001f \u007f""#),
        ("\"\x7f\"", r#""\u007f""#),
        ("\"\u{80}\u{85}\u{9f}\u{a0}\u{bf}\"", "\"\\u0080\\u0085\\u009f\u{a0}\u{bf}\""),
        (r#"["\u0013","\u0014","\u001f"]"#, r#"["\u0013","\u0014","\u001f"]"#),
        (r#"{"\u0001":{"":[]}}"#, r#"{"\u0001":{"":[]}}"#),
        (r#"{"a":1,"b":{"a":1}}"#, r#"{"a":1,"b":{"a":1}}"#),
        (r#"{"$serde_json::private::Number":"1"}"#, r#"{"$serde_json::private::Number":"1"}"#),
    ] {
        assert_eq!(check(text), compact, "{text:?}");
    }
}

#[test]
fn what_is_no_document_says_where() {
    let value = "expected a value";
    let value_or_end = "expected a value or the closing bracket";
    let comma_or_end = "expected a comma or the closing bracket";
    let name = "expected a member name in double quotes";
    let trailing = "text after the end of the document";
    let surrogate = "half of a surrogate pair";
    let control = "a control character in a string must be escaped";
    let repeats = "a member name repeats within its object";
    for (text, offset, reason) in [
        ("", 0, value),
        ("  ", 2, value),
        ("nul", 0, value),
        ("  NaN", 2, value),
        ("Infinity", 0, value),
        ("-Infinity", 1, "expected a digit in the number"),
        ("+1", 0, value),
        (".5", 0, value),
        ("'a'", 0, value),
        ("01", 1, trailing),
        ("-01", 2, trailing),
        ("[\u{b}1]", 1, value),
        ("[1\u{c}]", 2, comma_or_end),
        ("[\u{c}1]", 1, value),
        ("{\u{c}\"a\":1}", 1, name),
        ("1.", 2, "expected a digit in the number"),
        ("1e", 2, "expected a digit in the number"),
        ("-", 1, "expected a digit in the number"),
        ("0x1", 1, trailing),
        ("nullx", 4, trailing),
        ("1 2", 2, trailing),
        ("{} {}", 3, trailing),
        ("{}\0", 2, trailing),
        ("[1,]", 3, value),
        ("[,1]", 1, value),
        ("[1 2]", 3, comma_or_end),
        ("[1}", 2, comma_or_end),
        ("[", 1, value_or_end),
        ("[1", 2, comma_or_end),
        ("[1,", 3, value),
        ("{\"a\":1,}", 7, name),
        ("{a:1}", 1, name),
        ("{1:1}", 1, name),
        ("{\"a\"}", 4, "expected a colon after the member name"),
        ("{\"a\":}", 5, value),
        ("{\"a\":1", 6, comma_or_end),
        ("[1] // note", 4, trailing),
        ("/* note */ 1", 0, value),
        ("[1, # note\n2]", 4, value),
        ("\"abc", 0, "the string is not closed"),
        (" \"abc\\", 1, "the string is not closed"),
        ("\"\\u12", 0, "the string is not closed"),
        ("\"a\nb\"", 2, control),
        ("\"\0\"", 1, control),
        ("\"a\\n\tb\"", 4, control),
        ("\"\\x\"", 2, "no such escape in a string"),
        ("\"\\u12G4\"", 5, "expected a hexadecimal digit"),
        ("\"a\\ud800\"", 2, surrogate),
        ("\"a\\udc00\"", 2, surrogate),
        ("\"\\ud800\\u0041\"", 7, surrogate),
        ("\"\\ud800\\ud800\"", 7, surrogate),
        ("{\"a\":1,\"b\":2,\"a\":3}", 13, repeats),
        ("{\"a\":1,\"\\u0061\":2}", 7, repeats),
        ("[{\"x\":{\"\":1,\"\":2}}]", 12, repeats),
        ("{\"b\":1,\"b\":1,\"a\":1,\"a\":1}", 7, repeats),
        ("\u{feff}{}", 0, "got a byte order mark before the document"),
        ("[\u{feff}]", 1, value),
        ("[\u{a0}]", 1, value),
    ] {
        assert_eq!(check(text), format!("{offset}: {reason}"), "{text:?}");
    }
    assert_eq!(check(b"\"a\xff\""), "2: not UTF-8");
    assert_eq!(check(b"\"\xc3"), "1: not UTF-8");
    assert_eq!(check(b"\"\xed\xa0\x80\""), "1: not UTF-8");
    assert_eq!(check(b"[\"ok\"]\xfe"), "6: not UTF-8");
    assert_eq!(
        check("{}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
        "1: expected a member name in double quotes"
    );
}

#[test]
fn members_are_found_by_name() {
    let document = parse(r#"{"a":{"b":true},"":null}"#.as_bytes()).expect("a document");
    assert_eq!(document.member("a").and_then(|a| a.member("b")), Some(&Json::Bool(true)));
    assert_eq!(document.member(""), Some(&Json::Null));
    assert_eq!(document.member("b"), None);
    assert_eq!(Json::Array(vec![]).member("a"), None);
}

#[test]
fn nesting_is_bounded_where_serde_json_bounds_it() {
    let nested = |depth: usize, open: &str, close: &str| {
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deepest = nested(MAX_DEPTH, open, close);
        assert_eq!(check(&deepest), deepest);
        assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
        let deeper = nested(MAX_DEPTH + 1, open, close);
        assert_eq!(check(&deeper), format!("{}: nested deeper than 127", MAX_DEPTH * open.len()));
        assert!(serde_json::from_str::<serde_json::Value>(&deeper).is_err());
        assert_eq!(
            check(open.repeat(100_000)),
            format!("{}: nested deeper than 127", MAX_DEPTH * open.len())
        );
    }
    // Depth is what is open at a time, not what was opened.
    assert_eq!(check(format!("[{}[]]", "[],".repeat(1000))).len(), 1 + 3 * 1000 + 3);
}

#[test]
fn repeated_names_are_found_without_comparing_each_with_each() {
    let names = |count: usize, twice: &str| {
        let names: Vec<String> = (0..count).map(|at| format!("\"{at:09}\":0")).collect();
        format!("{{{},\"{twice}\":0}}", names.join(","))
    };
    // 2·10¹⁰ comparisons would not end here.
    let count = 200_000;
    assert_eq!(
        check(names(count, "000000007")),
        format!("{}: a member name repeats within its object", count * 14 + 1)
    );
    assert!(parse(names(count, "x").as_bytes()).is_ok());
}

#[test]
fn a_text_stops_at_its_limit() {
    for text in [r#"{"a":[1,"x\n"],"b":{}}"#, r#""\u0001""#, "[]", "123", "[[[null]]]"] {
        let document = parse(text.as_bytes()).expect("a document");
        for limit in 0..text.len() {
            let mut cut = String::new();
            assert!(!document.append_compact(&mut cut, limit), "{text} fits {limit}");
            assert!(cut.len() <= limit + 5, "{cut:?} is far beyond {limit}");
        }
        let mut whole = "kept ".to_owned();
        assert!(document.append_compact(&mut whole, 5 + text.len()));
        assert_eq!(whole, format!("kept {text}"));
    }
}

/// JSON as `serde_json` has it, for comparison; its numbers are compared as it prints them.
fn as_serde(document: &Json<'_>) -> serde_json::Value {
    match document {
        Json::Null => serde_json::Value::Null,
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => serde_json::from_str(number).expect("a number"),
        Json::String(string) => string.as_ref().into(),
        Json::Array(elements) => elements.iter().map(as_serde).collect(),
        Json::Object(members) => serde_json::Value::Object(
            members.iter().map(|(name, value)| (name.to_string(), as_serde(value))).collect(),
        ),
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read_alike(written in any_json(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&written)
        } else {
            serde_json::to_string(&written)
        }.expect("text");
        // Floats may lose their last bit on the way through serde_json itself.
        let again: serde_json::Value = serde_json::from_str(&text).expect("its own text");
        let document = parse(text.as_bytes()).expect("a document");
        prop_assert_eq!(as_serde(&document), again);
        let compact = document.to_compact();
        prop_assert!(!compact.chars().any(|c| c.is_ascii_control()));
        prop_assert_eq!(parse(compact.as_bytes()).expect("its own text"), document);
    }

    #[test]
    fn both_accept_the_same_texts(
        text in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\"", "\"", "\\", "\\n", "\\u", "00e9",
                "\\ud83d", "\\ude00", "1", "0", "-", ".", "e", "+", "true", "null", "fals", " ",
                "\n", "\u{1}", "é",
            ]),
            0..12,
        )
    ) {
        let text = text.concat();
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match (parse(text.as_bytes()), theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(as_serde(&ours), theirs),
            (Err(_), Err(_)) => {}
            // The one difference: a number beyond f64 keeps its text here.
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("number out of range")),
            // And a name that repeats is refused here.
            (Err(error), Ok(_)) => prop_assert_eq!(error.reason, REPEATED, "{:?}", text),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = parse(&bytes) {
            prop_assert!(error.offset <= bytes.len());
        }
    }
}

/// Documents as providers write them are read in one pass.
#[test]
fn usual_documents_are_read_quickly() {
    let long = format!("[{}1]", "\"member-of\",".repeat(500));
    let many: Vec<String> = (0..40).map(|n| format!("\"claim{n}\":{n}")).collect();
    for text in [
        r#"{"sub":"248289761001","email_verified":true,"updated_at":1700000000,"x":null}"#,
        r#"{ "sub" : "a", "address": {"formatted": "1 Main St\nAnytown"}, "roles": [] }"#,
        r#"{"name":"Claes Rosenlöf","picture":"https:\/\/a.example\/\u00f6.png","n":-1.5e+7}"#,
        &long,
        &format!("{{{}}}", many.join(",")),
    ] {
        assert_eq!(quick::document(text), parse_strictly(text.as_bytes()).ok(), "{text}");
        assert!(quick::document(text).is_some(), "{text}");
    }
}

/// A special byte is found wherever it is among the eight that are looked at together, and what is
/// beside one in value is none.
#[test]
fn every_byte_of_a_string_is_looked_at() {
    for place in 0..24 {
        for byte in 0..=0x7F_u8 {
            let mut text = [b'a'; 24];
            text[place] = byte;
            let text = format!("\"{}\"", std::str::from_utf8(&text).unwrap());
            check(&text);
            let plain = !matches!(byte, b'"' | b'\\' | ..0x20);
            assert_eq!(quick::document(&text).is_some(), plain, "{text:?}");
        }
    }
}

proptest! {
    /// A document that is cut, doubled or changed at one byte: both readers say the same.
    #[test]
    fn readers_agree(place in 0_usize..200, byte: u8, cut: bool) {
        let mut text = br#"{"sub":"a\u00e9b","n":[-0.5e-7,0,{"n":{}}],"t":true,"sub2":"  ","e":[[],null]}"#.to_vec();
        let place = place % text.len();
        if cut { text.truncate(place) } else { text[place] = byte }
        prop_assert_eq!(parse(&text), parse_strictly(&text));
    }
}
