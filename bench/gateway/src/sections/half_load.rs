//! Half load: the latency that a chain adds to slow requests below saturation. Requests come at a
//! constant rate, half of an Envoy's capacity without a filter.

use std::time::Duration;

use anyhow::Result;

use super::rows::{self, HIT, NO_FILTER};
use crate::load::{Pace, connections};
use crate::measure::{Bench, Case, Figures, Row, figures_of, rounds_of};
use crate::report::Bound::AtMost;
use crate::report::{Section, Target, table};
use crate::servers::{Rig, Server};

/// Of the rate that was wanted: a chain that carries less than this does not keep up.
const KEEPS_UP: f64 = 0.95;

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let (rounds, seconds) = if bench.quick { (1, 3) } else { (3, 4) };
    let time = Duration::from_secs(seconds);
    let rig = Rig::start(&bench.placement, &[Server::default()], rows::chains()?, 1).await?;
    let most = Duration::from_secs(if bench.quick { 1 } else { 2 });
    let full = bench.interleaved(&[(&rig, rows::no_filter())], rounds, most).await?;
    let rate = (figures_of(&full, NO_FILTER).per_second / 2.0).round();

    let cases = [rows::no_filter(), rows::do_nothing(), rows::hit(), rows::ext_authz()]
        .map(|case| (&rig, Case { pace: Pace::Rate(rate), ..case }));
    let medians = bench.interleaved(&cases, rounds, time).await?;
    Ok(Section {
        title: "Added at half load",
        notes: vec![format!(
            "{rate:.0} requests/s on {} connections of HTTP/1.1, half of the capacity without a \
             filter; {}. Times begin when the request is sent. If the rate is near or above a \
             chain's capacity, requests queue before the chain, and its p99 measures the queue.",
            connections(rate),
            rounds_of(rounds, time)
        )],
        tables: vec![added(&medians, rate)],
        targets: vec![targets(&medians, rate)],
        ..Section::default()
    })
}

fn added(rows: &[Row], rate: f64) -> String {
    let none = figures_of(rows, NO_FILTER);
    let heads =
        ["chain", "requests/s", "p50 µs", "p50 added", "p99 µs", "p99 added", "CPU µs/request"];
    let cells = |Row { name, figures }: &Row| {
        let late = if keeps_up(figures, rate) { "" } else { " (does not keep up)" };
        [
            format!("{name}{late}"),
            format!("{:.0}", figures.per_second),
            format!("{:.0}", figures.p50),
            format!("{:+.0}", figures.p50 - none.p50),
            format!("{:.0}", figures.p99),
            format!("{:+.0}", figures.p99 - none.p99),
            format!("{:.1}", figures.cpu),
        ]
    };
    table(&heads, rows.iter().map(cells))
}

fn keeps_up(figures: &Figures, rate: f64) -> bool {
    figures.per_second >= rate * KEEPS_UP
}

/// Of chains that do not keep up there is nothing to compare.
fn targets(rows: &[Row], rate: f64) -> Target {
    let p99 = |name| {
        let figures = figures_of(rows, name);
        if keeps_up(&figures, rate) { figures.p99 } else { f64::NAN }
    };
    let added = p99(HIT) - p99(NO_FILTER);
    let (bound, unit) = (AtMost(150.0), "µs over no filter");
    let rest = "p99 is the machine's: compare the do-nothing filter below";
    Target::new("hit, p99 added at half load", bound, unit, added, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_latency_is_a_difference() {
        let row = |name: &str, per_second, p50, p99| Row {
            name: name.to_owned(),
            figures: Figures { cpu: 30.0, per_second, p50, p99, calls: 0.0 },
        };
        let rows = [row(NO_FILTER, 990.0, 100.0, 300.0), row(HIT, 900.0, 110.0, 280.0)];
        let text = format!("{HIT} (does not keep up) | 900 | 110 | +10 | 280 | -20 | 30.0 |");
        assert!(added(&rows, 1000.0).contains(&text));
        assert_eq!(targets(&rows, 900.0).figure, -20.0);
        assert!(targets(&rows, 1000.0).figure.is_nan());
    }
}
