//! See `dropcollect_fuzz::delivery`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::delivery(bytes));
