//! The sections of the benchmark: each starts the Envoys it needs, measures, and ends them.

mod axes;
mod count;
mod day;
mod fleet;
mod flood;
mod growth;
mod half_load;
mod idle;
mod memory;
pub(crate) mod rows;
mod startup;

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
    Entry { name: "count", everyday: false },
    Entry { name: "half-load", everyday: true },
    Entry { name: "day", everyday: true },
    Entry { name: "growth", everyday: false },
    Entry { name: "idle", everyday: false },
    Entry { name: "startup", everyday: false },
    Entry { name: "memory", everyday: false },
    Entry { name: "fleet", everyday: false },
    Entry { name: "flood", everyday: false },
];

/// Runs one.
pub(crate) async fn run(name: &str, bench: &Bench) -> Result<Section, String> {
    match name {
        "rows" => rows::run(bench).await,
        "axes" => axes::run(bench).await,
        "count" => count::run(bench).await,
        "half-load" => half_load::run(bench).await,
        "day" => day::run(bench).await,
        "growth" => growth::run(bench).await,
        "memory" => memory::run(bench).await,
        "flood" => flood::run(bench).await,
        "idle" => idle::run(bench).await,
        "startup" => startup::run(bench).await,
        "fleet" => fleet::run(bench).await,
        other => Err(format!("there is no section {other}")),
    }
}
