//! Every alert leads to a section of the runbook, and is tried in a test of `promtool`. That its metrics
//! exist, only Envoy can tell: `integration/tests/metrics.rs`.

use std::collections::BTreeSet;

use oidc_token_connector::outcome::Outcome;
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

/// A new outcome either has an alert, or a reason here why it needs none.
#[test]
fn each_refusal_has_an_alert() {
    let rules = alerts();
    let texts = rules.iter().map(|alert| alert["expr"].as_str().expect("text"));
    let named: BTreeSet<&str> = texts
        .flat_map(|expr| expr.split("outcome=").skip(1))
        .filter_map(|rest| rest.trim_start_matches(['~', '"']).split('"').next())
        .flat_map(|words| words.split('|'))
        .collect();
    for outcome in Outcome::ALL {
        let without = match outcome {
            Outcome::Pass | Outcome::Preflight | Outcome::Anonymous | Outcome::Metadata => true,
            // The client's own decision; and by reason, because one of them is no outage.
            Outcome::ClientGone | Outcome::Unavailable => true,
            Outcome::NoCredentials
            | Outcome::Malformed
            | Outcome::UnknownRegion
            | Outcome::Misconfigured
            | Outcome::InvalidToken
            | Outcome::Forbidden
            | Outcome::WrongAudience
            | Outcome::WrongIssuer
            | Outcome::ClaimRefused
            | Outcome::ProviderError
            | Outcome::Unusable
            | Outcome::Internal => false,
        };
        assert_eq!(named.contains(outcome.as_str()), !without, "{outcome:?}: {named:?}");
    }
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
