//! What loads, and the policy it becomes.

use std::time::Duration;

use super::*;
use crate::policy::{
    AccessLog, Authorization, Egress, ErrorSet, Lists, OwnErrors, Preflight, ProviderErrors,
    ProviderText, Success, Unavailable, UnknownRegion,
};

const EXAMPLE: &str = r#"{
  "userinfo_endpoint": {
    "regionCodeHeader": "HTTP-REQUEST-REGION-KEY",
    "regionCodeValue": {
      "FR": "https://uki.acme-travel.com:9001/fr/userinfo",
      "US": "https://uki.acme-travel.com:9001/en/userinfo",
      "DE": "https://uki.acme-travel.com:9001/de/userinfo"
    },
    "defaultURI": "https://uki.acme-travel.com/en/userinfo"
  },
  "inject_headers": {
    "US": { "X-User-Email": "$.uid", "X-Unit-Id": "$.b2bUnitId", "X-Account-Number": "$.erpAccountNumber" },
    "default": { "X-User-Id": "$.email", "X-Unit-Id": "$.b2bUnitId", "X-Account-Number": "$.erpAccountNumber" }
  },
  "block_authorization_header": false,
  "error_metadata_location": "ResponseHeaders",
  "error_header_name": "WWW-Authenticate",
  "enable_error_set": "true"
}"#;

#[test]
fn the_source_systems_unchanged_example() {
    let loaded = load(EXAMPLE);
    let policy = &loaded.policy;
    let table = table(&loaded);
    assert_eq!(table.region_header.as_deref(), Some("http-request-region-key"));
    let regions: Vec<_> = table
        .regions
        .iter()
        .map(|e| {
            (&*e.region, e.sites[0].scheme, e.sites[0].authority.as_str(), e.sites[0].path.as_str())
        })
        .collect();
    let authority = "uki.acme-travel.com:9001";
    assert_eq!(
        regions,
        [
            ("FR", "https", authority, "/fr/userinfo"),
            ("US", "https", authority, "/en/userinfo"),
            ("DE", "https", authority, "/de/userinfo"),
        ]
    );
    let default = table.default.as_ref().unwrap();
    assert_eq!(&*default.region, "default");
    assert_eq!(default.sites[0].authority, "uki.acme-travel.com");
    assert_eq!(default.sites[0].cluster, "uki.acme-travel.com");
    assert_eq!(default.sites[0].path, "/en/userinfo");

    let others = ["x-user-id", "x-unit-id", "x-account-number"];
    assert_eq!(injected(&table.regions[0]), others);
    assert_eq!(injected(&table.regions[1]), ["x-user-email", "x-unit-id", "x-account-number"]);
    assert_eq!(injected(&table.regions[2]), others);
    assert_eq!(injected(default), others);

    assert_eq!(policy.forward.authorization, Authorization::Forward);
    assert!(
        matches!(&policy.replies.provider_text, ProviderText::Header(h) if h == "www-authenticate")
    );
    assert!(matches!(policy.replies.own_errors, OwnErrors::ErrorSet(_)));
    for name in ["x-user-id", "X_User_Email", "x.unit.id", "x-account-number"] {
        assert!(policy.forward.strip.covers(name.as_bytes()), "{name}");
    }
    assert!(!policy.forward.strip.covers(b"authorization"));
}

#[test]
fn every_default() {
    let loaded = load(&with(""));
    let policy = &loaded.policy;
    let table = table(&loaded);
    assert_eq!(table.region_header, None);
    assert!(table.regions.is_empty());
    assert_eq!(table.unknown_region, UnknownRegion::UseDefault);
    assert!(table.default.as_ref().unwrap().rules.is_empty());
    assert_eq!(policy.method.key_parts(), ["userinfo", "GET", "object"]);
    assert_eq!(policy.call.timeout, Duration::from_secs(5));
    let agent = concat!("oidc-token-connector/", env!("CARGO_PKG_VERSION")).to_owned();
    assert_eq!(policy.call.headers, [("user-agent".to_owned(), agent)]);
    assert_eq!(policy.call.max_bytes, 65_536);
    assert!(matches!(policy.method.success(), Success::Object));
    assert_eq!(policy.forward.authorization, Authorization::Remove);
    assert_eq!(policy.forward.region_header, None);
    assert_eq!(policy.forward.strip, crate::request::strip::StripList::default());
    assert_eq!(policy.replies.realm, "api");
    assert!(matches!(policy.replies.own_errors, OwnErrors::Named));
    assert_eq!(policy.replies.unavailable, Unavailable::AsOwnError);
    assert!(matches!(policy.replies.provider_text, ProviderText::Withheld));
    assert_eq!(policy.replies.provider_errors, ProviderErrors::Relay);
    assert_eq!(policy.max_token_bytes, 7168);
    assert_eq!(policy.preflight, Preflight::Authenticate);
    assert_eq!(policy.access_log, AccessLog::Silent);
    assert_eq!(policy.egress, Egress::Direct);
}

#[test]
fn endpoints_of_every_form() {
    for (uri, scheme, authority, path) in [
        ("https://idp.example/", "https", "idp.example", "/"),
        ("http://idp.example:8080/u", "http", "idp.example:8080", "/u"),
        ("HTTPS://IdP.example/U", "https", "IdP.example", "/U"),
        ("https://idp.example:443/u?a=b&c=%20d?/", "https", "idp.example:443", "/u?a=b&c=%20d?/"),
        ("https://[2001:db8::1]:9001/u", "https", "[2001:db8::1]:9001", "/u"),
        ("https://[::1]/u", "https", "[::1]", "/u"),
        ("https://192.0.2.7:65535/u;v=1/@me", "https", "192.0.2.7:65535", "/u;v=1/@me"),
        ("http://idp_internal:1/u", "http", "idp_internal:1", "/u"),
    ] {
        let loaded = load(&format!(r#"{{"userinfo_endpoint": {{"defaultURI": "{uri}"}}}}"#));
        let endpoint = table(&loaded).default.as_ref().unwrap();
        assert_eq!(
            (
                endpoint.sites[0].scheme,
                endpoint.sites[0].authority.as_str(),
                endpoint.sites[0].path.as_str()
            ),
            (scheme, authority, path),
            "{uri}"
        );
        assert_eq!(endpoint.sites[0].cluster, authority);
    }
}

#[test]
fn a_cluster_is_found_by_the_authority_as_written() {
    let loaded = load(
        r#"{"userinfo_endpoint": {
                "regionCodeHeader": "x-region",
                "regionCodeValue": {"FR": "https://idp.example:443/fr"},
                "defaultURI": "https://idp.example/userinfo"},
            "clusters": {"idp.example": "outbound|443||idp.example", "other.example": "unused"}}"#,
    );
    let table = table(&loaded);
    assert_eq!(table.default.as_ref().unwrap().sites[0].cluster, "outbound|443||idp.example");
    assert_eq!(table.regions[0].sites[0].cluster, "idp.example:443");
}

#[test]
fn ten_regions_also_with_one_uri() {
    let regions: Vec<String> =
        (0..10).map(|n| format!(r#""R{n}": "https://idp.example/u""#)).collect();
    let loaded = load(&format!(
        r#"{{"userinfo_endpoint": {{"regionCodeHeader": "x-region",
            "regionCodeValue": {{{}}}, "defaultURI": "https://idp.example/u"}},
            "unknown_region": "reject"}}"#,
        regions.join(",")
    ));
    assert_eq!(table(&loaded).regions.len(), 10);
    assert_eq!(&*table(&loaded).regions[9].region, "R9");
    assert_eq!(table(&loaded).unknown_region, UnknownRegion::Reject);
}

#[test]
fn region_codes_may_hold_blanks_inside_and_other_scripts() {
    let loaded = load(
        r#"{"userinfo_endpoint": {"regionCodeHeader": "x-region",
            "regionCodeValue": {"North America": "https://na.example/u", "日本": "https://jp.example/u"},
            "defaultURI": "https://idp.example/u"}}"#,
    );
    assert_eq!(&*table(&loaded).regions[0].region, "North America");
    assert_eq!(&*table(&loaded).regions[1].region, "日本");
}

#[test]
fn one_header_map_for_all_serves_every_region() {
    let loaded = load(
        r#"{"userinfo_endpoint": {"regionCodeHeader": "x-region",
            "regionCodeValue": {"FR": "https://fr.example/u"},
            "defaultURI": "https://idp.example/u"},
            "inject_headers": {"X-User-Email": "$.uid", "X-Forwarded-User": "sub"}}"#,
    );
    let names = ["x-user-email", "x-forwarded-user"];
    assert_eq!(injected(&table(&loaded).regions[0]), names);
    assert_eq!(injected(table(&loaded).default.as_ref().unwrap()), names);
}

#[test]
fn a_region_without_a_map_gets_that_of_default_or_none() {
    let config = |maps: &str| {
        format!(
            r#"{{"userinfo_endpoint": {{"regionCodeHeader": "x-region",
                "regionCodeValue": {{"FR": "https://fr.example/u", "US": "https://us.example/u"}},
                "defaultURI": "https://idp.example/u"}}, "inject_headers": {{{maps}}}}}"#
        )
    };
    for (maps, fr, us, default) in [
        (
            r#""FR": {"X-A": "a"}, "default": {"X-B": "b"}"#,
            ["x-a"].as_slice(),
            ["x-b"].as_slice(),
            ["x-b"].as_slice(),
        ),
        (r#""FR": {"X-A": "a"}"#, &["x-a"], &[], &[]),
        (r#""FR": {}, "default": {"X-B": "b"}"#, &[], &["x-b"], &["x-b"]),
        (r#""FR": {"X-A": "a"}, "US": {"x_a": "b"}"#, &["x-a"], &["x_a"], &[]),
        ("", &[], &[], &[]),
    ] {
        let loaded = load(&config(maps));
        let table = table(&loaded);
        assert_eq!(injected(&table.regions[0]), fr, "FR of {maps}");
        assert_eq!(injected(&table.regions[1]), us, "US of {maps}");
        assert_eq!(injected(table.default.as_ref().unwrap()), default, "default of {maps}");
    }
}

#[test]
fn lists_are_json_unless_joined() {
    let loaded = load(&with(
        r#""inject_headers": {"default": {
            "X-A": "$.roles[*]",
            "X-B": {"path": "$.roles[*]"},
            "X-C": {"path": "$.roles[*]", "join": ", "}}}"#,
    ));
    let rules = &table(&loaded).default.as_ref().unwrap().rules;
    let lists: Vec<&Lists> = rules.iter().map(|rule| &rule.value.lists).collect();
    assert_eq!(lists, [&Lists::Json, &Lists::Json, &Lists::Joined(", ".to_owned())]);
}

#[test]
fn names_that_look_reserved_but_are_not() {
    load(&with(
        r#""inject_headers": {"X-Forwarded-User": "a", "X-Forwarded-Email": "b",
            "X-Forwarded-Groups": "c", "X-Forwarded-Preferred-Username": "d", "X-Authorization": "e",
            "Hosts": "f", "X-Proxy-User": "g", "X-Envoyage": "h", "Tea": "i", "X_User.Id!#$%&'*+^`|~": "j"}"#,
    ));
    load(&with(&format!(r#""inject_headers": {{"{}": "sub"}}"#, "x".repeat(128))));
}

#[test]
fn the_region_header_is_stripped_like_an_injected_one() {
    let loaded = load(&with(r#""region_header": "X-Region-Used", "inject_headers": {"X-A": "a"}"#));
    assert_eq!(loaded.policy.forward.region_header.as_deref(), Some("x-region-used"));
    assert!(loaded.policy.forward.strip.covers(b"x_region.used"));
    assert!(loaded.policy.forward.strip.covers(b"X-A"));
}

#[test]
fn fixed_headers_replace_the_default_user_agent_in_any_case() {
    let loaded = load(&with(
        r#""userinfo_headers": {"USER-Agent": "acme/1", "X-Api-Key": "k y", "X-Empty": ""}"#,
    ));
    let headers: Vec<_> =
        loaded.policy.call.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let mut headers = headers;
    headers.sort_unstable();
    assert_eq!(headers, [("user-agent", "acme/1"), ("x-api-key", "k y"), ("x-empty", "")]);
}

#[test]
fn other_fixed_headers_leave_the_default_user_agent() {
    let loaded = load(&with(r#""userinfo_headers": {"X-A": "a"}"#));
    let names: Vec<_> = loaded.policy.call.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-a", "user-agent"]);
}

#[test]
fn the_longest_region_code_and_cluster() {
    let (code, cluster) = ("x".repeat(256), "c".repeat(1024));
    let loaded = load(&format!(
        r#"{{"userinfo_endpoint": {{"regionCodeHeader": "x-r",
             "regionCodeValue": {{"{code}": "https://a.example/u"}},
             "defaultURI": "https://b.example/u"}}, "clusters": {{"a.example": "{cluster}"}}}}"#
    ));
    let region = &table(&loaded).regions[0];
    assert_eq!((&*region.region, &region.sites[0].cluster), (&*code, &cluster));
}

#[test]
fn the_longest_host_endpoint_and_error_body() {
    let host = "h".repeat(253);
    let start = format!("https://{host}/");
    let uri = format!("{start}{}", "p".repeat(2048 - start.len()));
    let body = "b".repeat(65_536);
    let loaded = load(&format!(
        r#"{{"userinfo_endpoint": {{"defaultURI": "{uri}"}}, "enable_error_set": true,
             "error_set": {{"response_body": "{body}"}}}}"#
    ));
    let default = table(&loaded).default.as_ref().unwrap();
    assert_eq!(
        (default.sites[0].authority.as_str(), default.sites[0].path.len()),
        (host.as_str(), 1787)
    );
    match loaded.policy.replies.own_errors {
        crate::policy::OwnErrors::ErrorSet(set) => assert_eq!(set.response_body, body),
        crate::policy::OwnErrors::Named => panic!("no error set"),
    }
}

#[test]
fn the_longest_separator() {
    let join = ";".repeat(64);
    let loaded = load(&with(&format!(
        r#""inject_headers": {{"default": {{"X-A": {{"path": "$.a[*]", "join": "{join}"}}}}}}"#
    )));
    let default = table(&loaded).default.as_ref().unwrap();
    assert_eq!(default.rules[0].value.lists, crate::policy::Lists::Joined(join));
}

#[test]
fn durations_and_numbers_at_their_ends() {
    for (text, expected) in [
        ("1ms", Duration::from_millis(1)),
        ("250ms", Duration::from_millis(250)),
        ("2s", Duration::from_secs(2)),
        ("30s", Duration::from_secs(30)),
        ("30000ms", Duration::from_secs(30)),
    ] {
        let loaded = load(&with(&format!(r#""timeout": "{text}""#)));
        assert_eq!(loaded.policy.call.timeout, expected, "{text}");
    }
    for bytes in [1, 65_536] {
        let loaded = load(&with(&format!(r#""max_token_bytes": {bytes}"#)));
        assert_eq!(loaded.policy.max_token_bytes, bytes);
    }
    for bytes in [1, 1_048_576] {
        let loaded = load(&with(&format!(r#""max_userinfo_bytes": {bytes}"#)));
        assert_eq!(loaded.policy.call.max_bytes, bytes);
    }
}

#[test]
fn the_error_set_is_enabled_by_true_alone() {
    for (value, enabled) in [
        (r#""true""#, true),
        (r#""TRUE""#, true),
        (r#""True""#, true),
        ("true", true),
        ("false", false),
        (r#""false""#, false),
        (r#""yes""#, false),
        (r#"" true""#, false),
        (r#""""#, false),
        ("1", false),
        ("null", false),
        ("[true]", false),
        (r#"{"a": true}"#, false),
    ] {
        let loaded = load(&with(&format!(r#""enable_error_set": {value}"#)));
        let own = &loaded.policy.replies.own_errors;
        assert_eq!(matches!(own, OwnErrors::ErrorSet(_)), enabled, "{value}");
    }
}

#[test]
fn the_error_set_and_its_defaults() {
    let set = |members: &str| {
        let loaded = load(&with(&format!(r#""enable_error_set": true{members}"#)));
        match loaded.policy.replies.own_errors {
            OwnErrors::ErrorSet(set) => set,
            OwnErrors::Named => panic!("not enabled"),
        }
    };
    let default = ErrorSet {
        code: 403,
        detail_header: "Not Authorized".to_owned(),
        response_body: String::new(),
        content_type: "text/plain".to_owned(),
    };
    assert_eq!(set(""), default);
    assert_eq!(set(r#", "error_set": {}"#), default);
    assert_eq!(
        set(r#", "error_set": {"code": 599, "detail_header": "", "response_body": "<p>\n</p>",
               "content_type": "text/html; charset=\"utf-8\""}"#),
        ErrorSet {
            code: 599,
            detail_header: String::new(),
            response_body: "<p>\n</p>".to_owned(),
            content_type: "text/html; charset=\"utf-8\"".to_owned(),
        }
    );
    assert_eq!(set(r#", "error_set": {"code": 400}"#).code, 400);
}

#[test]
fn the_reply_when_the_provider_gives_none() {
    let after = |seconds| Unavailable::ServiceUnavailable { retry_after: seconds };
    for (value, expected) in [
        ("{}", Unavailable::Unauthorized),
        (r#"{"status": 401}"#, Unavailable::Unauthorized),
        (r#"{"status": 503}"#, after(None)),
        (r#"{"status": 503, "retry_after": "1s"}"#, after(Some(1))),
        (r#"{"status": 503, "retry_after": "3000ms"}"#, after(Some(3))),
        (r#"{"status": 503, "retry_after": "5m"}"#, after(Some(300))),
        (r#"{"status": 503, "retry_after": "24h"}"#, after(Some(86_400))),
    ] {
        let loaded = load(&with(&format!(r#""userinfo_unavailable": {value}"#)));
        assert_eq!(loaded.policy.replies.unavailable, expected, "{value}");
    }
}

#[test]
fn where_the_subject_is() {
    for path in ["$.data.sub", "data.sub", "$['sub']", "$.ids[-1]", "sub", "$", "$.true"] {
        let loaded = load(&with(&format!(r#""require_subject": "{path}""#)));
        let Success::ObjectWithSubjectAt(at) = loaded.policy.method.success() else {
            panic!("{path}");
        };
        assert_eq!(&*at.text, path);
        assert!(at.path.is_singular());
    }
    let loaded = load(&with(r#""require_subject": false"#));
    assert!(matches!(loaded.policy.method.success(), Success::Object));
}

/// What vouches by one rule says nothing by another: neither shares a call or a verdict.
#[test]
fn the_rule_of_vouching_is_part_of_the_question() {
    let prefix = |members: &str| {
        let loaded = load(&with(members));
        let endpoint = table(&loaded).default.as_ref().unwrap();
        let head = crate::sim::head(&[("authorization", "Bearer t")]);
        endpoint.key.shared_key(&crate::request::bearer::parse(&head, 9).unwrap())
    };
    let rules = [
        "",
        r#""require_subject": true"#,
        r#""require_subject": "$.sub""#,
        r#""require_subject": "$.id""#,
        r#""accept_any_200": true"#,
        r#""userinfo_method": "POST""#,
    ];
    let keys: std::collections::HashSet<_> = rules.iter().map(|rule| prefix(rule)).collect();
    assert_eq!(keys.len(), rules.len());
    assert_eq!(prefix(r#""require_subject": false, "realm": "b""#), prefix(""));
}

#[test]
fn what_becomes_of_a_providers_error() {
    for (members, expected) in [
        (r#""provider_errors": "relay""#, ProviderErrors::Relay),
        (
            r#""provider_errors": "relay", "userinfo_unavailable": {"status": 503}"#,
            ProviderErrors::Relay,
        ),
        (
            r#""provider_errors": "map", "userinfo_unavailable": {"status": 503}"#,
            ProviderErrors::Map,
        ),
    ] {
        let loaded = load(&with(members));
        assert_eq!(loaded.policy.replies.provider_errors, expected, "{members}");
    }
}

#[test]
fn where_the_providers_text_is() {
    let text = |members: &str| load(&with(members)).policy.replies.provider_text;
    assert!(matches!(
        text(r#""error_metadata_location": "ResponseHeaders", "error_header_name": "ErrorHeader""#),
        ProviderText::Header(name) if name == "errorheader"
    ));
    assert!(matches!(
        text(
            r#""error_metadata_location": "ResponsePayload", "error_payload_location": "$.message""#
        ),
        ProviderText::PayloadAt(_)
    ));
    for (members, whole_payload) in [
        (r#""error_metadata_location": "ResponseHeaders""#, false),
        (r#""error_metadata_location": "ResponseHeaders", "error_header_name": """#, false),
        (r#""error_metadata_location": "ResponsePayload""#, true),
        (r#""error_metadata_location": "ResponsePayload", "error_payload_location": """#, true),
        (r#""error_metadata_location": "QueryParameter", "error_header_name": "X-E""#, false),
        (r#""error_metadata_location": "responsepayload""#, false),
        (r#""error_metadata_location": "", "error_payload_location": "$.m""#, false),
        (r#""error_payload_location": "$.m""#, false),
        (r#""error_metadata_location": 5"#, false),
        (r#""error_metadata_location": null"#, false),
        (r#""error_metadata_location": ["ResponsePayload"]"#, false),
    ] {
        match text(members) {
            ProviderText::Withheld => assert!(!whole_payload, "{members}"),
            ProviderText::Payload => assert!(whole_payload, "{members}"),
            ProviderText::Header(_) | ProviderText::PayloadAt(_) => panic!("{members}"),
        }
    }
}

#[test]
fn the_words() {
    let policy = load(&with(
        r#""userinfo_method": "POST", "preflight": "pass", "access_log_state": true,
           "realm": "a \"b\" \\c", "require_subject": true, "block_authorization_header": true,
           "http_proxy_server": "squid.example.com", "http_proxy_port": 3128"#,
    ))
    .policy;
    assert_eq!(policy.method.key_parts(), ["userinfo", "POST", "sub"]);
    assert_eq!(policy.preflight, Preflight::Pass);
    assert_eq!(policy.access_log, AccessLog::FilterState);
    assert_eq!(policy.replies.realm, r#"a "b" \c"#);
    assert!(matches!(policy.method.success(), Success::ObjectWithSubject));
    assert_eq!(policy.forward.authorization, Authorization::Remove);
    let server = "squid.example.com".to_owned();
    assert_eq!(policy.egress, Egress::Proxy { server, port: 3128 });

    let any = load(&with(r#""accept_any_200": true, "require_subject": false"#)).policy;
    assert!(matches!(any.method.success(), Success::Any));
    let words = r#""userinfo_method": "GET", "preflight": "authenticate",
        "unknown_region": "default", "accept_any_200": false, "access_log_state": false"#;
    assert_eq!(load(&with(words)).policy.preflight, Preflight::Authenticate);
}

#[test]
fn what_other_filters_and_statistics_get_to_know() {
    let policy = load(&with(
        r#""filter_state": {"user": "$.sub", "groups_2": {"path": "$.groups[*]", "join": ","}},
           "stat_name": "orders""#,
    ))
    .policy;
    assert_eq!(policy.stat_name.as_deref(), Some("orders"));
    let Endpoints::Configured(table) = &policy.endpoints else { panic!("no endpoints") };
    for endpoint in table.regions.iter().chain(&table.default) {
        let state: Vec<_> =
            endpoint.state.iter().map(|rule| (&*rule.name, &rule.value.lists)).collect();
        let joined = Lists::Joined(",".to_owned());
        assert_eq!(state, [("user", &Lists::Json), ("groups_2", &joined)]);
    }
    let none = load(&with("")).policy;
    assert_eq!(none.stat_name, None);
}

/// The proxy is a property of clusters: those that must carry it are named, each once.
#[test]
fn the_clusters_behind_a_forward_proxy_are_named() {
    let notes = |more: &str| {
        let text = format!(
            r#"{{"userinfo_endpoint": {{
                "regionCodeHeader": "X-Region",
                "regionCodeValue": {{
                    "FR": "https://fr.example/userinfo",
                    "SE": "https://idp.example/se"
                }},
                "defaultURI": "https://idp.example/userinfo"}},
            "clusters": {{"idp.example": "idp"}}{more}}}"#
        );
        load(&text).policy.notes()
    };
    assert_eq!(
        notes(r#", "http_proxy_server": "squid.example", "http_proxy_port": 3128"#),
        [
            "cluster fr.example must reach fr.example through the forward proxy squid.example:3128",
            "cluster idp must reach idp.example through the forward proxy squid.example:3128",
        ]
    );
    assert!(notes("").is_empty());
}

/// What the source system answers per request loads, with a fault for the log.
#[test]
fn faults() {
    let blocked = "every request with a token is answered with \
                   InvalidPreInputConfigurationForUserInfoEndpointURI";
    let unserved = "requests without a matching region are answered with \
                    DefaultUserInfoURINotPresent";
    let no_endpoint = |found: &str| {
        let or = if found == "missing" { ", or introspection_endpoint instead" } else { "" };
        format!(
            "userinfo_endpoint: {found}, expected an object with defaultURI or issuers{or}: {blocked}"
        )
    };
    let no_default = |found: &str| {
        format!("userinfo_endpoint.defaultURI: {found}, expected an endpoint URI: {unserved}")
    };
    for (config, expected) in [
        ("{}", no_endpoint("missing")),
        (r#"{"realm": "x"}"#, no_endpoint("missing")),
        (r#"{"userinfo_endpoint": "https://idp.example/u"}"#, no_endpoint("got text")),
        (r#"{"userinfo_endpoint": null}"#, no_endpoint("got null")),
        (r#"{"userinfo_endpoint": []}"#, no_endpoint("got an array")),
        (r#"{"userinfo_endpoint": 1}"#, no_endpoint("got a number")),
        (r#"{"userinfo_endpoint": true}"#, no_endpoint("got a boolean")),
        (r#"{"userinfo_endpoint": {}}"#, no_default("missing")),
        (r#"{"userinfo_endpoint": {"defaultURI": ""}}"#, no_default("got empty text")),
    ] {
        let loaded = read(config.as_bytes()).unwrap();
        assert_eq!(lines(&loaded.faults), [expected.as_str()], "{config}");
        match loaded.policy.endpoints {
            Endpoints::Configured(table) => {
                assert!(expected.contains("defaultURI: ") && table.default.is_none(), "{config}");
            }
            Endpoints::NotConfigured => assert!(expected.starts_with("userinfo_endpoint: ")),
        }
        check_struct(config);
    }
}

/// Without endpoints there are no codes to compare with, and every token is refused anyway; what
/// the other keys say still has to be stripped from a preflight that passes.
#[test]
fn the_example_without_its_endpoints_loads_too() {
    let mut example: Document = serde_json::from_str(EXAMPLE).unwrap();
    example.as_object_mut().unwrap().remove("userinfo_endpoint");
    let loaded = read(example.to_string().as_bytes()).unwrap();
    assert_eq!(loaded.faults.len(), 1);
    assert!(matches!(loaded.policy.endpoints, Endpoints::NotConfigured));
    assert!(loaded.policy.forward.strip.covers(b"x-user-email"));
    assert!(loaded.policy.forward.strip.covers(b"x-user-id"));
}

#[test]
fn a_shown_policy_keeps_header_values_back() {
    let loaded = load(&with(r#""userinfo_headers": {"X-Api-Key": "s3cret"}"#));
    let shown = format!("{loaded:?}");
    assert!(shown.contains("x-api-key") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_cache_with_its_defaults_and_at_its_limits() {
    use crate::policy::{CachePolicy, CacheScope, Caching, NoStore};
    let cache = |members: &str| load(&with(members)).policy.cache;
    assert_eq!(cache(""), Caching::Off);
    let defaults = CachePolicy {
        ttl: Duration::from_secs(60),
        negative_ttl: Duration::from_secs(5),
        stale_if_error: Duration::ZERO,
        max_entries: 10_000,
        max_bytes: 16_777_216,
        no_store: NoStore::Ignored,
        scope: CacheScope::Worker,
    };
    assert_eq!(cache(r#""cache": {}"#), Caching::On(defaults));
    let all = r#""cache": {"ttl": "1h", "negative_ttl": "5m", "stale_if_error": "1h", "max_entries": 1000000,
                           "max_bytes": 67108864, "honor_no_store": true, "shared": true}"#;
    let most = CachePolicy {
        ttl: Duration::from_secs(3600),
        negative_ttl: Duration::from_secs(300),
        stale_if_error: Duration::from_secs(3600),
        max_entries: 1_000_000,
        max_bytes: 67_108_864,
        no_store: NoStore::Honored,
        scope: CacheScope::Process,
    };
    assert_eq!(cache(all), Caching::On(most));
    let least = CachePolicy {
        ttl: Duration::ZERO,
        negative_ttl: Duration::ZERO,
        max_entries: 0,
        max_bytes: 0,
        ..defaults
    };
    let none = r#""cache": {"ttl": "0s", "negative_ttl": "0ms", "max_entries": 0, "max_bytes": 0}"#;
    assert_eq!(cache(none), Caching::On(least));
}

#[test]
fn how_sites_are_asked() {
    use crate::policy::Breaker;
    let call = |members: &str| load(&with(members)).policy.call;
    let defaults = call("");
    assert_eq!((defaults.timeout, defaults.deadline), (secs(5), secs(10)));
    let after = |failures, open_for| Breaker::After { failures, open_for };
    assert_eq!((defaults.breaker, defaults.max_in_flight), (after(5, secs(5)), 1024));
    let all = call(
        r#""timeout": "30s", "breaker": {"failures": 1, "open_for": "5m"}, "max_in_flight": 1"#,
    );
    assert_eq!((all.deadline, all.breaker), (secs(60), after(1, secs(300))));
    assert_eq!(all.max_in_flight, 1);
    assert_eq!(call(r#""breaker": {"failures": 0}"#).breaker, Breaker::Off);
    assert_eq!(call(r#""breaker": {}, "deadline": "7s""#).deadline, secs(7));
    let several = r#"{"userinfo_endpoint": {"defaultURI": ["https://a.example/u", "https://b.example/v"]},
                      "clusters": {"b.example": "second"}}"#;
    let Endpoints::Configured(table) = load(several).policy.endpoints else { panic!() };
    let sites = &table.default.as_ref().unwrap().sites;
    let clusters: Vec<_> = sites.iter().map(|s| (s.cluster.as_str(), s.path.as_str())).collect();
    assert_eq!(clusters, [("a.example", "/u"), ("second", "/v")]);
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
