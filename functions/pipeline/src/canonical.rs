//! One text for all JSON texts that mean the same, so that inputs can be compared, counted and found again.
//!
//! [`canonical`] is strict: it is what duplicates are found by, so it must never make two different inputs equal. Numbers are
//! therefore compared as exact decimals and not as floating point: an identifier of twenty digits keeps every one of them.
//! [`loose`] is forgiving: it is what a record's echoed input is matched by when the collector has changed types on the way.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use self::number::Decimal;

mod number;

/// How deep an input may be nested. `serde_json` refuses 128 levels, and an input travels inside records of our own.
pub const DEPTH_MAX: usize = 120;

/// Why a text has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// It is not one JSON value; the parser's reason, with line and column.
    #[error("{0}")]
    Syntax(String),
    /// It is nested deeper than [`DEPTH_MAX`].
    #[error("it is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// The canonical text of one JSON value: keys sorted (of duplicate keys the last counts), no white space, strings escaped in one
/// way, numbers by their exact value (`1.0` and `1e0` are `1`; integers of any size keep their digits; `-0` is `0`).
///
/// Equal texts mean equal values, and the other way round, with one exception: an integer of more than 21 digits that is once
/// written out and once with an exponent.
pub fn canonical(json: &str) -> Result<String, NotJson> {
    rewrite(json, Scalars::Exact)
}

/// The canonical text of one JSON value with the types of its scalars forgotten: `5`, `"5"` and `5.0` are equal, and so are
/// `true` and `"true"`; `null` is only itself. Numbers are rounded as JavaScript would read them, because that is what echoes them.
///
/// Different inputs can share a loose text, so it must only be trusted where exactly one input has it.
pub fn loose(json: &str) -> Result<String, NotJson> {
    rewrite(json, Scalars::Loose)
}

/// A short name for a canonical text: the first 16 bytes of its SHA-256, so that two different inputs never share one in practice.
pub fn fingerprint(canonical: &str) -> u128 {
    let digest = Sha256::digest(canonical.as_bytes());
    digest.first_chunk().copied().map(u128::from_be_bytes).unwrap_or_default()
}

/// How scalars are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scalars {
    Exact,
    Loose,
}

fn rewrite(json: &str, scalars: Scalars) -> Result<String, NotJson> {
    // The walk below relies on valid syntax. This pass does not recurse and does not interpret numbers.
    serde_json::from_str::<IgnoredAny>(json).map_err(syntax)?;
    let mut out = String::with_capacity(json.len());
    Walk { rest: json, scalars }.value(&mut out, 0)?;
    Ok(out)
}

fn syntax(error: serde_json::Error) -> NotJson {
    NotJson::Syntax(error.to_string())
}

/// Walks over text that is known to be valid JSON, in one pass.
struct Walk<'a> {
    rest: &'a str,
    scalars: Scalars,
}

impl<'a> Walk<'a> {
    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), NotJson> {
        match self.peek() {
            Some(b'{' | b'[') if depth >= DEPTH_MAX => Err(NotJson::TooDeep),
            Some(b'{') => self.object(out, depth + 1),
            Some(b'[') => self.array(out, depth + 1),
            Some(b'"') => self.string(out),
            _ => {
                self.word(out);
                Ok(())
            }
        }
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Result<(), NotJson> {
        let mut members = BTreeMap::new();
        self.skip(1);
        while self.peek() == Some(b'"') {
            let key: String = serde_json::from_str(self.quoted()).map_err(syntax)?;
            self.peek();
            self.skip(1);
            let mut value = String::new();
            self.value(&mut value, depth)?;
            members.insert(key, value);
            if self.peek() == Some(b',') {
                self.skip(1);
            }
        }
        self.skip(1);
        out.push('{');
        for (place, (key, value)) in members.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            push_string(out, key)?;
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    fn array(&mut self, out: &mut String, depth: usize) -> Result<(), NotJson> {
        self.skip(1);
        out.push('[');
        while !matches!(self.peek(), Some(b']') | None) {
            if self.peek() == Some(b',') {
                self.skip(1);
                out.push(',');
            }
            self.value(out, depth)?;
        }
        self.skip(1);
        out.push(']');
        Ok(())
    }

    fn string(&mut self, out: &mut String) -> Result<(), NotJson> {
        let quoted = self.quoted();
        if self.scalars == Scalars::Exact && !quoted.contains('\\') {
            // Without escapes there is only one way to write a string.
            out.push_str(quoted);
            return Ok(());
        }
        let text: String = serde_json::from_str(quoted).map_err(syntax)?;
        match self.scalars {
            Scalars::Loose if matches!(text.as_str(), "true" | "false") => out.push_str(&text),
            Scalars::Loose => match Decimal::parse(&text) {
                Some(number) => number.push_rounded(out),
                None => push_string(out, &text)?,
            },
            Scalars::Exact => push_string(out, &text)?,
        }
        Ok(())
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self, out: &mut String) {
        let ends = |byte: char| matches!(byte, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r');
        let (word, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        match (Decimal::parse(word), self.scalars) {
            (Some(number), Scalars::Exact) => number.push_exact(out),
            (Some(number), Scalars::Loose) => number.push_rounded(out),
            (None, _) => out.push_str(word),
        }
    }

    /// The string at which the walk stands, with its quotes.
    fn quoted(&mut self) -> &'a str {
        let mut bytes = self.rest.bytes().enumerate().skip(1);
        let mut end = self.rest.len();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\\' => {
                    bytes.next();
                }
                b'"' => {
                    end = at + 1;
                    break;
                }
                _ => {}
            }
        }
        let (quoted, rest) = self.rest.split_at(end);
        self.rest = rest;
        quoted
    }

    /// The next byte that is not white space; the walk then stands at it.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.bytes().next()
    }

    /// Steps over so many bytes of punctuation.
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

fn push_string(out: &mut String, text: &str) -> Result<(), NotJson> {
    let quoted = serde_json::to_string(text).map_err(syntax)?;
    // Writing to a `String` cannot fail.
    let _ = out.write_str(&quoted);
    Ok(())
}

#[cfg(test)]
mod tests;
