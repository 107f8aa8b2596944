//! What holds for every file: how it is cut into chunks changes nothing, nothing panics, and what is written is read again.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use inputs_support::{Outcome, gzip, read, read_chunks, zstd};
use pipeline::canonical::{canonical, fingerprint};
use pipeline::inputs::{FileContainer, FileFormat, ReadLimits, Row, RowProblem, RowReader, SourceWriter};
use proptest::prelude::*;

mod inputs_support;

const KEYS: [&str; 9] =
    ["a.txt", "a.csv", "a.tsv", "a.json", "a.ndjson", "a.txt.gz", "a.csv.zst", "a.json.gz", "a.ndjson.zst"];

/// Small limits, so that small files reach them.
const SMALL: ReadLimits = ReadLimits { row_bytes_max: 40, expansion_max: 200, expansion_free_bytes: 1 << 20 };

/// Pieces of which every format makes something, good or bad.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "\"", "\"\"", ",", "\t", "\n", "\r\n", "\r", "[", "]", "{", "}", ":", "\\", "a", "url", "é", "#", " ", "1", "null",
            "\"a\"", "{\"a\":1}", "{\"a\":1},", "https://a.example", ",\n", "\"\n", "x\"", "{}", "-0.0", "xxxxxxxxxxxxxxxxxxxxxxxx",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A file with a good beginning, so that the pieces are looked at.
fn file(container: FileContainer, tail: &[u8]) -> Vec<u8> {
    let start: &[u8] = match container {
        FileContainer::Csv => b"a,b\n",
        FileContainer::Tsv => b"a\tb\n",
        FileContainer::Json => b"[",
        _ => b"",
    };
    [start, tail].concat()
}

fn packed(key: &str, bytes: &[u8]) -> Vec<u8> {
    match key.rsplit('.').next() {
        Some("gz") => gzip(bytes),
        Some("zst") => zstd(bytes),
        _ => bytes.to_vec(),
    }
}

/// Cuts bytes into chunks of these lengths, over and over.
fn chunks<'a>(bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut chunks = Vec::new();
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, behind) = rest.split_at((*length).min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

/// Reads a file without taking a row before its end.
fn read_undrained(key: &str, limits: ReadLimits, bytes: &[u8]) -> Outcome {
    let mut reader = RowReader::new(&FileFormat::from_key(key).unwrap(), limits);
    for chunk in bytes.chunks(7) {
        // The problem is given again by `finish`.
        let _ = reader.push(chunk);
    }
    let problem = reader.finish().err();
    let rows = std::iter::from_fn(|| reader.next_row()).collect();
    Outcome { rows, header: reader.header().map(str::to_owned), problem }
}

fn check_promises(outcome: &Outcome) {
    for row in &outcome.rows {
        match &row.input {
            Ok(input) => {
                assert!(!input.contains(['\n', '\r']), "one line: {input:?}");
                let value: serde_json::Value =
                    serde_json::from_str(input).unwrap_or_else(|_| serde_json::json!({"far": 1e9}));
                assert!(value.as_object().is_some_and(|object| !object.is_empty()), "an object: {input}");
                assert!(!row.source.trim().is_empty());
                assert_eq!(row.fingerprint, fingerprint(&canonical(input).unwrap()), "{input}");
            }
            Err(problem) => assert!(!problem.to_string().is_empty() && row.source.len() <= 4096),
        }
    }
    assert!(outcome.rows.is_sorted_by_key(|row| row.line));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chunks_change_nothing(
        tail in pieces(),
        key in prop::sample::select(&KEYS),
        lengths in prop::collection::vec(1_usize..9, 1..5),
        small in any::<bool>(),
        keep in 0.5_f64..1.5,
    ) {
        let bytes = packed(key, &file(FileFormat::from_key(key).unwrap().container, &tail));
        let bytes = &bytes[..((bytes.len() as f64 * keep) as usize).min(bytes.len())];
        let limits = if small { SMALL } else { ReadLimits::default() };
        let whole = read_chunks(key, limits, [bytes]);
        check_promises(&whole);
        prop_assert_eq!(&read_chunks(key, limits, chunks(bytes, &lengths)), &whole);
        prop_assert_eq!(&read_undrained(key, limits, bytes), &whole);
    }

    #[test]
    fn nothing_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), key in prop::sample::select(&KEYS)) {
        check_promises(&read(key, &bytes));
    }

    #[test]
    fn rows_that_are_written_are_read_again(tail in pieces(), key in prop::sample::select(&KEYS), often in any::<bool>()) {
        let format = FileFormat::from_key(key).unwrap();
        let first = read(key, &packed(key, &file(format.container, &tail)));
        let good: Vec<&Row> = first.rows.iter().filter(|row| row.input.is_ok()).collect();
        let write = |often: bool| {
            let mut writer = SourceWriter::new(&format, first.header.as_deref());
            let mut bytes = Vec::new();
            for row in &good {
                writer.row(&row.source);
                if often {
                    bytes.extend(writer.take());
                }
            }
            bytes.extend(writer.finish());
            bytes
        };
        let written = write(often);
        prop_assert_eq!(&written, &write(!often), "taking bytes changes them");
        let again = read(key, &written);
        let texts = |row: &Row| (row.source.clone(), row.input.clone());
        prop_assert_eq!(again.rows.iter().map(texts).collect::<Vec<_>>(), good.into_iter().map(texts).collect::<Vec<_>>());
    }

    /// Tables that a proper writer wrote come out cell by cell, whatever is in the cells.
    #[test]
    fn tables_agree_with_the_csv_crate(
        table in prop::collection::vec(prop::collection::vec("[a-c\",\\n\\r\t é]{0,6}", 2), 1..8),
        crlf in any::<bool>(),
        tabs in any::<bool>(),
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let delimiter = if tabs { b'\t' } else { b',' };
        let mut writer = csv::WriterBuilder::new().terminator(terminator).delimiter(delimiter).from_writer(Vec::new());
        writer.write_record(["a", "b"]).unwrap();
        for row in &table {
            writer.write_record(row).unwrap();
        }
        let outcome = read(if tabs { "a.tsv" } else { "a.csv" }, &writer.into_inner().unwrap());
        prop_assert_eq!(outcome.problem, None);
        let inputs: Vec<Result<String, RowProblem>> = outcome.rows.into_iter().map(|row| row.input).collect();
        let expected: Vec<Result<String, RowProblem>> = table
            .iter()
            .map(|row| match row.iter().all(|cell| cell.trim_ascii().is_empty()) {
                true => Err(RowProblem::EmptyInput),
                false => Ok(serde_json::json!({"a": row[0], "b": row[1]}).to_string()),
            })
            .collect();
        prop_assert_eq!(inputs, expected);
    }
}

#[test]
fn an_empty_array_is_written_as_one() {
    let format = FileFormat::from_key("a.json").unwrap();
    let bytes = SourceWriter::new(&format, None).finish();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&bytes).unwrap(), serde_json::json!([]));
}

#[test]
fn written_files_look_like_this() {
    let written = |key: &str, header: Option<&str>, rows: [&str; 2]| {
        let mut writer = SourceWriter::new(&FileFormat::from_key(key).unwrap(), header);
        rows.into_iter().for_each(|row| writer.row(row));
        String::from_utf8(writer.finish()).unwrap()
    };
    assert_eq!(written("a.csv", Some("url,n"), ["a,1", "\"b\nc\",2"]), "url,n\na,1\n\"b\nc\",2\n");
    assert_eq!(written("a.json", None, ["{\"a\":1}", "\"b\""]), "[\n{\"a\":1},\n\"b\"\n]\n");
    assert_eq!(written("a.txt", None, ["a", "b"]), "a\nb\n");
}

/// One compressed chunk of 100 kB that stands for 100 MB of rows: they come one after another, and not all at once.
#[test]
fn a_chunk_is_expanded_as_its_rows_are_taken() {
    let rows = 1_000_000;
    let file = gzip("https://a.example\n".repeat(rows).as_bytes());
    assert!(file.len() < 100_000);
    let mut reader = RowReader::new(&FileFormat::from_key("a.txt.gz").unwrap(), ReadLimits::default());
    reader.push(&file).unwrap();
    for line in 1..=1000 {
        assert_eq!(reader.next_row().map(|row| row.line), Some(line));
    }
}

/// Handlers are spawned, and hold these across awaits.
#[test]
fn readers_and_writers_can_be_sent() {
    fn sent<T: Send>() {}
    sent::<RowReader>();
    sent::<SourceWriter>();
    sent::<pipeline::json_cut::Cutter>();
}
