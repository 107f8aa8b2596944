//! The `retry` function.
fn main() {}
