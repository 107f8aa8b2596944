//! See `dropcollect_fuzz::secret`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dropcollect_fuzz::secret(bytes));
