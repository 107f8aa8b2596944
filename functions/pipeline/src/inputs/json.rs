//! One row of JSON: an object, or a URL.

use super::RowProblem;
use crate::canonical::{self, NotJson, fingerprint};

/// What a good row stands for.
pub(super) struct Input {
    /// The JSON text of one object, on one line.
    pub(super) json: String,
    /// Fingerprint of its canonical text.
    pub(super) fingerprint: u128,
}

impl Input {
    /// An input whose text is the canonical one.
    fn canonical(json: String) -> Self {
        Self { fingerprint: fingerprint(&json), json }
    }
}

/// The input that a JSON text stands for, on one line. The text itself is kept, so that no number is altered.
pub(super) fn input_of(bytes: &[u8]) -> Result<(&str, Input), RowProblem> {
    let text = RowProblem::check_text(bytes)?;
    let canonical = canonical::canonical(text).map_err(|problem| match problem {
        NotJson::Syntax(reason) => RowProblem::BadJson { reason },
        NotJson::TooDeep => RowProblem::TooDeep { reason: problem.to_string() },
    })?;
    let found = match canonical.bytes().next() {
        Some(b'{') if canonical == "{}" => return Err(RowProblem::EmptyInput),
        Some(b'{') => {
            return Ok((text, Input { json: on_one_line(text.trim()), fingerprint: fingerprint(&canonical) }));
        }
        Some(b'"') => return url_input(&canonical).map(|input| (text, input)),
        Some(b'[') => "an array",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    };
    Err(RowProblem::NotAnObject { found })
}

/// The input for a URL in quotes.
fn url_input(quoted: &str) -> Result<Input, RowProblem> {
    let url: String =
        serde_json::from_str(quoted).map_err(|error| RowProblem::BadJson { reason: error.to_string() })?;
    url_object(url.trim())
}

/// `{"url": …}`
pub(super) fn url_object(url: &str) -> Result<Input, RowProblem> {
    if url.is_empty() {
        return Err(RowProblem::EmptyInput);
    }
    let quoted = quote(url)?;
    Ok(Input::canonical(format!("{{\"url\":{quoted}}}")))
}

/// Writes a JSON string.
pub(super) fn push_quoted(out: &mut String, text: &str) -> Result<(), RowProblem> {
    // Every byte is looked at, because that is done many at a time; cells are short.
    let escapes = text.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == b'"') | (byte == b'\\'));
    if escapes {
        out.push_str(&quote(text)?);
    } else {
        // Nothing to escape, as in most cells.
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
    Ok(())
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
