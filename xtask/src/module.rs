//! Builds the wasm module, and adds what a fresh Rust installation lacks for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps::{Step, finish, shown};
use crate::{Failure, Workspace, interface, progress, say};

/// What Envoy runs: WASI for the standard library, proxy-wasm for the rest.
pub const TARGET: &str = "wasm32-wasip1";
const PACKAGE: &str = "oidc-token-connector";
const FILE: &str = "oidc_token_connector.wasm";

/// `cargo xtask build`
pub fn build(workspace: &Workspace) -> Result<(), Failure> {
    ensure_target(workspace)?;
    let command = command(workspace);
    progress(&format!("module: {}", shown(&command)));
    finish(command)?;
    let path = path(workspace);
    announce(&path)?;
    interface::check(workspace, &path)
}

/// The same as a step among others.
pub fn step(workspace: &Workspace) -> Step<'_> {
    let run = || build(workspace);
    Step { name: "module build", repeat: "cargo xtask build".into(), run: Box::new(run) }
}

/// Builds the module whose guards the tests take away one at a time, in a directory of its own:
/// it must never be mistaken for the one that is shipped.
pub fn fault_injection_step(workspace: &Workspace) -> Step<'_> {
    let build = ["build", "--profile", "fault-injection", "--features", "fault-injection"];
    let mut command = workspace.cargo(&build);
    command.args(["--target", TARGET, "--package", PACKAGE, "--lib"]);
    Step::process("module with removable guards", command)
}

/// Builds another package of the workspace for Envoy, as the module itself is built.
pub fn build_other(workspace: &Workspace, package: &str) -> Result<(), Failure> {
    let command = release(workspace, package);
    progress(&format!("{package}: {}", shown(&command)));
    finish(command)
}

/// Makes sure that the pinned toolchain can compile for [`TARGET`].
pub fn ensure_target(workspace: &Workspace) -> Result<(), Failure> {
    if has_target(workspace)? {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(&workspace.root);
    progress(&format!("wasm target: {}", shown(&rustup)));
    let remedy = format!(
        "Rust's standard library for {TARGET} is missing. \
         With rustup: `rustup target add {TARGET}` in this directory (https://rustup.rs); \
         otherwise install your distribution's package of it"
    );
    finish(rustup).map_err(|failure| Failure::new(format!("{}. {remedy}", failure.message)))?;
    if has_target(workspace)? { Ok(()) } else { Err(Failure::new(remedy)) }
}

fn command(workspace: &Workspace) -> Command {
    let mut command = release(workspace, PACKAGE);
    command.arg("--lib");
    command
}

fn release(workspace: &Workspace, package: &str) -> Command {
    workspace.cargo(&["build", "--release", "--target", TARGET, "--package", package])
}

/// Where a build leaves the module.
pub fn path(workspace: &Workspace) -> PathBuf {
    workspace.target.join(TARGET).join("release").join(FILE)
}

fn announce(module: &Path) -> Result<(), Failure> {
    let found = std::fs::metadata(module)
        .map_err(|error| Failure::new(format!("cargo built no {}: {error}", module.display())))?;
    say(&format!("{} ({} KiB)", module.display(), found.len().div_ceil(1024)));
    Ok(())
}

/// rustc names the directory whether or not it exists.
fn has_target(workspace: &Workspace) -> Result<bool, Failure> {
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(&workspace.root)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::new(format!("cannot start `rustc`: {error}")))?;
    let dir = String::from_utf8_lossy(&asked.stdout);
    Ok(asked.status.success() && Path::new(dir.trim()).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_lies_below_the_target_directory() {
        let workspace = Workspace { root: "/checkout".into(), target: "/out".into() };
        let expected = Path::new("/out/wasm32-wasip1/release/oidc_token_connector.wasm");
        assert_eq!(path(&workspace), expected);
        assert_eq!(
            shown(&command(&workspace)),
            "cargo build --release --target wasm32-wasip1 --package oidc-token-connector --lib"
        );
    }

    #[test]
    fn a_module_that_was_not_built_is_a_failure() {
        let failure = announce(Path::new("/no/such/module.wasm")).unwrap_err();
        assert!(failure.message.starts_with("cargo built no /no/such/module.wasm"));
    }
}
