//! Figures of the rounds in, a Markdown table out.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::load::Load;

/// The row that the others are compared with.
pub(crate) const YARDSTICK: &str = "do-nothing Wasm filter";

/// What Envoy itself offers: it asks for each request, and reads nothing of the answer but its
/// status.
pub(crate) const PEER: &str = "native ext_authz: every request asks";

/// One round of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    /// Processor time of the measured Envoy, in microseconds per request.
    pub(crate) cpu: f64,
    /// Requests per second.
    pub(crate) per_second: f64,
}

impl Figures {
    /// Divides the processor time by the requests that it was spent on.
    pub(crate) fn new(cpu: Duration, load: &Load) -> Self {
        Self { cpu: cpu.as_secs_f64() * 1e6 / load.requests as f64, per_second: load.per_second }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} µs/request, {:.0} requests/s", self.cpu, self.per_second)
    }
}

/// One row of the table.
pub(crate) struct Row {
    name: &'static str,
    median: Figures,
}

impl Row {
    /// The median of each figure by itself.
    pub(crate) fn median(name: &'static str, rounds: &[Figures]) -> Self {
        let cpu = median(rounds.iter().map(|round| round.cpu).collect());
        let per_second = median(rounds.iter().map(|round| round.per_second).collect());
        Self { name, median: Figures { cpu, per_second } }
    }
}

/// Each row, and its relation to the [`YARDSTICK`] and to the [`PEER`].
pub(crate) fn markdown(rows: &[Row]) -> String {
    let median_of = |name| rows.iter().find(|row| row.name == name).map(|row| row.median);
    let (yardstick, peer) = (median_of(YARDSTICK), median_of(PEER));
    let mut text = String::from(
        "| chain | CPU µs/request | to do-nothing | to ext_authz \
         | requests/s | to do-nothing | to ext_authz |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for Row { name, median } in rows {
        let to = |of: fn(&Figures) -> f64| {
            [yardstick, peer]
                .map(|to| to.map_or("-".to_owned(), |to| format!("{:.2}", of(median) / of(&to))))
                .join(" | ")
        };
        let (cpu, rate) = (to(|f| f.cpu), to(|f| f.per_second));
        let Figures { cpu: micros, per_second } = median;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {micros:.1} | {cpu} | {per_second:.0} | {rate} |");
    }
    text
}

/// Of an even number of values the mean of the middle two; of none not a number.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 0) => f64::midpoint(values[middle - 1], values[middle]),
        (middle, _) => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![9.0, 1.0, 5.0, 7.0]), 6.0);
        assert_eq!(median(vec![4.0]), 4.0);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn rows_and_their_relation_to_the_yardstick() {
        let row = |name, cpu, per_second| Row::median(name, &[Figures { cpu, per_second }]);
        let rows = [
            row("no filter", 30.0, 30000.0),
            row(YARDSTICK, 40.0, 24000.0),
            row(PEER, 80.0, 12000.0),
        ];
        assert_eq!(
            markdown(&rows),
            "| chain | CPU µs/request | to do-nothing | to ext_authz \
             | requests/s | to do-nothing | to ext_authz |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n\
             | no filter | 30.0 | 0.75 | 0.38 | 30000 | 1.25 | 2.50 |\n\
             | do-nothing Wasm filter | 40.0 | 1.00 | 0.50 | 24000 | 1.00 | 2.00 |\n\
             | native ext_authz: every request asks | 80.0 | 2.00 | 1.00 | 12000 | 0.50 | 1.00 |\n"
        );
        assert!(markdown(&rows[..1]).contains("| 30.0 | - | - | 30000 | - | - |"));
    }
}
