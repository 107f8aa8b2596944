//! The pipeline on one machine.
