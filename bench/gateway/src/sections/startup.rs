//! What the module costs an Envoy that starts.

use std::fs;

use integration::module;
use serde_json::Value;

use crate::cpu;
use crate::measure::Bench;
use crate::numbers::median;
use crate::report::Section;
use crate::servers::{self, Backend, Chain, Filter, Ours, Server};
use crate::table::Table;
use crate::targets::{Aim, Judged};

const NO_FILTER: &str = "no filter";
const DO_NOTHING: &str = "do-nothing Wasm filter";
const OURS: &str = "ours";

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    let starts = if bench.quick { 3 } else { 7 };
    let module = module()?;
    let size = fs::metadata(&module).map_err(|e| format!("{}: {e}", module.display()))?.len();
    let backend = Backend::start(&bench.placement, &[Server::default()]).await?;
    let chains = [
        Chain::new(NO_FILTER, Filter::None),
        Chain::new(DO_NOTHING, Filter::DoNothing),
        Chain::new(OURS, Filter::Ours(Ours::remembering())),
    ];
    let configs: Result<Vec<Value>, String> = chains
        .iter()
        .map(|chain| servers::config_of(std::slice::from_ref(chain), &backend))
        .collect();
    let configs = configs?;
    let mut times: Vec<Vec<f64>> = chains.iter().map(|_| Vec::new()).collect();
    for start in 1..=starts {
        for ((chain, config), times) in chains.iter().zip(&configs).zip(&mut times) {
            let envoy = servers::start(config, 1).await?;
            let used = cpu::time_in_ticks(envoy.id())?.as_secs_f64();
            eprintln!("start {start}/{starts}: {}: {used:.2} s CPU", chain.name);
            times.push(used);
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    Ok(Section {
        title: "Start",
        notes: vec![format!(
            "Processor time that Envoy has used when it serves, one worker, one listener; medians \
             of {starts} starts. The module has {size} bytes.",
        )],
        tables: vec![table(&medians)],
        judged: vec![
            Judged::new(Aim::ModuleSize, size as f64 / 1e6),
            Judged::new(Aim::StartCpu, medians[2]),
        ],
        bars: Vec::new(),
    })
}

fn table(medians: &[f64]) -> Table {
    let mut table = Table::new(["chain", "CPU s", "over no filter"]);
    for (name, time) in [NO_FILTER, DO_NOTHING, OURS].into_iter().zip(medians) {
        let over = format!("{:+.2}", time - medians[0]);
        table.row([name.to_owned(), format!("{time:.2}"), over]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_with_no_filter() {
        let table = table(&[0.25, 0.5, 0.75]);
        assert_eq!(table.rows[0], [NO_FILTER, "0.25", "+0.00"]);
        assert_eq!(table.rows[2], [OURS, "0.75", "+0.50"]);
    }
}
