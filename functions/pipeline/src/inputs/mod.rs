//! Reads an input file, row by row, and writes rows back in the same format.
//!
//! The bytes of a file are pushed in chunks of any size, and rows are taken. One bad row never hides the others: it comes out as a
//! row of its own, with its line and a [`RowProblem`]. What concerns the whole file is a [`FileProblem`]; rows that were
//! found before it are still good, except that the last one may have been cut, and is then reported and not handed out as if whole.

use std::collections::VecDeque;

use self::{array::ArrayRows, decompress::Expander, delimited::TableRows, lines::LineRows, sniff::Sniffer};
pub use self::{
    format::{FileCompression, FileContainer, FileFormat},
    problem::{FileProblem, RowProblem},
    source_writer::SourceWriter,
};

use crate::policy::Policy;

mod array;
mod decompress;
mod delimited;
mod format;
mod gzip;
mod json;
mod lines;
mod problem;
mod sniff;
mod source_writer;
mod split_delimited;

/// How many bytes are read or decompressed before the rows in them are handed out.
const STEP_BYTES: usize = 64 * 1024;

/// Bounds of what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// A longer row is skipped while it streams by, and reported with its line.
    pub row_bytes_max: usize,
    /// A compressed file may expand to so many times its own size …
    pub expansion_max: u64,
    /// … plus so many bytes. Beyond that it is taken for a decompression bomb, and reading ends. Tables of text shrink ten to
    /// fifty-fold; the free bytes let small files of equal lines pass.
    pub expansion_free_bytes: u64,
}

impl ReadLimits {
    /// Those of an input file: a row that no batch has room for need not be held.
    pub fn of_rows(policy: &Policy) -> Self {
        Self { row_bytes_max: policy.batch_bytes_max as usize, ..Self::default() }
    }
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { row_bytes_max: 5_000_000, expansion_max: 200, expansion_free_bytes: 64 * 1024 * 1024 }
    }
}

/// One row of an input file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line on which the row starts in the (decompressed) file, counted from 1.
    pub line: u64,
    /// The row as it was written, without line end. Of a rejected row only the first 4 KiB, with what is not UTF-8 replaced.
    pub source: String,
    /// The JSON text of one object, on one line; numbers and the order of keys are as in the file.
    pub input: Result<String, RowProblem>,
    /// Fingerprint of the input's [canonical](crate::canonical) text, by which duplicates are known; of a rejected row 0.
    pub fingerprint: u128,
}

/// Reads the rows of a file whose bytes are pushed.
///
/// Take all rows with [`next_row`](Self::next_row) after each push: then memory is bounded by the pushed chunk, one row, a few
/// hundred KiB of rows found, and the decompressor's window (32 KiB, or 8 MiB for zstd), whatever a chunk expands to, because it is expanded only as rows
/// are taken. A reader that is not drained before `finish` gives the same rows, but holds all of them.
pub struct RowReader {
    expander: Expander,
    sniffer: Option<Sniffer>,
    parser: Box<dyn Parser + Send>,
    /// Bytes that were pushed; the first `taken` of them are done with.
    pending: Vec<u8>,
    taken: usize,
    expanded: Vec<u8>,
    rows: Rows,
    problem: Option<FileProblem>,
    finished: bool,
}

/// Rows that were found and not yet taken.
#[derive(Default)]
struct Rows {
    queue: VecDeque<Row>,
    found: u64,
}

impl Rows {
    fn add(&mut self, row: Row) {
        self.found += 1;
        self.queue.push_back(row);
    }

    fn good(&mut self, line: u64, source: &str, input: json::Input) {
        let json::Input { json, fingerprint } = input;
        self.add(Row { line, source: source.to_owned(), input: Ok(json), fingerprint });
    }

    /// A rejected row; of its bytes only the first few are kept.
    fn bad(&mut self, line: u64, bytes: &[u8], problem: RowProblem) {
        use crate::json_cut::HEAD_BYTES;
        let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
        let mut source = String::from_utf8_lossy(head).into_owned();
        source.truncate(source.floor_char_boundary(HEAD_BYTES));
        self.add(Row { line, source, input: Err(problem), fingerprint: 0 });
    }
}

/// Finds the rows of one container in decompressed bytes without byte order mark.
trait Parser {
    fn push(&mut self, bytes: &[u8], rows: &mut Rows) -> Result<(), FileProblem>;

    /// The file ended as it should.
    fn finish(&mut self, rows: &mut Rows) -> Result<(), FileProblem>;

    /// The file ended by a problem: what is left over may not be a whole row, and is rejected.
    fn cut_off(&mut self, rows: &mut Rows);

    /// Why there are no rows: the file is empty, or has nothing but a header, brackets or comments.
    fn no_rows(&self) -> FileProblem;

    fn header(&self) -> Option<&str> {
        None
    }
}

impl RowReader {
    /// A reader for one file.
    pub fn new(format: &FileFormat, limits: ReadLimits) -> Self {
        let row_bytes_max = limits.row_bytes_max;
        let parser: Box<dyn Parser + Send> = match format.container {
            FileContainer::Txt => Box::new(LineRows::urls(row_bytes_max)),
            FileContainer::Ndjson => Box::new(LineRows::json(row_bytes_max)),
            FileContainer::Csv => Box::new(TableRows::new(b',', row_bytes_max)),
            FileContainer::Tsv => Box::new(TableRows::new(b'\t', row_bytes_max)),
            FileContainer::Json => Box::new(ArrayRows::new(row_bytes_max)),
        };
        Self {
            expander: Expander::new(format.compression, limits),
            sniffer: Some(Sniffer::new(format.container)),
            parser,
            pending: Vec::new(),
            taken: 0,
            expanded: Vec::with_capacity(STEP_BYTES),
            rows: Rows::default(),
            problem: None,
            finished: false,
        }
    }

    /// Takes the next bytes of the file.
    ///
    /// The error may be about bytes of an earlier push, because bytes are expanded as rows are taken; every later call gives it again.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), FileProblem> {
        if self.problem.is_none() && !self.finished {
            self.pending.drain(..self.taken.min(self.pending.len()));
            self.taken = 0;
            self.pending.extend_from_slice(chunk);
            self.work_until_row();
        }
        self.result()
    }

    /// Says that the file has ended. Rows may still be waiting for [`next_row`](Self::next_row), the last one among them.
    pub fn finish(&mut self) -> Result<(), FileProblem> {
        if !self.finished {
            while self.step() {}
            self.finished = true;
            if self.problem.is_none()
                && let Err(problem) = self.end()
            {
                self.fail(problem);
            }
        }
        self.result()
    }

    /// The next row, in the order of the file; `None` when more bytes are needed, or the file has ended.
    pub fn next_row(&mut self) -> Option<Row> {
        self.work_until_row();
        self.rows.queue.pop_front()
    }

    /// The header of a `.csv` or `.tsv` file as it was written, without line end; known before the first row is.
    pub fn header(&self) -> Option<&str> {
        self.parser.header()
    }

    fn result(&self) -> Result<(), FileProblem> {
        self.problem.clone().map_or(Ok(()), Err)
    }

    fn work_until_row(&mut self) {
        while self.rows.queue.is_empty() && self.step() {}
    }

    /// Expands and parses the next few bytes; false when there is nothing to do.
    fn step(&mut self) -> bool {
        if self.problem.is_some() || self.finished {
            return false;
        }
        let pending = self.pending.get(self.taken..).unwrap_or_default();
        self.expanded.clear();
        let stepped = self.expander.step(pending, &mut self.expanded);
        let expanded = std::mem::take(&mut self.expanded);
        let parsed = self.parse(&expanded);
        let progress = !expanded.is_empty() || stepped.as_ref().is_ok_and(|taken| *taken > 0);
        self.expanded = expanded;
        match (parsed, stepped) {
            (Err(problem), _) | (Ok(()), Err(problem)) => {
                self.fail(problem);
                false
            }
            (Ok(()), Ok(taken)) => {
                self.taken += taken;
                progress
            }
        }
    }

    fn parse(&mut self, bytes: &[u8]) -> Result<(), FileProblem> {
        let Some(sniffer) = &mut self.sniffer else { return self.parser.push(bytes, &mut self.rows) };
        let Some(content) = sniffer.push(bytes)? else { return Ok(()) };
        self.sniffer = None;
        self.parser.push(&content, &mut self.rows)
    }

    fn end(&mut self) -> Result<(), FileProblem> {
        if let Some(mut sniffer) = self.sniffer.take() {
            let content = sniffer.finish()?;
            self.parser.push(&content, &mut self.rows)?;
        }
        self.expander.finish()?;
        self.parser.finish(&mut self.rows)?;
        if self.rows.found == 0 { Err(self.parser.no_rows()) } else { Ok(()) }
    }

    fn fail(&mut self, problem: FileProblem) {
        if let Some(content) = self.sniffer.take().and_then(|mut sniffer| sniffer.finish().ok()) {
            // What the parser finds wrong now comes second to the problem that is being reported.
            let _ = self.parser.push(&content, &mut self.rows);
        }
        self.parser.cut_off(&mut self.rows);
        self.problem = Some(problem);
        self.pending = Vec::new();
        self.taken = 0;
    }
}
