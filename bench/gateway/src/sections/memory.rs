//! Growth of a worker's memory with the number of cached users.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::load::Tokens;
use crate::machine::memory;
use crate::measure::{Asked, Bench, CONNECTIONS, Case};
use crate::report::Bound::AtMost;
use crate::report::{Section, Target, table};
use crate::servers::{Chain, Rig, Server, remembering_all};
use crate::tokens;

const USERS: usize = 10_000;
const INJECTED: usize = 3;

/// Rounds of the load until every user has come: more than are ever needed.
const MOST_ROUNDS: usize = 60;

pub(crate) const ENTRIES: &str = "wasmcustom.oidc_cache_entries";

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let start = async |chain| {
        let rig = Rig::start(&bench.placement, &[Server::default()], vec![chain], 1).await?;
        let before = memory(rig.measured.id())?;
        anyhow::Ok((rig, before))
    };
    let tokens = |from| Tokens::Each { count: USERS, from, like: tokens::jwt() };
    let case = |name: &str, asked, injected| Case {
        tokens: tokens(0),
        asked,
        injected,
        ..Case::new(name, name)
    };
    let (rig, before) = start(Chain::ours("ours", INJECTED, remembering_all())?).await?;
    let ours = case("ours", Asked::Sometimes, INJECTED);
    let rounds = fill(bench, &rig, &ours, USERS, tokens).await?;
    let counted = rig.measured.stat("wasmcustom.oidc_cache_bytes").await as f64 / 1e6;
    let ours = [before, memory(rig.measured.id())?];
    drop(rig);

    let (rig, before) = start(Chain::do_nothing("do-nothing")?).await?;
    for _ in 0..rounds {
        let case = case("do-nothing", Asked::Never, 0);
        bench.round(&rig, &case, Duration::from_secs(1)).await?;
    }
    let nothing = [before, memory(rig.measured.id())?];
    let grown = |[before, after]: [f64; 2]| after - before;
    let cells = |(name, held): (&str, [f64; 2])| {
        let [before, after] = held.map(|mb| format!("{mb:.1}"));
        [name.to_owned(), before, after, format!("{:+.1}", grown(held))]
    };
    Ok(Section {
        title: "Memory of a worker",
        notes: vec![format!(
            "Resident memory of an Envoy with one worker and one listener, before and after \
             requests of {USERS} users, each with a token of 800 bytes and {INJECTED} headers \
             injected from a UserInfo document of 300 bytes. All users are cached at the end; the \
             cache counts {counted:.1} MB for them. Its limits are high enough to evict none. The \
             target compares the growth with that of a worker with the do-nothing filter: the \
             difference at the start is code, which all workers of a process share."
        )],
        tables: vec![table(
            &["chain", "MB at the start", "MB after the load", "growth"],
            [("do-nothing Wasm filter", nothing), ("ours", ours)].map(cells),
        )],
        targets: vec![Target::new(
            "memory of a worker, 10 000 users",
            AtMost(16.0),
            "MB over do-nothing",
            grown(ours) - grown(nothing),
            "a kept document is larger than the cache counts",
        )],
        ..Section::default()
    })
}

/// Sends the case's load, its tokens from where the last round got to, until the cache knows that
/// many. Returns how many rounds that took.
pub(crate) async fn fill(
    bench: &Bench,
    rig: &Rig,
    case: &Case,
    users: usize,
    tokens: impl Fn(usize) -> Tokens,
) -> Result<usize> {
    let before = rig.measured.stat(ENTRIES).await;
    let mut known = 0_usize;
    for round in 1..=MOST_ROUNDS {
        // The last ones of a round may not have been answered.
        let from = known.saturating_sub(2 * CONNECTIONS as usize);
        let case = Case { tokens: tokens(from), ..case.clone() };
        bench.round(rig, &case, Duration::from_secs(1)).await?;
        let entries = rig.measured.stat(ENTRIES).await.saturating_sub(before);
        known = usize::try_from(entries)?;
        if known == users {
            return Ok(round);
        }
    }
    bail!("`{}`: the cache knows {known} tokens, expected {users}", case.name)
}
