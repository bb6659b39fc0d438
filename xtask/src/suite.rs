//! `cargo xtask test`: every check of the repository, in the order in which a mistake shows
//! soonest. What a step needs and neither finds nor can fetch is that step's failure; only the
//! JSONPath conformance suite and the definitions of Kubernetes objects, which are not part of this
//! repository, are left out, visibly, where they are absent. What needs a Docker engine is a part
//! of its own; without one it is left out where none can be installed: not on Debian, nor under CI.

use std::io;
use std::process::{Command, Stdio};

use crate::args::Part;
use crate::module::{self, TARGET};
use crate::steps::{self, Step};
use crate::{Failure, Workspace, say, tidy};

/// By this the rig is told which release of Envoy to run.
const ENVOY_VERSION: &str = "OIDC_ENVOY_VERSION";

/// The oldest release that the filter is tested on; the newest is the rig's own.
const OLDEST_ENVOY: &str = "1.36.4";

/// What runs on it in the whole suite: what a release could do differently, in a minute or so.
const ON_THE_OLDEST: [&str; 11] = [
    "bodies",
    "caching",
    "claims",
    "configuration",
    "forward_proxy",
    "guard",
    "journey",
    "preflight",
    "routes",
    "smoke",
    "stripping",
];

/// What runs besides where a release is asked for. Left out is still what is about the rig, about
/// time and memory, or about the core and not the host.
const MORE_ON_REQUEST: [&str; 5] = ["joining", "migrated", "provider_faults", "replies", "tls"];

/// Runs a part of the suite.
pub fn run(workspace: &Workspace, part: &Part) -> Result<(), Failure> {
    let (steps, option) = match part {
        Part::All => (all_steps(workspace), String::new()),
        Part::Quick => (quick_steps(workspace), " --quick".to_owned()),
        Part::Compose => (compose_steps(workspace), " --compose".to_owned()),
        Part::Provider => (provider_steps(workspace), " --provider".to_owned()),
        Part::Envoy(version) => (envoy_steps(workspace, version), format!(" --envoy {version}")),
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
        module::fault_injection_step(workspace),
        module::step(workspace),
        // Those with a real OpenID Provider are among them.
        Step::process("Envoy tests", workspace.cargo(&["test", "--package", "integration"])),
        on_envoy(workspace, "Envoy tests, oldest release", OLDEST_ENVOY, &ON_THE_OLDEST),
    ]
}

fn provider_steps(workspace: &Workspace) -> Vec<Step<'_>> {
    let provider = ["test", "--package", "integration", "--test", "provider"];
    let tests = Step::process("real OpenID Provider", workspace.cargo(&provider));
    vec![module::step(workspace), tests.needing(|| steps::finish(fetch(workspace, "provider")))]
}

fn envoy_steps<'a>(workspace: &'a Workspace, version: &str) -> Vec<Step<'a>> {
    let tests = [&ON_THE_OLDEST[..], &MORE_ON_REQUEST].concat();
    vec![module::step(workspace), on_envoy(workspace, "Envoy tests, one release", version, &tests)]
}

fn on_envoy<'a>(
    workspace: &'a Workspace,
    name: &'static str,
    version: &str,
    tests: &[&str],
) -> Step<'a> {
    let [fetch, tests] = envoy_commands(workspace, version, tests);
    let repeat = format!("{ENVOY_VERSION}={version} {}", steps::shown(&tests));
    Step { repeat, ..Step::process(name, tests).needing(|| steps::finish(fetch)) }
}

fn envoy_commands(workspace: &Workspace, version: &str, tests: &[&str]) -> [Command; 2] {
    let mut command = workspace.cargo(&["test", "--package", "integration"]);
    command.args(tests.iter().flat_map(|test| ["--test", test]));
    [fetch(workspace, "envoy"), command].map(|mut command| {
        command.env(ENVOY_VERSION, version);
        command
    })
}

/// Makes ready what tests run on. What cannot be had is then said once, and not by every test.
fn fetch(workspace: &Workspace, what: &str) -> Command {
    workspace.cargo(&["run", "--quiet", "--package", "integration", "--bin", "fetch", "--", what])
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
    use std::ffi::OsStr;

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
                "cargo build --profile fault-injection --features fault-injection --target wasm32-wasip1 \
                 --package oidc-token-connector --lib",
                "cargo xtask build",
                "cargo test --package integration",
                "OIDC_ENVOY_VERSION=1.36.4 cargo test --package integration --test bodies \
                 --test caching --test claims --test configuration --test forward_proxy \
                 --test guard --test journey --test preflight --test routes --test smoke \
                 --test stripping",
            ]
        );
    }

    #[test]
    fn the_part_with_a_real_openid_provider() {
        let expected = ["cargo xtask build", "cargo test --package integration --test provider"];
        assert_eq!(repeats(provider_steps(&Workspace::find())), expected);
    }

    #[test]
    fn the_part_on_one_release_of_envoy() {
        let workspace = Workspace::find();
        let [build, tests] = &repeats(envoy_steps(&workspace, "1.38.2"))[..] else { panic!() };
        assert_eq!(build, "cargo xtask build");
        let start = "OIDC_ENVOY_VERSION=1.38.2 cargo test --package integration --test bodies ";
        assert!(tests.starts_with(start) && tests.ends_with(" --test tls"), "{tests}");
        let commands = envoy_commands(&workspace, "1.38.2", &["tls"]);
        for command in &commands {
            let asked = (OsStr::new("OIDC_ENVOY_VERSION"), Some(OsStr::new("1.38.2")));
            assert!(command.get_envs().any(|set| set == asked), "{command:?}");
        }
        let shown = commands.map(|command| steps::shown(&command));
        let fetch = "cargo run --quiet --package integration --bin fetch -- envoy";
        assert_eq!(shown, [fetch, "cargo test --package integration --test tls"]);
    }

    #[test]
    fn what_runs_on_a_release_of_envoy_is_there() {
        let tests = Workspace::find().root.join("integration/tests");
        for test in ON_THE_OLDEST.iter().chain(&MORE_ON_REQUEST) {
            let (file, directory) = (tests.join(format!("{test}.rs")), tests.join(test));
            assert!(file.is_file() || directory.join("main.rs").is_file(), "{test}");
        }
    }

    #[test]
    fn the_documents_name_the_oldest_release() {
        for page in ["docs/envoy-versions.md", "docs/deployment.md"] {
            let text = std::fs::read_to_string(Workspace::find().root.join(page)).unwrap();
            assert!(text.contains(&format!("\n| {OLDEST_ENVOY} | ")), "{page}");
        }
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
