//! What a run has to say, as Markdown, and its place in `docs/performance.md`. Only what stands
//! between the two marks there may change.

use std::fmt::Write as _;
use std::fs;

use integration::root;

use crate::chart::{self, Bar};
use crate::load::scratch;
use crate::table::Table;
use crate::targets::{self, Judged};

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

const DOCUMENT: &str = "docs/performance.md";
const CHART: &str = "docs/performance.svg";

/// What one section of the benchmark found.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// How it was measured, and what the figures do not say.
    pub(crate) notes: Vec<String>,
    pub(crate) tables: Vec<Table>,
    /// Its figures that have a target.
    pub(crate) judged: Vec<Judged>,
    /// What it has for the chart.
    pub(crate) bars: Vec<Bar>,
}

/// All sections of a run.
pub(crate) struct Report {
    /// Machine and tools.
    pub(crate) machine: String,
    /// The command that led to it.
    pub(crate) command: String,
    pub(crate) sections: Vec<Section>,
    /// Names of the sections that did not run.
    pub(crate) left_out: Vec<&'static str>,
}

impl Report {
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("`{}`: {}\n", self.command, self.machine);
        if !self.left_out.is_empty() {
            text += &format!("\nLeft out: {}.\n", self.left_out.join(", "));
        }
        let judged: Vec<Judged> =
            self.sections.iter().flat_map(|section| section.judged.clone()).collect();
        // Writing to a String cannot fail.
        if !judged.is_empty() {
            let _ = write!(text, "\n### Targets\n\n{}", targets::table(&judged).markdown());
        }
        if !self.bars().is_empty() {
            text.push_str("\n![Processor time per request](performance.svg)\n");
        }
        for Section { title, notes, tables, .. } in &self.sections {
            let _ = write!(text, "\n### {title}\n");
            for note in notes {
                let _ = write!(text, "\n{note}\n");
            }
            for table in tables {
                let _ = write!(text, "\n{}", table.markdown());
            }
        }
        text
    }

    /// Writes it below Cargo's target directory, and into the documentation if `publish` says so.
    /// Returns where.
    pub(crate) fn write(&self, publish: bool) -> Result<String, String> {
        let dir = scratch()?;
        let markdown = self.markdown();
        write(&dir.join("performance.md"), &markdown)?;
        let bars = self.bars();
        let svg = if bars.is_empty() { None } else { Some(chart::svg(&bars)?) };
        if let Some(svg) = &svg {
            write(&dir.join("performance.svg"), svg)?;
        }
        if !publish {
            return Ok(dir.display().to_string());
        }
        let document = root().join(DOCUMENT);
        let text = fs::read_to_string(&document).map_err(|e| format!("{DOCUMENT}: {e}"))?;
        write(&document, &replaced(&text, &markdown)?)?;
        if let Some(svg) = &svg {
            write(&root().join(CHART), svg)?;
        }
        Ok(format!("{DOCUMENT}, {CHART}"))
    }

    fn bars(&self) -> Vec<Bar> {
        self.sections.iter().flat_map(|section| section.bars.clone()).collect()
    }
}

fn write(path: &std::path::Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The document with this between the marks.
fn replaced(document: &str, block: &str) -> Result<String, String> {
    let torn = || format!("{DOCUMENT} does not have `{BEGIN}` and after it `{END}`, once each");
    let (before, rest) = document.split_once(BEGIN).ok_or_else(torn)?;
    let (old, after) = rest.split_once(END).ok_or_else(torn)?;
    if old.contains(BEGIN) || after.contains(BEGIN) || after.contains(END) {
        return Err(torn());
    }
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", block.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::Aim;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = format!("# P\n\n{BEGIN}\nold\n{END}\n\nmore\n");
        let new = replaced(&document, "\nnew\n").unwrap();
        assert_eq!(new, format!("# P\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"));
        assert_eq!(replaced(&new, "new"), Ok(new.clone()));

        for torn in ["# P\n".to_owned(), format!("{END}{BEGIN}"), format!("{document}{document}")] {
            assert!(replaced(&torn, "new").unwrap_err().contains(DOCUMENT), "{torn}");
        }
    }

    #[test]
    fn the_document_has_its_marks() {
        let text = fs::read_to_string(root().join(DOCUMENT)).unwrap();
        assert!(replaced(&text, "new").unwrap().contains("\n\nnew\n\n"));
    }

    #[test]
    fn a_report_has_targets_first_then_sections() {
        let mut table = Table::new(["a", "b"]);
        table.row(["1".to_owned(), "2".to_owned()]);
        let section = Section {
            title: "Rows",
            notes: vec!["A note.".to_owned()],
            tables: vec![table],
            judged: vec![Judged::new(Aim::HitTailAdded, 10.0)],
            bars: Vec::new(),
        };
        let report = Report {
            machine: "A machine.".to_owned(),
            command: "cargo xtask bench".to_owned(),
            sections: vec![section],
            left_out: vec!["axes", "day"],
        };
        assert_eq!(
            report.markdown(),
            "`cargo xtask bench`: A machine.\n\nLeft out: axes, day.\n\n### Targets\n\n\
             | what | aim | this run | verdict |\n| --- | --- | ---: | ---: |\n\
             | hit, p99 added at half load | at most 150 µs over no filter | 10 | met |\n\n\
             ### Rows\n\nA note.\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |\n"
        );
    }
}
