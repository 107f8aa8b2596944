//! The input bucket in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use pipeline::ports::{Chunks, Inputs, OpenInput, PortError};
use pipeline::words::InputObject;

use super::hash_of;

/// Bytes of one piece of a body, unless said otherwise.
const PIECE_BYTES: usize = 64 * 1024;

/// Input buckets in memory. A handle: clones see the same objects.
#[derive(Debug, Clone)]
pub struct MemoryInputs {
    versioned: bool,
    piece_bytes: usize,
    contents: Arc<Mutex<Contents>>,
}

#[derive(Debug, Default)]
struct Contents {
    /// By bucket and key; versions from old to new.
    objects: BTreeMap<(String, String), Vec<Version>>,
    last_drop: u64,
}

#[derive(Debug, Clone)]
struct Version {
    object: InputObject,
    metadata: BTreeMap<String, String>,
    body: Bytes,
}

impl MemoryInputs {
    /// Buckets that keep every version of an object.
    pub fn versioned() -> Self {
        Self { versioned: true, piece_bytes: PIECE_BYTES, contents: Arc::default() }
    }

    /// Buckets that keep the newest object of each key.
    pub fn unversioned() -> Self {
        Self { versioned: false, ..Self::versioned() }
    }

    /// Bodies arrive in pieces of this many bytes (at least one).
    #[must_use]
    pub fn with_piece_bytes(self, piece_bytes: usize) -> Self {
        Self { piece_bytes: piece_bytes.max(1), ..self }
    }

    /// Drops a file into a bucket, and says what the S3 event would. Metadata names are lower case.
    pub fn put(
        &self,
        bucket: &str,
        key: &str,
        body: impl Into<Bytes>,
        metadata: &BTreeMap<String, String>,
        now: Timestamp,
    ) -> InputObject {
        let body = body.into();
        let mut contents = self.lock();
        contents.last_drop += 1;
        let object = InputObject {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version_id: self.versioned.then(|| format!("version-{:08}", contents.last_drop)),
            etag: Some(hash_of(&body)),
            sequencer: Some(format!("{:016X}", contents.last_drop)),
            bytes: Some(body.len() as u64),
            dropped_at: Some(now),
        };
        let versions = contents.objects.entry((bucket.to_owned(), key.to_owned())).or_default();
        if !self.versioned {
            versions.clear();
        }
        versions.push(Version { object: object.clone(), metadata: metadata.clone(), body });
        object
    }

    /// Takes all versions of a key away.
    pub fn remove(&self, bucket: &str, key: &str) {
        self.lock().objects.remove(&(bucket.to_owned(), key.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Inputs for MemoryInputs {
    async fn open(&self, object: &InputObject) -> Result<Option<OpenInput>, PortError> {
        let contents = self.lock();
        let Some(versions) = contents.objects.get(&(object.bucket.clone(), object.key.clone())) else {
            return Ok(None);
        };
        // S3 says "null" for objects from before versioning was switched on: that names no version.
        let found = match object.version_id.as_deref() {
            Some(version) if version != "null" => {
                versions.iter().find(|known| known.object.version_id.as_deref() == Some(version))
            }
            _ => versions.last().filter(|newest| object.etag.is_none() || newest.object.etag == object.etag),
        };
        let open = |version: &Version| OpenInput {
            object: InputObject {
                // What only the event knows is kept as the event said it.
                sequencer: object.sequencer.clone(),
                ..version.object.clone()
            },
            metadata: version.metadata.clone(),
            body: Box::new(Pieces { rest: version.body.clone(), piece_bytes: self.piece_bytes }),
        };
        Ok(found.map(open))
    }
}

struct Pieces {
    rest: Bytes,
    piece_bytes: usize,
}

#[async_trait]
impl Chunks for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        let piece = self.rest.split_to(self.piece_bytes.min(self.rest.len()));
        Ok((!piece.is_empty()).then_some(piece))
    }
}
