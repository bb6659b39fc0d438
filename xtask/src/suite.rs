//! `cargo xtask test`: every check of the repository, in the order in which a mistake shows
//! soonest. A step that fails ends the suite, but for tests: what else is red is told too. What a
//! step needs and neither finds nor can fetch is that step's failure; only the JSONPath conformance
//! suite, which is not part of this repository, is left out where it is absent, and the end says
//! so. What needs a Docker engine is a part of its own; without one it is left out where none can
//! be installed: not on Debian, nor under CI.

mod watched;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use watched::Results;
use xshell::{Cmd, cmd};

use crate::module::{self, TARGET};
use crate::{Part, Workspace, tidy};

/// The variable that tells the rig which release of Envoy to run.
const ENVOY_VERSION: &str = "OIDC_ENVOY_VERSION";

/// The oldest release that the filter is tested on; the newest is the rig's own.
const OLDEST_ENVOY: &str = "1.36.4";

/// The tests that run on it in the suite: behaviour that may differ between releases, in about a
/// minute.
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

/// The additional tests for a given release. Tests of the rig, of time and memory, and of the core
/// without the host stay out.
const MORE_ON_REQUEST: [&str; 5] = ["joining", "migrated", "provider_faults", "replies", "tls"];

/// The steps that ran.
#[derive(Default)]
struct Steps {
    /// How long each took.
    times: Vec<(&'static str, Duration)>,
    results: Results,
    /// What was red, and did not end the suite.
    red: Vec<String>,
}

impl Steps {
    /// Runs a step; `repeat` is what to type to run it alone.
    fn step(
        &mut self,
        name: &'static str,
        repeat: &str,
        run: impl FnOnce(&mut Results) -> Result<()>,
    ) -> Result<()> {
        println!("\n==> {name}: {repeat}");
        let started = Instant::now();
        let ended = run(&mut self.results);
        self.times.push((name, started.elapsed()));
        ended.with_context(|| format!("step `{name}` failed; repeat it with: {repeat}"))
    }

    /// A step that is a process.
    fn command(&mut self, name: &'static str, command: Cmd<'_>) -> Result<()> {
        let repeat = command.to_string();
        self.step(name, &repeat, |results| results.run(command))
    }

    /// A step of tests: the suite goes on where some are red, so that it tells of all.
    fn tests(&mut self, name: &'static str, command: Cmd<'_>) {
        self.tests_in(name, "", command);
    }

    /// The same with this before the commands that repeat it: an assignment of a variable, and a blank.
    fn tests_in(&mut self, name: &'static str, environment: &str, command: Cmd<'_>) {
        let repeat = format!("{environment}{command}");
        let ended = self.step(name, &repeat, |results| results.run_in(environment, command));
        self.red.extend(ended.err().map(|error| format!("{error:#}")));
    }
}

/// Runs a part of the suite.
pub fn run(workspace: &Workspace, part: &Part) -> Result<()> {
    println!("{}", announcement(workspace, part));
    let mut steps = Steps::default();
    let ended = run_part(workspace, part, &mut steps);
    println!("\nTime per step:");
    for (name, time) in &steps.times {
        println!("{:>8.1} s  {name}", time.as_secs_f64());
    }
    let total: Duration = steps.times.iter().map(|(_, time)| *time).sum();
    println!("{:>8.1} s  in total\n\n{}", total.as_secs_f64(), steps.results.summary());
    let red = steps.red.join("\n");
    match (ended, red.is_empty()) {
        (Ok(()), true) => {
            println!("\ncargo xtask test: passed");
            Ok(())
        }
        (Err(ended), true) => Err(ended),
        (Ok(()), false) => bail!("{red}"),
        (Err(ended), false) => bail!("{red}\n{ended:#}"),
    }
}

/// What the reader is in for.
fn announcement(workspace: &Workspace, part: &Part) -> String {
    let (minutes, gigabytes) = match part {
        Part { quick: true, .. } => ("5", 3),
        Part { compose: true, .. } => ("15", 4),
        Part { provider: true, .. } | Part { envoy: Some(_), .. } => ("5", 4),
        Part { .. } => ("20 to 30", 6),
    };
    format!(
        "This takes {minutes} minutes on two processors, with everything to compile, and up to \
         {gigabytes} GB below {}, where all goes that it builds and fetches.",
        workspace.target.display()
    )
}

fn run_part(workspace: &Workspace, part: &Part, steps: &mut Steps) -> Result<()> {
    let sh = &workspace.sh;
    let native = cmd!(sh, "cargo test --no-fail-fast --workspace --exclude integration");
    let build = |steps: &mut Steps| {
        steps.step("module build", "cargo xtask build", |_| module::build(workspace))
    };
    if part.quick {
        steps.tests("native tests", native);
        build(steps)?;
        steps
            .tests("Envoy smoke test", cmd!(sh, "cargo test --package integration --test journey"));
        return Ok(());
    }
    if part.compose {
        // The scripts find cargo's directory where this program does.
        let script = |path: &str| cmd!(sh, "bash {path}");
        steps.command("alert rules", script("integration/prometheus-test.sh"))?;
        let dist = workspace.target.join("dist");
        steps.command("release", cmd!(sh, "cargo xtask release --output {dist}"))?;
        steps.command("first hour", script("integration/first-hour.sh"))?;
        return steps.command("compose file", script("integration/compose-ci.sh"));
    }
    if part.provider {
        build(steps)?;
        steps.command("OpenID Provider", fetch(workspace, "provider"))?;
        steps.tests(
            "tests with a real OpenID Provider",
            cmd!(sh, "cargo test --package integration --test provider"),
        );
        return Ok(());
    }
    if let Some(version) = &part.envoy {
        build(steps)?;
        return on_envoy(
            workspace,
            version,
            &[&ON_THE_OLDEST[..], &MORE_ON_REQUEST].concat(),
            steps,
        );
    }
    steps.command("formatting", cmd!(sh, "cargo fmt --all --check"))?;
    steps.step("repository rules", "cargo xtask tidy", |_| tidy::run(workspace))?;
    let clippy = cmd!(sh, "cargo clippy --workspace --all-targets -- -D warnings");
    steps.command("clippy, native", clippy)?;
    module::ensure_target(workspace)?;
    // The modules for Envoy: the filter, and the benchmark's do-nothing filter.
    let clippy = cmd!(sh, "cargo clippy --package oidc-token-connector --package do-nothing --lib");
    let clippy = clippy.args(["--target", TARGET, "--", "-D", "warnings"]);
    steps.command("clippy, wasm", clippy)?;
    steps.tests("native tests", native);
    let broken = "cargo xtask build --fault-injection";
    let build_broken = |_: &mut Results| module::fault_injection(workspace);
    steps.step("module with removable protections", broken, build_broken)?;
    build(steps)?;
    // Those with a real OpenID Provider are among them.
    steps.tests("Envoy tests", cmd!(sh, "cargo test --no-fail-fast --package integration"));
    on_envoy(workspace, OLDEST_ENVOY, &ON_THE_OLDEST, steps)
}

fn on_envoy(workspace: &Workspace, version: &str, tests: &[&str], steps: &mut Steps) -> Result<()> {
    let sh = &workspace.sh;
    let fetch = fetch(workspace, "envoy").env(ENVOY_VERSION, version);
    steps.command("another release of Envoy", fetch)?;
    let tests = cmd!(sh, "cargo test --no-fail-fast --package integration")
        .args(tests.iter().flat_map(|test| ["--test", test]))
        .env(ENVOY_VERSION, version);
    steps.tests_in("Envoy tests, that release", &format!("{ENVOY_VERSION}={version} "), tests);
    Ok(())
}

/// Prepares what tests need. A missing tool is then reported once, not by every test.
fn fetch<'a>(workspace: &'a Workspace, what: &str) -> Cmd<'a> {
    let sh = &workspace.sh;
    cmd!(sh, "cargo run --quiet --package integration --bin fetch -- {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_oldest_release() {
        for page in ["docs/envoy-versions.md", "docs/deployment.md"] {
            let text = Workspace::find().unwrap().sh.read_file(page).unwrap();
            assert!(text.contains(&format!("\n| {OLDEST_ENVOY} | ")), "{page}");
        }
    }

    #[test]
    fn failed_step_is_reported_with_its_command() {
        let workspace = Workspace::find().unwrap();
        let sh = &workspace.sh;
        let mut steps = Steps::default();
        steps.command("good", cmd!(sh, "true")).unwrap();
        let error = steps.command("bad", cmd!(sh, "false --at-all")).unwrap_err().to_string();
        assert_eq!(error, "step `bad` failed; repeat it with: false --at-all");
        // Red tests are kept for the end.
        steps.tests("red", cmd!(sh, "false"));
        let [red] = &steps.red[..] else { panic!("{:?}", steps.red) };
        assert!(
            red.starts_with("step `red` failed; repeat it with: false: `false` ended"),
            "{red}"
        );
        assert_eq!(steps.times.len(), 3);
    }
}
