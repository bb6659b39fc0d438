//! See `fuzz_harness::challenge`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::challenge::check(data));
