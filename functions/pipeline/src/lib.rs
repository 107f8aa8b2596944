//! Decides. The rooms of the pipeline, in reading order.

pub mod canonical;
pub mod inputs;
pub mod json_cut;
