//! Tables, held against the `csv` crate both ways.

use pipeline::inputs::{FileProblem, ReadLimits};
use serde_json::{Map, Value};

use crate::bytes::{Case, chunks, text};
use crate::outcome::{Outcome, read};

/// A table's cells: `|` separates cells and U+001E rows; then it is written by the `csv` crate and read by us. The first byte says how
/// the bytes arrive, the second how lines end and cells are separated.
pub fn csv_table(bytes: &[u8]) {
    let mut case = Case(bytes);
    let (seed, kind) = (case.byte(), case.byte());
    let (delimiter, key) = if kind & 1 == 0 { (b',', "a.csv") } else { (b'\t', "a.tsv") };
    let terminator = if kind & 2 == 0 { csv::Terminator::Any(b'\n') } else { csv::Terminator::CRLF };
    let columns = 2 + usize::from(kind >> 2) % 3;
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let table: Vec<Vec<String>> = case.0.split(|byte| *byte == 0x1E).map(|row| cells(row, columns)).collect();
    let mut writer = csv::WriterBuilder::new().terminator(terminator).delimiter(delimiter).from_writer(Vec::new());
    for row in std::iter::once(&names).chain(&table) {
        writer.write_record(row).expect("rows are of one length");
    }
    let file = writer.into_inner().expect("writing to memory");
    let outcome = read(key, ReadLimits::default(), chunks(&file, seed));
    assert_eq!(outcome.problem, None);
    assert_eq!(outcome.rows.len(), table.len());
    for (row, cells) in outcome.rows.iter().zip(&table) {
        let fields: Map<String, Value> = names.iter().cloned().zip(cells.iter().cloned().map(Value::String)).collect();
        let expected = match cells {
            cells if cells.iter().any(|cell| cell.contains('\0')) => Err("nul_byte"),
            cells if cells.iter().all(|cell| cell.trim_ascii().is_empty()) => Err("empty_input"),
            _ => Ok(Value::Object(fields)),
        };
        let found = row.input.as_ref().map(|input| serde_json::from_str(input).expect("an input is JSON"));
        assert_eq!(found.map_err(|problem| problem.code()), expected, "{cells:?}");
    }
}

fn cells(row: &[u8], columns: usize) -> Vec<String> {
    let mut cells: Vec<String> = row.split(|byte| *byte == b'|').map(text).collect();
    cells.resize(columns, String::new());
    cells
}

/// Where no row is rejected for its quotes or its bytes, the `csv` crate reads the same cells from the same file.
pub(crate) fn check_table(outcome: &Outcome, content: &[u8], delimiter: u8) {
    let ours = |code: &str| matches!(code, "ragged_row" | "empty_input");
    let foreign = |outcome: &Outcome| outcome.rows.iter().any(|row| row.input.as_ref().is_err_and(|p| !ours(p.code())));
    let lone_cr = (0..content.len()).any(|at| content[at] == b'\r' && content.get(at + 1) != Some(&b'\n'));
    if foreign(outcome) || lone_cr || outcome.problem == Some(FileProblem::Empty) {
        return;
    }
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(content);
    let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("all rows are text");
    let mut records = records.into_iter().filter(|record| record.iter().any(|cell| !cell.trim_ascii().is_empty()));
    let header = records.next().expect("a file that is read has a header");
    let rows = outcome.rows.iter().filter(|row| row.input.as_ref().err().is_none_or(|p| p.code() != "empty_input"));
    let rows: Vec<_> = rows.collect();
    let records: Vec<_> = records.collect();
    assert_eq!(rows.len(), records.len(), "{rows:?} {records:?}");
    for (row, record) in rows.into_iter().zip(records) {
        match &row.input {
            Ok(input) => {
                let cell = |(name, cell): (&str, &str)| (name.trim().to_owned(), Value::String(cell.to_owned()));
                let expected: Map<String, Value> = header.iter().zip(record.iter()).map(cell).collect();
                assert_eq!(serde_json::from_str::<Map<String, Value>>(input).ok(), Some(expected), "{row:?}");
            }
            Err(_) => assert_ne!(record.len(), header.len(), "{row:?}"),
        }
    }
}
