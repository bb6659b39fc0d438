//! What the rules about the user, and the values of header rules, are refused with.

use super::*;

#[test]
fn wrong_types() {
    let boolean = "true or false";
    let values = "text, a number, true or false, an array of these, or an object with any";
    let encodings = r#""percent" or "base64url""#;
    let documents = r#""response" or "token""#;
    check_kinds(
        "",
        &[
            ("require_scope", "an array of texts", "nbdto"),
            ("require_audience", "an array of texts", "nbdto"),
            ("require_issuer", "an array of texts", "nbdto"),
            ("require_claims", "an object", "nbdta"),
            ("require_claims.a", values, "n"),
            ("require_claims.a.any", "an array of values", "nbdto"),
            ("require_claims.a.of", documents, "nbdao"),
            ("inject_headers.default.a.list", boolean, "ndao"),
            ("inject_headers.default.a.required", boolean, "ndao"),
            ("inject_headers.default.a.encode", encodings, "nbdao"),
            ("inject_headers.default.a.of", documents, "nbdao"),
            ("filter_state.a.list", boolean, "ndao"),
            ("filter_state.a.required", boolean, "ndao"),
            ("filter_state.a.encode", encodings, "nbdao"),
            ("filter_state.a.of", documents, "nbdao"),
        ],
    );
}

#[test]
fn lists_of_texts() {
    let many = |count: usize| (0..count).map(|n| format!("\"t{n}\"")).collect::<Vec<_>>().join(",");
    for (key, one, longest) in [
        ("require_scope", "a scope", 256),
        ("require_audience", "an audience", 2048),
        ("require_issuer", "an issuer", 2048),
    ] {
        check(&format!(r#""{key}": []"#), &[&format!("{key}: got 0 elements, expected 1 to 32")]);
        check(&format!(r#""{key}": [{}]"#, many(32)), &[]);
        check(
            &format!(r#""{key}": [{}]"#, many(33)),
            &[&format!("{key}: got 33 elements, expected 1 to 32")],
        );
        check(
            &format!(r#""{key}": ["a", 1, "", "a", null, ["b"]]"#),
            &[
                &format!("{key}[1]: got a number, expected {one} as text"),
                &format!("{key}[2]: got empty text, expected {one} as text"),
                &format!("{key}[3]: repeated text, expected each once"),
                &format!("{key}[4]: got null, expected {one} as text"),
                &format!("{key}[5]: got an array, expected {one} as text"),
            ],
        );
        check(&format!(r#""{key}": ["{}"]"#, "a".repeat(longest)), &[]);
        check(
            &format!(r#""{key}": ["{}"]"#, "a".repeat(longest + 1)),
            &[&format!("{key}[0]: got {} bytes, expected at most {longest}", longest + 1)],
        );
    }
}

#[test]
fn a_scope_has_the_characters_of_one() {
    let one = "expected one scope in its characters (RFC 6749 §3.3): each scope is an element of \
               its own";
    for (scope, found) in [
        ("orders:read orders:write", "space at 12"),
        ("a\\\"b", "quotation mark at 2"),
        ("a\\\\b", r#""\" at 2"#),
        ("a\\tb", "tab at 2"),
        ("é", "non-ASCII character U+00E9 at 1"),
    ] {
        check(
            &format!(r#""require_scope": ["{scope}"]"#),
            &[&format!("require_scope[0]: got {found}, {one}")],
        );
    }
    check(r#""require_scope": ["https://api.example/orders.read", "!#[]~"]"#, &[]);
    check(r#""require_audience": ["a b", "é"], "require_issuer": ["a b"]"#, &[]);
}

#[test]
fn claims() {
    check(
        r#""require_claims": {}"#,
        &["require_claims: got an empty object, expected at least one JSONPath with its values"],
    );
    let one = "expected text, a number, true or false";
    check(
        r#""require_claims": {
            "$.a[": 1, "b": [], "c": [null, ["a"], {}, "d"], "e": {}, "f": {"any": []},
            "g": {"any": [null], "of": "Token"}, "h": {"any": ["a"], "not": ["b"]}}"#,
        &[
            r#"require_claims["$.a["]: invalid JSONPath at 4: `[` is not closed"#,
            "require_claims.b: got an empty array, expected at least one value",
            &format!("require_claims.c[0]: got null, {one}"),
            &format!("require_claims.c[1]: got an array, {one}"),
            &format!("require_claims.c[2]: got an object, {one}"),
            "require_claims.e.any: missing, expected an array of values",
            "require_claims.f.any: got an empty array, expected at least one value",
            &format!("require_claims.g.any[0]: got null, {one}"),
            r#"require_claims.g.of: got "Token", expected "response" or "token" (case-sensitive)"#,
            "require_claims.h.not: unknown key, expected one of any, of",
        ],
    );
    let long = format!(r#""require_claims": {{"{}": 1}}"#, "a".repeat(257));
    let problems = lines(&read(with(&long).as_bytes()).unwrap_err());
    assert!(problems[0].contains("got 257 bytes, expected at most 256"), "{problems:?}");
    check(
        r#""require_claims": {"a": 1, "a": 2}"#,
        &["require_claims.a: repeated key, expected each key once"],
    );
}

#[test]
fn values() {
    for key in ["inject_headers.default", "filter_state"] {
        let (outer, inner) = key.split_once('.').unwrap_or((key, ""));
        let rules = |members: &str| match inner {
            "" => format!(r#""{outer}": {{{members}}}"#),
            _ => format!(r#""{outer}": {{"{inner}": {{{members}}}}}"#),
        };
        check(
            &rules(
                r#""a": {"path": "$.a", "list": true, "join": ","},
                   "b": {"path": "$.b", "encode": "Percent", "of": "id_token"},
                   "c": {"required": true},
                   "d": {"path": "$.d", "encoding": "percent"}"#,
            ),
            &[
                &format!(
                    "{key}.a.join: got join together with list, expected one of the two: a list is \
                     either joined or a JSON array"
                ),
                &format!(
                    r#"{key}.b.encode: got "Percent", expected "percent" or "base64url" (case-sensitive)"#
                ),
                &format!(r#"{key}.b.of: got "id_token", expected "response" or "token""#),
                &format!("{key}.c.path: missing, expected a JSONPath"),
                &format!(
                    "{key}.d.encoding: unknown key, expected one of path, join, list, encode, of, \
                          required"
                ),
            ],
        );
        check(&rules(r#""a": {"path": "$.a", "list": false, "join": ","}"#), &[]);
    }
}
