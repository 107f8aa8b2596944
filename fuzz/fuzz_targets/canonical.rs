//! See `dropcollect_fuzz::canonical`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::canonical(bytes));
