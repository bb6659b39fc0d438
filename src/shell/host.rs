//! What the shell asks of the host by the SDK. None of it panics on what Envoy can answer; what
//! would is in `raw.rs`. No host call may be made but by these two modules, and none that
//! `imports.txt` does not list.
//!
//! What Envoy 1.40 answers, by its source and proxy-wasm-cpp-host's:
//!
//! | call | by | `Ok` | else |
//! | --- | --- | --- | --- |
//! | `proxy_log` | SDK | always | |
//! | `proxy_http_call` | SDK | the call is under way | `BadArgument`: no such cluster; `InternalFailure`: no healthy host, the cluster's circuit breaker is open |
//! | `proxy_get_buffer_bytes` | SDK | also with fewer bytes than were asked for | `NotFound`: no configuration is being read, no call has ended |
//! | `proxy_continue_stream` | SDK | always for a request | |
//! | `proxy_set_effective_context` | SDK | the context exists | `BadArgument`: it does not, its request is over |
//! | `proxy_set_tick_period_milliseconds` | SDK | always | |
//! | `proxy_get_shared_data` | SDK | something is there | `NotFound`: nothing is |
//! | `proxy_set_shared_data` | SDK | always without a CAS number, and none is given | |
//! | `proxy_define_metric` | SDK | always for the three kinds | |
//! | `proxy_increment_metric` | SDK | it has been added | `NotFound`: no such metric; `BadArgument`: a counter by less than 1, a histogram |
//! | `proxy_record_metric` | SDK | it has been recorded | `NotFound`: no such metric |
//! | `proxy_get_header_map_pairs` | raw | always; no pairs where there is no such map | |
//! | `proxy_add_`, `replace_`, `remove_header_map_value` | raw | it has been edited, also to what no header may hold | `BadArgument`: no such map, the request has gone on |
//! | `proxy_set_property` | raw | it has been set | `NotFound`: no request is in effect; `BadArgument`: it is read-only |
//! | `proxy_send_local_response` | raw | always; a second one for a request is not sent, though the access log has its details | |
//! | `proxy_done` | raw | the root is about to be deleted | `NotFound`: its end is not pending |
//!
//! Besides, a call that takes a pointer answers `InvalidMemoryAccess` for memory that is not the
//! module's, and where it has none left to give; by then it has stopped.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MetricType, Status};

use super::raw::Failed;
use crate::provider::call::Call;

impl From<Status> for Failed {
    fn from(_: Status) -> Failed {
        Failed
    }
}

/// The filter's configuration.
pub(super) fn configuration(size: usize) -> Result<Vec<u8>, Failed> {
    buffer(BufferType::PluginConfiguration, size)
}

/// The body of the answer to a call, all `size` bytes of it.
pub(super) fn answer_body(size: usize) -> Result<Vec<u8>, Failed> {
    buffer(BufferType::HttpCallResponseBody, size)
}

fn buffer(buffer: BufferType, size: usize) -> Result<Vec<u8>, Failed> {
    if size == 0 {
        return Ok(Vec::new());
    }
    let bytes = hostcalls::get_buffer(buffer, 0, size)?.ok_or(Failed)?;
    if bytes.len() == size { Ok(bytes) } else { Err(Failed) }
}

/// Makes a call for the root of the context in effect, and gives the host's number for it. Its end is
/// told to the context whose callback runs: see `calls.rs`.
pub(super) fn http_call(call: &Call) -> Result<u32, Failed> {
    let headers = call.headers.iter().collect();
    let body = (!call.body.is_empty()).then_some(call.body.as_slice());
    Ok(hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), call.timeout)?)
}

/// Lets the request in effect go on, after this callback. No header can be edited any more.
pub(super) fn resume_request() {
    let _ = hostcalls::resume_http_request();
}

/// Puts another stream in effect until this callback ends; `Failed` where it is gone.
pub(super) fn put_in_effect(stream: u32) -> Result<(), Failed> {
    Ok(hostcalls::set_effective_context(stream)?)
}

/// Has the root called this often. That it could not be is no reason to refuse a configuration: the
/// host reports its own timeouts.
pub(super) fn set_tick_period(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}

/// What another worker, or this one, has left under a name. `None` also where the host has nothing
/// to say: a lookup finds nothing then.
pub(super) fn shared_data(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_shared_data(name).ok()?.0
}

/// Stores a value under a name for all workers: the present one is replaced. A failure is harmless:
/// the others call the provider.
pub(super) fn set_shared_data(name: &str, value: &[u8]) {
    let _ = hostcalls::set_shared_data(name, Some(value), None);
}

/// Defines a counter and gives its number.
pub(super) fn define_counter(name: &str) -> Result<u32, Failed> {
    Ok(hostcalls::define_metric(MetricType::Counter, name)?)
}

/// Defines a gauge and gives its number.
pub(super) fn define_gauge(name: &str) -> Result<u32, Failed> {
    Ok(hostcalls::define_metric(MetricType::Gauge, name)?)
}

/// Defines a histogram and gives its number.
pub(super) fn define_histogram(name: &str) -> Result<u32, Failed> {
    Ok(hostcalls::define_metric(MetricType::Histogram, name)?)
}

/// Adds to a counter or a gauge; a gauge may be taken from.
pub(super) fn increment(id: u32, difference: i64) {
    let _ = hostcalls::increment_metric(id, difference);
}

/// Adds a value to a histogram.
pub(super) fn record(id: u32, value: u64) {
    let _ = hostcalls::record_metric(id, value);
}
