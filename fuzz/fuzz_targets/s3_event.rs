//! See `dropcollect_fuzz::s3_event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::s3_event(bytes));
