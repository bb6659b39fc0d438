//! `cargo xtask coverage`: which lines of the core its native tests run.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use xshell::cmd;

use crate::Workspace;
use crate::workspace::ensure;

/// Below this the command fails, in percent of all lines.
const LEAST: f64 = 97.0;

/// The lines that could run, by file, and how often each did.
pub(crate) type Lines<'r> = BTreeMap<&'r str, Vec<(usize, u64)>>;

/// `cargo xtask coverage`
pub fn run(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.sh;
    needed(workspace)?;
    // The core's own tests alone: what only the fuzz harness or xtask reaches is not tested here.
    let report = cmd!(sh, "cargo llvm-cov --package oidc-token-connector --lcov").read()?;
    let (mut all, mut run) = (0, 0);
    for (path, mut lines) in core(&report, &format!("{}/", workspace.root.display())) {
        // Tests at the end of a file always run, and would only hide what does not.
        let source = sh.read_file(path)?;
        if let Some(tests) = source.lines().position(|line| line == "mod tests {") {
            lines.retain(|(line, _)| *line < tests);
        }
        let missed: Vec<String> =
            lines.iter().filter(|(_, runs)| *runs == 0).map(|(line, _)| line.to_string()).collect();
        let here = lines.len() - missed.len();
        let percent = 100.0 * here as f64 / lines.len().max(1) as f64;
        let not_run = if missed.is_empty() { "" } else { "  not run: " };
        println!("{percent:>6.1} %  {:>4} lines  {path}{not_run}{}", lines.len(), missed.join(" "));
        (all, run) = (all + lines.len(), run + here);
    }
    let percent = 100.0 * f64::from(u32::try_from(run)?) / f64::from(u32::try_from(all)?);
    println!("core: got {percent:.2} % of {all} lines, expected at least {LEAST} %");
    // No line at all is not a number.
    if percent >= LEAST { Ok(()) } else { bail!("tests run too few lines of the core") }
}

/// Fails without the tool that measures coverage, with the remedy.
pub(crate) fn needed(workspace: &Workspace) -> Result<()> {
    ensure(
        cmd!(workspace.sh, "cargo llvm-cov --version"),
        "`cargo install --locked cargo-llvm-cov; rustup component add llvm-tools`",
    )
}

/// Reads the report: `SF:` opens a file, each `DA:line,count` is a line that could run. Leaves out the
/// shell, which runs in Envoy alone, and everything that is a test.
pub(crate) fn core<'r>(report: &'r str, root: &str) -> Lines<'r> {
    let (mut files, mut file) = (Lines::new(), "");
    for record in report.lines() {
        if let Some(path) = record.strip_prefix("SF:") {
            file = path.strip_prefix(root).unwrap_or(path);
        } else if let Some(counted) = record.strip_prefix("DA:")
            && let Some((line, runs)) = counted.split_once(',')
            && let (Ok(line), Ok(runs)) = (line.parse(), runs.parse())
        {
            files.entry(file).or_default().push((line, runs));
        }
    }
    files.retain(|path, _| {
        path.starts_with("src/")
            && !path.starts_with("src/shell")
            && *path != "src/sim.rs"
            && !path.contains("/tests")
    });
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_core_counts() {
        let report = "SF:/r/src/a.rs\nFN:1,f\nDA:1,5\nDA:2,0\nend_of_record\n\
            SF:/r/src/shell/host.rs\nDA:1,0\nSF:/r/src/a/tests.rs\nDA:1,0\nend_of_record\n\
            SF:/r/src/sim.rs\nDA:7,1\nSF:/r/xtask/src/b.rs\nDA:1,0\n";
        assert_eq!(core(report, "/r/"), Lines::from([("src/a.rs", vec![(1, 5), (2, 0)])]));
    }
}
