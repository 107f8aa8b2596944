//! A person stops a run: nothing more of it is triggered, collections that run are told to stop, what they have so far is delivered, and the
//! manifest says what became of every row that had been read.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::attempt::AttemptKeys;
use crate::held;
use crate::keys;
use crate::ledger::{self, Decision, EndRecord, VERSION};
use crate::messages::Reminder;
use crate::ports::{PortError, QueueName, Queues, Store};
use crate::words::RunId;

/// Batches that are looked at, at the same time.
const LOOKS_IN_FLIGHT: usize = 16;
/// Messages of one request (SQS quota).
const REMINDERS_MAX: usize = 10;

/// A run is to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCancelRecord {
    /// Format version.
    pub v: u32,
    /// Since when.
    pub at: Timestamp,
}

/// What a cancellation set going.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Batches that are not over.
    pub open_batches: usize,
    /// Inputs that waited for a person, and are given up.
    pub given_up: u64,
    /// Whether the file had been read to its end.
    pub file_read: bool,
}

/// Whether a run is to stop.
pub async fn is_cancelled(store: &dyn Store, run: &RunId) -> Result<bool, PortError> {
    Ok(store.get(&keys::run_cancel(run)).await?.is_some())
}

/// Cancels a run that has begun. A send that is under way leaves within [`SEND_BY_SECONDS`](crate::policy::limits::SEND_BY_SECONDS), and
/// none after that. Every batch that is not over is looked at soon. Cancelling again is safe, and finishes what was cut off.
pub async fn cancel(
    store: &dyn Store,
    queues: &dyn Queues,
    now: Timestamp,
    run: &RunId,
) -> Result<Cancelled, PortError> {
    ledger::write_once(store, &keys::run_cancel(run), &RunCancelRecord { v: VERSION, at: now }).await?;
    let mut given_up = 0;
    for work in held::list(store, run).await? {
        // One that was decided otherwise goes on, and is stopped as the others are.
        if held::release(store, queues, now, &work.mark, &Decision::GiveUp).await?.is_ok() {
            given_up += u64::from(work.mark.held.inputs);
        }
    }
    let open = open_batches(store, run).await?;
    let reminders = futures_util::stream::iter(&open).map(|batch| reminder(store, run, *batch, now));
    let reminders: Vec<String> = reminders.buffered(LOOKS_IN_FLIGHT).try_collect().await?;
    for group in reminders.chunks(REMINDERS_MAX) {
        queues.send(QueueName::Poll, group, 0).await?;
    }
    let file_read = ledger::read::<EndRecord>(store, &keys::end(run)).await?.is_some();
    Ok(Cancelled { open_batches: open.len(), given_up, file_read })
}

/// The recorded batches that are not over.
async fn open_batches(store: &dyn Store, run: &RunId) -> Result<Vec<u32>, PortError> {
    let recorded = ledger::list_all(store, &keys::batches(run)).await?.len();
    let recorded = u32::try_from(recorded).unwrap_or(u32::MAX);
    let mut done = BTreeSet::new();
    for block in 0..recorded.div_ceil(keys::BLOCK) {
        done.extend(ledger::list_all(store, &keys::done_block(run, block)).await?);
    }
    Ok((1..=recorded).filter(|batch| !done.contains(&keys::done(run, *batch))).collect())
}

/// A reminder of the newest attempt of a batch that takes the place of the one that may be asleep for an hour.
async fn reminder(store: &dyn Store, run: &RunId, batch: u32, now: Timestamp) -> Result<String, PortError> {
    let (id, found) = AttemptKeys::newest(store, run, batch).await?;
    Ok(Reminder::new(id, found.generation.saturating_add(1), now).encode())
}
