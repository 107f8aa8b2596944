//! See `dropcollect_fuzz::attempt_state`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::attempt_state(bytes));
