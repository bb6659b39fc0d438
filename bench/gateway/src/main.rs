//! What a checked request costs on the real Envoy, beside a Wasm filter that does nothing, and
//! beside what Envoy itself offers for the job: `ext_authz` and a Lua script.
//!
//! One Envoy is measured: pinned to a core, with a listener for each way of checking. A second one
//! is provider and upstream, so that neither can be the slow part; `wrk` and `h2load` are the load.
//! The figure that counts is the processor time that the measured process used, divided by the
//! requests: it does not depend on how the other two share the rest of the machine. Rows take
//! turns in short rounds and the median is printed, so that a machine that slows down meanwhile
//! slows all rows down. Targets are judged and told; nothing here may assert a time.

mod callgrind;
mod chart;
mod config;
mod cpu;
mod load;
mod machine;
mod measure;
mod memory;
mod numbers;
mod options;
mod renewal;
mod report;
mod sections;
mod servers;
mod table;
mod targets;
mod tokens;

use std::process::ExitCode;

use cpu::Placement;
use measure::Bench;
use options::Options;
use report::Report;
use sections::SECTIONS;

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("bench: {usage}");
            return ExitCode::from(2);
        }
    };
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nbench: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), String> {
    load::available()?;
    if options.wants("count", false) {
        callgrind::available()?;
    }
    let bench = Bench { placement: Placement::of_this_machine()?, quick: options.quick };
    let mut report = Report {
        machine: format!("{} {}", machine::description()?, bench.placement.note()),
        command: options.command(),
        sections: Vec::new(),
        left_out: Vec::new(),
    };
    // One that fails takes nothing from the others: they have taken long.
    let mut failed = Vec::new();
    for section in SECTIONS {
        if !options.wants(section.name, section.everyday) {
            report.left_out.push(section.name);
            continue;
        }
        eprintln!("==> {}", section.name);
        match sections::run(section.name, &bench).await {
            Ok(done) => report.sections.push(done),
            Err(why) => {
                report.left_out.push(section.name);
                failed.push(format!("{}: {why}", section.name));
            }
        }
    }
    println!("{}", report.markdown());
    eprintln!("Written: {}", report.write(options.write)?);
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}
