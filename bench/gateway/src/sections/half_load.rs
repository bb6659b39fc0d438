//! Half load: what a chain adds to the slow requests of an Envoy that has time. Requests come at a
//! constant rate, half of what an Envoy without a filter can carry.

use std::time::Duration;

use crate::load::h2load;
use crate::measure::{Bench, Case, Figures, Row, rounds_of};
use crate::report::Section;
use crate::sections::rows::{self, HIT, NO_FILTER};
use crate::servers::{Server, Stand};
use crate::table::{Table, figures_of};
use crate::targets::{Aim, Judged};

/// Of the rate that was wanted: a chain that carries less than this does not keep up.
const KEEPS_UP: f64 = 0.95;

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    let (rounds, seconds) = if bench.quick { (1, 3) } else { (3, 4) };
    let time = Duration::from_secs(seconds);
    let mut chains = rows::chains();
    chains.retain(|chain| !["asking", "lua"].contains(&chain.name.as_str()));
    let stand = Stand::start(&bench.placement, &[Server::default()], &chains, 1).await?;
    let most = Duration::from_secs(if bench.quick { 1 } else { 2 });
    let full = bench.interleaved(&[(&stand, rows::no_filter())], rounds, most).await?;
    let rate = (figures_of(&full, NO_FILTER).per_second / 2.0).round();

    let cases = [rows::no_filter(), rows::do_nothing(), rows::hit(), rows::ext_authz()];
    // What is known is then known.
    bench.round(&stand, &cases[2], Duration::from_secs(1)).await?;
    let mut figures: Vec<Vec<Figures>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (case, figures) in cases.iter().zip(&mut figures) {
            let figure = steady(bench, &stand, case, time, rate).await?;
            eprintln!("half load {round}/{rounds}: {}: {figure}", case.name);
            figures.push(figure);
        }
    }
    let medians = cases.iter().zip(&figures);
    let medians: Vec<Row> = medians
        .map(|(case, all)| Row { name: case.name.clone(), figures: Figures::median(all) })
        .collect();
    Ok(Section {
        title: "Added at half load",
        notes: vec![format!(
            "{rate:.0} requests/s on {} connections of HTTP/1.1, half of what no filter carries; \
             {}. A time counts from when the request is sent. A chain that is sent nearly all that \
             it can carry, or more, has a queue in front of it, and that is what its p99 tells.",
            h2load::connections(rate),
            rounds_of(rounds, time)
        )],
        tables: vec![table(&medians, rate)],
        judged: judged(&medians, rate),
        bars: Vec::new(),
    })
}

async fn steady(
    bench: &Bench,
    stand: &Stand,
    case: &Case,
    time: Duration,
    rate: f64,
) -> Result<Figures, String> {
    let order = case.order(stand, time);
    let observed = bench
        .observe(stand, case, h2load::connections(rate), |placement| {
            h2load::steady(placement, &order, rate)
        })
        .await?;
    Ok(observed.figures())
}

fn table(rows: &[Row], rate: f64) -> Table {
    let none = figures_of(rows, NO_FILTER);
    let mut table = Table::new([
        "chain",
        "requests/s",
        "p50 µs",
        "p50 added",
        "p99 µs",
        "p99 added",
        "CPU µs/request",
    ]);
    for Row { name, figures } in rows {
        let late = if keeps_up(figures, rate) { "" } else { " (does not keep up)" };
        table.row([
            format!("{name}{late}"),
            format!("{:.0}", figures.per_second),
            format!("{:.0}", figures.p50),
            format!("{:+.0}", figures.p50 - none.p50),
            format!("{:.0}", figures.p99),
            format!("{:+.0}", figures.p99 - none.p99),
            format!("{:.1}", figures.cpu),
        ]);
    }
    table
}

fn keeps_up(figures: &Figures, rate: f64) -> bool {
    figures.per_second >= rate * KEEPS_UP
}

/// Of chains that do not keep up there is nothing to compare.
fn judged(rows: &[Row], rate: f64) -> Vec<Judged> {
    let p99 = |name| {
        let figures = figures_of(rows, name);
        if keeps_up(&figures, rate) { figures.p99 } else { f64::NAN }
    };
    vec![Judged::new(Aim::HitTailAdded, p99(HIT) - p99(NO_FILTER))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_a_difference() {
        let row = |name: &str, per_second, p50, p99| Row {
            name: name.to_owned(),
            figures: Figures { cpu: 30.0, per_second, p50, p99, calls: 0.0 },
        };
        let rows = [row(NO_FILTER, 990.0, 100.0, 300.0), row(HIT, 900.0, 110.0, 280.0)];
        let table = table(&rows, 1000.0);
        assert_eq!(table.rows[0], [NO_FILTER, "990", "100", "+0", "300", "+0", "30.0"]);
        let late = format!("{HIT} (does not keep up)");
        assert_eq!(table.rows[1], [&late, "900", "110", "+10", "280", "-20", "30.0"]);
        assert_eq!(judged(&rows, 900.0), [Judged::new(Aim::HitTailAdded, -20.0)]);
        assert!(judged(&rows, 1000.0)[0].figure.is_nan());
    }
}
