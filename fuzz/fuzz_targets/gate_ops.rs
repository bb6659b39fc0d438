//! See `fuzz_harness::gate_ops`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_harness::gate_ops::check(data));
