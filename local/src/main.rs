//! The command `dropcollect`.
fn main() {}
