//! The pipeline on one machine.

pub mod clock;
pub mod folder;
pub mod lock;
pub mod memory;
pub mod queue;
pub mod simulator;
