//! Tests of the whole.

pub mod cloud;
pub mod template;
