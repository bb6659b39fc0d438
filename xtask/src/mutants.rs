//! `cargo xtask mutants`: cargo-mutants breaks the core piece by piece; a mutant that no test
//! notices must be explained in `docs/mutants.md`, or it is a failure.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::steps::shown;
use crate::{Failure, Workspace, progress, say};

/// Where survivors are explained, each in a line that holds its description in backticks.
const EXPLAINED: &str = "docs/mutants.md";
/// What cargo-mutants returns where a mutant survived, and where one made the tests hang, which is
/// as good as a failing test.
const TO_BE_JUDGED: [i32; 2] = [2, 3];

/// `cargo xtask mutants`
pub fn run(workspace: &Workspace, files: &[OsString]) -> Result<(), Failure> {
    ensure_tool(workspace)?;
    let mut command = command(workspace, files);
    progress(&shown(&command));
    let ended =
        command.status().map_err(|error| Failure::new(format!("cannot start `cargo`: {error}")))?;
    if !ended.success() && !ended.code().is_some_and(|code| TO_BE_JUDGED.contains(&code)) {
        return Err(Failure::new(format!("cargo-mutants ended with {ended}")));
    }
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    };
    let missed = read(&workspace.target.join("mutants.out/missed.txt"))?;
    judge(&missed, &read(&workspace.root.join(EXPLAINED))?)
}

fn judge(missed: &str, explained: &str) -> Result<(), Failure> {
    let is_explained = |mutant: &str| explained.contains(&format!("`{mutant}`"));
    let missed: Vec<String> = missed.lines().map(placeless).collect();
    let new: Vec<&String> = missed.iter().filter(|mutant| !is_explained(mutant)).collect();
    if new.is_empty() {
        say(&format!("mutants: {} survived, each explained in {EXPLAINED}", missed.len()));
        return Ok(());
    }
    let mut message = format!("{} mutants survived without a word in {EXPLAINED}:", new.len());
    for mutant in new {
        message.push_str(&format!("\n  {mutant}"));
    }
    Err(Failure::new(message))
}

/// `src/a.rs:3:5: replace …` without the place, which every edit above it moves.
fn placeless(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(change)) => format!("{file}:{change}"),
        _ => mutant.to_owned(),
    }
}

fn ensure_tool(workspace: &Workspace) -> Result<(), Failure> {
    let mut asked = workspace.cargo(&["mutants", "--version"]);
    match asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::new(
            "`cargo mutants` is missing; install it with `cargo install --locked cargo-mutants`",
        )),
    }
}

fn command(workspace: &Workspace, files: &[OsString]) -> Command {
    let mut command = workspace.cargo(&["mutants", "--no-shuffle", "--colors", "never"]);
    command.arg("--output").arg(&workspace.target);
    // `--file` would only add to the files that the configuration names.
    for file in files {
        let name = file.to_string_lossy().replace('.', "\\.");
        command.arg("--re").arg(format!("^{name}:"));
    }
    // Random cases beyond a few only cost time here: a mutant must not survive by luck.
    command.env("PROPTEST_CASES", "16");
    // It compiles copies of the tree, which must not mix with what is built here.
    command.env_remove("CARGO_TARGET_DIR");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survivor_must_be_explained_wherever_it_now_stands() {
        let missed = "src/a.rs:10:5: replace f -> bool with true\n";
        let explained = "- `src/a.rs: replace f -> bool with true`: no difference, because …\n";
        assert_eq!(judge(missed, explained), Ok(()));
        assert_eq!(judge("", ""), Ok(()));
        let failure = judge(missed, "").unwrap_err();
        assert_eq!(
            failure.message,
            "1 mutants survived without a word in docs/mutants.md:\n  \
             src/a.rs: replace f -> bool with true"
        );
    }

    #[test]
    fn only_the_files_named_are_mutated() {
        let workspace = Workspace { root: "/checkout".into(), target: "/out".into() };
        assert_eq!(
            shown(&command(&workspace, &["src/bearer.rs".into()])),
            "cargo mutants --no-shuffle --colors never --output /out --re ^src/bearer\\.rs:"
        );
    }
}
