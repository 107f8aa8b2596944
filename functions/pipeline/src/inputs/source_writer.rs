//! Writes source rows back in the format of the file that they came from.

use std::io::Write;

use flate2::{Compression, GzBuilder, write::GzEncoder};
use zstd::stream::write::Encoder;

use super::{FileCompression, FileContainer, FileFormat};

/// Writes a file of source rows, streaming. The same rows give the same bytes: no time and no name goes into them.
///
/// Lines end with LF, whatever the input file had. What is written is read as the same rows, as long as they were good rows
/// of a file of this format; a rejected row's source may be cut, or have a quote that swallows what follows.
pub struct SourceWriter {
    container: FileContainer,
    rows: u64,
    out: Output,
}

/// Writing to memory cannot fail; so the results of the encoders below carry nothing, and are dropped.
enum Output {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(Box<Encoder<'static, Vec<u8>>>),
}

impl SourceWriter {
    /// A writer for one file. `header` is the input file's own ([`RowReader::header`](super::RowReader::header)); without it a table has none.
    pub fn new(format: &FileFormat, header: Option<&str>) -> Self {
        let mut writer = Self { container: format.container, rows: 0, out: Output::new(format.compression) };
        match (format.container, header) {
            (FileContainer::Csv | FileContainer::Tsv, Some(header)) => writer.out.write(&[header, "\n"]),
            (FileContainer::Json, _) => writer.out.write(&["["]),
            _ => {}
        }
        writer
    }

    /// Writes one row, as it was in [`Row::source`](super::Row::source).
    pub fn row(&mut self, source: &str) {
        match (self.container, self.rows) {
            (FileContainer::Json, 0) => self.out.write(&["\n", source]),
            (FileContainer::Json, _) => self.out.write(&[",\n", source]),
            _ => self.out.write(&[source, "\n"]),
        }
        self.rows += 1;
    }

    /// The bytes that are ready; the file is what all calls and `finish` give, one after another. How the bytes are cut up does
    /// not change them.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(match &mut self.out {
            Output::Plain(bytes) => bytes,
            Output::Gzip(encoder) => encoder.get_mut(),
            Output::Zstd(encoder) => encoder.get_mut(),
        })
    }

    /// Ends the file, and gives its last bytes.
    pub fn finish(mut self) -> Vec<u8> {
        if self.container == FileContainer::Json {
            self.out.write(&["\n]\n"]);
        }
        match self.out {
            Output::Plain(bytes) => bytes,
            Output::Gzip(encoder) => encoder.finish().unwrap_or_default(),
            Output::Zstd(encoder) => encoder.finish().unwrap_or_default(),
        }
    }
}

impl Output {
    fn new(compression: FileCompression) -> Self {
        match compression {
            FileCompression::None => Self::Plain(Vec::new()),
            FileCompression::Gzip => Self::Gzip(GzBuilder::new().mtime(0).write(Vec::new(), Compression::default())),
            FileCompression::Zstd => match Encoder::new(Vec::new(), zstd::DEFAULT_COMPRESSION_LEVEL) {
                Ok(encoder) => Self::Zstd(Box::new(encoder)),
                Err(_) => Self::Plain(Vec::new()),
            },
        }
    }

    fn write(&mut self, parts: &[&str]) {
        for part in parts {
            let _ = match self {
                Self::Plain(bytes) => bytes.write_all(part.as_bytes()),
                Self::Gzip(encoder) => encoder.write_all(part.as_bytes()),
                Self::Zstd(encoder) => encoder.write_all(part.as_bytes()),
            };
        }
    }
}
