//! Several gateways that know nothing of each other's caches: how often the provider is asked
//! depends on whether a user's requests meet one of them or all.
//!
//! An edge Envoy stands before gateways, once in turn, once by a consistent hash of the token. All
//! get the same requests at about the same rate, which keeps none of them busy: what is counted is
//! calls, not time. A fleet whose gateways did not share the requests so must be an error.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config;
use crate::load::{Order, Tokens, wrk};
use crate::measure::Bench;
use crate::renewal;
use crate::report::Section;
use crate::servers::{
    self, Backend, Chain, Filter, Measured, Ours, PROVIDER, Server, UPSTREAM, path,
};
use crate::table::Table;
use crate::targets::{Aim, Judged};

const USERS: usize = 10_000;
const CONNECTIONS: u32 = 32;
const PAUSE: u32 = 8;
const DELAY: u32 = 20;
const GATEWAYS: usize = 3;
const EDGE: &str = "edge";
const GATEWAY: &str = "gateway";

/// For how long gateways remember, in seconds, and how much of that on average and at least: up to
/// a tenth is taken off.
const TTL: f64 = 10.0;
const REMEMBERED: f64 = 0.95;
const SURELY_REMEMBERED: f64 = 0.9;

/// How unevenly gateways may share the requests where they take turns.
const UNEVEN: f64 = 0.02;

/// How the edge chooses a gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Choice {
    /// There is one.
    Alone,
    /// Each gets the next request.
    InTurn,
    /// By the token.
    ByToken,
}

const CASES: [(Choice, &str); 3] = [
    (Choice::Alone, "1 gateway"),
    (Choice::InTurn, "3 gateways, `ROUND_ROBIN`"),
    (Choice::ByToken, "3 gateways, `MAGLEV` by `authorization`"),
];

/// What a fleet did.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Outcome {
    requests: f64,
    calls: f64,
    per_second: f64,
}

impl Outcome {
    /// Provider calls per 1000 requests.
    fn share(&self) -> f64 {
        1000.0 * self.calls / self.requests
    }

    /// How many times the calls of one gateway these are. The fewer requests come while a token is
    /// known the larger is the share of calls, so what one gateway had is taken to this rate.
    fn beside(&self, alone: &Outcome) -> f64 {
        let taken_over = self.expected(Choice::Alone) / alone.expected(Choice::Alone);
        self.share() / (alone.share() * taken_over)
    }

    /// Provider calls per 1000 requests by arithmetic, for the rate and the time that there were.
    fn expected(&self, choice: Choice) -> f64 {
        let users = renewal::zipf(USERS as u64);
        let seconds = self.requests / self.per_second;
        // Each of the gateways in turn meets all users, and each user a third as often. By token,
        // a user's requests meet one gateway, as if there were no other.
        let caches = if choice == Choice::InTurn { GATEWAYS as f64 } else { 1.0 };
        let rate = self.per_second / caches;
        let calls = caches * renewal::from_empty(&users, rate, TTL * REMEMBERED, seconds);
        1000.0 * calls / self.requests
    }
}

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    let seconds = if bench.quick { 12 } else { 40 };
    let mut outcomes = Vec::new();
    for (choice, name) in CASES {
        let outcome = measure(bench, choice, Duration::from_secs(seconds)).await?;
        eprintln!("{name}: {:.1} calls per 1000 requests", outcome.share());
        outcomes.push(outcome);
    }
    Ok(Section {
        title: "Several gateways",
        notes: vec![
            format!(
                "{USERS} users by Zipf's law as in the day, some {:.0} requests/s for {seconds} s, \
                 a provider that takes {DELAY} ms, gateways of one worker with `\"ttl\": \
                 \"{TTL:.0}s\"` that begin empty, an edge Envoy before them. By arithmetic: a \
                 token of λ requests a second costs a cache one call in ttl + 1/λ, summed over \
                 users and caches.",
                outcomes[0].per_second
            ),
            format!(
                "The same sum for {FLEET} gateways of two workers, 10⁸ users by Zipf's law, a \
                 million requests a second and the default of 60 s. *At most* is gateways × \
                 workers × tokens ÷ (0.9 · ttl), or all requests. A verdict that workers share \
                 (`\"shared\": true`) makes one cache of the two.",
            ),
        ],
        tables: vec![table(&outcomes), fleet_table()],
        judged: vec![Judged::new(Aim::FleetCalls, outcomes[2].beside(&outcomes[0]))],
        bars: Vec::new(),
    })
}

async fn measure(bench: &Bench, choice: Choice, time: Duration) -> Result<Outcome, String> {
    let provider = Server { delay: DELAY, ..Server::default() };
    let backend = Backend::start(&bench.placement, &[provider]).await?;
    let cache = json!({"ttl": format!("{TTL:.0}s")});
    let ours = Ours { cache: Some(cache), ..Ours::asking() };
    let chains = [Chain::new(GATEWAY, Filter::Ours(ours))];
    let mut gateways = Vec::new();
    for _ in 0..if choice == Choice::Alone { 1 } else { GATEWAYS } {
        gateways.push(Measured::start(&bench.placement, &backend, &chains, 1).await?);
    }
    let edge = servers::start(&edge(choice, &gateways), 1).await?;
    bench.placement.pin_other(edge.id())?;
    let order = Order {
        at: edge.listener(EDGE),
        path: path(1),
        tokens: Tokens::Crowd(USERS),
        fields: 8,
        connections: CONNECTIONS,
        pause: PAUSE,
        time,
    };
    let before = backend.seen().await;
    let load = wrk::run(&bench.placement, &order)?;
    load.verify(true)?;
    let after = backend.seen().await;
    let mut shares = Vec::new();
    for gateway in &gateways {
        shares.push(gateway.stat(&format!("http.{GATEWAY}.downstream_rq_total")).await);
    }
    spread(choice, &shares, load.requests)?;
    let forwarded = after.since(&before, UPSTREAM);
    if forwarded < load.requests {
        return Err(format!("{} requests, the upstream saw {forwarded}", load.requests));
    }
    Ok(Outcome {
        requests: load.requests as f64,
        calls: after.since(&before, PROVIDER) as f64,
        per_second: load.per_second,
    })
}

/// Fails unless the gateways shared the requests as the choice says.
fn spread(choice: Choice, shares: &[u64], requests: u64) -> Result<(), String> {
    let all: u64 = shares.iter().sum();
    let even = all as f64 / shares.len() as f64;
    let off = |share: &u64| (*share as f64 / even - 1.0).abs();
    let uneven = shares.iter().map(off).fold(0.0, f64::max);
    let wrong = match choice {
        Choice::Alone => false,
        Choice::InTurn => uneven > UNEVEN,
        // The most frequent tokens make it uneven, but nobody may be left out.
        Choice::ByToken => shares.iter().any(|share| (*share as f64) < even / 4.0),
    };
    if wrong || all < requests {
        return Err(format!(
            "{requests} requests by {choice:?} reached the gateways as {shares:?}"
        ));
    }
    Ok(())
}

fn edge(choice: Choice, gateways: &[Measured]) -> Value {
    let at: Vec<_> = gateways.iter().map(|gateway| gateway.at(GATEWAY)).collect();
    let mut cluster = config::cluster(GATEWAY, &at);
    let route = match choice {
        Choice::Alone | Choice::InTurn => config::to_cluster(GATEWAY),
        Choice::ByToken => {
            cluster["lb_policy"] = "MAGLEV".into();
            config::to_cluster_by_token(GATEWAY)
        }
    };
    config::bootstrap(&[config::listener(EDGE, &[route], None)], &[cluster])
}

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new([
        "fleet",
        "requests",
        "provider calls per 1000 requests",
        "by arithmetic",
        "× 1 gateway, at that rate",
    ]);
    for ((choice, name), outcome) in CASES.into_iter().zip(outcomes) {
        table.row([
            name.to_owned(),
            format!("{:.0}", outcome.requests),
            format!("{:.1}", outcome.share()),
            format!("{:.1}", outcome.expected(choice)),
            format!("{:.2}", outcome.beside(&outcomes[0])),
        ]);
    }
    table
}

const FLEET: f64 = 1000.0;

fn fleet_table() -> Table {
    const TOKENS: u64 = 100_000_000;
    const RATE: f64 = 1e6;
    const TTL: f64 = 60.0;
    let users = renewal::zipf(TOKENS);
    let mut table = Table::new([
        "1000 gateways",
        "caches that meet a token",
        "calls/s at most",
        "calls/s by arithmetic",
        "calls per 1000 requests",
        "tokens known at a time, per gateway",
    ]);
    for (name, caches) in [
        ("in turn", 2.0 * FLEET),
        ("in turn, `shared`", FLEET),
        ("by token", 2.0),
        ("by token, `shared`", 1.0),
    ] {
        let most = (caches * TOKENS as f64 / (TTL * SURELY_REMEMBERED)).min(RATE);
        let calls = caches * renewal::steady(&users, RATE / caches, TTL * REMEMBERED);
        table.row([
            name.to_owned(),
            format!("{caches:.0}"),
            format!("{most:.0}"),
            format!("{calls:.0}"),
            format!("{:.0}", 1000.0 * calls / RATE),
            // Each call is remembered for so long.
            format!("{:.0}", calls * TTL * REMEMBERED / FLEET),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spread_as_the_choice_says() {
        assert_eq!(spread(Choice::Alone, &[1000], 1000), Ok(()));
        assert!(spread(Choice::Alone, &[999], 1000).is_err());
        assert_eq!(spread(Choice::InTurn, &[334, 333, 334], 1000), Ok(()));
        assert!(spread(Choice::InTurn, &[400, 300, 300], 1000).is_err());
        assert_eq!(spread(Choice::ByToken, &[500, 300, 200], 1000), Ok(()));
        assert!(spread(Choice::ByToken, &[500, 500, 0], 1000).is_err());
        assert!(spread(Choice::ByToken, &[300, 300, 300], 1000).is_err());
    }

    #[test]
    fn by_arithmetic_turns_cost_more_than_a_choice_by_token() {
        let outcome = Outcome { requests: 100_000.0, calls: 20_000.0, per_second: 2500.0 };
        assert_eq!(outcome.share(), 200.0);
        let [alone, in_turn, by_token] =
            [Choice::Alone, Choice::InTurn, Choice::ByToken].map(|c| outcome.expected(c));
        assert_eq!(alone, by_token);
        assert!(in_turn > 1.2 * alone && in_turn < 3.0 * alone, "{in_turn}, {alone}");
        assert_eq!(outcome.beside(&outcome), 1.0);
        // At half the rate one gateway would have had more calls for as many requests.
        let slower = Outcome { per_second: 1250.0, ..outcome };
        assert!(slower.beside(&outcome) < 1.0);
        let table = table(&[outcome; 3]);
        assert_eq!(table.rows[2][2..3], ["200.0"]);
        assert_eq!(table.rows[2][4], "1.00");
    }

    #[test]
    fn a_thousand_gateways() {
        let rows = fleet_table().rows;
        let figure = |row: usize, column: usize| rows[row][column].parse::<f64>().unwrap();
        for row in 0..rows.len() {
            assert!(figure(row, 3) <= figure(row, 2), "{rows:?}");
        }
        assert!(figure(0, 3) > figure(1, 3) && figure(1, 3) > figure(2, 3), "{rows:?}");
    }
}
