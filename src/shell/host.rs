//! The host calls of the proxy-wasm ABI v0.2.1, as bytes and without a panic.
//!
//! They are declared here rather than taken from the SDK, whose wrappers panic on a status they do
//! not expect and on a header that is not UTF-8, and pass no response-code details: each of these
//! stops a worker or hides a reason. No call may be made that `imports.txt` does not list.

#![allow(unsafe_code, reason = "the proxy-wasm ABI is a C interface")]

use std::ptr;
use std::time::Duration;

use crate::filter::header_edit::HeaderEdit;
use crate::provider::call::Call;
use crate::request::headers::HeaderView;
use crate::request::strip::Name;

/// How much an entry of Envoy's log matters (`proxy_log_level_t`).
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Level {
    /// Something for the curious.
    Info = 2,
    /// Something that an operator may have to see to.
    Warn = 3,
    /// Something that an operator has to see to.
    Error = 4,
}

/// A host call did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

/// `proxy_status_t` (proxy-wasm ABI v0.2.1)
type Status = u32;
const OK: Status = 0;

const REQUEST_HEADERS: u32 = 0;
const REQUEST_TRAILERS: u32 = 1;
const CALL_RESPONSE_HEADERS: u32 = 6;
const CALL_RESPONSE_BODY: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;
const HTTP_REQUEST_STREAM: u32 = 0;
const COUNTER: u32 = 0;
const GAUGE: u32 = 1;
const HISTOGRAM: u32 = 2;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> Status;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        token: *mut u32,
    ) -> Status;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> Status;
    fn proxy_add_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> Status;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
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
    fn proxy_continue_stream(stream: u32) -> Status;
    fn proxy_set_effective_context(context: u32) -> Status;
    fn proxy_set_tick_period_milliseconds(period: u32) -> Status;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> Status;
    fn proxy_increment_metric(id: u32, offset: i64) -> Status;
    fn proxy_record_metric(id: u32, value: u64) -> Status;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> Status;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> Status;
    fn proxy_done() -> Status;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u16;
    fn random_get(buffer: *mut u8, size: usize) -> u16;
}

/// WASI's clocks.
const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;

fn checked(status: Status) -> Result<(), Failed> {
    if status == OK { Ok(()) } else { Err(Failed) }
}

/// Takes over a buffer that the host allocated in this module's memory.
fn taken(call: impl FnOnce(*mut *mut u8, *mut usize) -> Status) -> Result<Vec<u8>, Failed> {
    let mut data = ptr::null_mut();
    let mut size = 0;
    checked(call(&mut data, &mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: on success the host gives a buffer of `size` bytes that it got from this module's
    // `proxy_on_memory_allocate`: the allocation of a `Vec<u8>` of just that capacity.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// A serialized header map, as the host handed it over.
pub(super) struct HeaderBlock(Vec<u8>);

impl HeaderBlock {
    /// The request's headers.
    pub(super) fn of_request() -> Result<HeaderBlock, Failed> {
        HeaderBlock::read(REQUEST_HEADERS)
    }

    /// The request's trailers.
    pub(super) fn of_trailers() -> Result<HeaderBlock, Failed> {
        HeaderBlock::read(REQUEST_TRAILERS)
    }

    /// The headers of the answer to a call; empty where it ended without a whole answer.
    pub(super) fn of_answer() -> Result<HeaderBlock, Failed> {
        HeaderBlock::read(CALL_RESPONSE_HEADERS)
    }

    fn read(map: u32) -> Result<HeaderBlock, Failed> {
        // SAFETY: both pointers are valid for writes during the call.
        taken(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) }).map(HeaderBlock)
    }

    /// Its pairs, in order. `Failed` where the block does not add up: a count, then two lengths per
    /// pair, then names and values, each with a zero byte behind it.
    pub(super) fn head(&self) -> Result<HeaderView<'_>, Failed> {
        if self.0.is_empty() {
            return Ok(HeaderView::default());
        }
        let mut lengths = Fields(&self.0);
        let count = lengths.length()?;
        let texts = lengths.0.get(count.checked_mul(8).ok_or(Failed)?..).ok_or(Failed)?;
        let mut texts = Fields(texts);
        // Each pair has its lengths, so the count is bounded by the block's own size here.
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, value) = (lengths.length()?, lengths.length()?);
            pairs.push((texts.text(name)?, texts.text(value)?));
        }
        Ok(HeaderView::new(pairs))
    }
}

/// What is left of a serialized header map.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn length(&mut self) -> Result<usize, Failed> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(Failed)?;
        self.0 = rest;
        usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Failed)
    }

    fn text(&mut self, length: usize) -> Result<&'b [u8], Failed> {
        let (text, rest) = self.0.split_at_checked(length).ok_or(Failed)?;
        self.0 = rest.get(1..).ok_or(Failed)?;
        Ok(text)
    }
}

/// Applies edits to the headers of the request in effect.
pub(super) fn edit_request(edit: &HeaderEdit) -> Result<(), Failed> {
    edit.remove.iter().try_for_each(|name| remove(REQUEST_HEADERS, name))?;
    edit.added().try_for_each(|field| put(proxy_add_header_map_value, field))?;
    edit.replaced().try_for_each(|field| put(proxy_replace_header_map_value, field))
}

/// The two host calls that put a field into a header map.
type Put = unsafe extern "C" fn(u32, *const u8, usize, *const u8, usize) -> Status;

fn put(call: Put, (name, value): (&str, &str)) -> Result<(), Failed> {
    // SAFETY: pointers and sizes belong to live slices.
    let status =
        unsafe { call(REQUEST_HEADERS, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    checked(status)
}

/// Removes trailers of the request in effect.
pub(super) fn remove_trailers(names: &[Name]) -> Result<(), Failed> {
    names.iter().try_for_each(|name| remove(REQUEST_TRAILERS, name))
}

fn remove(map: u32, name: &[u8]) -> Result<(), Failed> {
    // SAFETY: pointer and size belong to a live slice.
    checked(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// The filter's configuration.
pub(super) fn configuration(size: usize) -> Result<Vec<u8>, Failed> {
    buffer(PLUGIN_CONFIGURATION, size)
}

/// The body of the answer to a call, all `size` bytes of it.
pub(super) fn answer_body(size: usize) -> Result<Vec<u8>, Failed> {
    buffer(CALL_RESPONSE_BODY, size)
}

fn buffer(buffer: u32, size: usize) -> Result<Vec<u8>, Failed> {
    if size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: both pointers are valid for writes during the call.
    let bytes = taken(|data, read| unsafe { proxy_get_buffer_bytes(buffer, 0, size, data, read) })?;
    if bytes.len() == size { Ok(bytes) } else { Err(Failed) }
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
    let headers = serialized(headers.iter().map(|(name, value)| (*name, value.as_str())));
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

/// A header map as the host reads it; see [`HeaderBlock::head`].
fn serialized<'a>(headers: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Vec<u8> {
    let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let (mut count, mut size) = (0_usize, 4_usize);
    for (name, value) in headers.clone() {
        count = count.saturating_add(1);
        size = size.saturating_add(name.len()).saturating_add(value.len()).saturating_add(10);
    }
    let mut block = Vec::with_capacity(size);
    block.extend_from_slice(&length(count));
    for (name, value) in headers.clone() {
        block.extend_from_slice(&length(name.len()));
        block.extend_from_slice(&length(value.len()));
    }
    for (name, value) in headers {
        block.extend_from_slice(name.as_bytes());
        block.push(0);
        block.extend_from_slice(value.as_bytes());
        block.push(0);
    }
    block
}

/// Makes a call for the root of the context in effect, and gives the host's number for it.
pub(super) fn http_call(call: &Call) -> Result<u32, Failed> {
    let headers = serialized(call.headers.iter());
    let timeout = u32::try_from(call.timeout.as_millis()).unwrap_or(u32::MAX);
    let mut token = 0;
    // SAFETY: pointers and sizes belong to live slices, or the size is 0; `token` is valid for
    // writes during the call.
    checked(unsafe {
        proxy_http_call(
            call.cluster.as_ptr(),
            call.cluster.len(),
            headers.as_ptr(),
            headers.len(),
            ptr::null(),
            0,
            ptr::null(),
            0,
            timeout,
            &mut token,
        )
    })?;
    Ok(token)
}

/// Writes a line to Envoy's log. It must hold nothing of a request, an answer or a claim.
pub(super) fn log(level: Level, line: &str) {
    // SAFETY: pointer and size belong to a live slice.
    let _ = unsafe { proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// Lets the request in effect go on, after this callback. No header can be edited any more.
pub(super) fn resume_request() {
    // SAFETY: no pointers.
    let _ = unsafe { proxy_continue_stream(HTTP_REQUEST_STREAM) };
}

/// Puts another stream in effect until this callback ends; `Failed` where it is gone.
pub(super) fn put_in_effect(stream: u32) -> Result<(), Failed> {
    // SAFETY: no pointers.
    checked(unsafe { proxy_set_effective_context(stream) })
}

/// Has the root called this often. That it could not be is no reason to refuse a configuration: the
/// host reports its own timeouts.
pub(super) fn set_tick_period(period: Duration) {
    let milliseconds = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: no pointers.
    let _ = unsafe { proxy_set_tick_period_milliseconds(milliseconds) };
}

/// What another worker, or this one, has left under a name. `None` also where the host has nothing
/// to say: a lookup finds nothing then.
pub(super) fn shared_data(name: &str) -> Option<Vec<u8>> {
    let mut cas = 0;
    // SAFETY: pointer and size belong to a live slice; the others are valid for writes.
    taken(|data, size| unsafe {
        proxy_get_shared_data(name.as_ptr(), name.len(), data, size, &mut cas)
    })
    .ok()
}

/// Stores a value under a name for all workers. A failure is harmless: the others call the
/// provider.
pub(super) fn set_shared_data(name: &str, value: &[u8]) {
    // SAFETY: pointers and sizes belong to live slices. 0: the present value is replaced.
    let _ =
        unsafe { proxy_set_shared_data(name.as_ptr(), name.len(), value.as_ptr(), value.len(), 0) };
}

/// The root in effect, which has asked for time to end, needs no more.
pub(super) fn done() {
    // SAFETY: no pointers.
    let _ = unsafe { proxy_done() };
}

/// Defines a counter and gives its number.
pub(super) fn define_counter(name: &str) -> Result<u32, Failed> {
    define(COUNTER, name)
}

/// Defines a gauge and gives its number.
pub(super) fn define_gauge(name: &str) -> Result<u32, Failed> {
    define(GAUGE, name)
}

/// Defines a histogram and gives its number.
pub(super) fn define_histogram(name: &str) -> Result<u32, Failed> {
    define(HISTOGRAM, name)
}

fn define(kind: u32, name: &str) -> Result<u32, Failed> {
    let mut id = 0;
    // SAFETY: pointer and size belong to a live slice; `id` is valid for writes during the call.
    checked(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) })?;
    Ok(id)
}

/// Adds to a counter or a gauge; a gauge may be taken from.
pub(super) fn increment(id: u32, difference: i64) {
    // SAFETY: no pointers.
    let _ = unsafe { proxy_increment_metric(id, difference) };
}

/// Adds a value to a histogram.
pub(super) fn record(id: u32, value: u64) {
    // SAFETY: no pointers.
    let _ = unsafe { proxy_record_metric(id, value) };
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
