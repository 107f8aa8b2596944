//! A standard SQS queue as a value: it is told what time it is, and does nothing by itself.
//!
//! The in-memory queue and the queue in a folder are this same code; the folder writes down what changed.

mod folder;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use folder::{FolderQueue, FolderQueues};

use crate::clock::later;

/// Longest that a message stays in flight, counted from its receipt (SQS quota: 12 hours).
pub const IN_FLIGHT_SECONDS_MAX: u32 = 43_200;
/// Most messages of one call (SQS quota).
pub const BATCH_MESSAGES_MAX: usize = 10;
/// Most bytes of one call, all bodies together (SQS quota: 1 MiB).
pub const BATCH_BYTES_MAX: usize = 1_048_576;

/// What a queue does with messages that get old. The default does nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// `maxReceiveCount`: a message that was received this often goes to the dead letters instead of being received again.
    pub receives_max: Option<u32>,
    /// `MessageRetentionPeriod`: a message disappears this long after it was sent (SQS: 14 days at most).
    pub retention_seconds: Option<u32>,
}

/// A message as it waits, or is in flight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The same for every delivery, duplicates included.
    pub message_id: String,
    /// What was sent.
    pub body: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Not delivered before.
    pub visible_at: Timestamp,
    /// How often it was received.
    pub receive_count: u32,
    /// Whether a handler may be working on it: set by a receipt, until it is given back.
    pub in_flight: bool,
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The same for every delivery of the message.
    pub message_id: String,
    /// Names this delivery.
    pub receipt: String,
    /// What was sent.
    pub body: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// How often it was received, this time included.
    pub receive_count: u32,
}

/// A message that is not delivered any more, for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The message as it was last.
    #[serde(flatten)]
    pub message: Message,
    /// Why it is here.
    pub why: String,
}

/// One queue. Delivery is in order of visibility, then of sending; [`Messages::receive_copy`] takes any other that SQS might.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    settings: QueueSettings,
    copies: BTreeMap<u64, Slot>,
    /// The same copies by the time when they become visible.
    order: BTreeSet<(Timestamp, u64)>,
    last_copy: u64,
    dead: Vec<DeadLetter>,
    expired: Vec<Message>,
}

/// SQS keeps several copies of a message and sometimes forgets to delete one, so a message id names one or more of these.
#[derive(Debug, Clone)]
struct Slot {
    message: Message,
    /// The newest delivery and when it was made.
    delivery: Option<(String, Timestamp)>,
}

impl Messages {
    /// An empty queue.
    pub fn new(settings: QueueSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Adds a message (or one more copy of it) as it is, and says the number of the copy.
    pub fn add(&mut self, message: Message) -> u64 {
        self.last_copy += 1;
        self.order.insert((message.visible_at, self.last_copy));
        self.copies.insert(self.last_copy, Slot { message, delivery: None });
        self.last_copy
    }

    /// Receives the message that has been visible for longest and hides it for `visibility` seconds.
    pub fn receive(&mut self, now: Timestamp, visibility: u32) -> Option<Received> {
        self.retire(now);
        // Not by way of all that are visible: draining a queue would take the square of its length.
        let (_, copy) = *self.order.first().filter(|(visible_at, _)| *visible_at <= now)?;
        self.receive_copy(now, copy, visibility)
    }

    /// The copies that could be received now. Those that are too old, or were received too often, leave the queue here.
    pub fn visible(&mut self, now: Timestamp) -> Vec<u64> {
        self.retire(now);
        self.order.iter().take_while(|(visible_at, _)| *visible_at <= now).map(|(_, copy)| *copy).collect()
    }

    /// Receives this copy, if it is visible.
    pub fn receive_copy(&mut self, now: Timestamp, copy: u64, visibility: u32) -> Option<Received> {
        let one = self.copies.get_mut(&copy).filter(|one| one.message.visible_at <= now)?;
        one.message.receive_count += 1;
        one.message.in_flight = true;
        let receipt = format!("{}/{copy}/{}", one.message.message_id, one.message.receive_count);
        one.delivery = Some((receipt.clone(), now));
        let received = Received {
            message_id: one.message.message_id.clone(),
            receipt,
            body: one.message.body.clone(),
            sent_at: one.message.sent_at,
            receive_count: one.message.receive_count,
        };
        self.move_to(copy, later(now, visibility.min(IN_FLIGHT_SECONDS_MAX)));
        Some(received)
    }

    /// Hides the message for `seconds` from now. `false`, and nothing changes, when the delivery is over (it became visible again, was
    /// received anew or deleted), or would last for longer than [`IN_FLIGHT_SECONDS_MAX`]: SQS answers with an error.
    pub fn change_visibility(&mut self, now: Timestamp, receipt: &str, seconds: u32) -> bool {
        let Some(copy) = self.find(receipt) else { return false };
        let until = later(now, seconds);
        let one = &self.copies[&copy];
        let limit = one.delivery.as_ref().map(|(_, received_at)| later(*received_at, IN_FLIGHT_SECONDS_MAX));
        if one.message.visible_at <= now || limit.is_none_or(|limit| until > limit) {
            return false;
        }
        self.move_to(copy, until);
        true
    }

    /// [`Messages::change_visibility`] by a handler that has ended: whoever finds the queue after a restart keeps the delay.
    pub fn give_back(&mut self, now: Timestamp, receipt: &str, seconds: u32) -> bool {
        let changed = self.change_visibility(now, receipt, seconds);
        if let Some(one) = self.find(receipt).filter(|_| changed).and_then(|copy| self.copies.get_mut(&copy)) {
            one.message.in_flight = false;
        }
        changed
    }

    /// Deletes the message of this delivery. After a newer delivery an older receipt deletes nothing, and SQS calls that a success.
    pub fn delete(&mut self, receipt: &str) -> Option<Message> {
        let copy = self.find(receipt)?;
        self.take(copy)
    }

    /// Moves the message of this delivery to the dead letters.
    pub fn set_aside(&mut self, receipt: &str, why: &str) -> Option<&DeadLetter> {
        let message = self.delete(receipt)?;
        self.dead.push(DeadLetter { message, why: why.to_owned() });
        self.dead.last()
    }

    /// The message of this delivery.
    pub fn message(&self, receipt: &str) -> Option<&Message> {
        self.find(receipt).map(|copy| &self.copies[&copy].message)
    }

    /// When the next message becomes visible (or did); `None` when there are no messages.
    pub fn next_visible_at(&self) -> Option<Timestamp> {
        self.order.first().map(|(visible_at, _)| *visible_at)
    }

    /// All messages, in order of sending.
    pub fn iter(&self) -> impl Iterator<Item = &Message> {
        self.copies.values().map(|copy| &copy.message)
    }

    /// The dead letters, oldest first.
    pub fn dead(&self) -> &[DeadLetter] {
        &self.dead
    }

    /// Puts back a dead letter that was written down.
    pub fn add_dead(&mut self, letter: DeadLetter) {
        self.dead.push(letter);
    }

    /// Messages that nobody deleted in time.
    pub fn expired(&self) -> &[Message] {
        &self.expired
    }

    fn retire(&mut self, now: Timestamp) {
        if let Some(seconds) = self.settings.retention_seconds {
            let limit = SignedDuration::from_secs(i64::from(seconds));
            let is_old = |one: &Slot| now.duration_since(one.message.sent_at) >= limit;
            let old: Vec<u64> = self.copies.iter().filter(|(_, one)| is_old(one)).map(|(copy, _)| *copy).collect();
            for copy in old {
                let message = self.take(copy);
                self.expired.extend(message);
            }
        }
        if let Some(most) = self.settings.receives_max {
            let is_spent = |one: &Slot| one.message.receive_count >= most && one.message.visible_at <= now;
            let spent: Vec<u64> = self.copies.iter().filter(|(_, one)| is_spent(one)).map(|(copy, _)| *copy).collect();
            for copy in spent {
                let why = format!("received {most} times");
                let letter = self.take(copy).map(|message| DeadLetter { message, why });
                self.dead.extend(letter);
            }
        }
    }

    /// The copy whose newest delivery has this receipt.
    fn find(&self, receipt: &str) -> Option<u64> {
        let copy = receipt.rsplit('/').nth(1)?.parse().ok()?;
        let delivery = self.copies.get(&copy)?.delivery.as_ref();
        delivery.is_some_and(|(newest, _)| newest == receipt).then_some(copy)
    }

    fn move_to(&mut self, copy: u64, visible_at: Timestamp) {
        if let Some(one) = self.copies.get_mut(&copy) {
            self.order.remove(&(one.message.visible_at, copy));
            self.order.insert((visible_at, copy));
            one.message.visible_at = visible_at;
        }
    }

    fn take(&mut self, copy: u64) -> Option<Message> {
        let one = self.copies.remove(&copy)?;
        self.order.remove(&(one.message.visible_at, copy));
        Some(one.message)
    }
}

/// What SQS would refuse: nothing or more than ten messages, more than 15 minutes of delay, too many bytes.
pub(crate) fn check_batch(bodies: &[String], delay_seconds: u32) -> Result<(), String> {
    let bytes: usize = bodies.iter().map(String::len).sum();
    if bodies.is_empty() || bodies.len() > BATCH_MESSAGES_MAX {
        Err(format!("1 to {BATCH_MESSAGES_MAX} messages can be sent at once, not {}", bodies.len()))
    } else if bodies.iter().any(String::is_empty) {
        Err("a message has at least one character".to_owned())
    } else if bytes > BATCH_BYTES_MAX {
        Err(format!("messages that are sent at once have at most {BATCH_BYTES_MAX} bytes, not {bytes}"))
    } else if delay_seconds > pipeline::policy::limits::DELAY_SECONDS_MAX {
        Err(format!("a delay of {delay_seconds} s is longer than 15 minutes"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn message(id: &str, visible_at: Timestamp) -> Message {
        Message {
            message_id: id.into(),
            body: "{}".into(),
            sent_at: at(0),
            visible_at,
            receive_count: 0,
            in_flight: false,
        }
    }

    #[test]
    fn a_message_comes_back_until_its_newest_receipt_deletes_it() {
        let mut queue = Messages::default();
        queue.add(message("a", at(10)));
        assert_eq!(queue.receive(at(9), 30), None);
        let first = queue.receive(at(10), 30).unwrap();
        assert_eq!(queue.receive(at(39), 30), None);
        let second = queue.receive(at(40), 30).unwrap();
        assert_eq!((first.receive_count, second.receive_count), (1, 2));
        assert_ne!(first.receipt, second.receipt);
        assert_eq!(queue.delete(&first.receipt), None);
        assert!(queue.delete(&second.receipt).is_some());
        assert_eq!(queue.next_visible_at(), None);
    }

    #[test]
    fn visibility_is_extended_only_while_the_delivery_lasts() {
        let mut queue = Messages::default();
        queue.add(message("a", at(0)));
        let first = queue.receive(at(0), 30).unwrap();
        assert!(queue.change_visibility(at(29), &first.receipt, 60));
        assert_eq!(queue.next_visible_at(), Some(at(89)));
        assert!(!queue.change_visibility(at(89), &first.receipt, 60), "it is visible again");
        let second = queue.receive(at(89), 30).unwrap();
        assert!(!queue.change_visibility(at(90), &first.receipt, 60), "there is a newer delivery");
        assert!(!queue.change_visibility(at(90), &second.receipt, IN_FLIGHT_SECONDS_MAX), "longer than 12 hours");
        assert!(queue.give_back(at(90), &second.receipt, 0));
        assert!(!queue.iter().any(|message| message.in_flight));
        assert!(queue.receive(at(90), 30).is_some());
    }

    #[test]
    fn old_and_much_received_messages_leave() {
        let mut queue = Messages::new(QueueSettings { receives_max: Some(2), retention_seconds: Some(1_000) });
        queue.add(message("a", at(0)));
        queue.add(message("b", at(500)));
        assert!(queue.receive(at(0), 10).is_some() && queue.receive(at(10), 10).is_some());
        assert_eq!(queue.receive(at(20), 10), None);
        assert_eq!(queue.dead()[0].why, "received 2 times");
        assert_eq!(queue.receive(at(1_000), 10), None);
        assert_eq!(queue.expired()[0].message_id, "b");
    }
}
