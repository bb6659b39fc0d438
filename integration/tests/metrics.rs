//! The metrics in Prometheus: the labels that the reference configuration makes of the filter's
//! counters, and the existence of every metric in the alert rules and the dashboard. A misspelt
//! metric is no error there: the alert never fires, the panel is empty.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use integration::{DEADLINE, Envoy, Gateway, Listener, Setup, root};
use serde_json::Value;

/// What Envoy calls an outcome where `stats_config` is missing.
const UNLABELLED: &str = "oidc_outcome_pass";

/// One line that Prometheus scrapes.
#[derive(Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: String,
}

/// A metric as an expression names it: which labels, compared how, with what.
#[derive(Debug, PartialEq)]
struct Selector {
    name: String,
    matchers: Vec<(String, String, String)>,
}

async fn scrape(envoy: &Envoy) -> Vec<Series> {
    let answer = envoy.admin_get("/stats/prometheus").await.expect("the admin interface");
    answer.text().lines().filter(|line| !line.starts_with('#')).filter_map(series).collect()
}

fn series(line: &str) -> Option<Series> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    let labels = labels.split("\",").filter_map(|label| label.split_once("=\""));
    let labels =
        labels.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
    Some(Series { name: name.to_owned(), labels: labels.collect(), value: value.to_owned() })
}

fn value<'a>(all: &'a [Series], name: &str, label: &str, of: &str) -> Option<&'a str> {
    let mut found =
        all.iter().filter(|s| s.name == name && s.labels.get(label).is_some_and(|v| v == of));
    let first = found.next().map(|series| series.value.as_str());
    assert!(found.next().is_none(), "{name} with {label}={of} comes twice");
    first
}

/// The selectors of the filter's metrics and Envoy's in an expression.
fn selectors(expression: &str) -> Vec<Selector> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(|c: char| is_name(c) || c == '"') {
        rest = &rest[at..];
        if let Some(text) = rest.strip_prefix('"') {
            rest = text.split_once('"').map_or("", |(_, after)| after);
            continue;
        }
        let (name, after) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        rest = after;
        if !name.starts_with("oidc_") && !name.starts_with("envoy_") {
            continue;
        }
        // The name of a label, as in `by (envoy_cluster_name)`.
        if matches!(name, "envoy_cluster_name" | "envoy_response_code_class") {
            continue;
        }
        let mut matchers = Vec::new();
        if let Some(body) = after.strip_prefix('{') {
            let (body, after) = body.split_once('}').expect("a selector ends");
            for matcher in body.split("\",") {
                let at = matcher.find(['=', '!']).expect("a matcher compares");
                let (label, compared) = matcher.split_at(at);
                let (operator, text) = compared.split_once('"').expect("with a text");
                let text = text.trim_end_matches('"');
                matchers.push((label.trim().to_owned(), operator.to_owned(), text.to_owned()));
            }
            rest = after;
        }
        found.push(Selector { name: name.to_owned(), matchers });
    }
    found
}

/// Why nothing is ever selected, if so.
fn unknown(selector: &Selector, all: &[Series]) -> Option<String> {
    let named: Vec<&Series> = all.iter().filter(|s| s.name == selector.name).collect();
    if named.is_empty() {
        return Some(format!("there is no metric {}", selector.name));
    }
    for (label, _, text) in &selector.matchers {
        // Prometheus' own label, and the dashboard's variables.
        if label == "job" || text.starts_with('$') {
            continue;
        }
        for wanted in text.split('|') {
            let is = |value: &String| match wanted.strip_suffix(".*") {
                Some(start) => value.starts_with(start),
                None => value == wanted,
            };
            if !named.iter().any(|series| series.labels.get(label).is_some_and(is)) {
                return Some(format!("{} never has {label}={wanted}", selector.name));
            }
        }
    }
    None
}

/// Every expression of the alert rules and of the dashboard.
fn expressions() -> Vec<String> {
    let read = |file: &str| {
        let path = root().join(file);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let rules: Value = serde_saphyr::from_str(&read("deploy/prometheus/rules.yml")).unwrap();
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/dashboard.json")).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let all: Vec<String> =
        rules.iter().chain(targets).map(|of| of["expr"].as_str().unwrap().to_owned()).collect();
    assert!(all.len() > rules.len() + 10, "{all:?}");
    all
}

#[tokio::test]
async fn outcomes_and_events_are_labels() {
    let gw = Gateway::reference().await;
    assert_eq!(gw.get("/orders").bearer("good").send().await.status, 200);
    assert_eq!(gw.get("/orders").bearer("good").send().await.status, 200);
    assert_eq!(gw.get("/orders").send().await.status, 401);
    let all = scrape(&gw.envoy).await;
    assert_eq!(value(&all, "oidc_outcome", "outcome", "pass"), Some("2"));
    assert_eq!(value(&all, "oidc_outcome", "outcome", "no_credentials"), Some("1"));
    assert_eq!(value(&all, "oidc_outcome", "outcome", "internal"), Some("0"));
    assert_eq!(value(&all, "oidc_cache", "event", "hit"), Some("1"));
    assert_eq!(value(&all, "oidc_cache", "event", "miss"), Some("1"));
    assert_eq!(value(&all, "oidc_calls", "event", "joined"), Some("0"));
    assert_eq!(value(&all, "oidc_breaker", "event", "opened"), Some("0"));
    let plain = |name: &str| all.iter().find(|s| s.name == name).map(|s| s.value.as_str());
    assert_eq!(plain("oidc_requests"), Some("3"));
    assert_eq!(plain("oidc_cache_entries"), Some("1"));
    let unlabelled: Vec<&Series> =
        all.iter().filter(|s| s.name.starts_with("oidc_outcome_")).collect();
    assert!(unlabelled.is_empty(), "{unlabelled:?}");
    // The names that everything else reads are what they were.
    assert_eq!(gw.envoy.stat("wasmcustom.oidc_outcome.pass").await, 2);
}

#[tokio::test]
async fn each_metric_of_the_rules_and_the_dashboard_exists() {
    let gw = Gateway::reference().await;
    assert_eq!(gw.get("/orders").bearer("good").send().await.status, 200);
    let mut wanted: Vec<Selector> =
        expressions().iter().flat_map(|expression| selectors(expression)).collect();
    wanted.retain(|selector| selector.name != UNLABELLED);
    // Envoy adds a histogram up only now and then.
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    let mut missing = Vec::new();
    let in_time = tokio::time::timeout(DEADLINE, async {
        loop {
            clock.tick().await;
            let all = scrape(&gw.envoy).await;
            missing = wanted.iter().filter_map(|selector| unknown(selector, &all)).collect();
            if missing.is_empty() {
                return;
            }
        }
    });
    assert!(in_time.await.is_ok(), "{}", missing.join("\n"));
}

#[tokio::test]
async fn without_labels_outcomes_have_the_names_that_the_alert_looks_for() {
    assert!(expressions().iter().any(|expression| expression.contains(UNLABELLED)));
    let setup = Setup::new().listener(Listener::reference()).edit(|bootstrap| {
        bootstrap.as_object_mut().unwrap().remove("stats_config");
    });
    let envoy = setup.start().await.envoy;
    let all = scrape(&envoy).await;
    assert!(all.iter().any(|series| series.name == UNLABELLED), "{all:?}");
}

#[test]
fn selectors_are_found_in_expressions() {
    let matcher = |label: &str, operator: &str, text: &str| {
        (label.to_owned(), operator.to_owned(), text.to_owned())
    };
    assert_eq!(
        selectors(
            r#"sum by (envoy_cluster_name) (rate(oidc_a{x="1",y=~"b|c"}[5m])) / oidc_b > on () up"#
        ),
        [
            Selector {
                name: "oidc_a".to_owned(),
                matchers: vec![matcher("x", "=", "1"), matcher("y", "=~", "b|c")],
            },
            Selector { name: "oidc_b".to_owned(), matchers: vec![] },
        ]
    );
}

#[test]
fn misspelt_names_are_detected() {
    let all: Vec<Series> = [r#"oidc_outcome{outcome="pass"} 1"#, r#"oidc_requests{} 1"#]
        .into_iter()
        .map(|line| series(line).unwrap())
        .collect();
    for (expression, noticed) in [
        (r#"rate(oidc_outcome{outcome="pass",job="$job"}[5m])"#, None),
        (r#"oidc_outcome{outcome=~"pa.*"} / oidc_requests"#, None),
        ("oidc_request", Some("there is no metric oidc_request")),
        (r#"oidc_outcome{outcome=~"pass|fail"}"#, Some("oidc_outcome never has outcome=fail")),
        (r#"oidc_outcome{result="pass"}"#, Some("oidc_outcome never has result=pass")),
    ] {
        let found: Vec<String> =
            selectors(expression).iter().filter_map(|s| unknown(s, &all)).collect();
        assert_eq!(found.first().map(String::as_str), noticed, "{expression}");
    }
}
