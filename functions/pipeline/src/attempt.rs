//! The state of an attempt, derived from which records exist.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::keys;
use crate::ledger::{self, CancelRecord, Decision, Delivery, HeldRecord, Intent, Outcome, ReleaseRecord, SendResult};
use crate::messages::Turn;
use crate::ports::{PortError, Store};
use crate::words::{AttemptId, RunId, Slice};

/// Which records of an attempt exist: one listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AttemptKeys {
    /// The attempt has ended.
    pub ended: bool,
    /// The newest generation of reminders that polls it; 0 for none.
    pub generation: u32,
    slices: BTreeMap<Slice, SliceKeys>,
    /// The last delivery that came to its end, of each message; by [`keys::message_tag`].
    alive: BTreeMap<String, u32>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct SliceKeys {
    intents: BTreeSet<u32>,
    outcomes: BTreeSet<u32>,
    cancelled: BTreeSet<u32>,
    /// How often the dataset of each send's collection could not be read.
    unreadable: BTreeMap<u32, u32>,
    delivered: bool,
    held: BTreeSet<u32>,
    released: BTreeSet<u32>,
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
        /// How often the slice has been held.
        holds: u32,
    },
    /// A collection runs for it.
    Collecting(Collecting),
    /// The run was cancelled before it was sent.
    CalledOff,
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
    /// A person has to decide, for the `number`-th time.
    Held {
        /// How often it has been held, this time included.
        number: u32,
        /// Why.
        held: HeldRecord,
    },
    /// A person has decided, and nothing has followed yet.
    Released {
        /// Why it was held.
        held: HeldRecord,
        /// What was decided.
        decision: Decision,
        /// Whether the send that it is about has no outcome.
        open: bool,
    },
    /// A person has given its inputs up.
    GivenUp(HeldRecord),
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
    /// Found in the job list, or named by a person, instead of answered.
    pub adopted: bool,
    /// A person says that it is this slice's.
    pub believed: bool,
    /// It was told to stop.
    pub cancel: Option<CancelRecord>,
    /// How often the slice has been held.
    pub holds: u32,
    /// How often its dataset could not be read.
    pub unreadable: u32,
}

impl Collecting {
    /// Only time and size say so far that it is this slice's.
    pub fn claimed(&self) -> bool {
        self.adopted && !self.believed
    }
}

impl AttemptKeys {
    /// Lists the records of an attempt.
    pub async fn load(store: &dyn Store, id: &AttemptId) -> Result<Self, PortError> {
        Ok(Self::of(id, &ledger::list_all(store, &keys::attempt(id)).await?))
    }

    /// The newest attempt of a batch of which there are records, or else its first one.
    pub async fn newest(store: &dyn Store, run: &RunId, batch: u32) -> Result<(AttemptId, Self), PortError> {
        let prefix = keys::attempts(run, batch);
        let all = ledger::list_all(store, &prefix).await?;
        let newest = all.iter().filter_map(|key| key.strip_prefix(&prefix)?.get(..2)?.parse().ok()).max();
        let id = AttemptId { run: run.clone(), batch, attempt: newest.unwrap_or(1) };
        let found = Self::of(&id, &all);
        Ok((id, found))
    }

    /// The records of an attempt among these keys.
    pub fn of(id: &AttemptId, keys: &[String]) -> Self {
        let prefix = keys::attempt(id);
        let mut found = Self::default();
        for name in keys.iter().filter_map(|key| key.strip_prefix(&prefix)) {
            found.note(name);
        }
        found
    }

    fn note(&mut self, name: &str) {
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            ["end", "json"] => self.ended = true,
            [single, "json"] => self.note_message(single),
            [slice, send, what, "json"] => {
                let number = send.strip_prefix("send-").and_then(|number| number.parse().ok());
                let (Some(slice), Some(number)) = (Slice::parse(slice), number) else { return };
                let slice = self.slices.entry(slice).or_default();
                match *what {
                    "intent" => slice.intents.insert(number),
                    "outcome" => slice.outcomes.insert(number),
                    "cancel" => slice.cancelled.insert(number),
                    _ => false,
                };
                if let Some(times) = numbered(what, "unreadable-") {
                    let known = slice.unreadable.entry(number).or_default();
                    *known = times.max(*known);
                }
            }
            [slice, what, "json"] => {
                let Some(slice) = Slice::parse(slice) else { return };
                let slice = self.slices.entry(slice).or_default();
                if *what == "delivery" {
                    slice.delivered = true;
                } else if let Some(number) = numbered(what, "held-") {
                    slice.held.insert(number);
                } else if let Some(number) = numbered(what, "released-") {
                    slice.released.insert(number);
                }
            }
            _ => {}
        }
    }

    fn note_message(&mut self, name: &str) {
        if let Some(generation) = numbered(name, "poller-") {
            self.generation = self.generation.max(generation);
        } else if let Some((tag, receives)) = name.strip_prefix("alive-").and_then(|name| name.split_once('-'))
            && let Ok(receives) = receives.parse::<u32>()
        {
            let last = self.alive.entry(tag.to_owned()).or_default();
            *last = receives.max(*last);
        }
    }

    /// How many deliveries of a message there have been since a handler of it was last known to have come to its end, the one at hand
    /// included.
    pub fn deliveries_since_alive(&self, turn: &Turn) -> u32 {
        let last = self.alive.get(&keys::message_tag(&turn.message_id)).copied().unwrap_or(0);
        turn.receives.saturating_sub(last)
    }

    /// How often a slice has been held.
    pub fn holds(&self, slice: Slice) -> u32 {
        self.slices.get(&slice).and_then(|keys| keys.held.last().copied()).unwrap_or(0)
    }

    /// Whether a slice waits for a person.
    pub fn waits_for_a_person(&self, slice: Slice) -> bool {
        self.slices.get(&slice).is_some_and(|keys| !keys.delivered && keys.undecided().is_some())
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
        if !keys.delivered
            && let Some(number) = keys.undecided()
        {
            let held = ledger::read_known(store, &keys::held(id, slice, number)).await?;
            return Ok(SliceState::Held { number, held });
        }
        let Some(send) = keys.intents.last().copied() else { return Ok(SliceState::Unsent { send: 1 }) };
        let outcome: Option<Outcome> = match keys.outcomes.contains(&send) {
            true => Some(ledger::read_known(store, &keys::outcome(id, slice, send)).await?),
            false => None,
        };
        let mut adopted_by_person = None;
        if let Some(number) = keys.held.last().filter(|_| !keys.delivered) {
            let held: HeldRecord = ledger::read_known(store, &keys::held(id, slice, *number)).await?;
            let release: ReleaseRecord = ledger::read_known(store, &keys::released(id, slice, *number)).await?;
            if let Some(state) = followed(&held, &release.decision, send, outcome.as_ref()) {
                return Ok(state);
            }
            if let Decision::Adopt { collection } = release.decision {
                adopted_by_person = Some(collection);
            }
        }
        let Some(outcome) = outcome else {
            let intent: Intent = ledger::read_known(store, &keys::intent(id, slice, send)).await?;
            return Ok(match intent.called_off {
                true => SliceState::CalledOff,
                false => SliceState::Sending { send, intent, holds: self.holds(slice) },
            });
        };
        match outcome.result {
            SendResult::Accepted { collection, start_eta, adopted } => {
                let cancel = match keys.cancelled.contains(&send) {
                    true => ledger::read(store, &keys::cancel(id, slice, send)).await?,
                    false => None,
                };
                let believed = adopted_by_person.as_ref() == Some(&collection);
                let since = outcome.at;
                let holds = self.holds(slice);
                let unreadable = keys.unreadable.get(&send).copied().unwrap_or(0);
                let collecting =
                    Collecting { send, collection, since, start_eta, adopted, believed, cancel, holds, unreadable };
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

impl SliceKeys {
    /// The hold that nobody has decided about.
    fn undecided(&self) -> Option<u32> {
        self.held.last().filter(|number| !self.released.contains(*number)).copied()
    }
}

/// The state that a decision leads to as long as nothing has followed from it; `None` when the records of the sends tell the rest.
fn followed(held: &HeldRecord, decision: &Decision, send: u32, outcome: Option<&Outcome>) -> Option<SliceState> {
    if send != held.send {
        return None;
    }
    let running = match outcome.map(|outcome| &outcome.result) {
        Some(SendResult::Accepted { collection, .. }) => Some(collection),
        _ => None,
    };
    let follows = match decision {
        Decision::GiveUp => return Some(SliceState::GivenUp(held.clone())),
        // Where it was running before, and was held all the same, its time begins anew: as another send.
        Decision::Adopt { collection } => {
            running == Some(collection) && outcome.is_some_and(|outcome| outcome.at >= held.at)
        }
        Decision::Again => outcome.is_some() && running.is_none(),
    };
    let released = || SliceState::Released { held: held.clone(), decision: decision.clone(), open: outcome.is_none() };
    (!follows).then(released)
}

fn numbered(name: &str, prefix: &str) -> Option<u32> {
    name.strip_prefix(prefix)?.parse().ok()
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
            keys::cancel(&id, slice, 12),
            keys::unreadable(&id, slice, 12, 1),
            keys::unreadable(&id, slice, 12, 2),
            keys::delivery(&id, slice),
            keys::held(&id, slice, 1),
            keys::held(&id, slice, 2),
            keys::released(&id, slice, 1),
            keys::alive(&id, "m", 4),
            keys::alive(&id, "m", 16),
        ] {
            keys.note(key.strip_prefix(&keys::attempt(&id)).unwrap());
        }
        let all = SliceKeys {
            intents: [1, 12].into(),
            outcomes: [1].into(),
            cancelled: [12].into(),
            unreadable: [(12, 2)].into(),
            delivered: true,
            held: [1, 2].into(),
            released: [1].into(),
        };
        assert_eq!(all.undecided(), Some(2));
        let alive = [(keys::message_tag("m"), 16)].into();
        assert_eq!(keys, AttemptKeys { ended: true, generation: 2, slices: [(slice, all)].into(), alive });
        let at = jiff::Timestamp::UNIX_EPOCH;
        let turn = |message: &str| Turn { message_id: message.into(), sent_at: at, receives: 20, ends_at: at };
        assert_eq!((keys.deliveries_since_alive(&turn("m")), keys.deliveries_since_alive(&turn("n"))), (4, 20));
        assert_eq!((keys.whole(), keys.sends(slice)), (Some(slice), 12));
    }
}
