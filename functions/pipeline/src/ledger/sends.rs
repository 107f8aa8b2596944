//! Records of paid sends: what was intended, what came of it, whose a collection is, and what a person has to decide or has decided.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::words::{AttemptId, Slice};

/// One send of one slice, named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendId {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptId,
    /// The slice.
    pub slice: Slice,
    /// Number of the send, from 1.
    pub send: u32,
}

/// Written before a send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Format version.
    pub v: u32,
    /// When it was written.
    pub at: Timestamp,
    /// The request leaves before this moment, or not at all.
    pub send_by: Timestamp,
    /// From here on its sender is certainly gone: without an outcome the send is in doubt.
    pub doubt_at: Timestamp,
    /// How many inputs it sends.
    pub inputs: u32,
    /// It sends none: the run was cancelled, and nobody else can send in its place.
    #[serde(default, skip_serializing_if = "is_false")]
    pub called_off: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Written after a send, or instead of the outcome that never came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Format version.
    pub v: u32,
    /// When it was known.
    pub at: Timestamp,
    /// What it was.
    #[serde(flatten)]
    pub result: SendResult,
}

/// What became of a send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum SendResult {
    /// A collection runs for it.
    Accepted {
        /// `j_…`.
        collection: String,
        /// When the API expected to start it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start_eta: Option<Timestamp>,
        /// Found in the job list instead of answered.
        adopted: bool,
    },
    /// Nothing left this machine.
    NotSent {
        /// Reason.
        why: String,
    },
    /// Refused for good.
    Refused {
        /// HTTP status.
        status: u16,
        /// The API's text.
        text: String,
    },
    /// Refused because of `queue_next`.
    RefusedOption,
    /// Told to wait; nothing was started.
    Wait {
        /// The API's text.
        text: String,
    },
    /// The token was refused; nothing was started.
    Credentials {
        /// HTTP status.
        status: u16,
        /// The API's text.
        text: String,
    },
    /// In doubt, and the job list had no collection of it when its window had passed.
    NothingStarted,
    /// In doubt, and the policy or a person says to send again without looking.
    Abandoned,
}

/// A collection was told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRecord {
    /// Format version.
    pub v: u32,
    /// When.
    pub at: Timestamp,
    /// The collection.
    pub collection: String,
    /// Because its run was cancelled; else because it ran past its deadline.
    #[serde(default, skip_serializing_if = "is_false")]
    pub run: bool,
}

/// A slice waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRecord {
    /// Format version.
    pub v: u32,
    /// Since when.
    pub at: Timestamp,
    /// `in_doubt`, …
    pub reason: String,
    /// What is known and what to decide.
    pub message: String,
    /// How many inputs wait.
    pub inputs: u32,
    /// The send that it is about.
    pub send: u32,
    /// The collection that may be the send's, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
}

/// A held slice, where it can be counted: its mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldMark {
    /// Format version.
    pub v: u32,
    /// The attempt.
    #[serde(flatten)]
    pub attempt: AttemptId,
    /// The slice.
    pub slice: Slice,
    /// How often this slice has been held, from 1.
    pub number: u32,
    /// Why.
    pub held: HeldRecord,
}

/// What a person decided about a held slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// Format version.
    pub v: u32,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub decision: Decision,
}

/// What to do with a held slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// This collection is the slice's: wait for it, deliver it.
    Adopt {
        /// `j_…`.
        collection: String,
    },
    /// Nothing that may be under way counts: pay for a new collection.
    Again,
    /// The inputs fail.
    GiveUp,
}

/// Whose a collection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionRecord {
    /// Format version.
    pub v: u32,
    /// When it was recorded.
    pub at: Timestamp,
    /// The send that it answers, or that claims it.
    #[serde(flatten)]
    pub send: SendId,
}
