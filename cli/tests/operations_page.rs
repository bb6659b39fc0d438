//! The operations page agrees with the code: every reason of a refusal has its row, in the order of
//! the counters, with existing outcomes.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by a panic"
)]

use std::fs;
use std::path::Path;

use oidc_token_connector::filter::Stats;
use oidc_token_connector::outcome::{Outcome, Reason};
use oidc_token_connector::provider::call_outcome::CallOutcome;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the first table of a section, without its head.
fn rows(page: &str, section: &str) -> Vec<Vec<String>> {
    let (_, text) = page.split_once(&format!("\n## {section}\n")).expect("the section");
    let table = text.lines().skip_while(|line| !line.starts_with("| ")).skip(2);
    let cells = |line: &str| {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some(line.split(" | ").map(str::to_owned).collect())
    };
    table.map_while(cells).collect()
}

fn words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(", ").map(|word| word.trim_matches('`'))
}

#[test]
fn page_explains_exactly_the_reasons_of_the_code() {
    let rows = rows(&page("operations.md"), "Every reason");
    let reasons: Vec<&str> = rows.iter().flat_map(|row| words(&row[0])).collect();
    assert_eq!(reasons, Reason::ALL.map(Reason::as_str));
    for row in &rows {
        assert_eq!(row.len(), 3, "{row:?}");
        assert!(!row[2].is_empty(), "{row:?}");
        for outcome in words(&row[1]) {
            assert!(Outcome::ALL.iter().any(|known| known.as_str() == outcome), "{row:?}");
        }
    }
    // An outcome that refuses for a reason is somewhere in the table.
    let named: Vec<&str> = rows.iter().flat_map(|row| words(&row[1])).collect();
    let without = ["pass", "preflight", "anonymous", "metadata", "client_gone", "internal"];
    for outcome in Outcome::ALL.map(Outcome::as_str) {
        assert_eq!(named.contains(&outcome), !without.contains(&outcome), "{outcome}");
    }
}

/// Every `outcome:reason` of the page exists in the code.
#[test]
fn details_on_the_page_exist() {
    let page = page("operations.md");
    let mut seen = 0;
    for code in page.split('`').skip(1).step_by(2) {
        let Some((outcome, reason)) = code.split_once(':') else { continue };
        // `preflight: "pass"` is a key of the configuration.
        if reason.starts_with(' ') || !Outcome::ALL.iter().any(|known| known.as_str() == outcome) {
            continue;
        }
        seen += 1;
        assert!(
            reason == "…" || Reason::ALL.iter().any(|known| known.as_str() == reason),
            "{code}"
        );
    }
    assert!(seen > 15, "{seen}");
}

/// A row has a symptom, a cause and a remedy.
#[test]
fn troubleshooting_rows_have_symptom_cause_remedy() {
    let rows = rows(&page("operations.md"), "Troubleshooting");
    assert!(rows.len() > 15, "{rows:?}");
    for row in rows {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
}

/// The table of evidence is the filter's own: `cli::outcomes::table()`.
#[test]
fn outcome_table_equals_the_code() {
    let table = cli::outcomes::table();
    assert!(page("operations.md").contains(&table), "docs/operations.md ought to have\n{table}");
    // Every alert of the table exists.
    let rules = page("../deploy/prometheus/rules.yml");
    let alerts = CallOutcome::ALL.map(|outcome| outcome.consequences().alert);
    for alert in alerts.into_iter().flatten() {
        assert!(rules.contains(&format!("- alert: {alert}\n")), "{alert}");
    }
}

/// A counter is named in full, or, behind another one of its family, by its last part: `.evicted`.
#[test]
fn pages_name_every_counter_and_outcome() {
    let (caching, configuration) = (page("caching.md"), page("configuration.md"));
    for (name, _) in Stats::ALL {
        let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
        let short = format!("`.{last}`");
        assert!(
            caching.contains(&format!("`{name}`")) || caching.contains(&short),
            "docs/caching.md lacks {name}"
        );
    }
    for outcome in Outcome::ALL {
        let outcome = outcome.as_str();
        assert!(
            configuration.contains(&format!("`{outcome}`")),
            "configuration.md lacks {outcome}"
        );
    }
}
