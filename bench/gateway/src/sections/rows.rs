//! The rows: every way that a request can go through our filter, beside what Envoy itself offers.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::load::Tokens;
use crate::measure::{Asked, Bench, CONNECTIONS, Case, Row, figures_of, rounds_of};
use crate::report::Bound::{AtLeast, AtMost};
use crate::report::{Bar, Panel, Section, Target, table};
use crate::servers::{Chain, Rig, Server, guard, ours, remembering};
use crate::tokens;

/// Names of rows that others are compared with.
pub(crate) const NO_FILTER: &str = "no filter";
pub(crate) const DO_NOTHING: &str = "do-nothing Wasm filter";
pub(crate) const HIT: &str = "ours: cached valid token (hit)";
pub(crate) const ASKS: &str = "ours: one call per request";
pub(crate) const EXT_AUTHZ: &str = "ext_authz: one call per request";
const JWT_AUTHN: &str = "jwt_authn: known JWT, no call";
const LUA: &str = "Lua: one call per request";
const KNOWN_BAD: &str = "ours: cached invalid token (refused)";
const BARE: &str = "ours: no token (refused)";
const EXT_AUTHZ_REFUSES: &str = "ext_authz: invalid token (refused)";

/// The share of a processor that a saturated worker uses at least.
const BUSY: f64 = 0.9;

/// The chains that rows go through; other sections use them as well.
pub(crate) fn chains() -> Result<Vec<Chain>> {
    Ok(vec![
        Chain::new("none", []),
        Chain::do_nothing("do_nothing")?,
        Chain::ours("remembering", 1, remembering())?,
        Chain::ours("asking", 1, json!({}))?,
        Chain::ext_authz("ext_authz"),
    ])
}

/// The chains of a hit with what the guard takes: the outcome as filter state, and the guard itself.
/// They share a VM with the hit: valgrind has addresses for a dozen VMs.
pub(crate) fn guarded_chains() -> Result<[Chain; 2]> {
    let mut keys = remembering();
    keys["access_log_state"] = true.into();
    let filter = |name| ours(name, "remembering", 1, keys.clone());
    Ok([
        Chain::new("telling", [filter("telling")?]),
        Chain::new("guarded", [filter("guarded")?, guard()?]),
    ])
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
    [("ours: hit, outcome as filter state", "telling"), ("ours: hit behind the guard", "guarded")]
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

/// Envoy's own filter for JWTs: the token is known to it after the first request.
fn jwt_authn(token: &str) -> Case {
    Case { injected: 1, tokens: Tokens::One(token.to_owned()), ..Case::new(JWT_AUTHN, "jwt_authn") }
}

fn cases(jwt: &str) -> Vec<Case> {
    let refused = |name: &str, chain: &str| Case {
        tokens: Tokens::One(tokens::BAD.to_owned()),
        forwarded: false,
        ..Case::new(name, chain)
    };
    let [telling, guarded] = guarded_hits();
    vec![
        no_filter(),
        do_nothing(),
        hit(),
        telling,
        guarded,
        refused(KNOWN_BAD, "remembering"),
        asks(),
        Case {
            asked: Asked::Sometimes,
            injected: 1,
            ..Case::new("ours: one token, no cache (shared calls)", "asking")
        },
        Case { tokens: Tokens::None, ..refused(BARE, "asking") },
        jwt_authn(jwt),
        ext_authz(),
        Case { asked: Asked::Always, ..refused(EXT_AUTHZ_REFUSES, "ext_authz") },
        Case { asked: Asked::Always, injected: 1, ..Case::new(LUA, "lua") },
    ]
}

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let (rounds, seconds) = if bench.quick { (3, 1) } else { (5, 3) };
    let time = Duration::from_secs(seconds);
    let mut chains = chains()?;
    chains.push(Chain::lua("lua"));
    let (jwt, keys) = tokens::signed()?;
    chains.push(Chain::jwt_authn("jwt_authn", &keys));
    chains.extend(guarded_chains()?);
    let rig = Rig::start(&bench.placement, &[Server::default()], chains, 1).await?;
    let cases: Vec<_> = cases(&jwt).into_iter().map(|case| (&rig, case)).collect();
    let rows = bench.interleaved(&cases, rounds, time).await?;
    let mut notes = vec![
        format!(
            "HTTP/1.1, {CONNECTIONS} connections, a token of 40 bytes, 8 header fields, one \
             injected header, one worker, a UserInfo document of 300 bytes; {}. p50 and p99 are \
             measured on a saturated worker.",
            rounds_of(rounds, time)
        ),
        "The filter answers a refused request without the upstream, so it costs less than a \
         forwarded one."
            .to_owned(),
    ];
    // A row in which the measured Envoy was not busy was slowed down by something else.
    let idle = rows.iter().filter(|row| row.figures.busy() < BUSY);
    let idle: Vec<String> =
        idle.map(|row| format!("{} ({:.0} %)", row.name, row.figures.busy() * 100.0)).collect();
    if !idle.is_empty() {
        notes.push(format!(
                        "**The machine was not quiet, or the load was too slow.** The measured Envoy was not \
             busy all the time, so requests/s and times are not reliable, and processor time is too \
             high: {}.",
            idle.join(", ")
        ));
    }
    Ok(Section {
        title: "What a request costs",
        notes,
        tables: vec![of_rows(&rows)],
        targets: targets(&rows),
        bars: bars(&rows),
    })
}

/// What a user chooses between.
fn bars(rows: &[Row]) -> Vec<Bar> {
    let chosen = [NO_FILTER, DO_NOTHING, BARE, KNOWN_BAD, HIT, ASKS, JWT_AUTHN, EXT_AUTHZ, LUA];
    let one = figures_of(rows, NO_FILTER).cpu;
    let bar = |name: &str| Bar(Panel::Cpu, name.to_owned(), figures_of(rows, name).cpu / one);
    chosen.into_iter().map(bar).collect()
}

/// All figures, processor time and rate also in relation to other rows.
fn of_rows(rows: &[Row]) -> String {
    let heads = [
        "chain",
        "CPU µs/request",
        "× do-nothing Wasm filter",
        "× ext_authz",
        "requests/s",
        "× no filter",
        "× ext_authz",
        "p50 µs",
        "p99 µs",
        "calls/request",
    ];
    let cpu_to = [DO_NOTHING, EXT_AUTHZ].map(|name| figures_of(rows, name).cpu);
    let rate_to = [NO_FILTER, EXT_AUTHZ].map(|name| figures_of(rows, name).per_second);
    let cells = |Row { name, figures }: &Row| {
        let [cpu_1, cpu_2] = cpu_to.map(|to| format!("{:.2}", figures.cpu / to));
        let [rate_1, rate_2] = rate_to.map(|to| format!("{:.2}", figures.per_second / to));
        [
            name.clone(),
            format!("{:.1}", figures.cpu),
            cpu_1,
            cpu_2,
            format!("{:.0}", figures.per_second),
            rate_1,
            rate_2,
            format!("{:.0}", figures.p50),
            format!("{:.0}", figures.p99),
            format!("{:.2}", figures.calls),
        ]
    };
    table(&heads, rows.iter().map(cells))
}

fn targets(rows: &[Row]) -> Vec<Target> {
    let cpu = |name, to| figures_of(rows, name).cpu / figures_of(rows, to).cpu;
    let rate = |name, to| figures_of(rows, name).per_second / figures_of(rows, to).per_second;
    let refusal = "× the refusal of `ext_authz`";
    let as_counted = "see the same target by instructions";
    vec![
        Target::new(
            "hit, CPU",
            AtMost(1.065),
            "× the do-nothing filter",
            cpu(HIT, DO_NOTHING),
            as_counted,
        )
        .before(1.093),
        Target::new(
            "hit, CPU",
            AtMost(0.62),
            "× `ext_authz`",
            cpu(HIT, EXT_AUTHZ),
            "a request without any check costs most of it: see the rows",
        )
        .before(0.65),
        Target::new(
            "hit, requests/s",
            AtLeast(0.82),
            "× no filter",
            rate(HIT, NO_FILTER),
            "the do-nothing filter has little more",
        ),
        Target::new(
            "hit, requests/s",
            AtLeast(1.6),
            "× `ext_authz`",
            rate(HIT, EXT_AUTHZ),
            "as its processor time",
        ),
        Target::new("call, CPU", AtMost(1.20), "× `ext_authz`", cpu(ASKS, EXT_AUTHZ), as_counted)
            .before(1.284),
        Target::new(
            "cached invalid token, CPU",
            AtMost(0.6),
            refusal,
            cpu(KNOWN_BAD, EXT_AUTHZ_REFUSES),
            "the stream itself and the local reply",
        ),
        Target::new(
            "no token, CPU",
            AtMost(0.6),
            refusal,
            cpu(BARE, EXT_AUTHZ_REFUSES),
            "the stream itself and the local reply",
        ),
    ]
}
