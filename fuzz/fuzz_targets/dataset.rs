//! See `dropcollect_fuzz::dataset`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::dataset(bytes));
