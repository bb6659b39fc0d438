//! Refused values: wrong kinds, numbers and durations out of range, words, URIs.

use super::*;

/// One endpoint URI and what is wrong with it.
#[track_caller]
fn check_uri(uri: &str, wrong: &str) {
    let line = format!("userinfo_endpoint.defaultURI: invalid endpoint URI: {wrong}");
    check_endpoint(&format!(r#""defaultURI": "{uri}""#), &[&line]);
}

/// Every key with each kind of value that it does not take.
///
/// The catalogue's row 171.
#[test]
fn wrong_types() {
    let object = "an object";
    let boolean = "true or false";
    let table = [
        ("inject_headers", object, "nbdta"),
        ("clusters", object, "nbdta"),
        ("userinfo_headers", object, "nbdta"),
        ("error_set", object, "nbdta"),
        ("cache", object, "nbdta"),
        ("cache.ttl", "a duration as text, 0s to 1h", "nbdao"),
        ("cache.negative_ttl", "a duration as text, 0s to 5m", "nbdao"),
        ("cache.max_entries", "a whole number from 0 to 1000000", "nbao"),
        ("cache.max_bytes", "a whole number from 0 to 67108864", "nbao"),
        ("cache.honor_no_store", boolean, "ndao"),
        ("cache.shared", boolean, "ndao"),
        ("userinfo_unavailable", object, "nbdta"),
        ("block_authorization_header", boolean, "ndao"),
        ("access_log_state", boolean, "ndao"),
        ("accept_any_200", boolean, "ndao"),
        ("require_subject", "true, false or a JSONPath as text", "ndao"),
        ("error_header_name", "the name of a response header", "nbdao"),
        ("error_payload_location", "a JSONPath as text", "nbdao"),
        ("userinfo_method", r#""GET" or "POST""#, "nbdao"),
        ("preflight", r#""authenticate" or "pass""#, "nbdao"),
        ("unknown_region", r#""default" or "reject""#, "nbdao"),
        ("provider_errors", r#""relay" or "map""#, "nbdao"),
        ("timeout", "a duration as text, 1ms to 30s", "nbdao"),
        ("region_header", "a header name as text", "nbdao"),
        ("realm", "text", "nbdao"),
        ("max_token_bytes", "a whole number from 1 to 65536", "nbao"),
        ("max_userinfo_bytes", "a whole number from 1 to 1048576", "nbao"),
        ("error_set.code", "a whole number from 400 to 599", "nbao"),
        ("error_set.detail_header", "text", "nbdao"),
        ("error_set.response_body", "text", "nbdao"),
        ("error_set.content_type", "text", "nbdao"),
        ("userinfo_unavailable.status", "401 or 503", "nbao"),
        ("clusters.a", "the name of a cluster as text", "nbdao"),
        ("userinfo_headers.a", "text", "nbdao"),
        ("inject_headers.a", "a JSONPath as text, or an object with path", "nbda"),
        ("userinfo_endpoint.regionCodeHeader", "the name of a request header", "nbdao"),
        ("userinfo_endpoint.regionCodeValue", object, "nbdta"),
        ("userinfo_endpoint.defaultURI", "an endpoint URI as text, or an array of them", "nbdo"),
        ("deadline", "a duration as text, 1ms to 60s", "nbdao"),
        ("breaker", object, "nbdta"),
        ("breaker.failures", "a whole number from 0 to 1000", "nbao"),
        ("breaker.open_for", "a duration as text, 100ms to 5m", "nbdao"),
        ("max_in_flight", "a whole number from 1 to 65536", "nbao"),
        ("filter_state", object, "nbdta"),
        ("filter_state.a", "a JSONPath as text, or an object with path", "nbda"),
        ("stat_name", "a name as text", "nbdao"),
        ("cache.stale_if_error", "a duration as text, 0s to 1h", "nbdao"),
    ];
    check_kinds("", &table);
}

/// Text where a number or a boolean belongs is the mistake of a templating tool.
///
/// The catalogue's row 171.
#[test]
fn quoted_numbers_and_booleans() {
    check(
        r#""max_token_bytes": "5""#,
        &["max_token_bytes: got text, expected a whole number from 1 to 65536 without quotation \
             marks"],
    );
    check(
        r#""accept_any_200": "false""#,
        &["accept_any_200: got text, expected true or false without quotation marks"],
    );
    check(
        r#""userinfo_unavailable": {"status": "503"}"#,
        &["userinfo_unavailable.status: got text, expected 401 or 503 without quotation marks"],
    );
    check(
        r#""http_proxy_server": "p", "http_proxy_port": "3128""#,
        &["http_proxy_port: got text, expected a whole number from 1 to 65535 without quotation \
             marks"],
    );
    check(
        r#""http_proxy_server": 1, "http_proxy_port": 1"#,
        &["http_proxy_server: got a number, expected a host name as text"],
    );
}

/// The catalogue's row 171.
#[test]
fn numbers_out_of_range() {
    for (key, range, values) in [
        (
            "max_token_bytes",
            "1 to 65536",
            ["0", "-1", "65537", "4294967297", "99999999999999999999"],
        ),
        ("max_userinfo_bytes", "1 to 1048576", ["0", "-5", "1048577", "4294967296", "-0"]),
    ] {
        for value in values {
            let line = format!("{key}: got {value}, expected a whole number from {range}");
            let problems = read(with(&format!(r#""{key}": {value}"#)).as_bytes()).unwrap_err();
            assert_eq!(lines(&problems), [line]);
        }
    }
    for code in [399, 600, 0, 200, 65_939] {
        check(
            &format!(r#""error_set": {{"code": {code}}}"#),
            &[&format!("error_set.code: got {code}, expected a whole number from 400 to 599")],
        );
    }
    for port in [65_536, -1, 70_000] {
        check(
            &format!(r#""http_proxy_server": "p", "http_proxy_port": {port}"#),
            &[&format!("http_proxy_port: got {port}, expected a whole number from 1 to 65535")],
        );
    }
    for status in [200, 500, 0, 402] {
        check(
            &format!(r#""userinfo_unavailable": {{"status": {status}}}"#),
            &[&format!("userinfo_unavailable.status: got {status}, expected 401 or 503")],
        );
    }
    for fraction in ["1.0", "1e3", "1E3", "0.5"] {
        let config = with(&format!(r#""max_token_bytes": {fraction}"#));
        let line = format!(
            "max_token_bytes: got {fraction}, expected a whole number from 1 to 65536 without \
             fraction or exponent"
        );
        assert_eq!(lines(&read(config.as_bytes()).unwrap_err()), [line]);
    }
    let config = with(&format!(r#""max_token_bytes": 9{}"#, "9".repeat(299)));
    let shown = "9".repeat(24);
    let line = format!("max_token_bytes: got {shown}, expected a whole number from 1 to 65536");
    assert_eq!(lines(&read(config.as_bytes()).unwrap_err()), [line]);
}

/// The catalogue's row 183.
#[test]
fn durations() {
    let form = "expected a whole number with its unit ms, s, m or h, 1ms to 30s";
    for text in
        ["", "5", "s", "5 s", " 5s", "1.5s", "-1s", "+1s", "500us", "5S", "5sec", "5s5s", "٣s"]
    {
        check(&format!(r#""timeout": "{text}""#), &[&format!(r#"timeout: got "{text}", {form}"#)]);
    }
    // 2³¹ ms, 2³² ms and beyond 64 bits: a count that wraps must not come back into the range.
    for text in [
        "0ms",
        "0s",
        "31s",
        "30001ms",
        "1m",
        "1h",
        "2147483648ms",
        "4294967296ms",
        "18446744073709551617ms",
        // Times 60 000 and modulo 2⁶⁴ it would be 32 ms.
        "253027839544382683m",
        "18446744073709551615h",
    ] {
        check(
            &format!(r#""timeout": "{text}""#),
            &[&format!(r#"timeout: got "{text}", expected 1ms to 30s"#)],
        );
    }
    for (text, wrong) in [
        ("0s", "expected 1s to 24h"),
        ("999ms", "expected 1s to 24h"),
        ("25h", "expected 1s to 24h"),
        ("86401s", "expected 1s to 24h"),
        ("1500ms", "expected whole seconds, 1s to 24h"),
        ("5", "expected a whole number with its unit ms, s, m or h, 1s to 24h"),
    ] {
        check(
            &format!(r#""userinfo_unavailable": {{"status": 503, "retry_after": "{text}"}}"#),
            &[&format!(r#"userinfo_unavailable.retry_after: got "{text}", {wrong}"#)],
        );
    }
    check(
        r#""userinfo_unavailable": {"status": 503, "retry_after": 5}"#,
        &["userinfo_unavailable.retry_after: got a number, expected a duration as text, 1s to \
             24h"],
    );
    for status in ["", r#""status": 401, "#] {
        check(
            &format!(r#""userinfo_unavailable": {{{status}"retry_after": "5s"}}"#),
            &["userinfo_unavailable.retry_after: got retry_after with status 401, expected \
                 status 503: change the status or remove retry_after"],
        );
    }
}

#[test]
fn a_subject_is_one() {
    let several = "got a JSONPath that can select several nodes, expected only names and indexes, \
                   such as $.data.sub: a token has one subject";
    for path in ["$..sub", "$.subs[*]", "$.subs[0,1]", "$.subs[0:1]", "$.subs[?(@.a)]", "$.*"] {
        check(
            &format!(r#""require_subject": "{path}""#),
            &[&format!("require_subject: {several}")],
        );
    }
    for word in ["true", "false"] {
        check(
            &format!(r#""require_subject": "{word}""#),
            &["require_subject: got text, expected true or false without quotation marks, or a \
                 JSONPath as text"],
        );
    }
    check(
        r#""require_subject": "$.a[""#,
        &["require_subject: invalid JSONPath at 4: `[` is not closed"],
    );
    check(
        r#""require_subject": """#,
        &["require_subject: invalid JSONPath at 1: got empty text, expected a path: `$` is the \
           whole document"],
    );
    check(
        r#""require_subject": "$.id", "accept_any_200": true"#,
        &["require_subject: got a JSONPath together with accept_any_200, expected one of the \
             two: a response of any kind has no subject"],
    );
}

#[test]
fn words() {
    check(
        r#""userinfo_method": "get""#,
        &[r#"userinfo_method: got "get", expected "GET" or "POST" (case-sensitive)"#],
    );
    check(
        r#""userinfo_method": "PUT""#,
        &[r#"userinfo_method: got "PUT", expected "GET" or "POST""#],
    );
    check(r#""userinfo_method": """#, &[r#"userinfo_method: got "", expected "GET" or "POST""#]);
    check(
        r#""preflight": "Pass""#,
        &[r#"preflight: got "Pass", expected "authenticate" or "pass" (case-sensitive)"#],
    );
    check(
        r#""unknown_region": "deny\n""#,
        &[r#"unknown_region: got "deny\n", expected "default" or "reject""#],
    );
}

/// What is no verdict becomes the reply for an outage, and that must not be a 401.
#[test]
fn provider_errors_are_mapped_with_a_503_alone() {
    let line = r#"provider_errors: got "map" without userinfo_unavailable.status 503, expected both together: set userinfo_unavailable to {"status": 503}, or provider_errors to "relay""#;
    check(r#""provider_errors": "map""#, &[line]);
    for unavailable in ["{}", r#"{"status": 401}"#] {
        check(
            &format!(r#""userinfo_unavailable": {unavailable}, "provider_errors": "map""#),
            &[line],
        );
    }
    check(
        r#""provider_errors": "Map""#,
        &[r#"provider_errors: got "Map", expected "relay" or "map" (case-sensitive)"#],
    );
}

/// The catalogue's row 182.
#[test]
fn endpoint_uris() {
    let scheme = "got no http:// or https:// at the start, expected an absolute URI";
    for uri in [
        "idp.example/u",
        "/u",
        "//idp.example/u",
        "ftp://idp.example/u",
        "https:/idp.example/u",
        " https://idp.example/u",
    ] {
        check_uri(uri, scheme);
    }
    let path = "got no path, expected at least / after the host";
    for uri in [
        "https://idp.example",
        "https://idp.example:9001",
        "https://idp.example?a=b",
        "https://[::1]",
    ] {
        check_uri(uri, path);
    }
    let user = "got user-info before the host, expected only host and port";
    for uri in
        ["https://us er:p4ss@idp.example/u", "https://user@idp.example/u", "https://@idp.example/u"]
    {
        check_uri(uri, user);
    }
    let port = "got an invalid port, expected 1 to 65535";
    for uri in [
        "https://idp.example:/u",
        "https://idp.example:0/u",
        "https://idp.example:65536/u",
        "https://idp.example:+1/u",
        "https://idp.example:1:2/u",
        "https://[::1]:x/u",
        "https://idp.example:99999999999/u",
    ] {
        check_uri(uri, port);
    }
    for (uri, wrong) in [
        ("https:///u", "got no host, expected a host name or an IP address"),
        ("https://:443/u", "got no host, expected a host name or an IP address"),
        ("https://idp.example/u#f", "got a fragment, expected only path and query"),
        ("https://idp.example#f", "got a fragment, expected only path and query"),
        ("https://idp.example/{region}/u", r#"got "{" at 21, expected it percent-encoded"#),
        ("https://idp.example/a b", "got space at 22, expected visible ASCII characters"),
        (
            "https://idp.example/a\\r\\nb",
            "got control character U+000D at 22, expected visible ASCII characters",
        ),
        (
            "https://idp.example/\\u0000",
            "got control character U+0000 at 21, expected visible ASCII characters",
        ),
        (
            "https://idp.example/é",
            "got non-ASCII character U+00E9 at 21, expected visible ASCII characters",
        ),
        (
            "https://ïdp.example/u",
            "got non-ASCII character U+00EF at 9, expected visible ASCII characters",
        ),
        ("https://idp.example/u ", "got space at 22, expected visible ASCII characters"),
        (
            "https://{region}.example/u",
            r#"got "{" in the host, expected only letters, digits, hyphen, dot and underscore"#,
        ),
        (
            "https://idp%2eexample/u",
            r#"got "%" in the host, expected only letters, digits, hyphen, dot and underscore"#,
        ),
        ("https://2001:db8::1/u", port),
        ("https://[2001:db8::1/u", "got [ without ], expected both around an IPv6 address"),
        (
            "https://[idp.example]/u",
            "got no IPv6 address between [ and ], expected one such as \
          [::1]",
        ),
        (
            "https://[fe80::1%25eth0]/u",
            "got no IPv6 address between [ and ], expected one such as \
          [::1]",
        ),
        ("https://[::1]9001/u", "got text after ], expected a port"),
        ("https://idp.example/%", r#"got "%" at 21, expected two hexadecimal digits after it"#),
        ("https://idp.example/%4", r#"got "%" at 21, expected two hexadecimal digits after it"#),
        (
            "https://idp.example/?a=%zz",
            r#"got "%" at 24, expected two hexadecimal digits after it"#,
        ),
        ("https://idp.example/a\\\\b", r#"got "\" at 22, expected it percent-encoded"#),
        ("https://idp.example/?a=[0]", r#"got "[" at 24, expected it percent-encoded"#),
        ("https://idp.example/\\\"", "got quotation mark at 21, expected it percent-encoded"),
    ] {
        check_uri(uri, wrong);
    }
    check_uri(
        &format!("https://{}/u", "h".repeat(254)),
        "got a host of 254 bytes, expected at \
                        most 253",
    );
    check_uri(
        &format!("https://idp.example/{}", "p".repeat(2029)),
        "got 2049 bytes, expected at most 2048",
    );
}

/// The catalogue's row 184.
#[test]
fn the_caches_ceilings() {
    check(
        r#""cache": {"ttl": "61m", "negative_ttl": "301s", "max_entries": 1000001,
                     "max_bytes": 1000000000}"#,
        &[
            r#"cache.ttl: got "61m", expected 0s to 1h"#,
            r#"cache.negative_ttl: got "301s", expected 0s to 5m"#,
            "cache.max_entries: got 1000001, expected a whole number from 0 to 1000000",
            "cache.max_bytes: got 1000000000, expected a whole number from 0 to 67108864",
        ],
    );
    check(
        r#""cache": {"ttl": "5"}"#,
        &[r#"cache.ttl: got "5", expected a whole number with its unit ms, s, m or h, 0s to 1h"#],
    );
}

#[test]
fn endpoints_at_several_sites() {
    check_endpoint(
        r#""defaultURI": ["https://a.example/u", 5, "ftp://b.example/u", "https://a.example/u"]"#,
        &[
            "userinfo_endpoint.defaultURI[1]: got a number, expected an endpoint URI as text",
            "userinfo_endpoint.defaultURI[2]: invalid endpoint URI: got no http:// or https:// at \
             the start, expected an absolute URI",
            "userinfo_endpoint.defaultURI[3]: repeated endpoint URI, expected each once",
        ],
    );
    check_endpoint(
        r#""defaultURI": []"#,
        &["userinfo_endpoint.defaultURI: got 0 endpoint URIs, expected 1 to 5"],
    );
    let six: Vec<String> = (0..6).map(|n| format!("\"https://{n}.example/u\"")).collect();
    check_endpoint(
        &format!(r#""defaultURI": [{}]"#, six.join(",")),
        &["userinfo_endpoint.defaultURI: got 6 endpoint URIs, expected 1 to 5"],
    );
    check_endpoint(
        r#""defaultURI": "https://a.example/u", "regionCodeHeader": "x-region",
           "regionCodeValue": {"FR": ["https://fr.example/u", ""]}"#,
        &["userinfo_endpoint.regionCodeValue.FR[1]: invalid endpoint URI: got no http:// or \
             https:// at the start, expected an absolute URI"],
    );
}

#[test]
fn a_deadline_below_the_timeout() {
    let wrong = "deadline: got less than timeout, expected at least timeout: the deadline covers \
                 all calls for one request";
    check(r#""timeout": "2s", "deadline": "1999ms""#, &[wrong]);
    check(r#""deadline": "4s""#, &[wrong]);
    check(r#""timeout": "2s", "deadline": "2s""#, &[]);
    check(r#""deadline": "61s""#, &[r#"deadline: got "61s", expected 1ms to 60s"#]);
}

#[test]
fn the_breaker() {
    check(
        r#""breaker": {"failures": 1001, "open_for": "99ms", "probes": 2}, "max_in_flight": 0"#,
        &[
            "breaker.failures: got 1001, expected a whole number from 0 to 1000",
            r#"breaker.open_for: got "99ms", expected 100ms to 5m"#,
            "breaker.probes: unknown key, expected one of failures, open_for",
            "max_in_flight: got 0, expected a whole number from 1 to 65536",
        ],
    );
}
