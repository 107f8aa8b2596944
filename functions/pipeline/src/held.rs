//! Work that waits for a person: how it is left to one, and what follows from the decision.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::attempt::{AttemptKeys, Collecting};
use crate::keys;
use crate::ledger::{
    self, CollectionRecord, Decision, HeldMark, HeldRecord, Intent, Outcome, ReleaseRecord, SendResult, VERSION,
};
use crate::messages::Reminder;
use crate::metrics;
use crate::ports::{PortError, QueueName, Queues, Store, Written};
use crate::status;
use crate::words::{AttemptId, RunId, Slice};
use crate::work::{Step, Work};

/// Why a slice is left to a person.
pub(crate) struct Why {
    /// Stable code.
    pub(crate) reason: &'static str,
    /// What is known, and what to decide.
    pub(crate) message: String,
    /// The send that it is about.
    pub(crate) send: u32,
    /// The collection that may be the send's.
    pub(crate) collection: Option<String>,
    /// How often the slice has been held before.
    pub(crate) holds: u32,
}

impl Why {
    /// About a collection that a slice waits for.
    pub(crate) fn of(collecting: &Collecting, reason: &'static str, message: String) -> Self {
        let collection = Some(collecting.collection.clone());
        Self { reason, message, send: collecting.send, collection, holds: collecting.holds }
    }
}

/// One held slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldWork {
    /// Its mark.
    pub mark: HeldMark,
    /// A collection that turned out to be its send's after it had been held: its answer came very late.
    pub answered: Option<String>,
}

/// Why a decision was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// It is about something else.
    #[error("{0} does not look like the id of a collection (j_…)")]
    NoCollection(String),
    /// It is known to be another send's.
    #[error("{collection} belongs to {owner}")]
    Taken {
        /// The collection.
        collection: String,
        /// Whose it is.
        owner: AttemptId,
    },
    /// Somebody has decided otherwise.
    #[error("this was decided before: {0:?}")]
    Decided(Decision),
}

impl Work<'_> {
    /// Leaves a slice to a person.
    pub(crate) async fn hold(&self, slice: Slice, why: Why) -> Result<Step, PortError> {
        let Why { reason, message, send, collection, holds } = why;
        let number = holds.saturating_add(1);
        let (at, inputs) = (self.pipeline.clock.now(), slice.len());
        let held = HeldRecord { v: VERSION, at, reason: reason.to_owned(), message, inputs, send, collection };
        let key = keys::held(&self.id, slice, number);
        if ledger::write_once(&*self.pipeline.store, &key, &held).await? == Written::New {
            self.pipeline.count(&metrics::INPUTS_HELD, u64::from(inputs));
            tracing::error!(reason, inputs, "held for a person: {}", held.message);
        }
        Ok(Step::Next)
    }

    /// Does what a person has decided. The outcome that says so goes to the send in question if it has none (`open`), else to a next
    /// one, which is not sent; its outcome is there before its intent, so that nobody takes it for a send under way.
    pub(crate) async fn follow(
        &self,
        slice: Slice,
        held: &HeldRecord,
        decision: &Decision,
        open: bool,
    ) -> Result<Step, PortError> {
        let store = &*self.pipeline.store;
        let now = self.pipeline.clock.now();
        let send = if open { held.send } else { held.send.saturating_add(1) };
        let result = match decision {
            Decision::Adopt { collection } => {
                let record = CollectionRecord { v: VERSION, at: now, send: self.send_id(slice, send) };
                let standing = ledger::settle(store, &keys::collection(collection), record).await?.send;
                if standing.attempt != self.id || standing.slice != slice {
                    let found = AttemptKeys::load(store, &self.id).await?;
                    let message =
                        format!("{collection} cannot be adopted: it belongs to {}; decide again", standing.attempt);
                    let (send, collection, holds) = (held.send, held.collection.clone(), found.holds(slice));
                    return self
                        .hold(slice, Why { reason: "adoption_refused", message, send, collection, holds })
                        .await;
                }
                SendResult::Accepted { collection: collection.clone(), start_eta: None, adopted: true }
            }
            _ => SendResult::Abandoned,
        };
        if !open && let Some(claimed) = &held.collection {
            self.give_up_claim(slice, held.send, claimed).await?;
        }
        let outcome = Outcome { v: VERSION, at: now, result };
        ledger::write_once(store, &keys::outcome(&self.id, slice, send), &outcome).await?;
        if !open {
            let intent: Intent = ledger::read_known(store, &keys::intent(&self.id, slice, held.send)).await?;
            ledger::write_once(store, &keys::intent(&self.id, slice, send), &intent).await?;
        }
        tracing::info!(?decision, "released");
        // It does not wait for a person any more, and what it waits for now may take long.
        status::refresh(self.pipeline, &self.run, true).await?;
        Ok(Step::Next)
    }
}

/// Sees to it that held work is counted. Made at every visit of it: whoever held it may have died before.
pub(crate) async fn mark(
    store: &dyn Store,
    id: &AttemptId,
    slice: Slice,
    number: u32,
    held: HeldRecord,
) -> Result<(), PortError> {
    let mark = HeldMark { v: VERSION, attempt: id.clone(), slice, number, held };
    ledger::write_once(store, &keys::held_mark(id, slice, number), &mark).await.map(|_| ())
}

/// Sees to it that released work is not counted any more. Made at every visit of it, too.
pub(crate) async fn unmark(store: &dyn Store, id: &AttemptId, slice: Slice, number: u32) -> Result<(), PortError> {
    let key = keys::released_mark(&keys::held_mark(id, slice, number));
    ledger::write_once(store, &key, &serde_json::json!({"v": VERSION})).await.map(|_| ())
}

/// What of a run waits for a person.
pub async fn list(store: &dyn Store, run: &RunId) -> Result<Vec<HeldWork>, PortError> {
    let mut held = Vec::new();
    for mark in marks(store, run).await? {
        let mark: HeldMark = ledger::read_known(store, &mark).await?;
        let outcome = keys::outcome(&mark.attempt, mark.slice, mark.held.send);
        let outcome: Option<Outcome> = ledger::read(store, &outcome).await?;
        let answered = match outcome.map(|outcome| outcome.result) {
            Some(SendResult::Accepted { collection, adopted: false, .. }) => Some(collection),
            _ => None,
        };
        held.push(HeldWork { mark, answered });
    }
    Ok(held)
}

/// Takes a decision about held work and sends the message that lets it go on. Deciding the same again is safe, and finishes what was cut
/// off.
pub async fn release(
    store: &dyn Store,
    queues: &dyn Queues,
    now: Timestamp,
    mark: &HeldMark,
    decision: &Decision,
) -> Result<Result<(), NotReleased>, PortError> {
    let (id, slice) = (&mark.attempt, mark.slice);
    if let Decision::Adopt { collection } = decision {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !collection.starts_with("j_") || collection.len() < 3 || !collection.bytes().all(plain) {
            return Ok(Err(NotReleased::NoCollection(collection.clone())));
        }
        let known: Option<CollectionRecord> = ledger::read(store, &keys::collection(collection)).await?;
        if let Some(CollectionRecord { send, .. }) = known
            && (send.attempt != *id || send.slice != slice)
        {
            return Ok(Err(NotReleased::Taken { collection: collection.clone(), owner: send.attempt }));
        }
    }
    let record = ReleaseRecord { v: VERSION, at: now, decision: decision.clone() };
    let standing = ledger::settle(store, &keys::released(id, slice, mark.number), record).await?;
    if standing.decision != *decision {
        return Ok(Err(NotReleased::Decided(standing.decision)));
    }
    let found = AttemptKeys::load(store, id).await?;
    // Of the next generation: a message that still polls other slices of the attempt makes way for it.
    let reminder = Reminder::new(id.clone(), found.generation.saturating_add(1), now);
    queues.send(QueueName::Poll, &[reminder.encode()], 0).await?;
    // Last: as long as it is missing the work is listed, and whoever was cut off decides again.
    unmark(store, id, slice, mark.number).await?;
    Ok(Ok(()))
}

/// The keys of the marks of what of a run is held.
pub async fn marks(store: &dyn Store, run: &RunId) -> Result<Vec<String>, PortError> {
    let keys = ledger::list_all(store, &keys::held_marks(run)).await?;
    Ok(unreleased(&keys).cloned().collect())
}

/// How many inputs wait where these marks are: the slice stands in the key, and thousands of marks need not be read.
pub(crate) fn inputs(marks: &[String]) -> u64 {
    marks.iter().filter_map(|mark| keys::marked_slice(mark)).map(|slice| u64::from(slice.len())).sum()
}

/// The marks without those of what was released, and without the marks that say so.
fn unreleased(keys: &[String]) -> impl Iterator<Item = &String> {
    let released: BTreeSet<&String> = keys.iter().filter(|key| key.ends_with(".released.json")).collect();
    keys.iter().filter(move |key| !key.ends_with(".released.json") && !released.contains(&keys::released_mark(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_released_is_not_held() {
        let id = AttemptId { run: RunId::parse("0123456789abcdef").unwrap(), batch: 3, attempt: 1 };
        let slice = Slice { start: 0, end: 5 };
        let (first, second) = (keys::held_mark(&id, slice, 1), keys::held_mark(&id, slice, 2));
        let all = [first.clone(), keys::released_mark(&first), second.clone()];
        assert_eq!(unreleased(&all).collect::<Vec<_>>(), [&second]);
        assert_eq!(inputs(&[first, second]), 10);
    }
}
