//! See `dropcollect_fuzz::matching`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::matching(bytes));
