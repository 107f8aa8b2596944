//! A simulator of Bright Data's Scraper Studio ("DCA") API: triggers, datasets, job logs, job lists, run control and the
//! real-time endpoints, with the quirks that the real service was seen to have.
//!
//! [`Service`] is the whole service without a socket and without a clock: it is handed the time and a [`Request`] and
//! answers with a [`Reply`]. What it says is a function of the [`Scenario`] (which carries the seed) and of the requests
//! so far; no global randomness is involved, and what becomes of an input does not depend on unrelated requests.
//! [`serve`] puts it behind an HTTP/1.1 listener and realises the faults on the socket.
//!
//! Scenarios are TOML (`scenario/*.toml` are the built-in ones); `scenario/collectors.toml` lists collectors that
//! demonstrate one problem each in every scenario, such as `c_unknown0` (404) and `c_trial00` (refuses `queue_next`).
//! `GET /_simulator/jobs`, `/_simulator/calls` and `/_simulator/summary` say what the service has seen; they need no key.
//!
//! Reading order: [`scenario`](Scenario) (every knob with its default), `service` and `route` (authentication, faults,
//! routing), `trigger` → `job` → `schedule` (an accepted run and its life), `outcome` → `rows` → `dataset` (what it
//! produced), `reads`, `control`, `realtime`, `introspect`, `journal`, `notices`, `server`.
//!
//! Comments name the page of `docs.brightdata.com/api-reference/scraper-studio-api/` where there is one, and say
//! "documented", "observed" (in clients of the live service) or "inferred".

mod builtin;
mod control;
mod dataset;
mod dice;
mod introspect;
mod job;
mod journal;
mod message;
mod notices;
mod outcome;
mod reads;
mod realtime;
mod route;
mod rows;
mod scenario;
mod schedule;
mod server;
mod service;
mod text;
mod trigger;

pub use builtin::{Error, NAMES};
pub use job::{Job, Kind};
pub use message::{Body, Chunks, Fault, Reply, Request};
pub use notices::Notice;
pub use rows::Produced;
pub use scenario::{
    Api, Collector, Dataset, EndedDataset, Endpoint, ErrorList, ErrorRows, Fate, Faults, Format, Gone, Inputs, Jobs,
    OverCap, QueueNext, Regular, RetryAfter, Scenario, SchemaChange,
};
pub use server::serve;
pub use service::Service;
