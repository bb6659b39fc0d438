//! The host calls that the SDK offers in a form that this filter cannot use, and WASI's; the rest
//! goes through the SDK, see `host.rs`. No foreign function may be declared anywhere else, and no
//! function of this module may panic on anything that Envoy answers or a client sends.
//!
//! Why each is here (`proxy-wasm` 0.2.5; the statuses are in the table of `host.rs`):
//!
//! - Reading a header map: the SDK makes two allocations for each pair, about forty for a request, and
//!   panics on a name that is not UTF-8. Here all pairs are views into the one block.
//! - Editing a header map, setting filter state, `proxy_done`: the SDK panics on `BadArgument` and
//!   `NotFound`, which Envoy gives where a request has gone on already, where another filter has made
//!   the filter state read-only, and where no end is pending. A panic stops the worker's whole VM.
//! - A local reply: the SDK passes no response code details.
//! - WASI's clocks and random bytes: the SDK has a wall clock alone, and `std` no number of a
//!   monotonic clock that means the same in all workers.
//! - `memcmp`, which the C library has and does by bytes: see `memory.rs`.
//! - Two callbacks of the SDK itself, which the shell calls: see [`enter`] and [`forget`].
//! - The callback of a new connection, for which the SDK panics in a module of HTTP filters, and the order to
//!   close the connection: see [`refuse_connection`].

#![allow(unsafe_code, reason = "the proxy-wasm ABI is a C interface")]

use std::ptr;

use proxy_wasm::types::{Action, MapType, StreamType};

use super::fault_injection::Safeguard;
use super::lines::Line;
use crate::filter::header_edit::HeaderEdit;
use crate::request::block;
use crate::request::headers::HeaderView;
use crate::request::strip::Name;

/// A host call did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

/// `proxy_status_t`. A number: the SDK's enum knows no 6, 9, 11 and 12.
type Status = u32;
const OK: Status = 0;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> Status;
    fn proxy_add_header_map_value(
        map: MapType,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_replace_header_map_value(
        map: MapType,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_remove_header_map_value(map: MapType, key: *const u8, key_size: usize) -> Status;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> Status;
    fn proxy_done() -> Status;
    fn proxy_close_stream(stream: StreamType) -> Status;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u16;
    fn random_get(buffer: *mut u8, size: usize) -> u16;
}

// Callbacks that the SDK defines in this module, and that Envoy never calls: `exports.txt` lists
// neither.
unsafe extern "C" {
    fn proxy_on_queue_ready(root: u32, queue: u32);
    fn proxy_on_delete(context: u32);
}

/// Every comparison of memory in this module, also the compiler's.
///
/// # Safety
///
/// Both must be readable for `n` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { crate::memory::compare(a, b, n) }
}

/// A connection begins: Envoy has the module as a network filter, where it sees no request and could check
/// none. So it closes every connection. Exported as `proxy_on_new_connection`, see xtask/src/module.rs; an
/// HTTP filter is not asked.
#[unsafe(no_mangle)]
extern "C" fn refuse_connection(_context: u32) -> Action {
    Line::NetworkFilter.write();
    // SAFETY: no pointers. Envoy closes every connection; a pause alone would end with its first data.
    let _ = unsafe { proxy_close_stream(StreamType::Downstream) };
    Action::Pause
}

/// WASI's clocks.
const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

fn checked(status: Status) -> Result<(), Failed> {
    if status == OK { Ok(()) } else { Err(Failed) }
}

/// A serialized header map, as the host handed it over.
pub(super) struct HeaderBlock(Vec<u8>);

impl HeaderBlock {
    /// The request's headers.
    pub(super) fn of_request() -> Result<HeaderBlock, Failed> {
        HeaderBlock::read(MapType::HttpRequestHeaders)
    }

    /// The request's trailers.
    pub(super) fn of_trailers() -> Result<HeaderBlock, Failed> {
        HeaderBlock::read(MapType::HttpRequestTrailers)
    }

    /// The headers of the answer to a call; empty where it ended without a whole answer.
    pub(super) fn of_answer() -> Result<HeaderBlock, Failed> {
        HeaderBlock::read(MapType::HttpCallResponseHeaders)
    }

    fn read(map: MapType) -> Result<HeaderBlock, Failed> {
        let mut data = ptr::null_mut();
        let mut size = 0;
        // SAFETY: both pointers are valid for writes during the call.
        checked(unsafe { proxy_get_header_map_pairs(map, &mut data, &mut size) })?;
        if data.is_null() || size == 0 {
            return Ok(HeaderBlock(Vec::new()));
        }
        // SAFETY: on success the host gives a buffer of `size` bytes that it got from the SDK's
        // `proxy_on_memory_allocate`: the allocation of a boxed slice of bytes of just that size.
        Ok(HeaderBlock(unsafe { Vec::from_raw_parts(data, size, size) }))
    }

    /// Its pairs, in order.
    pub(super) fn head(&self) -> Result<HeaderView<'_>, Failed> {
        block::read(&self.0).map_err(|block::Malformed| Failed)
    }
}

/// Applies edits to the headers of the request in effect.
pub(super) fn edit_request(edit: &HeaderEdit) -> Result<(), Failed> {
    edit.remove.iter().try_for_each(|name| remove(MapType::HttpRequestHeaders, name))?;
    edit.added().try_for_each(|field| put(proxy_add_header_map_value, field))?;
    edit.replaced().try_for_each(|field| put(proxy_replace_header_map_value, field))
}

/// The two host calls that put a field into a header map.
type Put = unsafe extern "C" fn(MapType, *const u8, usize, *const u8, usize) -> Status;

fn put(call: Put, (name, value): (&str, &str)) -> Result<(), Failed> {
    let map = MapType::HttpRequestHeaders;
    // SAFETY: pointers and sizes belong to live slices.
    checked(unsafe { call(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Removes trailers of the request in effect.
pub(super) fn remove_trailers(names: &[Name]) -> Result<(), Failed> {
    names.iter().try_for_each(|name| remove(MapType::HttpRequestTrailers, name))
}

fn remove(map: MapType, name: &[u8]) -> Result<(), Failed> {
    if !Safeguard::Strip.is_active() && name != b"authorization" {
        return Ok(());
    }
    // SAFETY: pointer and size belong to a live slice.
    checked(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// Leaves a text as filter state `wasm.<name>`.
pub(super) fn set_filter_state(name: &str, value: &str) -> Result<(), Failed> {
    // SAFETY: pointers and sizes belong to live slices.
    checked(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Answers the request in effect. The stream ends with it, so there is nobody to tell of a failure.
pub(super) fn send_local_reply(
    status: u16,
    headers: &[(&'static str, String)],
    body: &str,
    details: &str,
) {
    let headers = block::write(headers);
    // SAFETY: pointers and sizes belong to live slices. -1: Envoy derives the gRPC status.
    let _ = unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    };
}

/// Answers the request in effect with 500 and nothing else.
pub(super) fn answer_internal_error(reason: &str) {
    let details = format!("oidc_token_connector{{internal:{reason}}}");
    send_local_reply(500, &[("cache-control", "no-store".to_owned())], "", &details);
}

/// The root in effect, which has asked for time to end, needs no more. `Failed` where the host does
/// not wait for it.
pub(super) fn done() -> Result<(), Failed> {
    // SAFETY: no pointers.
    checked(unsafe { proxy_done() })
}

/// Runs the `on_queue_ready` of this root, as if the host had called it: what it calls is then the
/// root's for the SDK, which tells the end of a call to the context whose callback made it. A
/// stream may be gone by then.
///
/// Only from a callback of a request: from one of a root the SDK would panic, as it holds all roots
/// while it runs one of them.
pub(super) fn enter(root: u32) {
    // SAFETY: a function of this module that takes numbers; the SDK checks them itself.
    unsafe { proxy_on_queue_ready(root, 0) };
}

/// Has the SDK forget a context that has ended.
///
/// A stream's only while the SDK runs no stream, and a root's only while it runs no context at all:
/// it would panic.
pub(super) fn forget(context: u32) {
    // SAFETY: as above.
    unsafe { proxy_on_delete(context) };
}

/// Random bytes; zeros where the host has none, which Envoy never says.
pub(super) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // SAFETY: the buffer is valid for writes of its size during the call.
    let _ = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
    bytes
}

/// Nanoseconds on a clock that never goes back, the same for all workers.
pub(super) fn monotonic_nanos() -> u64 {
    clock(MONOTONIC)
}

/// Nanoseconds since 1970 on the wall clock.
pub(super) fn nanos_since_1970() -> u64 {
    clock(REALTIME)
}

/// A clock's nanoseconds; 0 where the host has no such clock, which Envoy never says.
fn clock(clock: u32) -> u64 {
    let mut time = 0;
    // SAFETY: `time` is valid for writes during the call.
    let _ = unsafe { clock_time_get(clock, 1, &mut time) };
    time
}
