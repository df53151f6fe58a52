//! Searches for inputs that break a promise of `fuzz_targets::event`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::event(data));
