//! Searches for inputs that break a promise of `fuzz_targets::stored`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::stored(data));
