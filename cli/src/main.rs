//! `oidc-connector`: what operators of oidc-token-connector want to know without an Envoy.
//!
//! Each subcommand is a module of its own with an `Args` and a `run`; a further one is one variant
//! of [`Command`] and one arm in [`main`]. Configurations are read by the filter's own code, so
//! that nothing here can disagree with what is deployed. Exit codes, of every subcommand: 0 in order,
//! 1 something was found, 2 wrong usage or input that cannot be read.

mod check;
mod explain;
mod input;
mod output;
mod tree;
mod yaml;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cli::{migrate, schema};

/// Checks, explains and migrates configurations of the Envoy filter oidc-token-connector.
#[derive(Debug, Parser)]
#[command(name = "oidc-connector", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find every problem of the filter's configuration and of what Envoy says around it
    Check(check::Args),
    /// Say what a configuration does with one request, and why
    Explain(explain::Args),
    /// Turn the source system's text into a filter configuration and the clusters that it needs
    Migrate(migrate::Args),
    /// Print the JSON Schema of the filter's configuration
    Schema,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Migrate(args) => {
            migrate::run(&args, &mut io::stdout().lock(), &mut io::stderr().lock()).into()
        }
        Command::Schema => {
            output::say(schema::text().trim_end());
            ExitCode::SUCCESS
        }
    }
}
