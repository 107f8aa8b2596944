//! What `run --json` prints: events for programs, a JSON object a line. docs/operations.md has a table of them, and a test that holds both together.

use pipeline::manifest::{InputCounts, Manifest, RunState};
use pipeline::words::RunId;
use serde::Serialize;

use super::put;

/// One event. Fields are added, never renamed; what does not apply is `null`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    /// A file is worked on.
    Started { run: &'a RunId, key: &'a str, collector: Option<&'a str> },
    /// Something that a person would be told.
    Note { message: &'a str },
    /// Something about a run has changed.
    Progress(Progress<'a>),
    /// A run is over.
    Finished { run: &'a RunId, key: &'a str, manifest: &'a Manifest, places: Places },
    /// All records of a run that is over are in one file.
    Written { run: &'a RunId, key: &'a str, format: &'a str, file: &'a str, columns: usize, bytes: u64 },
    /// A run is not over, and does not go on by itself.
    Unfinished { run: &'a RunId, key: &'a str, message: &'a str },
    /// The command ends because of this.
    Error { message: &'a str, status: u8 },
    /// The last line, whatever happened.
    End { status: u8 },
}

/// How far a run is: counts as in its status object.
#[derive(Serialize)]
pub(super) struct Progress<'a> {
    pub(super) run: &'a RunId,
    pub(super) key: &'a str,
    pub(super) state: RunState,
    pub(super) file_read: bool,
    pub(super) inputs: Counts,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) records: u64,
    pub(super) unmatched_records: u64,
    /// Inputs done per minute.
    pub(super) per_minute: Option<f64>,
    pub(super) seconds_left: Option<u64>,
    /// Batches that have work under way.
    pub(super) batches: usize,
    pub(super) next_look_seconds: Option<u64>,
    /// What is waited for.
    pub(super) waits_for: Option<&'a str>,
}

/// All counts, zero or not: a program need not know which are left out.
#[derive(Serialize)]
pub(super) struct Counts {
    read: u64,
    rejected: u64,
    duplicates: u64,
    with_records: u64,
    no_record: u64,
    failed: u64,
    pending: u64,
    held: u64,
}

impl From<&InputCounts> for Counts {
    fn from(counts: &InputCounts) -> Self {
        let InputCounts { read, rejected, duplicates, with_records, no_record, failed, pending, held } = *counts;
        Self { read, rejected, duplicates, with_records, no_record, failed, pending, held }
    }
}

/// Where the results of a run are, as paths.
#[derive(Serialize)]
pub(super) struct Places {
    pub(super) manifest: String,
    pub(super) outputs: Vec<String>,
    pub(super) failed: Option<String>,
    pub(super) errors: Option<String>,
}

impl Places {
    /// Of this manifest, which lies under this key; `place` gives the path of a key.
    pub(super) fn of(manifest: &Manifest, key: &str, place: impl Fn(&str) -> String) -> Self {
        let failed = manifest.failed.as_ref();
        Self {
            manifest: place(key),
            outputs: manifest.outputs.iter().map(|output| place(&output.key)).collect(),
            failed: failed.and_then(|failed| failed.key.as_deref()).map(&place),
            errors: failed.map(|failed| place(&failed.errors)),
        }
    }
}

impl Event<'_> {
    /// Prints it.
    pub(super) fn say(&self) {
        // What is in it can always be written as JSON.
        put(&serde_json::to_string(self).unwrap_or_default());
    }
}

/// The last line, whatever happened; gives the exit status that it tells.
pub(super) fn end(status: u8) -> u8 {
    Event::End { status }.say();
    status
}
