//! The floor: modules that make the host calls that a request needs, and decide nothing. What is
//! above it is this filter's own work; what is below, Envoy's. They are WebAssembly text, a few
//! instructions long. What the host writes into their memory may overlap: they do not read it.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use integration::target_dir;
use serde_json::Value;

use super::{PROVIDER, wasm};
use crate::input::header_block;
use crate::tokens;

/// What a hit needs: all headers, the clock, one header removed, one added.
const HIT: &str = r#"
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $headers (i32.const 0) (i32.const 16) (i32.const 20)))
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 24)))
    (drop (call $remove (i32.const 0) (i32.const 100) (i32.const 13)))
    (drop (call $add (i32.const 0) (i32.const 120) (i32.const 6) (i32.const 130) (i32.const 12)))
    i32.const 0)
"#;

/// What a request needs that makes a call: all headers, the clock, the call; its response's headers
/// and body, the clock, one header removed, one added, and on with the request. The host reports the
/// end to the root, so the module remembers whose call it is.
const ASKED: &str = r#"
  (func $slot (param i32) (result i32)
    (i32.add (i32.const 65536) (i32.mul (i32.const 4) (i32.and (local.get 0) (i32.const 4095)))))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $headers (i32.const 0) (i32.const 16) (i32.const 20)))
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 24)))
    (drop (call $call (i32.const 150) (i32.const CLUSTER) (i32.const 1024) (i32.const BLOCK)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000) (i32.const 32)))
    (i32.store (call $slot (i32.load (i32.const 32))) (local.get 0))
    i32.const 1)
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
    (drop (call $headers (i32.const 6) (i32.const 16) (i32.const 20)))
    (drop (call $buffer (i32.const 4) (i32.const 0) (local.get 3) (i32.const 16) (i32.const 20)))
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 24)))
    (drop (call $effective (i32.load (call $slot (local.get 1)))))
    (drop (call $remove (i32.const 0) (i32.const 100) (i32.const 13)))
    (drop (call $add (i32.const 0) (i32.const 120) (i32.const 6) (i32.const 130) (i32.const 12)))
    (drop (call $continue (i32.const 0))))
"#;

/// The exports that every module of this kind has, and a filter needs for its own bookkeeping.
const COMMON: &str = r#"
  (import "env" "proxy_get_header_map_pairs"
    (func $headers (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes"
    (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock (param i32 i64 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value"
    (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value"
    (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
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
"#;

/// The floor of a hit as a filter.
pub(crate) fn of_hit(name: &str) -> Result<Value> {
    filter(name, HIT)
}

/// The floor of a request that makes a call, as a filter.
pub(crate) fn of_call(name: &str) -> Result<Value> {
    let block = call_headers();
    let bytes: String = block.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let code = ASKED
        .replace("CLUSTER", &PROVIDER.len().to_string())
        .replace("BLOCK", &block.len().to_string());
    let data =
        format!("  (data (i32.const 150) \"{PROVIDER}\")\n  (data (i32.const 1024) \"{bytes}\")\n");
    filter(name, &(code + &data))
}

fn filter(name: &str, code: &str) -> Result<Value> {
    let dir = target_dir().join("bench");
    fs::create_dir_all(&dir)?;
    let module: PathBuf = dir.join(format!("{name}.wasm"));
    fs::write(&module, wat::parse_str(format!("(module {COMMON}{code})"))?)?;
    Ok(wasm(name, name, &module, ""))
}

/// The headers of a call, as the host reads them. They are as many as this filter sends.
fn call_headers() -> Vec<u8> {
    let token = format!("Bearer {}", tokens::OPAQUE);
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "127.0.0.1:10000"),
        (":path", "/userinfo"),
        ("authorization", &token),
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
        ("x-request-id", "4f7c1a52-9d0e-4b1f-8a53-0c6f1f6f9a11"),
    ];
    header_block(&fields)
}
