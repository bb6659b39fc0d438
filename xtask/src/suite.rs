//! `cargo xtask test`: every check of the repository, in the order in which a mistake shows
//! soonest. What a step needs and does not find is that step's failure; only the JSONPath conformance
//! suite, which is not part of this repository, is left out, visibly, where it is absent.

use std::io;
use std::process::{Command, Stdio};

use crate::module::{self, TARGET};
use crate::steps::{self, Step};
use crate::{Failure, Workspace, say, tidy};

/// Runs the whole suite, or its quick part.
pub fn run(workspace: &Workspace, quick: bool) -> Result<(), Failure> {
    let steps = if quick { quick_steps(workspace) } else { all_steps(workspace) };
    steps::run(steps, &mut io::stdout())?;
    say(&format!("\ncargo xtask test{}: passed", if quick { " --quick" } else { "" }));
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
