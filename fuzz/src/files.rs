//! Input files: every format, compressed or not, in chunks of any size.

use std::collections::BTreeMap;
use std::io::Read;

use pipeline::batch::Cutter;
use pipeline::canonical::canonical;
use pipeline::inputs::{FileContainer, ReadLimits, Row, SourceWriter};
use pipeline::ledger::RowCounts;
use pipeline::policy::Policy;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::bytes::{Case, chunks, without_bom};
use crate::outcome::{Outcome, format, gzip, read, read_undrained, zstd};

const CONTAINERS: [&str; 5] = ["txt", "csv", "tsv", "json", "ndjson"];
/// Small limits, so that small files reach them.
const SMALL: ReadLimits = ReadLimits { row_bytes_max: 40, expansion_max: 3, expansion_free_bytes: 300 };
/// What is decompressed before a limit is looked at.
const STEP_BYTES: usize = 64 * 1024;
/// What is kept of a rejected row.
const HEAD_BYTES: usize = 4_096;
/// How deep an input may be nested.
const DEPTH_MAX: usize = 120;

/// `A`…`Y`: the format (five containers; plain, packed here by gzip or zstd, or taken for gzip or zstd as it is), how it is cut into
/// chunks, `s` for small limits; then the file.
pub fn input_file(bytes: &[u8]) {
    let mut case = Case(bytes);
    let (which, seed, limits) = (case.byte().wrapping_sub(b'A'), case.byte(), case.byte());
    let container = CONTAINERS[usize::from(which) % CONTAINERS.len()];
    let limits = if limits == b's' { SMALL } else { ReadLimits::default() };
    let plain = format!("a.{container}");
    match which / 5 % 5 {
        0 => {
            let outcome = read_every_way(&plain, limits, case.0, seed);
            check_rows(&plain, &outcome, case.0, limits);
            check_batches(&outcome.rows);
            check_written(&plain, &outcome);
        }
        1 => packed(&format!("{plain}.gz"), &plain, limits, case.0, &gzip(case.0), seed),
        2 => packed(&format!("{plain}.zst"), &plain, limits, case.0, &zstd(case.0), seed),
        3 => {
            let mut expanded = Vec::new();
            let read = flate2::read::MultiGzDecoder::new(case.0).read_to_end(&mut expanded);
            unpacked(&format!("{plain}.gz"), &plain, limits, case.0, read.is_ok().then_some(&expanded), seed);
        }
        _ => {
            let expanded = zstd::decode_all(case.0).ok();
            unpacked(&format!("{plain}.zst"), &plain, limits, case.0, expanded.as_ref(), seed);
        }
    }
}

/// What is read does not depend on how the bytes arrive, or on when rows are taken.
fn read_every_way(key: &str, limits: ReadLimits, file: &[u8], seed: u8) -> Outcome {
    let whole = read(key, limits, [file]);
    let others = [read(key, limits, chunks(file, seed)), read(key, limits, chunks(file, 1))];
    for other in others.into_iter().chain([read_undrained(key, limits, chunks(file, seed))]) {
        let both = [&whole, &other].map(|outcome| ends_anywhere(key, outcome));
        assert!(other == whole || both.contains(&true), "{other:?}, {whole:?}");
    }
    whole
}

/// Where reading ends depends on the chunks: a bomb is noticed between two steps, and zstd decodes a small frame that it has whole in
/// one step, of which it gives nothing when it is damaged.
fn ends_anywhere(key: &str, outcome: &Outcome) -> bool {
    match outcome.problem.as_ref().map(|problem| problem.code()) {
        Some("decompression_bomb") => true,
        Some("damaged") => key.ends_with(".zst"),
        _ => false,
    }
}

/// A proper compressed file is read as what it holds; one that is cut off never is whole.
fn packed(key: &str, plain: &str, limits: ReadLimits, content: &[u8], file: &[u8], seed: u8) {
    unpacked(key, plain, limits, file, Some(&content.to_vec()), seed);
    let cut = file.get(..file.len().saturating_sub(1 + usize::from(seed) % file.len().max(1))).unwrap_or_default();
    assert!(read(key, limits, [cut]).problem.is_some(), "a file that is cut off");
}

fn unpacked(key: &str, plain: &str, limits: ReadLimits, file: &[u8], content: Option<&Vec<u8>>, seed: u8) {
    let outcome = read_every_way(key, limits, file, seed);
    let kept: usize = outcome.rows.iter().map(|row| row.source.len().min(HEAD_BYTES)).sum();
    // A replaced byte has three.
    let most = file.len() * limits.expansion_max as usize + limits.expansion_free_bytes as usize + STEP_BYTES;
    assert!(kept <= 3 * most, "{kept} bytes of rows, {most} may be expanded");
    let Some(content) = content else { return };
    let code = outcome.problem.as_ref().map(|problem| problem.code());
    let small = (content.len() as u64) < limits.expansion_free_bytes;
    match code {
        Some("decompression_bomb") => assert!(!small, "a file of {} bytes is no bomb", content.len()),
        // A decoder that reads the file in one piece takes windows of any size.
        Some("damaged") if key.ends_with(".zst") => {}
        // There is no member or frame, and so no content.
        Some("empty_file") if file.is_empty() => {}
        _ => assert_eq!(outcome, read(plain, limits, [content.as_slice()]), "as the content by itself"),
    }
}

fn check_rows(key: &str, outcome: &Outcome, file: &[u8], limits: ReadLimits) {
    let lines = 1 + file.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert!(outcome.rows.is_sorted_by_key(|row| row.line), "rows are in the order of the file");
    for row in &outcome.rows {
        assert!((1..=lines).contains(&row.line), "line {} of {lines}", row.line);
        match &row.input {
            Ok(input) => {
                assert!(row.source.len() <= limits.row_bytes_max, "a row keeps to its limit");
                let fields: BTreeMap<String, &RawValue> = serde_json::from_str(input).expect("an input is an object");
                assert!(!fields.is_empty() && !input.contains(['\n', '\r']), "with fields, on one line");
            }
            Err(problem) => {
                assert!(row.source.len() <= HEAD_BYTES && problem.to_string().len() <= 300, "a short report");
            }
        }
    }
    if let Some(problem) = &outcome.problem {
        assert!(problem.to_string().len() <= 2_000, "a short report");
    }
    if limits == ReadLimits::default() {
        check_against_models(key, outcome, without_bom(file));
    }
}

/// What a row must come to.
#[derive(Debug)]
enum Expected {
    Input(Value),
    Rejected,
    /// Valid syntax whose value `serde_json` cannot hold.
    Unknown,
}

fn check_against_models(key: &str, outcome: &Outcome, content: &[u8]) {
    let found_none = outcome.problem.as_ref().is_some_and(|problem| matches!(problem.code(), "no_rows" | "empty_file"));
    if outcome.problem.is_some() && !found_none {
        return;
    }
    let expected: Vec<(Option<u64>, Expected)> = match format(key).container {
        FileContainer::Txt => lines(content, url_line).collect(),
        FileContainer::Ndjson => lines(content, |line| json_row(&String::from_utf8_lossy(line))).collect(),
        FileContainer::Json => {
            let array =
                std::str::from_utf8(content).ok().and_then(|text| serde_json::from_str::<Vec<&RawValue>>(text).ok());
            let Some(array) = array else { return };
            array.into_iter().map(|element| (None, json_row(element.get()))).collect()
        }
        FileContainer::Csv => return crate::tables::check_table(outcome, content, b','),
        FileContainer::Tsv => return crate::tables::check_table(outcome, content, b'\t'),
    };
    assert_eq!(outcome.rows.len(), expected.len(), "every row is read: {expected:?}");
    for (row, (line, expected)) in outcome.rows.iter().zip(expected) {
        assert!(line.is_none_or(|line| line == row.line), "line {line:?}, told as {}", row.line);
        match (&row.input, &expected) {
            (Ok(input), Expected::Input(value)) => {
                assert_eq!(serde_json::from_str::<Value>(input).ok().as_ref(), Some(value), "{row:?}");
                assert!(row.source.contains("://") || input.len() <= row.source.len() * 7 + 10, "{row:?}");
            }
            (Err(_), Expected::Rejected) | (_, Expected::Unknown) => {}
            _ => panic!("{row:?} should be {expected:?}"),
        }
    }
}

/// The lines of a file that are not blank, with their numbers. A line that is no text is rejected.
fn lines<'a>(
    content: &'a [u8],
    row: impl Fn(&[u8]) -> Expected + 'a,
) -> impl Iterator<Item = (Option<u64>, Expected)> + 'a {
    let lines = (1..).zip(content.split(|byte| *byte == b'\n'));
    let is_row = |line: &&[u8]| !line.trim_ascii().is_empty();
    lines.filter(move |(_, line)| is_row(line)).filter_map(move |(number, line)| {
        let comment = line.trim_ascii().starts_with(b"#") && matches!(row(b"https://a"), Expected::Input(_));
        let is_text = std::str::from_utf8(line).is_ok() && !line.contains(&0);
        let expected = if is_text { row(line) } else { Expected::Rejected };
        (!comment).then_some((Some(number), expected))
    })
}

fn url_line(line: &[u8]) -> Expected {
    let line = String::from_utf8_lossy(line);
    let url = line.trim().trim_start_matches('\u{FEFF}').trim_start();
    match url.chars().next() {
        None | Some('<' | '{' | '[' | '"') => Expected::Rejected,
        Some(_) => Expected::Input(serde_json::json!({ "url": url })),
    }
}

fn json_row(text: &str) -> Expected {
    if serde_json::from_str::<serde::de::IgnoredAny>(text.trim_end_matches('\r')).is_err() {
        return Expected::Rejected;
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) if value != serde_json::json!({}) && depth(&value) <= DEPTH_MAX => {
            Expected::Input(value)
        }
        Ok(Value::String(url)) if !url.trim().is_empty() => Expected::Input(serde_json::json!({ "url": url.trim() })),
        Ok(_) => Expected::Rejected,
        Err(_) => Expected::Unknown,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// `read = rejected + duplicates + inputs`, in each batch and in the file, and batches keep to their bounds.
fn check_batches(rows: &[Row]) {
    let policy = Policy { batch_inputs_max: 3, batch_bytes_max: 200, ..Policy::default() };
    let cut = |batch: u32, until: RowCounts| {
        let mut cutter = Cutter::new(&policy, batch, until);
        let mut batches: Vec<_> = rows.iter().cloned().filter_map(|row| cutter.take(row)).collect();
        batches.extend(cutter.finish());
        batches
    };
    let batches = cut(0, RowCounts::default());
    let mut total = RowCounts::default();
    let mut seen = Vec::new();
    for batch in &batches {
        total.add(&batch.rows);
        assert_eq!(batch.until, total);
        let (inputs, rejected) = (batch.inputs.len() as u64, batch.rejected.len() as u64);
        assert_eq!(batch.rows.rejected, rejected);
        assert_eq!(batch.rows.read, rejected + batch.rows.duplicates + inputs);
        let bytes: usize = batch.inputs.iter().map(|input| input.json.len() + 1).sum();
        assert!(inputs <= 3 && bytes + 2 <= 200, "{inputs} inputs, {bytes} bytes");
        seen.extend(batch.inputs.iter().map(|input| canonical(&input.json).expect("an accepted row is JSON")));
    }
    assert_eq!(total.read, rows.len() as u64);
    let inputs = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), inputs, "an input is sent once");
    if let Some(middle) = batches.get(batches.len() / 2) {
        assert_eq!(cut(middle.batch, middle.until), batches[middle.batch as usize..], "whoever goes on cuts the same");
    }
}

/// The rows that are good, written and read again.
fn check_written(key: &str, outcome: &Outcome) {
    let good: Vec<&Row> = outcome.rows.iter().filter(|row| row.input.is_ok()).collect();
    let mut writer = SourceWriter::new(&format(key), outcome.header.as_deref());
    good.iter().for_each(|row| writer.row(&row.source));
    let again = read(key, ReadLimits::default(), [writer.finish().as_slice()]);
    // A byte order mark before a row that is now the first is that of the file.
    let text = |row: &Row| (row.source.trim_start_matches('\u{FEFF}').to_owned(), row.input.clone());
    assert!(again.rows.iter().map(text).eq(good.into_iter().map(text)), "{again:?}");
}
