//! What instances of the filter cost that nobody uses: a gateway may have one for each route.

use std::time::Duration;

use integration::{Envoy, Request, module};
use serde_json::{Value, json};

use crate::config;
use crate::cpu;
use crate::measure::Bench;
use crate::memory::{megabytes, resident};
use crate::numbers::median;
use crate::report::Section;
use crate::servers::{self, do_nothing};
use crate::table::Table;
use crate::targets::{Aim, Judged};

const MANY: usize = 100;

/// Requests that each Envoy gets before it is left alone, so that all have handled as many.
const REQUESTS: usize = MANY;

const LISTENER: &str = "idle";

/// What is there so many times.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    DoNothing,
    Ours,
}

const CASES: [(Kind, usize, &str); 4] = [
    (Kind::DoNothing, 1, "do-nothing Wasm filter, 1 instance"),
    (Kind::DoNothing, MANY, "do-nothing Wasm filter, 100 instances"),
    (Kind::Ours, 1, "ours, 1 instance"),
    (Kind::Ours, MANY, "ours, 100 instances"),
];

/// One Envoy that was left alone.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Idle {
    /// Of a processor, in percent.
    cpu: f64,
    /// In megabytes.
    memory: f64,
}

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    let (rounds, seconds) = if bench.quick { (1, 3) } else { (5, 5) };
    let mut found: Vec<Vec<Idle>> = CASES.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for ((kind, instances, name), found) in CASES.into_iter().zip(&mut found) {
            let idle = measure(bench, kind, instances, Duration::from_secs(seconds)).await?;
            eprintln!(
                "idle {round}/{rounds}: {name}: {:.2} % CPU, {:.1} MB",
                idle.cpu, idle.memory
            );
            found.push(idle);
        }
    }
    let medians: Vec<Idle> = found.iter().map(|all| medians(all)).collect();
    Ok(Section {
        title: "Idle instances",
        notes: vec![format!(
            "{MANY} filters of one VM in one listener, each switched on by a route of its own, and \
             the same with one; every Envoy answers {REQUESTS} requests and is then left alone for \
             {seconds} s; medians of {rounds}. What the do-nothing filter takes for {MANY} \
             instances is Envoy's own: filters, routes, contexts."
        )],
        tables: vec![table(&medians)],
        judged: judged(&medians),
        bars: Vec::new(),
    })
}

async fn measure(
    bench: &Bench,
    kind: Kind,
    instances: usize,
    time: Duration,
) -> Result<Idle, String> {
    let envoy = servers::start(&bootstrap(kind, instances)?, 1).await?;
    bench.placement.pin_measured(envoy.id())?;
    for request in 0..REQUESTS {
        answers(&envoy, kind, request % instances).await?;
    }
    let before = cpu::time_used(envoy.id())?;
    // Nothing is waited for: that time passes is what is measured.
    let mut passing = tokio::time::interval(time);
    passing.tick().await;
    passing.tick().await;
    let used = cpu::time_used(envoy.id())?.saturating_sub(before);
    let memory = megabytes(resident(envoy.id())?);
    Ok(Idle { cpu: 100.0 * used.as_secs_f64() / time.as_secs_f64(), memory })
}

/// Sees that this instance is there: by its own realm.
async fn answers(envoy: &Envoy, kind: Kind, instance: usize) -> Result<(), String> {
    let request = Request::new(envoy.listener(LISTENER), "GET", &path(instance));
    let answer = request.try_send().await.map_err(|error| error.to_string())?;
    let challenge = answer.header("www-authenticate");
    let expected = format!("Bearer realm=\"{}\"", name(instance));
    let right = match kind {
        Kind::DoNothing => answer.status == 200,
        Kind::Ours => answer.status == 401 && challenge.as_deref() == Some(&expected),
    };
    if right { Ok(()) } else { Err(format!("{} is not there: {answer:?}", name(instance))) }
}

fn name(instance: usize) -> String {
    format!("instance-{instance:02}")
}

fn path(instance: usize) -> String {
    format!("/{}/", name(instance))
}

fn bootstrap(kind: Kind, instances: usize) -> Result<Value, String> {
    let mut filters = Vec::new();
    let mut routes = Vec::new();
    for instance in 0..instances {
        let name = name(instance);
        let mut filter = match kind {
            Kind::DoNothing => config::wasm(&name, LISTENER, &do_nothing()?, &name),
            Kind::Ours => config::wasm(&name, LISTENER, &module()?, &configuration(&name)),
        };
        filter["disabled"] = true.into();
        filters.push(filter);
        let mut route =
            config::answer(&json!({"prefix": path(instance)}), 200, "text/plain", "hello");
        route["typed_per_filter_config"] = json!({
            name: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}},
        });
        routes.push(route);
    }
    let mut listener = config::listener(LISTENER, &routes, None);
    let manager = "/filter_chains/0/filters/0/typed_config/http_filters";
    match listener.pointer_mut(manager) {
        Some(Value::Array(all)) => drop(all.splice(0..0, filters)),
        _ => return Err(format!("a listener has no {manager}")),
    }
    Ok(config::bootstrap(&[listener], &[]))
}

/// With a cache, as instances have it that are used.
fn configuration(realm: &str) -> String {
    json!({
        "userinfo_endpoint": {"defaultURI": "http://idp.example/userinfo"},
        "inject_headers": {"x-user": "$.sub"},
        "cache": {},
        "realm": realm,
    })
    .to_string()
}

fn medians(all: &[Idle]) -> Idle {
    Idle {
        cpu: median(all.iter().map(|idle| idle.cpu).collect()),
        memory: median(all.iter().map(|idle| idle.memory).collect()),
    }
}

fn table(medians: &[Idle]) -> Table {
    let mut table = Table::new(["Envoy with", "CPU, % of a processor", "MB"]);
    for ((_, _, name), idle) in CASES.into_iter().zip(medians) {
        table.row([name.to_owned(), format!("{:.2}", idle.cpu), format!("{:.1}", idle.memory)]);
    }
    table
}

fn judged(medians: &[Idle]) -> Vec<Judged> {
    let (one, many) = (medians[2], medians[3]);
    vec![
        Judged::new(Aim::IdleCpu, many.cpu - one.cpu),
        Judged::new(Aim::IdleMemory, many.memory - one.memory),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_compared_with_one() {
        let idle = |cpu, memory| Idle { cpu, memory };
        let all = [idle(0.1, 60.0), idle(0.2, 61.0), idle(0.25, 62.0), idle(0.5, 63.5)];
        let figures: Vec<f64> = judged(&all).iter().map(|judged| judged.figure).collect();
        assert_eq!(figures, [0.25, 1.5]);
        assert_eq!(table(&all).rows[3], ["ours, 100 instances", "0.50", "63.5"]);
        assert_eq!(medians(&all[..3]), idle(0.2, 61.0));
    }

    #[test]
    fn cases_are_told_apart_by_their_number() {
        for (_, instances, name) in CASES {
            assert!(name.contains(&format!(" {instances} instance")), "{name}");
        }
        assert_eq!(path(7), "/instance-07/");
    }
}
