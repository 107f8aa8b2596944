//! See `dropcollect_fuzz::api_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::api_answer(bytes));
