//! See `fuzz_harness::token`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::token::check(data));
