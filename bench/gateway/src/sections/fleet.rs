//! Several gateways without a common cache: the number of calls depends on whether a user's
//! requests reach one gateway or all.
//!
//! An edge Envoy is before the gateways, once in turn, once by a consistent hash of the token. All
//! get the same requests at about the same rate, which saturates none of them: the section counts
//! calls, not time. It must be an error if the gateways did not share the requests this way.

use std::time::Duration;

use anyhow::{Result, bail};
use integration::{Envoy, Options};
use serde_json::{Value, json};

use crate::load::{self, Order, Pace, Tokens};
use crate::measure::{Bench, CONNECTIONS};
use crate::renewal;
use crate::report::Bound::AtMost;
use crate::report::{Section, Target, table};
use crate::servers::{self, Backend, Chain, PROVIDER, Server, UPSTREAM, path};

const USERS: usize = 10_000;
const PAUSE: u32 = 8;
const DELAY: u32 = 20;
const GATEWAYS: usize = 3;
const EDGE: &str = "edge";
const GATEWAY: &str = "gateway";

/// The gateways' ttl in seconds, and the average and minimum share of it: up to a tenth is
/// subtracted.
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

/// The result of a fleet.
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

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let seconds = if bench.quick { 12 } else { 40 };
    let mut outcomes = Vec::new();
    for (choice, name) in CASES {
        eprintln!("{name}");
        outcomes.push(measure(bench, choice, Duration::from_secs(seconds)).await?);
    }
    let beside = outcomes[2].beside(&outcomes[0]);
    Ok(Section {
        title: "Several gateways",
        notes: vec![
            format!(
                "{USERS} users by Zipf's law as in the day, {CONNECTIONS} connections that pause {PAUSE} ms \
                 after each answer, for {seconds} s, a provider that takes {DELAY} ms, gateways of one worker with `\"ttl\": \
                 \"{TTL:.0}s\"` and an empty cache, an edge Envoy before them. By arithmetic: for \
                 a token with λ requests a second a cache makes one call per ttl + 1/λ, summed over \
                 users and caches. A slow edge makes a fleet's rate lower; the last column is for \
                 the rate that each had."
            ),
            format!(
                "The same sum for {FLEET} gateways of two workers, 10⁸ users by Zipf's law, a \
                 million requests a second and the default of 60 s. *At most* is gateways × \
                 workers × tokens ÷ (0.9 · ttl), or all requests. With `\"shared\": true` the two \
                 workers have one cache.",
            ),
        ],
        tables: vec![of_outcomes(&outcomes), of_a_large_fleet()],
        targets: vec![Target::new(
            "3 gateways by token, provider calls",
            AtMost(1.1),
            "× one gateway",
            beside,
            "the hash spreads some tokens over several gateways",
        )],
        ..Section::default()
    })
}

async fn measure(bench: &Bench, choice: Choice, time: Duration) -> Result<Outcome> {
    let provider = Server { delay: DELAY, ..Server::default() };
    let backend = Backend::start(&bench.placement, &[provider]).await?;
    let keys = json!({"cache": {"ttl": format!("{TTL:.0}s")}});
    let config = servers::config_of(&[Chain::ours(GATEWAY, 1, keys)?], &backend)?;
    let mut gateways = Vec::new();
    for _ in 0..if choice == Choice::Alone { 1 } else { GATEWAYS } {
        let gateway = servers::start(&config, &Options::default()).await?;
        bench.placement.pin_measured(gateway.id())?;
        gateways.push(gateway);
    }
    let edge = servers::start(&edge(choice, &gateways), &Options::default()).await?;
    bench.placement.pin_other(edge.id())?;
    let order = Order {
        at: edge.listener(EDGE),
        path: path(1),
        tokens: Tokens::Crowd(USERS),
        fields: 8,
        pace: Pace::Http1,
        connections: CONNECTIONS,
        pause: PAUSE,
        time,
    };
    let before = backend.seen().await;
    let load = load::run(&bench.placement, &order)?;
    load.verify(true)?;
    let after = backend.seen().await;
    let mut shares = Vec::new();
    for gateway in &gateways {
        shares.push(gateway.stat(&format!("http.{GATEWAY}.downstream_rq_total")).await);
    }
    spread(choice, &shares, load.requests)?;
    let forwarded = after.since(&before, UPSTREAM);
    if forwarded < load.requests {
        bail!("{} requests, the upstream saw {forwarded}", load.requests);
    }
    Ok(Outcome {
        requests: load.requests as f64,
        calls: after.since(&before, PROVIDER) as f64,
        per_second: load.per_second,
    })
}

/// Fails unless the gateways shared the requests as the choice says.
fn spread(choice: Choice, shares: &[u64], requests: u64) -> Result<()> {
    let all: u64 = shares.iter().sum();
    let even = all as f64 / shares.len() as f64;
    let off = |share: &u64| (*share as f64 / even - 1.0).abs();
    let wrong = match choice {
        Choice::Alone => false,
        Choice::InTurn => shares.iter().any(|share| off(share) > UNEVEN),
        // The most frequent tokens make it uneven, but every gateway must get a part.
        Choice::ByToken => shares.iter().any(|share| (*share as f64) < even / 4.0),
    };
    if wrong || all < requests {
        bail!("{requests} requests by {choice:?} reached the gateways as {shares:?}");
    }
    Ok(())
}

fn edge(choice: Choice, gateways: &[Envoy]) -> Value {
    let at: Vec<_> = gateways.iter().map(|gateway| gateway.listener(GATEWAY)).collect();
    let mut cluster = servers::cluster(GATEWAY, &at);
    let mut route = servers::to_cluster(GATEWAY);
    if choice == Choice::ByToken {
        cluster["lb_policy"] = "MAGLEV".into();
        route["route"]["hash_policy"] = json!([{"header": {"header_name": "authorization"}}]);
    }
    servers::bootstrap(&[servers::listener(EDGE, &[route], None)], &[cluster])
}

fn of_outcomes(outcomes: &[Outcome]) -> String {
    let heads = [
        "fleet",
        "requests",
        "requests/s",
        "provider calls per 1000 requests",
        "by arithmetic",
        "× 1 gateway, at that rate",
    ];
    let cells = |((choice, name), outcome): ((Choice, &str), &Outcome)| {
        [
            name.to_owned(),
            format!("{:.0}", outcome.requests),
            format!("{:.0}", outcome.per_second),
            format!("{:.1}", outcome.share()),
            format!("{:.1}", outcome.expected(choice)),
            format!("{:.2}", outcome.beside(&outcomes[0])),
        ]
    };
    table(&heads, CASES.into_iter().zip(outcomes).map(cells))
}

const FLEET: f64 = 1000.0;

fn of_a_large_fleet() -> String {
    const TOKENS: u64 = 100_000_000;
    const RATE: f64 = 1e6;
    const TTL: f64 = 60.0;
    let users = renewal::zipf(TOKENS);
    let heads = [
        "1000 gateways",
        "caches that get a token",
        "calls/s at most",
        "calls/s by arithmetic",
        "calls per 1000 requests",
        "cached tokens at a time, per gateway",
    ];
    let cells = |(name, caches): (&str, f64)| {
        let most = (caches * TOKENS as f64 / (TTL * SURELY_REMEMBERED)).min(RATE);
        let calls = caches * renewal::steady(&users, RATE / caches, TTL * REMEMBERED);
        [
            name.to_owned(),
            format!("{caches:.0}"),
            format!("{most:.0}"),
            format!("{calls:.0}"),
            format!("{:.0}", 1000.0 * calls / RATE),
            // Each verdict is cached for this time.
            format!("{:.0}", calls * TTL * REMEMBERED / FLEET),
        ]
    };
    let cases = [
        ("in turn", 2.0 * FLEET),
        ("in turn, `shared`", FLEET),
        ("by token", 2.0),
        ("by token, `shared`", 1.0),
    ];
    table(&heads, cases.map(cells))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uneven_spread_is_an_error() {
        let is = |choice, shares: &[u64]| spread(choice, shares, 1000).is_ok();
        assert!(is(Choice::Alone, &[1000]) && !is(Choice::Alone, &[999]));
        assert!(is(Choice::InTurn, &[334, 333, 334]) && !is(Choice::InTurn, &[400, 300, 300]));
        assert!(is(Choice::ByToken, &[500, 300, 200]) && !is(Choice::ByToken, &[500, 500, 0]));
        assert!(!is(Choice::ByToken, &[300, 300, 300]));
    }

    #[test]
    fn round_robin_costs_more_calls_than_hashing() {
        let outcome = Outcome { requests: 100_000.0, calls: 20_000.0, per_second: 2500.0 };
        let [alone, in_turn] = [Choice::Alone, Choice::InTurn].map(|c| outcome.expected(c));
        assert!(in_turn > 1.2 * alone && in_turn < 3.0 * alone, "{in_turn}, {alone}");
        assert_eq!(outcome.beside(&outcome), 1.0);
        // At half the rate one gateway would have had more calls for as many requests.
        let slower = Outcome { per_second: 1250.0, ..outcome };
        assert!(slower.beside(&outcome) < 1.0);
        // As docs/performance.md has it.
        assert!(of_a_large_fleet().contains("| in turn | 2000 | 1000000 | 584646 | 585 | 33325 |"));
    }
}
