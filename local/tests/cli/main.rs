//! The command as a person runs it: the real binary, its exit status, what it prints and what it leaves in the folder.

mod errors;
mod kills;
mod large;
mod malformed;
mod runs;
mod support;
