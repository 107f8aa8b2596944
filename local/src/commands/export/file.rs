//! A file that gets its name when it is whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// Of the disk.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// The first reading saw something else.
    #[error("a record is not what it was when it was read first")]
    Changed,
    /// Of the format's library, or of the disk while it writes.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

/// A file that is being written under a temporary name beside its own. Dropping it removes it.
pub(super) struct NewFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// Begins the file `path`.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        Ok(Self { file: File::create(&temporary)?, temporary, path: path.to_owned() })
    }

    /// Another handle of it, to write with.
    pub(super) fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives the file its name, instead of any that has it. Says how many bytes it has.
    pub(super) fn finish(self) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        fs::rename(&self.temporary, &self.path)?;
        Ok(bytes)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After it got its name there is none.
        let _ = fs::remove_file(&self.temporary);
    }
}
