//! What others are told when a run is over.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::FileReport;
use crate::manifest::{FailedFiles, InputCounts, Manifest, ManifestInput, RunState, Spent};
use crate::words::RunId;

/// Version of the notices that are sent.
pub const VERSION: u32 = 1;

/// A run is over: where its manifest is, and what it says in a few numbers. Sent at least once for each run; copies have the same run id. A
/// versioned contract: fields are added, never renamed (golden file).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEnded {
    /// Format version, 1.
    pub v: u32,
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub state: RunState,
    /// The collector, if one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<String>,
    /// What was dropped.
    pub input: ManifestInput,
    /// When the run began.
    pub started_at: Timestamp,
    /// When nothing was left to do.
    pub finished_at: Timestamp,
    /// What became of every row.
    pub inputs: InputCounts,
    /// Records of all outputs.
    pub records: u64,
    /// Of them, those whose input could not be told.
    pub unmatched_records: u64,
    /// How many collections were paid for.
    pub collections: u64,
    /// What was paid for, and what it brought.
    #[serde(default)]
    pub spent: Spent,
    /// How many output objects there are.
    pub outputs: u64,
    /// Key of the manifest in the dataset bucket.
    pub manifest: String,
    /// Where the failures are, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedFiles>,
    /// What is wrong with the file as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<FileReport>,
}

impl RunEnded {
    /// About this manifest, which lies under this key.
    pub fn of(manifest: Manifest, key: String) -> Self {
        Self {
            v: VERSION,
            run: manifest.run,
            state: manifest.state,
            collector: manifest.collector,
            input: manifest.input,
            started_at: manifest.started_at,
            finished_at: manifest.finished_at,
            inputs: manifest.inputs,
            records: manifest.records,
            unmatched_records: manifest.unmatched_records,
            collections: manifest.collections.len() as u64,
            spent: manifest.spent,
            outputs: manifest.outputs.len() as u64,
            manifest: key,
            failed: manifest.failed,
            problem: manifest.problem,
        }
    }
}
