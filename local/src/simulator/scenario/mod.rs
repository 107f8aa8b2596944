//! Every knob of the simulator with its default. The defaults are the scenario `default`: a service in good health, whose
//! jobs take 4 to 20 seconds and in which some inputs fail.
//!
//! Rates are shares between 0 and 1. Numbers in brackets, as in "quirk 5", count the quirks in the order of the project's
//! list: 1 states, 2 status with 200, 3 NDJSON and bare objects, 4 `[]` with fails, 5 early 404, 6 error rows, 7 no code,
//! 8 rows per input, 9 duplicates, 10 order, 11 log variants, 12 error list, 13 job list, 14 trial, 15 plain-text errors,
//! 16 lost answers, 17 cap, 18 expiry, 19 deadline, 20 cancel, 21 gateway errors, 22 foreign rows, 23 error header.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::builtin;

/// Declares an enum of named choices with the wire names in snake case.
macro_rules! choices {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant),+ }
    };
}

/// Declares a section whose fields carry their defaults: one place says name, meaning and value.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[$doc])* pub $field: $type,)+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }
    };
}

mod data;
mod faults;
mod jobs;

pub use data::{Dataset, ErrorRows, Fate, Format, Inputs};
pub use faults::{Collector, Endpoint, Faults, RetryAfter, SchemaChange};
pub use jobs::{EndedDataset, ErrorList, Gone, Jobs};

section! {
    /// A whole simulated service. In TOML, unknown keys are errors.
    Scenario {
        /// The seed of everything that is left to chance.
        seed: u64 = 1,
        /// The only API key that is accepted; without it any non-empty one is.
        token: Option<String> = None,
        /// Share of triggers that are accepted and whose answer never arrives (quirk 16).
        trigger_answer_lost: f64 = 0.0,
        /// Share of `trigger` 5xx answers that are given although the job was started.
        trigger_error_accepted: f64 = 0.5,
        /// Share of accepted triggers whose 200 carries no `collection_id`.
        trigger_without_id: f64 = 0.0,
        /// Share of other requests that are processed and whose answer never arrives.
        answer_lost: f64 = 0.0,
        /// How the service behaves as a whole.
        api: Api = Api::default(),
        /// How jobs run.
        jobs: Jobs = Jobs::default(),
        /// What becomes of inputs.
        inputs: Inputs = Inputs::default(),
        /// What datasets look like.
        dataset: Dataset = Dataset::default(),
        /// Trouble on the way, per endpoint.
        faults: Faults = Faults::default(),
        /// Exceptions for single collectors, by id; `*` is for all that are not named. The well-known ones are there
        /// unless they are overwritten.
        collectors: BTreeMap<String, Collector> = builtin::well_known(),
    }
}

section! {
    /// How the service behaves as a whole.
    Api {
        /// What `queue_next` means: the documents contradict each other (OpenAPI and quickstart).
        queue_next: QueueNext = QueueNext::Now,
        /// What a trigger meets that is to run at once while another job of the collector runs.
        regular: Regular = Regular::Accept,
        /// How many jobs of one collector run at the same time (100, page `specifications`).
        jobs_max: usize = 100,
        /// What happens to a job beyond `jobs_max` (quirk 17: the documents contradict each other).
        over_cap: OverCap = OverCap::Queue,
        /// Whether a trigger's answer has `start_eta` (the quickstart shows none).
        start_eta: bool = true,
        /// Whether one bare object is accepted as a trigger's body (old tutorials; not to be relied on).
        bare_object: bool = false,
        /// Whether unknown query parameters of a trigger are refused with 400; the service is taken to ignore them.
        strict_parameters: bool = false,
        /// Whether a 422 is JSON or plain text; its body is not documented.
        schema_error_json: bool = true,
        /// Host and port that all notices go to, in place of the host that they name: the simulator speaks to no other machine.
        notices_to: Option<String> = None,
        /// Longest body of a trigger in bytes, 413 beyond it; nothing is documented.
        body_bytes_max: usize = 1_000_000_000,
    }
}

choices! {
    /// Readings of `queue_next=1`.
    QueueNext {
        /// Quickstart: 1 runs at once; 0 or absent waits behind unfinished jobs of the collector.
        #[default] Now,
        /// OpenAPI: 1 waits behind unfinished jobs of the collector; 0 or absent runs at once.
        Behind,
        /// Every job runs at once.
        Ignored,
    }
}

choices! {
    /// Answers to a trigger that is to run at once while another job of the collector runs; undocumented.
    Regular {
        /// Accepted; both run.
        #[default] Accept,
        /// 409, nothing started.
        Conflict,
        /// 400, nothing started.
        BadRequest,
    }
}

choices! {
    /// Behaviour at the limit of parallel jobs.
    OverCap {
        /// The job waits (page `specifications`, FAQ).
        #[default] Queue,
        /// 400 `Maximum limit of … jobs per scraper has been exceeded…` (delivery-options page).
        Error,
    }
}
