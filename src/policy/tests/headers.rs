//! Refused header names, header maps, and texts that become headers.

use std::rc::Rc;

use super::*;
use crate::policy::Lists;

/// Every place that takes a header name, with every way of not being one.
///
/// The catalogue's row 176.
#[test]
fn header_names() {
    let long = "x".repeat(129);
    for (name, shown, wrong) in [
        ("", r#"[""]"#, "empty text"),
        ("bad name", r#"["bad name"]"#, "space at 4"),
        ("a\\tb", r#"["a\tb"]"#, "tab at 2"),
        ("a\\r\\nb", r#"["a\r\nb"]"#, "control character U+000D at 2"),
        ("a\\u007f", r#"["a\u007f"]"#, "control character U+007F at 2"),
        ("Größe", r#"["Größe"]"#, "non-ASCII character U+00F6 at 3"),
        ("a:b", r#"["a:b"]"#, r#"":" at 2"#),
        ("a(b)", r#"["a(b)"]"#, r#""(" at 2"#),
        ("a\\\"", r#"["a\""]"#, "quotation mark at 2"),
        (&long, &format!(r#"["{}…"]"#, "x".repeat(48)), "129 bytes, expected at most 128"),
    ] {
        let wrong = format!("invalid header name: got {wrong}");
        check_inject(&format!(r#""{name}": "sub""#), &[&format!("inject_headers{shown}: {wrong}")]);
        check_inject(
            &format!(r#""default": {{"{name}": "sub"}}"#),
            &[&format!("inject_headers.default{shown}: {wrong}")],
        );
        check(
            &format!(r#""userinfo_headers": {{"{name}": "v"}}"#),
            &[&format!("userinfo_headers{shown}: {wrong}")],
        );
        check(&format!(r#""region_header": "{name}""#), &[&format!("region_header: {wrong}")]);
        if !name.is_empty() {
            check(
                &format!(r#""error_header_name": "{name}""#),
                &[&format!("error_header_name: {wrong}")],
            );
        }
    }
}

/// Every reserved name, where it is written into a request of either kind.
///
/// The catalogue's row 176.
#[test]
fn reserved_header_names() {
    let plain = "got a reserved header name, expected another one".to_owned();
    let like = |name: &str| {
        format!(
            "got a reserved header name, expected another one: the same as {name} when separators are ignored"
        )
    };
    let mut cases: Vec<(String, String)> = Vec::new();
    for name in [
        "host",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "connection",
        "upgrade",
        "keep-alive",
        "expect",
        "authorization",
        "cookie",
        "set-cookie",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-client-cert",
        "x-request-id",
    ] {
        cases.push((name.to_owned(), plain.clone()));
        cases.push((name.to_uppercase(), plain.clone()));
        for separator in ["_", ".", "~"] {
            let alias = name.replace('-', separator);
            if alias != name {
                cases.push((alias, like(name)));
            }
        }
    }
    for (name, family) in [
        ("proxy-authorization", "proxy-*"),
        ("Proxy-Connection", "proxy-*"),
        ("proxy-", "proxy-*"),
        ("PROXY_X", "proxy-*"),
        ("x-envoy-retry-on", "x-envoy-*"),
        ("X_Envoy.Original-Path", "x-envoy-*"),
    ] {
        cases.push((
            name.to_owned(),
            format!("got a reserved header name, expected another one: {family}"),
        ));
    }
    for pseudo in [":authority", ":path", ":method", ":scheme", ":protocol", ":status"] {
        for separator in ["-", "_", "."] {
            let wrong = format!(
                "got a reserved header name, expected another one: the same as {pseudo} when separators are ignored"
            );
            cases.push((pseudo.replace(':', separator), wrong));
        }
    }
    for name in [":authority", ":path", ":method", ":scheme", ":"] {
        cases.push((
            name.to_owned(),
            "got a reserved header name, expected another one: a pseudo-header".to_owned(),
        ));
    }
    for (name, wrong) in cases {
        for (config, path) in [
            (format!(r#""inject_headers": {{"{name}": "sub"}}"#), "inject_headers"),
            (
                format!(r#""inject_headers": {{"default": {{"{name}": "sub"}}}}"#),
                "inject_headers.default",
            ),
            (format!(r#""userinfo_headers": {{"{name}": "v"}}"#), "userinfo_headers"),
        ] {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let place =
                if plain { format!("{path}.{name}") } else { format!(r#"{path}["{name}"]"#) };
            check(&config, &[&format!("{place}: {wrong}")]);
        }
        check(&format!(r#""region_header": "{name}""#), &[&format!("region_header: {wrong}")]);
    }
}

/// The catalogue's rows 177 and 178.
#[test]
fn header_names_that_meet() {
    let twin = |name: &str| {
        format!(
            r#"got a repeated header name, expected another one: the same as "{name}" when case and separators are ignored"#
        )
    };
    check_inject(
        r#""X-User-Id": "a", "x_user_id": "b", "X.USER.ID": "c""#,
        &[
            &format!("inject_headers.x_user_id: {}", twin("X-User-Id")),
            &format!(r#"inject_headers["X.USER.ID"]: {}"#, twin("X-User-Id")),
        ],
    );
    check_inject(
        r#""default": {"X-A": "a", "x-a": "b"}"#,
        &[&format!(r#"inject_headers.default["x-a"]: {}"#, twin("X-A"))],
    );
    let many = |count: usize| {
        let headers: Vec<String> = (0..count).map(|n| format!(r#""X-{n}": "v""#)).collect();
        format!(r#""userinfo_headers": {{{}}}"#, headers.join(","))
    };
    check(&many(64), &[]);
    check(&many(65), &["userinfo_headers: got 65 headers, expected at most 64"]);
    check(
        r#""userinfo_headers": {"Accept-Encoding": "gzip"}"#,
        &[
            r#"userinfo_headers["Accept-Encoding"]: got a reserved header name, expected another one: the filter always sends identity, it cannot read an encoded response"#,
        ],
    );
    check(
        r#""userinfo_headers": {"accept_encoding": "identity"}"#,
        &[
            "userinfo_headers.accept_encoding: got a reserved header name, expected another one: the filter always sends \
             identity, it cannot read an encoded response",
        ],
    );
    check(
        r#""userinfo_headers": {"X-A": "a", "x_a": "b"}"#,
        &[&format!("userinfo_headers.x_a: {}", twin("x-a"))],
    );
    let regional = |members: &str| {
        format!(
            r#"{{"userinfo_endpoint": {{"regionCodeHeader": "X-Region",
                "regionCodeValue": {{"FR": "https://fr.example/u"}},
                "defaultURI": "https://idp.example/u"}}, {members}}}"#
        )
    };
    let region = "got a reserved header name, expected another one: the same as regionCodeHeader";
    check_whole(
        &regional(r#""inject_headers": {"x_region": "sub"}, "region_header": "X.REGION""#),
        &[&format!("inject_headers.x_region: {region}"), &format!("region_header: {region}")],
    );
    check_whole(
        &regional(r#""inject_headers": {"FR": {"X-Region": "sub"}}"#),
        &[&format!(r#"inject_headers.FR["X-Region"]: {region}"#)],
    );
    check_whole(
        &regional(r#""region_header": "X_Used", "inject_headers": {"FR": {"x-used": "sub"}}"#),
        &[
            "region_header: got a repeated header name, expected another one: the same as one of inject_headers",
        ],
    );
    check_whole(
        &regional(r#""region_header": "X_Used", "inject_headers": {"FR": {"x-used": 5}}"#),
        &[
            "region_header: got a repeated header name, expected another one: the same as one of inject_headers",
            r#"inject_headers.FR["x-used"]: got a number, expected a JSONPath as text, or an object with path"#,
        ],
    );
}

/// The catalogue's row 180.
#[test]
fn header_maps() {
    let mix = "expected header names with a JSONPath or an object with path each, or regions with an \
               object each";
    check_inject(
        r#""X-A": "sub", "default": {"X-B": "sub"}"#,
        &[&format!("inject_headers: got both headers (1) and regions (1), {mix}")],
    );
    check_inject(
        r#""X-A": "sub", "X B": "sub", "default": {"X C": "sub"}, "X-D": 1"#,
        &[
            &format!("inject_headers: got both headers (2) and regions (1), {mix}"),
            r#"inject_headers["X B"]: invalid header name: got space at 2"#,
            r#"inject_headers.default["X C"]: invalid header name: got space at 2"#,
            r#"inject_headers["X-D"]: got a number, expected an object with the headers of a region"#,
        ],
    );
    check_inject(
        r#""X-B": {"path": "$.b", "join": ""}, "default": {"X-A": "sub"}"#,
        &[
            &format!("inject_headers: got both headers (1) and regions (1), {mix}"),
            r#"inject_headers["X-B"].join: got empty text, expected at least one character"#,
        ],
    );
    check_inject(
        r#""X-A": "sub", "X-D": 1"#,
        &[
            r#"inject_headers["X-D"]: got a number, expected a JSONPath as text, or an object with path"#,
        ],
    );
    let belongs = "(a header as an object has a path)";
    check_inject(
        r#""X-Roles": {"join": ","}"#,
        &[
            &format!(
                r#"inject_headers["X-Roles"]: unknown region, expected one of "default" {belongs}"#
            ),
            "inject_headers[\"X-Roles\"].join: invalid JSONPath at 1: not a JSONPath (RFC 9535)",
        ],
    );
    check_inject(
        r#""fr": {"X A": "sub"}, "DEFAULT": {}"#,
        &[
            &format!(r#"inject_headers.fr: unknown region, expected one of "default" {belongs}"#),
            r#"inject_headers.fr["X A"]: invalid header name: got space at 2"#,
            &format!(
                r#"inject_headers.DEFAULT: unknown region, expected one of "default" {belongs}"#
            ),
        ],
    );
    // Nothing can be said about regions where the codes could not be read.
    check_whole(
        r#"{"userinfo_endpoint": {"regionCodeHeader": "x-r", "regionCodeValue": [],
            "defaultURI": "https://idp.example/u"}, "inject_headers": {"FR": {"X-A": "sub"}}}"#,
        &["userinfo_endpoint.regionCodeValue: got an array, expected an object"],
    );
}

/// Without regions a header may be an object too, which has a path.
#[test]
fn header_as_an_object_without_regions() {
    let rules = |members: &str| {
        let read = read(with(&format!(r#""inject_headers": {{{members}}}"#)).as_bytes()).unwrap();
        let Endpoints::Configured(table) = read.policy.endpoints else { panic!("no endpoints") };
        let rules = Rc::clone(&table.default.as_ref().unwrap().rules);
        rules
            .iter()
            .map(|rule| (rule.name.to_string(), rule.value.lists.clone()))
            .collect::<Vec<_>>()
    };
    let joined = Lists::Joined(",".to_owned());
    assert_eq!(
        rules(r#""X-Roles": {"path": "$.roles", "join": ","}, "X-User": "$.sub""#),
        [("x-roles".to_owned(), joined.clone()), ("x-user".to_owned(), Lists::Json)]
    );
    assert_eq!(rules(r#""X-A": {"path": "$.a"}"#), [("x-a".to_owned(), Lists::Json)]);
    // A known region stays one, also with a header that is called path.
    assert_eq!(rules(r#""default": {"path": "$.p"}"#), [("path".to_owned(), Lists::Json)]);
    check_whole(
        r#"{"userinfo_endpoint": {"regionCodeHeader": "x-r", "regionCodeValue":
            {"FR": "https://a.example/"}, "defaultURI": "https://idp.example/u"},
            "inject_headers": {"FR": {"path": "$.p", "join": ","}}}"#,
        &["inject_headers.FR.join: invalid JSONPath at 1: not a JSONPath (RFC 9535)"],
    );
}

#[test]
fn the_object_form_of_a_header() {
    for (value, at, wrong) in [
        ("{}", ".path", "missing, expected a JSONPath"),
        (r#"{"join": ","}"#, ".path", "missing, expected a JSONPath"),
        (r#"{"path": 1}"#, ".path", "got a number, expected a JSONPath as text"),
        (
            r#"{"path": "sub", "join": ""}"#,
            ".join",
            "got empty text, expected at least one character",
        ),
        (
            r#"{"path": "sub", "join": null}"#,
            ".join",
            "got null, expected the text between two elements",
        ),
        (
            r#"{"path": "sub", "join": ",\n"}"#,
            ".join",
            "got control character U+000A at 2, expected no control characters",
        ),
    ] {
        check_inject(
            &format!(r#""default": {{"X-A": {value}}}"#),
            &[&format!(r#"inject_headers.default["X-A"]{at}: {wrong}"#)],
        );
    }
    check_inject(
        &format!(r#""default": {{"X-A": {{"path": "sub", "join": "{}"}}}}"#, ",".repeat(65)),
        &[r#"inject_headers.default["X-A"].join: got 65 bytes, expected at most 64"#],
    );
    check_inject(
        r#""default": {"X A": {"path": "sub", "join": ""}}"#,
        &[
            r#"inject_headers.default["X A"]: invalid header name: got space at 2"#,
            r#"inject_headers.default["X A"].join: got empty text, expected at least one character"#,
        ],
    );
}

/// What a path may be is decided elsewhere; here, that each place asks, and says where.
///
/// The catalogue's rows 173 and 174.
#[test]
fn json_paths() {
    let places = [
        (r#""inject_headers": {"X-A": "PATH"}"#, r#"inject_headers["X-A"]"#),
        (r#""inject_headers": {"default": {"X-A": "PATH"}}"#, r#"inject_headers.default["X-A"]"#),
        (
            r#""inject_headers": {"default": {"X-A": {"path": "PATH"}}}"#,
            r#"inject_headers.default["X-A"].path"#,
        ),
        (r#""error_payload_location": "PATH""#, "error_payload_location"),
        (
            r#""error_payload_location": "PATH", "error_metadata_location": "ResponseHeaders""#,
            "error_payload_location",
        ),
    ];
    let long = format!("$.{}", "a".repeat(255));
    let nested = format!("${}{}", "[?(@.a".repeat(20_000), ")]".repeat(20_000));
    let paths = [
        ("$.", true),
        ("$['a'", true),
        (" $.sub", true),
        ("$.é[", true),
        ("$.a\\u0001b", true),
        ("$['a\\nb']", true),
        ("$..a..b", false),
        ("$[*][*][*][*]", false),
        ("$[?count(@.a) > 1]", true),
        (&long, false),
        (&nested, false),
        ("$.a.unknown()", true),
        ("$[?unknown(@.a)]", true),
    ];
    // The position of a number that is too large is not known.
    let huge = with(r#""error_payload_location": "$[99999999999999999999]""#);
    let problems = lines(&read(huge.as_bytes()).unwrap_err());
    assert!(problems[0].starts_with("error_payload_location: invalid JSONPath"));
    for (config, place) in places {
        for (path, has_position) in paths {
            let config = with(&config.replace("PATH", path));
            let problems = lines(&read(config.as_bytes()).unwrap_err());
            let begins =
                format!("{place}: invalid JSONPath{}", if has_position { " at " } else { ": " });
            assert!(problems.len() == 1 && problems[0].starts_with(&begins), "{problems:#?}");
            assert!(!problems[0].chars().any(char::is_control), "{problems:#?}");
            check_struct(&config);
        }
    }
    // Positions count characters, not bytes.
    let problems = read(with(r#""error_payload_location": "$['é'].x-y""#).as_bytes()).unwrap_err();
    assert!(problems[0].message.starts_with("invalid JSONPath at 9: "), "{problems:#?}");
}

/// A path cannot be empty where a header is asked for.
#[test]
fn an_empty_json_path() {
    let lines = lines(&read(with(r#""inject_headers": {"X-A": ""}"#).as_bytes()).unwrap_err());
    assert!(
        lines[0].starts_with(r#"inject_headers["X-A"]: invalid JSONPath at 1: got empty text"#)
    );
}

/// The catalogue's row 185.
#[test]
fn texts_that_become_headers() {
    let blank = "got a space at the start or end, expected spaces only between other characters";
    let ascii = "expected printable ASCII characters";
    for (config, place) in [
        (r#""realm": "TEXT""#, "realm"),
        (r#""error_set": {"detail_header": "TEXT"}"#, "error_set.detail_header"),
        (r#""error_set": {"content_type": "TEXT"}"#, "error_set.content_type"),
        (r#""userinfo_headers": {"a": "TEXT"}"#, "userinfo_headers.a"),
    ] {
        for (text, wrong) in [
            ("a\\r\\nx-evil: 1", &format!("got control character U+000D at 2, {ascii}")),
            ("a\\n", &format!("got control character U+000A at 2, {ascii}")),
            ("\\u0000", &format!("got control character U+0000 at 1, {ascii}")),
            ("a\\tb", &format!("got tab at 2, {ascii}")),
            ("\\u007f", &format!("got control character U+007F at 1, {ascii}")),
            ("\\u0085", &format!("got control character U+0085 at 1, {ascii}")),
            ("Zürich", &format!("got non-ASCII character U+00FC at 2, {ascii}")),
            (" a", &blank.to_owned()),
            ("a ", &blank.to_owned()),
        ] {
            check(&config.replace("TEXT", text), &[&format!("{place}: {wrong}")]);
        }
        let longest = if place == "userinfo_headers.a" { 4096 } else { 1024 };
        check(&config.replace("TEXT", &"x".repeat(longest)), &[]);
        check(
            &config.replace("TEXT", &"x".repeat(longest + 1)),
            &[&format!("{place}: got {} bytes, expected at most {longest}", longest + 1)],
        );
    }
    check(
        r#""error_set": {"content_type": ""}"#,
        &["error_set.content_type: got empty text, expected at least one character"],
    );
    check(
        &format!(r#""error_set": {{"response_body": "{}"}}"#, "x".repeat(65_537)),
        &["error_set.response_body: got 65537 bytes, expected at most 65536"],
    );
}
