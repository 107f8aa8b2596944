//! The pipeline on one machine.

pub mod clock;
pub mod memory;
pub mod queue;
