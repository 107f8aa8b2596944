//! Input objects that are files on this machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use pipeline::ports::{Chunks, Inputs, OpenInput, PortError};
use pipeline::words::InputObject;
use sha2::{Digest, Sha256};

use super::is_absent;
use super::pieces::{FilePieces, PIECE_BYTES};
use crate::memory::hex;

/// Files anywhere on this machine, each known by a key. The ETag is a hash of the bytes: the same file again is the same run, and a
/// file that was changed is a new one. A handle: clones know the same files.
#[derive(Debug, Clone)]
pub struct FolderInputs {
    bucket: String,
    files: Arc<Mutex<BTreeMap<String, Named>>>,
}

#[derive(Debug, Clone)]
struct Named {
    path: PathBuf,
    metadata: BTreeMap<String, String>,
}

impl FolderInputs {
    /// No files yet. The name stands where S3 has that of the bucket, and is part of what makes a run.
    pub fn new(bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), files: Arc::default() }
    }

    /// Reads the file once and gives it a key (instead of the file that had it); says what an S3 event would, but for a version and a
    /// sequencer.
    pub async fn add(
        &self,
        key: &str,
        path: &Path,
        metadata: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<InputObject, PortError> {
        let named = Named { path: path.to_owned(), metadata };
        let (_, etag, bytes) = blocking(&named.path, open).await?;
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), named);
        Ok(InputObject {
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            version_id: None,
            etag: Some(etag),
            sequencer: None,
            bytes: Some(bytes),
            dropped_at: Some(now),
        })
    }
}

#[async_trait]
impl Inputs for FolderInputs {
    /// Reads the file twice: to see whether it is the one that is asked for, and to give it out. One that changes meanwhile ends with an error.
    async fn open(&self, object: &InputObject) -> Result<Option<OpenInput>, PortError> {
        let named = self.files.lock().unwrap_or_else(PoisonError::into_inner).get(&object.key).cloned();
        let Some(named) = named.filter(|_| object.bucket == self.bucket) else { return Ok(None) };
        let opened = blocking(&named.path, |path| match open(path) {
            Err(error) if is_absent(&error) => Ok(None),
            opened => opened.map(Some),
        });
        let Some((file, etag, bytes)) = opened.await? else { return Ok(None) };
        if object.etag.as_ref().is_some_and(|expected| *expected != etag) {
            return Ok(None);
        }
        let body = Reading { pieces: FilePieces::of(&named.path, file), seen: Sha256::new(), etag: etag.clone() };
        Ok(Some(OpenInput {
            object: InputObject { version_id: None, etag: Some(etag), bytes: Some(bytes), ..object.clone() },
            metadata: named.metadata,
            body: Box::new(body),
        }))
    }
}

/// The file at its beginning, the hash of its bytes, and how many there are.
fn open(path: &Path) -> io::Result<(File, String, u64)> {
    let mut file = File::open(path)?;
    let mut seen = Sha256::new();
    let (mut piece, mut bytes) = (vec![0; PIECE_BYTES], 0);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => {
                seen.update(&piece[..count]);
                bytes += count as u64;
            }
        }
    }
    file.rewind()?;
    Ok((file, etag_of(seen), bytes))
}

fn etag_of(seen: Sha256) -> String {
    hex(&seen.finalize()[..16])
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, PortError> {
    let (what, path) = (format!("read {}", path.display()), path.to_owned());
    match tokio::task::spawn_blocking(move || work(&path)).await {
        Ok(done) => done.map_err(|error| PortError::new(what, error)),
        Err(error) => Err(PortError::new(what, error)),
    }
}

/// A file that must still have the bytes that it had when it was hashed.
struct Reading {
    pieces: FilePieces,
    seen: Sha256,
    etag: String,
}

#[async_trait]
impl Chunks for Reading {
    /// The file was read a moment ago, so this hardly ever waits for the disk.
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        let piece = self.pieces.read()?;
        match &piece {
            Some(piece) => self.seen.update(piece),
            None if etag_of(self.seen.clone()) != self.etag => {
                return Err(self.pieces.failed(io::Error::other("the file was changed while it was read")));
            }
            None => {}
        }
        Ok(piece)
    }
}
