//! `cargo xtask fuzz`: libFuzzer over the targets of `fuzz/`, one after the other.
//!
//! The committed corpus is only read: what a run learns goes below `fuzz/target`, so that the
//! repository grows by choice.

use anyhow::{Context, Result, bail};
use xshell::{Cmd, cmd};

use crate::Workspace;
use crate::workspace::ensure;

/// `cargo xtask fuzz`
pub fn run(workspace: &Workspace, seconds: u32, wanted: &[String]) -> Result<()> {
    let sh = &workspace.sh;
    // Each target is a file; the listing is sorted.
    let files = sh.read_dir("fuzz/fuzz_targets")?;
    let all: Vec<String> =
        files.iter().filter_map(|path| path.file_stem()?.to_str().map(str::to_owned)).collect();
    if let Some(unknown) = wanted.iter().find(|target| !all.contains(target)) {
        bail!("got fuzz target `{unknown}`, expected one of {}", all.join(", "));
    }
    let version = nightly(cmd!(sh, "cargo +nightly fuzz --version"));
    ensure(version, "`rustup toolchain install nightly; cargo install --locked cargo-fuzz`")?;
    let chosen = if wanted.is_empty() { &all } else { wanted };
    for target in chosen {
        let (learned, corpus) =
            (format!("fuzz/target/corpus/{target}"), format!("fuzz/corpus/{target}"));
        sh.create_dir(&learned)?;
        let words = format!("fuzz/dictionaries/{target}");
        let words = sh.path_exists(&words).then(|| format!("-dict={words}"));
        // No address sanitizer: the core has no unsafe code, and runs twice as fast without. An
        // input that takes five seconds has found something.
        let run = cmd!(sh, "cargo +nightly fuzz run --sanitizer none {target} {learned} {corpus}");
        let run = run.args(["--", &format!("-max_total_time={seconds}"), "-timeout=5"]);
        nightly(run.args(["-max_len=4096", "-print_final_stats=1"]).args(words))
            .run()
            .with_context(|| format!("see fuzz/artifacts/{target}"))?;
    }
    println!("fuzz: {} targets, {seconds} s each, nothing found", chosen.len());
    Ok(())
}

/// cargo as rustup installs it: the cargo that runs this program belongs to the pinned toolchain,
/// and would override `+nightly`.
pub fn nightly(command: Cmd<'_>) -> Cmd<'_> {
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("CARGO_TARGET_DIR")
}
