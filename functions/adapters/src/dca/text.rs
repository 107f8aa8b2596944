//! Error texts: the API answers JSON, plain text or a gateway's HTML, and people have to read it.

use pipeline::policy::limits::TEXT_BYTES_MAX;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// A shorter token is none of the API's (36 characters at least) but a word for tests, and may be part of any text.
const TOKEN_BYTES_MIN: usize = 8;

/// The readable part of an error answer, at most 200 bytes, without the token.
pub(super) fn readable(body: &[u8], headers: &[(String, String)], token: Option<&SecretString>) -> String {
    let text = String::from_utf8_lossy(body);
    let said = match serde_json::from_str::<Value>(&text) {
        Ok(value) => message(&value).unwrap_or_else(|| text.clone().into_owned()),
        Err(_) if looks_like_html(&text) => strip_tags(&text),
        Err(_) => text.into_owned(),
    };
    let said = one_line(&said);
    // The official command line looks at these two headers as well.
    let header = || {
        ["x-brd-error", "x-luminati-error"]
            .iter()
            .find_map(|name| super::decode::header(headers, name).filter(|text| !text.trim().is_empty()))
    };
    let said = if said.is_empty() { one_line(header().unwrap_or("no text")) } else { said };
    match token.map(ExposeSecret::expose_secret).filter(|token| token.len() >= TOKEN_BYTES_MIN) {
        // Before it is cut: half a token is too much, too.
        Some(token) => short(&said.replace(token, "…")),
        None => short(&said),
    }
}

/// `error` or `message`, wherever the usual frameworks put them.
fn message(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(fields) => {
            ["error", "message", "errors", "detail"].iter().find_map(|name| message(fields.get(*name)?))
        }
        Value::Array(items) => items.first().and_then(message),
        _ => None,
    }
}

fn looks_like_html(text: &str) -> bool {
    let start = text.trim_start();
    let head = start.get(..start.len().min(9)).unwrap_or("").to_ascii_lowercase();
    start.starts_with('<') && (head.starts_with("<!doctype") || text.to_ascii_lowercase().contains("<html"))
}

/// Text between tags, without what stands in `<head>` (but for the title), `<style>` and `<script>`.
fn strip_tags(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    let mut hidden: Option<&str> = None;
    while let Some(open) = rest.find('<') {
        if hidden.is_none() {
            text.push_str(&rest[..open]);
        }
        let Some(close) = rest[open..].find('>') else { return text };
        let tag = rest[open + 1..open + close].to_ascii_lowercase();
        match hidden {
            Some(name) if tag == format!("/{name}") => hidden = None,
            Some(_) => {}
            None => hidden = ["script", "style"].into_iter().find(|name| tag.split(' ').next() == Some(name)),
        }
        text.push(' ');
        rest = &rest[open + close + 1..];
    }
    if hidden.is_none() {
        text.push_str(rest);
    }
    text
}

fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() || c == '\u{feff}' { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first bytes, cut on a character's boundary.
fn short(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_readable() {
        let table = [
            ("Invalid credentials\n", "Invalid credentials"),
            (r#"{"error":"No input provided"}"#, "No input provided"),
            (r#"{"message":"nope","code":3}"#, "nope"),
            (r#"{"error":{"message":"deep"}}"#, "deep"),
            (r#"{"errors":[{"message":"first"},{"message":"second"}]}"#, "first"),
            (r#"["first"]"#, "first"),
            (r#""quoted""#, "quoted"),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (
                "<html>\r\n<head><title>502 Bad Gateway</title><style>h1 {}</style></head>\n<body><h1>502 Bad Gateway</h1><hr>nginx</body></html>",
                "502 Bad Gateway 502 Bad Gateway nginx",
            ),
            ("<!DOCTYPE html><p>cut <b", "cut"),
            ("a < b and c > d", "a < b and c > d"),
            ("", "no text"),
            ("  \n", "no text"),
        ];
        for (body, text) in table {
            assert_eq!(readable(body.as_bytes(), &[], None), text, "{body}");
        }
        let headers = [("x-brd-error".to_owned(), "from a header".to_owned())];
        assert_eq!(readable(b"", &headers, None), "from a header");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let text = readable("ü".repeat(300).as_bytes(), &[], None);
        assert_eq!(text, "ü".repeat(100));
        let text = readable(format!("a{}", "ü".repeat(300)).as_bytes(), &[], None);
        assert_eq!(text.len(), 199);
        assert_eq!(readable(&[0xff, b'a'], &[], None), "\u{fffd}a");
        let echo = format!("{}0123456789abcdef", "a".repeat(190));
        let text = readable(echo.as_bytes(), &[], Some(&"0123456789abcdef".into()));
        assert_eq!(text, format!("{}…", "a".repeat(190)));
    }
}
