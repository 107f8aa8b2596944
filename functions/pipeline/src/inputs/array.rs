//! `.json`: an array of objects or of URLs.

use super::{FileProblem, Parser, RowProblem, Rows, json};
use crate::json_cut::{Container, Cut, CutError, Cutter};

/// Finds the elements of one array.
pub(super) struct ArrayRows {
    cutter: Cutter,
    element_bytes_max: usize,
}

impl ArrayRows {
    pub(super) fn new(element_bytes_max: usize) -> Self {
        Self { cutter: Cutter::new(element_bytes_max), element_bytes_max }
    }
}

impl Parser for ArrayRows {
    fn push(&mut self, bytes: &[u8], rows: &mut Rows) -> Result<(), FileProblem> {
        let max = self.element_bytes_max;
        // The container is known after the first significant byte; nothing is cut before that is looked at.
        let mut rest = bytes;
        while self.cutter.container().is_none()
            && let Some((first, others)) = rest.split_first()
        {
            self.cutter.push(std::slice::from_ref(first), &mut |_| {}).map_err(file_problem)?;
            rest = others;
            if self.cutter.container() == Some(Container::Values) {
                return Err(FileProblem::NotAnArray { found: kind_of(*first) });
            }
        }
        self.cutter.push(rest, &mut |cut| add(cut, max, rows)).map_err(file_problem)
    }

    fn finish(&mut self, rows: &mut Rows) -> Result<(), FileProblem> {
        let max = self.element_bytes_max;
        self.cutter.finish(&mut |cut| add(cut, max, rows)).map_err(file_problem)?;
        Ok(())
    }

    fn cut_off(&mut self, rows: &mut Rows) {
        if self.cutter.container() == Some(Container::Array)
            && let Some((line, held)) = self.cutter.unfinished()
        {
            rows.bad(line, held, RowProblem::CutOff);
        }
    }

    fn no_rows(&self) -> FileProblem {
        FileProblem::NoRows
    }
}

fn add(cut: Cut<'_>, max: usize, rows: &mut Rows) {
    match cut.text {
        Ok(bytes) => match json::input_of(bytes) {
            Ok((source, input)) => rows.good(cut.line, source, input),
            Err(problem) => rows.bad(cut.line, bytes, problem),
        },
        Err(long) => rows.bad(cut.line, &long.head, RowProblem::TooLong { bytes: long.bytes, max }),
    }
}

fn file_problem(error: CutError) -> FileProblem {
    match error {
        CutError::Empty => FileProblem::Empty,
        other => FileProblem::BrokenArray(other),
    }
}

fn kind_of(first: u8) -> &'static str {
    match first {
        b'{' => "an object",
        b'"' => "a string",
        b't' | b'f' | b'n' => "a word",
        _ => "a number",
    }
}
