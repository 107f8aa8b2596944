//! A person stops a run: nothing more of it is triggered, collections that run are told to stop, what they have so far is delivered, and the
//! manifest says what became of every row that had been read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::held;
use crate::keys;
use crate::ledger::{self, Decision, EndRecord, VERSION};
use crate::ports::{PortError, Queues, Store};
use crate::remind;
use crate::words::RunId;

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
    let open_batches = remind::open_batches(store, queues, now, run).await?;
    let file_read = ledger::read::<EndRecord>(store, &keys::end(run)).await?.is_some();
    Ok(Cancelled { open_batches, given_up, file_read })
}
