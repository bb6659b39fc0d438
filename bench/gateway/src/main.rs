//! The cost of an authenticated request on the real Envoy, compared with a Wasm filter that does
//! nothing, and with Envoy's own filters for the same purpose: `ext_authz` and a Lua script.
//!
//! One Envoy is measured: pinned to a core, with a listener for each way of checking. A second one
//! is provider and upstream, so that neither can be the slow part; `wrk` and `h2load` are the load.
//! The figure that counts is the processor time that the measured process used, divided by the
//! requests: it does not depend on how the other two share the rest of the machine. Rows take
//! turns in short rounds and the median is printed, so that a machine that slows down meanwhile
//! slows all rows down. Targets are judged and reported; nothing here may assert a time.

mod callgrind;
mod input;
mod load;
mod machine;
mod measure;
mod numbers;
mod renewal;
mod report;
mod sections;
mod servers;
mod tokens;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use machine::{Placement, need};
use measure::Bench;
use report::Report;
use sections::Name;

/// The options of a run.
#[derive(Parser)]
#[command(name = "bench")]
struct Options {
    /// Short rounds, and without `--only` only the sections for everyday use.
    #[arg(long)]
    quick: bool,
    /// Write the figures of a full run into the documentation.
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    write: bool,
    /// Only this section; repeatable.
    #[arg(long, value_name = "SECTION")]
    only: Vec<Name>,
}

impl Options {
    fn wants(&self, section: Name) -> bool {
        match self.only.as_slice() {
            [] => !self.quick || section.everyday(),
            only => only.contains(&section),
        }
    }

    /// The command of this run.
    fn command(&self) -> String {
        let quick = if self.quick { " --quick" } else { "" };
        let only: String = self.only.iter().map(|section| format!(" --only {section}")).collect();
        format!("cargo xtask bench{quick}{only}")
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nbench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    need(&[("taskset", "util-linux"), ("wrk", "wrk"), ("h2load", "nghttp2-client")])?;
    if options.wants(Name::Count) {
        need(&[("valgrind", "valgrind"), ("callgrind_control", "valgrind")])?;
    }
    let bench = Bench { placement: Placement::of_this_machine()?, quick: options.quick };
    let mut report = Report {
        machine: bench.placement.description()?,
        command: options.command(),
        sections: Vec::new(),
        left_out: Vec::new(),
    };
    // One that fails takes nothing from the others: they have taken long.
    let mut failed = Vec::new();
    for section in Name::all() {
        if !options.wants(section) {
            report.left_out.push(section.to_string());
            continue;
        }
        eprintln!("==> {section}");
        match section.run(&bench).await {
            Ok(done) => report.sections.push(done),
            Err(error) => {
                report.left_out.push(section.to_string());
                failed.push(format!("{section}: {error:#}"));
            }
        }
    }
    println!("{}", report.markdown());
    eprintln!("Written: {}", report.write(options.write)?);
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_select_sections() {
        let wants = |line: &str, section| {
            Options::try_parse_from(line.split(' ')).map(|options| options.wants(section))
        };
        assert!(wants("bench", Name::Axes).unwrap());
        assert!(!wants("bench --quick", Name::Axes).unwrap());
        assert!(wants("bench --quick", Name::Rows).unwrap());
        assert!(wants("bench --quick --only half-load --only axes", Name::Axes).unwrap());
        assert!(!wants("bench --only day", Name::Rows).unwrap());
        for wrong in ["bench --only no-such", "bench --write --quick", "bench --only day --write"] {
            assert!(wants(wrong, Name::Rows).is_err(), "{wrong}");
        }
    }
}
