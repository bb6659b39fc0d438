//! The filter as Envoy sees it: the only code that names `proxy_wasm`.
//!
//! The shell obeys. It reads bytes, hands them to the core, and carries out what comes back; it
//! holds no `if` about authorization. It must never panic: a panic takes the worker's whole VM and
//! every request it holds down with it.

mod host;
mod http;
mod meter;
mod root;
mod worker;

use std::panic;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    // The SDK's hook prints the panic's message, which may hold bytes of a request.
    panic::set_hook(Box::new(|info| {
        let (file, line) = info.location().map_or(("", 0), |l| (l.file(), l.line()));
        log::error!("panic at {file}:{line}");
    }));
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}
