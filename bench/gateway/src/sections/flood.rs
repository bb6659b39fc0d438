//! More tokens than a cache can know: its memory must not follow their number.

use std::time::Duration;

use crate::load::Tokens;
use crate::measure::{Asked, Bench, Case};
use crate::memory::megabytes;
use crate::report::Section;
use crate::sections::memory::ENTRIES;
use crate::servers::{Chain, Filter, Ours, Server, Stand};
use crate::table::Table;
use crate::targets::{Aim, Judged};
use crate::tokens;

const TOKENS: u64 = 1_000_000;
const QUICK_TOKENS: u64 = 100_000;

/// After this part of the tokens, memory is to stay as it is.
const SETTLED: u64 = 10;

/// Lines of the table.
const SHOWN: u64 = 10;

/// Memory after so many tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    tokens: u64,
    bytes: u64,
}

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    let tokens = if bench.quick { QUICK_TOKENS } else { TOKENS };
    let defaults = Ours { cache: Some(serde_json::json!({})), ..Ours::asking() };
    let chains = [Chain::new("defaults", Filter::Ours(defaults))];
    let stand = Stand::start(&bench.placement, &[Server::default()], &chains, 1).await?;
    let case = Case { asked: Asked::Always, injected: 1, ..Case::new("flood", "defaults") };
    let mut samples = vec![Sample { tokens: 0, bytes: stand.measured.memory()? }];
    let mut sent = 0;
    while sent < tokens {
        // Far enough from those of the round before, of which more were sent than answered.
        let from = samples.len() * 10_000_000;
        let like = tokens::OPAQUE.to_owned();
        let case =
            Case { tokens: Tokens::Each { count: 10_000_000_000, from, like }, ..case.clone() };
        let order = case.order(&stand, Duration::from_secs(1));
        let observed = bench
            .observe(&stand, &case, order.connections, |placement| {
                crate::load::wrk::run(placement, &order)
            })
            .await?;
        sent += observed.load.requests;
        samples.push(Sample { tokens: sent, bytes: stand.measured.memory()? });
        eprintln!("flood: {sent} tokens, {:.1} MB", megabytes(samples[samples.len() - 1].bytes));
    }
    let evicted = stand.measured.stat("wasmcustom.oidc_cache.evicted").await;
    let known = stand.measured.stat(ENTRIES).await;
    if evicted + known < sent / 2 {
        return Err(format!("{sent} tokens, but {known} are known and {evicted} were driven out"));
    }
    let away = away(&samples, tokens / SETTLED);
    let judged = Judged::new(Aim::FloodMemory, away);
    Ok(Section {
        title: "More tokens than can be known",
        notes: vec![format!(
            "Each request has a token that nobody has sent before; the cache is as it is by \
             default. {known} are known at the end, {evicted} were driven out. After the first {} \
             tokens memory is at most {away:.1} % away from what it was then.{}",
            tokens / SETTLED,
            if bench.quick { " A short run: the target is for ten times as many." } else { "" }
        )],
        tables: vec![table(&samples, tokens)],
        judged: if bench.quick { Vec::new() } else { vec![judged] },
        bars: Vec::new(),
    })
}

/// How far memory gets away from what it was once so many tokens had come, in percent.
fn away(samples: &[Sample], settled: u64) -> f64 {
    let mut after = samples.iter().skip_while(|sample| sample.tokens < settled);
    let Some(then) = after.next() else { return f64::NAN };
    let base = then.bytes as f64;
    after.map(|sample| (sample.bytes as f64 / base - 1.0).abs() * 100.0).fold(0.0, f64::max)
}

/// The first sample, and the first after each tenth of the tokens.
fn table(samples: &[Sample], tokens: u64) -> Table {
    let mut table = Table::new(["tokens", "MB"]);
    for tenth in 0..=SHOWN {
        let found = samples.iter().find(|sample| sample.tokens >= tokens / SHOWN * tenth);
        if let Some(Sample { tokens, bytes }) = found {
            table.row([tokens.to_string(), format!("{:.1}", megabytes(*bytes))]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(list: &[(u64, u64)]) -> Vec<Sample> {
        list.iter().map(|(tokens, bytes)| Sample { tokens: *tokens, bytes: *bytes }).collect()
    }

    #[test]
    fn memory_is_compared_with_what_it_was_once_settled() {
        let samples = samples(&[(0, 50), (90, 70), (120, 100), (500, 104), (700, 93), (1100, 101)]);
        let figure = away(&samples, 100);
        assert!((figure - 7.0).abs() < 1e-9, "{figure}");
        assert!(away(&samples, 2000).is_nan());
        assert_eq!(away(&samples, 1100), 0.0);
    }

    #[test]
    fn a_line_for_each_tenth() {
        let all: Vec<(u64, u64)> = (0..=100).map(|n| (n * 15, 1_000_000 * n)).collect();
        let table = table(&samples(&all), 1000);
        let tokens: Vec<&str> = table.rows.iter().map(|row| row[0].as_str()).collect();
        let expected = ["0", "105", "210", "300", "405", "510", "600", "705", "810", "900", "1005"];
        assert_eq!(tokens, expected);
        assert_eq!(table.rows[1][1], "7.0");
    }
}
