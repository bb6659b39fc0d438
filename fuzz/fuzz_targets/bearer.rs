//! See `fuzz_harness::bearer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::bearer::check(data));
