//! The `trigger` function.
fn main() {}
