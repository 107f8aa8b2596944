//! The pipeline decides; it never looks at the world by itself (`clippy.toml` forbids clocks, the environment, files and sockets).

pub mod messages;
pub mod policy;
pub mod ports;
pub mod words;
