//! The state of an attempt, derived from which records exist.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::keys;
use crate::ledger::{self, CancelRecord, Delivery, HeldRecord, Intent, Outcome, SendResult};
use crate::ports::{PortError, Store};
use crate::words::{AttemptId, Slice};

/// Which records of an attempt exist: one listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AttemptKeys {
    /// The attempt has ended.
    pub ended: bool,
    /// The newest generation of reminders that polls it; 0 for none.
    pub generation: u32,
    slices: BTreeMap<Slice, SliceKeys>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct SliceKeys {
    intents: BTreeSet<u32>,
    outcomes: BTreeSet<u32>,
    cancelled: bool,
    delivered: bool,
    held: bool,
}

/// What a slice is doing. Every variant owns what is known in it.
#[derive(Debug, Clone, PartialEq)]
pub enum SliceState {
    /// Nothing was started for it as far as anybody knows; the next send has this number.
    Unsent {
        /// Number of the next send.
        send: u32,
    },
    /// A send has an intent and no outcome.
    Sending {
        /// Its number.
        send: u32,
        /// Its intent.
        intent: Intent,
    },
    /// A collection runs for it.
    Collecting(Collecting),
    /// Refused for good.
    Refused {
        /// HTTP status.
        status: u16,
        /// The API's text.
        text: String,
    },
    /// Refused as a whole because of some inputs: each half goes on by itself.
    Split(Slice, Slice),
    /// Its collection has been fetched.
    Delivered(Collecting, Box<Delivery>),
    /// A person has to decide.
    Held(HeldRecord),
}

/// A collection that belongs to a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collecting {
    /// Number of the send.
    pub send: u32,
    /// `j_…`.
    pub collection: String,
    /// When it was accepted.
    pub since: Timestamp,
    /// When the API expected to start it.
    pub start_eta: Option<Timestamp>,
    /// Found in the job list instead of answered.
    pub adopted: bool,
    /// It was told to stop.
    pub cancel: Option<CancelRecord>,
}

impl AttemptKeys {
    /// Lists the records of an attempt.
    pub async fn load(store: &dyn Store, id: &AttemptId) -> Result<Self, PortError> {
        let prefix = keys::attempt(id);
        let mut found = Self::default();
        for key in ledger::list_all(store, &prefix).await? {
            found.note(key.strip_prefix(&prefix).unwrap_or_default());
        }
        Ok(found)
    }

    fn note(&mut self, name: &str) {
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            ["end", "json"] => self.ended = true,
            [poller, "json"] => {
                let generation = poller.strip_prefix("poller-").and_then(|number| number.parse().ok());
                self.generation = self.generation.max(generation.unwrap_or(0));
            }
            [slice, send, what, "json"] => {
                let number = send.strip_prefix("send-").and_then(|number| number.parse().ok());
                let (Some(slice), Some(number)) = (parse(slice), number) else { return };
                let slice = self.slices.entry(slice).or_default();
                match *what {
                    "intent" => slice.intents.insert(number),
                    "outcome" => slice.outcomes.insert(number),
                    _ => false,
                };
            }
            [slice, what, "json"] => {
                let Some(slice) = parse(slice) else { return };
                let slice = self.slices.entry(slice).or_default();
                match *what {
                    "cancel" => slice.cancelled = true,
                    "delivery" => slice.delivered = true,
                    "held" => slice.held = true,
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Whether any send has been begun.
    pub fn begun(&self) -> bool {
        !self.slices.is_empty()
    }

    /// The whole attempt as a slice, once a send has been begun.
    pub fn whole(&self) -> Option<Slice> {
        self.slices.keys().filter(|slice| slice.start == 0).max_by_key(|slice| slice.end).copied()
    }

    /// How many sends of a slice have been begun.
    pub fn sends(&self, slice: Slice) -> u32 {
        self.slices.get(&slice).and_then(|keys| keys.intents.last().copied()).unwrap_or(0)
    }

    /// The state of one slice.
    pub async fn state(&self, store: &dyn Store, id: &AttemptId, slice: Slice) -> Result<SliceState, PortError> {
        let Some(keys) = self.slices.get(&slice) else { return Ok(SliceState::Unsent { send: 1 }) };
        if keys.held && !keys.delivered {
            return ledger::read_known(store, &keys::held(id, slice)).await.map(SliceState::Held);
        }
        let Some(send) = keys.intents.last().copied() else { return Ok(SliceState::Unsent { send: 1 }) };
        if !keys.outcomes.contains(&send) {
            let intent = ledger::read_known(store, &keys::intent(id, slice, send)).await?;
            return Ok(SliceState::Sending { send, intent });
        }
        let outcome: Outcome = ledger::read_known(store, &keys::outcome(id, slice, send)).await?;
        match outcome.result {
            SendResult::Accepted { collection, start_eta, adopted } => {
                let cancel = if keys.cancelled { ledger::read(store, &keys::cancel(id, slice)).await? } else { None };
                let collecting = Collecting { send, collection, since: outcome.at, start_eta, adopted, cancel };
                if keys.delivered {
                    let delivery = ledger::read_known(store, &keys::delivery(id, slice)).await?;
                    return Ok(SliceState::Delivered(collecting, Box::new(delivery)));
                }
                Ok(SliceState::Collecting(collecting))
            }
            SendResult::Refused { status, text } => match slice.halves() {
                // 422 is about the inputs, perhaps only about some of them.
                Some((one, two)) if status == 422 => Ok(SliceState::Split(one, two)),
                _ => Ok(SliceState::Refused { status, text }),
            },
            SendResult::NotSent { .. }
            | SendResult::RefusedOption
            | SendResult::Wait { .. }
            | SendResult::Credentials { .. }
            | SendResult::NothingStarted
            | SendResult::Abandoned => Ok(SliceState::Unsent { send: send.saturating_add(1) }),
        }
    }
}

fn parse(slice: &str) -> Option<Slice> {
    let (start, end) = slice.split_once('-')?;
    Some(Slice { start: start.parse().ok()?, end: end.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::RunId;

    #[test]
    fn every_key_of_an_attempt_is_understood() {
        let id = AttemptId { run: RunId::parse("0123456789abcdef").unwrap(), batch: 3, attempt: 2 };
        let slice = Slice { start: 0, end: 1_000 };
        let mut keys = AttemptKeys::default();
        for key in [
            keys::poller(&id, 2),
            keys::attempt_end(&id),
            keys::intent(&id, slice, 1),
            keys::outcome(&id, slice, 1),
            keys::intent(&id, slice, 12),
            keys::cancel(&id, slice),
            keys::delivery(&id, slice),
            keys::held(&id, slice),
        ] {
            keys.note(key.strip_prefix(&keys::attempt(&id)).unwrap());
        }
        let all =
            SliceKeys { intents: [1, 12].into(), outcomes: [1].into(), cancelled: true, delivered: true, held: true };
        assert_eq!(keys, AttemptKeys { ended: true, generation: 2, slices: [(slice, all)].into() });
        assert_eq!((keys.whole(), keys.sends(slice)), (Some(slice), 12));
    }
}
