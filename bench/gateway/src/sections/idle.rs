//! The cost of idle instances of the filter: a gateway may have one for each route.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use integration::{Envoy, Options, Request, module, pass};
use serde_json::{Value, json};

use crate::machine::{memory, time_used};
use crate::measure::{Bench, in_turn};
use crate::numbers::median;
use crate::report::Bound::AtMost;
use crate::report::{Section, Target, table};
use crate::servers::{self, answer, do_nothing, listener, wasm};

/// Requests that each Envoy gets before it is idle, so that all have handled as many.
const REQUESTS: usize = 100;

const LISTENER: &str = "idle";

/// Whether the filter is ours, and how many there are.
const CASES: [(bool, usize, &str); 4] = [
    (false, 1, "do-nothing Wasm filter, 1 instance"),
    (false, 100, "do-nothing Wasm filter, 100 instances"),
    (true, 1, "ours, 1 instance"),
    (true, 100, "ours, 100 instances"),
];

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let (rounds, seconds) = if bench.quick { (1, 3) } else { (5, 5) };
    let time = Duration::from_secs(seconds);
    let found = in_turn(&CASES, rounds, async |(ours, instances, _)| {
        measure(bench, *ours, *instances, time).await
    });
    // Percent of a processor, megabytes.
    let medians: Vec<(f64, f64)> = found
        .await?
        .iter()
        .map(|all| (median(all.iter().map(|idle| idle.0)), median(all.iter().map(|idle| idle.1))))
        .collect();
    let rows = CASES.into_iter().zip(&medians).map(|((_, _, name), (cpu, memory))| {
        [name.to_owned(), format!("{cpu:.2}"), format!("{memory:.1}")]
    });
    let (one, many) = (medians[2], medians[3]);
    let (cpu, mb) = ("% of a processor over 1 instance", "MB over 1 instance");
    let rest = "compare the do-nothing filter below: that much is Envoy's own";
    Ok(Section {
        title: "Idle instances",
        notes: vec![format!(
            "100 filters of one VM in one listener, each switched on by its own route, compared \
             with one filter; every Envoy answers {REQUESTS} requests and is then idle for \
             {seconds} s; medians of {rounds}. The cost of 100 instances of the do-nothing filter is \
             Envoy's own: filters, routes, contexts."
        )],
        tables: vec![table(&["Envoy with", "CPU, % of a processor", "MB"], rows)],
        targets: vec![
            Target::new("CPU, 100 idle instances", AtMost(0.1), cpu, many.0 - one.0, rest),
            Target::new("memory, 100 idle instances", AtMost(2.0), mb, many.1 - one.1, rest),
        ],
        ..Section::default()
    })
}

/// The use of an idle Envoy: percent of a processor, megabytes.
async fn measure(
    bench: &Bench,
    ours: bool,
    instances: usize,
    time: Duration,
) -> Result<(f64, f64)> {
    let envoy = servers::start(&bootstrap(ours, instances)?, &Options::default()).await?;
    bench.placement.pin_measured(envoy.id())?;
    for request in 0..REQUESTS {
        answers(&envoy, ours, request % instances).await?;
    }
    let before = time_used(envoy.id())?;
    // Nothing is waited for: that time passes is what is measured.
    pass(time).await;
    let used = time_used(envoy.id())?.saturating_sub(before);
    Ok((100.0 * used.as_secs_f64() / time.as_secs_f64(), memory(envoy.id())?))
}

/// Sees that this instance is there: by its own realm.
async fn answers(envoy: &Envoy, ours: bool, instance: usize) -> Result<()> {
    let name = name(instance);
    let request = Request::new(envoy.listener(LISTENER), "GET", &format!("/{name}/"));
    let answer = request.try_send().await?;
    let challenge = answer.header("www-authenticate");
    let expected = ours.then(|| format!("Bearer realm=\"{name}\""));
    if answer.status != if ours { 401 } else { 200 } || challenge != expected {
        bail!("{name} is missing: {answer:?}");
    }
    Ok(())
}

fn name(instance: usize) -> String {
    format!("instance-{instance:02}")
}

fn bootstrap(ours: bool, instances: usize) -> Result<Value> {
    let module = if ours { module().map_err(|error| anyhow!(error))? } else { do_nothing()? };
    let mut filters = Vec::new();
    let mut routes = Vec::new();
    for instance in 0..instances {
        let name = name(instance);
        // With a cache, as instances have it that are used.
        let configuration = json!({
            "userinfo_endpoint": {"defaultURI": "http://idp.example/userinfo"},
            "inject_headers": {"x-user": "$.sub"},
            "cache": {},
            "realm": name,
        });
        let mut filter = wasm(&name, LISTENER, &module, &configuration.to_string());
        filter["disabled"] = true.into();
        filters.push(filter);
        let path = json!({"prefix": format!("/{name}/")});
        let mut route = answer(&path, 200, "text/plain", "hello");
        route["typed_per_filter_config"] = json!({
            name: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}},
        });
        routes.push(route);
    }
    Ok(servers::bootstrap(&[listener(LISTENER, &routes, filters)], &[]))
}
