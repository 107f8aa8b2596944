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

section! {
    /// What becomes of inputs. The fate of an input is decided by the seed and the input, and for transient failures by
    /// how many jobs of the collector have had it before.
    Inputs {
        /// Share of inputs that fail at first and succeed in a later job.
        transient: f64 = 0.06,
        /// How many jobs such an input fails in at most (at least one).
        transient_failures_max: u32 = 2,
        /// Share of inputs that fail in every job.
        permanent: f64 = 0.02,
        /// Share of inputs that give neither a record nor an error (quirk 8).
        nothing: f64 = 0.01,
        /// Records of an ordinary input.
        records: u64 = 1,
        /// Share of the remaining inputs that give more (quirk 8).
        many: f64 = 0.05,
        /// How many records those give at most (at least 2).
        many_max: u64 = 3,
        /// Share of inputs with records that have a warning (and a `warning_code`).
        warning: f64 = 0.02,
        /// Share of inputs with records that have an error row besides.
        partial: f64 = 0.0,
        /// Share of error rows with prose only, without `error_code` and `status_code` (quirk 7).
        uncoded: f64 = 0.05,
        /// Share of error rows with a code and no `status_code`.
        without_status_code: f64 = 0.1,
        /// Codes of transient failures with their weights (names of the error-codes page).
        transient_codes: BTreeMap<String, f64> = weights(&["infra_error", "runner_disconnected", "browser_disconnected",
            "worker_too_busy", "proxy_error", "global_rate_limit", "bucket_rate_limit", "navigation_timeout"]),
        /// Codes of permanent failures with their weights.
        permanent_codes: BTreeMap<String, f64> = weights(&["dead_page", "dead_page", "blocked", "bad_input", "parse_error"]),
        /// Fates by a part of the input's text: `"/dead/" = "permanent"`. The first that fits wins.
        marked: BTreeMap<String, Fate> = BTreeMap::new(),
    }
}

choices! {
    /// What becomes of an input.
    Fate {
        /// Records.
        #[default] Records,
        /// Fails at first.
        Transient,
        /// Always fails.
        Permanent,
        /// Neither record nor error.
        Nothing,
    }
}

section! {
    /// What datasets look like.
    Dataset {
        /// The scraper's file format (quirk 3).
        format: Format = Format::Json,
        /// Whether `format=json` in the query overrides it (an official script counts on it).
        heed_format: bool = true,
        /// Whether a JSON dataset of one record is a bare object (quirk 3).
        bare_single: bool = false,
        /// Whether error rows are in the dataset (quirk 6; "Data preferences" of the scraper).
        errors: ErrorRows = ErrorRows::Combined,
        /// Whether rows come in another order than inputs (quirk 10).
        shuffled: bool = false,
        /// Share of datasets with rows of another run (quirk 22).
        foreign: f64 = 0.0,
        /// How many rows those have too much.
        foreign_rows: u64 = 2,
        /// Wraps the records of an input into one row under this key: `entries`, `results`, ….
        wrapped: Option<String> = None,
        /// Records are filled up to so many bytes.
        record_bytes: usize = 0,
        /// Share of inputs whose echo has a field added (a default of the collector).
        echo_defaulted: f64 = 0.0,
        /// Share of inputs whose echo has its keys in another order.
        echo_reordered: f64 = 0.0,
        /// Share of inputs whose echo spells numbers as strings and numeric strings as numbers.
        echo_respelled: f64 = 0.0,
        /// Share of inputs that are not echoed.
        echo_absent: f64 = 0.0,
        /// Whether datasets are compressed for a client that sends `Accept-Encoding: gzip`.
        gzip: bool = true,
        /// Datasets up to so many bytes have a `Content-Length`; larger ones are streamed.
        stream_above_bytes: u64 = 262_144,
    }
}

choices! {
    /// File formats.
    Format {
        /// A JSON array, `application/json`.
        #[default] Json,
        /// One object a line with a final newline, `application/jsonl`.
        Jsonl,
        /// `text/csv` with a header row; the echoed input is JSON text in the column `input`.
        Csv,
    }
}

choices! {
    /// Where error rows are.
    ErrorRows {
        /// Between the records.
        #[default] Combined,
        /// Nowhere.
        Absent,
    }
}

section! {
    /// Trouble on the way.
    Faults {
        /// `POST /dca/trigger`.
        trigger: Endpoint = Endpoint::default(),
        /// `GET /dca/dataset`.
        dataset: Endpoint = Endpoint::default(),
        /// `GET /dca/log/{id}` and `GET /dca/jobs/{id}/hp_errors`.
        log: Endpoint = Endpoint::default(),
        /// `GET /dca/collector/jobs` and `GET /dca/collectors_list`.
        list: Endpoint = Endpoint::default(),
        /// `POST /dca/jobs/{id}/…`.
        control: Endpoint = Endpoint::default(),
        /// The real-time endpoints.
        realtime: Endpoint = Endpoint::default(),
        /// What `Retry-After` of a 429 or 503 says.
        retry_after: RetryAfter = RetryAfter::Seconds,
        /// How long it says.
        retry_after_seconds: u32 = 2,
        /// Whether 502, 503 and 504 are a gateway's HTML page (quirks 15 and 21) or plain text.
        gateway_html: bool = true,
        /// Whether an answer with `x-brd-error` keeps its body; otherwise it is empty. Undocumented.
        brd_error_with_body: bool = false,
    }
}

section! {
    /// Trouble of one endpoint. Except for cut answers, nothing is processed.
    Endpoint {
        /// Share of requests that meet a refused connection.
        not_connected: f64 = 0.0,
        /// Share of answers whose body is cut.
        answer_cut: f64 = 0.0,
        /// Share of 500, 502, 503 and 504 (quirk 21).
        server_error: f64 = 0.0,
        /// Share of 429.
        too_many: f64 = 0.0,
        /// Share of 200 with an `x-brd-error` header (quirk 23).
        brd_error: f64 = 0.0,
        /// Shortest time of an answer.
        latency_ms: u64 = 5,
        /// A random addition of at most so much.
        latency_spread_ms: u64 = 20,
    }
}

choices! {
    /// Forms of `Retry-After`.
    RetryAfter {
        /// A number of seconds.
        #[default] Seconds,
        /// An HTTP date.
        Date,
        /// None.
        Absent,
    }
}

section! {
    /// Exceptions for one collector.
    Collector {
        /// The name in the list of collectors.
        name: Option<String> = None,
        /// 404 `Collector not found`.
        unknown: bool = false,
        /// 400 for `queue_next` (quirk 14).
        trial: bool = false,
        /// 403 `Collector does not have a template`.
        no_template: bool = false,
        /// 403: the key lacks the permission, as plain text.
        forbidden: bool = false,
        /// A real-time scraper, which refuses batches with 400.
        realtime: bool = false,
        /// Fields that every input must have; 422 otherwise.
        schema: Vec<String> = Vec::new(),
        /// Whether other fields are refused too.
        schema_closed: bool = false,
        /// The managed scraper's schema has changed: refused unless the trigger overrides it (FAQ).
        schema_changed: Option<SchemaChange> = None,
        /// Short for `dataset.format`.
        format: Option<Format> = None,
        /// Keys of `[api]` with other values.
        api: toml::Table = toml::Table::new(),
        /// Keys of `[jobs]` with other values.
        jobs: toml::Table = toml::Table::new(),
        /// Keys of `[inputs]` with other values.
        inputs: toml::Table = toml::Table::new(),
        /// Keys of `[dataset]` with other values.
        dataset: toml::Table = toml::Table::new(),
    }
}

choices! {
    /// Which schema has changed.
    SchemaChange {
        /// `override_incompatible_input_schema=1` lets it pass.
        #[default] Input,
        /// `override_incompatible_schema=1` lets it pass.
        Output,
    }
}

fn weights(codes: &[&str]) -> BTreeMap<String, f64> {
    let mut weights = BTreeMap::new();
    for code in codes {
        *weights.entry((*code).to_owned()).or_insert(0.0) += 1.0;
    }
    weights
}
