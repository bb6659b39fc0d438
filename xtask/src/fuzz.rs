//! `cargo xtask fuzz`: libFuzzer over the targets of `fuzz/`, one after the other.
//!
//! The committed corpus is only read: what a run learns goes below `fuzz/target`, so that the
//! repository grows by choice.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::steps::{finish, shown};
use crate::{Failure, Workspace, progress, say};

/// A run that takes longer for one input has found something.
const SECONDS_PER_INPUT: u32 = 5;

/// `cargo xtask fuzz`
pub fn run(workspace: &Workspace, seconds: u32, wanted: &[String]) -> Result<(), Failure> {
    let all = targets(workspace)?;
    if let Some(unknown) = wanted.iter().find(|target| !all.contains(target)) {
        let known = all.join(", ");
        return Err(Failure::new(format!("no fuzz target `{unknown}`; there are {known}")));
    }
    ensure_tools(workspace)?;
    let chosen = if wanted.is_empty() { &all } else { wanted };
    for target in chosen {
        let learned = workspace.root.join("fuzz/target/corpus").join(target);
        std::fs::create_dir_all(&learned)
            .map_err(|error| Failure::new(format!("{}: {error}", learned.display())))?;
        let command = command(workspace, target, seconds);
        progress(&format!("{target}: {}", shown(&command)));
        finish(command).map_err(|failure| {
            let hint = format!("{}; see fuzz/artifacts/{target}", failure.message);
            Failure { message: hint, ..failure }
        })?;
    }
    say(&format!("fuzz: {} targets, {seconds} s each, nothing found", chosen.len()));
    Ok(())
}

/// The names of all targets, sorted: each is a file.
fn targets(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let dir = workspace.root.join("fuzz/fuzz_targets");
    let unreadable = |error| Failure::new(format!("{}: {error}", dir.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn ensure_tools(workspace: &Workspace) -> Result<(), Failure> {
    // The first finds the toolchain, the second the subcommand.
    for (arguments, remedy) in [
        (&["+nightly", "--version"][..], "install it with `rustup toolchain install nightly`"),
        (&["+nightly", "fuzz", "--version"], "install it with `cargo install --locked cargo-fuzz`"),
    ] {
        let mut asked = nightly(workspace, arguments);
        match asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
            Ok(status) if status.success() => {}
            _ => {
                let missing = format!("`{}` does not work; {remedy}", shown(&asked));
                return Err(Failure::new(missing));
            }
        }
    }
    Ok(())
}

fn command(workspace: &Workspace, target: &str, seconds: u32) -> Command {
    // No address sanitizer: the core has no unsafe code, and runs twice as fast without.
    let mut command = nightly(workspace, &["+nightly", "fuzz", "run", "--sanitizer", "none"]);
    command.arg(target);
    command.args(
        [PathBuf::from("fuzz/target/corpus"), PathBuf::from("fuzz/corpus")]
            .map(|dir| dir.join(target)),
    );
    command.arg("--");
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-timeout={SECONDS_PER_INPUT}"));
    command.args(["-max_len=4096", "-print_final_stats=1"]);
    let words = format!("fuzz/dictionaries/{target}");
    if workspace.root.join(&words).is_file() {
        command.arg(format!("-dict={words}"));
    }
    command
}

/// cargo as rustup installs it: the one that runs this program belongs to the pinned toolchain.
fn nightly(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(&workspace.root);
    // Set for us by rustup, it would win over `+nightly` in what cargo itself starts.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_found() {
        let found = targets(&Workspace::find()).unwrap();
        let expected =
            ["bearer", "challenge", "claims", "config", "endpoint", "gate_ops", "jsonpath"];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_run_reads_the_committed_corpus_and_writes_elsewhere() {
        assert_eq!(
            shown(&command(&Workspace::find(), "claims", 7)),
            "cargo +nightly fuzz run --sanitizer none claims fuzz/target/corpus/claims \
             fuzz/corpus/claims -- -max_total_time=7 -timeout=5 -max_len=4096 \
             -print_final_stats=1 -dict=fuzz/dictionaries/claims"
        );
    }

    #[test]
    fn an_unknown_target_is_named_beside_those_that_exist() {
        let failure = run(&Workspace::find(), 1, &["claim".into()]).unwrap_err();
        assert!(failure.message.starts_with("no fuzz target `claim`; there are bearer, "));
    }
}
