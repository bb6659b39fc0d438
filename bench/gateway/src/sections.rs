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
mod nginx;
mod rows;
mod startup;

use std::fmt;

use anyhow::Result;
use clap::ValueEnum;

use crate::measure::Bench;
use crate::report::Section;

/// A section by its name on the command line, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Name {
    Rows,
    Axes,
    Count,
    Nginx,
    HalfLoad,
    Day,
    Growth,
    Idle,
    Startup,
    Memory,
    Fleet,
    Flood,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no section is skipped").get_name())
    }
}

impl Name {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// Whether `--quick` runs it.
    pub(crate) fn everyday(self) -> bool {
        matches!(self, Self::Rows | Self::HalfLoad | Self::Day)
    }

    pub(crate) async fn run(self, bench: &Bench) -> Result<Section> {
        match self {
            Self::Rows => rows::run(bench).await,
            Self::Axes => axes::run(bench).await,
            Self::Count => count::run(bench).await,
            Self::Nginx => nginx::run(bench).await,
            Self::HalfLoad => half_load::run(bench).await,
            Self::Day => day::run(bench).await,
            Self::Growth => growth::run(bench).await,
            Self::Idle => idle::run(bench).await,
            Self::Startup => startup::run(bench).await,
            Self::Memory => memory::run(bench).await,
            Self::Fleet => fleet::run(bench).await,
            Self::Flood => flood::run(bench).await,
        }
    }
}
