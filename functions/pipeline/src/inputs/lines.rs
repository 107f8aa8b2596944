//! `.txt` and `.ndjson`: one row a line.

use memchr::memchr;

use super::{FileProblem, Parser, RowProblem, Rows, json};
use crate::json_cut::HEAD_BYTES;

/// Finds the rows of a file that has one a line.
pub(super) struct LineRows {
    kind: Kind,
    line_bytes_max: usize,
    line: u64,
    /// What is known of a line whose end has not come; its beginning only, once it is too long.
    held: Vec<u8>,
    held_bytes: u64,
    saw_text: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    /// A URL; `#` begins a comment line.
    Url,
    /// A JSON object, or a URL in quotes.
    Json,
}

impl LineRows {
    pub(super) fn urls(line_bytes_max: usize) -> Self {
        Self { kind: Kind::Url, line_bytes_max, line: 1, held: Vec::new(), held_bytes: 0, saw_text: false }
    }

    pub(super) fn json(line_bytes_max: usize) -> Self {
        Self { kind: Kind::Json, ..Self::urls(line_bytes_max) }
    }

    /// Keeps a part of a line, as far as the limit allows. One byte more is kept: it may be the CR of a CRLF.
    fn hold(&mut self, part: &[u8]) {
        self.held_bytes += part.len() as u64;
        if self.held_bytes <= self.line_bytes_max as u64 + 1 {
            self.held.extend_from_slice(part);
        } else {
            self.held.extend(part.iter().take(HEAD_BYTES.saturating_sub(self.held.len())));
            self.held.truncate(HEAD_BYTES);
            self.held.shrink_to(HEAD_BYTES);
        }
    }

    fn end_line(&mut self, part: &[u8], rows: &mut Rows) {
        if self.held.is_empty() && part.len() <= self.line_bytes_max {
            self.row(part, rows);
        } else {
            self.hold(part);
            let held = std::mem::take(&mut self.held);
            let bytes = self.held_bytes;
            if bytes > self.line_bytes_max as u64 + u64::from(held.ends_with(b"\r")) {
                self.saw_text = true;
                rows.bad(self.line, &held, RowProblem::TooLong { bytes, max: self.line_bytes_max });
            } else {
                self.row(&held, rows);
            }
            self.held = held;
            self.held.clear();
        }
        self.held_bytes = 0;
        self.line += 1;
    }

    fn row(&mut self, line: &[u8], rows: &mut Rows) {
        let line = without_cr(line);
        let content = line.trim_ascii();
        if content.is_empty() {
            return;
        }
        self.saw_text = true;
        let found = match self.kind {
            Kind::Url if content.starts_with(b"#") => return,
            Kind::Url => url_input(line),
            Kind::Json => json::input_of(line),
        };
        match found {
            Ok((source, input)) => rows.good(self.line, source, input),
            Err(problem) => rows.bad(self.line, line, problem),
        }
    }
}

impl Parser for LineRows {
    fn push(&mut self, bytes: &[u8], rows: &mut Rows) -> Result<(), FileProblem> {
        let mut rest = bytes;
        while let Some(at) = memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(at);
            self.end_line(line, rows);
            rest = behind.get(1..).unwrap_or_default();
        }
        if !rest.is_empty() {
            self.hold(rest);
        }
        Ok(())
    }

    fn finish(&mut self, rows: &mut Rows) -> Result<(), FileProblem> {
        if self.held_bytes > 0 {
            self.end_line(&[], rows);
        }
        Ok(())
    }

    fn cut_off(&mut self, rows: &mut Rows) {
        if !self.held.trim_ascii().is_empty() {
            rows.bad(self.line, without_cr(&self.held), RowProblem::CutOff);
        }
    }

    fn no_rows(&self) -> FileProblem {
        if self.saw_text { FileProblem::NoRows } else { FileProblem::Empty }
    }
}

/// The input for a line of a `.txt` file. URLs are not checked further: what a collector takes is its own affair.
fn url_input(line: &[u8]) -> Result<(&str, json::Input), RowProblem> {
    let text = RowProblem::check_text(line)?;
    // Where files were joined, a byte order mark stands before a line.
    let url = text.trim().trim_start_matches('\u{FEFF}').trim_start();
    match url.chars().next() {
        Some(found @ ('<' | '{' | '[' | '"')) => Err(RowProblem::NotAUrl { found }),
        _ => Ok((text, json::url_object(url)?)),
    }
}

/// The line without the CR of its CRLF, and without any more of them: written back, the line is then read as the same.
pub(super) fn without_cr(mut line: &[u8]) -> &[u8] {
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}
