//! The sections of the benchmark: each starts the Envoys it needs, measures, and ends them.

mod axes;
mod day;
mod half_load;
pub(crate) mod rows;

use crate::measure::Bench;
use crate::report::Section;

/// A section by its name on the command line.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// Whether `--quick` runs it.
    pub(crate) everyday: bool,
}

/// All of them, in the order of the report.
pub(crate) const SECTIONS: &[Entry] = &[
    Entry { name: "rows", everyday: true },
    Entry { name: "axes", everyday: false },
    Entry { name: "half-load", everyday: true },
    Entry { name: "day", everyday: true },
];

/// Runs one.
pub(crate) async fn run(name: &str, bench: &Bench) -> Result<Section, String> {
    match name {
        "rows" => rows::run(bench).await,
        "axes" => axes::run(bench).await,
        "half-load" => half_load::run(bench).await,
        "day" => day::run(bench).await,
        other => Err(format!("there is no section {other}")),
    }
}
