//! Refusals of the structure, as the lines that the user reads.

use super::*;

#[test]
fn the_contracts_own_example() {
    check_whole(
        r#"{"userinfo_endpoint": {"regionCodeHeader": "X-Region",
            "regionCodeValue": {"US": "https://us.example/u"}, "defaultURI": "https://d.example/u"},
            "inject_headers": {"US": {"X-User Email": "$.uid"}}}"#,
        &[r#"inject_headers.US["X-User Email"]: invalid header name: got space at 7"#],
    );
}

#[test]
fn everything_at_once_in_document_order() {
    check_whole(
        r#"{"timeout": "500us",
            "relm": "x",
            "userinfo_endpoint": {
                "defaultURI": "https://idp.example",
                "regionCodeValue": {"FR": "ftp://fr.example/u", "": "https://x.example/u"},
                "extra": 1},
            "inject_headers": {"FR": {"Host": "sub", "X-A": 5}, "UK": {"x-b": "sub"}},
            "block_authorization_header": "true",
            "timeout": "5s",
            "accept_any_200": true,
            "require_subject": true,
            "http_proxy_port": 0}"#,
        &[
            r#"timeout: got "500us", expected a whole number with its unit ms, s, m or h, 1ms to 30s"#,
            "relm: unknown key, did you mean realm?",
            "userinfo_endpoint.defaultURI: invalid endpoint URI: got no path, expected at least / \
             after the host",
            "userinfo_endpoint.regionCodeValue: got regionCodeValue without regionCodeHeader, expected both keys \
             or neither",
            "userinfo_endpoint.regionCodeValue.FR: invalid endpoint URI: got no http:// or \
             https:// at the start, expected an absolute URI",
            r#"userinfo_endpoint.regionCodeValue[""]: got an empty region code, expected at least one character"#,
            "userinfo_endpoint.extra: unknown key, expected one of regionCodeHeader, \
             regionCodeValue, issuers, defaultURI",
            "inject_headers.FR.Host: got a reserved header name, expected another one",
            r#"inject_headers.FR["X-A"]: got a number, expected a JSONPath as text, or an object with path"#,
            r#"inject_headers.UK: unknown region, expected one of "default", "FR", "" (a header as an object has a path)"#,
            "block_authorization_header: got text, expected true or false without quotation marks",
            "timeout: repeated key, expected each key once",
            "require_subject: got true together with accept_any_200, expected one of the two: a \
             response of any kind has no subject",
            "http_proxy_port: got http_proxy_port without http_proxy_server, expected both keys or neither",
            "http_proxy_port: got 0, expected a whole number from 1 to 65535",
        ],
    );
}

/// A fault alone loads; beside a problem it is one more line.
#[test]
fn faults_stand_among_the_problems() {
    check_whole(
        r#"{"userinfo_endpoint": {"defaultURI": ""}, "realm": 1}"#,
        &[
            "userinfo_endpoint.defaultURI: got empty text, expected an endpoint URI: requests \
             without a matching region are answered with DefaultUserInfoURINotPresent",
            "realm: got a number, expected text",
        ],
    );
}

/// The catalogue's row 172.
#[test]
fn repeated_keys_at_any_depth() {
    let repeated = "repeated key, expected each key once";
    check(r#""realm": "a", "realm": "b""#, &[&format!("realm: {repeated}")]);
    check(
        r#""realm": "a", "realm": 1, "realm": "a""#,
        &[&format!("realm: {repeated}"), &format!("realm: {repeated}")],
    );
    // An escape does not make another name of it.
    check(r#""realm": "a", "re\u0061lm": "b""#, &[&format!("realm: {repeated}")]);
    check_inject(
        r#""default": {"X-A": "a", "X-A": "b"}"#,
        &[&format!(r#"inject_headers.default["X-A"]: {repeated}"#)],
    );
    check(
        r#""userinfo_headers": {"X-A": "a", "X-A": "b"}"#,
        &[&format!(r#"userinfo_headers["X-A"]: {repeated}"#)],
    );
    check(
        r#""clusters": {"a.example": "a", "a.example": "a"}"#,
        &[&format!(r#"clusters["a.example"]: {repeated}"#)],
    );
    check(
        r#""enable_error_set": [1, {"a": 1, "a": 2}]"#,
        &[&format!("enable_error_set[1].a: {repeated}")],
    );
    check_endpoint(
        r#""defaultURI": "https://a.example/u", "defaultURI": "https://b.example/u""#,
        &[&format!("userinfo_endpoint.defaultURI: {repeated}")],
    );
    check_endpoint(
        r#""defaultURI": "https://a.example/u", "regionCodeHeader": "x-r",
           "regionCodeValue": {"FR": "https://a.example/u", "FR": "https://b.example/u"}"#,
        &[&format!("userinfo_endpoint.regionCodeValue.FR: {repeated}")],
    );
}

/// The catalogue's row 170.
#[test]
fn unknown_keys_at_any_depth() {
    check(r#""timeuot": "5s""#, &["timeuot: unknown key, did you mean timeout?"]);
    check(r#""Timeout": "5s""#, &["Timeout: unknown key, did you mean timeout?"]);
    check(
        r#""inject-headers": {}"#,
        &[r#"["inject-headers"]: unknown key, did you mean inject_headers?"#],
    );
    check(
        r#""userinfo_methods": "GET""#,
        &["userinfo_methods: unknown key, did you mean userinfo_method?"],
    );
    // Letter case and hyphens are no slips of their own.
    for key in ["BLOCK_AUTHORIZATION_HEADER", "block-authorisation-headr"] {
        let problems = read(with(&format!(r#""{key}": true"#)).as_bytes()).unwrap_err();
        let message = "unknown key, did you mean block_authorization_header?";
        assert_eq!(problems[0].message, message, "{key}");
    }
    check_endpoint(
        r#""defaultURI": "https://a.example/u", "regoinCodeHeader": "x""#,
        &["userinfo_endpoint.regoinCodeHeader: unknown key, did you mean regionCodeHeader?"],
    );
    check(
        r#""error_set": {"status": 403}"#,
        &["error_set.status: unknown key, expected one of code, detail_header, response_body, \
             content_type"],
    );
    check(
        r#""userinfo_unavailable": {"retry-after": "5s"}"#,
        &[r#"userinfo_unavailable["retry-after"]: unknown key, did you mean retry_after?"#],
    );
    check_inject(
        r#""default": {"X-A": {"path": "sub", "joined": ","}}"#,
        &[
            r#"inject_headers.default["X-A"].joined: unknown key, expected one of path, join, list, encode, of, required"#,
        ],
    );
    let names = crate::config::shape::names_of(crate::policy::ROOMS);
    check_whole(
        &with(r#""regoins": {}"#),
        &[&format!("regoins: unknown key, expected one of {}", names.join(", "))],
    );
    check_whole(
        &with(r#""defaultURI": "https://a.example/u""#),
        &["defaultURI: unknown key, move it into userinfo_endpoint"],
    );
    check(
        r#""cache": {"entries": 5}"#,
        &["cache.entries: unknown key, expected one of ttl, negative_ttl, stale_if_error, \
             max_entries, max_bytes, honor_no_store, shared"],
    );
}

#[test]
fn paths_are_escaped_and_shortened() {
    let line = |path: &str| format!("{path}: got null, expected the name of a cluster as text");
    for (written, shown) in [
        ("a\\n\\u0000b", r#"clusters["a\n\u0000b"]"#.to_owned()),
        ("\\u202e", r#"clusters["\u202e"]"#.to_owned()),
        ("\\\"]", r#"clusters["\"]"]"#.to_owned()),
        ("o'b", r#"clusters["o'b"]"#.to_owned()),
        ("é", r#"clusters["é"]"#.to_owned()),
        ("1", r#"clusters["1"]"#.to_owned()),
        ("", r#"clusters[""]"#.to_owned()),
        (&"x".repeat(48), format!("clusters.{}", "x".repeat(48))),
        (&"x".repeat(49), format!(r#"clusters["{}…"]"#, "x".repeat(48))),
    ] {
        check(&format!(r#""clusters": {{"{written}": null}}"#), &[&line(&shown)]);
    }
}

/// The catalogue's row 179.
#[test]
fn regions() {
    let uri = "https://idp.example/u";
    let region_map = |codes: &str| {
        format!(
            r#""defaultURI": "{uri}", "regionCodeHeader": "x-region", "regionCodeValue": {{{codes}}}"#
        )
    };
    let path = "userinfo_endpoint.regionCodeValue";
    let codes: Vec<String> = (0..11).map(|n| format!(r#""R{n}": "{uri}""#)).collect();
    check_endpoint(
        &region_map(&codes.join(",")),
        &[&format!("{path}: got 11 regions, expected 1 to 10")],
    );
    check_endpoint(&region_map(""), &[&format!("{path}: got 0 regions, expected 1 to 10")]);
    for (code, shown, wrong) in [
        ("", r#"[""]"#, "got an empty region code, expected at least one character"),
        (
            "default",
            ".default",
            "got region code default, expected another one: it is reserved for \
             defaultURI",
        ),
        (
            " FR",
            r#"[" FR"]"#,
            "got a region code with white space at the start or end, expected none",
        ),
        (
            "FR\\t",
            r#"["FR\t"]"#,
            "got a region code with white space at the start or end, expected none",
        ),
        (" ", r#"[" "]"#, "got a region code with white space at the start or end, expected none"),
        (
            "F\\u0000R",
            r#"["F\u0000R"]"#,
            "got a region code with control character U+0000 at 2, expected no control \
             characters",
        ),
    ] {
        check_endpoint(
            &region_map(&format!(r#""{code}": "{uri}""#)),
            &[&format!("{path}{shown}: {wrong}")],
        );
    }
    check_endpoint(
        &region_map(&format!(r#""{}": "{uri}""#, "x".repeat(257))),
        &[&format!(
            r#"{path}["{}…"]: got a region code of 257 bytes, expected at most 256"#,
            "x".repeat(48)
        )],
    );
    check_endpoint(
        &region_map(&format!(r#""FR": "{uri}", "fr": "{uri}""#)),
        &[&format!(
            r#"{path}.fr: got a region code that differs from "FR" only in letter case, expected distinct codes"#
        )],
    );
    check_endpoint(
        &region_map(r#""FR": 1, "US": """#),
        &[
            &format!(
                "{path}.FR: got a number, expected an endpoint URI as text, or an array of them"
            ),
            &format!(
                "{path}.US: invalid endpoint URI: got no http:// or https:// at the start, \
                 expected an absolute URI"
            ),
        ],
    );
    check_endpoint(
        &format!(r#""defaultURI": "{uri}", "regionCodeHeader": "x-region""#),
        &[
            "userinfo_endpoint.regionCodeHeader: got regionCodeHeader without regionCodeValue, expected both keys \
             or neither",
        ],
    );
    check_endpoint(
        &format!(r#""defaultURI": "{uri}", "regionCodeValue": {{"FR": "{uri}"}}"#),
        &[
            "userinfo_endpoint.regionCodeValue: got regionCodeValue without regionCodeHeader, expected both keys \
             or neither",
        ],
    );
}

#[test]
fn the_header_that_carries_the_region() {
    for (name, wrong) in [
        ("", "invalid header name: got empty text"),
        ("x region", "invalid header name: got space at 2"),
        ("Authorization", r#""authorization" cannot carry the region"#),
        ("host", r#""host" cannot carry the region"#),
        ("Connection", r#""connection" cannot carry the region"#),
        ("Proxy-Authorization", r#""proxy-authorization" cannot carry the region"#),
        (":authority", "a pseudo-header cannot carry the region"),
    ] {
        check_endpoint(
            &format!(
                r#""defaultURI": "https://a.example/u", "regionCodeHeader": "{name}",
                   "regionCodeValue": {{"FR": "https://a.example/u"}}"#
            ),
            &[&format!("userinfo_endpoint.regionCodeHeader: {wrong}")],
        );
    }
}

/// The catalogue's row 181.
#[test]
fn clusters() {
    for (name, wrong) in [
        ("", "got empty text, expected at least one character"),
        ("a\\nb", "got control character U+000A at 2, expected no control characters"),
        (&"c".repeat(1025), "got 1025 bytes, expected at most 1024"),
    ] {
        check(
            &format!(r#""clusters": {{"idp.example": "{name}"}}"#),
            &[&format!(r#"clusters["idp.example"]: {wrong}"#)],
        );
    }
}

#[test]
fn the_proxy() {
    check(
        r#""http_proxy_server": "squid.example.com""#,
        &[
            "http_proxy_server: got http_proxy_server without http_proxy_port, expected both keys or neither",
        ],
    );
    check(
        r#""http_proxy_port": 3128"#,
        &[
            "http_proxy_port: got http_proxy_port without http_proxy_server, expected both keys or neither",
        ],
    );
    for (server, wrong) in [
        ("", "got no host, expected a host name or an IP address"),
        (
            "http://squid",
            r#"got ":" in the host, expected only letters, digits, hyphen, dot and underscore"#,
        ),
        (
            "squid:3128",
            r#"got ":" in the host, expected only letters, digits, hyphen, dot and underscore"#,
        ),
        (
            "a b",
            "got space in the host, expected only letters, digits, hyphen, dot and \
          underscore",
        ),
        (
            "a\\nb",
            "got control character U+000A in the host, expected only letters, digits, hyphen, dot \
             and underscore",
        ),
    ] {
        check(
            &format!(r#""http_proxy_server": "{server}", "http_proxy_port": 3128"#),
            &[&format!("http_proxy_server: invalid host name: {wrong}")],
        );
    }
    let connect = "got http:// together with http_proxy_server, expected https://: Envoy supports \
                   a proxy only with CONNECT";
    check_whole(
        r#"{"http_proxy_server": "squid", "http_proxy_port": 3128,
            "userinfo_endpoint": {"regionCodeHeader": "x-r", "regionCodeValue": {
                "DE": "https://de.example/u", "FR": "http://fr.example/u"},
                "defaultURI": "http://idp.example/u"}}"#,
        &[
            &format!("userinfo_endpoint.regionCodeValue.FR: {connect}"),
            &format!("userinfo_endpoint.defaultURI: {connect}"),
        ],
    );
    // Half a proxy is one too.
    check_whole(
        r#"{"http_proxy_server": "squid", "userinfo_endpoint": {"defaultURI": "http://a.example/u"}}"#,
        &[
            "http_proxy_server: got http_proxy_server without http_proxy_port, expected both keys or neither",
            &format!("userinfo_endpoint.defaultURI: {connect}"),
        ],
    );
}

#[test]
fn any_200_and_a_subject_exclude_each_other() {
    check(
        r#""require_subject": true, "accept_any_200": true"#,
        &["require_subject: got true together with accept_any_200, expected one of the two: a \
           response of any kind has no subject"],
    );
}

/// No problem's text shows a secret of the configuration.
///
/// The catalogue's row 190.
#[test]
fn secrets_are_never_shown() {
    let secret = "s3cr3t-K3y";
    for config in [
        with(&format!(r#""userinfo_headers": {{"X-Api-Key": "{secret}\n"}}"#)),
        with(&format!(r#""userinfo_headers": {{"X-Api-Key": "{secret} "}}"#)),
        with(&format!(r#""userinfo_headers": {{"Bad Name": "{secret}", "bad name": "{secret}"}}"#)),
        with(&format!(r#""userinfo_headers": "{secret}""#)),
        with(&format!(r#""userinfo_headers": ["{secret}"]"#)),
        with(&format!(r#""error_set": "{secret}""#)),
        with(&format!(r#""no_such_key": "{secret}""#)),
        with(&format!(r#""realm": "{secret}\n""#)),
        with(&format!(r#""clusters": {{"idp.example": "{secret}\n"}}"#)),
        with(&format!(r#""block_authorization_header": "{secret}""#)),
        format!(r#"{{"userinfo_endpoint": {{"defaultURI": "https://u:{secret}@idp.example/u"}}}}"#),
        format!(r#"{{"userinfo_endpoint": {{"defaultURI": "https://u:{secret} @idp.example"}}}}"#),
        format!(
            r#"{{"userinfo_endpoint": {{"defaultURI": "https://idp.example/u?k={secret}#f"}}}}"#
        ),
        format!(r#"{{"userinfo_endpoint": "{secret}", "realm": 1}}"#),
        format!(r#"{{"userinfo_headers": {{"X-Api-Key": "{secret}" "x"}}}}"#),
        format!(r#"{{"userinfo_headers": {secret}}}"#),
    ] {
        let lines = lines(&read(config.as_bytes()).unwrap_err());
        assert!(!lines.is_empty());
        assert!(!lines.iter().any(|line| line.contains(secret)), "{lines:#?}");
    }
}

#[test]
fn names_for_other_filters_and_statistics() {
    let not = "invalid name, expected a-z, 0-9 and _, starting with a letter";
    for (name, place) in [
        ("", r#"filter_state[""]"#),
        ("User", "filter_state.User"),
        ("1user", r#"filter_state["1user"]"#),
        ("_user", "filter_state._user"),
        ("us.er", r#"filter_state["us.er"]"#),
        ("us-er", r#"filter_state["us-er"]"#),
        ("us er", r#"filter_state["us er"]"#),
        ("usér", r#"filter_state["usér"]"#),
    ] {
        let state = format!(r#""filter_state": {{"{name}": "$.sub"}}"#);
        check(&state, &[&format!("{place}: {not}")]);
        check(&format!(r#""stat_name": "{name}""#), &[&format!("stat_name: {not}")]);
    }
    let long = "x".repeat(65);
    check(
        &format!(r#""stat_name": "{long}""#),
        &["stat_name: got a name of 65 bytes, expected at most 64"],
    );
    check(&format!(r#""stat_name": "{}""#, "x".repeat(64)), &[]);
    check(
        r#""filter_state": {"oidc_outcome": "$.sub"}"#,
        &["filter_state.oidc_outcome: reserved name: the filter sets oidc_outcome itself"],
    );
    check(
        r#""filter_state": {"user": {"join": ","}}"#,
        &["filter_state.user.path: missing, expected a JSONPath"],
    );
}
