//! The rows: every way that a request can go through our filter, beside what Envoy itself offers.

use std::time::Duration;

use crate::chart::Bar;
use crate::load::Tokens;
use crate::measure::{Asked, Bench, CONNECTIONS, Case, Row, rounds_of};
use crate::report::Section;
use crate::servers::{Chain, Filter, Ours, Server, Stand};
use crate::table::{self, figures_of};
use crate::targets::{Aim, Judged};
use crate::tokens;

/// Names of rows that others are compared with.
pub(crate) const NO_FILTER: &str = "no filter";
pub(crate) const DO_NOTHING: &str = "do-nothing Wasm filter";
pub(crate) const HIT: &str = "ours: a good token that is known (hit)";
pub(crate) const TELLING: &str = "ours: a hit, its outcome as filter state";
pub(crate) const GUARDED: &str = "ours: a hit behind the guard";
pub(crate) const ASKS: &str = "ours: every request asks";
pub(crate) const EXT_AUTHZ: &str = "ext_authz: every request asks";
const KNOWN_BAD: &str = "ours: a bad token that is known (refused)";
const BARE: &str = "ours: no token (refused)";
const EXT_AUTHZ_REFUSES: &str = "ext_authz: a bad token (refused)";

/// The share of a processor that a saturated worker uses at least.
const BUSY: f64 = 0.9;

/// The chains that rows go through; other sections use them as well.
pub(crate) fn chains() -> Vec<Chain> {
    vec![
        Chain::new("none", Filter::None),
        Chain::new("do_nothing", Filter::DoNothing),
        Chain::new("remembering", Filter::Ours(Ours::remembering())),
        Chain::new("asking", Filter::Ours(Ours::asking())),
        Chain::new("ext_authz", Filter::ExtAuthz),
        Chain::new("lua", Filter::Lua),
    ]
}

/// The chains of a hit with what the guard takes: the outcome as filter state, and the guard itself.
pub(crate) fn guarded_chains() -> [Chain; 2] {
    let ours = || Ours { beside: Some("remembering"), ..Ours::remembering().telling() };
    [Chain::new("telling", Filter::Ours(ours())), Chain::new("guarded", Filter::Guarded(ours()))]
}

pub(crate) fn no_filter() -> Case {
    Case::new(NO_FILTER, "none")
}

pub(crate) fn do_nothing() -> Case {
    Case::new(DO_NOTHING, "do_nothing")
}

pub(crate) fn hit() -> Case {
    Case { injected: 1, ..Case::new(HIT, "remembering") }
}

/// The same without the guard, and behind it.
pub(crate) fn guarded_hits() -> [Case; 2] {
    [(TELLING, "telling"), (GUARDED, "guarded")]
        .map(|(name, chain)| Case { injected: 1, ..Case::new(name, chain) })
}

pub(crate) fn asks() -> Case {
    Case {
        tokens: Tokens::Fresh(tokens::OPAQUE.to_owned()),
        asked: Asked::Always,
        injected: 1,
        ..Case::new(ASKS, "asking")
    }
}

pub(crate) fn ext_authz() -> Case {
    Case { asked: Asked::Always, ..Case::new(EXT_AUTHZ, "ext_authz") }
}

fn cases() -> Vec<Case> {
    let bad = || Tokens::One(tokens::BAD.to_owned());
    let [telling, guarded] = guarded_hits();
    vec![
        no_filter(),
        do_nothing(),
        hit(),
        telling,
        guarded,
        Case { tokens: bad(), forwarded: false, ..Case::new(KNOWN_BAD, "remembering") },
        asks(),
        Case {
            asked: Asked::Sometimes,
            injected: 1,
            ..Case::new("ours: one token, not remembered (shared calls)", "asking")
        },
        Case { tokens: Tokens::None, forwarded: false, ..Case::new(BARE, "asking") },
        ext_authz(),
        Case {
            tokens: bad(),
            asked: Asked::Always,
            forwarded: false,
            ..Case::new(EXT_AUTHZ_REFUSES, "ext_authz")
        },
        Case { asked: Asked::Always, injected: 1, ..Case::new("Lua: every request asks", "lua") },
    ]
}

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    let (rounds, seconds) = if bench.quick { (3, 1) } else { (5, 3) };
    let time = Duration::from_secs(seconds);
    let chains: Vec<Chain> = chains().into_iter().chain(guarded_chains()).collect();
    let stand = Stand::start(&bench.placement, &[Server::default()], &chains, 1).await?;
    let cases: Vec<_> = cases().into_iter().map(|case| (&stand, case)).collect();
    let rows = bench.interleaved(&cases, rounds, time).await?;
    let mut notes = vec![
        format!(
            "HTTP/1.1, {CONNECTIONS} connections, a token of 40 bytes, 8 header fields, one \
                 injected, one worker, a UserInfo document of 300 bytes; {}. p50 and p99 are those \
                 of a saturated worker.",
            rounds_of(rounds, time)
        ),
        "A refused request is answered without the upstream, so it costs less than one that is \
             proxied."
            .to_owned(),
    ];
    notes.extend(idle(&rows));
    Ok(Section {
        title: "What a request costs",
        notes,
        tables: vec![table::of_rows(&rows, [DO_NOTHING, EXT_AUTHZ], [NO_FILTER, EXT_AUTHZ])],
        judged: judged(&rows),
        bars: rows.iter().map(|row| Bar::new(&row.name, row.figures.cpu)).collect(),
    })
}

/// A row in which the measured Envoy was not busy was slowed down by something else.
fn idle(rows: &[Row]) -> Option<String> {
    let idle = rows.iter().filter(|row| row.figures.busy() < BUSY);
    let idle: Vec<String> =
        idle.map(|row| format!("{} ({:.0} %)", row.name, row.figures.busy() * 100.0)).collect();
    (!idle.is_empty()).then(|| {
        format!(
            "**Not a quiet machine, or too slow a load.** The measured Envoy was not busy all the \
             time, so requests/s and times say little, and processor time is higher than it would \
             be: {}.",
            idle.join(", ")
        )
    })
}

fn judged(rows: &[Row]) -> Vec<Judged> {
    let cpu = |name| figures_of(rows, name).cpu;
    let rate = |name| figures_of(rows, name).per_second;
    vec![
        Judged::new(Aim::HitCpuToDoNothing, cpu(HIT) / cpu(DO_NOTHING)),
        Judged::new(Aim::HitCpuToExtAuthz, cpu(HIT) / cpu(EXT_AUTHZ)),
        Judged::new(Aim::HitRateToNoFilter, rate(HIT) / rate(NO_FILTER)),
        Judged::new(Aim::HitRateToExtAuthz, rate(HIT) / rate(EXT_AUTHZ)),
        Judged::new(Aim::AsksCpuToExtAuthz, cpu(ASKS) / cpu(EXT_AUTHZ)),
        Judged::new(Aim::RefusedHitCpuToExtAuthz, cpu(KNOWN_BAD) / cpu(EXT_AUTHZ_REFUSES)),
        Judged::new(Aim::RefusedBareCpuToExtAuthz, cpu(BARE) / cpu(EXT_AUTHZ_REFUSES)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Figures;

    #[test]
    fn every_case_has_its_chain_and_a_name_of_its_own() {
        let chains: Vec<Chain> = chains().into_iter().chain(guarded_chains()).collect();
        let mut names = Vec::new();
        for case in cases() {
            assert!(chains.iter().any(|chain| chain.name == case.chain), "{case:?}");
            assert!(!names.contains(&case.name), "{}", case.name);
            names.push(case.name);
        }
    }

    #[test]
    fn an_idle_envoy_is_told_of() {
        let row = |name: &str, cpu| Row {
            name: name.to_owned(),
            figures: Figures { cpu, per_second: 25_000.0, p50: 1.0, p99: 1.0, calls: 0.0 },
        };
        assert_eq!(idle(&[row("a", 39.0), row("b", 36.0)]), None);
        let told = idle(&[row("a", 39.0), row("b", 20.0)]).unwrap();
        assert!(told.ends_with("than it would be: b (50 %)."), "{told}");
    }

    #[test]
    fn targets_compare_the_rows_that_they_name() {
        let row = |case: &Case| {
            let cpu = match case.name.as_str() {
                HIT => 33.0,
                ASKS => 66.0,
                KNOWN_BAD => 12.0,
                BARE => 6.0,
                EXT_AUTHZ => 60.0,
                EXT_AUTHZ_REFUSES => 24.0,
                _ => 30.0,
            };
            let per_second = 1e6 / cpu;
            let figures = Figures { cpu, per_second, p50: 1.0, p99: 1.0, calls: 0.0 };
            Row { name: case.name.clone(), figures }
        };
        let rows: Vec<Row> = cases().iter().map(row).collect();
        let figures: Vec<String> =
            judged(&rows).iter().map(|judged| format!("{:.3}", judged.figure)).collect();
        assert_eq!(figures, ["1.100", "0.550", "0.909", "1.818", "1.100", "0.500", "0.250"]);
    }
}
