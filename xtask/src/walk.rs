//! `cargo xtask walk`: what a reader has to follow, from a request's headers to its release: the files,
//! functions and lines of the core that run for a request that makes the call, and for a hit.
//!
//! Counted by coverage, as the difference of two tests that differ in that request alone. The shell runs
//! in Envoy only and is not counted.

use std::collections::BTreeMap;

use anyhow::Result;
use xshell::cmd;

use crate::Workspace;
use crate::coverage;
use crate::workspace::ensure;

/// The tests, each with one request more than the one before, and what that request is.
const TESTS: [(&str, &str); 3] = [
    ("nothing_yet", "no request"),
    ("a_request_that_calls", "a request that makes the call"),
    ("a_request_that_is_a_hit", "a hit"),
];

/// `cargo xtask walk`
pub fn run(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.sh;
    ensure(
        cmd!(sh, "cargo llvm-cov --version"),
        "`cargo install --locked cargo-llvm-cov; rustup component add llvm-tools`",
    )?;
    let root = format!("{}/", workspace.root.display());
    let mut before: Option<Counts> = None;
    for (test, what) in TESTS {
        let name = format!("filter::tests::walk::{test}");
        let report = cmd!(
            sh,
            "cargo llvm-cov --package oidc-token-connector --lib --lcov -- --exact {name}"
        );
        let counts = Counts::of(&report.read()?, &root);
        if let Some(before) = &before {
            counts.print(what, before);
        }
        before = Some(counts);
    }
    Ok(())
}

/// How often each line and each function of the core ran, by file.
struct Counts(BTreeMap<String, File>);

#[derive(Default)]
struct File {
    lines: BTreeMap<usize, u64>,
    functions: BTreeMap<String, u64>,
}

impl Counts {
    fn of(report: &str, root: &str) -> Counts {
        let mut files: BTreeMap<String, File> = BTreeMap::new();
        for (path, lines) in coverage::core(report, root) {
            files.entry(path.to_owned()).or_default().lines.extend(lines);
        }
        let mut path = "";
        for record in report.lines() {
            if let Some(name) = record.strip_prefix("SF:") {
                path = name.strip_prefix(root).unwrap_or(name);
            } else if let Some((runs, name)) =
                record.strip_prefix("FNDA:").and_then(|counted| counted.split_once(','))
                && let (Ok(runs), Some(file)) = (runs.parse(), files.get_mut(path))
            {
                file.functions.insert(name.to_owned(), runs);
            }
        }
        Counts(files)
    }

    /// What ran more often than in the test before.
    fn print(&self, what: &str, before: &Counts) {
        let (mut files, mut functions, mut lines) = (0, 0, 0);
        for (path, file) in &self.0 {
            let earlier = before.0.get(path);
            let more = |runs: u64, then: Option<&u64>| runs > then.copied().unwrap_or(0);
            let of_lines = file.lines.iter().filter(|(line, runs)| {
                more(**runs, earlier.and_then(|earlier| earlier.lines.get(line)))
            });
            let of_functions = file.functions.iter().filter(|(name, runs)| {
                more(**runs, earlier.and_then(|earlier| earlier.functions.get(*name)))
            });
            let (here, called) = (of_lines.count(), of_functions.count());
            if here > 0 {
                println!("{what:<30} {called:>4} functions {here:>5} lines  {path}");
                (files, functions, lines) = (files + 1, functions + called, lines + here);
            }
        }
        println!("{what}: {files} files, {functions} functions, {lines} lines\n");
    }
}
