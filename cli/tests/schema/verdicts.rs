//! Whole configurations, judged by both; and what a schema cannot say.

use serde_json::{Value, json};

use super::{base, reads, validator, verdict};

/// The base with these members.
fn with(members: &str) -> Value {
    let mut configuration = base();
    let members: Value = serde_json::from_str(&format!("{{{members}}}")).unwrap();
    configuration.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    configuration
}

/// Members of `userinfo_endpoint` alone.
fn endpoint(members: &str) -> Value {
    with(&format!(r#""userinfo_endpoint": {{{members}}}"#))
}

const REGION: &str = r#""regionCodeHeader": "x-r", "defaultURI": "https://a.example/u""#;

#[test]
fn accepted() {
    let eleven = |n: usize| {
        let one = |n| format!(r#""R{n}": "https://a.example/u""#);
        let regions = (0..n).map(one).collect::<Vec<_>>().join(",");
        endpoint(&format!(r#"{REGION}, "regionCodeValue": {{{regions}}}"#))
    };
    let accepted = [
        base(),
        eleven(1),
        eleven(10),
        endpoint(&format!(r#"{REGION}, "regionCodeValue": {{"é F": "https://a.example/u"}}"#)),
        endpoint(r#""defaultURI": ["https://a.example/u", "http://b.example/u"]"#),
        with(r#""inject_headers": {}"#),
        with(r#""inject_headers": {"default": {}}"#),
        with(r#""inject_headers": {"X-A": "$.a", "X-B": "b"}"#),
        with(r#""inject_headers": {"default": {"X-A": {"path": "$.a", "join": ","}, "X-B": "b"}}"#),
        with(r#""inject_headers": {"X-A": {"path": "$.a", "join": ","}, "X-B": "b"}"#),
        with(r#""$schema": "config.schema.json""#),
        with(r#""inject_headers": {"default": {"X-A": {"path": "$.a[*]"}}}"#),
        with(r#""error_metadata_location": "QueryParameter""#),
        with(r#""error_metadata_location": null"#),
        with(r#""error_header_name": "", "error_payload_location": """#),
        with(r#""enable_error_set": "TRUE""#),
        with(r#""enable_error_set": [1]"#),
        with(r#""http_proxy_server": "squid", "http_proxy_port": 3128"#),
        with(r#""clusters": {"": "a", "b c": "d e"}"#),
        with(r#""userinfo_headers": {}"#),
        with(r#""realm": """#),
        with(r#""userinfo_unavailable": {"status": 503, "retry_after": "5s"}"#),
        with(r#""userinfo_unavailable": {}"#),
        with(r#""provider_errors": "map", "userinfo_unavailable": {"status": 503}"#),
        with(r#""provider_errors": "relay", "userinfo_unavailable": {}"#),
        with(r#""accept_any_200": true, "require_subject": false"#),
        with(r#""require_subject": "$.data.sub""#),
        with(r#""accept_any_200": false, "require_subject": "data.sub""#),
        with(r#""filter_state": {"user": "$.sub", "a_1": {"path": "$.a[*]", "join": ","}}"#),
        with(r#""filter_state": {}, "stat_name": "orders""#),
        with(r#""error_set": {}, "cache": {}, "breaker": {}"#),
    ];
    let validator = validator();
    for configuration in &accepted {
        assert!(verdict(&validator, configuration), "{configuration}");
    }
}

#[test]
fn refused() {
    let eleven: Vec<_> = (0..11).map(|n| format!(r#""R{n}": "https://a.example/u""#)).collect();
    let headers: Vec<_> = (0..65).map(|n| format!(r#""x-{n}": "a""#)).collect();
    let refused = [
        json!({}),
        json!([]),
        json!("text"),
        json!({"userinfo_endpoint": {}}),
        json!({"userinfo_endpoint": "https://a.example/u"}),
        endpoint(r#""defaultURI": """#),
        endpoint(r#""defaultURI": []"#),
        endpoint(r#""defaultURI": {"a": "https://a.example/u"}"#),
        endpoint(r#""defaultURI": ["https://a.example/u", "https://a.example/u"]"#),
        endpoint(
            r#""defaultURI": ["https://a.example/1", "https://a.example/2", "https://a.example/3",
               "https://a.example/4", "https://a.example/5", "https://a.example/6"]"#,
        ),
        endpoint(REGION),
        endpoint(&format!(r#"{REGION}, "regionCodeValue": {{}}"#)),
        endpoint(&format!(r#"{REGION}, "regionCodeValue": {{"": "https://a.example/u"}}"#)),
        endpoint(&format!(r#"{REGION}, "regionCodeValue": {{"default": "https://a.example/u"}}"#)),
        endpoint(&format!(r#"{REGION}, "regionCodeValue": {{" A": "https://a.example/u"}}"#)),
        endpoint(&format!(r#"{REGION}, "regionCodeValue": {{{}}}"#, eleven.join(","))),
        endpoint(
            r#""defaultURI": "https://a.example/u", "regionCodeValue": {"A": "https://b.example/"}"#,
        ),
        with(r#""timeuot": "5s""#),
        with(r#""timeout": null"#),
        with(r#""inject_headers": []"#),
        with(r#""inject_headers": {"X-A": 1}"#),
        with(r#""inject_headers": {"X-A": ""}"#),
        with(r#""inject_headers": {"X A": "$.a"}"#),
        with(r#""inject_headers": {"X-A": "$.a", "default": {"X-B": "$.b"}}"#),
        with(r#""inject_headers": {"default": {"X A": "$.a"}}"#),
        with(r#""inject_headers": {"default": {"X-A": {"join": ","}}}"#),
        with(r#""inject_headers": {"default": {"X-A": {"path": "$.a", "join": ""}}}"#),
        with(r#""inject_headers": {"X-A": {"path": "$.a", "join": ""}}"#),
        with(r#""$schema": 1"#),
        with(r#""schema": "config.schema.json""#),
        with(r#""error_header_name": 1"#),
        with(r#""error_header_name": "a b""#),
        with(r#""error_payload_location": 1"#),
        with(r#""http_proxy_server": "squid""#),
        with(r#""http_proxy_port": 3128"#),
        with(
            r#""http_proxy_server": "squid", "http_proxy_port": 3128,
               "userinfo_endpoint": {"defaultURI": "http://a.example/u"}"#,
        ),
        with(
            r#""http_proxy_server": "squid", "http_proxy_port": 3128,
               "userinfo_endpoint": {"defaultURI": ["https://a.example/u", "http://b.example/u"]}"#,
        ),
        with(
            r#""http_proxy_server": "squid", "http_proxy_port": 3128, "userinfo_endpoint":
               {"defaultURI": "https://a.example/u", "regionCodeHeader": "x-r",
                "regionCodeValue": {"A": "http://a.example:80/u"}}"#,
        ),
        with(r#""filter_state": {"User": "$.sub"}"#),
        with(r#""filter_state": {"1": "$.sub"}"#),
        with(r#""filter_state": {"": "$.sub"}"#),
        with(r#""filter_state": {"oidc_outcome": "$.sub"}"#),
        with(r#""filter_state": {"user": {"join": ","}}"#),
        with(&format!(r#""filter_state": {{"{}": "$.sub"}}"#, "a".repeat(65))),
        with(r#""stat_name": "a-b""#),
        with(r#""clusters": {"a.example": ""}"#),
        with(r#""clusters": ["a"]"#),
        with(&format!(r#""userinfo_headers": {{{}}}"#, headers.join(","))),
        with(r#""userinfo_headers": {"x-a": " b"}"#),
        with(r#""userinfo_method": "get""#),
        with(r#""realm": "a\nb""#),
        with(r#""error_set": {"content_type": ""}"#),
        with(r#""error_set": {"status": 403}"#),
        with(r#""userinfo_unavailable": {"retry_after": "5s"}"#),
        with(r#""userinfo_unavailable": {"status": 401, "retry_after": "5s"}"#),
        with(r#""provider_errors": "map""#),
        with(r#""provider_errors": "map", "userinfo_unavailable": {}"#),
        with(r#""provider_errors": "map", "userinfo_unavailable": {"status": 401}"#),
        with(r#""accept_any_200": true, "require_subject": true"#),
        with(r#""accept_any_200": true, "require_subject": "$.sub""#),
        with(r#""require_subject": "true""#),
        with(r#""require_subject": """#),
        with(r#""require_subject": ["$.sub"]"#),
    ];
    let validator = validator();
    for configuration in &refused {
        assert!(!verdict(&validator, configuration), "{configuration}");
    }
}

/// Refused by the filter alone, and why a schema cannot refuse it. `docs/configuration.md` has the
/// list for users.
#[test]
fn schema_cannot_express_these() {
    let validator = validator();
    let long = "é".repeat(200);
    for (members, why) in [
        (
            r#""inject_headers": {"X-A": {"join": "$.a"}}"#,
            "tells a header without a path from a region, which is looked up",
        ),
        (r#""deadline": "1s""#, "compares two values: deadline with timeout"),
        (r#""inject_headers": {"US": {"X-A": "a"}}"#, "looks names up in another place: regions"),
        (
            r#""inject_headers": {"X-A": "$.a["}"#,
            "a grammar that is no regular expression: JSONPath",
        ),
        (r#""inject_headers": {"X-A": "$..a..b"}"#, "how a JSONPath is built"),
        (r#""require_subject": "$.a[*]""#, "how a JSONPath is built: names and indexes alone"),
        (
            r#""inject_headers": {"Host": "a"}"#,
            "names in every spelling that folds to them: reserved",
        ),
        (r#""inject_headers": {"X-A": "a", "x_a": "b"}"#, "compares names in folded form"),
        (r#""region_header": "cookie""#, "reserved names"),
        (r#""userinfo_headers": {"Accept-Encoding": "gzip"}"#, "reserved names"),
        (r#""realm": "a", "realm": "b""#, "a document that was read knows no repeated key"),
        (r#""max_in_flight": 5.0"#, "to JSON Schema 5.0 is a whole number"),
        (&format!(r#""clusters": {{"a": "{}"}}"#, "é".repeat(600)), "counts characters, not bytes"),
        (&format!(r#""inject_headers": {{"X-A": "$['{long}']"}}"#), "counts characters, not bytes"),
        (
            r#""userinfo_endpoint": {"defaultURI": "https://a.example:70000/u"}"#,
            "the value of a number within a text: ports",
        ),
        (r#""userinfo_endpoint": {"defaultURI": "https://[1:2]/u"}"#, "IPv6 addresses"),
        (
            r#""userinfo_endpoint": {"defaultURI": ["https://a.example/", "HTTPS://a.example/"]}"#,
            "two spellings of one URI",
        ),
        (
            r#""userinfo_endpoint": {"defaultURI": "https://a.example/u", "regionCodeHeader": "x-r",
               "regionCodeValue": {"A": "https://a.example/u", "a": "https://a.example/v"}}"#,
            "compares names: codes that differ in letter case alone",
        ),
        (
            r#""userinfo_endpoint": {"defaultURI": "https://a.example/u", "regionCodeHeader": "te",
               "regionCodeValue": {"A": "https://a.example/u"}}"#,
            "reserved names",
        ),
    ] {
        // The text itself, because a repeated key is gone once it was read.
        let own = r#""userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"}"#;
        let text = match members.contains("userinfo_endpoint") {
            true => format!("{{{members}}}"),
            false => format!("{{{own}, {members}}}"),
        };
        let configuration: Value = serde_json::from_str(&text).unwrap();
        assert!(validator.is_valid(&configuration), "the schema can say it: {why}: {text}");
        assert!(!reads(&text), "nothing is wrong: {text}");
    }
}
