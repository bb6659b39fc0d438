//! The output, and its format.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;

/// The form of a result on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object, whose members are documented and stable.
    Json,
}

/// Prints a result. A reader that has gone away, as `head` does, changes nothing about the verdict,
/// which is also the exit code.
pub(crate) fn say(text: impl Display) {
    let _: io::Result<()> = writeln!(io::stdout().lock(), "{text}");
}

/// Prints why there is no result.
pub(crate) fn complain(text: impl Display) {
    let _: io::Result<()> = writeln!(io::stderr().lock(), "oidc-connector: {text}");
}

/// Wrong usage, or input that cannot be read: what is wrong, and the exit code for it.
pub(crate) fn refuse(text: impl Display) -> ExitCode {
    complain(text);
    ExitCode::from(2)
}
