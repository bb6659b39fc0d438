//! More tokens than a cache can know: its memory must not follow their number.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use super::memory::ENTRIES;
use crate::load::Tokens;
use crate::machine::memory;
use crate::measure::{Asked, Bench, Case};
use crate::report::Bound::AtMost;
use crate::report::{Section, Target, table};
use crate::servers::{Chain, Rig, Server};
use crate::tokens;

/// After this part of the tokens, memory is to stay as it is.
const SETTLED: u64 = 10;

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let tokens = if bench.quick { 100_000 } else { 1_000_000 };
    let chains = vec![Chain::ours("defaults", 1, json!({"cache": {}}))?];
    let rig = Rig::start(&bench.placement, &[Server::default()], chains, 1).await?;
    // Number of tokens, and megabytes.
    let mut samples = vec![(0, memory(rig.measured.id())?)];
    let mut sent = 0;
    while sent < tokens {
        // Far enough from those of the round before, of which more were sent than answered.
        let from = samples.len() * 10_000_000;
        let like = tokens::OPAQUE.to_owned();
        let case = Case {
            tokens: Tokens::Each { count: 10_000_000_000, from, like },
            asked: Asked::Always,
            injected: 1,
            ..Case::new("flood", "defaults")
        };
        sent += bench.round(&rig, &case, Duration::from_secs(1)).await?.load.requests;
        samples.push((sent, memory(rig.measured.id())?));
    }
    let evicted = rig.measured.stat("wasmcustom.oidc_cache.evicted").await;
    let known = rig.measured.stat(ENTRIES).await;
    if evicted + known < sent / 2 {
        bail!("{sent} tokens, but {known} are cached and {evicted} were evicted");
    }
    let away = away(&samples, tokens / SETTLED);
    let unit = "% away from that after 10⁵";
    let rest = "the cache, or the allocator, has not settled by then";
    let targets = Target::new("memory, 10⁶ tokens", AtMost(5.0), unit, away, rest);
    // The first sample, and the first after each tenth of the tokens.
    let tenth = |tenth| samples.iter().find(|(sent, _)| *sent >= tokens / 10 * tenth);
    let rows = (0..=10).filter_map(tenth).map(|(sent, mb)| [sent.to_string(), format!("{mb:.1}")]);
    Ok(Section {
        title: "More tokens than the cache holds",
        notes: vec![format!(
            "Each request has a new token; the cache has its default settings. At the end {known} \
             tokens are cached, {evicted} were evicted. After the first {} tokens memory differs \
             from its value then by at most {away:.1} %.{}",
            tokens / SETTLED,
            if bench.quick { " A short run: the target applies to ten times as many." } else { "" }
        )],
        tables: vec![table(&["tokens", "MB"], rows)],
        targets: if bench.quick { Vec::new() } else { vec![targets] },
        ..Section::default()
    })
}

/// The largest difference of memory from its value after this many tokens, in percent.
fn away(samples: &[(u64, f64)], settled: u64) -> f64 {
    let mut after = samples.iter().skip_while(|(sent, _)| *sent < settled);
    let Some((_, base)) = after.next() else { return f64::NAN };
    after.map(|(_, mb)| (mb / base - 1.0).abs() * 100.0).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_with_the_settled_value() {
        let samples = [(0, 50.0), (90, 70.0), (120, 100.0), (500, 104.0), (700, 93.0)];
        assert!((away(&samples, 100) - 7.0).abs() < 1e-9);
        assert!(away(&samples, 2000).is_nan());
    }
}
