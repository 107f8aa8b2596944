//! Records of a run's file: what was dropped, how it was cut into batches, and where it ends.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inputs::{FileFormat, FileProblem};
use crate::policy::Policy;
use crate::settings::{SettingProblem, Settings};
use crate::words::{InputObject, RunId};

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

/// That a run is over: no sweep looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverRecord {
    /// Format version.
    pub v: u32,
    /// The input key as a part of other keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What was wrong with a whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Stable code.
    pub code: String,
    /// What, where, and what to do.
    pub message: String,
}

impl From<&FileProblem> for FileReport {
    fn from(problem: &FileProblem) -> Self {
        Self { code: problem.code().to_owned(), message: problem.to_string() }
    }
}

impl From<&SettingProblem> for FileReport {
    fn from(problem: &SettingProblem) -> Self {
        Self { code: problem.code().to_owned(), message: problem.to_string() }
    }
}
