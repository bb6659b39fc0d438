//! The axes: one thing about the requests or the configuration changes at a time, all else is as in
//! the rows.

use std::time::Duration;

use crate::load::Tokens;
use crate::measure::{Bench, Case, Figures, Protocol, rounds_of};
use crate::report::Section;
use crate::sections::rows;
use crate::servers::{Chain, Filter, Ours, Server, Stand};
use crate::table::{Table, ratio};
use crate::tokens;

/// The provider with the large document.
const LARGE: &str = "large";
const LARGE_DOCUMENT: usize = 8192;

/// What is measured in each setting, in the order of the columns.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Column {
    NoFilter,
    DoNothing,
    Hit,
    Asks,
    ExtAuthz,
}

use Column::*;

const COLUMNS: [(Column, &str); 5] = [
    (NoFilter, "no filter"),
    (DoNothing, "do-nothing"),
    (Hit, "hit"),
    (Asks, "asks"),
    (ExtAuthz, "ext_authz"),
];

/// What is changed.
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

/// A case in its setting.
struct Measure {
    setting: Setting,
    column: Column,
    workers: u32,
    case: Case,
}

/// What came of it.
struct Outcome {
    setting: Setting,
    column: Column,
    figures: Figures,
}

fn base(column: Column) -> Case {
    match column {
        NoFilter => rows::no_filter(),
        DoNothing => rows::do_nothing(),
        Hit => rows::hit(),
        Asks => rows::asks(),
        ExtAuthz => rows::ext_authz(),
    }
}

/// The case of a setting; none where the setting changes nothing, or cannot be sent.
fn case(setting: Setting, column: Column) -> Option<Case> {
    let base = base(column);
    let ours = matches!(column, Hit | Asks);
    Some(match setting {
        AsInTheRows | TwoWorkers => base,
        Http2 if column == Asks => return None,
        Http2 => Case { protocol: Protocol::Http2, ..base },
        LongToken if column == Asks => Case { tokens: Tokens::Fresh(tokens::jwt()), ..base },
        LongToken => Case { tokens: Tokens::One(tokens::jwt()), ..base },
        ManyFields => Case { fields: 40, ..base },
        Injected(injected) if ours => {
            Case { chain: format!("{}_{injected}", base.chain), injected, ..base }
        }
        LargeDocument if ours || column == ExtAuthz => {
            Case { chain: format!("{}_{LARGE}", base.chain), ..base }
        }
        Injected(_) | LargeDocument => return None,
    })
}

fn measures() -> Vec<Measure> {
    let mut measures = Vec::new();
    for (setting, name) in SETTINGS {
        for (column, words) in COLUMNS {
            if let Some(case) = case(setting, column) {
                let case = Case { name: format!("{name}: {words}"), ..case };
                let workers = if setting == TwoWorkers { 2 } else { 1 };
                measures.push(Measure { setting, column, workers, case });
            }
        }
    }
    measures
}

fn chains() -> Vec<Chain> {
    let mut chains = rows::chains();
    chains.retain(|chain| chain.name != "lua");
    let kinds = [("remembering", Ours::remembering()), ("asking", Ours::asking())];
    for (kind, ours) in kinds {
        for injected in [3, 10] {
            let ours = Ours { injected, ..ours.clone() };
            chains.push(Chain::new(format!("{kind}_{injected}"), Filter::Ours(ours)));
        }
        let large = Chain::new(format!("{kind}_{LARGE}"), Filter::Ours(ours));
        chains.push(Chain { provider: LARGE, ..large });
    }
    let large = Chain::new(format!("ext_authz_{LARGE}"), Filter::ExtAuthz);
    chains.push(Chain { provider: LARGE, ..large });
    chains
}

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    let (rounds, seconds) = if bench.quick { (1, 1) } else { (3, 2) };
    let time = Duration::from_secs(seconds);
    let large = Server { name: LARGE, document: LARGE_DOCUMENT, ..Server::default() };
    let servers = [Server::default(), large];
    let one = Stand::start(&bench.placement, &servers, &chains(), 1).await?;
    let mut few = rows::chains();
    few.retain(|chain| chain.name != "lua");
    let two = Stand::start(&bench.placement, &servers[..1], &few, 2).await?;

    let measures = measures();
    let cases: Vec<(&Stand, Case)> = measures
        .iter()
        .map(|measure| (if measure.workers == 2 { &two } else { &one }, measure.case.clone()))
        .collect();
    let rows = bench.interleaved(&cases, rounds, time).await?;
    let results: Vec<Outcome> = measures
        .iter()
        .zip(rows)
        .map(|(Measure { setting, column, .. }, row)| Outcome {
            setting: *setting,
            column: *column,
            figures: row.figures,
        })
        .collect();
    Ok(Section {
        title: "One thing changed at a time",
        notes: vec![format!(
            "All else as in the rows; {}. Where a figure is missing, the setting changes \
                 nothing for the chain, and the relation is to the first line; `h2load`, which \
                 speaks HTTP/2, cannot send a token of its own with each request. Several workers \
                 share the one processor. The token of 800 bytes looks like a JWT.",
            rounds_of(rounds, time)
        )],
        tables: vec![
            table(&results, true, |figures| figures.cpu, 1),
            titled("requests/s", table(&results, false, |figures| figures.per_second, 0)),
            titled("p99 µs", table(&results, false, |figures| figures.p99, 0)),
        ],
        ..Section::default()
    })
}

/// Names the figure in the head of the first column.
fn titled(figure: &str, mut table: Table) -> Table {
    table.columns[0] = figure.to_owned();
    table
}

fn table(
    results: &[Outcome],
    relations: bool,
    figure: fn(&Figures) -> f64,
    decimals: usize,
) -> Table {
    let mut table = Table::new(["CPU µs/request"]);
    table.columns.extend(COLUMNS.map(|(_, name)| name.to_owned()));
    if relations {
        let heads = ["hit × do-nothing", "hit × ext_authz", "asks × ext_authz"];
        table.columns.extend(heads.map(str::to_owned));
    }
    let of = |setting: Setting, column: Column| {
        let found = results.iter().find(|r| r.setting == setting && r.column == column);
        found.map(|result| figure(&result.figures))
    };
    for (setting, name) in SETTINGS {
        let mut cells = vec![name.to_owned()];
        let shown = |column| of(setting, column).map(|value| format!("{value:.decimals$}"));
        cells.extend(COLUMNS.map(|(column, _)| shown(column).unwrap_or_default()));
        if relations {
            let to = |column, other| {
                let other =
                    of(setting, other).or_else(|| of(AsInTheRows, other)).unwrap_or(f64::NAN);
                ratio(of(setting, column).unwrap_or(f64::NAN), other)
            };
            cells.extend([to(Hit, DoNothing), to(Hit, ExtAuthz), to(Asks, ExtAuthz)]);
        }
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_changes_one_thing_and_has_its_chains() {
        let chains = chains();
        let measures = measures();
        for Measure { case, .. } in &measures {
            assert!(chains.iter().any(|chain| chain.name == case.chain), "{case:?}");
        }
        for (setting, name) in SETTINGS.into_iter().skip(1) {
            let of_it: Vec<&Measure> = measures.iter().filter(|m| m.setting == setting).collect();
            assert!(of_it.iter().any(|measure| measure.column == Hit), "{name}");
            for Measure { case, column, workers, .. } in of_it {
                let base = base(*column);
                let changed = [
                    case.protocol != base.protocol,
                    format!("{:?}", case.tokens) != format!("{:?}", base.tokens),
                    case.fields != base.fields,
                    case.chain != base.chain,
                    *workers != 1,
                ];
                let changes = changed.iter().filter(|changed| **changed).count();
                assert_eq!(changes, 1, "{}", case.name);
            }
        }
    }

    #[test]
    fn relations_fall_back_to_the_first_line() {
        let result = |setting, column, cpu| Outcome {
            setting,
            column,
            figures: Figures { cpu, per_second: 1.0, p50: 1.0, p99: 1.0, calls: 0.0 },
        };
        let results = [
            result(AsInTheRows, DoNothing, 20.0),
            result(AsInTheRows, Hit, 30.0),
            result(AsInTheRows, ExtAuthz, 60.0),
            result(Injected(3), Hit, 40.0),
            result(ManyFields, Hit, 50.0),
            result(ManyFields, DoNothing, 25.0),
        ];
        let table = table(&results, true, |figures| figures.cpu, 1);
        assert_eq!(table.rows[0][1..], ["", "20.0", "30.0", "", "60.0", "1.50", "0.50", "-"]);
        assert_eq!(table.rows[4][1..], ["", "", "40.0", "", "", "2.00", "0.67", "-"]);
        assert_eq!(table.rows[3][1..], ["", "25.0", "50.0", "", "", "2.00", "0.83", "-"]);
    }
}
