//! The Parquet file: it gets its name when it is whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::columns::Columns;
use super::leaf::Problem;

/// Bytes of records in memory before they are written as a row group.
const GROUP_BYTES: usize = 32 * 1024 * 1024;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// Of the disk.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// Of the records, or of the disk while they are written.
    #[error(transparent)]
    Record(#[from] Problem),
}

/// A file that is being written under a temporary name beside its own. Dropping it removes it.
pub(super) struct NewFile {
    writer: Option<SerializedFileWriter<File>>,
    columns: Columns,
    /// Also open here: the writer keeps its own to itself.
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    group_bytes: usize,
    records: u64,
}

impl NewFile {
    /// Begins the file `path`.
    pub(super) fn create(path: &Path, columns: Columns) -> Result<Self, FileError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let file = File::create(&temporary)?;
        let mut new = Self {
            writer: None,
            columns,
            file,
            temporary,
            path: path.to_owned(),
            group_bytes: GROUP_BYTES,
            records: 0,
        };
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("dropcollect version ", env!("CARGO_PKG_VERSION")).to_owned());
        let (file, schema) = (new.file.try_clone()?, new.columns.schema());
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build()));
        new.writer = Some(writer.map_err(Problem::from)?);
        Ok(new)
    }

    /// With row groups of about so many bytes in memory.
    #[cfg(test)]
    pub(super) fn with_groups_of(mut self, group_bytes: usize) -> Self {
        self.group_bytes = group_bytes;
        self
    }

    /// Takes one more record.
    pub(super) fn put(&mut self, record: &str) -> Result<(), FileError> {
        self.columns.put(record)?;
        self.records += 1;
        // Asking every column costs more than a record does.
        if self.records.is_multiple_of(64) && self.columns.bytes() >= self.group_bytes {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Problem> {
        self.writer.as_mut().map_or(Ok(()), |writer| self.columns.flush(writer))
    }

    /// Writes the rest and gives the file its name, instead of any that has it. Says how many bytes it has.
    pub(super) fn finish(mut self) -> Result<u64, FileError> {
        if self.columns.bytes() > 0 {
            self.flush()?;
        }
        if let Some(writer) = self.writer.take() {
            writer.close().map_err(Problem::from)?;
        }
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
