//! See `dropcollect_fuzz::input_path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::input_path(bytes));
