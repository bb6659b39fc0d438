//! The project's own commands, run as `cargo xtask <command>`.
//!
//! Nothing heavy may be linked in here: the first `cargo xtask` on a fresh clone compiles this
//! crate, so whatever needs a network stack lives in the `integration` crate and is run from here
//! as a process of its own.

mod args;
mod coverage;
mod fuzz;
mod instructions;
mod interface;
mod module;
mod mutants;
mod rig;
mod steps;
mod suite;
mod tidy;
mod workspace;

use std::io::{self, Write};
use std::process::ExitCode;

use args::Command;
use workspace::Workspace;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let workspace = Workspace::find();
    let ended = match command {
        Command::Help(text) => {
            say(text.trim_end());
            Ok(())
        }
        Command::Build => module::build(&workspace),
        Command::Test(part) => suite::run(&workspace, &part),
        Command::CheckConfig { files } => rig::check_config(&workspace, &files),
        Command::Demo { serve } => rig::demo(&workspace, serve),
        Command::Bench { options } => rig::bench(&workspace, &options),
        Command::Instructions { only, write } => instructions::run(&workspace, &only, write),
        Command::Tidy => tidy::run(&workspace),
        Command::Fuzz { seconds, targets } => fuzz::run(&workspace, seconds, &targets),
        Command::Coverage => coverage::run(&workspace),
        Command::Mutants { files } => mutants::run(&workspace, &files),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// Prints a result. A reader who has gone away, as `head` does, is no reason to fail.
fn say(line: &str) {
    let _: io::Result<()> = writeln!(io::stdout(), "{line}");
}

/// Prints progress, beside cargo's own, so that results can be redirected without it.
fn progress(line: &str) {
    let _: io::Result<()> = writeln!(io::stderr(), "==> {line}");
}

/// Why a command ended badly, for the person at the terminal.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    /// What failed and the remedy; may span lines.
    message: String,
    /// The process exit code, never 0.
    code: u8,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }
}
