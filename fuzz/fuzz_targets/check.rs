//! See `fuzz_harness::check`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::check::check(data));
