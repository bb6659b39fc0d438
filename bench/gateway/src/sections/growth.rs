//! Growth of the cost of a hit: with users, regions, headers. It must not grow with the first two,
//! and only little with the third.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::memory::fill;
use crate::input::INJECTED;
use crate::load::Tokens;
use crate::measure::{Asked, Bench, Case, Row, figures_of, rounds_of};
use crate::report::Bound::AtMost;
use crate::report::{Section, Target, table};
use crate::servers::{ADDRESS, Chain, Rig, Server, remembering_all};
use crate::tokens;

const FEW: &str = "10 users cached";
const MANY: &str = "10 000 users cached";
const ONE_REGION: &str = "1 region";
const TEN_REGIONS: &str = "10 regions";
const ONE_HEADER: &str = "1 header injected";
const TEN_HEADERS: &str = "10 headers injected";

/// A header that every request of the load has, and its value: it serves as the region's.
const REGION: (&str, &str) = ("x-correlation-id", "4f7c1a52-9d0e-4b1f-8a53-0c6f1f6f9a11");

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let (rounds, seconds) = if bench.quick { (3, 1) } else { (7, 2) };
    let time = Duration::from_secs(seconds);
    // Name, number of injected headers, number of regions, number of users to cache first.
    let all = [
        (FEW, 1, 0, 10),
        (MANY, 1, 0, 10_000),
        (ONE_REGION, 1, 1, 0),
        (TEN_REGIONS, 1, 10, 0),
        (ONE_HEADER, 1, 0, 0),
        (TEN_HEADERS, INJECTED.len(), 0, 0),
    ];
    let chains: Result<Vec<Chain>> = all
        .iter()
        .map(|(name, injected, count, _)| Chain::ours(*name, *injected, regions(*count)))
        .collect();
    let rig = Rig::start(&bench.placement, &[Server::default()], chains?, 1).await?;
    let mut cases = Vec::new();
    for (name, injected, _, users) in all {
        let mut case = Case { injected, ..Case::new(name, name) };
        if users > 0 {
            let like = || tokens::OPAQUE.to_owned();
            let tokens = |from| Tokens::Each { count: users, from, like: like() };
            let filling = Case { asked: Asked::Sometimes, ..case.clone() };
            fill(bench, &rig, &filling, users, tokens).await?;
            case.tokens = tokens(0);
        }
        cases.push((&rig, case));
    }
    let rows = bench.interleaved(&cases, rounds, time).await?;
    let cells = |row: &Row| [row.name.clone(), format!("{:.2}", row.figures.cpu)];
    Ok(Section {
        title: "Growth of the cost of a hit",
        notes: vec![format!(
            "Requests of cached users, as in the rows except for the setting of the line; {}. \
             Users come in turn, so that each of 10 000 is the least recently used; of 10 regions \
             the requests use the last.",
            rounds_of(rounds, time)
        )],
        tables: vec![table(&["hit with", "CPU µs/request"], rows.iter().map(cells))],
        targets: targets(&rows),
        ..Section::default()
    })
}

/// Keys with this many regions; the load uses the last. The other endpoints do not exist.
fn regions(count: usize) -> Value {
    let mut keys = remembering_all();
    if count > 0 {
        let endpoint = format!("http://{ADDRESS}/userinfo");
        let mut codes: Map<String, Value> = (1..count)
            .map(|n| (format!("region-{n}"), format!("{endpoint}?region={n}").into()))
            .collect();
        codes.insert(REGION.1.to_owned(), endpoint.into());
        keys["userinfo_endpoint"] = json!({"regionCodeHeader": REGION.0, "regionCodeValue": codes});
        keys["unknown_region"] = "reject".into();
    }
    keys
}

fn targets(rows: &[Row]) -> Vec<Target> {
    let cpu = |name| figures_of(rows, name).cpu;
    let away = |name, from| (cpu(name) / cpu(from) - 1.0).abs() * 100.0;
    let each = (cpu(TEN_HEADERS) - cpu(ONE_HEADER)) / (INJECTED.len() as f64 - 1.0);
    vec![
        Target::new(
            "hit, CPU, 10 000 users cached",
            AtMost(5.0),
            "% away from 10",
            away(MANY, FEW),
            "reads of memory that no cache of the processor holds",
        ),
        Target::new(
            "hit, CPU, 10 regions",
            AtMost(5.0),
            "% away from 1",
            away(TEN_REGIONS, ONE_REGION),
            "the rounds differ by as much",
        ),
        Target::new(
            "hit, CPU, one more header injected",
            AtMost(0.5),
            "µs",
            each,
            "Envoy's: one more host call and field; the module's part is in *Operations of the module*",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_uses_the_last_region() {
        let keys = regions(10);
        let codes = keys["userinfo_endpoint"]["regionCodeValue"].as_object().unwrap();
        assert_eq!(codes.len(), 10);
        assert_eq!(codes.keys().next_back().unwrap(), REGION.1);
        let sent = crate::input::fields(6).into_iter().find(|(name, _)| name == REGION.0);
        assert_eq!(sent, Some((REGION.0.to_owned(), REGION.1.to_owned())));
    }
}
