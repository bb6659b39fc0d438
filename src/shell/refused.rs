//! Host calls at wrong times, each made on purpose: what Envoy answers to them, and that no answer
//! stops the worker; and how many requests the SDK still knows. Only by the feature `fault-injection`, which nothing that is shipped has.

use std::cell::Cell;
use std::fmt::Debug;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MetricType};

use super::raw::{self, HeaderBlock};
use crate::filter::StreamId;

/// A number that no context has, and no metric of a known kind.
const NOBODY: u32 = u32::MAX;
/// A number that no counter has; the last two bits are the kind.
const NO_COUNTER: u32 = u32::MAX - 3;

thread_local! {
    /// The requests that the SDK has not forgotten.
    static KEPT: Cell<usize> = const { Cell::new(0) };
}

/// Part of a context, and gone with it.
pub(super) struct Kept;

impl Kept {
    pub(super) fn new() -> Kept {
        KEPT.set(KEPT.get().saturating_add(1));
        Kept
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT.set(KEPT.get().saturating_sub(1));
    }
}

/// Makes them while the headers of this request come, and answers it, twice, with what the host
/// answered.
pub(super) fn answer(root: u32, StreamId(stream): StreamId) {
    let mut told = String::new();
    let mut tell = |call: &str, answer: &dyn Debug| {
        told.push_str(&format!("{call}: {answer:?}\n"));
    };
    let headers = || vec![(":method", "GET"), (":path", "/"), (":authority", "nobody")];
    let call = |cluster, headers| {
        hostcalls::dispatch_http_call(cluster, headers, None, Vec::new(), Duration::from_secs(1))
    };
    tell("a call to no cluster", &call("no_such_cluster", headers()));
    let configuration = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, 1);
    tell("the configuration of a request", &configuration);
    tell("a body of no call", &hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, 1));
    tell("a context that is gone", &hostcalls::set_effective_context(NOBODY));
    tell("shared data that nobody left", &hostcalls::get_shared_data("refused.none"));
    let _ = hostcalls::set_shared_data("refused", Some(b"1"), None);
    let outdated = hostcalls::set_shared_data("refused", Some(b"2"), Some(NOBODY));
    tell("shared data that has changed", &outdated);
    tell("a metric of no kind", &hostcalls::increment_metric(NOBODY, 1));
    tell("a counter that is not there", &hostcalls::increment_metric(NO_COUNTER, 1));
    let histogram = hostcalls::define_metric(MetricType::Histogram, "oidc_refused");
    let added = histogram.and_then(|id| hostcalls::increment_metric(id, 1));
    tell("a histogram added to", &added);
    tell("a metric that is not there", &hostcalls::record_metric(NO_COUNTER, 1));
    let pairs = HeaderBlock::of_answer().and_then(|block| Ok(block.head()?.names().count()));
    tell("headers of no answer", &pairs);
    tell("trailers of a request without", &raw::remove_trailers(&[b"x".into()]));
    let _ = hostcalls::set_effective_context(root);
    tell("filter state of no request", &raw::set_filter_state("refused", "1"));
    tell("an end that nobody waits for", &raw::done());
    let _ = hostcalls::set_effective_context(stream);
    tell("requests that the SDK knows", &KEPT.get());
    raw::send_local_reply(200, &[], &told, "refused");
    raw::send_local_reply(500, &[], "a second answer", "refused_again");
}
