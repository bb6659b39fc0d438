//! A command whose output passes through while it is read: how many tests passed, which failed, and what was left out.
//! It must never hold a line back, and says so when nothing comes for a while.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xshell::Cmd;

/// After so long without a line the reader is told that the command goes on.
const SILENCE: Duration = Duration::from_secs(10);

/// How often a silent command is looked at: one that has ended may have left a process that keeps its output open.
const LOOK: Duration = Duration::from_secs(1);

/// What the commands of a suite said about tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Results {
    /// How many tests passed.
    passed: usize,
    /// The names of those that failed.
    failed: Vec<String>,
    /// The commands that repeat the targets that failed.
    targets: BTreeSet<String>,
    /// What stands before them.
    environment: String,
    /// What could not be tested here.
    left_out: BTreeSet<String>,
}

impl Results {
    /// As [`Results::run`], for a command that has this environment.
    pub(super) fn run_in(&mut self, environment: &str, command: Cmd<'_>) -> Result<()> {
        environment.clone_into(&mut self.environment);
        let ended = self.run(command);
        self.environment.clear();
        ended
    }

    /// Runs a command, and reads along.
    pub(super) fn run(&mut self, command: Cmd<'_>) -> Result<()> {
        let shown = command.to_string();
        println!("$ {shown}");
        let mut command = Command::from(command);
        if std::io::stdout().is_terminal() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("`{shown}` cannot be started"))?;
        let (tell, lines) = mpsc::channel();
        child.stdout.take().into_iter().for_each(|source| forward(source, tell.clone()));
        child.stderr.take().into_iter().for_each(|source| forward(source, tell.clone()));
        drop(tell);
        let (started, mut spoke) = (Instant::now(), Instant::now());
        let mut ended = false;
        loop {
            match lines.recv_timeout(LOOK) {
                Ok(line) => {
                    spoke = Instant::now();
                    println!("{line}");
                    self.read(&line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                // Its last lines may be on their way when its end is seen first: one look more.
                Err(RecvTimeoutError::Timeout) if ended => break,
                Err(RecvTimeoutError::Timeout) if child.try_wait()?.is_some() => ended = true,
                Err(RecvTimeoutError::Timeout) if spoke.elapsed() >= SILENCE => {
                    spoke = Instant::now();
                    println!("    … goes on, {} s so far", started.elapsed().as_secs());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let status = child.wait()?;
        ensure!(status.success(), "`{shown}` ended with {status}");
        Ok(())
    }

    /// A line of the output: of libtest, of cargo, or of a test that says what it left out.
    fn read(&mut self, line: &str) {
        const LEFT_OUT: &str = "LEFT OUT";
        if let Some(name) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED")) {
            self.failed.push(name.to_owned());
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            let passed = counts.split(' ').nth(1).and_then(|number| number.parse().ok());
            self.passed = self.passed.saturating_add(passed.unwrap_or(0usize));
        } else if let Some(target) =
            line.trim().strip_prefix("`-p ").and_then(|l| l.strip_suffix('`'))
        {
            self.targets.insert(format!("{}cargo test -p {target}", self.environment));
        } else if let Some(at) = line.find(LEFT_OUT) {
            let what = line.get(at..).unwrap_or_default().trim_start_matches(LEFT_OUT);
            self.left_out.insert(what.trim_start_matches([',', ':', ' ']).to_owned());
        }
    }

    /// The count, what was left out, and what failed, in this order: the last is read first.
    pub(super) fn summary(&self) -> String {
        let Self { passed, failed, targets, left_out, .. } = self;
        let mut lines = vec![format!("Tests: {passed} passed, {} failed", failed.len())];
        let mut list = |heading: &str, items: &mut dyn Iterator<Item = &String>| {
            let items: Vec<String> = items.map(|item| format!("  {item}")).collect();
            if !items.is_empty() {
                lines.push(heading.to_owned());
                lines.extend(items);
            }
        };
        list("Left out:", &mut left_out.iter());
        list("Failed tests:", &mut failed.iter());
        list("To repeat them:", &mut targets.iter());
        lines.join("\n")
    }
}

/// Sends what comes line by line, on a thread of its own. Ends with the source.
fn forward(source: impl Read + Send + 'static, tell: Sender<String>) {
    thread::spawn(move || {
        let (mut source, mut line) = (BufReader::new(source), Vec::new());
        while source.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            if tell.send(text).is_err() {
                // Nobody listens any more: what is left goes where it would have gone.
                let _ = std::io::stdout().write_all(&line);
            }
            line.clear();
        }
    });
}

#[cfg(test)]
mod tests {
    use xshell::{Shell, cmd};

    use super::*;

    fn after(lines: &str) -> Results {
        let mut results = Results::default();
        lines.lines().for_each(|line| results.read(line));
        results
    }

    #[test]
    fn tests_are_counted_and_failures_come_last() {
        let results = after(
            "test a::b ... ok\ntest c ... FAILED\ntest result: FAILED. 21 passed; 1 failed; 0 ignored\n\
             LEFT OUT: the suite is absent\nLEFT OUT, no definition: Service\n\
             test result: ok. 3 passed; 0 failed\nerror: 1 target failed:\n    `-p integration --test demo`\n",
        );
        assert_eq!(
            results.summary(),
            "Tests: 24 passed, 1 failed\nLeft out:\n  no definition: Service\n  the suite is absent\n\
             Failed tests:\n  c\nTo repeat them:\n  cargo test -p integration --test demo"
        );
        assert_eq!(Results::default().summary(), "Tests: 0 passed, 0 failed");
    }

    #[test]
    fn output_of_both_streams_is_read_and_a_failure_is_one() {
        let sh = Shell::new().unwrap();
        let mut results = Results::default();
        let said = "echo 'test result: ok. 2 passed; 0 failed'; echo 'LEFT OUT: x' >&2";
        results.run(cmd!(sh, "sh -c {said}")).unwrap();
        let expected =
            Results { passed: 2, left_out: BTreeSet::from(["x".to_owned()]), ..Results::default() };
        assert_eq!(results, expected);
        let error = results.run(cmd!(sh, "false --at-all")).unwrap_err().to_string();
        assert!(error.starts_with("`false --at-all` ended with "), "{error}");
    }

    #[test]
    fn what_repeats_a_failure_has_its_environment() {
        let sh = Shell::new().unwrap();
        let mut results = Results::default();
        let says = "echo '    `-p integration --test demo`'; false";
        results.run_in("RELEASE=1 ", cmd!(sh, "sh -c {says}")).unwrap_err();
        assert!(results.run(cmd!(sh, "sh -c {says}")).is_err());
        let both = [
            "RELEASE=1 cargo test -p integration --test demo",
            "cargo test -p integration --test demo",
        ];
        assert_eq!(results.targets, both.map(str::to_owned).into());
    }

    #[test]
    fn a_process_that_stays_does_not_keep_the_suite() {
        let sh = Shell::new().unwrap();
        let note = std::env::temp_dir().join(format!("suite-{}", std::process::id()));
        // It has the output open.
        let stays = format!("tail -f /dev/null & echo $! > {}", note.display());
        let mut results = Results::default();
        let ended = results.run(cmd!(sh, "sh -c {stays}"));
        let process = sh.read_file(&note).unwrap();
        let process = process.trim();
        cmd!(sh, "kill {process}").run().unwrap();
        sh.remove_path(&note).unwrap();
        ended.unwrap();
        assert_eq!(results, Results::default());
    }
}
