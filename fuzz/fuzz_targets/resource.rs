//! Searches for inputs that break a promise of `fuzz_targets::resource`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::resource(data));
