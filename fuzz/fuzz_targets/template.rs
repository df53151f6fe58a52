//! Searches for inputs that break a promise of `fuzz_targets::template`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::template(data));
