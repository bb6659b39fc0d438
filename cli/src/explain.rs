//! `oidc-connector explain`: what a configuration does with one request.

use std::process::ExitCode;

use crate::output::refuse;

/// What `explain` is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The filter's configuration
    #[arg(long, value_name = "FILE")]
    config: String,
}

/// Explains the request.
pub(crate) fn run(args: &Args) -> ExitCode {
    refuse(format!("cannot explain {}", args.config))
}
