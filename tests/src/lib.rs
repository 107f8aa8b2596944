//! Tests of the whole.

pub mod conformance;
