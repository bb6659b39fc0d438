//! `cargo xtask mutants`: cargo-mutants changes the core piece by piece; a mutant that no test
//! detects must be explained in `docs/mutants.md`, or it is a failure.

use anyhow::{Result, bail};
use xshell::cmd;

use crate::Workspace;
use crate::workspace::ensure;

/// Where survivors are explained, each in a line that holds its description in backticks.
const EXPLAINED: &str = "docs/mutants.md";

/// `cargo xtask mutants`
pub fn run(workspace: &Workspace, files: &[String]) -> Result<()> {
    let (sh, target) = (&workspace.sh, &workspace.target);
    ensure(cmd!(sh, "cargo mutants --version"), "`cargo install --locked cargo-mutants`")?;
    // `--file` would only add to the files that the configuration names.
    let files = files.iter().map(|file| format!("--re=^{}:", file.replace('.', "\\.")));
    let mutants =
        cmd!(sh, "cargo mutants --no-shuffle --colors never --output {target}").args(files);
    // Few random cases save time: a mutant must not survive by chance. cargo-mutants compiles
    // copies of the tree, which must not mix with this build.
    let mutants = mutants.env("PROPTEST_CASES", "16").env_remove("CARGO_TARGET_DIR");
    // 2: a mutant survived; 3: one made the tests hang, which is as good as a failing test.
    eprintln!("$ {mutants}");
    let ended = std::process::Command::from(mutants).status()?;
    if !matches!(ended.code(), Some(0 | 2 | 3)) {
        bail!("cargo-mutants ended with {ended}");
    }
    let missed = sh.read_file(target.join("mutants.out/missed.txt"))?;
    let (survived, new) = unexplained(&missed, &sh.read_file(EXPLAINED)?);
    if !new.is_empty() {
        bail!(
            "{} mutants survived without an explanation in {EXPLAINED}:\n  {}",
            new.len(),
            new.join("\n  ")
        );
    }
    println!("mutants: {survived} survived, each explained in {EXPLAINED}");
    Ok(())
}

/// The number of survivors, and those without an explanation.
fn unexplained(missed: &str, explained: &str) -> (usize, Vec<String>) {
    // `src/a.rs:3:5: replace …` without the place, which every edit above it moves.
    let placeless = |mutant: &str| match mutant.splitn(4, ':').collect::<Vec<_>>()[..] {
        [file, _, _, change] => format!("{file}:{change}"),
        _ => mutant.to_owned(),
    };
    let mut missed: Vec<String> = missed.lines().map(placeless).collect();
    let survived = missed.len();
    missed.retain(|mutant| !explained.contains(&format!("`{mutant}`")));
    (survived, missed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survivor_is_matched_without_line_numbers() {
        let missed = "src/a.rs:10:5: replace f -> bool with true\n";
        let explained = "- `src/a.rs: replace f -> bool with true`: no difference, because …\n";
        assert_eq!(unexplained(missed, explained), (1, vec![]));
        let new = vec!["src/a.rs: replace f -> bool with true".to_owned()];
        assert_eq!(unexplained(missed, ""), (1, new));
    }
}
