//! See `dropcollect_fuzz::csv_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::csv_table(bytes));
