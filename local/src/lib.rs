//! The pipeline on one machine.

pub mod again;
pub mod bars;
pub mod clock;
pub mod detail;
pub mod doctor;
pub mod engine;
pub mod folder;
pub mod lock;
pub mod memory;
pub mod nearest;
pub mod pace;
pub mod plan;
pub mod queue;
pub mod report;
pub mod simulator;
pub mod table;
pub mod text;
pub mod why;
