//! One row of a table: the load and its chain, the expected result, and the figures. A row whose
//! requests were not answered or forwarded, or did not cause the expected calls, is an error, never
//! a figure.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::load::{self, Load, Order, Pace, Tokens, connections};
use crate::machine::{Placement, time_used};
use crate::numbers::median;
use crate::servers::{Rig, UPSTREAM, path};
use crate::tokens;

/// Concurrent connections of the load, unless a row is about them.
pub(crate) const CONNECTIONS: u32 = 32;

/// How often and for how long a row was measured, for the notes of its section.
pub(crate) fn rounds_of(rounds: usize, time: Duration) -> String {
    match (rounds, time.as_secs()) {
        (1, seconds) => format!("one round of {seconds} s"),
        (rounds, seconds) => format!("medians of {rounds} rounds of {seconds} s"),
    }
}

/// The input of every section.
pub(crate) struct Bench {
    pub(crate) placement: Placement,
    /// Short rounds, for everyday use.
    pub(crate) quick: bool,
}

/// The load of a row, and which servers must see it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The chain's name in its rig.
    pub(crate) chain: String,
    pub(crate) pace: Pace,
    pub(crate) tokens: Tokens,
    /// Header fields of a request, `Host` and `Authorization` among them.
    pub(crate) fields: usize,
    /// Headers that the upstream must find injected.
    pub(crate) injected: usize,
    /// The expected number of calls.
    pub(crate) asked: Asked,
    /// Whether the upstream must see each request, or none.
    pub(crate) forwarded: bool,
}

/// How many of the requests the provider sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked {
    Never,
    Sometimes,
    Always,
}

impl Case {
    /// A valid token of 40 bytes in a request of 8 header fields on HTTP/1.1, which is forwarded
    /// unchanged and without a call.
    pub(crate) fn new(name: impl Into<String>, chain: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            chain: chain.into(),
            pace: Pace::Http1,
            tokens: Tokens::One(tokens::OPAQUE.to_owned()),
            fields: 8,
            injected: 0,
            asked: Asked::Never,
            forwarded: true,
        }
    }

    /// Its load against this rig.
    pub(crate) fn order(&self, rig: &Rig, time: Duration) -> Order {
        Order {
            at: rig.measured.listener(&self.chain),
            path: path(self.injected),
            tokens: self.tokens.clone(),
            fields: self.fields,
            pace: self.pace,
            connections: match self.pace {
                Pace::Rate(rate) => connections(rate),
                Pace::Http1 | Pace::Http2 => CONNECTIONS,
            },
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

impl Figures {
    /// The figures of a missing row.
    const NONE: Self = {
        let none = f64::NAN;
        Self { cpu: none, per_second: none, p50: none, p99: none, calls: none }
    };

    /// How much of one processor the measured Envoy used.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu * self.per_second / 1e6
    }

    /// The median of each figure by itself.
    fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(rounds.iter().map(figure));
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

/// The row with that name; every figure is NaN if there is none.
pub(crate) fn figures_of(rows: &[Row], name: &str) -> Figures {
    rows.iter().find(|row| row.name == name).map_or(Figures::NONE, |row| row.figures)
}

/// Each case once a round, in turn: a machine that slows down meanwhile slows all of them down.
/// Gives what came of each, a list a case.
pub(crate) async fn in_turn<C, T>(
    cases: &[C],
    rounds: usize,
    mut measure: impl AsyncFnMut(&C) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut all: Vec<Vec<T>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for (case, found) in cases.iter().zip(&mut all) {
            found.push(measure(case).await?);
        }
    }
    Ok(all)
}

/// The effect of a load on a rig.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) load: Load,
    pub(crate) figures: Figures,
}

/// Fails unless all went as the row says. The load counts what was answered, so when it ends up
/// to one more per connection is `under_way`; and as many may come in from the row before.
fn verify(case: &Case, load: &Load, asked: u64, forwarded: u64, under_way: u32) -> Result<()> {
    load.verify(case.forwarded)?;
    let (requests, under_way) = (load.requests, u64::from(under_way));
    let reached = |server: &str, expected: bool, seen: u64| {
        if expected && seen < requests {
            bail!("{requests} requests were answered, the {server} saw {seen}");
        }
        if !expected && seen > under_way {
            bail!("the {server} must not be asked, but saw {seen} requests");
        }
        Ok(())
    };
    if case.asked != Asked::Sometimes {
        reached("provider", case.asked == Asked::Always, asked)?;
    }
    reached("upstream", case.forwarded, forwarded)
}

impl Bench {
    /// Runs the case's load against its chain, and sees that all went as the case says.
    pub(crate) async fn round(&self, rig: &Rig, case: &Case, time: Duration) -> Result<Observed> {
        self.observe(rig, case, &case.order(rig, time), load::run).await
    }

    /// The same for a load in another way than the case's.
    pub(crate) async fn observe(
        &self,
        rig: &Rig,
        case: &Case,
        order: &Order,
        run: impl FnOnce(&Placement, &Order) -> Result<Load>,
    ) -> Result<Observed> {
        let provider = rig.provider(&case.chain);
        let before = rig.backend.seen().await;
        let cpu_before = time_used(rig.measured.id())?;
        let load = run(&self.placement, order)?;
        let cpu = time_used(rig.measured.id())?.saturating_sub(cpu_before);
        let seen = rig.backend.seen().await;
        let (asked, forwarded) = (seen.since(&before, provider), seen.since(&before, UPSTREAM));
        verify(case, &load, asked, forwarded, order.connections).with_context(|| {
            // At level info it lists every extension it has.
            let log = rig.measured.log().lines().into_iter();
            let complaints: Vec<String> = log.filter(|line| !line.contains("[info]")).collect();
            format!("row `{}` is not what it says:\n{}", case.name, complaints.join("\n"))
        })?;
        let requests = load.requests as f64;
        let figures = Figures {
            cpu: cpu.as_secs_f64() * 1e6 / requests,
            per_second: load.per_second,
            p50: load.p50,
            p99: load.p99,
            calls: asked as f64 / requests,
        };
        eprintln!("{}: {figures:.3?}", case.name);
        Ok(Observed { load, figures })
    }

    /// Rounds of all cases in turn, after a second of each that does not count.
    pub(crate) async fn interleaved(
        &self,
        cases: &[(&Rig, Case)],
        rounds: usize,
        time: Duration,
    ) -> Result<Vec<Row>> {
        for (rig, case) in cases {
            self.round(rig, case, Duration::from_secs(1)).await?;
        }
        let figures = in_turn(cases, rounds, async |(rig, case)| {
            Ok(self.round(rig, case, time).await?.figures)
        });
        let rows = cases.iter().zip(figures.await?);
        let row = |((_, case), all): (&(&Rig, Case), Vec<Figures>)| Row {
            name: case.name.clone(),
            figures: Figures::median(&all),
        };
        Ok(rows.map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_defines_who_sees_its_requests() {
        let is = |case: &Case, asked: u64, forwarded: u64| {
            let refused = if case.forwarded { 0 } else { 1000 };
            let (requests, per_second, p50, p99) = (1000, 500.0, 10.0, 20.0);
            let load = Load { requests, refused, per_second, p50, p99, errors: None };
            verify(case, &load, asked, forwarded, 32).is_ok()
        };
        let hit = Case::new("hit", "x");
        assert!(is(&hit, 32, 1000) && !is(&hit, 33, 1000) && !is(&hit, 0, 999));
        let asks = Case { asked: Asked::Always, ..hit.clone() };
        assert!(is(&asks, 1030, 1000) && !is(&asks, 999, 1000));
        let shares = Case { asked: Asked::Sometimes, ..hit.clone() };
        assert!(is(&shares, 500, 1000));
        let refused = Case { forwarded: false, ..hit };
        assert!(is(&refused, 0, 32) && !is(&refused, 0, 1000));
    }
}
