//! Tests: what of a provider's challenges becomes ours.

use super::*;
use crate::claims::json;

#[track_caller]
fn check(provider: &str, ours: &str) {
    check_lines(&[provider], ours);
}

#[track_caller]
fn check_lines(provider: &[&str], ours: &str) {
    let challenge = Challenge::from_header(provider.iter().map(|line| line.as_bytes()));
    assert_eq!(challenge.header("api", &[]), format!("Bearer realm=\"api\"{ours}"), "{provider:?}");
}

#[test]
fn what_the_provider_said_in_rfc_6750_characters() {
    check(
        r#"error="invalid_token" , error_description="The Access Token expired""#,
        r#", error="invalid_token", error_description="The Access Token expired""#,
    );
    check(
        r#"Bearer realm="theirs", error="insufficient_scope", scope="read write""#,
        r#", error="insufficient_scope", scope="read write""#,
    );
    check("Bearer error=invalid_token", r#", error="invalid_token""#);
    check(r#"Basic realm="x", Bearer error = "invalid_request""#, r#", error="invalid_request""#);
    check(r#"Bearer ERROR="invalid_token""#, r#", error="invalid_token""#);
    check(r#""error=insufficient_scope", error=invalid_token"#, r#", error="invalid_token""#);
}

#[test]
fn what_cannot_be_said_is_left_out() {
    check("", "");
    check(r#"Bearer error="teapot""#, "");
    check(r#"Bearer realm="error=\"invalid_token\"""#, "");
    check(r#"Bearer error_description="a\"b""#, "");
    check("Bearer error_description=\"a\r\nx-evil: 1\"", "");
    check(r#"Bearer error_description="Zugriff verweigert für""#, "");
    check(r#"Bearer error_description="""#, "");
    check(r#"Bearer error="invalid_token"#, "");
    check(&format!("Bearer scope=\"{}\"", "s".repeat(257)), "");
    check(
        &format!("Bearer scope={}", "s".repeat(256)),
        &format!(", scope=\"{}\"", "s".repeat(256)),
    );
}

#[test]
fn a_scope_is_tokens_with_one_space_between_two() {
    for scope in ["a", "a b", "orders:read orders:write openid", "!#[]~"] {
        check(&format!("Bearer scope=\"{scope}\""), &format!(", scope=\"{scope}\""));
    }
    for scope in [" ", "   ", " a", "a ", "a  b", "a\tb", "a\u{a0}b", "a\\\\b", ""] {
        check(
            &format!("Bearer error=\"invalid_token\", scope=\"{scope}\""),
            r#", error="invalid_token""#,
        );
    }
    let longest = format!("{}{}", "s ".repeat(127), "ss");
    check(&format!("Bearer scope=\"{longest}\""), &format!(", scope=\"{longest}\""));
    check(&format!("Bearer scope=\"{longest}s\""), "");
}

/// Clients search the whole challenge by a pattern: no text of a provider's may look like a parameter.
#[test]
fn text_that_looks_like_a_parameter_is_left_out() {
    for evil in [
        "a, scope=admin",
        "a SCOPE = admin",
        "see error=x",
        "resource_metadata=https://evil",
        "RESOURCE_METADATA : 'https://evil'",
    ] {
        check(
            &format!("Bearer error=\"invalid_token\", error_description=\"{evil}\""),
            ", error=\"invalid_token\"",
        );
    }
    check("Bearer scope=\"a error=b\"", "");
    let plain = "the scope of the token: an error";
    check(
        &format!("Bearer error_description=\"{plain}\""),
        &format!(", error_description=\"{plain}\""),
    );
}

#[test]
fn a_description_may_have_any_spaces() {
    check(
        r#"Bearer error_description="  gone  ", scope=" a""#,
        r#", error_description="  gone  ""#,
    );
}

const TOKEN: &str = r#", error="invalid_token""#;

#[test]
fn parameters_belong_to_their_scheme() {
    let dpop = r#"DPoP error="use_dpop_nonce", error_description="nonce", algs="ES256""#;
    check(dpop, "");
    for bearer in ["Bearer", "bearer", "BEARER"] {
        let said = format!(r#"{bearer} realm="x", error="invalid_token", scope="a""#);
        let ours = &format!(r#"{TOKEN}, scope="a""#);
        check(&said, ours);
        for other in [dpop, "Negotiate", "Negotiate YII/+==", r#"Basic realm="a, b""#] {
            check(&format!("{other}, {said}"), ours);
            check(&format!("{said}, {other}"), ours);
            check_lines(&[other, &said], ours);
            check_lines(&[&said, other], ours);
            check(&format!(r#"{other}, error="invalid_request", {said}"#), ours);
        }
    }
    // Two lines are one list.
    check_lines(&["Bearer realm=\"x\"", "error=invalid_token"], TOKEN);
    check_lines(&["DPoP", "error=invalid_token"], "");
    // A quote that is not closed ends with its line.
    check_lines(&["Basic realm=\"x", "Bearer error=invalid_token"], TOKEN);
}

#[test]
fn without_a_scheme_only_where_there_is_none_at_all() {
    check("error=invalid_token", TOKEN);
    check_lines(&["error=invalid_token", r#"scope="a""#], &format!(r#"{TOKEN}, scope="a""#));
    check(r#"error=invalid_request, Bearer realm="x""#, "");
    check("error=invalid_request, Bearer error=invalid_token", TOKEN);
    check_lines(&["error=invalid_token", "Basic"], "");
}

#[test]
fn of_several_bearer_challenges_one_is_read() {
    check(r#"Bearer realm="a", Bearer scope="b", Bearer error=invalid_token"#, TOKEN);
    check("Bearer error=invalid_token, Bearer error=insufficient_scope", TOKEN);
    check(r#"Bearer realm="a", Bearer scope="b", Bearer scope="c""#, r#", scope="b""#);
    // Of a name that repeats the first counts, usable or not.
    check("Bearer error=teapot, error=invalid_token", "");
}

#[test]
fn what_is_not_in_the_grammar_is_dropped_and_never_cut() {
    for wrong in [
        "error_description=The token expired",
        "error_description=The token expired, please log in again",
        r#"error_description=The "token" expired"#,
        r#"error_description="The token" expired"#,
        r#"error_description="The token"expired"#,
        "error_description=",
        r#"error_description "The token expired""#,
        r#"error_description: "The token expired""#,
        "error_description=[expired]",
        "error_description==expired",
        "",
    ] {
        check(&format!("Bearer error=invalid_token, {wrong}"), TOKEN);
        check(&format!("Bearer {wrong}, error=invalid_token"), TOKEN);
        check(&format!("{wrong}, Bearer error=invalid_token, {wrong}"), TOKEN);
    }
    check("error=invalid_token expired", "");
    check(r#"Bearer error="invalid_token"; error_description="x""#, "");
    check("Bearer\u{a0}error=invalid_token", "");
}

/// As some providers write them.
#[test]
fn a_blank_after_a_quote_does_for_a_comma() {
    check(r#"Bearer error="invalid_token" scope="a b""#, &format!(r#"{TOKEN}, scope="a b""#));
    check("Bearer\terror\t=\t\"invalid_token\"\t,\tscope=a", &format!(r#"{TOKEN}, scope="a""#));
    check(r#"Bearer error=invalid_token scope="a""#, "");
}

#[test]
fn a_better_login() {
    let code = r#"error="insufficient_user_authentication""#;
    check(
        &format!(r#"Bearer {code}, acr_values="urn:a:silver phr", max_age=300"#),
        &format!(r#", {code}, acr_values="urn:a:silver phr", max_age="300""#),
    );
    check(&format!(r#"Bearer {code}, max_age="0""#), &format!(r#", {code}, max_age="0""#));
    for wrong in [
        r#"acr_values="a  b""#,
        r#"acr_values=" a""#,
        r#"acr_values="a\"b""#,
        r#"acr_values="""#,
        "max_age=-1",
        "max_age=5s",
        r#"max_age="""#,
        r#"max_age="5 ""#,
        "max_age=12345678901",
    ] {
        check(&format!("Bearer {code}, {wrong}"), &format!(", {code}"));
    }
}

#[test]
fn the_realm_is_a_quoted_string() {
    assert_eq!(Challenge::default().header(r#"a"b\c"#, &[]), r#"Bearer realm="a\"b\\c""#);
}

#[test]
fn an_oauth_error_document() {
    let document = json::parse(br#"{"error":"invalid_token","error_description":7}"#).unwrap();
    assert_eq!(Challenge::from_json(&document), Challenge::error(ErrorCode::InvalidToken));
}

/// What could be a scheme ends the one before it, also where the rest of it is not in the grammar.
#[test]
fn an_unknown_schemes_parameters_are_not_the_ones_before_it() {
    for unknown in ["DPoP foo bar", "DPoP \"q\"", "DPoP/1 x=\"y\""] {
        check(&format!("Bearer realm=\"x\", {unknown}, error=\"invalid_token\""), "");
        check(&format!("{unknown}, error=\"invalid_token\""), "");
        check(&format!("{unknown}, Bearer error=\"invalid_token\""), r#", error="invalid_token""#);
    }
}
