//! What a worker's memory grows by that knows many users.

use std::time::Duration;

use crate::load::Tokens;
use crate::measure::{Asked, Bench, CONNECTIONS, Case};
use crate::memory::{megabytes, more};
use crate::report::Section;
use crate::servers::{Chain, Filter, Ours, Server, Stand};
use crate::table::Table;
use crate::targets::{Aim, Judged};
use crate::tokens;

const USERS: usize = 10_000;
const INJECTED: usize = 3;

/// Rounds of the load until every user has come: more than are ever needed.
const MOST_ROUNDS: usize = 60;

pub(crate) const ENTRIES: &str = "wasmcustom.oidc_cache_entries";

/// Memory before and after the load, in bytes.
struct Held {
    before: u64,
    after: u64,
}

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    let ours = Ours { injected: INJECTED, ..Ours::remembering_all() };
    let chain = Chain::new("ours", Filter::Ours(ours));
    let case = Case {
        tokens: tokens(0),
        asked: Asked::Sometimes,
        injected: INJECTED,
        ..Case::new("ours", "ours")
    };
    let stand = Stand::start(&bench.placement, &[Server::default()], &[chain], 1).await?;
    let before = stand.measured.memory()?;
    let rounds = fill(bench, &stand, &case, USERS, tokens).await?;
    let counted = stand.measured.stat("wasmcustom.oidc_cache_bytes").await;
    let ours = Held { before, after: stand.measured.memory()? };
    drop(stand);

    let chain = Chain::new("do_nothing", Filter::DoNothing);
    let stand = Stand::start(&bench.placement, &[Server::default()], &[chain], 1).await?;
    let before = stand.measured.memory()?;
    let case = Case { asked: Asked::Never, injected: 0, ..case };
    let case = Case { name: "do-nothing".to_owned(), chain: "do_nothing".to_owned(), ..case };
    for _ in 0..rounds {
        bench.round(&stand, &case, Duration::from_secs(1)).await?;
    }
    let nothing = Held { before, after: stand.measured.memory()? };

    Ok(Section {
        title: "Memory of a worker",
        notes: vec![format!(
            "What an Envoy of one worker and one listener holds resident, before and after {USERS} \
             users have come, each with a token of 800 bytes, from whose UserInfo document of 300 \
             bytes {INJECTED} headers are injected. All of them are known at the end; the cache \
             counts {:.1} MB for them. Its bounds are set so high that it drops none. Judged is by \
             how much more a worker grows than one with the do-nothing filter: the difference at \
             the start is code, which all workers of a process share.",
            megabytes(counted)
        )],
        tables: vec![table(&ours, &nothing)],
        judged: vec![Judged::new(
            Aim::WorkerMemory,
            more(ours.after, ours.before) - more(nothing.after, nothing.before),
        )],
        bars: Vec::new(),
    })
}

fn tokens(from: usize) -> Tokens {
    Tokens::Each { count: USERS, from, like: tokens::jwt() }
}

/// Sends the case's load, its tokens from where the last round got to, until the cache knows that
/// many. Returns how many rounds that took.
pub(crate) async fn fill(
    bench: &Bench,
    stand: &Stand,
    case: &Case,
    users: usize,
    tokens: impl Fn(usize) -> Tokens,
) -> Result<usize, String> {
    let before = stand.measured.stat(ENTRIES).await;
    let mut known = 0_usize;
    for round in 1..=MOST_ROUNDS {
        // The last ones of a round may not have been answered.
        let from = known.saturating_sub(2 * CONNECTIONS as usize);
        let case = Case { tokens: tokens(from), ..case.clone() };
        bench.round(stand, &case, Duration::from_secs(1)).await?;
        let entries = stand.measured.stat(ENTRIES).await.saturating_sub(before);
        known = usize::try_from(entries).unwrap_or(usize::MAX);
        if known == users {
            return Ok(round);
        }
    }
    Err(format!("`{}`: the cache knows {known} tokens, expected {users}", case.name))
}

fn table(ours: &Held, nothing: &Held) -> Table {
    let mut table = Table::new(["chain", "MB at the start", "MB after the load", "grown by"]);
    for (name, held) in [("do-nothing Wasm filter", nothing), ("ours", ours)] {
        table.row([
            name.to_owned(),
            format!("{:.1}", megabytes(held.before)),
            format!("{:.1}", megabytes(held.after)),
            format!("{:+.1}", more(held.after, held.before)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_grown() {
        let ours = Held { before: 70_000_000, after: 88_040_000 };
        let nothing = Held { before: 69_000_000, after: 68_500_000 };
        let table = table(&ours, &nothing);
        assert_eq!(table.rows[0], ["do-nothing Wasm filter", "69.0", "68.5", "-0.5"]);
        assert_eq!(table.rows[1], ["ours", "70.0", "88.0", "+18.0"]);
    }
}
