//! Reads whole input files, in one piece or many.

use pipeline::inputs::{FileFormat, FileProblem, ReadLimits, Row, RowReader};

/// Everything that reading a file gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Row>,
    pub(crate) header: Option<String>,
    pub(crate) problem: Option<FileProblem>,
}

pub(crate) fn format(key: &str) -> FileFormat {
    FileFormat::from_key(key).expect("the key has a known extension")
}

/// Takes rows after each chunk.
pub(crate) fn read<'a>(key: &str, limits: ReadLimits, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = RowReader::new(&format(key), limits);
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
    assert_eq!(reader.push(b"more").err(), problem, "a problem is given again, and nothing is read behind the end");
    assert_eq!(reader.next_row(), None);
    Outcome { rows, header: reader.header().map(str::to_owned), problem }
}

/// Takes no row before the end.
pub(crate) fn read_undrained<'a>(key: &str, limits: ReadLimits, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = RowReader::new(&format(key), limits);
    for chunk in chunks {
        // The problem is given again by `finish`.
        let _ = reader.push(chunk);
    }
    let problem = reader.finish().err();
    let rows = std::iter::from_fn(|| reader.next_row()).collect();
    Outcome { rows, header: reader.header().map(str::to_owned), problem }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).and_then(|()| encoder.finish()).expect("writing to memory")
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("writing to memory")
}
