//! Records of what became of inputs: of a collection, of an attempt, of a batch, of a block of batches.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::RowCounts;
use crate::ports::{PartTag, UploadId};

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
    /// Of its inputs, those with a record.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub with_records: u32,
    /// Inputs that failed in it.
    pub failed: u32,
    /// Page loads by its job log, which is what the API charges; `None` where there was no log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<u64>,
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

fn is_none_of_them(count: &u32) -> bool {
    *count == 0
}

impl CollectionEntry {
    /// Page loads: by the log, or one for each input where there is none.
    pub fn page_loads(&self) -> u64 {
        self.pages.unwrap_or_else(|| u64::from(self.inputs))
    }
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
    /// Inputs that were triggered again, by the code of the failure before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub again_codes: BTreeMap<String, u64>,
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
    /// Collections.
    #[serde(default)]
    pub collections: u64,
    /// Inputs that they were triggered with.
    #[serde(default)]
    pub sent: u64,
    /// Their page loads.
    #[serde(default)]
    pub page_loads: u64,
}

impl Sums {
    /// Adds other sums.
    pub fn add(&mut self, other: &Self) {
        self.with_records += other.with_records;
        self.no_record += other.no_record;
        self.failed += other.failed;
        self.records += other.records;
        self.unmatched_records += other.unmatched_records;
        self.collections += other.collections;
        self.sent += other.sent;
        self.page_loads += other.page_loads;
    }

    /// The sums of one finished batch.
    pub fn of(fates: &Fates) -> Self {
        Self {
            with_records: fates.with_records,
            no_record: fates.no_record,
            failed: fates.failed.len() as u64,
            records: fates.records,
            unmatched_records: fates.unmatched_records,
            collections: fates.collections.len() as u64,
            sent: fates.collections.iter().map(|entry| u64::from(entry.inputs)).sum(),
            page_loads: fates.collections.iter().map(CollectionEntry::page_loads).sum(),
        }
    }
}
