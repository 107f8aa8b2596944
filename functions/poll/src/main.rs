//! The `poll` function.
fn main() {}
