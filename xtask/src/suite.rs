//! `cargo xtask test`: every check of the repository, in the order in which a mistake shows
//! soonest. What a step needs and does not find is that step's failure; only the JSONPath conformance
//! suite and the definitions of Kubernetes objects, which are not part of this repository, are left
//! out, visibly, where they are absent. What needs a Docker engine is a part of its own.

use std::io;
use std::process::{Command, Stdio};

use crate::args::Part;
use crate::module::{self, TARGET};
use crate::steps::{self, Step};
use crate::{Failure, Workspace, say, tidy};

/// Runs a part of the suite.
pub fn run(workspace: &Workspace, part: Part) -> Result<(), Failure> {
    let (steps, option) = match part {
        Part::All => (all_steps(workspace), ""),
        Part::Quick => (quick_steps(workspace), " --quick"),
        Part::Compose => (compose_steps(workspace), " --compose"),
    };
    steps::run(steps, &mut io::stdout())?;
    say(&format!("\ncargo xtask test{option}: passed"));
    Ok(())
}

/// What is compiled for Envoy: the module, and the benchmark's yardstick.
const WASM_PACKAGES: [&str; 7] =
    ["--package", "oidc-token-connector", "--package", "do-nothing", "--lib", "--target", TARGET];

fn all_steps(workspace: &Workspace) -> Vec<Step<'_>> {
    vec![
        Step::process("formatting", workspace.cargo(&["fmt", "--all", "--check"]))
            .needing(|| component(workspace, "fmt", "rustfmt")),
        tidy::step(workspace),
        Step::process("clippy, native", clippy(workspace, &["--workspace", "--all-targets"]))
            .needing(|| component(workspace, "clippy", "clippy")),
        Step::process("clippy, wasm", clippy(workspace, &WASM_PACKAGES))
            .needing(|| module::ensure_target(workspace)),
        native_tests(workspace),
        module::sabotage_step(workspace),
        module::step(workspace),
        Step::process("Envoy tests", workspace.cargo(&["test", "--package", "integration"])),
    ]
}

fn quick_steps(workspace: &Workspace) -> Vec<Step<'_>> {
    let smoke = ["test", "--package", "integration", "--test", "journey"];
    vec![
        native_tests(workspace),
        module::step(workspace),
        Step::process("Envoy smoke test", workspace.cargo(&smoke)),
    ]
}

fn compose_steps(workspace: &Workspace) -> Vec<Step<'_>> {
    vec![
        Step::process("alert rules", script(workspace, "integration/prometheus-test.sh")),
        module::step(workspace),
        Step::process("compose file", script(workspace, "integration/compose-ci.sh")),
    ]
}

/// A script of the repository, which finds cargo's directory and the module where this program does.
fn script(workspace: &Workspace, path: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg(path).current_dir(&workspace.root);
    command.env("CARGO_TARGET_DIR", &workspace.target);
    command.env("OIDC_CONNECTOR_WASM", module::path(workspace));
    command
}

fn native_tests(workspace: &Workspace) -> Step<'_> {
    let command = workspace.cargo(&["test", "--workspace", "--exclude", "integration"]);
    Step::process("native tests", command)
}

fn clippy(workspace: &Workspace, what: &[&str]) -> Command {
    let mut command = workspace.cargo(&["clippy"]);
    command.args(what).args(["--", "-D", "warnings"]);
    command
}

/// Fails with the remedy if cargo lacks a subcommand that rustup delivers as a component.
fn component(workspace: &Workspace, subcommand: &str, component: &str) -> Result<(), Failure> {
    let mut asked = workspace.cargo(&[subcommand, "--version"]);
    match asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::new(format!(
            "`cargo {subcommand}` is missing; with rustup: `rustup component add {component}`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeats(steps: Vec<Step<'_>>) -> Vec<String> {
        steps.into_iter().map(|step| step.repeat).collect()
    }

    #[test]
    fn the_whole_suite() {
        assert_eq!(
            repeats(all_steps(&Workspace::find())),
            [
                "cargo fmt --all --check",
                "cargo xtask tidy",
                "cargo clippy --workspace --all-targets -- -D warnings",
                "cargo clippy --package oidc-token-connector --package do-nothing --lib \
                 --target wasm32-wasip1 -- -D warnings",
                "cargo test --workspace --exclude integration",
                "cargo build --profile sabotage --features sabotage --target wasm32-wasip1 \
                 --package oidc-token-connector --lib",
                "cargo xtask build",
                "cargo test --package integration",
            ]
        );
    }

    #[test]
    fn the_quick_part() {
        assert_eq!(
            repeats(quick_steps(&Workspace::find())),
            [
                "cargo test --workspace --exclude integration",
                "cargo xtask build",
                "cargo test --package integration --test journey",
            ]
        );
    }

    #[test]
    fn the_part_that_needs_an_engine() {
        let workspace = Workspace::find();
        assert_eq!(
            repeats(compose_steps(&workspace)),
            [
                "bash integration/prometheus-test.sh",
                "cargo xtask build",
                "bash integration/compose-ci.sh",
            ]
        );
        for script in ["integration/prometheus-test.sh", "integration/compose-ci.sh"] {
            assert!(workspace.root.join(script).is_file(), "{script}");
        }
    }

    #[test]
    fn a_missing_component_is_named_with_its_remedy() {
        let workspace = Workspace::find();
        let failure = component(&workspace, "no-such-subcommand", "some-component").unwrap_err();
        assert_eq!(
            failure.message,
            "`cargo no-such-subcommand` is missing; \
             with rustup: `rustup component add some-component`"
        );
    }
}
