//! What the keys about requests without credentials and about the metadata of the resource are refused
//! with.

use super::*;

#[track_caller]
fn check_resource(members: &str, expected: &[&str]) {
    check(&format!(r#""protected_resource": {{{members}}}"#), expected);
}

const RESOURCE: &str = r#""resource": "https://a.example/mcp""#;
const SERVERS: &str = r#""authorization_servers": ["https://idp.example"]"#;

#[test]
fn wrong_types() {
    check_kinds(
        "",
        &[
            ("credentials", r#""required" or "optional""#, "nbdao"),
            ("anonymous_header", "a header name as text", "nbdao"),
            ("protected_resource", "an object", "nbdta"),
            ("protected_resource.resource", "a URI as text", "nbdao"),
            ("protected_resource.authorization_servers", "an array of texts", "nbdto"),
            ("protected_resource.scopes_supported", "an array of texts", "nbdto"),
            ("protected_resource.resource_name", "a name as text", "nbdao"),
            ("protected_resource.resource_documentation", "a URI as text", "nbdao"),
        ],
    );
}

#[test]
fn anonymous_requests() {
    check(
        r#""credentials": "Optional""#,
        &[r#"credentials: got "Optional", expected "required" or "optional" (case-sensitive)"#],
    );
    let alone = "anonymous_header: got anonymous_header without credentials \"optional\", expected \
                 both together: no request without credentials goes on";
    check(r#""anonymous_header": "X-Anonymous""#, &[alone]);
    check(r#""anonymous_header": "X-Anonymous", "credentials": "required""#, &[alone]);
    for (name, wrong) in [
        ("", "invalid header name: got empty text"),
        ("X A", "invalid header name: got space at 2"),
        ("Cookie", "got a reserved header name, expected another one"),
        (
            "Set_Cookie",
            "got a reserved header name, expected another one: the same as set-cookie when separators are ignored",
        ),
        ("x-envoy-a", "got a reserved header name, expected another one: x-envoy-*"),
        (
            "X-Region",
            "got a reserved header name, expected another one: the same as regionCodeHeader",
        ),
        (
            "x_user",
            "got a repeated header name, expected another one: the same as one of inject_headers",
        ),
        ("X.Where", "got a repeated header name, expected another one: the same as region_header"),
    ] {
        check_whole(
            &format!(
                r#"{{"userinfo_endpoint": {{"defaultURI": "https://a.example/u", "regionCodeHeader":
                       "x-region", "regionCodeValue": {{"FR": "https://a.example/u"}}}},
                     "inject_headers": {{"X-User": "$.sub"}}, "region_header": "x-where",
                     "credentials": "optional", "anonymous_header": "{name}"}}"#
            ),
            &[&format!("anonymous_header: {wrong}")],
        );
    }
    let long = "a".repeat(129);
    check(
        &format!(r#""credentials": "optional", "anonymous_header": "{long}""#),
        &["anonymous_header: invalid header name: got 129 bytes, expected at most 128"],
    );
}

#[test]
fn resource_and_servers() {
    check_resource(
        r#""resorce": "https://a.example""#,
        &[
            "protected_resource.resorce: unknown key, did you mean resource?",
            "protected_resource.resource: missing, expected a URI",
            "protected_resource.authorization_servers: missing, expected an array with at least one \
             issuer",
        ],
    );
    check_resource(
        &format!(r#"{RESOURCE}, "authorization_servers": []"#),
        &["protected_resource.authorization_servers: got 0 elements, expected 1 to 10"],
    );
    let eleven: Vec<String> = (0..11).map(|n| format!("\"https://idp{n}.example\"")).collect();
    check_resource(
        &format!(r#"{RESOURCE}, "authorization_servers": [{}]"#, eleven.join(",")),
        &["protected_resource.authorization_servers: got 11 elements, expected 1 to 10"],
    );
    check_resource(
        &format!(
            r#"{RESOURCE}, "authorization_servers":
               ["https://a", "https://a/", "https://a", 1, "http://a", "https://a?b=c", ""]"#
        ),
        &[
            "protected_resource.authorization_servers[2]: repeated text, expected each once",
            "protected_resource.authorization_servers[3]: got a number, expected a URI as text",
            "protected_resource.authorization_servers[4]: invalid URI: got http://, expected \
             https:// (http:// only on loopback)",
            "protected_resource.authorization_servers[5]: invalid URI: got a query, expected none",
            "protected_resource.authorization_servers[6]: got empty text, expected a URI as text",
        ],
    );
    check_resource(
        &format!(r#""resource": "https://a.example/{}", {SERVERS}"#, "a".repeat(2048)),
        &["protected_resource.resource: invalid URI: got 2066 bytes, expected at most 2048"],
    );
}

#[test]
fn what_the_metadata_says_besides() {
    let scope = "got space at 2, expected one scope in its characters (RFC 6749 §3.3): each scope is an \
                 element of its own";
    check_resource(
        &format!(
            r#"{RESOURCE}, {SERVERS}, "scopes_supported": ["a", "b c", "", "a", 1],
               "resource_name": "", "resource_documentation": "docs.example""#
        ),
        &[
            &format!("protected_resource.scopes_supported[1]: {scope}"),
            "protected_resource.scopes_supported[2]: got empty text, expected a scope as text",
            "protected_resource.scopes_supported[3]: repeated text, expected each once",
            "protected_resource.scopes_supported[4]: got a number, expected a scope as text",
            "protected_resource.resource_name: got empty text, expected at least one character",
            "protected_resource.resource_documentation: invalid URI: got no http:// or https:// at \
             the start, expected an absolute URI",
        ],
    );
    check_resource(
        &format!(
            r#"{RESOURCE}, {SERVERS}, "scopes_supported": [], "resource_name": "a\u0007",
               "resource_documentation": "https://a.example/#f""#
        ),
        &[
            "protected_resource.scopes_supported: got 0 elements, expected 1 to 64",
            "protected_resource.resource_name: got control character U+0007 at 2, expected no \
             control characters",
            "protected_resource.resource_documentation: invalid URI: got a fragment, expected only \
             path and query",
        ],
    );
    check_resource(
        &format!(r#"{RESOURCE}, {SERVERS}, "resource_name": "{}""#, "a".repeat(257)),
        &["protected_resource.resource_name: got 257 bytes, expected at most 256"],
    );
    let long = "a".repeat(257);
    check_resource(
        &format!(r#"{RESOURCE}, {SERVERS}, "scopes_supported": ["{long}"]"#),
        &["protected_resource.scopes_supported[0]: got 257 bytes, expected at most 256"],
    );
}
