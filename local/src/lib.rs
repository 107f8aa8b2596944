//! The pipeline on one machine.

pub mod simulator;
