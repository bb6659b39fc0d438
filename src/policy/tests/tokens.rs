//! What the keys about introspection, issuers and JWTs are refused with.

use super::*;

const CLIENT: &str = r#""client_id": "gateway", "client_secret": "s""#;

/// Members beside introspection in which nothing is wrong.
#[track_caller]
fn check_asked(members: &str, expected: &[&str]) {
    check_whole(
        &format!(
            r#"{{"introspection_endpoint": {{"defaultURI": "https://idp.example/i"}},
                 "introspection_client": {{{CLIENT}}}, {members}}}"#
        ),
        expected,
    );
}

#[track_caller]
fn check_client(client: &str, expected: &[&str]) {
    check_whole(
        &format!(
            r#"{{"introspection_endpoint": {{"defaultURI": "https://idp.example/i"}},
                 "introspection_client": {client}}}"#
        ),
        expected,
    );
}

#[track_caller]
fn check_issuers(issuers: &str, expected: &[&str]) {
    check_endpoint(&format!(r#""issuers": {{{issuers}}}"#), expected);
}

#[test]
fn wrong_types() {
    let sites = "an endpoint URI as text, or an array of them";
    check_kinds(
        "",
        &[
            ("introspection_endpoint.regionCodeHeader", "the name of a request header", "nbdao"),
            ("introspection_endpoint.regionCodeValue", "an object", "nbdta"),
            ("introspection_endpoint.regionCodeValue.FR", sites, "nbdo"),
            ("introspection_endpoint.defaultURI", sites, "nbdo"),
            ("introspection_endpoint.issuers", "an object", "nbdta"),
            ("userinfo_endpoint.issuers", "an object", "nbdta"),
            ("userinfo_endpoint.issuers.i", "an object", "nbdta"),
            ("userinfo_endpoint.issuers.i.name", "a short name as text", "nbdao"),
            ("userinfo_endpoint.issuers.i.uri", sites, "nbdo"),
            ("userinfo_jwt", r#""refuse" or "trust_tls""#, "nbdao"),
        ],
    );
    check_kinds(
        r#""userinfo_endpoint": {"defaultURI": "https://idp.example/u"}"#,
        &[("unknown_issuer", r#""reject" or "default""#, "nbdao")],
    );
    let methods = r#""client_secret_basic" or "client_secret_post" or "none""#;
    let variable = "the name of an environment variable";
    check_kinds(
        r#""introspection_endpoint": {"defaultURI": "https://idp.example/i"}"#,
        &[
            ("introspection_client", "an object", "nbdta"),
            // A client with nothing but an object in it is a client by region.
            ("introspection_client.client_id", "text", "nbda"),
            ("introspection_client.client_secret", "text", "nbda"),
            ("introspection_client.client_secret_env", variable, "nbda"),
            ("introspection_client.auth_method", methods, "nbda"),
            ("introspection_client.default.client_id", "text", "nbdao"),
            ("introspection_client.default.client_secret", "text", "nbdao"),
            ("introspection_client.default.client_secret_env", variable, "nbdao"),
            ("introspection_client.default.auth_method", methods, "nbdao"),
        ],
    );
}

#[test]
fn an_introspection_endpoint_that_is_none() {
    for (value, found) in
        [("null", "null"), (r#""https://a.example/i""#, "text"), ("[]", "an array")]
    {
        let config = format!(
            r#"{{"introspection_endpoint": {value}, "introspection_client": {{{CLIENT}}}}}"#
        );
        check_whole(
            &config,
            &[&format!(
                "introspection_endpoint: got {found}, expected an object with defaultURI or issuers"
            )],
        );
    }
    for (endpoint, found) in [("", "missing"), (r#""defaultURI": """#, "got empty text")] {
        check_whole(
            &format!(
                r#"{{"introspection_endpoint": {{{endpoint}}}, "introspection_client": {{{CLIENT}}}}}"#
            ),
            &[&format!("introspection_endpoint.defaultURI: {found}, expected an endpoint URI")],
        );
    }
    check_whole(
        &format!(
            r#"{{"introspection_endpoint": {{"defaultURI": "idp.example", "region": "x-r"}},
                 "introspection_client": {{{CLIENT}}}}}"#
        ),
        &[
            "introspection_endpoint.defaultURI: invalid endpoint URI: got no http:// or https:// at \
             the start, expected an absolute URI",
            "introspection_endpoint.region: unknown key, expected one of regionCodeHeader, \
             regionCodeValue, issuers, defaultURI",
        ],
    );
}

#[test]
fn one_way_of_validating_tokens() {
    let one_way = "introspection_endpoint: got introspection_endpoint together with \
                   userinfo_endpoint, expected one of the two: an instance validates tokens in one \
                   way";
    check(
        &format!(
            r#""introspection_endpoint": {{"defaultURI": "https://idp.example/i"}},
               "introspection_client": {{{CLIENT}}}"#
        ),
        &[one_way],
    );
    check(
        &format!(r#""introspection_client": {{{CLIENT}}}"#),
        &[
            "introspection_client: got introspection_client without introspection_endpoint, expected \
           both together",
        ],
    );
    check_whole(
        r#"{"introspection_endpoint": {"defaultURI": "https://idp.example/i"}}"#,
        &["introspection_client: missing, expected the client as which the gateway asks at \
           introspection_endpoint"],
    );
    let alone = "got a value with introspection_endpoint, expected it absent: it is about UserInfo \
                 alone";
    for (key, values) in
        [("userinfo_method", ["GET", "POST"]), ("userinfo_jwt", ["refuse", "trust_tls"])]
    {
        for value in values {
            check_asked(&format!(r#""{key}": "{value}""#), &[&format!("{key}: {alone}")]);
        }
    }
    for value in ["true", "false"] {
        check_asked(
            &format!(r#""accept_any_200": {value}"#),
            &["accept_any_200: got a value with introspection_endpoint, expected it absent: only \
               \"active\": true vouches there"],
        );
    }
    for name in ["content-type", "Content_Type", "CONTENT.TYPE"] {
        let name = name.to_owned();
        let place =
            if name.contains(['-', '.']) { format!("[\"{name}\"]") } else { format!(".{name}") };
        check_asked(
            &format!(r#""userinfo_headers": {{"X-A": "a", "{name}": "text/plain"}}"#),
            &[&format!(
                "userinfo_headers{place}: got a reserved header name with introspection_endpoint, expected another one: the call \
                 has a form for a body"
            )],
        );
    }
    check_asked(r#""http_proxy_server": "squid", "http_proxy_port": 3128"#, &[]);
}

#[test]
fn a_proxy_needs_https_for_introspection_and_issuers_too() {
    let connect = "got http:// together with http_proxy_server, expected https://: Envoy supports a \
                   proxy only with CONNECT";
    let proxy = r#""http_proxy_server": "squid", "http_proxy_port": 3128"#;
    check_whole(
        &format!(
            r#"{{"introspection_endpoint": {{"defaultURI": "http://idp.example/i"}},
                 "introspection_client": {{{CLIENT}}}, {proxy}}}"#
        ),
        &[&format!("introspection_endpoint.defaultURI: {connect}")],
    );
    check_whole(
        &format!(
            r#"{{"userinfo_endpoint": {{"issuers": {{
                 "i": {{"name": "a", "uri": ["https://a.example/u", "http://b.example/u"]}}}}}}, {proxy}}}"#
        ),
        &[&format!("userinfo_endpoint.issuers.i.uri[1]: {connect}")],
    );
}

#[test]
fn clients() {
    check_client(
        "{}",
        &[
            "introspection_client.client_id: missing, expected text",
            "introspection_client.client_secret_env: missing, expected the name of the environment \
             variable with the secret",
        ],
    );
    let long = |key: &str, bytes: usize| format!(r#""{key}": "{}""#, "a".repeat(bytes));
    check_client(
        &format!("{{{}, {}}}", long("client_id", 1025), long("client_secret", 4097)),
        &[
            "introspection_client.client_id: got 1025 bytes, expected at most 1024",
            "introspection_client.client_secret: got 4097 bytes, expected at most 4096",
        ],
    );
    check_client(&format!("{{{}, {}}}", long("client_id", 1024), long("client_secret", 4096)), &[]);
    check_client(
        r#"{"client_id": "a\tb", "client_secret": ""}"#,
        &[
            "introspection_client.client_id: got tab at 2, expected no control characters",
            "introspection_client.client_secret: got empty text, expected at least one character",
        ],
    );
    let name = "introspection_client.client_secret_env: got no name of a variable, expected a letter or _, \
                then letters, digits and _, at most 128";
    for variable in ["", "1A", "A-B", "A B", "é", "$A", &"A".repeat(129)] {
        check_client(
            &format!(r#"{{"client_id": "g", "client_secret_env": "{variable}"}}"#),
            &[name],
        );
    }
    for variable in ["A", "_", "a_1", &"A".repeat(128)] {
        check_client(&format!(r#"{{"client_id": "g", "client_secret_env": "{variable}"}}"#), &[]);
    }
    check_client(
        &format!(r#"{{{CLIENT}, "auth_method": "Client_Secret_Basic", "scopes": ["a"]}}"#),
        &[
            "introspection_client.auth_method: got \"Client_Secret_Basic\", expected \
             \"client_secret_basic\" or \"client_secret_post\" or \"none\" (case-sensitive)",
            "introspection_client.scopes: unknown key, expected one of client_id, \
             client_secret_env, client_secret, auth_method",
        ],
    );
    check_client(
        r#"{"client_id": "g", "client_secret_env": "S", "auth_method": "none"}"#,
        &[
            "introspection_client.client_secret_env: got a secret with auth_method \"none\", expected \
           no secret: remove it, or choose client_secret_basic or client_secret_post",
        ],
    );
}

/// One client, or one for each endpoint: never some of both.
#[test]
fn clients_by_region() {
    check_client(&format!(r#"{{"default": {{{CLIENT}}}}}"#), &[]);
    check_client(
        &format!(r#"{{"default": {{{CLIENT}, "secret": "s"}}}}"#),
        &["introspection_client.default.secret: unknown key, expected one of client_id, \
           client_secret_env, client_secret, auth_method"],
    );
    check_client(
        r#"{"default": {}}"#,
        &[
            "introspection_client.default.client_id: missing, expected text",
            "introspection_client.default.client_secret_env: missing, expected the name of the \
             environment variable with the secret",
        ],
    );
    check_whole(
        &format!(
            r#"{{"introspection_endpoint": {{"issuers": {{
                 "https://a.example": {{"name": "a", "uri": "https://a.example/i"}},
                 "https://b.example": {{"name": "b", "uri": "https://b.example/i"}}}}}},
                 "introspection_client": {{"a": {{{CLIENT}}}, "default": {{{CLIENT}}}}}}}"#
        ),
        &[
            "introspection_client: got no client for \"b\", expected one for each endpoint: a secret \
             must not go to another provider",
            "introspection_client.default: unknown region, expected one of \"a\", \"b\"",
        ],
    );
}

#[test]
fn issuers() {
    check_issuers("", &["userinfo_endpoint.issuers: got 0 issuers, expected 1 to 10"]);
    let of = |n: usize| format!(r#""i{n}": {{"name": "n{n}", "uri": "https://a.example/u"}}"#);
    let some = |count: usize| (0..count).map(of).collect::<Vec<_>>().join(",");
    check_issuers(&some(10), &[]);
    check_issuers(&some(11), &["userinfo_endpoint.issuers: got 11 issuers, expected 1 to 10"]);
    check_issuers(
        r#""": {"name": "a", "uri": "https://a.example/u"}"#,
        &[r#"userinfo_endpoint.issuers[""]: got an issuer of 0 bytes, expected 1 to 2048 bytes"#],
    );
    let problems = |issuers: &str| {
        let config = format!(r#"{{"userinfo_endpoint": {{"issuers": {{{issuers}}}}}}}"#);
        lines(&read(config.as_bytes()).unwrap_err())
    };
    let long = problems(&format!(
        r#""{}": {{"name": "a", "uri": "https://a.example/u"}}"#,
        "i".repeat(2049)
    ));
    assert!(
        long[0].ends_with(": got an issuer of 2049 bytes, expected 1 to 2048 bytes"),
        "{long:?}"
    );
    check_issuers(
        r#""i": {}"#,
        &[
            "userinfo_endpoint.issuers.i.name: missing, expected a short name",
            "userinfo_endpoint.issuers.i.uri: missing, expected an endpoint URI",
        ],
    );
    for name in ["", "A", "a b", "a.b", "é", &"a".repeat(33)] {
        check_issuers(
            &format!(r#""i": {{"name": "{name}", "uri": "https://a.example/u"}}"#),
            &[&format!(
                "userinfo_endpoint.issuers.i.name: got {}, expected 1 to 32 of a-z, 0-9, _ and -",
                crate::config::problem::quoted(name)
            )],
        );
    }
    check_issuers(
        r#""i": {"name": "default", "uri": "https://a.example/u"},
           "j": {"name": "a", "uri": "https://a.example/u"},
           "k": {"name": "a", "uri": [], "client": "c"}"#,
        &[
            "userinfo_endpoint.issuers.i.name: got default, expected another name: it is reserved \
             for defaultURI",
            "userinfo_endpoint.issuers.k.name: got a repeated name, expected each name once",
            "userinfo_endpoint.issuers.k.uri: got 0 endpoint URIs, expected 1 to 5",
            "userinfo_endpoint.issuers.k.client: unknown key, expected one of name, uri",
        ],
    );
    check_issuers(
        r#""i": {"name": "a", "uri": "https://a.example/u"},
           "i": {"name": "b", "uri": "https://a.example/u"}"#,
        &["userinfo_endpoint.issuers.i: repeated key, expected each key once"],
    );
}

#[test]
fn issuers_beside_other_keys() {
    let issuer = r#""issuers": {"i": {"name": "a", "uri": "https://a.example/u"}}"#;
    check_endpoint(
        &format!(
            r#"{issuer}, "regionCodeHeader": "x-region",
               "regionCodeValue": {{"FR": "https://fr.example/u"}}"#
        ),
        &["userinfo_endpoint.regionCodeHeader: got regionCodeHeader together with issuers, \
             expected one of the two: either the client or the token chooses the provider"],
    );
    check(
        r#""unknown_issuer": "reject""#,
        &["unknown_issuer: got unknown_issuer without issuers, expected both together: without \
           issuers nothing reads the issuer of a token"],
    );
    check_whole(
        &format!(r#"{{"userinfo_endpoint": {{{issuer}}}, "unknown_issuer": "Default"}}"#),
        &[r#"unknown_issuer: got "Default", expected "reject" or "default" (case-sensitive)"#],
    );
    check_whole(
        &format!(
            r#"{{"userinfo_endpoint": {{{issuer}}},
                 "inject_headers": {{"b": {{"X-A": "$.sub"}}, "a": {{"X-A": "$.sub"}}}}}}"#
        ),
        &[
            r#"inject_headers.b: unknown region, expected one of "default", "a" (a header as an object has a path)"#,
        ],
    );
}

#[test]
fn jwts_are_trusted_over_tls_alone() {
    let wrong = "userinfo_jwt: got \"trust_tls\" with an http:// endpoint, expected https:// for \
                 every endpoint: without TLS nothing protects the response";
    for endpoint in [
        r#""defaultURI": "http://a.example/u""#,
        r#""defaultURI": ["https://a.example/u", "http://b.example/u"]"#,
        r#""defaultURI": "https://a.example/u", "regionCodeHeader": "x-r",
           "regionCodeValue": {"FR": "http://fr.example/u"}"#,
        r#""issuers": {"i": {"name": "a", "uri": "http://a.example/u"}}"#,
    ] {
        let config = |jwt: &str| {
            format!(r#"{{"userinfo_endpoint": {{{endpoint}}}, "userinfo_jwt": "{jwt}"}}"#)
        };
        check_whole(&config("trust_tls"), &[wrong]);
        check_whole(&config("refuse"), &[]);
    }
    check(
        r#""userinfo_jwt": "Refuse""#,
        &[r#"userinfo_jwt: got "Refuse", expected "refuse" or "trust_tls" (case-sensitive)"#],
    );
}

/// Without a client there is no way to validate a token; what other rooms find is told all the same.
#[test]
fn missing_client_hides_no_other_problem() {
    check_whole(
        r#"{"introspection_endpoint": {"defaultURI": "https://idp.example/i"},
            "cache": {"ttl": 5}, "max_token_bytes": 0, "access_log_state": 1}"#,
        &[
            "cache.ttl: got a number, expected a duration as text, 0s to 1h",
            "max_token_bytes: got 0, expected a whole number from 1 to 65536",
            "access_log_state: got a number, expected true or false",
            "introspection_client: missing, expected the client as which the gateway asks at \
             introspection_endpoint",
        ],
    );
}
