//! Target: bytes of a file → everything that `oidc-connector check` says of it. Input: the file.
//!
//! It ends, the form for programs is JSON, and both forms and the exit code agree.

use cli::check::of_text;
use serde_json::Value;

/// Runs the target.
///
/// # Panics
///
/// Where a promise is broken.
pub fn check(data: &[u8]) {
    let (code, text, json) = of_text("f", data);
    let report: Value = serde_json::from_str(&json).expect("JSON");
    assert!(code <= 3, "exit code {code}");
    assert_eq!(report["ok"], code == 0);
    let count = |name: &str| report[name].as_u64().expect("a number");
    let grave = count("errors") + count("warnings");
    match code {
        0 => assert_eq!(grave, 0),
        1 => assert!(grave > 0),
        2 => assert_eq!(report["unreadable"].as_array().map(Vec::len), Some(1)),
        _ => assert!(report["unknown"].as_array().is_some_and(|unknown| !unknown.is_empty())),
    }
    let last = text.lines().last().expect("a summary");
    assert_eq!(last.starts_with("ok: "), code == 0 && count("instances") > 0, "{last}");
    let lines = u64::try_from(data.split(|b| matches!(b, b'\n' | b'\r')).count()).expect("few");
    let findings = report["findings"].as_array().expect("a list");
    assert_eq!(u64::try_from(findings.len()).expect("few"), grave + count("notes"));
    for place in findings.iter().flat_map(places) {
        if let Some(line) = place["line"].as_u64() {
            assert!((1..=lines).contains(&line), "line {line} of {lines}");
        }
    }
}

fn places(finding: &Value) -> impl Iterator<Item = &Value> {
    [finding].into_iter().chain(finding["also"].as_array().into_iter().flatten())
}

/// Whether there is an instance of the filter in it.
pub fn accepts(data: &[u8]) -> Option<bool> {
    let report: Value = serde_json::from_str(&of_text("f", data).2).ok()?;
    Some(report["instances"].as_u64()? > 0)
}
