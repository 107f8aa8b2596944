//! The Parquet file while it is written.

use std::fs::File;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::super::file::{NewFile, Problem};
use super::super::shape::Table;
use super::super::{Sheet, Written};
use super::columns::Columns;

/// Bytes of records in memory before they are written as a row group.
const GROUP_BYTES: usize = 32 * 1024 * 1024;

/// A Parquet file with the records that are not written yet.
pub(in super::super) struct ParquetFile {
    writer: SerializedFileWriter<File>,
    columns: Columns,
    file: NewFile,
    group_bytes: usize,
    records: u64,
}

impl ParquetFile {
    /// Begins the file with columns for records that look like this.
    pub(in super::super) fn new(file: NewFile, table: Table) -> Result<Self, Problem> {
        let columns = Columns::new(table)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("dropcollect version ", env!("CARGO_PKG_VERSION")).to_owned());
        let writer = SerializedFileWriter::new(file.writer()?, columns.schema(), Arc::new(properties.build()))?;
        Ok(Self { writer, columns, file, group_bytes: GROUP_BYTES, records: 0 })
    }

    /// With row groups of about so many bytes in memory.
    #[cfg(test)]
    pub(super) fn with_groups_of(mut self, group_bytes: usize) -> Self {
        self.group_bytes = group_bytes;
        self
    }
}

impl Sheet for ParquetFile {
    fn put(&mut self, record: &str) -> Result<(), Problem> {
        self.columns.put(record)?;
        self.records += 1;
        // Asking every column costs more than a record does.
        if self.records.is_multiple_of(64) && self.columns.bytes() >= self.group_bytes {
            self.columns.flush(&mut self.writer)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Written, Problem> {
        if self.columns.bytes() > 0 {
            self.columns.flush(&mut self.writer)?;
        }
        let Self { writer, columns, file, .. } = *self;
        writer.close()?;
        let Columns { as_text, renamed, .. } = &columns;
        let (columns, as_text, renamed) = (columns.count(), as_text.clone(), renamed.clone());
        Ok(Written { columns, as_text, renamed, bytes: file.finish()? })
    }
}
