//! `.csv` and `.tsv`: a header that names the columns, and rows of cells; each row is an object of strings.

use std::io::Cursor;
use std::ops::Range;

use csv::{Reader, ReaderBuilder, StringRecord, Terminator};

use crate::canonical::fingerprint;

use super::{
    FileProblem, Parser, RowProblem, Rows, json,
    split_delimited::{Piece, RowSplitter},
};

/// Finds the rows of a table.
pub(super) struct TableRows {
    splitter: RowSplitter,
    table: Table,
}

/// The header and how to read cells.
struct Table {
    delimiter: u8,
    cells: Cells,
    header: Option<String>,
    /// The columns' names as JSON strings.
    columns: Vec<String>,
    /// The columns in the order of their names, as canonical text has them.
    sorted: Vec<usize>,
    /// Where in the text of the current row each column's member stands.
    members: Vec<Range<usize>>,
    /// The canonical text of the current row.
    canonical: String,
}

impl TableRows {
    pub(super) fn new(delimiter: u8, row_bytes_max: usize) -> Self {
        let table = Table {
            delimiter,
            cells: Cells::new(delimiter),
            header: None,
            columns: Vec::new(),
            sorted: Vec::new(),
            members: Vec::new(),
            canonical: String::new(),
        };
        Self { splitter: RowSplitter::new(delimiter, row_bytes_max), table }
    }
}

impl Parser for TableRows {
    fn push(&mut self, bytes: &[u8], rows: &mut Rows) -> Result<(), FileProblem> {
        let Self { splitter, table } = self;
        splitter.push(bytes, &mut |piece| table.take(piece, rows))
    }

    fn finish(&mut self, rows: &mut Rows) -> Result<(), FileProblem> {
        let Self { splitter, table } = self;
        splitter.finish(&mut |piece| table.take(piece, rows))
    }

    fn cut_off(&mut self, rows: &mut Rows) {
        let (line, bytes) = self.splitter.unfinished();
        if self.table.header.is_some() && !self.table.is_blank(bytes) {
            rows.bad(line, bytes, RowProblem::CutOff);
        }
    }

    fn no_rows(&self) -> FileProblem {
        if self.table.header.is_some() { FileProblem::NoRows } else { FileProblem::Empty }
    }

    fn header(&self) -> Option<&str> {
        self.table.header.as_deref()
    }
}

impl Table {
    fn take(&mut self, piece: Piece<'_>, rows: &mut Rows) -> Result<(), FileProblem> {
        let Piece { line, bytes, problem } = piece;
        if problem.is_none() && self.is_blank(bytes) {
            return Ok(());
        }
        let text = problem.map_or_else(|| RowProblem::check_text(bytes), Err);
        if self.header.is_none() {
            let header = text.map_err(|problem| FileProblem::BadHeader { problem })?;
            self.columns = self.column_names(header)?;
            self.header = Some(header.to_owned());
            return Ok(());
        }
        match text.and_then(|text| Ok((text, self.input(text)?))) {
            Ok((source, input)) => rows.good(line, source, input),
            Err(problem) => rows.bad(line, bytes, problem),
        }
        Ok(())
    }

    /// A row without any cell's text; in a `.tsv` tabs separate cells, so a row of tabs is not blank.
    fn is_blank(&self, row: &[u8]) -> bool {
        row.iter().all(|&byte| byte != self.delimiter && byte.is_ascii_whitespace())
    }

    /// The names of the columns as JSON strings. White space around a name is dropped: nobody can see it, and no collector wants it.
    fn column_names(&mut self, header: &str) -> Result<Vec<String>, FileProblem> {
        let cells = self.cells.of(header).map_err(|problem| FileProblem::BadHeader { problem })?;
        let names: Vec<&str> = cells.iter().map(str::trim).collect();
        check_names(&names, self.delimiter)?;
        self.sorted = (0..names.len()).collect();
        self.sorted.sort_by_key(|column| names.get(*column));
        let quoted = names.iter().map(|name| json::quote(name));
        quoted.collect::<Result<_, _>>().map_err(|problem| FileProblem::BadHeader { problem })
    }

    /// What a row stands for.
    fn input(&mut self, row: &str) -> Result<json::Input, RowProblem> {
        let Self { cells, columns, members, .. } = self;
        let cells = cells.of(row)?;
        if cells.iter().all(|cell| cell.as_bytes().trim_ascii().is_empty()) {
            return Err(RowProblem::EmptyInput);
        }
        if cells.len() != columns.len() {
            return Err(RowProblem::Ragged { cells: cells.len(), columns: columns.len() });
        }
        let names: usize = columns.iter().map(|name| name.len() + 4).sum();
        let mut json = String::with_capacity(row.len() + names + 2);
        members.clear();
        for (name, cell) in columns.iter().zip(cells) {
            json.push(if json.is_empty() { '{' } else { ',' });
            let begin = json.len();
            json.push_str(name);
            json.push(':');
            json::push_quoted(&mut json, cell)?;
            members.push(begin..json.len());
        }
        json.push('}');
        Ok(json::Input { fingerprint: self.fingerprint(&json), json })
    }

    /// The fingerprint of a row's canonical text: its members in the order of their names. All values are strings, so nothing else differs.
    fn fingerprint(&mut self, json: &str) -> u128 {
        if self.sorted.is_sorted() {
            return fingerprint(json);
        }
        let Self { sorted, members, canonical, .. } = self;
        canonical.clear();
        for column in sorted {
            canonical.push(if canonical.is_empty() { '{' } else { ',' });
            canonical.push_str(members.get(*column).and_then(|member| json.get(member.clone())).unwrap_or_default());
        }
        canonical.push('}');
        fingerprint(canonical)
    }
}

/// Reads the cells of one row after another. One `csv` reader serves all rows, because making one costs more than reading a row.
struct Cells {
    delimiter: u8,
    reader: Reader<Cursor<Vec<u8>>>,
    cells: StringRecord,
    fed: u64,
}

impl Cells {
    fn new(delimiter: u8) -> Self {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Cursor::default());
        Self { delimiter, reader, cells: StringRecord::new(), fed: 0 }
    }

    /// The cells of a row that the splitter cut.
    fn of(&mut self, row: &str) -> Result<&StringRecord, RowProblem> {
        let cursor = self.reader.get_mut();
        cursor.set_position(0);
        let bytes = cursor.get_mut();
        bytes.clear();
        bytes.extend_from_slice(row.as_bytes());
        bytes.push(b'\n');
        self.fed += bytes.len() as u64;
        let read = self.reader.read_record(&mut self.cells);
        if !matches!(read, Ok(true)) || self.reader.position().byte() != self.fed {
            // The splitter and the `csv` crate disagree on where the row ends, which their tests rule out. The next row starts afresh.
            *self = Self::new(self.delimiter);
            return Err(RowProblem::UnclosedQuote);
        }
        Ok(&self.cells)
    }
}

/// Rejects a header that no collector could take, and the usual mistakes, before anything is paid for.
fn check_names(names: &[&str], delimiter: u8) -> Result<(), FileProblem> {
    if names.iter().any(|name| name.contains('\r')) {
        return Err(FileProblem::OldLineEnds);
    }
    if let Some(cell) = names.iter().find(|name| name.contains("://")) {
        return Err(FileProblem::HeaderIsData { cell: short(cell) });
    }
    if let [name] = names
        && name.contains([',', ';', '\t', '|'])
    {
        let expected = if delimiter == b'\t' { "tabs" } else { "commas" };
        return Err(FileProblem::WrongDelimiter { header: short(name), expected });
    }
    for (place, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(FileProblem::EmptyColumn { column: place + 1 });
        }
        if let Some(first) = names.iter().take(place).position(|earlier| earlier == name) {
            return Err(FileProblem::DuplicateColumn { name: short(name), first: first + 1, second: place + 1 });
        }
    }
    Ok(())
}

/// Enough of a cell to recognise it.
fn short(cell: &str) -> String {
    cell.chars().take(80).collect()
}
