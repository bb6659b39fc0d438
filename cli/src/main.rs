//! `oidc-connector`: the command line tool for operators of oidc-token-connector; needs no Envoy, and makes
//! no call, except that `init` fetches a discovery document.
//! Each subcommand is a module with an `Args` and a `run`. A new one needs a variant of [`Command`]
//! and an arm in [`main`]. Configurations are read by the filter's own code, so the result always
//! agrees with what is deployed. Exit codes of every subcommand: 0: no findings, 1: findings,
//! 2: wrong usage or unreadable input; 3 of `check`: a file of no known kind.

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use cli::{check, explain, init, migrate, schema};

/// Writes, checks, explains and migrates configurations of the Envoy filter oidc-token-connector.
#[derive(Debug, Parser)]
#[command(name = "oidc-connector", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find every problem in the filter's configuration and in the Envoy configuration around it
    Check(check::Args),
    /// Explain what a configuration does with one request
    Explain(explain::Args),
    /// Write a safe configuration from a provider's discovery document
    Init(init::Args),
    /// Convert the source system's text to a filter configuration and its clusters
    Migrate(migrate::Args),
    /// Print the JSON Schema of the filter's configuration
    Schema,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Init(args) => {
            init::run(&args, &mut io::stdout().lock(), &mut io::stderr().lock()).into()
        }
        Command::Migrate(args) => {
            migrate::run(&args, &mut io::stdout().lock(), &mut io::stderr().lock()).into()
        }
        Command::Schema => schema::run(),
    }
}
