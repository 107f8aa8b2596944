//! See `dropcollect_fuzz::input_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::input_file(bytes));
