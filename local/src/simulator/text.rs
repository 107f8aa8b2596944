//! Inputs as text: kept as they were sent, compared as canonical JSON.

use serde_json::Value;

/// Removes the white space between tokens and keeps everything else, number spelling and key order included.
pub(super) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            quoted = c == '"';
        }
        out.push(c);
    }
    out
}

/// JSON with sorted keys and no white space: equal inputs have equal texts.
pub(super) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            // Sorted here, because `serde_json` keeps the order of the text if any crate of a build asks it to.
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_str());
            write_joined(out, ['{', '}'], fields, |out, (key, value)| write_field(out, key, value));
        }
        Value::Array(items) => write_joined(out, ['[', ']'], items, |out, item| write_canonical(item, out)),
        plain => out.push_str(&plain.to_string()),
    }
}

/// `"key":value` with the value in canonical form.
pub(super) fn write_field(out: &mut String, key: &str, value: &Value) {
    out.push_str(&quote(key));
    out.push(':');
    write_canonical(value, out);
}

fn write_joined<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

/// A JSON string.
pub(super) fn quote(text: &str) -> String {
    Value::from(text).to_string()
}
