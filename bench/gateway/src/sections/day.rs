//! A day in the life: many users, some of whom come far more often than others, a provider that
//! takes its time, and a cache that remembers for as long as it does by default.

use std::time::Duration;

use serde_json::json;

use crate::load::{Tokens, wrk};
use crate::measure::{Asked, Bench, CONNECTIONS, Case, Observed};
use crate::report::Section;
use crate::servers::{Chain, Filter, Ours, Server, Stand};
use crate::table::Table;
use crate::targets::{Aim, Judged};

const USERS: usize = 10_000;
const DELAY: u32 = 20;

const OURS: &str = "ours, `\"cache\": {}`";
const EXT_AUTHZ: &str = "ext_authz";

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    // As long as the cache remembers by default: each user who comes is asked about about once.
    let (ours, others) = if bench.quick { (10, 3) } else { (60, 15) };
    let provider = Server { delay: DELAY, ..Server::default() };
    let defaults = Ours { cache: Some(json!({})), ..Ours::asking() };
    let chains = [
        Chain::new("defaults", Filter::Ours(defaults)),
        Chain::new("ext_authz", Filter::ExtAuthz),
        Chain::new("lua", Filter::Lua),
    ];
    let stand = Stand::start(&bench.placement, &[provider], &chains, 1).await?;
    let case = |name: &str, chain: &str| Case {
        tokens: Tokens::Crowd(USERS),
        asked: Asked::Always,
        ..Case::new(name, chain)
    };
    let runs = [
        (Case { asked: Asked::Sometimes, injected: 1, ..case(OURS, "defaults") }, ours),
        (case(EXT_AUTHZ, "ext_authz"), others),
        (Case { injected: 1, ..case("Lua", "lua") }, others),
    ];
    let mut table = Table::new([
        "chain",
        "run of",
        "requests",
        "provider calls per 1000 requests",
        "p50 ms",
        "p99 ms",
    ]);
    let mut observed = Vec::new();
    for (case, seconds) in runs {
        let order = case.order(&stand, Duration::from_secs(seconds));
        let of = bench
            .observe(&stand, &case, CONNECTIONS, |placement| wrk::run(placement, &order))
            .await?;
        eprintln!("{}: {}", case.name, of.figures());
        table.row(cells(&case.name, seconds, &of));
        observed.push(of);
    }
    Ok(Section {
        title: "A day in the life",
        notes: vec![format!(
            "{USERS} users who come by Zipf's law (exponent 1), {CONNECTIONS} connections, each \
             with the next request as soon as it has an answer; the provider takes {DELAY} ms. The \
             cache starts empty and is as it is by default: it remembers for 60 s at most, and of \
             its 10000 entries an eighth is reserved for refusals. A run that is shorter than 60 s \
             spreads the calls of the empty cache over fewer requests, a longer one keeps about \
             the share that it has then; and the more requests come in that time, the smaller it \
             is. For the others, which remember nothing, neither matters."
        )],
        tables: vec![table],
        judged: judged(&observed[0], &observed[1]),
        bars: Vec::new(),
    })
}

fn cells(name: &str, seconds: u64, observed: &Observed) -> [String; 6] {
    let figures = observed.figures();
    [
        name.to_owned(),
        format!("{seconds} s"),
        observed.load.requests.to_string(),
        format!("{:.1}", figures.calls * 1000.0),
        format!("{:.2}", figures.p50 / 1000.0),
        format!("{:.2}", figures.p99 / 1000.0),
    ]
}

fn judged(ours: &Observed, ext_authz: &Observed) -> Vec<Judged> {
    let (ours, theirs) = (ours.figures(), ext_authz.figures());
    vec![
        Judged::new(Aim::DayCallsToExtAuthz, ours.calls / theirs.calls),
        Judged::new(Aim::DayMedianToExtAuthz, ours.p50 / theirs.p50),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Load;

    #[test]
    fn calls_and_medians_are_compared_with_ext_authz() {
        let observed = |requests, asked, p50| Observed {
            load: Load { requests, refused: 0, per_second: 1.0, p50, p99: 41_500.0, errors: None },
            cpu: Duration::from_secs(1),
            asked,
            forwarded: requests,
        };
        let (ours, theirs) = (observed(1000, 40, 2000.0), observed(100, 100, 20_000.0));
        let figures: Vec<f64> = judged(&ours, &theirs).iter().map(|judged| judged.figure).collect();
        assert_eq!(figures, [0.04, 0.1]);
        assert_eq!(cells("a", 3, &ours), ["a", "3 s", "1000", "40.0", "2.00", "41.50"]);
    }
}
