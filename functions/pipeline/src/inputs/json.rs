//! One row of JSON: an object, or a URL.

use super::RowProblem;
use crate::canonical::{self, NotJson};

/// The input that a JSON text stands for, on one line. The text itself is kept, so that no number is altered.
pub(super) fn input_of(bytes: &[u8]) -> Result<(&str, String), RowProblem> {
    let text = RowProblem::check_text(bytes)?;
    let canonical = canonical::canonical(text).map_err(|problem| match problem {
        NotJson::Syntax(reason) => RowProblem::BadJson { reason },
        NotJson::TooDeep => RowProblem::TooDeep { reason: problem.to_string() },
    })?;
    let found = match canonical.bytes().next() {
        Some(b'{') if canonical == "{}" => return Err(RowProblem::EmptyInput),
        Some(b'{') => return Ok((text, on_one_line(text.trim()))),
        Some(b'"') => return url_input(&canonical).map(|input| (text, input)),
        Some(b'[') => "an array",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    };
    Err(RowProblem::NotAnObject { found })
}

/// The input for a URL in quotes.
fn url_input(quoted: &str) -> Result<String, RowProblem> {
    let url: String =
        serde_json::from_str(quoted).map_err(|error| RowProblem::BadJson { reason: error.to_string() })?;
    url_object(url.trim())
}

/// `{"url": …}`
pub(super) fn url_object(url: &str) -> Result<String, RowProblem> {
    if url.is_empty() {
        return Err(RowProblem::EmptyInput);
    }
    let quoted = quote(url)?;
    Ok(format!("{{\"url\":{quoted}}}"))
}

/// A JSON string.
pub(super) fn quote(text: &str) -> Result<String, RowProblem> {
    serde_json::to_string(text).map_err(|error| RowProblem::BadJson { reason: error.to_string() })
}

/// Removes the white space between tokens if it contains line ends. Inside strings valid JSON has none.
fn on_one_line(json: &str) -> String {
    if !json.contains(['\n', '\r']) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for character in json.chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if matches!(character, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            in_string = character == '"';
        }
        out.push(character);
    }
    out
}
