//! The yardstick of the benchmark: a filter by the stock SDK that looks at nothing and changes
//! nothing. What a request costs through it is what Envoy's Wasm host costs by itself. It must
//! never do anything.
#![cfg(target_arch = "wasm32")]

use proxy_wasm::traits::{Context, HttpContext};

struct Nothing;

impl Context for Nothing {}

impl HttpContext for Nothing {}

proxy_wasm::main! {{
    proxy_wasm::set_http_context(|_, _| Box::new(Nothing));
}}
