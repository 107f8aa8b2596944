//! One run as the page knows it: bounded, however many batches it has.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failures::{Failures, Tally};
use crate::ledger::{CollectionEntry, Fates, OutputEntry};
use crate::manifest::{FailedFiles, Manifest};
use crate::schedule::{later, seconds_between};
use crate::status::Status;

/// Collections of a run on its time line: those that took longest.
const SPANS_MAX: usize = 40;
/// Outputs of a run that are named.
const OUTPUTS_MAX: usize = 20;
/// Codes that are named of what was triggered again.
const AGAIN_MAX: usize = 10;
/// Columns of a [`Pace`].
const COLUMNS_MAX: usize = 60;
/// Seconds of a column, at first.
const COLUMN_SECONDS: u32 = 5;
/// Characters of a text that people or the API wrote.
const TEXT_CHARS_MAX: usize = 500;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its status.
    pub status: Status,
    /// Its collections: those that took longest, in the order of their triggers.
    pub collections: Vec<Span>,
    /// What failed, as far as it is told apart; all of it when the run is over.
    pub failures: Failures,
    /// Records over time.
    pub pace: Pace,
    /// Output objects, the first ones; known when the run is over.
    pub outputs: Vec<OutputEntry>,
    /// How many output objects there are.
    pub outputs_count: u64,
    /// Where the failures are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedFiles>,
}

/// One collection on the time line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
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
    /// When it was triggered.
    pub from: Timestamp,
    /// When its dataset had been fetched.
    pub to: Timestamp,
    /// A person decided not to wait for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abandoned: bool,
}

/// Records in columns of equal width; the columns become wider as the run gets older, so that there are never many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Where the first column begins.
    pub from: Timestamp,
    /// Width of a column.
    pub seconds: u32,
    /// Records of each column.
    pub records: Vec<u64>,
}

/// What a look at finished batches shows besides their sums.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    spans: Vec<Span>,
    failures: Tally,
}

impl Seen {
    /// Another batch. The host of a failure is in the batch record, which nobody reads for this.
    pub(crate) fn add(&mut self, fates: &Fates) {
        self.spans.extend(fates.collections.iter().map(Span::of));
        for failed in &fates.failed {
            self.failures.add(&failed.code, None);
        }
    }
}

impl Shown {
    /// A run that goes on; `before` is what was known of it.
    pub(super) fn live(mut status: Status, seen: &Seen, before: Option<&Self>) -> Self {
        clip(&mut status);
        let mut pace = before.map_or_else(|| Pace::new(status.started_at), |before| before.pace.clone());
        pace.add(status.updated_at, status.records.saturating_sub(pace.total()));
        let known = before.map_or(&[][..], |before| &before.collections);
        // Batches whose block is complete are not looked at any more: whoever has seen most knows most.
        let failures = seen.failures.so_far();
        let failures = match before {
            Some(before) if before.failures.count() > failures.count() => before.failures.clone(),
            _ => failures,
        };
        Self {
            collections: longest(known.iter().chain(&seen.spans).cloned()),
            failures,
            pace,
            outputs: Vec::new(),
            outputs_count: 0,
            failed: None,
            status,
        }
    }

    /// A run that is over.
    pub(super) fn over(path: &str, manifest: &Manifest) -> Self {
        let mut status = Status::of(path, manifest);
        clip(&mut status);
        let mut pace = Pace::new(manifest.started_at);
        for entry in &manifest.collections {
            pace.add(entry.ready_at, entry.records);
        }
        Self {
            collections: longest(manifest.collections.iter().map(Span::of)),
            failures: manifest.failures.clone(),
            pace,
            outputs: manifest.outputs.iter().take(OUTPUTS_MAX).cloned().collect(),
            outputs_count: manifest.outputs.len() as u64,
            failed: manifest.failed.clone(),
            status,
        }
    }

    /// Whether there is a manifest.
    pub fn is_over(&self) -> bool {
        self.status.manifest.is_some()
    }
}

/// What comes from people or the API may be long.
fn clip(status: &mut Status) {
    let problem = status.problem.as_mut().map(|problem| &mut problem.message);
    for text in status.notice.as_mut().into_iter().chain(problem) {
        if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
            text.truncate(end);
            text.push('…');
        }
    }
    let again = &mut status.spent.again;
    let mut counts: Vec<u64> = again.values().copied().collect();
    counts.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
    if let Some(least) = counts.get(AGAIN_MAX - 1) {
        again.retain(|_, count| *count >= *least);
    }
    while again.len() > AGAIN_MAX {
        again.pop_last();
    }
}

/// Those that took longest, in the order of their triggers. One that is given twice counts once.
fn longest(spans: impl Iterator<Item = Span>) -> Vec<Span> {
    let by_id: BTreeMap<String, Span> = spans.map(|span| (span.id.clone(), span)).collect();
    let mut spans: Vec<Span> = by_id.into_values().collect();
    spans.sort_by_key(|span| std::cmp::Reverse(span.seconds()));
    spans.truncate(SPANS_MAX);
    spans.sort_by_key(|span| (span.from, span.batch, span.attempt));
    spans
}

impl Span {
    fn of(entry: &CollectionEntry) -> Self {
        Self {
            id: entry.id.clone(),
            batch: entry.batch,
            attempt: entry.attempt,
            inputs: entry.inputs,
            records: entry.records,
            failed: entry.failed,
            from: entry.triggered_at,
            to: entry.ready_at,
            abandoned: entry.abandoned,
        }
    }

    /// How long it took.
    pub fn seconds(&self) -> u64 {
        u64::try_from(seconds_between(self.from, self.to)).unwrap_or(0)
    }
}

impl Pace {
    fn new(from: Timestamp) -> Self {
        Self { from, seconds: COLUMN_SECONDS, records: Vec::new() }
    }

    fn add(&mut self, at: Timestamp, records: u64) {
        if records == 0 {
            return;
        }
        let seconds = usize::try_from(seconds_between(self.from, at)).unwrap_or(0);
        while seconds / self.seconds as usize >= COLUMNS_MAX {
            self.seconds = self.seconds.saturating_mul(2);
            self.records = self.records.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
        let column = seconds / self.seconds as usize;
        if self.records.len() <= column {
            self.records.resize(column + 1, 0);
        }
        if let Some(count) = self.records.get_mut(column) {
            *count += records;
        }
    }

    /// All records.
    pub fn total(&self) -> u64 {
        self.records.iter().sum()
    }

    /// Where the last column ends.
    pub fn end(&self) -> Timestamp {
        later(self.from, i64::from(self.seconds) * self.records.len() as i64)
    }

    /// Records a minute in a column with so many.
    pub fn a_minute(&self, records: u64) -> u64 {
        records.saturating_mul(60).div_ceil(u64::from(self.seconds.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_wider_and_lose_nothing() {
        let from = Timestamp::UNIX_EPOCH;
        let mut pace = Pace::new(from);
        for second in [0, 4, 5, 299, 300, 5_000, 86_400] {
            pace.add(later(from, second), 3);
            assert!(pace.records.len() <= COLUMNS_MAX);
        }
        pace.add(later(from, -5), 1);
        assert_eq!(pace.total(), 22);
        assert_eq!(pace.seconds, 2_560, "a day in sixty columns at most");
        assert_eq!(pace.a_minute(128), 3);
    }

    #[test]
    fn the_longest_stay_on_the_time_line() {
        let span = |batch: u32| Span {
            id: format!("j_{batch}"),
            batch,
            attempt: 1,
            inputs: 1,
            records: 1,
            failed: 0,
            from: Timestamp::UNIX_EPOCH,
            to: later(Timestamp::UNIX_EPOCH, i64::from(batch)),
            abandoned: false,
        };
        let kept = longest((1..=100).chain(90..=100).map(span));
        let batches: Vec<u32> = kept.iter().map(|span| span.batch).collect();
        assert_eq!(batches, (61..=100).collect::<Vec<_>>());
    }
}
