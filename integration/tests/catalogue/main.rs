//! The adversarial catalogue on the real Envoy: every case as one row of data, in every variant
//! that applies.

#![allow(unreachable_pub, reason = "a test is one crate; its modules are read one by one")]

mod answers;
mod broken;
mod build;
mod check;
mod crowd;
mod faults;
mod flapping;
mod http2;
mod lds;
mod load;
mod noticed;
mod protocol;
mod refused;
mod region;
mod remembered;
mod row;
mod run;
mod runtime;
mod spoofing;
mod stage;
mod tokens;
mod trap;
mod updates;
mod validated;
mod worlds;

use std::io::Write;
use std::ops::RangeInclusive;
use std::time::Instant;

use row::Row;
use run::{Catalogue, Subject};
use tokio::sync::Mutex;

/// Tests that start an Envoy take turns: what one measures in milliseconds must not wait for
/// another's load.
static TURN: Mutex<()> = Mutex::const_new(());

/// The cases of the catalogue that are tested here.
const CASES: [RangeInclusive<u32>; 1] = [1..=226];

/// The cases that have no row, and why; more in `runtime.rs`.
const LEFT_OUT: &[(RangeInclusive<u32>, &str)] = &[(
    30..=30,
    "both ways to validate a token have the same header map, so none is of one that is off",
)];

/// The seed of the crowd's random choices.
const SEED: u64 = 0x0d1c_7a5e;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catalogue() {
    let _turn = TURN.lock().await;
    let started = Instant::now();
    let rows = chosen(every_row());
    let number = rows.len();
    assert!(number > 0, "OIDC_ROWS names no row of the catalogue");
    let subject = Subject { worlds: vec![worlds::CROWD], more_workers: 1, ..Subject::default() };
    let catalogue = Catalogue::start(&subject, rows).await;
    let report = catalogue.run().await;
    let elapsed = started.elapsed();
    let mut failures = report.failures;
    // The leaks and the flapping come after the rows in the same process: nothing that a row left
    // behind may show.
    let crowd: u64 = match std::env::var("OIDC_CROWD") {
        Ok(number) => number.parse().expect("OIDC_CROWD is a number of requests"),
        Err(_) => 20_000,
    };
    let started = Instant::now();
    let problems = crowd::leaks(&catalogue, crowd, SEED).await;
    failures.extend(problems.into_iter().map(|problem| run::whole(format!("crowd: {problem}"))));
    assert!(crowd > 0, "OIDC_CROWD is at least one request");
    say(&format!("crowd: {crowd} requests in {:.1?}", started.elapsed()));
    let problems = flapping::flapping(&catalogue, 2_000).await;
    failures.extend(problems.into_iter().map(|problem| run::whole(format!("flapping: {problem}"))));
    let problems = crowd::late(&catalogue).await;
    failures.extend(problems.into_iter().map(|problem| run::whole(format!("late: {problem}"))));
    failures.extend(catalogue.judge_envoy().await);
    // First: an Envoy that sees a test fail prints its log, here hundreds of thousands of lines.
    drop(catalogue);
    let told: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), told.join("\n"));
    let runs = report.runs;
    say(&format!("catalogue: {number} rows × variants = {runs} runs passed in {elapsed:.1?}"));
}

#[test]
fn every_case_has_a_row_or_a_reason_for_none() {
    let rows = every_row();
    let left_out = [LEFT_OUT, runtime::LEFT_OUT, remembered::LEFT_OUT].concat();
    let reason = |case: u32| left_out.iter().find(|(cases, _)| cases.contains(&case));
    let mut problems = Vec::new();
    for case in CASES.into_iter().flatten() {
        let there = rows.iter().any(|row| row.case() == case);
        let tested = tests().find(|(number, _, _)| *number == case);
        match (there || tested.is_some(), reason(case)) {
            (true, Some(_)) => problems.push(format!("{case} has a row and is listed as left out")),
            (false, None) => problems
                .push(format!("{case} has neither a row, nor a test of its own, nor a reason")),
            (true, None) | (false, Some(_)) => {}
        }
    }
    for row in &rows {
        if !CASES.iter().any(|cases| cases.contains(&row.case())) {
            problems.push(format!("{} is no case of the catalogue", row.number));
        }
        if rows.iter().filter(|other| other.number == row.number).count() > 1 {
            problems.push(format!("{} is there twice", row.number));
        }
    }
    problems.extend(runtime::missing_tests());
    for line in not_everywhere(&rows) {
        println!("{line}");
    }
    for (case, file, test) in tests() {
        println!("case {case}: {test} in {file}");
    }
    for (cases, why) in left_out {
        say(&format!("catalogue: {} to {} left out: {why}", cases.start(), cases.end()));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// All cases that are tests of their own.
fn tests() -> impl Iterator<Item = &'static (u32, &'static str, &'static str)> {
    runtime::TESTS.iter().chain(remembered::TESTS).chain(validated::TESTS)
}

/// All rows, in the order of the catalogue.
fn every_row() -> Vec<Row> {
    [
        tokens::rows(),
        spoofing::rows(),
        region::rows(),
        protocol::rows(),
        answers::rows(),
        runtime::rows(),
        validated::rows(),
    ]
    .concat()
}

/// Prints it even if the test passes: the runner captures the output of `println`.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// For working on some of them: `OIDC_ROWS=7,14-0d` runs these alone.
fn chosen(mut rows: Vec<Row>) -> Vec<Row> {
    let chosen = std::env::var("OIDC_ROWS").unwrap_or_default();
    let chosen: Vec<&str> = chosen.split(',').filter(|number| !number.is_empty()).collect();
    rows.retain(|row| {
        let named = |n: &&str| row.number == **n || row.case().to_string() == **n;
        chosen.is_empty() || chosen.iter().any(named)
    });
    rows
}

/// Rows that do not run in every variant, with the reason.
fn not_everywhere(rows: &[Row]) -> Vec<String> {
    let left_out = rows.iter().flat_map(|row| row.left_out.iter().map(move |skip| (row, skip)));
    let line = |(row, (skip, why)): (&Row, &(row::Skip, &str))| {
        format!("row {} ({}): not over {skip:?}: {why}", row.number, row.what)
    };
    left_out.map(line).collect()
}
