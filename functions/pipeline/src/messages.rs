//! Queue messages: versioned contracts that carry names, never results.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::words::AttemptId;

/// A message of the poll queue: "look at this attempt".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminder {
    /// Format version, 1.
    pub v: u32,
    /// What to look at.
    #[serde(flatten)]
    pub attempt: AttemptId,
    /// Which reminder of the attempt, from 1: only messages of the newest generation poll, and of them only one.
    pub generation: u32,
    /// When whoever sent it is certainly not working any more: until then a missing record may still be written.
    pub sender_gone_at: Timestamp,
}

/// Another message of the poll queue: "the API says that this attempt's collection is over". It is a hint, and changes nothing but when
/// somebody looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Format version, 1.
    pub v: u32,
    /// What to look at.
    #[serde(flatten)]
    pub attempt: AttemptId,
    /// When the notice came.
    pub noticed_at: Timestamp,
}

/// A message of the retry queue: "trigger this attempt".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryOrder {
    /// Format version, 1.
    pub v: u32,
    /// What to trigger; its inputs are in the ledger.
    #[serde(flatten)]
    pub attempt: AttemptId,
}

/// Version of the messages that are written.
pub const VERSION: u32 = 1;

/// The text is not a message of this queue, or of a version that this release does not know. It never will be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a message of this queue: {0}")]
pub struct NotAMessage(pub String);

impl Reminder {
    /// A reminder of this attempt, sent by a handler that is gone by then.
    pub fn new(attempt: AttemptId, generation: u32, sender_gone_at: Timestamp) -> Self {
        Self { v: VERSION, attempt, generation, sender_gone_at }
    }

    /// Reads a message body.
    pub fn decode(body: &str) -> Result<Self, NotAMessage> {
        decode(body, |message: &Self| message.v)
    }

    /// The message body.
    pub fn encode(&self) -> String {
        encode(self)
    }
}

impl Hint {
    /// A hint that came now.
    pub fn new(attempt: AttemptId, noticed_at: Timestamp) -> Self {
        Self { v: VERSION, attempt, noticed_at }
    }

    /// Reads a message body.
    pub fn decode(body: &str) -> Result<Self, NotAMessage> {
        decode(body, |message: &Self| message.v)
    }

    /// The message body.
    pub fn encode(&self) -> String {
        encode(self)
    }
}

impl RetryOrder {
    /// Reads a message body.
    pub fn decode(body: &str) -> Result<Self, NotAMessage> {
        decode(body, |message: &Self| message.v)
    }

    /// The message body.
    pub fn encode(&self) -> String {
        encode(self)
    }
}

fn decode<T: for<'a> Deserialize<'a>>(body: &str, version: impl Fn(&T) -> u32) -> Result<T, NotAMessage> {
    let message = serde_json::from_str(body).map_err(|error| NotAMessage(error.to_string()))?;
    match version(&message) {
        VERSION => Ok(message),
        other => Err(NotAMessage(format!("version {other}, this release knows {VERSION}"))),
    }
}

fn encode<T: Serialize>(message: &T) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

/// The delivery that a handler works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The queue's id of the message; the same for every delivery of it.
    pub message_id: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// How often it has been delivered, this time included.
    pub receives: u32,
    /// When the handler will be stopped, whatever it is doing.
    pub ends_at: Timestamp,
}

/// What a handler asks of the queue when it has finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The message has done its work and goes.
    Done,
    /// Deliver the same message again after this many seconds (at most 3,600).
    Again {
        /// Seconds.
        after_seconds: u32,
        /// Reason, for the log.
        why: String,
        /// Nothing may be paid for: all that is left waits for a person, or for a spending limit.
        stopped: bool,
    },
    /// It can never succeed: to the dead-letter queue with this reason.
    SetAside {
        /// Reason, for a person.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::RunId;

    #[test]
    fn messages_are_golden() {
        let attempt = AttemptId { run: RunId::parse("00112233aabbccdd").unwrap(), batch: 7, attempt: 2 };
        let reminder = Reminder {
            v: 1,
            attempt: attempt.clone(),
            generation: 1,
            sender_gone_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        };
        let golden = r#"{"v":1,"run":"00112233aabbccdd","batch":7,"attempt":2,"generation":1,"sender_gone_at":"2026-01-02T03:04:05Z"}"#;
        assert_eq!(reminder.encode(), golden);
        assert_eq!(Reminder::decode(golden), Ok(reminder));
        let hint = Hint { v: 1, attempt: attempt.clone(), noticed_at: "2026-01-02T03:04:05Z".parse().unwrap() };
        let hinted = r#"{"v":1,"run":"00112233aabbccdd","batch":7,"attempt":2,"noticed_at":"2026-01-02T03:04:05Z"}"#;
        assert_eq!(hint.encode(), hinted);
        assert_eq!(Hint::decode(hinted), Ok(hint));
        assert!(Hint::decode(golden).is_err() && Reminder::decode(hinted).is_err());
        let order = RetryOrder { v: 1, attempt };
        assert_eq!(order.encode(), r#"{"v":1,"run":"00112233aabbccdd","batch":7,"attempt":2}"#);
        assert!(RetryOrder::decode(r#"{"v":2,"run":"00112233aabbccdd","batch":7,"attempt":2}"#).is_err());
        assert!(Reminder::decode("{}").is_err());
    }
}
