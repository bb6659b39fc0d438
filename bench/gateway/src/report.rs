//! The report of a run, as Markdown, and its place in `docs/performance.md`. Only the text between
//! the two marks there may change. A target is judged and reported; it must never be asserted:
//! figures depend on the machine and its other load.

mod chart;

use std::fs;

use anyhow::{Result, bail};
use integration::root;

use crate::load::scratch;

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

const DOCUMENT: &str = "docs/performance.md";
const CHART: &str = "docs/performance.svg";

/// The result of one section of the benchmark.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// How it was measured, and what the figures do not say.
    pub(crate) notes: Vec<String>,
    /// As [`table`] makes them.
    pub(crate) tables: Vec<String>,
    /// Its figures that have a target.
    pub(crate) targets: Vec<Target>,
    /// Its bars for the chart.
    pub(crate) bars: Vec<Bar>,
}

/// A bar of the chart: its panel, its name, and the figure.
#[derive(Clone, Debug)]
pub(crate) struct Bar(pub(crate) Panel, pub(crate) String, pub(crate) f64);

/// What a panel of the chart shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Panel {
    /// Processor time of the proxy for a request, in multiples of Envoy's without a filter in the
    /// same section: sections run at different times, so their times must not stand beside each other.
    Cpu,
    /// Calls to the provider for 1000 requests of the section `day`.
    Calls,
}

/// The bound of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A figure and what it should be.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    what: &'static str,
    bound: Bound,
    /// The unit, or the row that it is a multiple of.
    unit: &'static str,
    /// NaN if it could not be measured.
    pub(crate) figure: f64,
    /// The figure before the work that the page describes, if it is known.
    before: Option<f64>,
    /// Where the rest goes, for one that was missed.
    rest: &'static str,
}

impl Target {
    pub(crate) fn new(
        what: &'static str,
        bound: Bound,
        unit: &'static str,
        figure: f64,
        rest: &'static str,
    ) -> Target {
        Target { what, bound, unit, figure, before: None, rest }
    }

    /// The figure before the work that the page describes.
    #[must_use]
    pub(crate) fn before(self, figure: f64) -> Target {
        Target { before: Some(figure), ..self }
    }

    fn cells(&self) -> [String; 5] {
        let Self { what, bound, unit, figure, before, rest } = self;
        let (bound, met) = match bound {
            Bound::AtMost(most) => (format!("at most {most} {unit}"), figure <= most),
            Bound::AtLeast(least) => (format!("at least {least} {unit}"), figure >= least),
        };
        let verdict = match (figure.is_nan(), met) {
            (true, _) => "not measured".to_owned(),
            (false, true) => "met".to_owned(),
            (false, false) => format!("missed: {rest}"),
        };
        let before = before.map_or_else(String::new, shown);
        [(*what).to_owned(), bound, before, shown(*figure), verdict]
    }
}

/// Three significant digits where a figure is small, none behind the point where it is large.
fn shown(figure: f64) -> String {
    match figure.abs() {
        size if size.is_nan() => "-".to_owned(),
        size if size < 0.1 => format!("{figure:.4}"),
        // Ratios to a floor differ in the third digit.
        size if size < 2.0 => format!("{figure:.3}"),
        size if size < 10.0 => format!("{figure:.2}"),
        _ => format!("{figure:.0}"),
    }
}

/// A table in Markdown: the first column left-aligned for text, the others right-aligned for
/// figures.
pub(crate) fn table(
    heads: &[impl AsRef<str>],
    rows: impl IntoIterator<Item = impl AsRef<[String]>>,
) -> String {
    let heads: Vec<&str> = heads.iter().map(AsRef::as_ref).collect();
    let mut text = format!("| {} |\n| --- |", heads.join(" | "));
    text += &" ---: |".repeat(heads.len() - 1);
    text.push('\n');
    for row in rows {
        text += &format!("| {} |\n", row.as_ref().join(" | "));
    }
    text
}

/// All sections of a run.
pub(crate) struct Report {
    /// Machine and tools.
    pub(crate) machine: String,
    /// The command that led to it.
    pub(crate) command: String,
    pub(crate) sections: Vec<Section>,
    /// Names of the sections that did not run.
    pub(crate) left_out: Vec<String>,
}

impl Report {
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("`{}`: {}\n", self.command, self.machine);
        if !self.left_out.is_empty() {
            text += &format!("\nLeft out: {}.\n", self.left_out.join(", "));
        }
        let targets: Vec<_> =
            self.sections.iter().flat_map(|section| &section.targets).map(Target::cells).collect();
        if !targets.is_empty() {
            text += "\n### Targets\n\n";
            text += &table(&["what", "aim", "before", "this run", "verdict"], targets);
        }
        for Section { title, notes, tables, .. } in &self.sections {
            text += &format!("\n### {title}\n");
            notes.iter().chain(tables).for_each(|part| text += &format!("\n{}\n", part.trim()));
        }
        text
    }

    /// Writes it below Cargo's target directory, and with `publish` into the documentation. Returns
    /// the place.
    pub(crate) fn write(&self, publish: bool) -> Result<String> {
        let dir = scratch()?;
        let markdown = self.markdown();
        fs::write(dir.join("performance.md"), &markdown)?;
        let bars: Vec<_> =
            self.sections.iter().flat_map(|section| section.bars.iter().cloned()).collect();
        let svg = if bars.is_empty() { None } else { Some(chart::svg(&bars)?) };
        if let Some(svg) = &svg {
            fs::write(dir.join("performance.svg"), svg)?;
        }
        if !publish {
            return Ok(dir.display().to_string());
        }
        let document = root().join(DOCUMENT);
        fs::write(&document, replaced(&fs::read_to_string(&document)?, &markdown)?)?;
        if let Some(svg) = &svg {
            fs::write(root().join(CHART), svg)?;
        }
        Ok(format!("{DOCUMENT}, {CHART}"))
    }
}

/// The document with this between the marks.
fn replaced(document: &str, block: &str) -> Result<String> {
    let parts: Vec<&str> = document.split(BEGIN).flat_map(|part| part.split(END)).collect();
    match parts[..] {
        [before, _, after] if document.find(BEGIN) < document.find(END) => {
            Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", block.trim()))
        }
        _ => bail!("{DOCUMENT}: expected `{BEGIN}` and after it `{END}`, once each"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_between_the_marks_changes() {
        let document = format!("# P\n\n{BEGIN}\nold\n{END}\n\nmore\n");
        let new = replaced(&document, "\nnew\n").unwrap();
        assert_eq!(new, format!("# P\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"));
        for torn in ["# P\n".to_owned(), format!("{END}{BEGIN}"), format!("{document}{document}")] {
            assert!(replaced(&torn, "new").unwrap_err().to_string().contains(DOCUMENT), "{torn}");
        }
        let text = fs::read_to_string(root().join(DOCUMENT)).unwrap();
        assert!(replaced(&text, "new").unwrap().contains("\n\nnew\n\n"));
    }

    #[test]
    fn report_has_targets_before_sections() {
        let targets = |bound, figure| Target::new("hit", bound, "µs", figure, "copying");
        let section = Section {
            title: "Rows",
            notes: vec!["A note.".to_owned()],
            tables: vec![table(&["a", "b"], [["1".to_owned(), "2".to_owned()]])],
            targets: vec![
                targets(Bound::AtMost(1.06), 1.06),
                targets(Bound::AtMost(1.06), 1.0601).before(2.5),
                targets(Bound::AtLeast(0.1), 0.0312),
                targets(Bound::AtMost(150.0), -12.3),
                targets(Bound::AtMost(150.0), f64::NAN),
            ],
            bars: Vec::new(),
        };
        let report = Report {
            machine: "A machine.".to_owned(),
            command: "cargo xtask bench".to_owned(),
            sections: vec![section],
            left_out: vec!["axes".to_owned(), "day".to_owned()],
        };
        assert_eq!(
            report.markdown(),
            "`cargo xtask bench`: A machine.\n\nLeft out: axes, day.\n\n### Targets\n\n\
             | what | aim | before | this run | verdict |\n| --- | ---: | ---: | ---: | ---: |\n\
             | hit | at most 1.06 µs |  | 1.060 | met |\n\
             | hit | at most 1.06 µs | 2.50 | 1.060 | missed: copying |\n\
             | hit | at least 0.1 µs |  | 0.0312 | missed: copying |\n\
             | hit | at most 150 µs |  | -12 | met |\n\
             | hit | at most 150 µs |  | - | not measured |\n\
             \n### Rows\n\nA note.\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n"
        );
    }
}
