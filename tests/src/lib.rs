//! Tests of the whole.

pub mod built;
pub mod cloud;
pub mod template;
