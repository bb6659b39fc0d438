//! `oidc-connector check`, run as its users run it.
//!
//! Each file of `broken/` is a configuration with one problem, and names in its first line the
//! expected code: of errors and warnings only that one. `none` is followed by the expected notes:
//! there must be no others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod run;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use run::{Ran, run, run_with_input};
use serde_json::{Value, json};

fn here(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().unwrap().to_owned()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err))
}

fn findings(report: &Value) -> Vec<Value> {
    report["findings"].as_array().unwrap().clone()
}

/// The codes of everything found that is, or is not, a note.
fn codes(report: &Value, notes: bool) -> BTreeSet<String> {
    let findings = findings(report);
    let wanted = findings.iter().filter(|finding| (finding["severity"] == "note") == notes);
    wanted.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

/// Every file of `broken/` with the code in its first line.
fn table() -> Vec<(String, String)> {
    let files = fs::read_dir(here("tests/broken")).unwrap().map(|entry| entry.unwrap().path());
    let mut table: Vec<(String, String)> = files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.strip_prefix("# ").and_then(|text| text.split_once(':')).unwrap().0;
            (path.to_str().unwrap().to_owned(), code.to_owned())
        })
        .collect();
    table.sort();
    table
}

/// Every code there is, as the tool itself lists them.
fn all_codes() -> BTreeSet<String> {
    let ran = run(&["check", "--allow", "?", "-"]);
    let listed = ran.err.trim().split_once("expected warnings, ").unwrap().1;
    listed.split(", ").map(str::to_owned).collect()
}

#[test]
fn each_broken_configuration_gives_its_one_code() {
    let mut wrong = Vec::new();
    for (file, code) in table() {
        let ran = run(&["check", "--format", "json", &file]);
        let report = json(&ran);
        let (grave, notes) = (codes(&report, false), codes(&report, true));
        let (mut expected, mut other_notes) = (BTreeSet::new(), false);
        match code.strip_prefix("none") {
            Some(named) => {
                let named = named.split(", ").filter(|name| !name.is_empty());
                other_notes = notes != named.map(str::to_owned).collect();
            }
            None if notes.contains(&code) => {}
            None => expected = [code].into(),
        }
        if grave != expected || other_notes || ran.code != i32::from(!expected.is_empty()) {
            wrong.push(format!("{file}: exit {}: {:#}", ran.code, report["findings"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_a_broken_configuration_and_documentation() {
    let one = |(_, codes): (String, String)| codes.split(',').next().map(str::to_owned);
    let shown: BTreeSet<String> = table().into_iter().filter_map(one).collect();
    let mut expected = all_codes();
    expected.insert("none".to_owned());
    assert_eq!(shown, expected);

    let documentation = fs::read_to_string(here("../docs/check.md")).unwrap();
    let rows = documentation.lines().filter_map(|line| {
        let (code, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let severities = ["error | ", "warning | ", "note | "];
        severities.iter().any(|severity| rest.starts_with(severity)).then(|| code.to_owned())
    });
    assert_eq!(rows.collect::<BTreeSet<String>>(), all_codes());
}

#[test]
fn references_have_no_findings() {
    let expected = [
        ("../envoy/envoy.yaml", &["route-public"][..]),
        ("../envoy/forward-proxy.yaml", &[]),
        ("../envoy/minimal.yaml", &[]),
        ("../integration/mcp/envoy.yaml", &[]),
        ("tests/broken/clean.yaml", &[]),
    ];
    for (file, notes) in expected {
        let ran = run(&["check", "--format", "json", &here(file)]);
        let found: Vec<String> = codes(&json(&ran), true).into_iter().collect();
        assert_eq!(
            (ran.code, found),
            (0, notes.iter().map(|n| (*n).to_owned()).collect()),
            "{file}"
        );
        assert!(codes(&json(&ran), false).is_empty(), "{file}");
    }
    let ran = run(&["check", &here("../envoy/envoy.yaml")]);
    assert!(ran.out.ends_with("ok: 2 instances, 0 errors, 0 warnings, 1 note\n"), "{}", ran.out);
}

#[test]
fn configuration_problems_have_the_filters_text_and_place() {
    let ran = run_with_input(&["check", "-"], r#"{"userinfo_endpoint": 1, "timeout": 5}"#);
    assert_eq!(ran.code, 1);
    let lines: Vec<&str> = ran.out.lines().filter(|l| l.contains("error[configuration]")).collect();
    assert_eq!(
        lines,
        [
            "-:1: error[configuration]: userinfo_endpoint: got a number, expected an object \
             with defaultURI or issuers: every request with a token is answered with \
             InvalidPreInputConfigurationForUserInfoEndpointURI",
            "-:1: error[configuration]: timeout: got a number, expected a duration as text, 1ms \
             to 30s",
        ]
    );
}

#[test]
fn broken_json_has_the_filters_message() {
    let broken = "{\n  \"userinfo_endpoint\": }";
    let ran = run_with_input(&["check", "-"], broken);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("invalid JSON at line 2, column 24: "), "{}", ran.out);
    // Of other broken files nobody knows what they were to be, unless it is said.
    let ran = run_with_input(&["check", "-"], "{\n  \"a\": }");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("-: is not JSON: expected value at line 2"), "{}", ran.err);
    let ran = run_with_input(&["check", "--kind", "filter", "-"], "{\n  \"a\": }");
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("invalid JSON at line 2, column 8: "), "{}", ran.out);
    let twice = r#"{"userinfo_endpoint": {}, "timeout": "1s", "timeout": "1s"}"#;
    let repeated = run_with_input(&["check", "-"], twice);
    assert!(repeated.out.contains("timeout: repeated key"), "{}", repeated.out);
}

#[test]
fn finding_has_place_reason_and_remedy() {
    let file = here("tests/broken/istio-without-san.yaml");
    let ran = run(&["check", &file]);
    let expected = format!(
        "{file}:30: error[tls-without-san]: spec.trafficPolicy.tls: cluster \
         outbound|443||idp.example, which reaches https://idp.example, compares no name\n    why: "
    );
    assert!(ran.out.starts_with(&expected), "{}", ran.out);
    assert!(ran.out.contains("    do:  set in a DestinationRule for host idp.example "));
    let placed = run(&["check", &here("tests/broken/fail-open.yaml")]);
    let place = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config\
                 .http_filters[0].typed_config.config.failure_policy: failure_policy: FAIL_OPEN\n";
    assert!(placed.out.contains(place), "{}", placed.out);
}

#[test]
fn json_output() {
    let file = here("tests/broken/subject-not-required.yaml");
    let ran = run(&["check", "--format", "json", "--allow", "subject-not-required", &file]);
    let place = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config\
                 .http_filters[0].typed_config.config.configuration.value";
    let expected = json!({
        "version": 1,
        "ok": true,
        "unreadable": [],
        "unknown": [],
        "instances": 1,
        "errors": 0,
        "warnings": 0,
        "notes": 0,
        "findings": [{
            "code": "subject-not-required",
            "severity": "warning",
            "file": file,
            "document": null,
            "line": 26,
            "place": place,
            "also": [],
            "found": "require_subject is off",
            "why": "any page that answers 200 with a JSON object validates every token",
            "remedy": "set \"require_subject\": true",
            "allowed": true,
        }],
    });
    assert_eq!((ran.code, ran.out), (0, format!("{expected:#}\n")));
}

#[test]
fn allowed_findings_do_not_fail() {
    let warning = here("tests/broken/iteration-allowed.yaml");
    let error = here("tests/broken/fail-open.yaml");
    let code = |arguments: &[&str]| run(&[&["check"], arguments].concat()).code;
    assert_eq!(code(&[&warning]), 1);
    assert_eq!(code(&["--allow", "warnings", &warning]), 0);
    assert_eq!(code(&["--allow", "iteration-allowed", &warning]), 0);
    assert_eq!(code(&["--allow", "vm-id-missing", &warning]), 1);
    assert_eq!(code(&["--allow", "warnings", &error]), 1);
    assert_eq!(code(&["--allow", "fail-open", &error]), 0);
    assert_eq!(code(&["--allow", "fail-open", &error, &warning]), 1);
    let ran = run(&["check", "--allow", "fail-open", &error]);
    assert_eq!(ran.out, "ok: 1 instance, 0 errors, 0 warnings, 0 notes, 1 allowed\n");
}

#[test]
fn unreadable_file_is_reported_and_the_rest_checked() {
    let error = here("tests/broken/fail-open.yaml");
    let ran = run(&["check", "no-such-file.yaml", &error]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.starts_with("oidc-connector: no-such-file.yaml: cannot be read: "));
    assert!(ran.out.contains("error[fail-open]") && ran.out.contains("\nnot ok: "), "{}", ran.out);
    let ran = run(&["check", &here("tests/broken")]);
    let said = format!(
        "oidc-connector: {}: is a directory, expected a file; give a file in it\n",
        here("tests/broken")
    );
    assert_eq!((ran.code, ran.err), (2, said));
    let clean = here("tests/broken/clean.yaml");
    let ran = run(&["check", "--format", "json", "no-such-file.yaml", &clean]);
    let report = json(&ran);
    assert_eq!(ran.code, 2);
    assert_eq!(
        (&report["ok"], &report["unreadable"]),
        (&json!(false), &json!(["no-such-file.yaml"]))
    );
}

#[test]
fn wrong_usage() {
    for arguments in [&["check"][..], &["check", "--alow", "x", "-"], &["chekc"], &[]] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.err.contains("Usage: oidc-connector"), "{arguments:?}: {}", ran.err);
    }
    let ran = run(&["check", "--allow", "fail-opne", "-"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.starts_with("oidc-connector: --allow fail-opne: unknown code, expected warnings, ")
    );
}

/// Files of other programs have the filter's configuration in no form.
#[test]
fn file_of_no_known_kind_is_not_judged() {
    let compose = "services:\n  web: { image: nginx }\nvolumes: {}\n";
    let rules = "groups:\n  - name: a\n    rules: [{ alert: A, expr: up == 0 }]\n";
    let dashboard = r#"{"title": "A", "panels": [], "refresh": "5s", "timeout": "1s"}"#;
    let kustomization = "resources: [a.yaml, b.yaml]\nnamespace: a\n";
    let anchors = "x: &a { b: 1 }\nservices: { web: { <<: *a, image: nginx } }\n";
    let times = "timeout: 5s\ncache: {}\n";
    let clusters = "clusters: [{ name: prod }, { name: dev }]\nusers: [a]\n";
    let admin = "admin: { address: a }\n";
    for text in [anchors, times, clusters, admin] {
        assert_eq!(run_with_input(&["check", "-"], text).code, 3, "{text}");
    }
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: { name: a }\n";
    let map =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { envoy.yaml: '{}' }\n";
    let contexts =
        "apiVersion: v1\nkind: Config\nclusters: [{ name: a, cluster: { server: b } }]\n";
    let list = "apiVersion: v1\nkind: List\nitems: [{ apiVersion: v1, kind: Pod }]\n";
    let others = [compose, rules, dashboard, kustomization, "just text", "- 1\n- 2\n", "{}", "7"];
    for text in others.into_iter().chain([secret, map, contexts, list]) {
        let ran = run_with_input(&["check", "-"], text);
        assert_eq!((ran.code, ran.out.as_str()), (3, EMPTY), "{text}");
        assert!(ran.err.contains("-: is not a file that check knows: "), "{text}: {}", ran.err);
        let report = json(&run_with_input(&["check", "--format", "json", "-"], text));
        assert_eq!((&report["ok"], &report["unknown"]), (&json!(false), &json!(["-"])), "{text}");
    }
    // Beside what is checked, other manifests are its surroundings.
    let clean = here("tests/broken/istio-clean.yaml");
    assert_eq!(run_with_input(&["check", "-", &clean], secret).code, 0);
    let route = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec: { hosts: [a] }\n";
    let ran = run_with_input(&["check", "-"], &format!("{secret}---\n{route}"));
    assert!(ran.out.contains("warning[no-instance]") && ran.code == 1, "{}", ran.out);
    // A finding is worse.
    let error = here("tests/broken/fail-open.yaml");
    assert_eq!(run_with_input(&["check", "-", &error], compose).code, 1);
    let both = format!("{compose}---\n{rules}");
    let ran = run_with_input(&["check", "-"], &both);
    assert!(ran.code == 3 && ran.err.contains("-#2: is not"), "{}", ran.err);
}

/// What the last line says of files of which none is known.
const EMPTY: &str = "not ok: 0 instances, 0 errors, 0 warnings, 0 notes\n";

#[test]
fn kind_says_what_a_file_is() {
    let ran = |kind: &str, text: &str| run_with_input(&["check", "--kind", kind, "-"], text);
    let misspelt = r#"{"userinfo_endpont": {"defaultURI": "https://idp.example/userinfo"}}"#;
    let filter = ran("filter", misspelt);
    assert!(filter.out.contains("did you mean userinfo_endpoint?"), "{}", filter.out);
    let envoy = ran("envoy", misspelt);
    assert!(envoy.out.contains("warning[no-instance]") && envoy.code == 1, "{}", envoy.out);
    // It changes nothing about a file that shows what it is.
    let file = here("tests/broken/clean.yaml");
    assert_eq!(run(&["check", "--kind", "filter", &file]).code, 0);
}

#[test]
fn nothing_checked_is_not_ok() {
    let plain = here("tests/broken/no-instance.yaml");
    let ran = run(&["check", "--allow", "warnings", &plain]);
    assert!(ran.code == 1 && ran.out.contains("\nnot ok: 0 instances"), "{}", ran.out);
    let ran = run(&["check", "--allow", "no-instance", &plain]);
    assert!(ran.code == 0 && ran.out.starts_with("no instance checked: 0 "), "{}", ran.out);
    let clusters = here("tests/broken/plain-cluster.yaml");
    let ran = run(&["check", &clusters]);
    assert!(ran.code == 0 && ran.out.contains("no instance checked: 0 "), "{}", ran.out);
}

#[test]
fn what_is_given_twice_counts_once() {
    let file = here("tests/broken/istio-clean.yaml");
    let (same, other) =
        (file.replace("/tests/", "/src/../tests/"), here("tests/broken/clean.yaml"));
    let count = |files: &[&str]| {
        let report = json(&run(&[&["check", "--format", "json"], files].concat()));
        report["instances"].as_u64().unwrap()
    };
    assert_eq!(count(&[&file, &file, &same]), 1);
    assert_eq!(count(&[&file, &other]), 2);
    // The same manifest from two files is one; two of one name are two.
    let text = fs::read_to_string(&file).unwrap();
    let with_file = |text: &str| {
        json(&run_with_input(&["check", "--format", "json", "-", &file], text))["instances"].clone()
    };
    assert_eq!(with_file(&text), 1);
    assert_eq!(with_file(&text.replace("require_subject: true", "timeout: 1s")), 2);
}

/// One cause is said once, with its places and their lines.
#[test]
fn places_have_lines_and_one_cause_is_said_once() {
    let reference = fs::read_to_string(here("../envoy/envoy.yaml")).unwrap();
    let partners = ("route: { cluster: partners }", "route: { cluster: upstream }");
    let broken = reference.replacen(partners.0, partners.1, 1);
    let line = 1 + broken.lines().position(|line| line.contains("- name: partners")).unwrap();
    let report = json(&run_with_input(&["check", "--format", "json", "-"], &broken));
    let shared: Vec<Value> =
        findings(&report).into_iter().filter(|f| f["code"] == "backend-shared").collect();
    let leaking: Vec<_> = shared
        .iter()
        .flat_map(|finding| {
            let also = finding["also"].as_array().unwrap().clone();
            [finding.clone()].into_iter().chain(also)
        })
        .collect();
    // One for the route that leaks some headers, one for those that leak the others.
    assert_eq!(shared.len(), 2, "{shared:#?}");
    assert!(leaking.iter().any(|place| place["line"] == line), "{line}: {shared:#?}");
    let text = run_with_input(&["check", "-"], &broken).out;
    assert!(text.contains(&format!("-:{line}: warning[backend-shared]: ")), "{text}");
    assert!(text.contains("\n    also: -:"), "{text}");
    // Without lines for places in JSON the answer would be null.
    let broken = "{\n \"static_resources\": {\n  \"clusters\": [\n   {\"name\": \"a\"}]}}\n";
    let allow = ["check", "--format", "json", "-"];
    assert_eq!(findings(&json(&run_with_input(&allow, broken)))[0]["line"], 4);
}

/// The files of one call are one gateway's; of several bootstraps each is one by itself.
#[test]
fn files_of_one_call_are_checked_together() {
    let filter = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"},
                     "clusters": {"idp.example": "idp_default"}, "require_subject": true,
                     "http_proxy_server": "proxy.example", "http_proxy_port": 3128}"#;
    let clusters = here("../envoy/forward-proxy.yaml");
    let report = |filter: &str, file: &str| {
        json(&run_with_input(&["check", "--format", "json", "-", file], filter))
    };
    let together = report(filter, &clusters);
    // Its proxy's address is one to be put in.
    assert_eq!(codes(&together, false), ["proxy-nowhere".to_owned()].into(), "{together:#}");
    assert!(!codes(&together, true).contains("cluster-not-seen"));
    let other = report(&filter.replace("idp_default", "idp_fr"), &clusters);
    assert_eq!(codes(&other, false), ["cluster-missing".to_owned()].into());
    let plain = here("tests/broken/plain-cluster.yaml");
    let plain = report(&filter.replace("idp_default", "idp"), &plain);
    let expected = ["cluster-without-proxy".to_owned(), "cluster-without-tls".to_owned()];
    assert_eq!(codes(&plain, false), expected.into());
    let reference = here("../envoy/envoy.yaml");
    let one = report(filter, &reference);
    assert_eq!(codes(&one, false), ["cluster-without-proxy".to_owned()].into(), "{one:#}");
    let two = ["check", "--format", "json", "-", &reference, &here("tests/broken/clean.yaml")];
    let bootstrap = json(&run_with_input(&two, filter));
    assert!(codes(&bootstrap, true).contains("cluster-not-seen"));
    let notes = findings(&bootstrap);
    let note = notes.iter().find(|finding| finding["code"] == "proxy-required").unwrap();
    let words = "cluster idp_default must reach idp.example through the forward proxy \
                 proxy.example:3128";
    assert_eq!(note["found"], words);
}

/// Without TLS it is the Backend that says whether Envoy Gateway speaks HTTP/2 to it.
#[test]
fn envoy_gateway_backend_with_h2c_shares_connections() {
    let file = fs::read_to_string(here("tests/broken/fine-gateway-cluster.yaml")).unwrap();
    let file = file.replace("  http2: { maxConcurrentStreams: 1 }\n", "");
    let plain = file.replace("kind: BackendTLSPolicy", "kind: OtherPolicy");
    let endpoints = "  endpoints: [{ fqdn: { hostname: idp.example, port: 443 } }]\n";
    let protocols = "  appProtocols: [gateway.envoyproxy.io/h2c]\n";
    let http2 = plain.replace(endpoints, &format!("{endpoints}{protocols}"));
    assert!(file != plain && plain != http2, "{file}");
    for (input, expected) in [
        (&file, &["connection-shared"][..]),
        (&plain, &["cluster-without-tls"]),
        (&http2, &["cluster-without-tls", "connection-shared"]),
    ] {
        let report = json(&run_with_input(&["check", "--format", "json", "-"], input));
        let expected = expected.iter().map(|code| (*code).to_owned()).collect();
        assert_eq!(codes(&report, false), expected, "{report:#}");
    }
}

#[test]
fn low_call_limit_is_reported_with_max_in_flight() {
    let file = here("tests/broken/call-limit-too-low-one-stream.yaml");
    let found = findings(&json(&run(&["check", "--format", "json", &file])));
    let words = "cluster idp has max_connections: 10 for all workers, and max_in_flight of each \
                 is 1024";
    assert_eq!(found[0]["found"], words);
    let place = "static_resources.clusters[1].circuit_breakers.thresholds[0]";
    assert_eq!(found[0]["place"], place);
}

/// One finding about a resource does not hide the other.
#[test]
fn resource_and_its_metadata_are_judged_by_themselves() {
    let file = fs::read_to_string(here("tests/broken/metadata-unreachable.yaml")).unwrap();
    let file = file.replace("path_separated_prefix: /mcp", "path_separated_prefix: /other");
    let report = json(&run_with_input(&["check", "--format", "json", "-"], &file));
    let expected = ["metadata-unreachable", "resource-elsewhere"].map(str::to_owned);
    assert_eq!(codes(&report, false), expected.into(), "{report:#}");
}

/// What is found for these members beside the UserInfo endpoint, of one code.
fn found_of(code: &str, members: &str) -> Vec<String> {
    let config = format!(
        r#"{{"userinfo_endpoint": {{"defaultURI": "https://idp.example/userinfo"}}, {members}}}"#
    );
    let report = json(&run_with_input(&["check", "--format", "json", "-"], &config));
    let of_code = findings(&report).into_iter().filter(|finding| finding["code"] == code);
    of_code.map(|finding| finding["found"].as_str().unwrap().to_owned()).collect()
}

/// The product of the maxima counts where one of them is written: many providers alone are no mistake.
#[test]
fn maxima_count_together_where_one_is_set() {
    let url = |site: &str, number: u32| format!(r#""https://{site}{number}.example/userinfo""#);
    let region =
        |number: u32| format!(r#""R{number}": [{}, {}]"#, url("a", number), url("b", number));
    let regions: Vec<String> = (0..10).map(region).collect();
    let found = |maximum: &str| {
        let config = format!(
            r#"{{"userinfo_endpoint": {{"regionCodeHeader": "x-region",
                 "regionCodeValue": {{{}}}}}{maximum}}}"#,
            regions.join(", ")
        );
        let report = json(&run_with_input(&["check", "--format", "json", "-"], &config));
        assert_eq!(report["instances"], 1, "{report:#}");
        let all = findings(&report).into_iter();
        let own = all.filter(|finding| finding["code"] == "maxima-exceed-worker");
        own.map(|finding| finding["found"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(""), [""; 0]);
    let expected = "max_in_flight 1024 × 20 clusters × max_token_bytes 8192 is 160 MiB, and a \
                    worker keeps 128 MiB";
    assert_eq!(found(r#", "max_token_bytes": 8192"#), [expected]);
    assert_eq!(found(r#", "max_token_bytes": 4096"#), [""; 0]);
}

#[test]
fn rules_that_read_the_token_are_named() {
    let header = r#"{"path": "$.sub", "of": "token", "required": true}"#;
    for (members, expected) in [
        (r#""require_scope": ["a"], "require_issuer": ["b"]"#, "require_scope, require_issuer"),
        (r#""require_claims": {"$.a": 1, "$.b": {"any": [1], "of": "token"}}"#, "require_claims"),
        (&format!(r#""inject_headers": {{"default": {{"X-A": {header}}}}}"#), "required x-a"),
        (&format!(r#""filter_state": {{"a": {header}}}"#), "required a"),
    ] {
        let found = found_of("rule-needs-jwt", members);
        assert_eq!(found, [format!("{expected}: read from the token")], "{members}");
    }
    let fine = r#""require_claims": {"$.a": {"any": [1], "of": "response"}}"#;
    assert_eq!(found_of("rule-needs-jwt", fine), [""; 0]);
}

/// No rule holds for a request without credentials, and the note says which ones that are.
#[test]
fn anonymous_requests_meet_no_rule() {
    let optional =
        |more: &str| found_of("anonymous-passes", &format!(r#""credentials": "optional"{more}"#));
    assert_eq!(optional(""), ["credentials: optional"]);
    let header = r#"{"default": {"X-User": {"path": "$.sub", "required": true}}}"#;
    let more = format!(r#", "require_scope": ["a"], "inject_headers": {header}"#);
    let expected = "credentials: optional; a request without credentials skips require_scope, \
                    required x-user";
    assert_eq!(optional(&more), [expected]);
}

/// Without any setting that `envoy/envoy.yaml` marks KEEP the check fails.
#[test]
fn removing_any_kept_setting_fails_the_check() {
    let reference = fs::read_to_string(here("../envoy/envoy.yaml")).unwrap();
    for (from, to, code) in [
        ("stream_idle_timeout: 30s\n", "\n", "no-stream-idle-timeout"),
        ("stream_idle_timeout: 30s\n", "stream_idle_timeout: 2s\n", "timeouts-do-not-nest"),
        ("failure_policy: FAIL_RELOAD", "failure_policy: FAIL_OPEN", "fail-open"),
        ("vm_id: oidc-token-connector", "vm_id: ''", "vm-id-missing"),
        ("trusted_ca: *trusted_ca", "{}", "tls-without-ca"),
        ("\"require_subject\": true,", "", "subject-not-required"),
        ("public: ", "publik: ", "route-unprotected"),
        ("route: { cluster: partners }", "route: { cluster: upstream }", "backend-shared"),
        ("key: wasm.oidc_outcome", "key: wasm.oidc_outcomes", "no-guard"),
        (",\n                              \"access_log_state\": true", "", "guard-refuses"),
        ("idle_timeout: 4s", "idle_timeout: 0s", "no-upstream-idle-timeout"),
        ("{ http_protocol_options: {} }", "{ http2_protocol_options: {} }", "connection-shared"),
        ("max_requests: 16384", "max_requests: 1000", "call-limit-too-low"),
        ("          sni: idp.example\n", "", "sni-missing"),
        ("tag_name: outcome,", "tag_name: outcomes,", "labels-missing"),
    ] {
        let broken = reference.replacen(from, to, 1);
        let broken = broken.replace("              {}\n", "");
        assert_ne!(broken, reference, "{from}");
        let ran = run_with_input(&["check", "--format", "json", "-"], &broken);
        let found = codes(&json(&ran), false);
        assert!(ran.code == 1 && found.contains(code), "{code}: {found:?}");
    }
}

/// What is written in the place of a variable's name may be the secret itself.
#[test]
fn the_name_of_a_variable_is_not_printed() {
    let secret = "F86D081884C7D659A2FEAA0C55AD015A";
    for file in ["variable-missing", "secret-in-clear-by-variable", "gateway-variable-missing"] {
        let path = here(&format!("tests/broken/{file}.yaml"));
        let text = fs::read_to_string(path).unwrap().replace("OIDC_SECRET", secret);
        assert!(text.contains(secret), "{file}");
        for format in ["text", "json"] {
            let ran = run_with_input(&["check", "--format", format, "-"], &text);
            assert!(ran.out.contains("client_secret_env"), "{file}: {}{}", ran.out, ran.err);
            assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{file}: {}", ran.out);
        }
    }
}

/// Both are said at once, so that nobody mends one and meets the other.
#[test]
fn missing_authority_and_name_are_said_together() {
    let text = fs::read_to_string(here("tests/broken/tls-without-ca.yaml")).unwrap();
    let lines = text.lines().filter(|line| !line.contains("match_typed_subject_alt_names"));
    let without = lines.map(|line| format!("{line}\n")).collect::<String>();
    let ran = run_with_input(&["check", "--format", "json", "-"], &without);
    let expected = ["tls-without-ca", "tls-without-san"].map(str::to_owned);
    assert_eq!(codes(&json(&ran), false), BTreeSet::from(expected), "{}", ran.out);
}
