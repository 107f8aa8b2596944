//! The queues in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use pipeline::ports::{Clock, PortError, QueueName, Queues};

use crate::clock::later;
use crate::queue::{DeadLetter, Message, Messages, QueueSettings, Received, check_batch};

/// A standard SQS queue in memory, on a given time. A handle: clones see the same messages.
#[derive(Debug, Clone)]
pub struct MemoryQueue {
    name: Arc<str>,
    contents: Arc<Mutex<Contents>>,
}

#[derive(Debug)]
struct Contents {
    messages: Messages,
    /// Everything that was ever sent, because SQS may deliver again what was deleted.
    sent: BTreeMap<String, Message>,
}

impl MemoryQueue {
    /// An empty queue. Message ids are the name and a number, `poll-00000001`.
    pub fn new(name: &str, settings: QueueSettings) -> Self {
        let contents = Contents { messages: Messages::new(settings), sent: BTreeMap::new() };
        Self { name: name.into(), contents: Arc::new(Mutex::new(contents)) }
    }

    /// Sends a message, visible after `delay` seconds, and says its id.
    pub fn send(&self, now: Timestamp, body: &str, delay: u32) -> String {
        let mut contents = self.lock();
        let message_id = format!("{}-{:08}", self.name, contents.sent.len() + 1);
        let message = Message {
            message_id: message_id.clone(),
            body: body.to_owned(),
            sent_at: now,
            visible_at: later(now, delay),
            receive_count: 0,
            in_flight: false,
        };
        contents.sent.insert(message_id.clone(), message.clone());
        contents.messages.add(message);
        message_id
    }

    /// Receives the message that has been visible for longest and hides it for `visibility` seconds.
    pub fn receive(&self, now: Timestamp, visibility: u32) -> Option<Received> {
        self.lock().messages.receive(now, visibility)
    }

    /// Numbers of the copies that could be received now, for a world that wants another order than the usual one.
    pub fn visible(&self, now: Timestamp) -> Vec<u64> {
        self.lock().messages.visible(now)
    }

    /// Receives this one of [`MemoryQueue::visible`].
    pub fn receive_copy(&self, now: Timestamp, copy: u64, visibility: u32) -> Option<Received> {
        self.lock().messages.receive_copy(now, copy, visibility)
    }

    /// Hides the message for `seconds` from now; `false` where SQS answers with an error ([`Messages::change_visibility`]).
    pub fn change_visibility(&self, now: Timestamp, receipt: &str, seconds: u32) -> bool {
        self.lock().messages.change_visibility(now, receipt, seconds)
    }

    /// Deletes the message of this delivery; `false` when the receipt is not the newest one, which SQS calls a success.
    pub fn delete(&self, receipt: &str) -> bool {
        self.lock().messages.delete(receipt).is_some()
    }

    /// Moves the message of this delivery to the dead letters; `false` when the receipt is not the newest one.
    pub fn set_aside(&self, receipt: &str, why: &str) -> bool {
        self.lock().messages.set_aside(receipt, why).is_some()
    }

    /// Delivers once more a message that was deleted or is in flight, as SQS may. `false` when no message has this id.
    pub fn duplicate(&self, now: Timestamp, message_id: &str) -> bool {
        let mut contents = self.lock();
        let Some(sent) = contents.sent.get(message_id).cloned() else { return false };
        let known = contents.messages.iter().find(|message| message.message_id == message_id);
        let receive_count = known.map_or(0, |message| message.receive_count);
        contents.messages.add(Message { visible_at: now, receive_count, in_flight: false, ..sent });
        true
    }

    /// When the next message becomes visible (or did); `None` when there are no messages.
    pub fn next_visible_at(&self) -> Option<Timestamp> {
        self.lock().messages.next_visible_at()
    }

    /// All messages that wait or are in flight, in order of sending.
    pub fn messages(&self) -> Vec<Message> {
        self.lock().messages.iter().cloned().collect()
    }

    /// The dead letters, oldest first.
    pub fn dead(&self) -> Vec<DeadLetter> {
        self.lock().messages.dead().to_vec()
    }

    /// Messages that nobody deleted within the retention period.
    pub fn expired(&self) -> Vec<Message> {
        self.lock().messages.expired().to_vec()
    }

    /// How many messages were ever sent.
    pub fn sent(&self) -> usize {
        self.lock().sent.len()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The two queues that the pipeline sends to.
#[derive(Clone)]
pub struct MemoryQueues {
    /// Reminders.
    pub poll: MemoryQueue,
    /// Attempts after the first.
    pub retry: MemoryQueue,
    clock: Arc<dyn Clock>,
}

impl MemoryQueues {
    /// Two empty queues.
    pub fn new(clock: Arc<dyn Clock>, settings: QueueSettings) -> Self {
        Self { poll: MemoryQueue::new("poll", settings), retry: MemoryQueue::new("retry", settings), clock }
    }

    /// The queue of this name.
    pub fn queue(&self, name: QueueName) -> &MemoryQueue {
        match name {
            QueueName::Poll => &self.poll,
            QueueName::Retry => &self.retry,
        }
    }
}

#[async_trait]
impl Queues for MemoryQueues {
    async fn send(&self, queue: QueueName, bodies: &[String], delay_seconds: u32) -> Result<(), PortError> {
        check_batch(bodies, delay_seconds).map_err(|why| PortError::new(format!("send to {queue:?}"), why))?;
        let now = self.clock.now();
        for body in bodies {
            self.queue(queue).send(now, body, delay_seconds);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_message_may_come_again_under_its_id() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let queue = MemoryQueue::new("poll", QueueSettings::default());
        let id = queue.send(now, "{}", 0);
        let first = queue.receive(now, 30).unwrap();
        assert!(queue.delete(&first.receipt));
        assert!(queue.duplicate(now, &id));
        let again = queue.receive(now, 30).unwrap();
        assert_eq!((&again.message_id, &again.body, again.sent_at), (&id, &first.body, first.sent_at));
        assert_ne!(again.receipt, first.receipt);
        assert!(queue.duplicate(now, &id), "also while it is in flight");
        assert!(queue.receive(now, 30).is_some_and(|third| third.receipt != again.receipt));
        assert!(!queue.duplicate(now, "poll-00000099"));
    }
}
