//! Sets everything of a run going again that is not over, at once: whatever its messages wait for, they may wait for an hour.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::attempt::AttemptKeys;
use crate::keys;
use crate::ledger;
use crate::messages::Reminder;
use crate::ports::{PortError, QueueName, Queues, Store};
use crate::words::RunId;

/// Batches that are looked at, at the same time.
const LOOKS_IN_FLIGHT: usize = 16;
/// Messages of one request (SQS quota).
const REMINDERS_MAX: usize = 10;

/// Sends every batch of a run that is not over a reminder that takes the place of the message it has. Returns how many there are.
pub(crate) async fn open_batches(
    store: &dyn Store,
    queues: &dyn Queues,
    now: Timestamp,
    run: &RunId,
) -> Result<usize, PortError> {
    let open = unfinished(store, run).await?;
    let reminders = futures_util::stream::iter(&open).map(|batch| reminder(store, run, *batch, now));
    let reminders: Vec<String> = reminders.buffered(LOOKS_IN_FLIGHT).try_collect().await?;
    for group in reminders.chunks(REMINDERS_MAX) {
        queues.send(QueueName::Poll, group, 0).await?;
    }
    Ok(open.len())
}

/// The recorded batches that are not over.
async fn unfinished(store: &dyn Store, run: &RunId) -> Result<Vec<u32>, PortError> {
    let recorded = ledger::list_all(store, &keys::batches(run)).await?.len();
    let recorded = u32::try_from(recorded).unwrap_or(u32::MAX);
    let mut done = BTreeSet::new();
    for block in 0..recorded.div_ceil(keys::BLOCK) {
        done.extend(ledger::list_all(store, &keys::done_block(run, block)).await?);
    }
    Ok((1..=recorded).filter(|batch| !done.contains(&keys::done(run, *batch))).collect())
}

/// A reminder of the newest attempt of a batch, of the generation after the one that polls it.
async fn reminder(store: &dyn Store, run: &RunId, batch: u32, now: Timestamp) -> Result<String, PortError> {
    let (id, found) = AttemptKeys::newest(store, run, batch).await?;
    Ok(Reminder::new(id, found.generation.saturating_add(1), now).encode())
}
