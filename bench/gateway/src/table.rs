//! Tables, as Markdown: words to the left, figures to the right.

use std::fmt::Write;

use crate::measure::{Figures, Row};

/// A table with its heads.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// How many columns after the first hold words, not figures.
    pub(crate) words: usize,
}

impl Table {
    pub(crate) fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self { columns: columns.map(str::to_owned).to_vec(), ..Self::default() }
    }

    /// Adds a row; a missing cell stays empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("| {} |\n|", self.columns.join(" | "));
        for column in 0..self.columns.len() {
            text.push_str(if column <= self.words { " --- |" } else { " ---: |" });
        }
        text.push('\n');
        for row in &self.rows {
            let cell = |column| row.get(column).map_or("", String::as_str);
            let cells: Vec<&str> = (0..self.columns.len()).map(cell).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }
}

/// The row of that name; not a number in every figure where there is none.
pub(crate) fn figures_of(rows: &[Row], name: &str) -> Figures {
    const NONE: Figures = Figures {
        cpu: f64::NAN,
        per_second: f64::NAN,
        p50: f64::NAN,
        p99: f64::NAN,
        calls: f64::NAN,
    };
    rows.iter().find(|row| row.name == name).map_or(NONE, |row| row.figures)
}

/// All figures of the rows, processor time and rate also in relation to other rows.
pub(crate) fn of_rows(rows: &[Row], cpu_to: [&str; 2], rate_to: [&str; 2]) -> Table {
    let heads = |to: [&str; 2]| to.map(|name| format!("× {}", short(name)));
    let mut columns = vec!["chain".to_owned(), "CPU µs/request".to_owned()];
    columns.extend(heads(cpu_to));
    columns.push("requests/s".to_owned());
    columns.extend(heads(rate_to));
    columns.extend(["p50 µs", "p99 µs", "calls/request"].map(str::to_owned));
    let mut table = Table { columns, ..Table::default() };
    for Row { name, figures } in rows {
        let mut cells = vec![name.clone(), format!("{:.1}", figures.cpu)];
        cells.extend(cpu_to.map(|to| ratio(figures.cpu, figures_of(rows, to).cpu)));
        cells.push(format!("{:.0}", figures.per_second));
        cells.extend(rate_to.map(|to| ratio(figures.per_second, figures_of(rows, to).per_second)));
        cells.push(format!("{:.0}", figures.p50));
        cells.push(format!("{:.0}", figures.p99));
        cells.push(calls(figures.calls));
        table.row(cells);
    }
    table
}

/// How one figure relates to another; a dash where there is no other.
pub(crate) fn ratio(figure: f64, to: f64) -> String {
    let ratio = figure / to;
    if ratio.is_finite() { format!("{ratio:.2}") } else { "-".to_owned() }
}

fn calls(calls: f64) -> String {
    // A few requests of the round before, or that were under way at its end.
    if calls < 0.005 { "0".to_owned() } else { format!("{calls:.2}") }
}

/// The words of a name up to a colon, for the head of a column.
fn short(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_in_markdown() {
        let mut table = Table::new(["chain", "CPU"]);
        table.row(["no filter".to_owned(), "30.0".to_owned()]);
        table.row(["ours".to_owned()]);
        assert_eq!(
            table.markdown(),
            "| chain | CPU |\n| --- | ---: |\n| no filter | 30.0 |\n| ours |  |\n"
        );
        let words = Table { words: 1, ..table };
        assert!(words.markdown().starts_with("| chain | CPU |\n| --- | --- |\n"));
    }

    #[test]
    fn rows_and_their_relation_to_others() {
        let row = |name: &str, cpu, per_second, calls| Row {
            name: name.to_owned(),
            figures: Figures { cpu, per_second, p50: 1000.0, p99: 2000.4, calls },
        };
        let rows = [row("none", 30.0, 30000.0, 0.001), row("peer: asks", 60.0, 12000.0, 1.0)];
        let table = of_rows(&rows, ["none", "peer: asks"], ["none", "other"]);
        assert_eq!(
            table.markdown(),
            "| chain | CPU µs/request | × none | × peer | requests/s | × none | × other \
             | p50 µs | p99 µs | calls/request |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n\
             | none | 30.0 | 1.00 | 0.50 | 30000 | 1.00 | - | 1000 | 2000 | 0 |\n\
             | peer: asks | 60.0 | 2.00 | 1.00 | 12000 | 0.40 | - | 1000 | 2000 | 1.00 |\n"
        );
    }
}
