//! A file as it is read: piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::ports::{Chunks, PortError};

/// Bytes that are read at once.
pub(super) const PIECE_BYTES: usize = 256 * 1024;

/// The bytes of a file. It is read where it is awaited: files of this machine hardly ever make anybody wait.
pub struct FilePieces {
    path: PathBuf,
    file: File,
}

impl FilePieces {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Self, PortError> {
        let file = File::open(path).map_err(|error| failed(path, error))?;
        Ok(Self::of(path, file))
    }

    /// Goes on where a file stands.
    pub(super) fn of(path: &Path, file: File) -> Self {
        Self { path: path.to_owned(), file }
    }

    /// The next piece; `None` at the end.
    pub fn read(&mut self) -> Result<Option<Bytes>, PortError> {
        let mut piece = vec![0; PIECE_BYTES];
        let count = self.file.read(&mut piece).map_err(|error| self.failed(error))?;
        piece.truncate(count);
        Ok((count > 0).then(|| piece.into()))
    }

    /// What is wrong with the file.
    pub(super) fn failed(&self, error: io::Error) -> PortError {
        failed(&self.path, error)
    }
}

#[async_trait]
impl Chunks for FilePieces {
    async fn next(&mut self) -> Result<Option<Bytes>, PortError> {
        self.read()
    }
}

fn failed(path: &Path, error: io::Error) -> PortError {
    PortError::new(format!("read {}", path.display()), error)
}
