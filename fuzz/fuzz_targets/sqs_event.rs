//! See `dropcollect_fuzz::sqs_event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::sqs_event(bytes));
