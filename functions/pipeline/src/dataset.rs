//! A dataset's bytes, cut into rows and told apart: records, error rows, and the status objects that are no data at all.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::inputs::{FileCompression, FileContainer, FileFormat, ReadLimits, RowReader};
use crate::json_cut::{Container, Cut, Cutter};
use crate::json_scan::{Member, Object};
use crate::policy::limits;

/// One row of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row<'a> {
    /// Data, as JSON text on one line.
    Record {
        /// The text.
        text: Cow<'a, str>,
        /// The echoed input.
        echo: Option<Cow<'a, str>>,
        /// It carries a warning.
        warning: bool,
    },
    /// A failed input.
    Error {
        /// The echoed input.
        echo: Option<Cow<'a, str>>,
        /// `error_code`.
        code: Option<String>,
        /// `error`.
        message: String,
    },
}

/// What the bytes were, when they have ended properly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// A dataset, and it was complete.
    Complete,
    /// Not a dataset but a status object: still on its way.
    Pending,
    /// Not a dataset but a status object: it will never come.
    Ended(String),
}

/// The bytes are no dataset, or not a whole one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotADataset(pub String);

enum Shape {
    Json(Cutter),
    Csv(Box<RowReader>),
}

/// Reads one dataset in whatever shape it comes: a JSON array, one object a line, a bare object, or CSV with a header. Holds one row.
pub struct Reader {
    shape: Shape,
    /// The first value of something that is no array: a record, unless it stays the only one and is a status object.
    only: Option<String>,
    values: u64,
    problem: Option<NotADataset>,
}

impl Reader {
    /// A reader for a body of this content type.
    pub fn new(content_type: &str) -> Self {
        let shape = if content_type.contains("csv") {
            let format = FileFormat {
                container: FileContainer::Csv,
                compression: FileCompression::None,
                extension: "csv".into(),
            };
            let limits = ReadLimits { row_bytes_max: limits::RECORD_BYTES_MAX, ..ReadLimits::default() };
            Shape::Csv(Box::new(RowReader::new(&format, limits)))
        } else {
            Shape::Json(Cutter::new(limits::RECORD_BYTES_MAX))
        };
        Self { shape, only: None, values: 0, problem: None }
    }

    /// Takes the next bytes and gives every row that they complete.
    pub fn push(&mut self, chunk: &[u8], each: &mut dyn FnMut(Row<'_>)) -> Result<(), NotADataset> {
        let Self { shape, only, values, problem } = self;
        match shape {
            Shape::Json(cutter) => {
                let pushed = cutter.push(chunk, &mut |cut| row(&cut, only, values, problem, each));
                pushed.map_err(|error| NotADataset(error.to_string()))?;
            }
            Shape::Csv(reader) => {
                reader.push(chunk).map_err(|error| NotADataset(error.to_string()))?;
                drain(reader, problem, each);
            }
        }
        self.problem.clone().map_or(Ok(()), Err)
    }

    /// Takes the end of the bytes.
    pub fn finish(&mut self, each: &mut dyn FnMut(Row<'_>)) -> Result<Ending, NotADataset> {
        let Self { shape, only, values, problem } = self;
        let container = match shape {
            Shape::Json(cutter) => {
                let finished = cutter.finish(&mut |cut| row(&cut, only, values, problem, each));
                finished.map_err(|error| NotADataset(error.to_string()))?
            }
            Shape::Csv(reader) => {
                // A CSV body with a header and no rows is an empty dataset; as an input file it would be a mistake.
                let finished = reader.finish();
                drain(reader, problem, each);
                match finished {
                    Err(error) if error.code() != "no_rows" => return Err(NotADataset(error.to_string())),
                    _ => Container::Array,
                }
            }
        };
        if let Some(problem) = self.problem.clone() {
            return Err(problem);
        }
        let Some(text) = self.only.take() else { return Ok(Ending::Complete) };
        if container == Container::Values && self.values == 1 {
            match status(&text) {
                Some(word) if matches!(word.as_str(), "failed" | "error" | "canceled" | "cancelled") => {
                    return Ok(Ending::Ended(word));
                }
                Some(_) => return Ok(Ending::Pending),
                None => {}
            }
        }
        tell_apart(&text, None, each);
        Ok(Ending::Complete)
    }
}

/// One value that was cut out of JSON.
fn row(
    cut: &Cut<'_>,
    only: &mut Option<String>,
    values: &mut u64,
    problem: &mut Option<NotADataset>,
    each: &mut dyn FnMut(Row<'_>),
) {
    let text = match cut.text.as_ref().map(|bytes| simdutf8::basic::from_utf8(bytes)) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => return note(problem, format!("the record in line {} is not UTF-8", cut.line)),
        Err(_) => {
            let max = limits::RECORD_BYTES_MAX;
            return note(problem, format!("the record in line {} has more than {max} bytes", cut.line));
        }
    };
    if cut.object.is_none()
        && let Err(error) = serde_json::from_str::<&RawValue>(text)
    {
        return note(problem, format!("the record in line {} is not JSON: {error}", cut.line));
    }
    *values += 1;
    // A status object has a handful of fields; anything long is a record and is not copied.
    if *values == 1 && text.len() < 1_000 && status(text).is_some() {
        *only = Some(text.to_owned());
        return;
    }
    if let Some(first) = only.take() {
        tell_apart(&first, None, each);
    }
    tell_apart(text, cut.object.as_ref(), each);
}

fn drain(reader: &mut RowReader, problem: &mut Option<NotADataset>, each: &mut dyn FnMut(Row<'_>)) {
    while let Some(row) = reader.next_row() {
        match row.input {
            Ok(text) => tell_apart(&unfold(&text), None, each),
            Err(error) => note(problem, format!("line {} of the CSV dataset: {error}", row.line)),
        }
    }
}

/// A CSV cell can only hold text: the echoed input comes as JSON text in it.
fn unfold(text: &str) -> String {
    let Ok(mut row) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else { return text.to_owned() };
    let cell: Option<String> = row.get("input").and_then(|cell| serde_json::from_str(cell.get()).ok());
    // Raw: a number is handed on as it was written, and still equals the input's.
    let input = cell.as_deref().and_then(|cell| serde_json::from_str::<&RawValue>(cell).ok());
    if let Some(input) = input.filter(|input| input.get().starts_with('{')) {
        row.insert("input".to_owned(), input);
    }
    serde_json::to_string(&row).unwrap_or_else(|_| text.to_owned())
}

fn note(problem: &mut Option<NotADataset>, text: String) {
    problem.get_or_insert(NotADataset(text));
}

/// The word of a status object: it has no other fields than `status`, `message` and `error`, and the word is a known one. A record
/// with a field `status` has other fields besides, or another word.
pub fn status(text: &str) -> Option<String> {
    let object = serde_json::from_str::<BTreeMap<&str, serde_json::Value>>(text).ok()?;
    if object.keys().any(|key| !matches!(*key, "status" | "message" | "error")) {
        return None;
    }
    let word = object.get("status")?.as_str()?.to_ascii_lowercase();
    let known = [
        "collecting",
        "building",
        "running",
        "queued",
        "pending",
        "starting",
        "paused",
        "failed",
        "error",
        "canceled",
        "cancelled",
    ];
    known.contains(&word.as_str()).then_some(word)
}

/// The members of a row that say what it is.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    warning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    warning_code: Option<&'a RawValue>,
}

/// Their JSON texts, in the order of [`Member::ALL`]; `null` counts as nothing. `None` for what is not an object, or names one of them twice.
fn members<'a>(text: &'a str, object: Option<&Object>) -> Option<[Option<&'a str>; 5]> {
    if let Some(object) = object {
        let member = |member| text.get(object.member(member)?).filter(|text| *text != "null");
        return Some(Member::ALL.map(member));
    }
    let Fields { input, error, error_code, warning, warning_code } = serde_json::from_str(text).ok()?;
    Some([input, error, error_code, warning, warning_code].map(|member| member.map(RawValue::get)))
}

/// A row is an error row when `error` or `error_code` is filled (API page on error codes: on a fully good record neither is).
fn tell_apart(text: &str, object: Option<&Object>, each: &mut dyn FnMut(Row<'_>)) {
    let Some([input, error, error_code, warning, warning_code]) = members(text, object) else {
        // Data all the same, but nobody can say whose.
        return each(Row::Record { text: one_line(text), echo: None, warning: false });
    };
    let echo = input.map(Cow::Borrowed);
    if filled(error) || filled(error_code) {
        let message = error.map(words).unwrap_or_default();
        let code = error_code.filter(|code| filled(Some(code))).map(words);
        return each(Row::Error { echo, code, message });
    }
    let text = if object.is_some_and(|object| !object.has_lines) { Cow::Borrowed(text) } else { one_line(text) };
    each(Row::Record { text, echo, warning: filled(warning) || filled(warning_code) });
}

fn filled(value: Option<&str>) -> bool {
    value.is_some_and(|value| !matches!(value, "null" | "\"\"" | "false" | "[]" | "{}"))
}

/// A string's content, or the JSON text of anything else.
fn words(value: &str) -> String {
    let text = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
    shorten(&text)
}

/// At most 200 bytes of a text from outside.
pub fn shorten(text: &str) -> String {
    let end = (0..=text.len().min(limits::TEXT_BYTES_MAX)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// JSON strings hold no raw line ends, so any in the text stand between tokens, where a space means the same.
fn one_line(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &str) -> Result<(Vec<String>, Ending), NotADataset> {
        let mut reader = Reader::new(content_type);
        let mut rows = Vec::new();
        let mut each = |row: Row<'_>| {
            rows.push(match row {
                Row::Record { text, echo, warning } => {
                    format!("record {text} of {}{}", echo.unwrap_or("?".into()), if warning { " !" } else { "" })
                }
                Row::Error { echo, code, message } => {
                    format!("error {} {message} of {}", code.as_deref().unwrap_or("-"), echo.unwrap_or("?".into()))
                }
            });
        };
        for chunk in body.as_bytes().chunks(7) {
            reader.push(chunk, &mut each)?;
        }
        let ending = reader.finish(&mut each)?;
        Ok((rows, ending))
    }

    #[test]
    fn every_shape_is_read() {
        let one = r#"{"input":{"u":1},"t":"x"}"#;
        let expected = vec![r#"record {"input":{"u":1},"t":"x"} of {"u":1}"#.to_owned()];
        for body in [format!("[{one}]"), format!("{one}\n"), one.to_owned(), format!("[\n {one}\n]\n")] {
            assert_eq!(read("application/json", &body), Ok((expected.clone(), Ending::Complete)), "{body}");
        }
        assert_eq!(read("application/json", "[]"), Ok((vec![], Ending::Complete)));
        let (rows, _) = read("text/csv", "input,t\n\"{\"\"u\"\":1}\",x\n").unwrap();
        assert_eq!(rows, [r#"record {"input":{"u":1},"t":"x"} of {"u":1}"#]);
        assert_eq!(read("text/csv", "input,t\n"), Ok((vec![], Ending::Complete)));
    }

    #[test]
    fn rows_are_told_apart() {
        let body = r#"[{"input":{"u":1},"error":null,"error_code":""},{"input":{"u":2},"error":"Error: price missing"},
            {"input":{"u":3},"error":"x","error_code":"dead_page","status_code":404},{"input":{"u":4},"warning":"w","a":
            1},7]"#;
        let (rows, _) = read("application/json", body).unwrap();
        assert_eq!(
            rows,
            [
                r#"record {"input":{"u":1},"error":null,"error_code":""} of {"u":1}"#,
                r#"error - Error: price missing of {"u":2}"#,
                r#"error dead_page x of {"u":3}"#,
                r#"record {"input":{"u":4},"warning":"w","a":             1} of {"u":4} !"#,
                "record 7 of ?",
            ]
        );
    }

    #[test]
    fn status_objects_are_no_data_and_records_with_a_status_are() {
        let pending = r#"{"status":"building","message":"Dataset is not ready yet, try again in 30s"}"#;
        assert_eq!(read("application/json", pending).unwrap(), (vec![], Ending::Pending));
        assert_eq!(read("application/json", r#"{"status":"failed"}"#).unwrap().1, Ending::Ended("failed".into()));
        assert_eq!(read("application/json", r#"{"status":"building","floors":3}"#).unwrap().0.len(), 1);
        assert_eq!(read("application/json", r#"{"status":"sold"}"#).unwrap().0.len(), 1);
        assert_eq!(read("application/json", &format!("[{pending}]")).unwrap().0.len(), 1);
        assert_eq!(read("application/jsonl", "{\"status\":\"failed\"}\n{\"status\":\"failed\"}\n").unwrap().0.len(), 2);
    }

    #[test]
    fn what_is_no_whole_dataset_is_noticed() {
        for body in ["", "<html>", "[{\"a\":1}", "[{\"a\":1},", "{\"a\":1", "[{\"a\":}]", "[1]x", "Not Found"] {
            assert!(read("application/json", body).is_err(), "{body}");
        }
    }
}
