//! Decides. The rooms of the pipeline, in reading order.
