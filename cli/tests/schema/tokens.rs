//! Whole configurations of introspection, issuers, rules about the user, optional credentials and the
//! metadata of the resource, judged by both; and what a schema cannot say of them.

use serde_json::Value;

use super::{base, introspecting, reads, validator, verdict};

/// A configuration with these members.
fn added(mut configuration: Value, members: &str) -> Value {
    let members: Value = serde_json::from_str(&format!("{{{members}}}")).unwrap();
    configuration.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    configuration
}

/// UserInfo with these members.
fn with(members: &str) -> Value {
    added(base(), members)
}

/// Introspection with these members.
fn asked(members: &str) -> Value {
    added(introspecting(), members)
}

fn client(members: &str) -> Value {
    asked(&format!(r#""introspection_client": {{{members}}}"#))
}

fn issuers(members: &str) -> Value {
    with(&format!(r#""userinfo_endpoint": {{"issuers": {{{members}}}}}"#))
}

fn resource(members: &str) -> Value {
    with(&format!(r#""protected_resource": {{{members}}}"#))
}

/// So many texts.
fn texts(count: usize) -> String {
    (0..count).map(|n| format!(r#""t{n}""#)).collect::<Vec<_>>().join(",")
}

const SERVERS: &str = r#""authorization_servers": ["https://idp.example"]"#;
const ISSUER: &str = r#""https://a.example": {"name": "a", "uri": "https://a.example/u"}"#;
const SECRET: &str = r#""client_id": "g", "client_secret_env": "S""#;

#[test]
fn accepted() {
    let issuer = |n| format!(r#""i{n}": {{"name": "n{n}", "uri": "https://a.example/u"}}"#);
    let ten: Vec<String> = (0..10).map(issuer).collect();
    let accepted = [
        introspecting(),
        client(r#""client_id": "g", "client_secret": "s", "auth_method": "client_secret_post""#),
        client(r#""client_id": "g", "auth_method": "none""#),
        client(&format!(r#""default": {{{SECRET}}}"#)),
        asked(&format!(
            r#""introspection_endpoint": {{"defaultURI": "https://a.example/", "regionCodeHeader":
               "x-r", "regionCodeValue": {{"A": ["https://a.example/", "http://b.example/"]}}}},
               "introspection_client": {{"A": {{{SECRET}}}, "default": {{{SECRET}}}}}"#
        )),
        asked(&format!(
            r#""introspection_endpoint": {{"issuers": {{{ISSUER}}}}},
               "introspection_client": {{"a": {{{SECRET}}}}}, "unknown_issuer": "reject""#
        )),
        asked(r#""require_subject": "$.username", "userinfo_headers": {"content-types": "a"}"#),
        asked(r#""http_proxy_server": "squid", "http_proxy_port": 3128"#),
        with(r#""userinfo_headers": {"content-type": "text/plain"}"#),
        with(r#""userinfo_jwt": "trust_tls""#),
        issuers(ISSUER),
        issuers(&ten.join(",")),
        with(&format!(
            r#""userinfo_jwt": "trust_tls", "unknown_issuer": "default", "userinfo_endpoint":
               {{"defaultURI": ["https://a.example/u", "HTTPS://b.example/u"],
                 "issuers": {{{ISSUER}}}}}"#
        )),
        with(&format!(
            r#""userinfo_endpoint": {{"issuers": {{{ISSUER}}}}},
               "inject_headers": {{"a": {{"X-A": "$.sub"}}}}"#
        )),
        with(&format!(
            r#""require_scope": [{}], "require_audience": ["a b", "é"], "require_issuer": ["i"]"#,
            texts(32)
        )),
        with(
            r#""require_claims": {"$.a": "", "b[0]": 1.50, "$.c": true, "$..d": ["x", 1, false]}"#,
        ),
        with(r#""require_claims": {"$.a": {"any": [1, 1], "of": "token"}, "$.b": {"any": [""]}}"#),
        with(
            r#""inject_headers": {"default": {
               "X-A": {"path": "$.a", "list": true, "encode": "percent", "of": "token"},
               "X-B": {"path": "$.a", "list": false, "join": ",", "encode": "base64url"},
               "X-C": {"path": "$.a", "required": true, "of": "response"}}}"#,
        ),
        with(r#""filter_state": {"user": {"path": "$.sub", "of": "token", "list": true}}"#),
        with(r#""credentials": "required""#),
        with(r#""credentials": "optional", "anonymous_header": "X-Anonymous""#),
        resource(&format!(r#""resource": "https://a.example:8443/mcp/%20;a=b", {SERVERS}"#)),
        resource(&format!(r#""resource": "http://localhost:8080", {SERVERS}"#)),
        resource(&format!(r#""resource": "http://127.255.0.1/", {SERVERS}"#)),
        resource(&format!(r#""resource": "http://[::1]:80/a", {SERVERS}"#)),
        resource(
            r#""resource": "HTTPS://A.example", "authorization_servers":
               ["https://idp.example", "https://idp.example/", "http://LocalHost/realm"],
               "scopes_supported": ["a", "b:c"], "resource_name": "é",
               "resource_documentation": "https://docs.example""#,
        ),
    ];
    let validator = validator();
    for configuration in &accepted {
        assert!(verdict(&validator, configuration), "{configuration}");
    }
}

#[test]
fn introspection_and_issuers_refused() {
    let mut without_client = introspecting();
    without_client.as_object_mut().unwrap().remove("introspection_client");
    let mut without_default = introspecting();
    without_default["introspection_endpoint"] = serde_json::json!({});
    let issuer = |n| format!(r#""i{n}": {{"name": "n{n}", "uri": "https://a.example/u"}}"#);
    let eleven: Vec<String> = (0..11).map(issuer).collect();
    let refused = [
        with(r#""introspection_endpoint": {"defaultURI": "https://a.example/"}"#),
        with(&format!(
            r#""introspection_endpoint": {{"defaultURI": "https://a.example/"}},
               "introspection_client": {{{SECRET}}}"#
        )),
        with(&format!(r#""introspection_client": {{{SECRET}}}"#)),
        without_client,
        without_default,
        asked(r#""introspection_endpoint": "https://a.example/""#),
        asked(r#""introspection_endpoint": {"defaultURI": "ftp://a.example/"}"#),
        asked(r#""introspection_client": null"#),
        asked(r#""introspection_client": "g""#),
        client(""),
        client(r#""client_id": "g""#),
        client(r#""client_secret_env": "S""#),
        client(r#""client_id": 1, "client_secret": "s""#),
        client(r#""client_id": "", "client_secret": "s""#),
        client(r#""client_id": "g", "client_secret": """#),
        client(r#""client_id": "g", "client_secret": "a\nb""#),
        client(r#""client_id": "g", "client_secret": "s", "client_secret_env": "S""#),
        client(r#""client_id": "g", "client_secret_env": "1S""#),
        client(r#""client_id": "g", "client_secret_env": "A-B""#),
        client(r#""client_id": "g", "client_secret": "s", "auth_method": "none""#),
        client(r#""client_id": "g", "client_secret_env": "S", "auth_method": "none""#),
        client(r#""client_id": "g", "auth_method": "client_secret_basic""#),
        client(&format!(r#"{SECRET}, "auth_method": "private_key_jwt""#)),
        client(&format!(r#"{SECRET}, "scope": "a""#)),
        client(&format!(r#""default": {{{SECRET}, "scope": "a"}}"#)),
        client(&format!(r#""default": {{{SECRET}}}, "client_id": "g""#)),
        asked(r#""userinfo_method": "POST""#),
        asked(r#""userinfo_method": "GET""#),
        asked(r#""userinfo_jwt": "refuse""#),
        asked(r#""userinfo_jwt": "trust_tls""#),
        asked(r#""accept_any_200": true"#),
        asked(r#""accept_any_200": false"#),
        asked(r#""userinfo_headers": {"Content-Type": "text/plain"}"#),
        asked(r#""userinfo_headers": {"CONTENT_TYPE": "text/plain"}"#),
        asked(
            r#""introspection_endpoint": {"defaultURI": "http://a.example/"},
               "http_proxy_server": "squid", "http_proxy_port": 3128"#,
        ),
        with(r#""userinfo_jwt": "trust""#),
        with(
            r#""userinfo_jwt": "trust_tls", "userinfo_endpoint": {"defaultURI": "http://a.example/"}"#,
        ),
        with(
            r#""userinfo_jwt": "trust_tls", "userinfo_endpoint": {"issuers":
               {"i": {"name": "a", "uri": ["https://a.example/", "http://b.example/"]}}}"#,
        ),
        with(
            r#""userinfo_jwt": "trust_tls", "userinfo_endpoint": {"defaultURI": "https://a.example/",
               "regionCodeHeader": "x-r", "regionCodeValue": {"A": "http://a.example/"}}"#,
        ),
        with(
            r#""http_proxy_server": "squid", "http_proxy_port": 3128, "userinfo_endpoint":
               {"issuers": {"i": {"name": "a", "uri": "http://b.example/"}}}"#,
        ),
        with(r#""unknown_issuer": "reject""#),
        with(&format!(
            r#""unknown_issuer": "ask", "userinfo_endpoint": {{"issuers": {{{ISSUER}}}}}"#
        )),
        with(&format!(
            r#""userinfo_endpoint": {{"issuers": {{{ISSUER}}}, "regionCodeHeader": "x-r",
               "regionCodeValue": {{"A": "https://a.example/"}}}}"#
        )),
        issuers(""),
        issuers(&eleven.join(",")),
        issuers(r#""": {"name": "a", "uri": "https://a.example/u"}"#),
        issuers(r#""i": "https://a.example/u""#),
        issuers(r#""i": {"name": "a"}"#),
        issuers(r#""i": {"uri": "https://a.example/u"}"#),
        issuers(r#""i": {"name": "A", "uri": "https://a.example/u"}"#),
        issuers(r#""i": {"name": "", "uri": "https://a.example/u"}"#),
        issuers(r#""i": {"name": "default", "uri": "https://a.example/u"}"#),
        issuers(r#""i": {"name": "a", "uri": []}"#),
        issuers(r#""i": {"name": "a", "uri": "https://a.example/u", "client": "b"}"#),
        issuers(&format!(r#""i": {{"name": "{}", "uri": "https://a.example/u"}}"#, "a".repeat(33))),
        issuers(&format!(
            r#""{}": {{"name": "a", "uri": "https://a.example/u"}}"#,
            "i".repeat(2049)
        )),
    ];
    let validator = validator();
    for configuration in &refused {
        assert!(!verdict(&validator, configuration), "{configuration}");
    }
}

#[test]
fn rules_and_values_refused() {
    let rule = |members: &str| {
        with(&format!(r#""inject_headers": {{"default": {{"X-A": {{{members}}}}}}}"#))
    };
    let mut refused = vec![
        with(r#""require_claims": {}"#),
        with(r#""require_claims": []"#),
        with(r#""require_claims": {"": 1}"#),
        with(r#""require_claims": {"$.a": null}"#),
        with(r#""require_claims": {"$.a": []}"#),
        with(r#""require_claims": {"$.a": [null]}"#),
        with(r#""require_claims": {"$.a": [["a"]]}"#),
        with(r#""require_claims": {"$.a": {}}"#),
        with(r#""require_claims": {"$.a": {"any": []}}"#),
        with(r#""require_claims": {"$.a": {"any": "a"}}"#),
        with(r#""require_claims": {"$.a": {"any": [{}]}}"#),
        with(r#""require_claims": {"$.a": {"of": "token"}}"#),
        with(r#""require_claims": {"$.a": {"any": ["a"], "of": "id_token"}}"#),
        with(r#""require_claims": {"$.a": {"any": ["a"], "all": ["b"]}}"#),
        with(&format!(r#""require_claims": {{"{}": 1}}"#, "a".repeat(257))),
        with(r#""require_scope": ["a b"]"#),
        with(r#""require_scope": ["a\"b"]"#),
        with(r#""require_scope": ["a\\b"]"#),
        with(r#""require_scope": ["é"]"#),
        with(&format!(r#""require_scope": ["{}"]"#, "a".repeat(257))),
        with(&format!(r#""require_audience": ["{}"]"#, "a".repeat(2049))),
        with(&format!(r#""require_issuer": ["{}"]"#, "a".repeat(2049))),
        rule(r#""path": "$.a", "join": ",", "list": true"#),
        rule(r#""path": "$.a", "encode": "base64""#),
        rule(r#""path": "$.a", "encode": null"#),
        rule(r#""path": "$.a", "of": "id_token""#),
        rule(r#""path": "$.a", "required": "true""#),
        rule(r#""path": "$.a", "list": "true""#),
        rule(r#""required": true"#),
        with(r#""filter_state": {"a": {"path": "$.a", "join": ",", "list": true}}"#),
        with(r#""filter_state": {"a": {"path": "$.a", "encode": "hex"}}"#),
        with(r#""credentials": "none""#),
        with(r#""credentials": true"#),
        with(r#""anonymous_header": "X-Anonymous""#),
        with(r#""anonymous_header": "X-Anonymous", "credentials": "required""#),
        with(r#""anonymous_header": "X A", "credentials": "optional""#),
    ];
    for key in ["require_scope", "require_audience", "require_issuer"] {
        for wrong in ["null", r#""a""#, "[]", "[1]", r#"[""]"#, r#"["a", "a"]"#, "{}"] {
            refused.push(with(&format!(r#""{key}": {wrong}"#)));
        }
        refused.push(with(&format!(r#""{key}": [{}]"#, texts(33))));
    }
    let validator = validator();
    for configuration in &refused {
        assert!(!verdict(&validator, configuration), "{configuration}");
    }
}

#[test]
fn metadata_refused() {
    let validator = validator();
    let mut refused = vec![
        resource(""),
        resource(r#""resource": "https://a.example""#),
        resource(SERVERS),
        with(r#""protected_resource": "https://a.example""#),
        with(r#""protected_resource": null"#),
    ];
    let whole = |members: &str| resource(&format!(r#""resource": "https://a.example", {members}"#));
    for servers in ["[]", r#""https://a.example""#, "[1]", r#"["https://a", "https://a"]"#] {
        refused.push(whole(&format!(r#""authorization_servers": {servers}"#)));
    }
    for members in [
        r#""scopes_supported": []"#,
        r#""scopes_supported": "a""#,
        r#""scopes_supported": ["a b"]"#,
        r#""scopes_supported": [""]"#,
        r#""scopes_supported": ["a", "a"]"#,
        r#""resource_name": """#,
        r#""resource_name": "a\u0000""#,
        r#""resource_name": ["a"]"#,
        r#""resource_documentation": "docs.example""#,
        r#""bearer_methods_supported": ["header"]"#,
    ] {
        refused.push(whole(&format!("{SERVERS}, {members}")));
    }
    refused.push(whole(&format!(r#"{SERVERS}, "scopes_supported": [{}]"#, texts(65))));
    for uri in [
        "",
        "a.example",
        "ftp://a.example",
        "http://a.example",
        "http://localhost.example",
        "http://126.0.0.1",
        "http://127.0.0.256",
        "http://127.0.0.01",
        "http://127.0.0.1.example",
        "https://",
        "https://u@a.example",
        "https://a.example?a=b",
        "https://a.example/?",
        "https://a.example/#",
        "https://a.example#f",
        "https://a.example:/",
        "https://a.example/a b",
        "https://a.example/%2",
        "https://a.example/{a}",
        "https://a.example/é",
    ] {
        refused.push(resource(&format!(r#""resource": "{uri}", {SERVERS}"#)));
        refused.push(whole(&format!(r#""authorization_servers": ["{uri}"]"#)));
        refused.push(whole(&format!(r#"{SERVERS}, "resource_documentation": "{uri}""#)));
    }
    for configuration in &refused {
        assert!(!verdict(&validator, configuration), "{configuration}");
    }
}

/// Refused by the filter alone, and why a schema cannot refuse it.
#[test]
fn schema_cannot_express_these() {
    let validator = validator();
    for (configuration, why) in [
        (
            issuers(&format!(r#"{ISSUER}, "b": {{"name": "a", "uri": "https://b.example/u"}}"#)),
            "compares two values: names of issuers",
        ),
        (
            client(&format!(r#""default": {{{SECRET}}}, "FR": {{{SECRET}}}"#)),
            "looks names up in another place: regions",
        ),
        (
            asked(&format!(
                r#""introspection_endpoint": {{"defaultURI": "https://a.example/", "issuers":
                   {{{ISSUER}}}}}, "introspection_client": {{"default": {{{SECRET}}}}}"#
            )),
            "looks names up in another place: regions that have no client",
        ),
        (
            with(&format!(
                r#""userinfo_endpoint": {{"issuers": {{{ISSUER}}}}},
                   "inject_headers": {{"b": {{"X-A": "$.sub"}}}}"#
            )),
            "looks names up in another place: issuers",
        ),
        (with(r#""require_claims": {"$.a[": 1}"#), "the grammar of a JSONPath"),
        (
            with(r#""credentials": "optional", "anonymous_header": "cookie""#),
            "reserved names in every spelling",
        ),
        (
            with(r#""credentials": "optional", "anonymous_header": "X-A", "region_header": "x_a""#),
            "compares names in folded form",
        ),
        (
            resource(&format!(r#""resource": "https://a.example:70000", {SERVERS}"#)),
            "the value of a number within a text: ports",
        ),
        (
            client(&format!(r#""client_id": "{}", "auth_method": "none""#, "é".repeat(600))),
            "counts characters, not bytes",
        ),
        (
            with(&format!(r#""require_audience": ["{}"]"#, "é".repeat(1100))),
            "counts characters, not bytes",
        ),
    ] {
        assert!(validator.is_valid(&configuration), "the schema can say it: {why}");
        assert!(!reads(&configuration.to_string()), "nothing is wrong: {why}");
    }
}
