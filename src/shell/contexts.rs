//! The filter as contexts of the SDK, one for each filter configuration and one for each request.
//! Its dispatcher calls them, and they pass everything on to the worker. Nothing is decided here.
//!
//! The SDK exports every callback of the proxy-wasm ABI v0.2.1, and Envoy enters the VM for each
//! that a module exports, useful or not. So `cargo xtask build` removes those that `exports.txt`
//! does not list: no response headers, no response body, no log. No deletion either: the SDK would
//! then keep each context for ever, so it is told to forget those that have ended when the next
//! begins. A module from which nothing was removed works too, and costs more.

use std::panic;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use super::instance::Root;
use super::lines::Line;
use super::streams::Stream;
use super::worker::Worker;
use super::{http, root};
use crate::filter::StreamId;

proxy_wasm::main! {{
    // Makes the SDK's logger the facade's, and sets a panic hook that prints the panic's message:
    // it may hold bytes of a request.
    proxy_wasm::set_log_level(LogLevel::Info);
    panic::set_hook(Box::new(|info| Line::Panic(info).write()));
    proxy_wasm::set_root_context(|id| {
        Worker::of_vm().begin_root(id);
        Box::new(ConfigurationContext(id))
    });
}}

/// A filter configuration.
struct ConfigurationContext(u32);

impl Drop for ConfigurationContext {
    fn drop(&mut self) {
        Worker::of_vm().forgotten(self.0);
    }
}

impl Context for ConfigurationContext {
    /// A call to a provider has ended.
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _: usize) {
        let worker = Worker::of_vm();
        let ended = || root::called_back(&worker, self.0, token, headers, body_size);
        worker.calls.in_root(self.0, ended);
    }

    /// The configuration is removed. It may ask for time, and says later that it needs no more.
    fn on_done(&mut self) -> bool {
        let worker = Worker::of_vm();
        worker.calls.in_root(self.0, || root::done(&worker, self.0))
    }
}

impl RootContext for ConfigurationContext {
    /// The configuration is to be read.
    fn on_configure(&mut self, size: usize) -> bool {
        let worker = Worker::of_vm();
        worker.calls.in_root(self.0, || root::configure(&worker, self.0, size))
    }

    /// The timer of the configuration.
    fn on_tick(&mut self) {
        let worker = Worker::of_vm();
        worker.calls.in_root(self.0, || worker.tick(self.0));
    }

    /// Entered by the shell itself, to make a call; the filter has no queue.
    fn on_queue_ready(&mut self, _: u32) {
        let worker = Worker::of_vm();
        worker.calls.in_root(self.0, || worker.calls.queue_ready());
    }

    /// A request begins.
    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let worker = Worker::of_vm();
        worker.streams.forget_ended();
        let filter = worker.roots.borrow().get(&self.0).and_then(Root::filter);
        worker.streams.begin(StreamId(id), Stream::new(filter));
        Some(Box::new(RequestContext(
            StreamId(id),
            #[cfg(feature = "fault-injection")]
            super::refused::Kept::new(),
        )))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// A request.
struct RequestContext(StreamId, #[cfg(feature = "fault-injection")] super::refused::Kept);

impl Drop for RequestContext {
    fn drop(&mut self) {
        Worker::of_vm().streams.forgotten(self.0);
    }
}

impl Context for RequestContext {
    /// The request is over.
    fn on_done(&mut self) -> bool {
        let worker = Worker::of_vm();
        if let Some(stream) = worker.streams.end(self.0) {
            http::gone(&worker, self.0, &stream);
        }
        true
    }
}

impl HttpContext for RequestContext {
    fn on_http_request_headers(&mut self, _: usize, ends: bool) -> Action {
        http::headers(&Worker::of_vm(), self.0, ends)
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        http::body(&Worker::of_vm(), self.0)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        http::trailers(&Worker::of_vm(), self.0)
    }
}
