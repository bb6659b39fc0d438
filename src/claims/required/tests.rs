//! Each requirement with what fulfils it and what does not, and where it is read.

use super::*;
use crate::claims::json;
use crate::claims::jsonpath::ANSWER_STEPS;

#[track_caller]
fn fulfilled(members: &str, document: &str) -> bool {
    let members = format!(r#""require_claims": {members}"#);
    let loaded = crate::policy::read(crate::sim::config(&members).as_bytes()).unwrap();
    let document = json::parse(document.as_bytes()).unwrap();
    let documents = Documents { response: Some(&document), token: None, grants: Document::Token };
    loaded.policy.required.unmet(documents).is_none()
}

/// Whether these members are fulfilled by a payload of the token, and by a response.
#[track_caller]
fn unmet(members: &str, grants: Document, response: &str, token: &str) -> Option<Unmet> {
    let config = match grants {
        Document::Token => crate::sim::config(members),
        Document::Response => format!(
            r#"{{"introspection_endpoint": {{"defaultURI": "https://idp.example/introspect"}},
                "introspection_client": {{"client_id": "gateway", "client_secret": "s"}}, {members}}}"#
        ),
    };
    let policy = crate::policy::read(config.as_bytes()).unwrap().policy;
    assert_eq!(policy.method.grants(), grants);
    let response = json::parse(response.as_bytes()).unwrap();
    let token = (!token.is_empty()).then(|| json::parse(token.as_bytes()).unwrap());
    policy.required.unmet(Documents { response: Some(&response), token: token.as_ref(), grants })
}

#[track_caller]
fn grants(members: &str, document: &str) -> Option<Unmet> {
    let of_response = unmet(members, Document::Response, document, "{}");
    assert_eq!(unmet(members, Document::Token, "{}", document), of_response);
    of_response
}

#[test]
fn every_scope_is_required() {
    let members = r#""require_scope": ["orders:read", "b"]"#;
    for document in [
        r#"{"scope": "orders:read b"}"#,
        r#"{"scope": "b x orders:read"}"#,
        r#"{"scope": ["b", "orders:read"]}"#,
        r#"{"scp": ["b", "orders:read"]}"#,
        r#"{"scp": "b orders:read"}"#,
        r#"{"scope": null, "scp": "orders:read b"}"#,
    ] {
        assert_eq!(grants(members, document), None, "{document}");
    }
    for document in [
        "{}",
        r#"{"scope": "b"}"#,
        r#"{"scope": "orders:read"}"#,
        r#"{"scope": "orders:read,b"}"#,
        r#"{"scope": "Orders:read b"}"#,
        r#"{"scope": "orders:read\tb"}"#,
        r#"{"scope": ["orders:read b"]}"#,
        r#"{"scope": ["orders:read", "b", 1]}"#,
        r#"{"scope": {"orders:read": true, "b": true}}"#,
        r#"{"scope": "", "scp": "orders:read b"}"#,
    ] {
        assert_eq!(grants(members, document), Some(Unmet::Scope), "{document}");
    }
}

#[test]
fn one_audience_is_required() {
    let members = r#""require_audience": ["https://api.example", "orders"]"#;
    for document in [
        r#"{"aud": "orders"}"#,
        r#"{"aud": ["other", "orders"]}"#,
        r#"{"aud": ["https://api.example"]}"#,
    ] {
        assert_eq!(grants(members, document), None, "{document}");
    }
    for document in [
        "{}",
        r#"{"aud": "Orders"}"#,
        r#"{"aud": "orders "}"#,
        r#"{"aud": "other orders"}"#,
        r#"{"aud": "https://api.example/"}"#,
        r#"{"aud": []}"#,
        r#"{"aud": [["orders"]]}"#,
        r#"{"aud": ["orders", ["x"]]}"#,
        r#"{"aud": ["orders", 1]}"#,
        r#"{"aud": {"orders": true}}"#,
        r#"{"aud": null}"#,
    ] {
        assert_eq!(grants(members, document), Some(Unmet::Audience), "{document}");
    }
}

#[test]
fn the_issuer_is_one_of_those_required() {
    let members = r#""require_issuer": ["https://a.example", "https://b.example"]"#;
    assert_eq!(grants(members, r#"{"iss": "https://b.example"}"#), None);
    for document in [
        "{}",
        r#"{"iss": "https://b.example/"}"#,
        r#"{"iss": "HTTPS://b.example"}"#,
        r#"{"iss": ["https://b.example"]}"#,
        r#"{"iss": null}"#,
    ] {
        assert_eq!(grants(members, document), Some(Unmet::Issuer), "{document}");
    }
}

/// What the other document says restores nothing, and takes nothing away.
#[test]
fn scope_audience_and_issuer_are_read_from_one_document() {
    for (key, unmet_is) in
        [("scope", Unmet::Scope), ("audience", Unmet::Audience), ("issuer", Unmet::Issuer)]
    {
        let members = format!(r#""require_{key}": ["a"]"#);
        let all = r#"{"scope": "a", "aud": "a", "iss": "a"}"#;
        let none = r#"{"scope": "x", "aud": "x", "iss": "x"}"#;
        for other in ["{}", none] {
            assert_eq!(unmet(&members, Document::Response, all, other), None);
            assert_eq!(unmet(&members, Document::Token, other, all), None);
            assert_eq!(unmet(&members, Document::Response, other, all), Some(unmet_is));
            assert_eq!(unmet(&members, Document::Token, all, other), Some(unmet_is));
        }
        // An opaque token has none.
        assert_eq!(unmet(&members, Document::Token, all, ""), Some(unmet_is));
    }
}

#[test]
fn claims_are_read_where_the_rule_says() {
    let of =
        |of: &str| format!(r#""require_claims": {{"$.c": {{"any": [1, "a"], "of": "{of}"}}}}"#);
    let (good, bad) = (r#"{"c": "a"}"#, r#"{"c": "b"}"#);
    for grants in [Document::Response, Document::Token] {
        assert_eq!(unmet(&of("token"), grants, bad, good), None);
        assert_eq!(unmet(&of("token"), grants, good, bad), Some(Unmet::Claim));
        assert_eq!(unmet(&of("token"), grants, good, ""), Some(Unmet::Claim));
        assert_eq!(unmet(&of("response"), grants, good, bad), None);
        assert_eq!(unmet(&of("response"), grants, bad, good), Some(Unmet::Claim));
    }
}

#[test]
fn the_token_is_read_only_for_those_who_need_it() {
    let reads = |members: &str| {
        let config = crate::sim::config(members);
        let policy = crate::policy::read(config.as_bytes()).unwrap().policy;
        [Document::Response, Document::Token].map(|grants| policy.required.reads_token(grants))
    };
    assert_eq!(reads(""), [false, false]);
    assert_eq!(reads(r#""require_claims": {"$.a": 1}"#), [false, false]);
    assert_eq!(reads(r#""require_claims": {"$.a": {"any": [1], "of": "token"}}"#), [true, true]);
    for key in ["scope", "audience", "issuer"] {
        assert_eq!(reads(&format!(r#""require_{key}": ["a"]"#)), [false, true]);
    }
}

#[test]
fn the_first_requirement_that_is_not_fulfilled_is_told() {
    let all = r#""require_scope": ["s"], "require_audience": ["a"], "require_issuer": ["i"],
                 "require_claims": {"$.c": 1}"#;
    for (document, told) in [
        (r#"{"scope": "s", "aud": "a", "iss": "i", "c": 1}"#, None),
        (r#"{"scope": "s", "aud": "a", "iss": "i"}"#, Some(Unmet::Claim)),
        (r#"{"aud": "a", "iss": "i"}"#, Some(Unmet::Scope)),
        (r#"{"iss": "i"}"#, Some(Unmet::Audience)),
        ("{}", Some(Unmet::Issuer)),
    ] {
        assert_eq!(unmet(all, Document::Response, document, "{}"), told, "{document}");
    }
}

#[test]
fn value_is_compared_exactly() {
    let values = [
        (r#""7""#, r#""7""#),
        ("7", "7"),
        ("-7", "-7"),
        ("true", "true"),
        (r#""true""#, r#""true""#),
        ("false", "false"),
        (r#""""#, r#""""#),
        (r#"" a""#, r#"" a""#),
        (r#""A""#, r#""A""#),
        (r#""a""#, r#""a""#),
        (r#""\u00e9""#, "\"é\""),
        ("900719925474099", "900719925474099"),
        ("1.50", "1.50"),
        ("1.5", "1.5"),
        ("1e2", "1e2"),
    ];
    for (place, (required, _)) in values.iter().enumerate() {
        for (other, (_, found)) in values.iter().enumerate() {
            let document = format!(r#"{{"c": {found}}}"#);
            let equal = fulfilled(&format!(r#"{{"$.c": {required}}}"#), &document);
            assert_eq!(equal, place == other, "{required} {found}");
        }
    }
    for other in ["7.0", "7e0", "70e-1", "7.0e0", "null", "[7]", "{}"] {
        assert!(!fulfilled(r#"{"$.c": 7}"#, &format!(r#"{{"c": {other}}}"#)), "{other}");
    }
}

/// A Struct would read two such numbers as one.
#[test]
fn number_that_a_struct_does_not_keep_is_refused() {
    for number in ["9007199254740993", "-9007199254740993", "0.1234567890123456"] {
        let config = crate::sim::config(&format!(r#""require_claims": {{"$.c": [{number}]}}"#));
        let problems = crate::policy::read(config.as_bytes()).unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "require_claims[\"$.c\"][0]: got a number of more than 15 digits, expected at most 15: a \
             Struct does not keep it, and another user's number may be next to it"
        );
    }
}

#[test]
fn one_node_and_one_value_are_enough() {
    let required = r#"{"$.groups[*]": ["admin", "staff", 5]}"#;
    for groups in [r#"["a", "staff"]"#, r#"["admin"]"#, "[null, {}, 5]"] {
        assert!(fulfilled(required, &format!(r#"{{"groups": {groups}}}"#)), "{groups}");
    }
    for groups in ["[]", r#"["Admin"]"#, r#""admin""#, "null", r#"[["admin"]]"#, r#"["5"]"#] {
        assert!(!fulfilled(required, &format!(r#"{{"groups": {groups}}}"#)), "{groups}");
    }
    assert!(!fulfilled(required, "{}"));
}

#[test]
fn every_path_has_to_be_fulfilled() {
    let required = r#"{"$.a": 1, "$.b": 2}"#;
    assert!(fulfilled(required, r#"{"a": 1, "b": 2}"#));
    for document in [r#"{"a": 1}"#, r#"{"b": 2}"#, r#"{"a": 2, "b": 2}"#] {
        assert!(!fulfilled(required, document), "{document}");
    }
}

#[test]
fn search_that_is_given_up_is_not_fulfilled() {
    let many = vec!["1"; 2 * ANSWER_STEPS as usize].join(",");
    let document = format!(r#"{{"a": [{many}]}}"#);
    assert!(fulfilled(r#"{"$.a[0]": 1}"#, &document));
    assert!(!fulfilled(r#"{"$.a[*]": 1}"#, &document));
}

#[test]
fn no_document_has_no_claims() {
    let config = crate::sim::config(r#""require_claims": {"$.a": 1}"#);
    let required = crate::policy::read(config.as_bytes()).unwrap().policy.required;
    let none = Documents { response: None, token: None, grants: Document::Token };
    assert_eq!(required.unmet(none), Some(Unmet::Claim));
    assert_eq!(Requirements::default().unmet(none), None);
}
