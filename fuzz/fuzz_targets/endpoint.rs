//! See `fuzz_harness::endpoint`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::endpoint::check(data));
