//! Splits a `.csv` or `.tsv` file into its source rows.
//!
//! The rules are those of the `csv` crate, which then reads each row: a quote opens a quoted cell only at the beginning of the
//! cell, and two of them inside stand for one. They are applied here first, because that crate hides every row behind an unclosed
//! quote. Here such a quote makes only its first line bad, and reading resumes on the next. A quote counts as unclosed if the file
//! ends in it, if its cell passes [`CELL_BYTES_MAX`], or if the quote that seems to close it on a later line is followed by text.

use memchr::{memchr, memchr_iter, memchr2};

use super::{FileProblem, RowProblem, lines::without_cr};
use crate::json_cut::HEAD_BYTES;

/// A quoted cell that is longer has lost its closing quote.
const CELL_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes may be read again behind unclosed quotes: so many for each byte of the file, and so many for the whole file. Only a file made for it
/// needs more, and it would be read for hours.
const REREAD_MAX: u64 = 8;
const REREAD_FREE_BYTES: u64 = 8 * 1024 * 1024;

/// One source row.
pub(super) struct Piece<'a> {
    /// The line on which it starts.
    pub(super) line: u64,
    /// Its bytes without line end; of a bad row perhaps only the first.
    pub(super) bytes: &'a [u8],
    /// Why it must be rejected.
    pub(super) problem: Option<RowProblem>,
}

/// Takes a source row; an error ends the file.
pub(super) type Each<'a> = dyn FnMut(Piece<'_>) -> Result<(), FileProblem> + 'a;

/// The splitter, pushed with chunks of any size.
pub(super) struct RowSplitter {
    delimiter: u8,
    row_bytes_max: usize,
    cell_bytes_max: u64,
    /// The current row from its beginning, or, once it is skipped, what is not yet looked at.
    held: Vec<u8>,
    /// Where in `held` the current row starts.
    start: usize,
    /// How far `held` is looked at.
    at: usize,
    /// How many bytes of the file precede `held`.
    before: u64,
    /// The line on which the current row starts.
    line: u64,
    place: Place,
    /// Where in the file the open quote is.
    quote_at: u64,
    text_after_quote: bool,
    skipped: Option<Skipped>,
    reread: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    CellStart,
    Unquoted,
    Quoted,
    /// Behind a quote inside a quoted cell: the first of two, or the closing one.
    Quote,
    /// Behind that quote and a CR.
    QuoteCr,
}

/// A row that is not held, because it is bad and long.
struct Skipped {
    problem: Option<RowProblem>,
    bytes: u64,
    head: Vec<u8>,
    line_feeds: u64,
}

impl Skipped {
    fn pass(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        self.line_feeds += memchr_iter(b'\n', part).count() as u64;
        self.head.extend(part.iter().take(HEAD_BYTES.saturating_sub(self.head.len())));
    }
}

/// As much of a bad row as a report needs.
fn head(row: &[u8]) -> &[u8] {
    row.get(..HEAD_BYTES).unwrap_or(row)
}

impl RowSplitter {
    pub(super) fn new(delimiter: u8, row_bytes_max: usize) -> Self {
        Self {
            delimiter,
            row_bytes_max,
            cell_bytes_max: CELL_BYTES_MAX.min(row_bytes_max as u64),
            held: Vec::new(),
            start: 0,
            at: 0,
            before: 0,
            line: 1,
            place: Place::CellStart,
            quote_at: 0,
            text_after_quote: false,
            skipped: None,
            reread: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8], each: &mut Each<'_>) -> Result<(), FileProblem> {
        self.held.extend_from_slice(bytes);
        self.scan(each)?;
        self.forget();
        Ok(())
    }

    pub(super) fn finish(&mut self, each: &mut Each<'_>) -> Result<(), FileProblem> {
        loop {
            self.scan(each)?;
            if self.place == Place::Quoted && self.skipped.is_none() {
                if self.resume_on_next_line(each)? {
                    continue;
                }
                self.text_after_quote = false;
                return self.emit(self.held.len(), Some(RowProblem::UnclosedQuote), each);
            }
            return self.end_row(self.held.len(), each);
        }
    }

    /// The row whose end has not come.
    pub(super) fn unfinished(&self) -> (u64, &[u8]) {
        let held = self.held.get(self.start..).unwrap_or_default();
        (self.line, self.skipped.as_ref().map_or(held, |skipped| skipped.head.as_slice()))
    }

    fn scan(&mut self, each: &mut Each<'_>) -> Result<(), FileProblem> {
        loop {
            if self.offset() >= self.row_limit() {
                self.skip(None);
            }
            if self.offset() >= self.cell_limit() {
                self.give_up_quote(each)?;
            }
            // Stopping exactly at the limits makes the result independent of how the file is cut into chunks.
            let limit = self.row_limit().min(self.cell_limit()).saturating_sub(self.before);
            let end = usize::try_from(limit).map_or(self.held.len(), |limit| limit.min(self.held.len()));
            if self.at >= end {
                return Ok(());
            }
            match self.place {
                Place::CellStart | Place::Unquoted => self.scan_unquoted(end, each)?,
                Place::Quoted => {
                    let found = memchr(b'"', self.held.get(self.at..end).unwrap_or_default());
                    self.at = found.map_or(end, |found| self.at + found + 1);
                    if found.is_some() {
                        self.place = Place::Quote;
                    }
                }
                Place::Quote | Place::QuoteCr => self.scan_quote(each)?,
            }
        }
    }

    /// Where in the file the row is too long even if its last byte is the CR of a CRLF.
    fn row_limit(&self) -> u64 {
        let limit = self.before + self.start as u64 + self.row_bytes_max as u64 + 2;
        if self.skipped.is_some() { u64::MAX } else { limit }
    }

    /// Where in the file the quoted cell is too long.
    fn cell_limit(&self) -> u64 {
        if self.place == Place::Quoted { self.quote_at + self.cell_bytes_max + 1 } else { u64::MAX }
    }

    fn scan_unquoted(&mut self, end: usize, each: &mut Each<'_>) -> Result<(), FileProblem> {
        let rest = self.held.get(self.at..end).unwrap_or_default();
        if self.place == Place::CellStart && rest.first() == Some(&b'"') {
            self.place = Place::Quoted;
            self.quote_at = self.offset();
            self.at += 1;
            return Ok(());
        }
        let Some(found) = memchr2(self.delimiter, b'\n', rest) else {
            self.place = Place::Unquoted;
            self.at = end;
            return Ok(());
        };
        let is_line_end = rest.get(found) == Some(&b'\n');
        self.at += found + 1;
        self.place = Place::CellStart;
        if is_line_end { self.end_row(self.at - 1, each) } else { Ok(()) }
    }

    fn scan_quote(&mut self, each: &mut Each<'_>) -> Result<(), FileProblem> {
        let byte = self.held.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        match (self.place, byte) {
            (Place::Quote, b'"') => self.place = Place::Quoted,
            (Place::Quote, b'\r') => self.place = Place::QuoteCr,
            (_, b'\n') => {
                self.place = Place::CellStart;
                return self.end_row(self.at - 1, each);
            }
            (Place::Quote, byte) if byte == self.delimiter => self.place = Place::CellStart,
            _ => {
                self.at -= 1;
                self.place = Place::Unquoted;
                self.text_after_quote = self.skipped.is_some() || !self.resume_on_next_line(each)?;
            }
        }
        Ok(())
    }

    /// The row has ended; `end` is where in `held` its line end is.
    fn end_row(&mut self, end: usize, each: &mut Each<'_>) -> Result<(), FileProblem> {
        let row = self.held.get(self.start..end).unwrap_or_default();
        let bytes = row.len() as u64;
        let too_long = bytes > self.row_bytes_max as u64 + u64::from(row.ends_with(b"\r"));
        let problem = if too_long {
            Some(RowProblem::TooLong { bytes, max: self.row_bytes_max })
        } else {
            self.text_after_quote.then_some(RowProblem::TextAfterQuote)
        };
        self.emit(end, problem, each)
    }

    /// Hands the row out, and goes on behind its line end.
    fn emit(&mut self, end: usize, problem: Option<RowProblem>, each: &mut Each<'_>) -> Result<(), FileProblem> {
        let row = self.held.get(self.start..end).unwrap_or_default();
        let line = self.line;
        let handed = match self.skipped.take() {
            Some(mut skipped) => {
                skipped.pass(row);
                self.line += skipped.line_feeds + 1;
                let too_long = RowProblem::TooLong { bytes: skipped.bytes, max: self.row_bytes_max };
                let problem = Some(skipped.problem.unwrap_or(too_long));
                each(Piece { line, bytes: without_cr(&skipped.head), problem })
            }
            None => {
                self.line += memchr_iter(b'\n', row).count() as u64 + 1;
                let bytes = without_cr(if problem.is_some() { head(row) } else { row });
                each(Piece { line, bytes, problem })
            }
        };
        self.text_after_quote = false;
        self.start = (end + 1).min(self.held.len());
        handed
    }

    /// Behind an unclosed quote: rejects the row's first line and reads on at its second. False when there is none.
    fn resume_on_next_line(&mut self, each: &mut Each<'_>) -> Result<bool, FileProblem> {
        let read = self.held.get(self.start..self.at).unwrap_or_default();
        let Some(length) = memchr(b'\n', read) else { return Ok(false) };
        self.reread += (read.len() - length) as u64;
        if self.reread > REREAD_FREE_BYTES + REREAD_MAX * self.offset() {
            return Err(FileProblem::TooManyOpenQuotes { line: self.line });
        }
        let end = self.start + length;
        self.emit(end, Some(RowProblem::UnclosedQuote), each)?;
        self.at = self.start;
        self.place = Place::CellStart;
        Ok(true)
    }

    /// The quoted cell is too long to be one.
    fn give_up_quote(&mut self, each: &mut Each<'_>) -> Result<(), FileProblem> {
        // The rest of a row that is skipped anyway, or of the quote's only line, is passed over up to the next line end.
        if self.skipped.is_some() || !self.resume_on_next_line(each)? {
            if self.skipped.is_none() {
                self.skip(Some(RowProblem::UnclosedQuote));
            }
            self.place = Place::Unquoted;
        }
        Ok(())
    }

    /// From here on the row is not held, only looked at until it ends.
    fn skip(&mut self, problem: Option<RowProblem>) {
        self.skipped = Some(Skipped { problem, bytes: 0, head: Vec::new(), line_feeds: 0 });
        self.forget();
    }

    /// Drops what is no longer needed of `held`.
    fn forget(&mut self) {
        let done = if self.skipped.is_some() { self.at } else { self.start };
        if let Some(skipped) = &mut self.skipped {
            skipped.pass(self.held.get(self.start..done).unwrap_or_default());
        }
        self.held.drain(..done);
        self.before += done as u64;
        self.at -= done;
        self.start = 0;
    }

    /// Where in the file the splitter looks.
    fn offset(&self) -> u64 {
        self.before + self.at as u64
    }
}
