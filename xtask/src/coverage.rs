//! `cargo xtask coverage`: which lines of the core its native tests run.

use std::process::{Command, Stdio};

use crate::steps::shown;
use crate::{Failure, Workspace, progress, say};

/// Below this the command fails, in percent of all lines.
const LEAST: f64 = 97.0;

/// Lines of one file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lines {
    path: String,
    run: Vec<u32>,
    missed: Vec<u32>,
}

impl Lines {
    fn all(&self) -> usize {
        self.run.len() + self.missed.len()
    }
}

/// `cargo xtask coverage`
pub fn run(workspace: &Workspace) -> Result<(), Failure> {
    ensure_tool(workspace)?;
    let mut command = command(workspace);
    progress(&shown(&command));
    let ended = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::new(format!("cannot start `cargo`: {error}")))?;
    if !ended.status.success() {
        return Err(Failure::new(format!("the tests ended with {}", ended.status)));
    }
    let root = format!("{}/", workspace.root.display());
    let mut measured = lcov(&String::from_utf8_lossy(&ended.stdout), &root);
    for file in &mut measured {
        let source = std::fs::read_to_string(workspace.root.join(&file.path))
            .map_err(|error| Failure::new(format!("{}: {error}", file.path)))?;
        leave_out_tests(file, &source);
    }
    let files = core(&measured);
    for file in &files {
        say(&row(file));
    }
    let (all, missed) = files
        .iter()
        .fold((0, 0), |(all, missed), file| (all + file.all(), missed + file.missed.len()));
    judge(all, missed)
}

fn judge(all: usize, missed: usize) -> Result<(), Failure> {
    if all == 0 {
        return Err(Failure::new("no line of src/ was measured"));
    }
    let percent = 100.0 * (all - missed) as f64 / all as f64;
    let total = format!("core: {percent:.2} % of {all} lines, at least {LEAST} % wanted");
    if percent < LEAST {
        return Err(Failure::new(total));
    }
    say(&total);
    Ok(())
}

fn ensure_tool(workspace: &Workspace) -> Result<(), Failure> {
    let mut asked = workspace.cargo(&["llvm-cov", "--version"]);
    match asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::new(
            "`cargo llvm-cov` is missing; install it with `cargo install --locked cargo-llvm-cov` \
             and `rustup component add llvm-tools`",
        )),
    }
}

fn command(workspace: &Workspace) -> Command {
    // The core's own tests alone: what only the fuzz harness or xtask reaches is not tested here.
    workspace.cargo(&["llvm-cov", "--package", "oidc-token-connector", "--lcov"])
}

/// Reads the report: `SF:` opens a file, each `DA:line,count` is a line that could run.
fn lcov(report: &str, root: &str) -> Vec<Lines> {
    let mut files: Vec<Lines> = Vec::new();
    for record in report.lines() {
        if let Some(path) = record.strip_prefix("SF:") {
            let path = path.strip_prefix(root).unwrap_or(path).to_owned();
            files.push(Lines { path, ..Lines::default() });
        } else if let Some((line, count)) =
            record.strip_prefix("DA:").and_then(|counted| counted.split_once(','))
            && let Some(file) = files.last_mut()
        {
            let lines = if count == "0" { &mut file.missed } else { &mut file.run };
            lines.extend(line.parse::<u32>());
        }
    }
    files
}

/// Leaves out the tests at the end of a file: they always run, and would only hide what does not.
fn leave_out_tests(file: &mut Lines, source: &str) {
    let end = source.lines().position(|line| line == "mod tests {").unwrap_or(usize::MAX);
    let is_core = |line: &u32| (*line as usize) < end;
    file.run.retain(is_core);
    file.missed.retain(is_core);
}

/// Leaves out the shell, which runs in Envoy alone, and everything that is a test.
fn core(files: &[Lines]) -> Vec<&Lines> {
    let is_core = |path: &str| {
        path.starts_with("src/")
            && !path.starts_with("src/shell")
            && path != "src/sim.rs"
            && !path.contains("/tests")
    };
    files.iter().filter(|file| is_core(&file.path)).collect()
}

fn row(file: &Lines) -> String {
    let missed = file.missed.len();
    let percent = 100.0 * (1.0 - missed as f64 / file.all().max(1) as f64);
    let mut row = format!("{percent:>6.1} %  {:>4} lines  {}", file.all(), file.path);
    if !file.missed.is_empty() {
        let lines: Vec<String> = file.missed.iter().map(u32::to_string).collect();
        row.push_str(&format!("  not run: {}", lines.join(" ")));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "SF:/r/src/a.rs\nFN:1,f\nDA:1,5\nDA:2,0\nDA:3,1\nend_of_record\n\
        SF:/r/src/shell/host.rs\nDA:1,0\nend_of_record\nSF:/r/src/a/tests.rs\nDA:1,0\n\
        end_of_record\nSF:/r/src/sim.rs\nDA:7,1\nend_of_record\nSF:/r/xtask/src/b.rs\nDA:1,0\n";

    #[test]
    fn only_the_core_counts() {
        let files = lcov(REPORT, "/r/");
        assert_eq!(files.len(), 5);
        let expected = Lines { path: "src/a.rs".into(), run: vec![1, 3], missed: vec![2] };
        assert_eq!(core(&files), [&expected]);
        assert_eq!(row(&expected), "  66.7 %     3 lines  src/a.rs  not run: 2");
    }

    #[test]
    fn tests_in_a_file_do_not_count() {
        let mut file = Lines { path: "a".into(), run: vec![1, 4, 5], missed: vec![2, 6] };
        leave_out_tests(&mut file, "fn f() {\n}\n#[cfg(test)]\nmod tests {\n    #[test]\n");
        assert_eq!((file.run, file.missed), (vec![1], vec![2]));
        let mut all = Lines { path: "a".into(), run: vec![1], missed: vec![] };
        leave_out_tests(&mut all, "fn f() {}\n");
        assert_eq!(all.run, [1]);
    }

    #[test]
    fn too_little_and_nothing_are_failures() {
        assert_eq!(judge(1000, 30), Ok(()));
        let failure = judge(1000, 31).unwrap_err();
        assert_eq!(failure.message, "core: 96.90 % of 1000 lines, at least 97 % wanted");
        assert!(judge(0, 0).is_err());
    }
}
