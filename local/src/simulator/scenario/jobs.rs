//! How jobs run, and what can be read about them.

use serde::{Deserialize, Serialize};

section! {
    /// How jobs run.
    Jobs {
        /// Shortest run of a job.
        base_seconds: f64 = 4.0,
        /// Added for each distinct input.
        per_input_seconds: f64 = 0.02,
        /// A random addition of at most so much.
        spread_seconds: f64 = 4.0,
        /// Longest run of a job.
        longest_seconds: f64 = 17.0,
        /// How long the dataset of a finished job is `building` (quirk 1).
        building_seconds: f64 = 3.0,
        /// The hint in `Dataset is not ready yet, try again in 3s`; the live service says 30.
        hint_seconds: u64 = 3,
        /// How long a real-time request takes.
        realtime_seconds: f64 = 1.0,
        /// Share of jobs that fail as a whole, half-way.
        failed: f64 = 0.0,
        /// Share of jobs that never end by themselves.
        stuck: f64 = 0.0,
        /// Whether equal inputs of a job are run once and counted in `dup_inputs` (quirk 9, page `job-data`).
        collapse_duplicates: bool = true,
        /// Whether `inputs` in log and list counts inputs before they are collapsed; undocumented.
        count_before_collapse: bool = true,
        /// How long a new job's dataset answers `early_status` (quirk 5).
        invisible_seconds: f64 = 0.0,
        /// 404 or 400, both observed.
        early_status: u16 = 404,
        /// How long a new job is missing from the job list.
        unlisted_seconds: f64 = 0.0,
        /// Days until a job expires, counted to the following midnight (quirk 18).
        expires_days: u32 = 16,
        /// Expiry so long after the trigger instead.
        expires_seconds: Option<f64> = None,
        /// What the dataset of an expired job answers.
        expired: Gone = Gone::Missing,
        /// What the dataset of a cancelled job answers (quirk 20).
        canceled: EndedDataset = EndedDataset::Partial,
        /// What the dataset of a failed job answers; undocumented.
        failed_dataset: EndedDataset = EndedDataset::Status,
        /// Share of polls whose status object comes with 200 instead of 202 (quirk 2).
        status_with_200: f64 = 0.0,
        /// Whether the status is spelled `cancelled` (page `job-data`) or `canceled` (page `cancel-job`); quirk 11.
        cancelled_with_ll: bool = false,
        /// Share of jobs whose log has no `status` (quirk 11).
        log_without_status: f64 = 0.0,
        /// Whether log and list say `building` instead of `done` while the dataset is built (a value of page `job-data`).
        log_building: bool = false,
        /// Whether the keys of logs are in title case, as older documents show (quirk 11).
        log_title_case: bool = false,
        /// Share of logs and job lists that cannot be had (500).
        log_broken: f64 = 0.0,
        /// What `hp_errors` does (quirk 12).
        error_list: ErrorList = ErrorList::Works,
        /// Whether its addresses lack the scheme, as in the documented sample.
        error_list_without_scheme: bool = false,
    }
}

choices! {
    /// What remains of an expired job's dataset.
    Gone {
        /// 404.
        #[default] Missing,
        /// 200 `[]` (quickstart).
        Empty,
    }
}

choices! {
    /// What the dataset of a job answers that did not end by itself.
    EndedDataset {
        /// The rows collected so far, and error rows for the rest.
        #[default] Partial,
        /// 200 `{"status":"failed"}` or `canceled`, which clients watch for.
        Status,
        /// 200 `[]`.
        Empty,
        /// 404.
        Missing,
    }
}

choices! {
    /// What `GET /dca/jobs/{id}/hp_errors` answers for an ordinary job.
    ErrorList {
        /// The failed inputs by `url` (observed once).
        #[default] Works,
        /// `{"errors":[]}` (documented possibility).
        Empty,
        /// 404 `Job not found` (observed).
        Missing,
    }
}
