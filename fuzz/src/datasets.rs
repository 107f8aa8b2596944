//! Bodies of datasets, in whatever shape they come.

use pipeline::canonical::canonical;
use pipeline::dataset::{Ending, NotADataset, Reader, Row};
use pipeline::policy::limits::TEXT_BYTES_MAX;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::bytes::{Case, chunks, without_bom};

const TYPES: [&str; 4] = ["application/json", "text/csv; charset=utf-8", "application/x-ndjson", ""];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Record { text: String, echo: Option<String>, warning: bool },
    Error { echo: Option<String>, code: Option<String>, message: String },
}

/// The content type, how the body is cut into chunks, and the body.
pub fn dataset(bytes: &[u8]) {
    let mut case = Case(bytes);
    let (content_type, seed) = (TYPES[usize::from(case.byte()) % TYPES.len()], case.byte());
    let whole = read(content_type, case.0, 0);
    for seed in [seed, 1] {
        let (rows, ending) = read(content_type, case.0, seed);
        assert_eq!((&rows, ending.is_err()), (&whole.0, whole.1.is_err()), "chunks");
        assert!(ending.is_err() || ending == whole.1, "chunks");
    }
    whole.0.iter().for_each(check_row);
    if content_type.contains("csv") {
        check_table(&whole, case.0);
    } else {
        check_json(&whole, case.0);
        check_cut_off(content_type, case.0, seed);
    }
}

fn read(content_type: &str, body: &[u8], seed: u8) -> (Vec<Owned>, Result<Ending, NotADataset>) {
    let mut reader = Reader::new(content_type);
    let mut rows = Vec::new();
    let mut each = |row: Row<'_>| {
        let owned = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
        rows.push(match row {
            Row::Record { text, echo, warning } => {
                Owned::Record { text: text.into_owned(), echo: owned(echo), warning }
            }
            Row::Error { echo, code, message } => Owned::Error { echo: owned(echo), code, message },
        });
    };
    for chunk in chunks(body, seed) {
        if let Err(problem) = reader.push(chunk, &mut each) {
            // How far it was read before, and which of several problems is told, depends on the chunk.
            return (Vec::new(), Err(problem));
        }
    }
    let ending = reader.finish(&mut each);
    if ending.is_err() {
        rows.clear();
    }
    (rows, ending)
}

fn check_row(row: &Owned) {
    let echo = match row {
        Owned::Record { text, echo, .. } => {
            assert!(!text.contains(['\n', '\r']), "one line");
            serde_json::from_str::<&RawValue>(text).expect("a record is JSON");
            echo
        }
        Owned::Error { echo, code, message } => {
            assert!(code.as_ref().is_none_or(|code| code.len() <= TEXT_BYTES_MAX) && message.len() <= TEXT_BYTES_MAX);
            echo
        }
    };
    if let Some(echo) = echo {
        serde_json::from_str::<&RawValue>(echo).expect("an echo is JSON");
    }
}

/// What `serde_json` takes for an array or a sequence of values has exactly these rows.
fn check_json((rows, ending): &(Vec<Owned>, Result<Ending, NotADataset>), body: &[u8]) {
    let elements = elements(body);
    match (ending, elements) {
        (Ok(Ending::Complete), Some(elements)) => {
            assert_eq!(rows.len(), elements.len());
            rows.iter().zip(elements).for_each(|(row, element)| check_told_apart(row, element.get()));
        }
        (Ok(Ending::Pending | Ending::Ended(_)), elements) => {
            let elements = elements.expect("a status object is JSON");
            assert!(rows.is_empty() && elements.len() == 1 && elements[0].get().starts_with('{'), "{elements:?}");
        }
        (Err(problem), Some(_)) => panic!("{problem}, but serde_json reads it"),
        (Err(problem), None) => assert!(problem.0.len() <= 1_000, "a short report"),
        (Ok(Ending::Complete), None) => {
            // Values that are no objects may stand against each other here, as in `1"a"`.
            assert!(rows.iter().any(|row| matches!(row, Owned::Record { text, .. } if !text.starts_with('{'))));
        }
    }
}

fn elements(body: &[u8]) -> Option<Vec<&RawValue>> {
    let text = std::str::from_utf8(without_bom(body)).ok()?;
    if let Ok(array) = serde_json::from_str(text) {
        return Some(array);
    }
    let sequence = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().collect::<Result<Vec<_>, _>>();
    sequence.ok().filter(|values| !values.is_empty() && !text.trim_start().starts_with('['))
}

/// Records and error rows, by a second opinion.
fn check_told_apart(row: &Owned, element: &str) {
    if let Owned::Record { text, .. } = row {
        assert_eq!(canonical(text), canonical(element), "a record stays as it is");
    }
    let once = |name: &str| element.matches(&format!("\"{name}\"")).count() <= 1;
    let plain = ["input", "error", "error_code", "warning", "warning_code"].into_iter().all(once);
    let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(element) else { return };
    if !plain || element.contains('\\') {
        return;
    }
    let filled = |name: &str| match value.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(_) => true,
    };
    let is_error = filled("error") || filled("error_code");
    let echo = match row {
        Owned::Record { echo, warning, .. } => {
            assert!(!is_error, "an error row: {element}");
            assert_eq!(*warning, filled("warning") || filled("warning_code"), "{element}");
            echo
        }
        Owned::Error { echo, .. } => {
            assert!(is_error, "a record: {element}");
            echo
        }
    };
    let echo = echo.as_ref().map(|echo| serde_json::from_str::<Value>(echo).expect("part of a value that was read"));
    assert_eq!(echo.as_ref(), value.get("input").filter(|input| !input.is_null()), "{element}");
}

/// An array, or a bare object, that is cut off anywhere is never complete.
fn check_cut_off(content_type: &str, body: &[u8], seed: u8) {
    let body = without_bom(body).trim_ascii();
    let one = serde_json::from_slice::<&RawValue>(body).is_ok_and(|value| value.get().starts_with(['[', '{']));
    if one {
        let length = usize::from(seed).wrapping_mul(0x9E37) % body.len();
        assert!(read(content_type, &body[..length], 0).1.is_err(), "cut behind {length} bytes");
    }
}

/// A table is complete only when each of its rows was read.
fn check_table((rows, ending): &(Vec<Owned>, Result<Ending, NotADataset>), body: &[u8]) {
    match ending {
        Ok(Ending::Complete) => {
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
            assert!(rows.len() < lines, "a header and {} rows in {lines} lines", rows.len());
            let quoted = body.contains(&b'"');
            assert!(quoted || rows.len() + 1 == lines, "a header and {} rows in {lines} lines", rows.len());
        }
        Ok(other) => panic!("a table is no status object: {other:?}"),
        Err(problem) => assert!(problem.0.len() <= 2_500, "a short report"),
    }
}
