//! The records of a run as one CSV file, as RFC 4180 lays down but for its line ends: LF, as in the other outputs.
//!
//! | JSON | CSV |
//! |---|---|
//! | field of the records | column, in the order in which they first appear; named as in the Parquet file |
//! | string | its text; the empty one as `""`, for readers that tell it from nothing |
//! | number, `true`, `false` | as it is written in the record |
//! | object, list, string with half a surrogate pair | the JSON text, as it is written in the record |
//! | `null`, or no such field | nothing |
//! | record that is no object, or names a field twice; every record, if they have more than 2,000 columns | JSON text in the column `value` |
//!
//! A spreadsheet takes text that begins with `=`, `+`, `-` or `@` for a formula, whoever wrote it. It is left as it is: whatever would be put before
//! it changes the data for everyone else, and most of it are negative numbers.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};

use super::file::{NewFile, Problem};
use super::json::{Members, Value, take_apart};
use super::names::{WHOLE, names};
use super::shape::Table;
use super::{Sheet, Written};

/// A CSV file while it is written.
pub(super) struct CsvFile {
    out: BufWriter<File>,
    file: NewFile,
    /// The column of each field.
    positions: HashMap<String, usize>,
    /// Whether the last column is for records that are kept whole.
    whole: bool,
    renamed: Vec<(String, String)>,
}

impl CsvFile {
    /// Begins the file with columns for records that look like this.
    pub(super) fn new(file: NewFile, table: Table) -> Result<Self, Problem> {
        let fields = table.fields;
        // A record needs a place, so the column for whole records is also there when there is nothing else.
        let whole = table.whole || fields.shapes.is_empty();
        let names = names(fields.shapes.iter().map(|(field, _)| field.as_str()), whole.then_some(WHOLE));
        let out = BufWriter::new(file.writer()?);
        let renamed = fields.shapes.into_iter().map(|(field, _)| field).zip(names.iter().cloned());
        let renamed = renamed.filter(|(field, name)| field != name).collect();
        let mut new = Self { out, file, positions: fields.positions, whole, renamed };
        new.row(names.iter().map(|name| Some(name.as_str())).chain(whole.then_some(Some(WHOLE))))?;
        Ok(new)
    }

    fn fields(&mut self, members: &Members<'_>) -> Result<(), Problem> {
        let mut texts = vec![None; self.positions.len()];
        for (field, value) in members {
            let position = self.positions.get(&**field).ok_or(Problem::Changed)?;
            *texts.get_mut(*position).ok_or(Problem::Changed)? = Some(value.get());
        }
        let values: Vec<Option<Value<'_>>> = texts.iter().map(|text| text.map(take_apart)).collect();
        let cells = values.iter().zip(texts).map(|(value, text)| match value {
            None | Some(Value::Null) => None,
            Some(Value::String(string)) => Some(&**string),
            Some(_) => text,
        });
        self.row(cells.chain(self.whole.then_some(None)))
    }

    fn row<'a>(&mut self, cells: impl Iterator<Item = Option<&'a str>>) -> Result<(), Problem> {
        let mut row = Vec::new();
        for (position, cell) in cells.enumerate() {
            if position > 0 {
                row.push(b',');
            }
            if let Some(text) = cell {
                put(&mut row, text);
            }
        }
        // Readers skip an empty line.
        if row.is_empty() {
            put(&mut row, "");
        }
        row.push(b'\n');
        Ok(self.out.write_all(&row)?)
    }
}

impl Sheet for CsvFile {
    fn put(&mut self, record: &str) -> Result<(), Problem> {
        match take_apart(record) {
            Value::Object(members) if !self.positions.is_empty() => self.fields(&members),
            _ if self.whole => {
                let absent = self.positions.len();
                self.row(std::iter::repeat_n(None, absent).chain([Some(record.trim())]))
            }
            _ => Err(Problem::Changed),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<Written, Problem> {
        self.out.flush()?;
        let columns = self.positions.len() + usize::from(self.whole);
        Ok(Written { columns, as_text: Vec::new(), renamed: self.renamed, bytes: self.file.finish()? })
    }
}

/// Puts a cell into a row, in quotes where it needs them. Spaces around a text need none by RFC 4180, but some readers drop them.
fn put(row: &mut Vec<u8>, text: &str) {
    let plain = !text.is_empty() && text.trim() == text && !text.contains(['"', ',', '\n', '\r']);
    if plain {
        row.extend_from_slice(text.as_bytes());
        return;
    }
    row.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            row.push(b'"');
        }
        row.push(byte);
    }
    row.push(b'"');
}
