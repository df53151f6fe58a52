//! Searches for inputs that break a promise of `fuzz_targets::external_template`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::external_template(data));
