//! See `dropcollect_fuzz::notice_path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::notice_path(bytes));
