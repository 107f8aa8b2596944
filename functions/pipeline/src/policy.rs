//! The settings that steer decisions, and the limits in one place with their sources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decisions::Overrides;

/// What a whole deployment decides. A run keeps the ones it started with (they are in its first ledger record).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `BRIGHT_DATA_COLLECTOR_ID`: collector for files that name none.
    pub default_collector: Option<String>,
    /// `BATCH_INPUTS_MAX`: inputs of one batch.
    pub batch_inputs_max: u32,
    /// `BATCH_BYTES_MAX`: bytes of one batch's JSON body; a larger input is rejected by line.
    pub batch_bytes_max: u32,
    /// `ATTEMPTS_MAX`: how often an input is triggered at most.
    pub attempts_max: u32,
    /// `COLLECTION_DEADLINE_SECONDS` since the collection started.
    pub collection_deadline_seconds: u32,
    /// `RETRY_UNATTRIBUTED`.
    pub retry_unattributed: bool,
    /// `RETRY_CODES`: what follows failures with certain codes, otherwise than [`TABLE`](crate::decisions::TABLE) says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retry_codes: Overrides,
    /// `OUTPUT_FORMAT`.
    pub output_format: OutputFormat,
    /// `OUTPUT_COMPRESSION`.
    pub output_compression: OutputCompression,
    /// `ON_IN_DOUBT`.
    pub on_in_doubt: OnInDoubt,
    /// `IN_DOUBT_WINDOW_SECONDS`: how long the job list may lag behind a trigger.
    pub in_doubt_window_seconds: u32,
    /// Trigger options that hold for every file that does not say otherwise; names as in an object's user metadata.
    pub trigger_defaults: BTreeMap<String, String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            default_collector: None,
            batch_inputs_max: 1_000,
            batch_bytes_max: 5_000_000,
            attempts_max: 3,
            collection_deadline_seconds: 86_400,
            retry_unattributed: true,
            retry_codes: Overrides::new(),
            output_format: OutputFormat::Ndjson,
            output_compression: OutputCompression::None,
            on_in_doubt: OnInDoubt::Reconcile,
            in_doubt_window_seconds: limits::IN_DOUBT_WINDOW_SECONDS,
            trigger_defaults: BTreeMap::new(),
        }
    }
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// One record a line.
    Ndjson,
    /// One array.
    Json,
}

/// How output is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputCompression {
    /// Not at all.
    None,
    /// gzip, with `.gz` behind the key.
    Gzip,
}

/// What follows a send whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnInDoubt {
    /// Look for the collection in the job list; send again only when the list has had time to show it and does not.
    Reconcile,
    /// Look for the collection in the job list; leave the batch to a person when it is not there.
    Hold,
    /// Send again at once: inputs may be paid for twice.
    Retrigger,
}

/// Bounds that no setting moves.
pub mod limits {
    /// Default of `IN_DOUBT_WINDOW_SECONDS`. No source says how far the job list lags; ten minutes is generous for a control panel.
    pub const IN_DOUBT_WINDOW_SECONDS: u32 = 600;
    /// A send goes out within this time of its intent or not at all.
    pub const SEND_BY_SECONDS: i64 = 30;
    /// Total time-out of one trigger request; the official starters use 60 s.
    pub const TRIGGER_TIMEOUT_SECONDS: u32 = 60;
    /// Clocks of the API and of AWS may differ by this much when a job's `queued` time is compared with ours.
    pub const CLOCK_SKEW_SECONDS: i64 = 15;
    /// Longest time that a function may run (AWS Lambda quota).
    pub const TURN_SECONDS_MAX: i64 = 900;
    /// A 404 for a dataset means "not visible yet" this long after the trigger (API: seen for some seconds, 20 s in a vendor script).
    pub const NOT_VISIBLE_YET_SECONDS: i64 = 60;
    /// Batch results are deleted after 16 days (API page `specifications`).
    pub const RESULTS_KEPT_SECONDS: u64 = 16 * 86_400;
    /// The longest deadline keeps well below that.
    pub const COLLECTION_DEADLINE_SECONDS_MAX: u32 = 12 * 86_400;
    /// Ledger records live at least 60 days; an S3 event older than this is not acted on, because its run may be forgotten.
    pub const EVENT_AGE_MAX_SECONDS: i64 = 45 * 86_400;
    /// Longest `DelaySeconds` (SQS quota).
    pub const DELAY_SECONDS_MAX: u32 = 900;
    /// Longest wait that is asked of one message; visibility may be extended to 12 h (SQS), one hour keeps a redrive noticeable.
    pub const WAIT_SECONDS_MAX: u32 = 3_600;
    /// Bytes of one uploaded part: above S3's 5 MiB minimum, and 10,000 of them hold 80 GB.
    pub const PART_BYTES: usize = 8 * 1024 * 1024;
    /// Parts of one object at most (S3 quota).
    pub const PARTS_MAX: usize = 10_000;
    /// Parts that are uploaded at the same time.
    pub const PARTS_IN_FLIGHT: usize = 3;
    /// A dataset must have come whole so many seconds before the function is stopped: the last parts, the records of the ledger and what
    /// follows from them take their time. Of a short turn it is a quarter.
    pub const DELIVERY_RESERVE_SECONDS: i64 = 60;
    /// Largest record that is read; a page is at most 16 MB (API error `page_too_big`).
    pub const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;
    /// Bytes of an API error text that are kept.
    pub const TEXT_BYTES_MAX: usize = 200;
}
