//! See `fuzz_harness::json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::json::check(data));
