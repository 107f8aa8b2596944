//! Tests of the whole: conformance suites of the ports, and the simulated world.

pub mod conformance;
pub mod world;
