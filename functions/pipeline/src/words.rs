//! The nouns of the pipeline: what a run, a batch, an attempt and a collection are called everywhere.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The S3 object that was dropped: one version of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputObject {
    /// Bucket that holds it.
    pub bucket: String,
    /// Key, decoded (S3 events carry it form-encoded).
    pub key: String,
    /// Version, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Entity tag without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Orders events of one key; tells two drops of equal bytes apart where there are no versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// Size in bytes as the event said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// When the object was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_at: Option<Timestamp>,
}

impl InputObject {
    /// The run that this object leads to: a hash of bucket, key and version id, or of bucket, key, ETag and sequencer
    /// where the bucket keeps no versions. Events that are delivered twice give the same run.
    pub fn run(&self) -> RunId {
        let mut hash = Sha256::new();
        let version = match self.version_id.as_deref() {
            // S3 says "null" for objects from before versioning was switched on: that names no version.
            Some(version) if version != "null" => vec!["version", version],
            _ => vec!["etag", self.etag.as_deref().unwrap_or(""), self.sequencer.as_deref().unwrap_or("")],
        };
        for part in [self.bucket.as_str(), self.key.as_str()].into_iter().chain(version) {
            // Each part behind its length, so that no two lists of parts give the same bytes.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        RunId(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Everything that comes of one version of one input object: 16 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// The text is no run id.
#[derive(Debug, thiserror::Error)]
#[error("a run id has 16 lower-case hex digits")]
pub struct NotARunId;

impl TryFrom<String> for RunId {
    type Error = NotARunId;

    fn try_from(text: String) -> Result<Self, NotARunId> {
        Self::parse(&text).ok_or(NotARunId)
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> Self {
        run.0
    }
}

impl RunId {
    /// Reads a run id back; `None` when it is not 16 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| Self(text.to_owned()))
    }

    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One attempt of one batch: what a reminder names and what is triggered together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptId {
    /// Run.
    pub run: RunId,
    /// Number of the batch in its run, from 1.
    pub batch: u32,
    /// How often inputs of this batch have been triggered, this time included, from 1.
    pub attempt: u32,
}

impl AttemptId {
    /// The span of work on it: its fields stand on every log line of that work. `collection_id` is filled in when it is known.
    pub fn span(&self) -> tracing::Span {
        tracing::info_span!("attempt", run = %self.run, batch = self.batch, attempt = self.attempt, collection_id = tracing::field::Empty)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} batch {} attempt {}", self.run, self.batch, self.attempt)
    }
}

/// A contiguous share of an attempt's inputs, `start..end` by position: all of them, unless the API refused some (422) and
/// halving had to find which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slice {
    /// Position of the first input.
    pub start: u32,
    /// Position behind the last input.
    pub end: u32,
}

impl Slice {
    /// Reads a slice as it is written in keys; `None` when it is not `start-end`.
    pub fn parse(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('-')?;
        Some(Self { start: start.parse().ok()?, end: end.parse().ok()? })
    }

    /// How many inputs it holds.
    pub fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The two halves of a slice of at least two inputs.
    pub fn halves(self) -> Option<(Self, Self)> {
        let middle = self.start + self.len() / 2;
        (self.len() >= 2).then_some((Self { start: self.start, end: middle }, Self { start: middle, end: self.end }))
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:05}-{:05}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(version: Option<&str>, etag: &str, sequencer: &str) -> InputObject {
        InputObject {
            bucket: "in".into(),
            key: "a/b.csv".into(),
            version_id: version.map(Into::into),
            etag: Some(etag.into()),
            sequencer: Some(sequencer.into()),
            bytes: Some(1),
            dropped_at: None,
        }
    }

    #[test]
    fn a_run_is_a_version_or_else_an_etag_and_a_sequencer() {
        assert_eq!(object(Some("v1"), "a", "1").run(), object(Some("v1"), "b", "2").run());
        assert_ne!(object(Some("v1"), "a", "1").run(), object(Some("v2"), "a", "1").run());
        assert_ne!(object(None, "a", "1").run(), object(None, "a", "2").run());
        assert_eq!(object(None, "a", "1").run(), object(Some("null"), "a", "1").run());
        assert_eq!(RunId::parse(object(None, "a", "1").run().as_str()), Some(object(None, "a", "1").run()));
        assert!(serde_json::from_str::<RunId>(r#""../../0123456789""#).is_err());
    }

    #[test]
    fn halves_cover_the_slice() {
        let slice = Slice { start: 3, end: 8 };
        assert_eq!(slice.halves(), Some((Slice { start: 3, end: 5 }, Slice { start: 5, end: 8 })));
        assert_eq!(Slice { start: 3, end: 4 }.halves(), None);
    }
}
