//! `cargo xtask walk`: what a reader has to follow, from a request's headers to its release: the files,
//! functions and lines of the core that run for a request that makes the call, and for a hit.
//!
//! Counted by coverage, as the difference of two tests that differ in that request alone. The shell runs
//! in Envoy only and is not counted.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use xshell::cmd;

use crate::Workspace;
use crate::coverage;

/// The tests, each with one request more than the one before, and what that request is.
const TESTS: [(&str, &str); 3] = [
    ("nothing_yet", "no request"),
    ("a_request_that_calls", "a request that makes the call"),
    ("a_request_that_is_a_hit", "a hit"),
];

/// `cargo xtask walk`
pub fn run(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.sh;
    coverage::needed(workspace)?;
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
            let more = counts.more_than(before);
            // A test of another name runs nothing, and succeeds.
            ensure!(!more.is_empty(), "{name}: got no line that ran, expected a test of that name");
            print(what, &more);
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

    /// What ran more often than in the test before: functions and lines, by file.
    fn more_than(&self, before: &Counts) -> BTreeMap<&str, (usize, usize)> {
        let Counts(before) = before;
        let mut more = BTreeMap::new();
        for (path, file) in &self.0 {
            let earlier = before.get(path);
            let lines = file.lines.iter().filter(|(line, runs)| {
                **runs > earlier.and_then(|file| file.lines.get(line)).copied().unwrap_or(0)
            });
            let functions = file.functions.iter().filter(|(name, runs)| {
                **runs > earlier.and_then(|file| file.functions.get(*name)).copied().unwrap_or(0)
            });
            let (functions, lines) = (functions.count(), lines.count());
            if lines > 0 {
                more.insert(path.as_str(), (functions, lines));
            }
        }
        more
    }
}

fn print(what: &str, more: &BTreeMap<&str, (usize, usize)>) {
    for (path, (functions, lines)) in more {
        println!("{what:<30} {functions:>4} functions {lines:>5} lines  {path}");
    }
    let (functions, lines) =
        more.values().fold((0, 0), |(f, l), (functions, lines)| (f + functions, l + lines));
    println!("{what}: {} files, {functions} functions, {lines} lines\n", more.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ran_more_often_counts() {
        let before = "SF:/r/src/a.rs\nFNDA:1,f\nDA:1,1\nDA:2,1\nend_of_record\n";
        let after = "SF:/r/src/a.rs\nFNDA:2,f\nFNDA:0,g\nDA:1,2\nDA:2,1\nDA:3,0\nend_of_record\n\
            SF:/r/src/b.rs\nFNDA:1,h\nDA:7,1\nend_of_record\n\
            SF:/r/src/shell/c.rs\nFNDA:1,i\nDA:1,1\nend_of_record\n";
        let [before, after] = [before, after].map(|report| Counts::of(report, "/r/"));
        let expected = BTreeMap::from([("src/a.rs", (1, 1)), ("src/b.rs", (1, 1))]);
        assert_eq!(after.more_than(&before), expected);
        assert_eq!(after.more_than(&after), BTreeMap::new());
    }
}
