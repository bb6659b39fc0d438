//! See `fuzz_harness::jsonpath`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::jsonpath::check(data));
