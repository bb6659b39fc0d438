//! Rows 169–204: configurations and faults at run time. Those that need an Envoy of their own are
//! tests, named by their number; the table says where.

use std::fs;
use std::ops::RangeInclusive;

use crate::remembered;
use crate::row::{Row, row};

const FAULTS: &str = "integration/tests/catalogue/faults.rs";
const LOAD: &str = "integration/tests/catalogue/load.rs";
const UPDATES: &str = "integration/tests/catalogue/updates.rs";

/// Cases that are tests of their own: number, file, test. A case may have several, and rows too.
pub const TESTS: &[(u32, &str, &str)] = &[
    (108, "integration/tests/memory.rs", "forty_concurrent_answers_of_31_mb"),
    (126, FAULTS, "row_126_cluster_accepts_no_call"),
    (169, "src/policy/tests/forms.rs", "not_json"),
    (169, "src/policy/tests/forms.rs", "not_an_object"),
    (169, "src/policy/tests/forms.rs", "an_empty_configuration_says_how_to_give_one"),
    (169, "src/policy/tests/forms.rs", "too_large_or_too_deep"),
    (170, "src/policy/tests/refused.rs", "unknown_keys_at_any_depth"),
    (171, "src/policy/tests/values.rs", "wrong_types"),
    (171, "src/policy/tests/values.rs", "quoted_numbers_and_booleans"),
    (171, "src/policy/tests/values.rs", "numbers_out_of_range"),
    (172, "src/policy/tests/refused.rs", "repeated_keys_at_any_depth"),
    (173, "src/policy/tests/headers.rs", "json_paths"),
    (174, "src/policy/tests/headers.rs", "json_paths"),
    (176, "src/policy/tests/headers.rs", "header_names"),
    (176, "src/policy/tests/headers.rs", "reserved_header_names"),
    (177, "src/policy/tests/headers.rs", "header_names_that_meet"),
    (178, "src/policy/tests/headers.rs", "header_names_that_meet"),
    (179, "src/policy/tests/refused.rs", "regions"),
    (180, "src/policy/tests/headers.rs", "header_maps"),
    (181, "src/policy/tests/refused.rs", "clusters"),
    (182, "src/policy/tests/values.rs", "endpoint_uris"),
    (183, "src/policy/tests/values.rs", "durations"),
    (184, "src/policy/tests/values.rs", "the_caches_ceilings"),
    (185, "src/policy/tests/headers.rs", "texts_that_become_headers"),
    (185, "src/provider/challenge/tests.rs", "the_realm_is_a_quoted_string"),
    (186, UPDATES, "row_186_invalid_update_while_serving"),
    (187, UPDATES, "row_187_valid_update_with_calls_in_flight"),
    (187, "integration/tests/catalogue/lds.rs", "row_187_listener_replaced_with_calls_in_flight"),
    (188, UPDATES, "row_188_two_configurations_in_one_vm"),
    (189, "integration/tests/reference.rs", "every_instance_fails_closed_in_its_own_vm"),
    (190, "src/policy/tests/refused.rs", "secrets_are_never_shown"),
    (190, UPDATES, "row_190_secret_in_the_configuration"),
    // Envoy neither resumes nor fails the requests of a dead VM, whatever the filter does; the
    // reference configuration limits their time (stream_idle_timeout).
    (191, "integration/tests/catalogue/trap.rs", "row_191_vm_stops"),
    (191, "integration/tests/reference.rs", "limits_and_refusals_are_set"),
    (193, LOAD, "row_193_worst_documents_and_many_held_requests"),
    (194, FAULTS, "row_194_sigterm_and_drain_with_calls_in_flight"),
    // `flapping.rs` runs after the rows on the same Envoy.
    (196, "integration/tests/catalogue/main.rs", "catalogue"),
    (197, FAULTS, "row_197_provider_becomes_slow"),
    (198, FAULTS, "row_198_upstream_down"),
    (199, FAULTS, "row_199_overload_and_header_limits"),
    (201, LOAD, "row_201_client_input_creates_no_statistic"),
    (203, "src/time.rs", "extreme_times_do_not_overflow"),
    // 72 hours, scaled to half a minute.
    (204, LOAD, "row_204_short_soak"),
];

/// Cases that are neither rows nor tests of their own, and why.
pub const LEFT_OUT: &[(RangeInclusive<u32>, &str)] = &[
    (
        175..=175,
        "decided otherwise: `$` and `$..*` are paths like any other, under the budget; \
         `$` is in rows 106d to 106f, `$..*` among the native tests of the guide's expressions",
    ),
    (
        192..=192,
        "no input is known that traps, so none can be repeated: the fuzz targets look for one, and \
         every run of the catalogue asserts that no VM was created, reloaded or has failed",
    ),
    (
        195..=195,
        "a hot restart needs a second process that takes over the sockets; the filter keeps nothing",
    ),
    (
        200..=200,
        "every run of the catalogue has Envoy's Wasm log at trace and asserts that neither the \
         token nor a claim is in it",
    ),
];

/// The rows that one Envoy for all can run.
pub fn rows() -> Vec<Row> {
    let traceparent = |number: &str, what: &str, value: &[u8]| {
        row(number, what).header("traceparent", value).header("tracestate", "a=b,a=c,,=")
    };
    let long = "0".repeat(8 << 10);
    vec![
        row(181, "a configured cluster that does not exist")
            .world("nowhere")
            .refused(401, "unavailable:not_sent"),
        traceparent(
            "202a",
            "a good traceparent",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        traceparent("202b", "a traceparent of 8 KiB", long.as_bytes()),
        traceparent("202c", "rubbish for a traceparent", b"ff-%00-{}-'; --"),
        traceparent("202d", "a traceparent that is not UTF-8", b"00-\xff\xfe-\x80"),
        row("202e", "two of them").header("traceparent", "a").header("traceparent", "b"),
        row("202f", "B3 and others")
            .header("x-b3-traceid", "zz".repeat(2000))
            .header("x-datadog-trace-id", "18446744073709551616")
            .header("x-ot-span-context", "%%"),
    ]
}

/// Those of [`TESTS`] and [`remembered::TESTS`] that are not in the named file.
pub fn missing_tests() -> Vec<String> {
    let mut missing = Vec::new();
    for (case, file, test) in TESTS.iter().chain(remembered::TESTS) {
        let text = fs::read_to_string(integration::root().join(file)).unwrap_or_default();
        if !is_test(&text, test) {
            missing.push(format!("{case}: no {test} in {file}"));
        }
    }
    missing
}

/// Whether `text` has a function of this name that runs as a test.
fn is_test(text: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.windows(2).any(|pair| {
        let attribute = pair[0] == "#[test]" || pair[0].starts_with("#[tokio::test");
        let line = pair[1].strip_prefix("async ").unwrap_or(pair[1]);
        attribute && line.starts_with(&function)
    })
}

#[test]
fn only_test_functions_count_as_tests() {
    for text in ["#[test]\nfn a() {", "    #[test]\n    fn a() {", "#[tokio::test]\nasync fn a() {"]
    {
        assert!(is_test(text, "a"), "{text}");
    }
    for text in ["fn a() {", "#[test]\nfn ab() {", "#[test]\n#[cold]\nfn a() {", "// fn a()"] {
        assert!(!is_test(text, "a"), "{text}");
    }
}
