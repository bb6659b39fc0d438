//! See `fuzz_harness::claims`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::claims::check(data));
