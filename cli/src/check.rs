//! `oidc-connector check`: every problem of the filter's configuration and of its surroundings.

use std::process::ExitCode;

use crate::output::refuse;

/// What `check` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files to check; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

/// Checks the files.
pub(crate) fn run(args: &Args) -> ExitCode {
    refuse(format!("cannot check {}", args.files.join(" ")))
}
