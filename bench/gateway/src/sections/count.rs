//! Instructions instead of time: what the whole Envoy executes for a request, by callgrind. Where
//! processor time varies with what else the machine does, this tells what a chain costs, and beside
//! it stands the floor: a module of a few instructions that makes the host calls that a hit cannot
//! do without, and decides nothing.

use std::fs;
use std::time::Duration;

use integration::Options;

use crate::callgrind::{Counted, Dumps};
use crate::load::{scratch, wrk};
use crate::measure::{Bench, Case};
use crate::report::Section;
use crate::sections::rows::{self, HIT};
use crate::servers::{Backend, Chain, Filter, Measured, Server, Stand};
use crate::table::Table;

/// Few, so that what a connection takes to begin is no part of the figures.
const CONNECTIONS: u32 = 8;

const FLOOR: &str = "a module with a hit's host calls, no decision";
const FLOOR_CHAIN: &str = "floor";

/// What a hit asks of the host: all headers, the clock, one header removed, one added. What the
/// host writes into the module's memory may lie over itself.
const FLOOR_MODULE: &str = r#"(module
  (import "env" "proxy_get_header_map_pairs"
    (func $headers (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock (param i32 i64 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value"
    (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value"
    (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 100) "authorization")
  (data (i32.const 120) "x-user")
  (data (i32.const 130) "248289761001")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 4096)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 1)
  (func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 1)
  (func (export "proxy_on_done") (param i32) (result i32) i32.const 1)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $headers (i32.const 0) (i32.const 16) (i32.const 20)))
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 24)))
    (drop (call $remove (i32.const 0) (i32.const 100) (i32.const 13)))
    (drop (call $add (i32.const 0) (i32.const 120) (i32.const 6) (i32.const 130) (i32.const 12)))
    i32.const 0))
"#;

/// What was counted for a row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    name: &'static str,
    /// Instructions per request.
    all: f64,
    in_no_file: f64,
}

pub(crate) async fn run(bench: &Bench) -> Result<Section, String> {
    let (warm, time) =
        (Duration::from_secs(4), Duration::from_secs(if bench.quick { 4 } else { 8 }));
    let directory = scratch()?;
    let module = directory.join("floor.wasm");
    let code = wat::parse_str(FLOOR_MODULE).map_err(|error| error.to_string())?;
    fs::write(&module, code).map_err(|e| format!("{}: {e}", module.display()))?;
    let mut chains = rows::chains();
    chains.retain(|chain| chain.name != "lua");
    chains.extend(rows::guarded_chains());
    chains.push(Chain::new(FLOOR_CHAIN, Filter::Module(module)));

    let dumps = Dumps::below(&directory)?;
    let backend = Backend::start(&bench.placement, &[Server::default()]).await?;
    let options = Options { under: dumps.command(), ..Options::default() };
    let measured = Measured::start_as(&bench.placement, &backend, &chains, &options).await?;
    let counter = dumps.of(measured.id());
    let stand = Stand { backend, measured };

    let floor = || Case { injected: 1, ..Case::new(FLOOR, FLOOR_CHAIN) };
    let [telling, guarded] = rows::guarded_hits();
    let cases = [
        ("no filter", rows::no_filter()),
        (rows::DO_NOTHING, rows::do_nothing()),
        (FLOOR, floor()),
        (HIT, rows::hit()),
        (rows::TELLING, telling),
        (rows::GUARDED, guarded),
        (rows::ASKS, rows::asks()),
        (rows::EXT_AUTHZ, rows::ext_authz()),
    ];
    let mut counts = Vec::new();
    for (name, case) in cases {
        for (seconds, counting) in [(warm, false), (time, true)] {
            let order =
                crate::load::Order { connections: CONNECTIONS, ..case.order(&stand, seconds) };
            let mut counted = Counted { all: 0, in_no_file: 0 };
            let observed = bench
                .observe(&stand, &case, CONNECTIONS, |placement| {
                    if !counting {
                        return wrk::run(placement, &order);
                    }
                    let (load, sum) = counter.while_running(|| wrk::run(placement, &order))?;
                    counted = sum;
                    Ok(load)
                })
                .await?;
            if counting {
                let requests = observed.load.requests as f64;
                let row = Row {
                    name,
                    all: counted.all as f64 / requests,
                    in_no_file: counted.in_no_file as f64 / requests,
                };
                eprintln!("{name}: {:.0} instructions a request, of {requests}", row.all);
                counts.push(row);
            }
        }
    }
    Ok(Section {
        title: "Instructions of the whole Envoy",
        notes: vec![format!(
            "By callgrind, {CONNECTIONS} connections of HTTP/1.1, {} s each; the kernel's work is \
             not in it. *In no file* is code that V8 has compiled (the module, and what leads into it and out of it) \
             and the page by which the kernel tells the time, which every chain reads. The third row is a module of a few instructions that makes the host \
             calls that a hit needs (all headers, the clock, one removal, one addition) and decides \
             nothing.",
            time.as_secs()
        )],
        tables: vec![table(&counts)],
        ..Section::default()
    })
}

fn table(rows: &[Row]) -> Table {
    let of = |name| rows.iter().find(|row| row.name == name).map_or(f64::NAN, |row| row.all);
    let (do_nothing, ext_authz) = (of(rows::DO_NOTHING), of(rows::EXT_AUTHZ));
    let mut table = Table::new([
        "chain",
        "instructions/request",
        "in no file",
        "× do-nothing Wasm filter",
        "× ext_authz",
    ]);
    for Row { name, all, in_no_file } in rows {
        table.row([
            (*name).to_owned(),
            format!("{all:.0}"),
            format!("{in_no_file:.0}"),
            format!("{:.3}", all / do_nothing),
            format!("{:.3}", all / ext_authz),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_do_nothing_and_ext_authz() {
        let row = |name, all| Row { name, all, in_no_file: 10.0 };
        let rows = [row(rows::DO_NOTHING, 200.0), row(HIT, 210.0), row(rows::EXT_AUTHZ, 400.0)];
        let table = table(&rows);
        assert_eq!(table.rows[1], [HIT, "210", "10", "1.050", "0.525"]);
        assert_eq!(table.rows[2][3], "2.000");
    }

    #[test]
    fn the_floor_is_a_module() {
        assert!(wat::parse_str(FLOOR_MODULE).unwrap().starts_with(b"\0asm"));
    }
}
