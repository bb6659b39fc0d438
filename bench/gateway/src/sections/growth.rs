//! What a known request's cost grows by: users, regions, headers. It must not grow with the first
//! two, and by little with the third.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::load::Tokens;
use crate::measure::{Asked, Bench, Case, Row, rounds_of};
use crate::report::Section;
use crate::sections::memory::fill;
use crate::servers::{Backend, Chain, Filter, INJECTED, Measured, Ours, PROVIDER, Server, Stand};
use crate::table::{Table, figures_of};
use crate::targets::{Aim, Judged};
use crate::tokens;

const FEW: &str = "10 users known";
const MANY: &str = "10 000 users known";
const ONE_REGION: &str = "1 region";
const TEN_REGIONS: &str = "10 regions";
const ONE_HEADER: &str = "1 header injected";
const TEN_HEADERS: &str = "10 headers injected";

/// A header that every request of the load has, and its value: it serves as the region's.
const REGION: (&str, &str) = ("x-correlation-id", "4f7c1a52-9d0e-4b1f-8a53-0c6f1f6f9a11");

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    let (rounds, seconds) = if bench.quick { (3, 1) } else { (7, 2) };
    let time = Duration::from_secs(seconds);
    let backend = Backend::start(&bench.placement, &[Server::default()]).await?;
    let endpoint = format!("http://{}/userinfo", backend.at(PROVIDER));
    let measured = Measured::start(&bench.placement, &backend, &chains(&endpoint), 1).await?;
    let stand = Stand { backend, measured };
    for (users, case) in users() {
        let filling = Case { asked: Asked::Sometimes, ..case };
        fill(bench, &stand, &filling, users, |from| tokens_of(users, from)).await?;
    }
    let cases: Vec<(&Stand, Case)> = cases().into_iter().map(|case| (&stand, case)).collect();
    let rows = bench.interleaved(&cases, rounds, time).await?;
    Ok(Section {
        title: "What a hit grows by",
        notes: vec![format!(
            "Requests of users who are known, as in the rows but for what the line names; {}. \
             Users come in turn, so that each of 10 000 is the one who was longest away; of 10 \
             regions the last is asked for.",
            rounds_of(rounds, time)
        )],
        tables: vec![table(&rows)],
        judged: judged(&rows),
        bars: Vec::new(),
    })
}

/// The cases whose tokens must be known before, and how many tokens these are.
fn users() -> [(usize, Case); 2] {
    let case = |name: &str, users| Case {
        tokens: tokens_of(users, 0),
        injected: 1,
        ..Case::new(name, name)
    };
    [(10, case(FEW, 10)), (10_000, case(MANY, 10_000))]
}

fn tokens_of(users: usize, from: usize) -> Tokens {
    Tokens::Each { count: users, from, like: tokens::OPAQUE.to_owned() }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = users().into_iter().map(|(_, case)| case).collect();
    let case = |name: &str, injected| Case { injected, ..Case::new(name, name) };
    cases.extend([case(ONE_REGION, 1), case(TEN_REGIONS, 1)]);
    cases.extend([case(ONE_HEADER, 1), case(TEN_HEADERS, INJECTED.len())]);
    cases
}

fn chains(endpoint: &str) -> Vec<Chain> {
    let all = Ours::remembering_all;
    let regions = |count| Ours { keys: regions(count, endpoint), ..all() };
    [
        (FEW, all()),
        (MANY, all()),
        (ONE_REGION, regions(1)),
        (TEN_REGIONS, regions(10)),
        (ONE_HEADER, all()),
        (TEN_HEADERS, Ours { injected: INJECTED.len(), ..all() }),
    ]
    .map(|(name, ours)| Chain::new(name, Filter::Ours(ours)))
    .to_vec()
}

/// So many regions, the one that the load asks for the last; no other endpoint serves anybody.
fn regions(count: usize, endpoint: &str) -> Map<String, Value> {
    let mut codes: Map<String, Value> = (1..count)
        .map(|n| (format!("region-{n}"), format!("{endpoint}?region={n}").into()))
        .collect();
    codes.insert(REGION.1.to_owned(), endpoint.into());
    let endpoints = json!({"regionCodeHeader": REGION.0, "regionCodeValue": codes});
    Map::from_iter([
        ("userinfo_endpoint".to_owned(), endpoints),
        ("unknown_region".to_owned(), "reject".into()),
    ])
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["hit with", "CPU µs/request"]);
    for Row { name, figures } in rows {
        table.row([name.clone(), format!("{:.2}", figures.cpu)]);
    }
    table
}

fn judged(rows: &[Row]) -> Vec<Judged> {
    let cpu = |name| figures_of(rows, name).cpu;
    let away = |name, from| (cpu(name) / cpu(from) - 1.0).abs() * 100.0;
    let headers = INJECTED.len() as f64 - 1.0;
    vec![
        Judged::new(Aim::GrowthByUsers, away(MANY, FEW)),
        Judged::new(Aim::GrowthByRegions, away(TEN_REGIONS, ONE_REGION)),
        Judged::new(Aim::GrowthByHeader, (cpu(TEN_HEADERS) - cpu(ONE_HEADER)) / headers),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Figures;

    #[test]
    fn every_case_has_its_chain() {
        let chains = chains("http://a/userinfo");
        for case in cases() {
            assert!(chains.iter().any(|chain| chain.name == case.chain), "{case:?}");
        }
    }

    #[test]
    fn the_load_asks_for_the_last_region() {
        let keys = regions(10, "http://a/userinfo");
        let codes = keys["userinfo_endpoint"]["regionCodeValue"].as_object().unwrap();
        assert_eq!(codes.len(), 10);
        assert_eq!(codes.keys().next_back().unwrap(), REGION.1);
        let sent = tokens::fields(6).into_iter().find(|(name, _)| name == REGION.0);
        assert_eq!(sent, Some((REGION.0.to_owned(), REGION.1.to_owned())));
    }

    #[test]
    fn growth_is_in_percent_and_for_each_header() {
        let row = |name: &str, cpu| Row {
            name: name.to_owned(),
            figures: Figures { cpu, per_second: 1.0, p50: 1.0, p99: 1.0, calls: 0.0 },
        };
        let rows = [
            row(FEW, 40.0),
            row(MANY, 38.0),
            row(ONE_REGION, 50.0),
            row(TEN_REGIONS, 51.0),
            row(ONE_HEADER, 30.0),
            row(TEN_HEADERS, 34.5),
        ];
        let figures: Vec<String> =
            judged(&rows).iter().map(|judged| format!("{:.3}", judged.figure)).collect();
        assert_eq!(figures, ["5.000", "2.000", "0.500"]);
        assert_eq!(table(&rows).rows[5], [TEN_HEADERS, "34.50"]);
    }
}
