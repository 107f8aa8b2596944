//! The pipeline decides; it never looks at the world by itself (`clippy.toml` forbids clocks, the environment, files and sockets).
//!
//! The rooms, in the order in which a file passes through them:
//!
//! | room | what happens |
//! |---|---|
//! | [`settings`] | which collector, which options |
//! | [`inputs`], [`canonical`] | bytes of a file → rows → inputs |
//! | [`batch`] | inputs → batches |
//! | `trigger` | the function: records batches and starts them |
//! | [`attempt`], `work`, `send`, `reconcile` | one attempt of a batch, its paid sends, and the ones in doubt |
//! | [`held`], [`cancel`] | what waits for a person, and what follows from the decision; a run that a person stops |
//! | `poll`, `look`, [`schedule`] | the function: looks until a collection is ready |
//! | [`json_cut`], [`json_scan`], [`dataset`], [`matching`], [`delivery`], [`upload`] | dataset → records and failures → output |
//! | [`decisions`], `finish`, `retry` | what is triggered again; the end of attempts, batches and runs |
//! | [`manifest`], [`failures`], [`status`], [`page`] | what became of every input; the same as a page for people |
//! | [`webhook`] | the function: passes on notices that a collection is over |
//! | [`sweep`], [`late`] | the function: what stands still, and what comes to light too late |
//!
//! Below them: [`words`] (nouns), [`ports`] (what is asked of the world), [`policy`] (settings and limits), [`keys`] (where everything
//! lies), [`ledger`] (write-once records), [`messages`] (queue messages), [`gate`] (shared pauses), [`metrics`] and [`notice`] (what is told
//! about it all).

pub mod accounts;
pub mod attempt;
pub mod batch;
pub mod cancel;
pub mod canonical;
pub mod dataset;
pub mod decisions;
pub mod delivery;
pub mod failures;
mod finish;
pub mod gate;
pub mod held;
pub mod inputs;
pub mod json_cut;
pub mod json_scan;
pub mod keys;
pub mod late;
pub mod ledger;
mod look;
pub mod manifest;
pub mod matching;
pub mod messages;
pub mod metrics;
pub mod notice;
pub mod page;
pub mod pause;
pub mod policy;
mod poll;
pub mod ports;
mod reconcile;
mod remind;
mod retry;
pub mod schedule;
mod send;
pub mod settings;
pub mod spending;
pub mod status;
pub mod sweep;
mod trigger;
pub mod upload;
pub mod webhook;
pub mod words;
mod work;

use std::sync::Arc;

pub use trigger::longest_turn;

/// The pipeline over its ports. One per process; handlers share it.
pub struct Pipeline {
    /// The dataset bucket.
    pub store: Arc<dyn ports::Store>,
    /// The poll and the retry queue.
    pub queues: Arc<dyn ports::Queues>,
    /// The Scraper Studio API.
    pub api: Arc<dyn ports::Api>,
    /// Whom it tells that a run is over; `()` for nobody.
    pub notices: Arc<dyn ports::Notices>,
    /// Who watches; `()` for nobody.
    pub metrics: Arc<dyn ports::Metrics>,
    /// The wall clock.
    pub clock: Arc<dyn ports::Clock>,
    /// Settings of runs that begin now.
    pub policy: policy::Policy,
    /// What may be paid for, by all runs together. Other than the policy, it holds at once for runs that have begun.
    pub limits: spending::Limits,
    /// Where the API is to send a notice when a collection is over; `None` for no notices.
    pub webhook: Option<webhook::Webhook>,
    /// Set where one process at a time works on a store (a folder under a lock): since when it does. Whoever left an intent before that
    /// is dead, so nothing has to wait for it. `None` in Lambda.
    pub alone_since: Option<jiff::Timestamp>,
}

impl Pipeline {
    /// Adds to what has happened; nothing is no news.
    pub(crate) fn count(&self, metric: &metrics::Metric, more: u64) {
        self.count_by(metric, "", more);
    }

    /// The same for a metric with a dimension of its own.
    pub(crate) fn count_by(&self, metric: &metrics::Metric, of: &'static str, more: u64) {
        if more > 0 {
            self.metrics.note(metric, of, more);
        }
    }
}
