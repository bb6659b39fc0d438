//! The axes: one thing about the requests or the configuration changes at a time, all else is as in
//! the rows.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::rows;
use crate::load::{Pace, Tokens};
use crate::measure::{Bench, Case, Figures, Row, figures_of, rounds_of};
use crate::report::{Section, table};
use crate::servers::{Chain, Rig, Server, remembering};
use crate::tokens;

/// The provider with the large document, and what its chains' names end with.
const LARGE: &str = "large";

/// The case of each column, in order.
fn columns() -> [(&'static str, Case); 5] {
    [
        ("no filter", rows::no_filter()),
        ("do-nothing", rows::do_nothing()),
        ("hit", rows::hit()),
        ("call", rows::asks()),
        ("ext_authz", rows::ext_authz()),
    ]
}

/// The changed property.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Setting {
    AsInTheRows,
    Http2,
    LongToken,
    ManyFields,
    Injected(usize),
    LargeDocument,
    TwoWorkers,
}

use Setting::*;

const SETTINGS: [(Setting, &str); 8] = [
    (AsInTheRows, "as in the rows"),
    (Http2, "HTTP/2"),
    (LongToken, "token of 800 bytes"),
    (ManyFields, "40 header fields"),
    (Injected(3), "3 headers injected"),
    (Injected(10), "10 headers injected"),
    (LargeDocument, "UserInfo of 8 KB"),
    (TwoWorkers, "2 workers"),
];

/// The case of a setting; none where the setting changes nothing, or cannot be sent.
fn case(setting: Setting, column: &str, base: Case) -> Option<Case> {
    Some(match (setting, column) {
        (AsInTheRows | TwoWorkers, _) => base,
        (Http2, "call") => return None,
        (Http2, _) => Case { pace: Pace::Http2, ..base },
        (LongToken, "call") => Case { tokens: Tokens::Fresh(tokens::jwt()), ..base },
        (LongToken, _) => Case { tokens: Tokens::One(tokens::jwt()), ..base },
        (ManyFields, _) => Case { fields: 40, ..base },
        (Injected(injected), "hit" | "call") => {
            Case { chain: format!("{}_{injected}", base.chain), injected, ..base }
        }
        (LargeDocument, "hit" | "call" | "ext_authz") => {
            Case { chain: format!("{}_{LARGE}", base.chain), ..base }
        }
        (Injected(_) | LargeDocument, _) => return None,
    })
}

/// All cases, each named for its setting and its column.
fn cases() -> Vec<(Setting, Case)> {
    let mut cases = Vec::new();
    for (setting, words) in SETTINGS {
        for (column, base) in columns() {
            if let Some(case) = case(setting, column, base) {
                cases.push((setting, Case { name: format!("{words}: {column}"), ..case }));
            }
        }
    }
    cases
}

fn chains() -> Result<Vec<Chain>> {
    let mut chains = rows::chains()?;
    for (kind, keys) in [("remembering", remembering()), ("asking", json!({}))] {
        for injected in [3, 10] {
            chains.push(Chain::ours(format!("{kind}_{injected}"), injected, keys.clone())?);
        }
        chains.push(Chain::ours(format!("{kind}_{LARGE}"), 1, keys)?.asking(LARGE));
    }
    chains.push(Chain::ext_authz(&format!("ext_authz_{LARGE}")).asking(LARGE));
    Ok(chains)
}

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let (rounds, seconds) = if bench.quick { (1, 1) } else { (3, 2) };
    let time = Duration::from_secs(seconds);
    let large = Server { name: LARGE, document: 8192, ..Server::default() };
    let servers = [Server::default(), large];
    let one = Rig::start(&bench.placement, &servers, chains()?, 1).await?;
    let two = Rig::start(&bench.placement, &servers[..1], rows::chains()?, 2).await?;
    let cases: Vec<(&Rig, Case)> = cases()
        .into_iter()
        .map(|(setting, case)| (if setting == TwoWorkers { &two } else { &one }, case))
        .collect();
    let rows = bench.interleaved(&cases, rounds, time).await?;
    Ok(Section {
        title: "One thing changed at a time",
        notes: vec![format!(
            "Everything else is as in the rows; {}. If a figure is missing, the setting does not \
             affect the chain, and ratios use the first line; `h2load`, the load for HTTP/2, cannot \
             send a different token with each request. Several workers share one processor. The \
             token of 800 bytes has the form of a JWT.",
            rounds_of(rounds, time)
        )],
        tables: vec![
            figures(&rows, "CPU µs/request", true, |figures| figures.cpu, 1),
            figures(&rows, "requests/s", false, |figures| figures.per_second, 0),
            figures(&rows, "p99 µs", false, |figures| figures.p99, 0),
        ],
        ..Section::default()
    })
}

fn figures(
    rows: &[Row],
    what: &str,
    relations: bool,
    figure: fn(&Figures) -> f64,
    decimals: usize,
) -> String {
    let of =
        |setting: &str, column: &str| figure(&figures_of(rows, &format!("{setting}: {column}")));
    let shown = |value: f64, decimals: usize, none: &str| {
        if value.is_nan() { none.to_owned() } else { format!("{value:.decimals$}") }
    };
    let columns = columns().map(|(column, _)| column);
    let compared = [("hit", "do-nothing"), ("hit", "ext_authz"), ("call", "ext_authz")];
    let compared = if relations { &compared[..] } else { &[] };
    let mut heads: Vec<String> =
        [what].iter().chain(&columns).map(|&head| head.to_owned()).collect();
    heads.extend(compared.iter().map(|(column, to)| format!("{column} × {to}")));
    let cells = |(_, setting): (Setting, &str)| {
        let mut cells = vec![setting.to_owned()];
        cells.extend(columns.map(|column| shown(of(setting, column), decimals, "")));
        cells.extend(compared.iter().map(|(column, to)| {
            let here = of(setting, to);
            let to = if here.is_nan() { of(SETTINGS[0].1, to) } else { here };
            shown(of(setting, column) / to, 2, "-")
        }));
        cells
    };
    table(&heads, SETTINGS.into_iter().map(cells))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_changes_one_thing() {
        for (setting, words) in SETTINGS.into_iter().skip(1) {
            for (column, base) in columns() {
                let Some(case) = case(setting, column, base.clone()) else {
                    assert_ne!(column, "hit", "{words}");
                    continue;
                };
                let changed = [
                    case.pace != base.pace,
                    case.tokens != base.tokens,
                    case.fields != base.fields,
                    case.chain != base.chain,
                    setting == TwoWorkers,
                ];
                assert_eq!(changed.iter().filter(|c| **c).count(), 1, "{words}: {column}");
            }
        }
    }

    #[test]
    fn relations_fall_back_to_the_first_line() {
        let row = |name: &str, cpu| Row {
            name: name.to_owned(),
            figures: Figures { cpu, per_second: 1.0, p50: 1.0, p99: 1.0, calls: 0.0 },
        };
        let rows = [
            row("as in the rows: do-nothing", 20.0),
            row("as in the rows: hit", 30.0),
            row("as in the rows: ext_authz", 60.0),
            row("3 headers injected: hit", 40.0),
        ];
        let table = figures(&rows, "CPU", true, |figures| figures.cpu, 1);
        assert!(
            table.contains("| as in the rows |  | 20.0 | 30.0 |  | 60.0 | 1.50 | 0.50 | - |\n")
        );
        assert!(table.contains("| 3 headers injected |  |  | 40.0 |  |  | 2.00 | 0.67 | - |\n"));
    }
}
