//! The API simulator through its public interface: quirks and jobs on a virtual clock, faults on a real socket.

mod http;
mod life;
mod quirks;
mod world;
