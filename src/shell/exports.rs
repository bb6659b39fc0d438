//! What Envoy calls: the exports of the proxy-wasm ABI v0.2.1 that the filter has a use for.
//!
//! Envoy enters the VM for every callback that a module exports, useful or not, so nothing is
//! exported that does nothing: no response headers, no response body, no log, no deletion (a
//! context is forgotten when it is done). One more export is a reviewed change, see `exports.txt`.
//! Nothing is decided here.

#![allow(unsafe_code, reason = "the proxy-wasm ABI is a C interface")]

use std::alloc::{self, Layout};
use std::panic;
use std::ptr;

use super::host::{self, Level};
use super::instance::Root;
use super::phase::Flow;
use super::streams::Stream;
use super::worker::Worker;
use super::{http, root};
use crate::filter::StreamId;

/// The version of the ABI.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// The first call into a VM.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the linker's function for the module's constructors, called once, before all else.
    unsafe { __wasm_call_ctors() };
    // The standard hook prints the panic's message, which may hold bytes of a request.
    panic::set_hook(Box::new(|info| {
        let (file, line) = info.location().map_or(("", 0), |l| (l.file(), l.line()));
        host::log(Level::Error, &format!("panic at {file}:{line}"));
    }));
}

/// Memory for what the host hands over; [`host`] takes charge of it as a `Vec<u8>` of just this
/// capacity.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size.max(1)) {
        // SAFETY: the layout's size is not zero.
        Ok(layout) => unsafe { alloc::alloc(layout) },
        Err(_) => ptr::null_mut(),
    }
}

/// A context begins: a filter configuration, or a request at one.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    let worker = Worker::of_vm();
    if parent == 0 {
        worker.roots.borrow_mut().insert(context, Root::default());
    } else {
        let filter = worker.roots.borrow().get(&parent).and_then(Root::filter);
        worker.streams.begin(StreamId(context), Stream::new(filter));
    }
}

/// A filter configuration is to be read.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> bool {
    root::configure(&Worker::of_vm(), root, size)
}

/// The timer of a filter configuration.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    Worker::of_vm().tick(root);
}

/// The headers of a request.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(stream: u32, _: usize, ends: bool) -> Flow {
    http::headers(&Worker::of_vm(), StreamId(stream), ends)
}

/// A part of the body of a request.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(stream: u32, _: usize, _: bool) -> Flow {
    http::body(&Worker::of_vm(), StreamId(stream))
}

/// The trailers of a request.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(stream: u32, _: usize) -> Flow {
    http::trailers(&Worker::of_vm(), StreamId(stream))
}

/// A call to a provider has ended.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    root: u32,
    token: u32,
    headers: usize,
    body_size: usize,
    _: usize,
) {
    root::called_back(&Worker::of_vm(), root, token, headers, body_size);
}

/// A context ends. A configuration may ask for time, and says later that it needs no more.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(context: u32) -> bool {
    let worker = Worker::of_vm();
    match worker.streams.end(StreamId(context)) {
        Some(stream) => {
            http::gone(&worker, StreamId(context), &stream);
            true
        }
        None => root::done(&worker, context),
    }
}
