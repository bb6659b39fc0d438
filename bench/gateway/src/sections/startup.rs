//! The cost of the module when Envoy starts.

use std::{fs, slice};

use anyhow::{Result, anyhow};
use integration::{Options, module};

use crate::machine::time_in_ticks;
use crate::measure::{Bench, in_turn};
use crate::numbers::median;
use crate::report::Bound::AtMost;
use crate::report::{Section, Target, table};
use crate::servers::{self, Backend, Chain, Server, remembering};

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let starts = if bench.quick { 3 } else { 7 };
    let size = fs::metadata(module().map_err(|error| anyhow!(error))?)?.len();
    let backend = Backend::start(&bench.placement, &[Server::default()]).await?;
    let chains = [
        Chain::new("no filter", []),
        Chain::do_nothing("do-nothing Wasm filter")?,
        Chain::ours("ours", 1, remembering())?,
    ];
    let times = in_turn(&chains, starts, async |chain| {
        let config = servers::config_of(slice::from_ref(chain), &backend)?;
        let envoy = servers::start(&config, &Options::default()).await?;
        Ok(time_in_ticks(envoy.id())?.as_secs_f64())
    });
    let medians: Vec<f64> = times.await?.into_iter().map(median).collect();
    let cells = |(chain, time): (&Chain, &f64)| {
        [chain.name.clone(), format!("{time:.2}"), format!("{:+.2}", time - medians[0])]
    };
    Ok(Section {
        title: "Start",
        notes: vec![format!(
            "Processor time of Envoy from its start until it serves, one worker, one listener; \
             medians of {starts} starts. The module has {size} bytes.",
        )],
        tables: vec![table(
            &["chain", "CPU s", "over no filter"],
            chains.iter().zip(&medians).map(cells),
        )],
        targets: vec![
            Target::new(
                "module size",
                AtMost(1.0),
                "MB",
                size as f64 / 1e6,
                "code that only reads configurations, and JSONPath",
            )
            .before(0.87),
            Target::new(
                "start, CPU of Envoy",
                AtMost(0.85),
                "s over no filter",
                medians[2] - medians[0],
                "Envoy compiles the whole module with its optimizing compiler",
            )
            .before(0.99),
        ],
        ..Section::default()
    })
}
