//! Reads whole files through `RowReader`, for the tests of this folder.

use std::io::Write;

use pipeline::inputs::{FileFormat, FileProblem, ReadLimits, Row, RowReader};

/// Everything that reading a file gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Row>,
    pub(crate) header: Option<String>,
    pub(crate) problem: Option<FileProblem>,
}

/// Reads a file whose bytes arrive in these chunks, and takes rows after each.
pub(crate) fn read_chunks<'a>(key: &str, limits: ReadLimits, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = RowReader::new(&FileFormat::from_key(key).unwrap(), limits);
    let mut rows = Vec::new();
    let mut problem = None;
    for chunk in chunks {
        problem = reader.push(chunk).err();
        rows.extend(std::iter::from_fn(|| reader.next_row()));
        if problem.is_some() {
            break;
        }
    }
    if problem.is_none() {
        problem = reader.finish().err();
        rows.extend(std::iter::from_fn(|| reader.next_row()));
    }
    assert_eq!(reader.finish().err(), problem, "a problem is given again");
    assert_eq!(reader.next_row(), None);
    Outcome { rows, header: reader.header().map(str::to_owned), problem }
}

pub(crate) fn read(key: &str, bytes: &[u8]) -> Outcome {
    read_chunks(key, ReadLimits::default(), bytes.chunks(100_000))
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}
