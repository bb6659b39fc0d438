//! The filter as Envoy sees it: the only code that calls the host or is called by it.
//!
//! The shell obeys. It reads bytes, hands them to the core, and carries out what comes back; it
//! holds no `if` about authorization. It must never panic: a panic takes the worker's whole VM and
//! every request it holds down with it.

mod calls;
mod contexts;
mod host;
mod http;
mod instance;
mod lines;
mod meter;
mod phase;
mod raw;
#[cfg(feature = "fault-injection")]
mod refused;
mod root;
mod streams;
mod worker;
