//! The command as a person runs it: the real binary, its exit status, what it prints and what it leaves in the folder.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod cancel;
mod csv;
mod detail;
mod doctor;
mod env_file;
mod errors;
mod events;
mod json;
mod kills;
mod large;
mod malformed;
mod money;
mod output;
mod parquet;
mod reference;
mod retry;
mod runs;
mod support;
mod terminal;
mod web;
mod why;
mod widths;
