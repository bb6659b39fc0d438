//! Texts and what becomes of them: the guide's example in every spelling that means the same, and
//! what cannot be taken over.

mod results;

use results::embedded;

use super::*;

/// The guide's example, as `docs/migration.md` has it, too.
const GUIDE: &str = include_str!("tests/guide.txt");

const TAKEN: &str = r#"{
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
    "US": {
      "X-User-Email": "$.uid",
      "X-Unit-Id": "$.b2bUnitId",
      "X-Account-Number": "$.erpAccountNumber"
    },
    "default": {
      "X-User-Id": "$.email",
      "X-Unit-Id": "$.b2bUnitId",
      "X-Account-Number": "$.erpAccountNumber"
    }
  },
  "block_authorization_header": false,
  "error_metadata_location": "ResponseHeaders",
  "error_header_name": "WWW-Authenticate",
  "error_payload_location": "$.errorMessage",
  "enable_error_set": true,
  "http_proxy_server": "squid.example.com",
  "http_proxy_port": 3128,
  "clusters": {
    "uki.acme-travel.com:9001": "idp_uki_acme_travel_com_9001",
    "uki.acme-travel.com": "idp_uki_acme_travel_com"
  },
  "access_log_state": true
}
"#;

fn migrated(text: &str) -> Migration {
    migrate(text, &Options::default())
}

/// The options that complete the guide's example.
fn given() -> Options {
    Options { proxy_address: Some("192.0.2.77".parse().unwrap()), ..Options::default() }
}

#[test]
fn guide_example_gives_one_configuration_in_every_spelling() {
    let smart = |text: &str| {
        let mut open = false;
        let turn = |c: char| match c {
            '"' => {
                open = !open;
                if open { '\u{201C}' } else { '\u{201D}' }
            }
            c => c,
        };
        text.chars().map(turn).collect::<String>()
    };
    let (head, tail) = GUIDE.split_at(GUIDE.find("block_authorization_header").unwrap());
    let alone =
        GUIDE.replacen("userinfo_endpoint: {\n", "", 1).replacen("userinfo\n}\n", "userinfo\n", 1);
    let spellings = [
        GUIDE.to_owned(),
        GUIDE.replace('\n', "\r\n"),
        format!("\u{FEFF}{GUIDE}"),
        format!("{tail}{head}"),
        alone,
        GUIDE.replacen("userinfo\n}\n", "userinfo\n", 1),
        GUIDE.replacen("de/userinfo\"}", "de/userinfo\"", 1),
        GUIDE.replacen("userinfo_endpoint: {", "userinfo_endpoint:", 1),
        GUIDE.replacen("inject_headers:{", "inject_headers:", 1),
        GUIDE.replacen("inject_headers:{", "inject_headers {", 1),
        GUIDE.replacen("inject_headers:{", "inject_headers:\n\n{", 1),
        GUIDE.replacen("}\n}\nblock", "}\nblock", 1),
        GUIDE.replacen("}\n}\nblock", "}\n}\n}\nblock", 1),
        GUIDE.replacen("inject_headers:{", "inject_headers:{{", 1).replacen(
            "}\n}\nblock",
            "}\n}\n}\nblock",
            1,
        ),
        smart(GUIDE),
        GUIDE.replace('"', "'"),
        GUIDE.replace('"', ""),
        GUIDE.replace(',', ""),
        GUIDE.replace(",\n", "\n").replace('\n', ",\n"),
        GUIDE.replace('\n', " "),
        GUIDE.replace(": ", ":\u{A0}\t "),
        GUIDE.replace('{', "\\{").replace('}', "\\}"),
        format!("{{\n{GUIDE}}}\n"),
        GUIDE.replace('\n', "\n- ").trim_end_matches("- ").to_owned(),
        format!("{}}}", TAKEN.split(",\n  \"clusters\"").next().unwrap()),
    ];
    for text in &spellings {
        let migration = migrate(text, &given());
        let Some(result) = &migration.result else { panic!("{text}\n{}", migration.report) };
        assert_eq!(result.filter, TAKEN, "{text}\n{}", migration.report);
        assert!(migration.whole, "{text}\n{}", migration.report);
    }
}

#[test]
fn lenient_syntax_is_in_the_report_with_its_lines() {
    let report = migrated(GUIDE).report;
    for said in [
        "| name or value without quotation marks within braces | 2, 3, 6 |",
        "| no comma before this member | 3, 6 |",
    ] {
        assert!(report.contains(said), "{report}");
    }
    let alone = migrated("a_b: 1\ndefaultURI: https://idp.example/u").report;
    let said = "| key of `userinfo_endpoint` on a line of its own: moved into it | 2 |";
    assert!(alone.contains(said), "{alone}");
}

#[test]
fn report_lists_the_values_read() {
    let report = migrate(GUIDE, &given()).report;
    assert!(report.contains("The result is complete."), "{report}");
    for row in [
        "| 5 | `userinfo_endpoint.regionCodeValue.DE` | `\"https://uki.acme-travel.com:9001/de/user\
         info\"` |",
        r#"| 17 | `inject_headers.default["X-Account-Number"]` | `"$.erpAccountNumber"` |"#,
        "| 20 | `block_authorization_header` | `false` |",
        "| 25 | `http_proxy_port` | `3128` |",
        "| 26 | `enable_error_set` | `true` |",
    ] {
        assert!(report.contains(row), "{row}\n{report}");
    }
    // Empty is absent, and a password goes no further than the configuration.
    let report = migrated("http_proxy_server:\ndefaultURI: https://u:s3cret@idp.example/u").report;
    assert!(report.contains("| 1 | `http_proxy_server` | `empty: left out"), "{report}");
    assert!(report.contains("https://…@idp.example/u") && !report.contains("s3cret"), "{report}");
}

/// A line of an otherwise valid text, and the finding about it.
const FINDINGS: [(&str, bool, &str); 30] = [
    (
        "error_metadata_location : ResponseHeaders (as agreed)",
        true,
        "line 2: error_metadata_location is \"ResponseHeaders (as agreed)\", which counts as \
         absent in both systems; got text after the value: remove it and run this again if \
         `ResponseHeaders` is meant",
    ),
    (
        "error_metadata_location: responseheaders",
        true,
        "line 2: error_metadata_location is \"responseheaders\", which counts as absent in \
         both systems; expected `ResponseHeaders` or `ResponsePayload`",
    ),
    (
        "enable_error_set: true (as agreed)",
        true,
        "line 2: enable_error_set is \"true (as agreed)\", which counts as false in both systems; \
         got text after the value: remove it and run this again if `true` is meant",
    ),
    (
        "enable_error_set: yes",
        true,
        "line 2: enable_error_set is \"yes\", which counts as false in both systems; write `true` \
         or `false`",
    ),
    (
        "block_authorization_header: false (as agreed)",
        false,
        "line 2: block_authorization_header: got another value, expected true or false",
    ),
    (
        "http_proxy_port: 3128 (as agreed)",
        false,
        "line 2: http_proxy_port: got an invalid port, expected 1 to 65535",
    ),
    (
        "timeout: 5s",
        true,
        "line 2: \"timeout\" is not a key of the source system; it is a key of this filter",
    ),
    (
        "inject_header: {}",
        true,
        "line 2: \"inject_header\" is not a key of the source system; did you mean inject_headers?",
    ),
    ("x-y: 1", true, "line 2: \"x-y\" is not a key of the source system; ignore it if it belongs"),
    (
        "userinfo_endpoint: {defaultUri: https://b.example/u}",
        true,
        "line 2: \"defaultUri\" is not a key of the source system; did you mean defaultURI?",
    ),
    (
        "defaultURI: https://idp.example/u",
        false,
        "line 2: userinfo_endpoint.defaultURI is set here and in line 1; keep one",
    ),
    (
        "enable_error_set: true\nenable_error_set: true",
        false,
        "line 3: enable_error_set is set here and in line 2",
    ),
    (
        "inject_headers: {\"A\": \"$.a\",\n\"A\": \"$.b\"}",
        false,
        "line 3: inject_headers.A is set here and in line 2",
    ),
    ("hello", false, "line 2: text without a colon; write `key: value`"),
    (
        "block_authorization_header: maybe",
        false,
        "line 2: block_authorization_header: got another value, expected true or false; write",
    ),
    (
        "http_proxy_port: 70000",
        false,
        "line 2: http_proxy_port: got an invalid port, expected 1 to 65535; write",
    ),
    (
        "error_header_name: {\"a\": \"b\"}",
        false,
        "line 2: error_header_name: got an object, expected text",
    ),
    ("inject_headers: $.sub", false, "line 2: inject_headers: got text, expected an object"),
    ("regionCodeValue: FR", false, "line 2: regionCodeValue: got text, expected an object"),
    (
        "userinfo_endpoint: https://b.example/u",
        false,
        "line 2: userinfo_endpoint: got text, expected an object",
    ),
    (
        "inject_headers: {\"FR\": {\"A\": {\"B\": \"c\"}}}",
        false,
        "line 2: inject_headers.FR.A: got an object, expected a JSONPath as text",
    ),
    // Problems that only the filter's own reader sees, with the line of the piece.
    (
        "regionCodeHeader: x-r",
        false,
        "line 2: userinfo_endpoint.regionCodeHeader: got regionCodeHeader without regionCodeValue",
    ),
    (
        "inject_headers: {\n\"X A\": \"$.a\"}",
        false,
        "line 3: inject_headers[\"X A\"]: invalid header name: got space at 2",
    ),
    (
        "inject_headers: {\n\"Host\": \"$.a\"}",
        false,
        "line 3: inject_headers.Host: got a reserved header name, expected another one; correct",
    ),
    (
        "inject_headers: {\"FR\": {\"A\": \"$.a\"}}",
        false,
        "line 2: inject_headers.FR: unknown region",
    ),
    ("error_payload_location: $.a[", false, "line 2: error_payload_location: invalid JSONPath"),
    (
        "http_proxy_server: squid",
        false,
        "line 2: http_proxy_server: got http_proxy_server without http_proxy_port",
    ),
    ("http_proxy_port: 0\nhttp_proxy_server: s", false, "line 2: http_proxy_port: got 0, expected"),
    (
        "regionCodeHeader: x-r\nregionCodeValue: {\"A\":\n\"ftp://a\"}",
        false,
        "line 3: userinfo_endpoint.regionCodeValue.A: invalid endpoint URI",
    ),
    (
        "regionCodeHeader: x-r\nregionCodeValue: {\"A\": \"http://idp.example/u\"}",
        false,
        "idp.example is called both with http:// and with https://",
    ),
];

#[test]
fn each_finding_has_line_and_remedy() {
    for (lines, has_result, said) in FINDINGS {
        let migration = migrated(&format!("defaultURI: https://idp.example/u\n{lines}\n"));
        assert!(!migration.whole, "{lines}");
        assert_eq!(migration.result.is_some(), has_result, "{lines}\n{}", migration.report);
        assert!(migration.report.contains(said), "{lines}\n{}", migration.report);
        let title = if has_result { "## Not carried over" } else { "## To correct" };
        assert!(migration.report.contains(title), "{lines}\n{}", migration.report);
    }
}

/// Many lines with one cause have one message, and the rest of them is judged as well.
#[test]
fn comments_are_one_finding_for_all_lines() {
    let text =
        "# from the wiki\ndefaultURI: https://idp.example/u // Europe\nenable_error_set: yes # ?";
    let migration = migrated(text);
    assert!(migration.result.is_none(), "{}", migration.report);
    let said = "- lines 1, 2, 3 have a comment (`# …` or `// …`), which the source system reads as a part \
                of the value; remove the comments and run this again\n";
    assert_eq!(migration.report.matches("comment").count(), 2, "{}", migration.report);
    assert!(migration.report.contains(said), "{}", migration.report);
    assert!(
        migration.report.contains("line 3: enable_error_set is \"yes\""),
        "{}",
        migration.report
    );
    let one = migrated("defaultURI: https://idp.example/u # Europe").report;
    assert!(one.contains("- line 1 has a comment ("), "{one}");
}

#[test]
fn subject_is_required_if_that_is_decided() {
    let text = "defaultURI: https://idp.example/u";
    let options = Options { require_subject: true, ..Options::default() };
    let (decided, open) = (migrate(text, &options), migrated(text));
    let config = |migration: &Migration| {
        let filter = &migration.result.as_ref().unwrap().filter;
        serde_json::from_str::<Json>(filter).unwrap()
    };
    assert_eq!(config(&decided)["require_subject"], true);
    assert_eq!(config(&open).get("require_subject"), None);
    let decision = "`migrate --require-subject` adds it";
    assert!(
        !decided.report.contains(decision) && open.report.contains(decision),
        "{}",
        open.report
    );
}

#[test]
fn all_findings_are_reported_at_once() {
    let report = migrated("hello\nx: 1\nhttp_proxy_port: y\n\"z").report;
    for line in ["line 1: text", "line 2: \"x\"", "line 3: http_proxy_port", "line 4: a quotation"]
    {
        assert!(report.contains(line), "{report}");
    }
    // Also those that only the filter's own reader sees, and what only an option can say.
    let text = "hello\ndefaultURI: https://idp.example/u\ninject_headers: {\"Host\": \"$.a\"}\n\
                error_payload_location: $.a[\n";
    let report = migrated(text).report;
    for line in ["line 1: text", "line 3: inject_headers.Host: got a reserved", "line 4: error_pay"]
    {
        assert!(report.contains(line), "{report}");
    }
    let text =
        "hello\ndefaultURI: https://idp.example/u\nhttp_proxy_server: s\nhttp_proxy_port: 1\n";
    let report = migrated(text).report;
    assert!(report.contains("line 3: The proxy"), "{report}");
}

/// What an unreadable value leaves behind is no problem of its own.
#[test]
fn consequences_of_an_unreadable_line_are_not_reported() {
    for (text, said) in [
        ("http_proxy_server: s\nhttp_proxy_port: x\ndefaultURI: https://idp.example/u", "line 2"),
        ("regionCodeHeader: x-r\nregionCodeValue: FR\ndefaultURI: https://idp.example/u", "line 2"),
        ("hello", "line 1"),
    ] {
        let migration = migrated(text);
        let problems = migration.report.lines().filter(|line| line.starts_with("- "));
        let problems: Vec<&str> = problems.collect();
        assert!(problems.len() == 1 && problems[0].contains(said), "{text}: {problems:?}");
        assert!(migration.result.is_none(), "{text}");
    }
}

#[test]
fn text_without_keys_has_no_result() {
    for text in ["", "\n \n", "x: y"] {
        let migration = migrated(text);
        assert!(migration.result.is_none() && !migration.whole, "{}", migration.report);
        assert!(
            migration.report.contains("got no key of the source system"),
            "{}",
            migration.report
        );
    }
}

/// The source system answers these per request, and so does the filter.
#[test]
fn missing_default_uri_gives_an_incomplete_result() {
    let migration =
        migrated("regionCodeHeader: x-r\nregionCodeValue: {\"A\": \"https://a.example/u\"}");
    assert!(migration.result.is_some() && !migration.whole, "{}", migration.report);
    assert!(migration.report.contains("## Requests that will be refused"), "{}", migration.report);
    let migration = migrated("enable_error_set: true");
    assert!(migration.result.is_some() && !migration.whole, "{}", migration.report);
}

/// For any text: the result loads, or there is none and the report gives the reason.
#[test]
fn damaged_text_never_gives_an_invalid_configuration() {
    let chars: Vec<char> = GUIDE.chars().collect();
    for at in (0..chars.len()).step_by(3) {
        let (before, after) = (&chars[..at], &chars[at + 1..]);
        let insert = ['{', '}', '"', ':', ',', '\n', '\'', '\\'][at % 8];
        for middle in [&[][..], &[insert, chars[at]][..]] {
            let text: String = [before, middle, after].concat().into_iter().collect();
            let migration = migrate(&text, &given());
            match &migration.result {
                Some(result) => {
                    let loaded = policy::read(result.filter.as_bytes());
                    assert!(loaded.is_ok(), "{text}\n{}", migration.report);
                    assert_eq!(
                        migration.whole,
                        loaded.unwrap().faults.is_empty()
                            && !migration.report.contains("## Not carried over"),
                        "{text}"
                    );
                }
                None => assert!(migration.report.contains("## To correct"), "{text}"),
            }
        }
    }
}

#[test]
fn report_lists_only_relevant_differences() {
    let guide = migrated(GUIDE).report;
    let small = migrated("defaultURI: http://idp.example/u").report;
    for (said, in_guide, in_small) in [
        ("`require_subject: true`", true, true),
        ("`accept_any_200: true` restores", true, true),
        ("The proxy's IP address", true, false),
        ("`error_set`: the text enables", true, false),
        ("tokens cross the network unencrypted", false, true),
        ("removed from each client request", true, false),
        ("`1 == '1'` is false", false, false),
        ("`unknown_region", true, false),
        ("## Beyond the source system\n\n- `introspection_endpoint`: ", true, true),
    ] {
        assert_eq!((guide.contains(said), small.contains(said)), (in_guide, in_small), "{said}");
    }
    let filter = "defaultURI: https://a.example/u\ninject_headers: {\"A\": \"$.a[?(@.b=='c')]\"}";
    assert!(migrated(filter).report.contains("`1 == '1'` is false"));
    assert!(!migrate(GUIDE, &given()).report.contains("The proxy's IP address"));
}

/// The result with the placeholder for the proxy's address does not work, so it must not look
/// complete.
#[test]
fn missing_proxy_address_is_reported_first() {
    let migration = migrated(GUIDE);
    assert!(migration.result.is_some() && !migration.whole, "{}", migration.report);
    let said = "The result refuses requests: see below.\n\n## Requests that will be refused\n\n- \
                line 24: The proxy's IP address is unknown, and Envoy does not resolve a name \
                there. The placeholder 192.0.2.10 is unreachable, so every request would be \
                refused; run this again with `--proxy-address` and the address of \
                squid.example.com, or replace the placeholder\n";
    assert!(migration.report.contains(said), "{}", migration.report);
    assert!(migrate(GUIDE, &given()).whole);
    let address = GUIDE.replace("squid.example.com", "192.0.2.77");
    assert!(migrated(&address).whole, "{}", migrated(&address).report);
}

/// A value may be on the line below its name where that is unambiguous.
#[test]
fn uri_on_the_next_line_is_the_value() {
    for text in [
        "defaultURI:\nhttps://idp.example/userinfo\nenable_error_set: true",
        "defaultURI:\n\n  https://idp.example/userinfo\nenable_error_set: true",
        "defaultURI:\n\"https://idp.example/userinfo\"\nenable_error_set: true",
        "userinfo_endpoint: {\ndefaultURI:\nhttps://idp.example/userinfo\n}\nenable_error_set: true",
    ] {
        let migration = migrated(text);
        assert!(migration.whole, "{text}\n{}", migration.report);
        let filter: Json = serde_json::from_str(&migration.result.unwrap().filter).unwrap();
        let uri = &filter["userinfo_endpoint"]["defaultURI"];
        assert_eq!(uri, "https://idp.example/userinfo", "{text}");
        let said = "value on the line below its name: accepted";
        assert!(migration.report.contains(said), "{text}\n{}", migration.report);
    }
    // A name is not a value, and neither is quoted text before a colon.
    for text in ["error_header_name:\nhttp_proxy_port: 1", "error_header_name:\n\"https\": x"] {
        assert!(!migrated(text).report.contains("on the line below"), "{text}");
    }
}

/// The bounds that the source system does not have: in the report, and on the page.
#[test]
fn limits_are_reported_as_differences() {
    let report = migrated(GUIDE).report;
    let page = results::project("docs/configuration.md");
    let (_, table) = page.split_once("\n## Departures from the source system\n").unwrap();
    let table = table.split("\n## ").next().unwrap();
    for said in
        ["7168 bytes", "malformed:too_long", "64 KiB", "4096 bytes", "16 KiB", "step budget"]
    {
        assert!(report.contains(said), "{said}\n{report}");
        assert!(table.contains(said), "{said}\n{table}");
    }
}

/// Characters that are not ASCII or not visible stay unchanged through JSON and YAML.
#[test]
fn unusual_characters_are_preserved() {
    let code = "é\u{2028}\u{FEFF}\u{1F600}x";
    // An invisible one only if it is written out.
    let written = code.replace('\u{FEFF}', "\\ufeff");
    let text = format!(
        "regionCodeHeader: x-r\ndefaultURI: https://a.example/u\n\
         regionCodeValue: {{\"{written}\": \"https://a.example/v\"}}"
    );
    let migration = migrated(&text);
    let result = migration.result.unwrap();
    let filter: Json = serde_json::from_str(&result.filter).unwrap();
    assert_eq!(filter["userinfo_endpoint"]["regionCodeValue"][code], "https://a.example/v");
    assert_eq!(embedded(&result.envoy), filter);
}
