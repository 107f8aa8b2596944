//! Tests of the whole: the conformance suites of the ports, the simulated world, and the template in a local AWS.

pub mod account;
pub mod built;
pub mod cloud;
pub mod conformance;
pub mod dashboard;
pub mod processes;
pub mod stack;
pub mod story;
pub mod template;
pub mod watched;
pub mod wire;
pub mod world;
