//! Every alert leads to a section of the runbook, and is tried in a test of `promtool`. That its metrics
//! exist, only Envoy can tell: `integration/tests/metrics.rs`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::files::{document, text};

fn alerts() -> Vec<Value> {
    let rules = document("deploy/prometheus/rules.yml");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    rules.into_iter().filter(|rule| rule["alert"].is_string()).collect()
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn alerts_and_runbook_sections_match() {
    let operations = text("docs/operations.md");
    let (_, runbook) = operations.split_once("\n## Runbook\n").expect("a runbook");
    let runbook = runbook.split("\n## ").next().expect("its end");
    let sections: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("### ")).map(anchor).collect();
    let wanted: BTreeSet<String> = alerts()
        .iter()
        .map(|alert| alert["annotations"]["runbook"].as_str().expect("a link").to_owned())
        .map(|link| link.strip_prefix("docs/operations.md#").expect("a section").to_owned())
        .collect();
    assert_eq!(sections, wanted);
}

#[test]
fn each_alert_has_severity_and_test() {
    let tried = text("deploy/prometheus/rules.test.yml");
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("a name");
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
        let summary = format!("alertname: {name}\n");
        assert!(tried.contains(&summary), "{name} is never seen to fire in rules.test.yml");
    }
}
