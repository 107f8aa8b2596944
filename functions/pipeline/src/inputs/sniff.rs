//! Looks at the first bytes of a file, because a wrong extension is cheaper to find here than row by row, or in paid work.

use super::{FileContainer, FileProblem};

/// So many bytes are enough to tell.
const HEAD_BYTES: usize = 64;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What other files begin with.
const MAGIC: [(&[u8], &str); 6] = [
    (b"\x1F\x8B", "a gzip file"),
    (b"\x28\xB5\x2F\xFD", "a zstd file"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\xD0\xCF\x11\xE0", "an old Excel workbook"),
    (b"%PDF-1", "a PDF"),
    (b"PAR1\x15", "a Parquet file"),
];

/// Holds the first bytes of a file back until they have been looked at.
pub(super) struct Sniffer {
    container: FileContainer,
    head: Vec<u8>,
}

impl Sniffer {
    pub(super) fn new(container: FileContainer) -> Self {
        Self { container, head: Vec::new() }
    }

    /// The bytes so far without byte order mark, as soon as there are enough of them to judge.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, FileProblem> {
        self.head.extend_from_slice(bytes);
        if self.head.len() < HEAD_BYTES { Ok(None) } else { self.finish().map(Some) }
    }

    /// The same for a file that has no more bytes.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, FileProblem> {
        let mut content = std::mem::take(&mut self.head);
        if content.starts_with(BOM) {
            content.drain(..BOM.len());
        }
        let head = content.get(..HEAD_BYTES - BOM.len()).unwrap_or(&content);
        if head.starts_with(b"\x00\x00\xFE\xFF") || head.starts_with(b"\xFF\xFE\x00\x00") {
            return Err(FileProblem::WrongEncoding { encoding: "UTF-32" });
        }
        if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
            return Err(FileProblem::WrongEncoding { encoding: "UTF-16" });
        }
        if let Some((_, found)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Err(FileProblem::WrongContent { found });
        }
        let lines = matches!(self.container, FileContainer::Txt | FileContainer::Csv | FileContainer::Tsv);
        match head.trim_ascii_start().first() {
            Some(b'<') => Err(FileProblem::WrongContent { found: "HTML or XML" }),
            Some(b'{' | b'[') if lines => Err(FileProblem::WrongContent { found: "JSON" }),
            _ => Ok(content),
        }
    }
}
