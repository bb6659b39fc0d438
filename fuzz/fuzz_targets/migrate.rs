//! See `fuzz_harness::migrate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::migrate::check(data));
