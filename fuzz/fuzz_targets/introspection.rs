//! See `fuzz_harness::introspection`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::introspection::check(data));
