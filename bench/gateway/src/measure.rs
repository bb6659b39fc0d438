//! One row of a table: what is sent through which chain, what must come of it, and the figures. A
//! row whose requests were not answered, forwarded or asked about as it says is an error, never a
//! figure.

use std::fmt;
use std::time::Duration;

use crate::cpu::Placement;
use crate::load::{Load, Order, Tokens, h2load, wrk};
use crate::numbers::median;
use crate::servers::{Seen, Stand, UPSTREAM, path};
use crate::tokens;

/// Concurrent connections of the load, unless a row is about them.
pub(crate) const CONNECTIONS: u32 = 32;

/// How often and for how long a row was measured, for the notes of its section.
pub(crate) fn rounds_of(rounds: usize, time: Duration) -> String {
    let seconds = time.as_secs();
    if rounds == 1 {
        return format!("one round of {seconds} s");
    }
    format!("medians of {rounds} rounds of {seconds} s")
}

/// What every section is given.
pub(crate) struct Bench {
    pub(crate) placement: Placement,
    /// Short rounds, for everyday use.
    pub(crate) quick: bool,
}

/// What a row sends, and who must see it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The chain's name in its stand.
    pub(crate) chain: String,
    pub(crate) protocol: Protocol,
    pub(crate) tokens: Tokens,
    /// Header fields of a request, `Host` and `Authorization` among them.
    pub(crate) fields: usize,
    /// Headers that the upstream must find injected.
    pub(crate) injected: usize,
    /// How often the provider must be asked.
    pub(crate) asked: Asked,
    /// Whether the upstream must see each request, or none.
    pub(crate) forwarded: bool,
}

/// What requests are sent by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// How many of the requests the provider sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked {
    Never,
    Sometimes,
    Always,
}

impl Case {
    /// A good token of 40 bytes in a request of 8 header fields on HTTP/1.1, which is forwarded as
    /// it is, and for which nobody is asked.
    pub(crate) fn new(name: impl Into<String>, chain: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            chain: chain.into(),
            protocol: Protocol::Http1,
            tokens: Tokens::One(tokens::OPAQUE.to_owned()),
            fields: 8,
            injected: 0,
            asked: Asked::Never,
            forwarded: true,
        }
    }

    /// Its load against this stand.
    pub(crate) fn order(&self, stand: &Stand, time: Duration) -> Order {
        Order {
            at: stand.measured.at(&self.chain),
            path: path(self.injected),
            tokens: self.tokens.clone(),
            fields: self.fields,
            connections: CONNECTIONS,
            pause: 0,
            time,
        }
    }
}

/// One round of one row, or the medians of several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    /// Processor time of the measured Envoy, in microseconds per request.
    pub(crate) cpu: f64,
    /// Answered requests per second.
    pub(crate) per_second: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    /// Microseconds.
    pub(crate) p99: f64,
    /// Calls of the provider per request.
    pub(crate) calls: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, per_second, p50, p99, calls } = self;
        write!(
            f,
            "{cpu:.1} µs CPU/request, {per_second:.0} requests/s, p50 {p50:.0} µs, \
             p99 {p99:.0} µs, {calls:.3} calls/request"
        )
    }
}

impl Figures {
    /// How much of one processor the measured Envoy used.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu * self.per_second / 1e6
    }

    /// The median of each figure by itself.
    pub(crate) fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(rounds.iter().map(figure).collect());
        Self {
            cpu: of(|round| round.cpu),
            per_second: of(|round| round.per_second),
            p50: of(|round| round.p50),
            p99: of(|round| round.p99),
            calls: of(|round| round.calls),
        }
    }
}

/// A row of a table: medians of its rounds.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) figures: Figures,
}

/// What a load did to a stand.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) load: Load,
    pub(crate) cpu: Duration,
    /// Requests that the chain's provider saw.
    pub(crate) asked: u64,
    /// Requests that the upstream saw.
    pub(crate) forwarded: u64,
}

impl Observed {
    pub(crate) fn figures(&self) -> Figures {
        let requests = self.load.requests as f64;
        Figures {
            cpu: self.cpu.as_secs_f64() * 1e6 / requests,
            per_second: self.load.per_second,
            p50: self.load.p50,
            p99: self.load.p99,
            calls: self.asked as f64 / requests,
        }
    }

    /// Fails unless all went as the row says. The load counts what was answered, so when it ends up
    /// to one more per connection is `under_way`; and as many may come in from the row before.
    fn verify(&self, case: &Case, under_way: u64) -> Result<(), String> {
        self.load.verify(case.forwarded)?;
        let requests = self.load.requests;
        match case.asked {
            Asked::Never => reached("provider", false, self.asked, requests, under_way)?,
            Asked::Sometimes => {}
            Asked::Always => reached("provider", true, self.asked, requests, under_way)?,
        }
        reached("upstream", case.forwarded, self.forwarded, requests, under_way)
    }
}

/// Each request must have reached the server, or none.
fn reached(
    server: &str,
    expected: bool,
    seen: u64,
    requests: u64,
    under_way: u64,
) -> Result<(), String> {
    if expected && seen < requests {
        return Err(format!("{requests} requests were answered, the {server} saw {seen}"));
    }
    if !expected && seen > under_way {
        return Err(format!("the {server} must not be asked, but saw {seen} requests"));
    }
    Ok(())
}

impl Bench {
    /// Runs this load against the case's chain, and sees that all went as the case says.
    pub(crate) async fn observe(
        &self,
        stand: &Stand,
        case: &Case,
        under_way: u32,
        load: impl FnOnce(&Placement) -> Result<Load, String>,
    ) -> Result<Observed, String> {
        let provider = stand.measured.provider(&case.chain);
        let before: Seen = stand.backend.seen().await;
        let cpu_before = stand.measured.cpu_time()?;
        let load = load(&self.placement)?;
        let cpu = stand.measured.cpu_time()?.saturating_sub(cpu_before);
        let seen = stand.backend.seen().await;
        let observed = Observed {
            load,
            cpu,
            asked: seen.since(&before, provider),
            forwarded: seen.since(&before, UPSTREAM),
        };
        observed.verify(case, u64::from(under_way)).map_err(|why| {
            let complaints = stand.measured.complaints();
            format!("row `{}` is not what it says: {why}\n{complaints}", case.name)
        })?;
        Ok(observed)
    }

    /// One round of as many requests as the connections carry.
    pub(crate) async fn round(
        &self,
        stand: &Stand,
        case: &Case,
        time: Duration,
    ) -> Result<Figures, String> {
        let order = case.order(stand, time);
        let observed = self
            .observe(stand, case, CONNECTIONS, |placement| match case.protocol {
                Protocol::Http1 => wrk::run(placement, &order),
                Protocol::Http2 => h2load::run(placement, &order),
            })
            .await?;
        Ok(observed.figures())
    }

    /// Rounds of all cases in turn, after a second of each that does not count: a machine that
    /// slows down meanwhile slows all of them down.
    pub(crate) async fn interleaved(
        &self,
        cases: &[(&Stand, Case)],
        rounds: usize,
        time: Duration,
    ) -> Result<Vec<Row>, String> {
        for (stand, case) in cases {
            self.round(stand, case, Duration::from_secs(1)).await?;
        }
        let mut figures: Vec<Vec<Figures>> = cases.iter().map(|_| Vec::new()).collect();
        for round in 1..=rounds {
            for ((stand, case), figures) in cases.iter().zip(&mut figures) {
                let figure = self.round(stand, case, time).await?;
                eprintln!("round {round}/{rounds}: {}: {figure}", case.name);
                figures.push(figure);
            }
        }
        let rows = cases.iter().zip(&figures);
        let row = |((_, case), all): (&(&Stand, Case), &Vec<Figures>)| Row {
            name: case.name.clone(),
            figures: Figures::median(all),
        };
        Ok(rows.map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(asked: u64, forwarded: u64) -> Observed {
        let load = Load {
            requests: 1000,
            refused: if forwarded < 1000 { 1000 } else { 0 },
            per_second: 500.0,
            p50: 10.0,
            p99: 20.0,
            errors: None,
        };
        Observed { load, cpu: Duration::from_millis(30), asked, forwarded }
    }

    #[test]
    fn figures_are_per_request() {
        let figures = observed(50, 1000).figures();
        let expected = Figures { cpu: 30.0, per_second: 500.0, p50: 10.0, p99: 20.0, calls: 0.05 };
        assert_eq!(figures, expected);
        assert_eq!(figures.busy(), 0.015);
        let slow = Figures { cpu: 50.0, calls: 0.0, ..expected };
        let median = Figures::median(&[slow, expected, slow]);
        assert_eq!(median, slow);
    }

    #[test]
    fn rounds_in_words() {
        assert_eq!(rounds_of(1, Duration::from_secs(3)), "one round of 3 s");
        assert_eq!(rounds_of(5, Duration::from_secs(2)), "medians of 5 rounds of 2 s");
    }

    #[test]
    fn a_server_sees_every_request_or_none() {
        assert_eq!(reached("provider", true, 1000, 1000, 32), Ok(()));
        assert_eq!(reached("provider", true, 1030, 1000, 32), Ok(()));
        assert!(reached("provider", true, 999, 1000, 32).is_err());
        assert_eq!(reached("upstream", false, 32, 1000, 32), Ok(()));
        assert!(reached("upstream", false, 33, 1000, 32).is_err());
    }

    #[test]
    fn a_case_says_who_sees_its_requests() {
        let hit = Case::new("hit", "x");
        assert_eq!(observed(0, 1000).verify(&hit, 32), Ok(()));
        assert!(observed(1000, 1000).verify(&hit, 32).is_err());
        let asks = Case { asked: Asked::Always, ..hit.clone() };
        assert_eq!(observed(1000, 1000).verify(&asks, 32), Ok(()));
        assert!(observed(999, 1000).verify(&asks, 32).is_err());
        let shares = Case { asked: Asked::Sometimes, ..hit.clone() };
        assert_eq!(observed(500, 1000).verify(&shares, 32), Ok(()));
        let refused = Case { forwarded: false, ..hit };
        assert_eq!(observed(0, 0).verify(&refused, 32), Ok(()));
        assert!(observed(0, 1000).verify(&refused, 32).is_err());
    }
}
