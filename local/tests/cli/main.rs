//! The command as a person runs it: the real binary, its exit status, what it prints and what it leaves in the folder.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod csv;
mod errors;
mod kills;
mod large;
mod malformed;
mod output;
mod parquet;
mod reference;
mod runs;
mod support;
mod why;
