//! One run in detail, read from its status, its manifest and the ledger: with a bounded number of reads, whatever the size of the run.
//!
//! At most 30 listings of 1,000 keys, the ends of 100 batches, the states of 100 attempts under way (a record each, or a few), ten held
//! slices, and the run's record, status, manifest and errors. Where that is not all, [`Detail::text`] says so.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use pipeline::attempt::{AttemptKeys, SliceState};
use pipeline::cancel::RunCancelRecord;
use pipeline::held;
use pipeline::keys;
use pipeline::ledger::{self, AttemptEnd, CollectionEntry, FailedInput, HeldMark, RunRecord};
use pipeline::manifest::Manifest;
use pipeline::ports::{PortError, Store};
use pipeline::status::Status;
use pipeline::words::{AttemptId, RunId, Slice};
use serde::Serialize;

use crate::report::{self, Reason, Reasons};

#[cfg(test)]
mod tests;
mod text;

/// Pages of keys that are listed.
const PAGES_MAX: usize = 30;
/// Ends of batches that are read.
const ENDS_MAX: usize = 100;
/// Attempts under way whose state is read: the API runs no more of a collector at once.
const OPEN_MAX: usize = 100;
/// Held slices that are told one by one.
const HELD_MAX: usize = 10;
/// Lines of errors that are summed up.
const ERRORS_MAX: u64 = 100_000;
/// Records that are read at the same time.
const READ_AT_ONCE: usize = 16;

/// One run.
#[derive(Debug)]
pub struct Detail {
    run: RunId,
    key: String,
    path: String,
    record: Option<RunRecord>,
    status: Option<Status>,
    manifest: Option<Manifest>,
    cancelled_at: Option<Timestamp>,
    attempts: BTreeMap<u32, Attempt>,
    reasons: Vec<Reason>,
    held: Vec<HeldMark>,
    held_in_all: usize,
    /// When the oldest collection that is waited for was accepted.
    oldest: Option<Timestamp>,
    /// What was too much to be looked at.
    unseen: Vec<String>,
}

/// The collections of all batches that have the same number of attempt.
#[derive(Debug, Default)]
struct Attempt {
    fetched: u64,
    running: u64,
    /// Sent without an answer so far.
    unanswered: u64,
    unsent: u64,
    records: u64,
    failed: u64,
}

/// Why there is nothing to tell.
#[derive(Debug, thiserror::Error)]
pub enum NoDetail {
    /// There is no record of such a run.
    #[error(
        "there is no run {0} here: `dropcollect status` shows those that there are (a rejected file is found by its input key)"
    )]
    NoRun(RunId),
    /// There is no such key.
    #[error(
        "{0} is neither the id of a run nor an input key that was run here: `dropcollect status` shows those that there are"
    )]
    NoKey(String),
    /// Trouble of the disk or of S3.
    #[error("{0}: {source}", source = .0.source)]
    Port(#[from] PortError),
}

/// Reads the run with this id, or the newest one of this input key.
pub async fn detail(store: &dyn Store, named: &str) -> Result<Detail, NoDetail> {
    let mut detail = found(store, named).await?;
    detail.manifest = ledger::read(store, &keys::manifest(&detail.path, &detail.run)).await?;
    let cancelled: Option<RunCancelRecord> = ledger::read(store, &keys::run_cancel(&detail.run)).await?;
    detail.cancelled_at = cancelled.map(|record| record.at);
    match detail.manifest.clone() {
        Some(manifest) => {
            manifest.collections.iter().for_each(|collection| detail.add(collection));
            detail.reasons = detail.reasons_of(store, &manifest).await?;
        }
        None => detail.going_on(store).await?,
    }
    Ok(detail)
}

async fn found(store: &dyn Store, named: &str) -> Result<Detail, NoDetail> {
    let (run, record, path) = match RunId::parse(named) {
        Some(run) => {
            let record: Option<RunRecord> = ledger::read(store, &keys::run(&run)).await?;
            let Some(record) = record else { return Err(NoDetail::NoRun(run)) };
            let path = record.path.clone();
            (Some(run), Some(record), path)
        }
        None => (None, None, keys::input_path(named)),
    };
    let newest: Option<Status> = ledger::read(store, &keys::status(&path)).await?;
    let Some(run) = run.or_else(|| newest.as_ref().map(|status| status.run.clone())) else {
        return Err(NoDetail::NoKey(named.to_owned()));
    };
    let status = newest.filter(|status| status.run == run);
    let key = record.as_ref().map(|record| record.object.key.clone());
    let key = key.or(status.as_ref().map(|status| status.input.key.clone())).unwrap_or_else(|| named.to_owned());
    Ok(Detail {
        run,
        key,
        path,
        record,
        status,
        manifest: None,
        cancelled_at: None,
        attempts: BTreeMap::new(),
        reasons: Vec::new(),
        held: Vec::new(),
        held_in_all: 0,
        oldest: None,
        unseen: Vec::new(),
    })
}

impl Detail {
    /// The manifest, or as long as there is none the status; with `cancelled_at`, if the run was cancelled.
    pub fn json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Told<'a, T: Serialize> {
            #[serde(flatten)]
            what: &'a T,
            #[serde(skip_serializing_if = "Option::is_none")]
            cancelled_at: Option<Timestamp>,
        }
        let cancelled_at = self.cancelled_at;
        match &self.manifest {
            Some(manifest) => serde_json::to_string(&Told { what: manifest, cancelled_at }),
            None => serde_json::to_string(&Told { what: &self.status, cancelled_at }),
        }
    }

    fn add(&mut self, collection: &CollectionEntry) {
        let attempt = self.attempts.entry(collection.attempt).or_default();
        attempt.fetched += 1;
        attempt.records += collection.records;
        attempt.failed += u64::from(collection.failed);
    }

    async fn reasons_of(&mut self, store: &dyn Store, manifest: &Manifest) -> Result<Vec<Reason>, PortError> {
        let Some(failed) = &manifest.failed else { return Ok(Vec::new()) };
        let lines = manifest.inputs.failed + manifest.inputs.rejected;
        if lines > ERRORS_MAX {
            self.unseen.push(format!("{lines} lines of errors"));
            return Ok(Vec::new());
        }
        let errors = store.get(&failed.errors).await?;
        // The rest is worth having without them.
        Ok(errors.and_then(|errors| report::reasons(&errors.body[..]).ok()).unwrap_or_default())
    }

    /// What the ledger tells of a run that is not over.
    async fn going_on(&mut self, store: &dyn Store) -> Result<(), PortError> {
        let marks = held::marks(store, &self.run).await?;
        self.held_in_all = marks.len();
        for mark in marks.iter().take(HELD_MAX) {
            self.held.push(ledger::read_known(store, mark).await?);
        }
        let mut ends: BTreeMap<u32, AttemptId> = BTreeMap::new();
        let mut open: Vec<(AttemptId, AttemptKeys)> = Vec::new();
        for (id, keys) in self.attempts_of(store).await? {
            let found = AttemptKeys::of(&id, &keys);
            if found.ended {
                ends.insert(id.batch, id);
            } else {
                open.push((id, found));
            }
        }
        if ends.len() > ENDS_MAX {
            self.unseen.push(format!("the ends of {} batches", ends.len() - ENDS_MAX));
        }
        if open.len() > OPEN_MAX {
            self.unseen.push(format!("{} attempts under way", open.len() - OPEN_MAX));
        }
        self.ended(store, ends.into_values().rev().take(ENDS_MAX).collect()).await?;
        let states = stream::iter(open.into_iter().take(OPEN_MAX))
            .map(|(id, found)| async move { Ok::<_, PortError>((id.attempt, states(store, &id, &found).await?)) });
        let mut states = std::pin::pin!(states.buffered(READ_AT_ONCE));
        while let Some((attempt, states)) = states.try_next().await? {
            states.iter().for_each(|state| self.under_way(attempt, state));
        }
        Ok(())
    }

    /// The keys of every attempt.
    async fn attempts_of(&mut self, store: &dyn Store) -> Result<Vec<(AttemptId, Vec<String>)>, PortError> {
        let prefix = keys::all_attempts(&self.run);
        let mut attempts: Vec<(AttemptId, Vec<String>)> = Vec::new();
        let mut after: Option<String> = None;
        for page in 0.. {
            let listing = store.list(&prefix, after.as_deref()).await?;
            for key in &listing.keys {
                let Some(id) = keys::attempt_of(&self.run, key) else { continue };
                match attempts.last_mut().filter(|(last, _)| *last == id) {
                    Some((_, keys)) => keys.push(key.clone()),
                    None => attempts.push((id, vec![key.clone()])),
                }
            }
            after = listing.keys.last().cloned();
            if !listing.more || after.is_none() {
                break;
            }
            if page + 1 == PAGES_MAX {
                // Its keys may not be all there.
                attempts.pop();
                self.unseen.push("later batches".to_owned());
                break;
            }
        }
        Ok(attempts)
    }

    /// Adds what the batches of these attempts have brought up to them.
    async fn ended(&mut self, store: &dyn Store, ends: Vec<AttemptId>) -> Result<(), PortError> {
        let read = stream::iter(ends).map(|id| async move {
            ledger::read_known::<AttemptEnd>(store, &keys::attempt_end(&id)).await.map(|end| (id, end))
        });
        let mut reasons = Reasons::default();
        let mut ends = std::pin::pin!(read.buffered(READ_AT_ONCE));
        while let Some((id, end)) = ends.try_next().await? {
            end.fates.collections.iter().for_each(|collection| self.add(collection));
            for FailedInput { code, message, .. } in &end.fates.failed {
                reasons.add(id.batch.into(), code, || message.clone());
            }
        }
        self.reasons = reasons.sorted();
        Ok(())
    }

    fn under_way(&mut self, number: u32, state: &SliceState) {
        let attempt = self.attempts.entry(number).or_default();
        match state {
            SliceState::Unsent { .. } => attempt.unsent += 1,
            SliceState::Sending { .. } => attempt.unanswered += 1,
            SliceState::Collecting(collecting) => {
                attempt.running += 1;
                self.oldest = Some(self.oldest.map_or(collecting.since, |oldest| oldest.min(collecting.since)));
            }
            SliceState::Delivered(_, delivery) => {
                attempt.fetched += 1;
                attempt.records += delivery.records;
                attempt.failed += delivery.failed.len() as u64;
            }
            // Held work is told by itself, and what was refused or given up is about to be counted as failed.
            _ => {}
        }
    }
}

/// The states of an attempt: of the whole of it, or of the parts that were sent by themselves.
async fn states(store: &dyn Store, id: &AttemptId, found: &AttemptKeys) -> Result<Vec<SliceState>, PortError> {
    let mut states = Vec::new();
    let mut slices: Vec<Slice> = found.whole().into_iter().collect();
    while let Some(slice) = slices.pop() {
        match found.state(store, id, slice).await? {
            SliceState::Split(one, two) => slices.extend([one, two]),
            state => states.push(state),
        }
    }
    Ok(states)
}
