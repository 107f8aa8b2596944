//! The client of Bright Data's Scraper Studio ("DCA") API: [`Client`] is the pipeline's [`Api`](pipeline::ports::Api).
//!
//! - [`encode`] makes requests of calls, [`decode`] makes answers of responses: pure functions, each rule in one place.
//! - A [`Transport`] carries a request there and a response back: [`HttpTransport`] over the network, a simulator in tests.
//! - [`Client`] puts the token in, asks questions again when the transport breaks, and never repeats a send.

mod client;
pub mod decode;
pub mod encode;
mod http;
mod text;
mod token;
mod wire;

pub use client::{Backoff, Client};
pub use http::{BadBase, HttpTransport, Times};
pub use token::{FixedToken, ReadToken, RereadToken, Token};
pub use wire::{Kind, Method, Request, Response, Transport, TransportError};
