//! `cargo xtask miri`: the code with `unsafe`, and what reads bytes of the host and of providers, under Miri.
//!
//! Miri interprets the code and stops at the first access that Rust does not define. What calls the host
//! (`src/shell/raw.rs`) cannot run here: natively there is no host.

use anyhow::Result;
use xshell::cmd;

use crate::Workspace;
use crate::fuzz::nightly;
use crate::workspace::ensure;

/// The beginnings of the tests' names: the whole of each room, and of JSON, which has no `unsafe`, the tests
/// that read whole documents; its others go through every byte of long texts, which takes Miri hours.
const TESTS: &[&str] = &[
    "memory::",
    "request::block::",
    "request::headers::",
    "claims::json::tests::both_accept_the_same_texts",
    "claims::json::tests::documents_are_kept_as_written",
];

/// `cargo xtask miri`
pub fn run(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.sh;
    let version = nightly(cmd!(sh, "cargo +nightly miri --version"));
    ensure(version, "`rustup toolchain install nightly --component miri,rust-src`")?;
    // The allocator keeps its slabs until the process ends: that is no leak. Random documents need
    // the host's random bytes, and a few of them suffice where each step is interpreted.
    let flags = "-Zmiri-strict-provenance -Zmiri-ignore-leaks -Zmiri-disable-isolation";
    let tests = cmd!(sh, "cargo +nightly miri test --target-dir target/miri --lib --").args(TESTS);
    nightly(tests).env("MIRIFLAGS", flags).env("PROPTEST_CASES", "4").run()?;
    Ok(())
}
