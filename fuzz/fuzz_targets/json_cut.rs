//! See `dropcollect_fuzz::json_cut`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::json_cut(bytes));
