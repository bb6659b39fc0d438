//! `cargo xtask bench --instructions`: how many instructions each hot operation of the core takes,
//! counted by callgrind, beside the counts that were committed.
//!
//! Time differs from run to run; a count of instructions does not, so that a change which costs
//! shows where. It is a figure to look at and never a failure: compilers differ, and some changes
//! are worth it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use xshell::cmd;

use crate::Workspace;
use crate::workspace::ensure;

/// The committed counts: one `name count` per line.
const LIST: &str = "bench/micro/instructions.txt";

const HEADER: &str = "\
# Instructions per call of each operation, native code for x86-64, by the pinned toolchain.
# Written by `cargo xtask bench --instructions --write`, which says what has changed since.
";

/// How often each operation is called: enough for what happens only now and then to count its part.
const CALLS: u64 = 200;

/// Percent by which a count may differ and still be reported as the same. Most counts are exact;
/// operations on a table with a random seed differ by a few.
const SAME: f64 = 0.1;

/// `cargo xtask bench --instructions`
pub fn run(workspace: &Workspace, only: &[String], write: bool) -> Result<()> {
    let sh = &workspace.sh;
    ensure(cmd!(sh, "valgrind --version"), "`apt-get install valgrind` (Debian and Ubuntu)")?;
    // Another architecture's counts say nothing about this one's.
    if std::env::consts::ARCH != "x86_64" {
        bail!("{LIST} has counts only for x86-64");
    }
    cmd!(sh, "cargo build --profile count --package micro --example count").run()?;
    let program = workspace.target.join("count/examples/count");
    let all = cmd!(sh, "{program}").quiet().read()?;
    if let Some(part) = only.iter().find(|part| !all.contains(part.as_str())) {
        bail!("got operation `{part}`, expected a part of one of\n{all}");
    }
    let committed = read(&sh.read_file(LIST)?)?;
    let mut counts = BTreeMap::new();
    println!("| operation | instructions per call | committed | difference |");
    println!("| --- | ---: | ---: | ---: |");
    for name in all.lines() {
        if !only.is_empty() && !only.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let out = workspace.target.join("callgrind.out");
        // Only what happens inside the function that repeats the operation is counted.
        let valgrind = cmd!(sh, "valgrind --tool=callgrind --toggle-collect=*micro::measured*");
        let valgrind = valgrind.arg(format!("--callgrind-out-file={}", out.display()));
        valgrind.arg(&program).args([name, &CALLS.to_string()]).quiet().ignore_stderr().run()?;
        let report = sh.read_file(&out)?;
        let total = report.lines().find_map(|line| line.strip_prefix("totals:"));
        let total: u64 = total.context("callgrind counted nothing")?.trim().parse()?;
        let count = (total + CALLS / 2) / CALLS;
        println!("{}", row(name, count, committed.get(name).copied()));
        counts.insert(name, count);
    }
    if write {
        let mut text = HEADER.to_owned();
        let width = all.lines().map(str::len).max().unwrap_or_default();
        // Counts that were not made now stay; operations that no longer exist go.
        for name in all.lines() {
            if let Some(count) = counts.get(name).or_else(|| committed.get(name)) {
                writeln!(text, "{name:<width$} {count:>8}")?;
            }
        }
        sh.write_file(LIST, text)?;
    }
    Ok(())
}

fn read(text: &str) -> Result<BTreeMap<String, u64>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let entry = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    lines
        .map(|line| entry(line).with_context(|| format!("{LIST}: got {line}, expected name count")))
        .collect()
}

fn row(name: &str, count: u64, committed: Option<u64>) -> String {
    let Some(before) = committed else { return format!("| {name} | {count} | - | - |") };
    let percent = 100.0 * (count as f64 / before.max(1) as f64 - 1.0);
    let difference =
        if percent.abs() <= SAME { "=".to_owned() } else { format!("{percent:+.1} %") };
    format!("| {name} | {count} | {before} | {difference} |")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_to_what_was_committed() {
        assert_eq!(row("a", 1001, Some(1000)), "| a | 1001 | 1000 | = |");
        assert_eq!(row("a", 1002, Some(1000)), "| a | 1002 | 1000 | +0.2 % |");
        assert_eq!(row("a", 989, Some(1000)), "| a | 989 | 1000 | -1.1 % |");
        assert_eq!(row("a", 7, None), "| a | 7 | - | - |");
    }

    #[test]
    fn the_committed_counts_can_be_read() {
        let text = Workspace::find().unwrap().sh.read_file(LIST).unwrap();
        assert!(text.starts_with(HEADER) && read(&text).unwrap().len() >= 20);
        assert!(read("one many\n").is_err());
    }
}
