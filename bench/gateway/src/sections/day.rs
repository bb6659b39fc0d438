//! A day in the life: many users with very different request rates, a slow provider, and a cache
//! with the default ttl.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::load::Tokens;
use crate::measure::{Asked, Bench, CONNECTIONS, Case};
use crate::report::Bound::AtMost;
use crate::report::{Bar, Panel, Section, Target, table};
use crate::servers::{Chain, Rig, Server};

const USERS: usize = 10_000;
const DELAY: u32 = 20;

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    // As long as the default ttl: about one call for each user.
    let (ours, others) = if bench.quick { (10, 3) } else { (60, 15) };
    let provider = Server { delay: DELAY, ..Server::default() };
    let chains = vec![
        Chain::ours("defaults", 1, json!({"cache": {}}))?,
        Chain::ext_authz("ext_authz"),
        Chain::lua("lua"),
    ];
    let rig = Rig::start(&bench.placement, &[provider], chains, 1).await?;
    let mut rows = Vec::new();
    let (mut found, mut bars) = (Vec::new(), Vec::new());
    for (name, chain, asked, injected, seconds) in [
        ("ours, `\"cache\": {}`", "defaults", Asked::Sometimes, 1, ours),
        ("ext_authz", "ext_authz", Asked::Always, 0, others),
        ("Lua", "lua", Asked::Always, 1, others),
    ] {
        let case = Case { tokens: Tokens::Crowd(USERS), asked, injected, ..Case::new(name, chain) };
        let of = bench.round(&rig, &case, Duration::from_secs(seconds)).await?;
        let figures = of.figures;
        rows.push([
            name.to_owned(),
            format!("{seconds} s"),
            of.load.requests.to_string(),
            format!("{:.1}", figures.calls * 1000.0),
            format!("{:.2}", figures.p50 / 1000.0),
            format!("{:.2}", figures.p99 / 1000.0),
        ]);
        bars.push(Bar(Panel::Calls, name.replace('`', ""), figures.calls * 1000.0));
        found.push(figures);
    }
    let (ours, theirs) = (found[0], found[1]);
    Ok(Section {
        title: "A day in the life",
        notes: vec![format!(
            "{USERS} users by Zipf's law (exponent 1), {CONNECTIONS} connections, each with the \
             next request as soon as it has an answer; the provider takes {DELAY} ms. The cache \
             starts empty and has its default settings: at most 60 s, and 10000 entries, an eighth \
             of them reserved for refusals. In a run shorter than 60 s the calls of the empty cache \
             count for fewer requests; in a longer run the share of calls stays about the same; \
             more requests in that time make the share smaller. The other chains have no cache, so \
             this does not affect them."
        )],
        tables: vec![table(
            &[
                "chain",
                "run of",
                "requests",
                "provider calls per 1000 requests",
                "p50 ms",
                "p99 ms",
            ],
            rows,
        )],
        targets: vec![
            Target::new(
                "day, provider calls",
                AtMost(0.05),
                "× `ext_authz`",
                ours.calls / theirs.calls,
                "fewer requests come in the lifetime of a verdict on a slower machine",
            ),
            Target::new(
                "day, p50",
                AtMost(0.2),
                "× `ext_authz`",
                ours.p50 / theirs.p50,
                "32 connections wait for one worker; `ext_authz` waits for the provider instead",
            ),
        ],
        bars,
    })
}
