//! Instructions instead of time: the instructions of the whole Envoy for a request, by callgrind.
//! Processor time depends on other load of the machine; this count does not. The floor is a module
//! of a few instructions that makes the necessary host calls of a hit and decides nothing.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use integration::Options;

use super::rows;
use crate::callgrind;
use crate::load::{self, Order, scratch};
use crate::measure::{Bench, Case};
use crate::report::{Section, table};
use crate::servers::{Chain, Rig, Server, wasm};

/// Few, so that what a connection takes to begin is no part of the figures.
const CONNECTIONS: u32 = 8;

const FLOOR: &str = "host calls of a hit, no decision";

/// The host calls of a hit: all headers, the clock, one header removed, one added. The host's
/// results in the module's memory may overlap.
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

pub(crate) async fn run(bench: &Bench) -> Result<Section> {
    let time = Duration::from_secs(if bench.quick { 4 } else { 8 });
    let module = scratch()?.join("floor.wasm");
    fs::write(&module, wat::parse_str(FLOOR_MODULE)?)?;
    let mut chains = rows::chains()?;
    chains.extend(rows::guarded_chains()?);
    chains.push(Chain::new("floor", [wasm("floor", "floor", &module, "")]));
    let options = Options { under: callgrind::command()?, ..Options::default() };
    let rig = Rig::start_as(&bench.placement, &[Server::default()], chains, &options).await?;

    let [telling, guarded] = rows::guarded_hits();
    let mut counts = Vec::new();
    for case in [
        rows::no_filter(),
        rows::do_nothing(),
        Case { injected: 1, ..Case::new(FLOOR, "floor") },
        rows::hit(),
        telling,
        guarded,
        rows::asks(),
        rows::ext_authz(),
    ] {
        let order = |time| Order { connections: CONNECTIONS, ..case.order(&rig, time) };
        bench.observe(&rig, &case, &order(Duration::from_secs(4)), load::run).await?;
        let mut counted = None;
        let counting = |placement: &_, order: &_| {
            let run = || load::run(placement, order);
            let (load, count) = callgrind::count(rig.measured.id(), run)?;
            let requests = load.requests as f64;
            counted = Some((count.all as f64 / requests, count.in_no_file as f64 / requests));
            Ok(load)
        };
        bench.observe(&rig, &case, &order(time), counting).await?;
        counts.extend(counted.map(|(all, in_no_file)| (case.name.clone(), all, in_no_file)));
    }
    let of = |name| counts.iter().find(|count| count.0 == name).map_or(f64::NAN, |count| count.1);
    let (do_nothing, ext_authz) = (of(rows::DO_NOTHING), of(rows::EXT_AUTHZ));
    let cells = |(name, all, in_no_file): &(String, f64, f64)| {
        [
            name.clone(),
            format!("{all:.0}"),
            format!("{in_no_file:.0}"),
            format!("{:.3}", all / do_nothing),
            format!("{:.3}", all / ext_authz),
        ]
    };
    let heads =
        ["chain", "instructions/request", "in no file", "× do-nothing Wasm filter", "× ext_authz"];
    Ok(Section {
        title: "Instructions of the whole Envoy",
        notes: vec![format!(
            "By callgrind, {CONNECTIONS} connections of HTTP/1.1, {} s each, without the kernel's \
             instructions. *In no file* is code that V8 compiled (the module, and its entries and \
             exits) and the kernel's clock page, which every chain reads. The third row is a module \
             of a few instructions that makes the host calls of a hit (all headers, the clock, one \
             removal, one addition) and decides nothing.",
            time.as_secs()
        )],
        tables: vec![table(&heads, counts.iter().map(cells))],
        ..Section::default()
    })
}
