//! Instructions instead of time: the instructions of the whole Envoy for a request, by callgrind.
//! Processor time depends on other load of the machine; this count does not. Each row is compared
//! with its floor, a module that makes the same host calls and decides nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use integration::Options;
use serde_json::json;

use super::rows;
use crate::callgrind::{self, Counted};
use crate::load::{self, Order, Pace, Tokens, fixed};
use crate::measure::{Asked, Bench, Case};
use crate::report::Bound::AtMost;
use crate::report::{Section, Target, table};
use crate::servers::{Chain, Rig, Server, floor, ours, remembering};

/// Few, so that what a connection takes to begin is no part of the figures.
const CONNECTIONS: u32 = 8;

/// Requests before those that count: V8 has compiled what is hot by then.
const WARM_UP: u64 = 1_000;

const HIT_FLOOR: &str = "floor of a hit";
const CALL_FLOOR: &str = "floor of a call";
const REQUIRING: &str = "ours: hit, three requirements";

/// A hit whose verdict has to fulfil three requirements. It shares the hit's VM, as all hits do.
fn requiring() -> Result<Chain> {
    let mut keys = remembering();
    keys["require_claims"] =
        json!({"$.tenant": "t-4711", "$.plan": ["gold", "silver"], "$.roles[*]": "buyer"});
    Ok(Chain::new("requiring", [ours("requiring", "remembering", 1, keys)?]))
}

/// Rows, each with its floor, and the chains that they go through.
struct Group {
    cases: Vec<(Case, &'static str)>,
    chains: Vec<Chain>,
}

/// Two Envoys: valgrind has addresses for a dozen VMs.
fn groups() -> Result<[Group; 2]> {
    let injecting = |name: &str, chain: &str| Case { injected: 1, ..Case::new(name, chain) };
    let chain_of = |name: &str| -> Result<Chain> {
        let chains = rows::chains()?.into_iter();
        chains.into_iter().find(|chain| chain.name == name).context("no such chain")
    };
    let [telling, guarded] = rows::guarded_hits();
    let mut hits = vec![chain_of("none")?, chain_of("do_nothing")?, chain_of("remembering")?];
    hits.extend(rows::guarded_chains()?);
    hits.extend([requiring()?, Chain::new("hit-floor", [floor::of_hit("hit-floor")?])]);
    let calls = Chain::new("call-floor", [floor::of_call("call-floor")?]);
    let asked = Case { asked: Asked::Always, ..injecting(CALL_FLOOR, "call-floor") };
    Ok([
        Group {
            cases: vec![
                (rows::no_filter(), ""),
                (rows::do_nothing(), ""),
                (injecting(HIT_FLOOR, "hit-floor"), HIT_FLOOR),
                (rows::hit(), HIT_FLOOR),
                (injecting(REQUIRING, "requiring"), HIT_FLOOR),
                (telling, HIT_FLOOR),
                (guarded, HIT_FLOOR),
            ],
            chains: hits,
        },
        Group {
            cases: vec![(asked, CALL_FLOOR), (rows::asks(), CALL_FLOOR), (rows::ext_authz(), "")],
            chains: vec![calls, chain_of("asking")?, chain_of("ext_authz")?],
        },
    ])
}

/// What one request costs, without what time costs.
struct PerRequest {
    all: f64,
    in_no_file: f64,
}

/// Solves two loads of one chain, a dense one and a sparse one that takes about as long: what the
/// timers of all filters do meanwhile is in both, and leaves by the difference.
fn per_request(dense: (u64, Duration, Counted), sparse: (u64, Duration, Counted)) -> PerRequest {
    let solve = |of: fn(&Counted) -> u64| {
        let (n, t, sum) = (dense.0 as f64, dense.1.as_secs_f64(), of(&dense.2) as f64);
        let (m, u, rest) = (sparse.0 as f64, sparse.1.as_secs_f64(), of(&sparse.2) as f64);
        (sum * u - rest * t) / (n * u - m * t)
    };
    PerRequest {
        all: solve(|counted| counted.all),
        in_no_file: solve(|counted| counted.in_no_file),
    }
}

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let requests = if bench.quick { 1_200 } else { 4_000 };
    let options = Options { under: callgrind::command()?, ..Options::default() };
    let mut counts: Vec<(String, &str, PerRequest)> = Vec::new();
    for Group { cases, chains } in groups()? {
        let rig = Rig::start_as(&bench.placement, &[Server::default()], chains, &options).await?;
        for (case, floor) in cases {
            counts.push((case.name.clone(), floor, count(bench, &rig, &case, requests).await?));
        }
    }
    Ok(section(&counts, requests))
}

/// Counts one row, after a load that warms it up.
async fn count(bench: &Bench, rig: &Rig, case: &Case, requests: u64) -> Result<PerRequest> {
    let order = Order { connections: CONNECTIONS, ..case.order(rig, Duration::from_secs(4)) };
    // Not by `wrk`, which gives up on an answer after two seconds.
    let warm_up = |_: &_, order: &Order| Ok(fixed::run(order, WARM_UP)?.0);
    bench.observe(rig, case, &order, warm_up).await?;
    let mut measured = Vec::new();
    // One connection, so that no request joins another's call and one token is enough.
    let pace = Pace::Rate(16.0);
    let tokens = match &order.tokens {
        Tokens::Fresh(like) => Tokens::One(like.clone()),
        other => other.clone(),
    };
    let sparse =
        Order { connections: 1, time: Duration::from_secs(3), pace, tokens, ..order.clone() };
    for (order, requests) in [(&order, Some(requests)), (&sparse, None)] {
        let counting = |placement: &_, order: &Order| {
            let run = || match requests {
                Some(requests) => fixed::run(order, requests),
                None => {
                    let started = Instant::now();
                    load::run(placement, order).map(|load| (load, started.elapsed()))
                }
            };
            let ((load, time), count) = callgrind::count(rig.measured.id(), run)?;
            measured.push((load.requests, time, count));
            Ok(load)
        };
        bench.observe(rig, case, order, counting).await?;
    }
    let [dense, sparse] = measured.try_into().ok().context("two loads are two counts")?;
    Ok(per_request(dense, sparse))
}

fn section(counts: &[(String, &str, PerRequest)], requests: u64) -> Section {
    let all = |name: &str| {
        counts.iter().find(|count| count.0 == name).map_or(f64::NAN, |count| count.2.all)
    };
    let ratio = |instructions: f64, to: &str| match to {
        "" => String::new(),
        to => format!("{:.3}", instructions / all(to)),
    };
    let cells = |(name, floor, of): &(String, &str, PerRequest)| {
        [
            name.clone(),
            format!("{:.0}", of.all),
            format!("{:.0}", of.in_no_file),
            ratio(of.all, floor),
            ratio(of.all, rows::DO_NOTHING),
            ratio(of.all, rows::EXT_AUTHZ),
        ]
    };
    let heads = [
        "chain",
        "instructions/request",
        "in no file",
        "× its floor",
        "× do-nothing Wasm filter",
        "× ext_authz",
    ];
    let [hit, asks] = [rows::HIT, rows::ASKS].map(all);
    let most =
        |what, bound, than, figure, rest| Target::new(what, AtMost(bound), than, figure, rest);
    Section {
        title: "Instructions of the whole Envoy",
        notes: vec![format!(
            "By callgrind, {requests} requests of HTTP/1.1 on {CONNECTIONS} connections, without \
             the kernel's instructions. What timers do meanwhile is taken out: a second, sparse \
             load tells it. *In no file* is code that V8 compiled (the module, and its entries and \
             exits) and the kernel's clock page, which every chain reads. A floor is a module of a \
             few instructions that makes the same host calls and decides nothing: all headers, the \
             clock, one removal and one addition for a hit; for a call also the call, its \
             response's headers and body, the clock again, and the order to go on."
        )],
        tables: vec![table(&heads, counts.iter().map(cells))],
        targets: vec![
            most(
                "hit, instructions",
                1.025,
                "× its floor",
                hit / all(HIT_FLOOR),
                "publishing counters, the header block, the hash of the token: see *Operations of the module*",
            )
            .before(1.050),
            most(
                "hit, instructions",
                1.065,
                "× the do-nothing filter",
                hit / all(rows::DO_NOTHING),
                "half of it is the floor's, half the module's own work: see the rows",
            )
            .before(1.093),
            most(
                "call, instructions",
                1.06,
                "× its floor",
                asks / all(CALL_FLOOR),
                "JSON, the call's header list, allocation: see *Operations of the module*",
            )
            .before(1.129),
            most(
                "call, instructions",
                1.20,
                "× `ext_authz`",
                asks / all(rows::EXT_AUTHZ),
                "half of it is the floor's, half the module's own work, which the line before is about",
            )
            .before(1.284),
            most(
                "hit with three requirements, instructions",
                1.02,
                "× a hit",
                all(REQUIRING) / hit,
                "the rows repeat within one and a half per cent",
            ),
        ],
        ..Section::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_time_costs_is_taken_out() {
        // 100 a request and 1 000 a second.
        let counted = |requests, seconds| {
            let all = requests * 100 + seconds * 1_000;
            (requests, Duration::from_secs(seconds), Counted { all, in_no_file: all / 2 })
        };
        let PerRequest { all, in_no_file } = per_request(counted(1_000, 4), counted(40, 5));
        assert_eq!((all.round(), in_no_file.round()), (100.0, 50.0));
    }
}
