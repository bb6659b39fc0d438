//! What a checked request costs on the real Envoy, beside a Wasm filter that does nothing, and
//! beside what Envoy itself offers for the job: `ext_authz` and a Lua script.
//!
//! One Envoy is measured: pinned to a core, with a listener for each row of the table. A second
//! one is provider and upstream, so that neither can be the slow part; `wrk` is the load. The
//! figure that counts is the processor time that the measured process used, divided by the
//! requests: it does not depend on how the other two share the rest of the machine. Rows take
//! turns in short rounds and the median is printed, so that a machine that slows down meanwhile
//! slows all rows down. A row whose requests were not answered as it says is an error, not a
//! figure. Nothing here may assert a time.

mod cpu;
mod load;
mod servers;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use cpu::Placement;
use load::Tokens;
use servers::{Backend, Measured};
use table::{Figures, Row};

/// Concurrent connections of the load.
const CONNECTIONS: u32 = 32;

/// 40 bytes, as an opaque token of a common provider is.
const TOKEN: &str = "2YotnFZFEjr1zCsicMWpAA.k5FhXq0vRtD8mLw3E";

/// As long, and refused by the provider.
const BAD_TOKEN: &str = "badnFZFEjr1zCsicMWpAAAA.k5FhXq0vRtD8mLw3";

const ROWS: [Case; 10] = [
    Case::new("no filter", "none"),
    Case::new(table::YARDSTICK, "do_nothing"),
    Case::new("ours: a good token that is known (hit)", "cached"),
    Case {
        tokens: Tokens::One(BAD_TOKEN),
        upstream: false,
        ..Case::new("ours: a bad token that is known (refused)", "cached")
    },
    Case {
        tokens: Tokens::OfEach,
        provider: Some(true),
        ..Case::new("ours: every request asks", "ours")
    },
    Case { provider: None, ..Case::new("ours: one token, not remembered (shared calls)", "ours") },
    Case { tokens: Tokens::None, upstream: false, ..Case::new("ours: no token (refused)", "ours") },
    Case { provider: Some(true), ..Case::new(table::PEER, "ext_authz") },
    Case {
        tokens: Tokens::One(BAD_TOKEN),
        provider: Some(true),
        upstream: false,
        ..Case::new("native ext_authz: a bad token (refused)", "ext_authz")
    },
    Case { provider: Some(true), ..Case::new("Lua filter: every request asks", "lua") },
];

/// One row: what is sent where, and who must see each request.
struct Case {
    name: &'static str,
    listener: &'static str,
    tokens: Tokens,
    /// Whether the provider sees each request, or none; `None` where it sees some.
    provider: Option<bool>,
    upstream: bool,
}

impl Case {
    /// A good token, for which nobody is asked.
    const fn new(name: &'static str, listener: &'static str) -> Case {
        Case { name, listener, tokens: Tokens::One(TOKEN), provider: Some(false), upstream: true }
    }
}

struct Plan {
    rounds: usize,
    round: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let plan = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => Plan { rounds: 5, round: Duration::from_secs(5) },
        [quick] if quick == "--quick" => Plan { rounds: 3, round: Duration::from_secs(1) },
        other => {
            eprintln!("bench: unexpected {other:?}\n\nUsage: bench [--quick]");
            return ExitCode::from(2);
        }
    };
    match run(&plan).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nbench: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(plan: &Plan) -> Result<(), String> {
    load::available()?;
    let placement = Placement::of_this_machine()?;
    let backend = Backend::start(&placement).await?;
    let measured = Measured::start(&placement, &backend).await?;
    println!("{}", placement.note());
    println!(
        "{} rounds of {} s for each row, {CONNECTIONS} connections, medians\n",
        plan.rounds,
        plan.round.as_secs()
    );

    let mut figures: Vec<Vec<Figures>> = ROWS.iter().map(|_| Vec::new()).collect();
    for case in &ROWS {
        one_round(case, Duration::from_secs(1), &placement, &backend, &measured).await?;
    }
    for round in 1..=plan.rounds {
        for (case, figures) in ROWS.iter().zip(&mut figures) {
            let figure = one_round(case, plan.round, &placement, &backend, &measured).await?;
            eprintln!("round {round}/{}: {}: {figure}", plan.rounds, case.name);
            figures.push(figure);
        }
    }

    let rows = ROWS.iter().zip(&figures);
    let rows: Vec<Row> = rows.map(|(case, all)| Row::median(case.name, all)).collect();
    println!("\n{}", table::markdown(&rows));
    println!(
        "A refused request is answered without the upstream, so it costs less than a proxied one."
    );
    Ok(())
}

async fn one_round(
    case: &Case,
    time: Duration,
    placement: &Placement,
    backend: &Backend,
    measured: &Measured,
) -> Result<Figures, String> {
    let seen_before = backend.seen().await;
    let cpu_before = measured.cpu_time()?;
    let load = load::run(placement, &measured.url(case.listener), case.tokens, CONNECTIONS, time)?;
    let cpu = measured.cpu_time()?.saturating_sub(cpu_before);
    let seen = backend.seen().await.since(&seen_before);

    load.verify(case.upstream)
        .and_then(|()| {
            if let Some(provider) = case.provider {
                reached("provider", provider, seen.provider, load.requests)?;
            }
            reached("upstream", case.upstream, seen.upstream, load.requests)
        })
        .map_err(|why| {
            format!("row `{}` is not what it says: {why}\n{}", case.name, measured.complaints())
        })?;
    Ok(Figures::new(cpu, &load))
}

/// Each request must have reached the server, or none. The load counts what was answered, so when
/// it ends up to one more per connection is under way; and as many may come in from the row before.
fn reached(server: &str, expected: bool, seen: u64, requests: u64) -> Result<(), String> {
    let under_way = u64::from(CONNECTIONS);
    if expected && seen < requests {
        return Err(format!("{requests} requests were answered, the {server} saw {seen}"));
    }
    if !expected && seen > under_way {
        return Err(format!("the {server} must not be asked, but saw {seen} requests"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_sees_every_request_or_none() {
        assert_eq!(reached("provider", true, 1000, 1000), Ok(()));
        assert_eq!(reached("provider", true, 1030, 1000), Ok(()));
        assert!(reached("provider", true, 999, 1000).is_err());
        assert_eq!(reached("upstream", false, 32, 1000), Ok(()));
        assert!(reached("upstream", false, 33, 1000).is_err());
    }

    #[test]
    fn the_token_has_the_length_the_figures_are_known_for() {
        assert_eq!([TOKEN, BAD_TOKEN].map(str::len), [40, 40]);
    }
}
