//! The records themselves. They are contracts with earlier and later releases: fields are added, never renamed, and every record says
//! its version.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inputs::FileFormat;
use crate::policy::Policy;
use crate::ports::{PartTag, UploadId};
use crate::settings::Settings;
use crate::words::{AttemptId, InputObject, RunId, Slice};

/// A run: which object, with which settings. Everything later obeys these, whatever the deployment's settings are by then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Format version.
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// What was dropped.
    pub object: InputObject,
    /// User metadata of the object.
    pub metadata: BTreeMap<String, String>,
    /// The input key as a part of other keys.
    pub path: String,
    /// How the file is written.
    pub format: FileFormat,
    /// Collector and options.
    pub settings: Settings,
    /// The deployment's settings at the start.
    pub policy: Policy,
    /// When the run began.
    pub started_at: Timestamp,
}

/// Counts of file rows: `read = rejected + duplicates + inputs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows of the file.
    pub read: u64,
    /// Rows that are no valid input.
    pub rejected: u64,
    /// Inputs that an earlier row of the file has already.
    pub duplicates: u64,
}

impl RowCounts {
    /// Rows that are sent to the collector.
    pub fn inputs(&self) -> u64 {
        self.read.saturating_sub(self.rejected).saturating_sub(self.duplicates)
    }

    /// Adds the counts of the next rows.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.rejected += other.rejected;
        self.duplicates += other.duplicates;
    }
}

/// What one batch holds, and where in the file it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// Format version.
    pub v: u32,
    /// Number, from 1.
    pub batch: u32,
    /// Counts of the rows that belong to this batch.
    pub rows: RowCounts,
    /// Counts of all rows of the file up to the end of this batch: the next batch begins behind `until.read` rows.
    pub until: RowCounts,
    /// The inputs, in the order of the file.
    pub inputs: Vec<InputRow>,
    /// Rows between them that are no valid input.
    pub rejected: Vec<RejectedRow>,
}

/// One input and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRow {
    /// Line of the file, from 1.
    pub line: u64,
    /// The input as it is sent.
    pub json: String,
    /// The row as it was written, where that is not the input itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl InputRow {
    /// The row as it was written.
    pub fn source(&self) -> &str {
        self.source.as_deref().unwrap_or(&self.json)
    }
}

/// One row that is no valid input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// Line of the file, from 1.
    pub line: u64,
    /// Stable code.
    pub code: String,
    /// Reason, for people.
    pub message: String,
    /// The row, shortened.
    pub source: String,
}

/// How many batches the run has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndRecord {
    /// Format version.
    pub v: u32,
    /// Number of batches.
    pub batches: u32,
    /// Counts of all rows.
    pub rows: RowCounts,
    /// Header line of the file, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Why the file could not be read to its end, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<FileReport>,
}

/// What was wrong with a whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Stable code.
    pub code: String,
    /// What, where, and what to do.
    pub message: String,
}

/// One send of one slice, named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendId {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptId,
    /// The slice.
    pub slice: Slice,
    /// Number of the send, from 1.
    pub send: u32,
}

/// Written before a send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Format version.
    pub v: u32,
    /// When it was written.
    pub at: Timestamp,
    /// The request leaves before this moment, or not at all.
    pub send_by: Timestamp,
    /// From here on its sender is certainly gone: without an outcome the send is in doubt.
    pub doubt_at: Timestamp,
    /// How many inputs it sends.
    pub inputs: u32,
}

/// Written after a send, or instead of the outcome that never came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Format version.
    pub v: u32,
    /// When it was known.
    pub at: Timestamp,
    /// What it was.
    #[serde(flatten)]
    pub result: SendResult,
}

/// What became of a send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum SendResult {
    /// A collection runs for it.
    Accepted {
        /// `j_…`.
        collection: String,
        /// When the API expected to start it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start_eta: Option<Timestamp>,
        /// Found in the job list instead of answered.
        adopted: bool,
    },
    /// Nothing left this machine.
    NotSent {
        /// Reason.
        why: String,
    },
    /// Refused for good.
    Refused {
        /// HTTP status.
        status: u16,
        /// The API's text.
        text: String,
    },
    /// Refused because of `queue_next`.
    RefusedOption,
    /// Told to wait; nothing was started.
    Wait {
        /// The API's text.
        text: String,
    },
    /// The token was refused; nothing was started.
    Credentials {
        /// HTTP status.
        status: u16,
        /// The API's text.
        text: String,
    },
    /// In doubt, and the job list had no collection of it when its window had passed.
    NothingStarted,
    /// In doubt, and the policy or a person says to send again without looking.
    Abandoned,
}

/// A collection was told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRecord {
    /// Format version.
    pub v: u32,
    /// When.
    pub at: Timestamp,
    /// The collection.
    pub collection: String,
}

/// A slice waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRecord {
    /// Format version.
    pub v: u32,
    /// Since when.
    pub at: Timestamp,
    /// `in_doubt`, …
    pub reason: String,
    /// What is known and what to decide.
    pub message: String,
    /// How many inputs wait.
    pub inputs: u32,
    /// The send that it is about.
    pub send: u32,
    /// The collection that may be the send's, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
}

/// A held slice, where it can be counted: its mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldMark {
    /// Format version.
    pub v: u32,
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptId,
    /// The slice.
    pub slice: Slice,
    /// How often this slice has been held, from 1.
    pub number: u32,
    /// Why.
    pub held: HeldRecord,
}

/// What a person decided about a held slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// Format version.
    pub v: u32,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub decision: Decision,
}

/// What to do with a held slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// This collection is the slice's: wait for it, deliver it.
    Adopt {
        /// `j_…`.
        collection: String,
    },
    /// Nothing that may be under way counts: pay for a new collection.
    Again,
    /// The inputs fail.
    GiveUp,
}

/// An input that brought an error instead of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedInput {
    /// Position in the batch record's inputs.
    pub input: u32,
    /// The API's `error_code`, or ours.
    pub code: String,
    /// The API's text, shortened.
    pub message: String,
    /// How often it has been triggered.
    pub attempts: u32,
}

/// The object that a delivery made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredObject {
    /// Key.
    pub key: String,
    /// Bytes.
    pub bytes: u64,
    /// The multipart upload.
    pub upload: UploadId,
    /// Its parts, in order.
    pub parts: Vec<PartTag>,
}

/// What one fetch of one dataset gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Format version.
    pub v: u32,
    /// When it was written.
    pub at: Timestamp,
    /// The collection.
    pub collection: String,
    /// The object, if there was any record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<DeliveredObject>,
    /// Records in it.
    pub records: u64,
    /// Records whose input could not be told.
    pub unmatched_records: u64,
    /// Error rows whose input could not be told.
    pub unmatched_errors: u64,
    /// Records that carry a warning.
    pub warnings: u64,
    /// Inputs with a record and an error row beside it.
    pub partial: u64,
    /// Inputs with at least one record.
    pub with_records: u32,
    /// Inputs without a record or an error, by position in the batch record.
    pub no_record: Vec<u32>,
    /// Inputs with an error and no record; `attempts` is this attempt.
    pub failed: Vec<FailedInput>,
    /// How often the message that delivered it has looked.
    pub polls: u32,
    /// Page loads by the job log, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
}

/// One collection as the manifest shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionEntry {
    /// `j_…`.
    pub id: String,
    /// Batch.
    pub batch: u32,
    /// Attempt.
    pub attempt: u32,
    /// Inputs that it was triggered with.
    pub inputs: u32,
    /// Records that it brought.
    pub records: u64,
    /// Inputs that failed in it.
    pub failed: u32,
    /// When it was accepted.
    pub triggered_at: Timestamp,
    /// When its dataset had been fetched, or of an abandoned one, when the attempt ended.
    pub ready_at: Timestamp,
    /// How often it was looked at.
    pub polls: u32,
    /// Its answer had been lost; it was found in the job list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// A person decided not to wait for it any more: what it brings is not in the output.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abandoned: bool,
    /// Where its records are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// One output object as the manifest shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputEntry {
    /// Key.
    pub key: String,
    /// Bytes.
    pub bytes: u64,
    /// Records.
    pub records: u64,
}

/// What became of a batch's inputs up to and including one attempt: each is counted or listed exactly once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fates {
    /// Inputs with at least one record.
    pub with_records: u64,
    /// Inputs whose collection ended without a record or an error.
    pub no_record: u64,
    /// Inputs that failed for good.
    pub failed: Vec<FailedInput>,
    /// Inputs that are triggered again.
    pub again: Vec<FailedInput>,
    /// Records of all collections.
    pub records: u64,
    /// Of them, those whose input could not be told.
    pub unmatched_records: u64,
    /// Error rows whose input could not be told.
    pub unmatched_errors: u64,
    /// Records with a warning.
    pub warnings: u64,
    /// Inputs with a record and an error row beside it.
    pub partial: u64,
    /// Sends that were made again after one in doubt.
    pub resent: u32,
    /// All collections.
    pub collections: Vec<CollectionEntry>,
    /// All output objects.
    pub outputs: Vec<OutputEntry>,
}

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// Format version.
    pub v: u32,
    /// When.
    pub at: Timestamp,
    /// How long the next attempt waits, in seconds.
    pub retry_after_seconds: u32,
    /// All attempts so far.
    pub fates: Fates,
}

/// The end of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DoneRecord {
    /// Format version.
    pub v: u32,
    /// Its rows.
    pub rows: RowCounts,
    /// Its inputs; nothing is triggered again.
    pub fates: Fates,
}

/// The sum of a complete block of batches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRecord {
    /// Format version.
    pub v: u32,
    /// Sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// Sums over batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Inputs with at least one record.
    pub with_records: u64,
    /// Inputs without a record or an error.
    pub no_record: u64,
    /// Inputs that failed for good.
    pub failed: u64,
    /// Records.
    pub records: u64,
    /// Records whose input could not be told.
    pub unmatched_records: u64,
}

impl Sums {
    /// Adds other sums.
    pub fn add(&mut self, other: &Self) {
        self.with_records += other.with_records;
        self.no_record += other.no_record;
        self.failed += other.failed;
        self.records += other.records;
        self.unmatched_records += other.unmatched_records;
    }

    /// The sums of one finished batch.
    pub fn of(fates: &Fates) -> Self {
        Self {
            with_records: fates.with_records,
            no_record: fates.no_record,
            failed: fates.failed.len() as u64,
            records: fates.records,
            unmatched_records: fates.unmatched_records,
        }
    }
}

/// Whose a collection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionRecord {
    /// Format version.
    pub v: u32,
    /// When it was recorded.
    pub at: Timestamp,
    /// The send that it answers, or that claims it.
    #[serde(flatten)]
    pub send: SendId,
}
