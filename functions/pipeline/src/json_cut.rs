//! Cuts a stream of JSON bytes into its top-level values.
//!
//! An input file can be an array of a million objects, and a dataset can be gigabytes, so nothing here parses: the cutter only
//! knows strings, brackets, commas and white space, which is enough to find where a value ends. What a value says, and whether
//! it is valid, is for the caller's parser; so one bad value never spoils its neighbours. Memory is bounded by one value, and
//! a value that lies inside one chunk is handed out without being copied.

use memchr::{memchr_iter, memchr2};

use crate::json_scan::{self, Object, Seen};

pub use self::error::CutError;

mod error;

/// How much of a value that is too long is kept for the report.
pub const HEAD_BYTES: usize = 4096;

/// How much of a stream that is not JSON is quoted in the error.
const QUOTED_BYTES: usize = 80;

/// How the values of a stream are held together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// One array, `[ … ]`; the values are its elements.
    Array,
    /// One value after another: NDJSON, concatenated values, or one bare object.
    Values,
}

/// One value, as it was written.
#[derive(Debug)]
pub struct Cut<'a> {
    /// The line on which the value starts, counted from 1.
    pub line: u64,
    /// The value's text without surrounding white space; it may still be invalid inside.
    pub text: Result<&'a [u8], TooLong>,
    /// Set when the text is known to be an object with valid syntax. Without it nothing is known.
    pub object: Option<Object>,
}

/// A value above the limit. It was skipped while it streamed by, and only its beginning was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLong {
    /// How long the whole value was.
    pub bytes: u64,
    /// Its first [`HEAD_BYTES`] bytes at most.
    pub head: Vec<u8>,
}

/// Where the cutter stands between two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first significant byte; so many bytes of a byte order mark were seen.
    Start { bom: usize },
    /// The stream is not JSON; its beginning is being collected for the error.
    NotJson,
    /// After `[`: an element or `]`.
    ArrayOpen,
    /// After a comma: an element.
    ArrayComma,
    /// After an element: a comma or `]`.
    ArrayValue,
    /// After the array's `]`.
    ArrayEnd,
    /// Between two values of a sequence.
    Gap,
    /// Inside a value.
    Value(Inside),
}

/// Where the scanner stands inside a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Outside strings of an object or array.
    Structure,
    /// In a string.
    String,
    /// In a string, after a backslash.
    Escape,
    /// In a number or a word.
    Scalar,
}

/// Cuts a stream of JSON bytes, pushed in chunks of any size, into complete values.
///
/// Values inside an array need not be valid, only balanced in brackets and quotes. The result does not depend on how the
/// stream is cut into chunks.
#[derive(Debug)]
pub struct Cutter {
    value_bytes_max: usize,
    place: Place,
    container: Option<Container>,
    depth: u64,
    /// The line of the byte at `counted` in the chunk that is being scanned.
    line: u64,
    counted: usize,
    value_line: u64,
    /// What earlier chunks held of the value, or its beginning only once it is too long.
    held: Vec<u8>,
    held_bytes: u64,
    failed: Option<CutError>,
}

impl Cutter {
    /// A cutter that hands out values of up to `value_bytes_max` bytes, and skips and reports longer ones.
    pub fn new(value_bytes_max: usize) -> Self {
        Self {
            value_bytes_max,
            place: Place::Start { bom: 0 },
            container: None,
            depth: 0,
            line: 1,
            counted: 0,
            value_line: 1,
            held: Vec::new(),
            held_bytes: 0,
            failed: None,
        }
    }

    /// Whether the stream is an array or a sequence of values; known after its first significant byte.
    pub fn container(&self) -> Option<Container> {
        self.container
    }

    /// The value whose end has not come yet: its line and what is held of it (its beginning only, when it is too long).
    pub fn unfinished(&self) -> Option<(u64, &[u8])> {
        matches!(self.place, Place::Value(_)).then_some((self.value_line, self.held.as_slice()))
    }

    /// Takes the next bytes, and calls `each` with every value that they complete.
    ///
    /// After an error every further call gives the same error.
    pub fn push(&mut self, chunk: &[u8], each: &mut dyn FnMut(Cut<'_>)) -> Result<(), CutError> {
        self.unless_failed()?;
        self.counted = 0;
        let scanned = self.scan(chunk, each);
        self.line_at(chunk, chunk.len());
        self.remember(scanned)
    }

    /// The stream has ended: hands out a number or word that only the end completes, and says whether all was well.
    pub fn finish(&mut self, each: &mut dyn FnMut(Cut<'_>)) -> Result<Container, CutError> {
        self.unless_failed()?;
        let ended = match self.place {
            Place::Start { bom: 0 | 3 } => Err(CutError::Empty),
            Place::Start { bom } => {
                self.held.extend(b"\xEF\xBB".iter().take(bom));
                Err(self.not_json())
            }
            Place::NotJson => Err(self.not_json()),
            Place::ArrayOpen | Place::ArrayComma | Place::ArrayValue => Err(CutError::NoEnd { line: self.line }),
            Place::Value(Inside::Scalar) if self.container == Some(Container::Values) => {
                self.hand_out(&[], None, each);
                Ok(Container::Values)
            }
            Place::Value(_) => Err(CutError::ValueCut { line: self.value_line }),
            Place::ArrayEnd => Ok(Container::Array),
            Place::Gap => Ok(Container::Values),
        };
        self.remember(ended)
    }

    fn unless_failed(&self) -> Result<(), CutError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn remember<T>(&mut self, result: Result<T, CutError>) -> Result<T, CutError> {
        result.inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn scan(&mut self, chunk: &[u8], each: &mut dyn FnMut(Cut<'_>)) -> Result<(), CutError> {
        let mut at = 0;
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            at = match self.place {
                Place::Value(inside) => {
                    // Most values are objects that lie inside one chunk: one pass finds their end and looks into them.
                    let fresh = inside == Inside::Structure && self.depth == 0 && self.held_bytes == 0;
                    if let Some(object) = fresh.then(|| whole(rest)).flatten() {
                        let length = object.bytes;
                        if !object.has_lines {
                            // Lines are counted up to where it begins, and it has none.
                            self.counted = at + length;
                        }
                        self.hand_out(rest.get(..length).unwrap_or(rest), Some(object), each);
                        at + length
                    } else if let Some(length) = self.end_of_value(inside, rest) {
                        self.hand_out(rest.get(..length).unwrap_or(rest), None, each);
                        at + length
                    } else {
                        self.hold(rest);
                        chunk.len()
                    }
                }
                Place::NotJson => {
                    self.held.extend(rest.iter().take(QUOTED_BYTES.saturating_sub(self.held.len())));
                    if self.held.len() >= QUOTED_BYTES {
                        return Err(self.not_json());
                    }
                    chunk.len()
                }
                Place::Start { .. } => self.begin(chunk, at, rest)?,
                _ => self.between(chunk, at, rest)?,
            };
        }
        Ok(())
    }

    /// Before the first significant byte: skips a byte order mark and white space, and learns the container.
    fn begin(&mut self, chunk: &[u8], at: usize, rest: &[u8]) -> Result<usize, CutError> {
        const BOM: &[u8] = b"\xEF\xBB\xBF";
        let Some(&byte) = rest.first() else { return Ok(chunk.len()) };
        let Place::Start { bom } = self.place else { return Ok(at) };
        if bom < BOM.len() && BOM.get(bom) == Some(&byte) {
            self.place = Place::Start { bom: bom + 1 };
            return Ok(at + 1);
        }
        if bom == 1 || bom == 2 {
            self.held.extend(BOM.iter().take(bom));
            self.place = Place::NotJson;
            return Ok(at);
        }
        if is_space(byte) {
            self.place = Place::Start { bom: BOM.len() };
            return Ok(at + 1);
        }
        if byte == b'[' {
            self.container = Some(Container::Array);
            self.place = Place::ArrayOpen;
            return Ok(at + 1);
        }
        if can_start(byte) {
            self.container = Some(Container::Values);
            self.place = Place::Gap;
        } else {
            self.place = Place::NotJson;
        }
        Ok(at)
    }

    /// Between two values: skips white space, checks commas, and stops where the next value starts.
    fn between(&mut self, chunk: &[u8], at: usize, rest: &[u8]) -> Result<usize, CutError> {
        let Some(skipped) = rest.iter().position(|&byte| !is_space(byte)) else { return Ok(chunk.len()) };
        let at = at + skipped;
        let Some(&byte) = rest.get(skipped) else { return Ok(chunk.len()) };
        let found = char::from(byte);
        self.place = match (self.place, byte) {
            (Place::ArrayValue, b',') => Place::ArrayComma,
            (Place::ArrayValue | Place::ArrayOpen, b']') => Place::ArrayEnd,
            (Place::ArrayValue, _) => return Err(CutError::MissingComma { line: self.line_at(chunk, at), found }),
            (Place::ArrayEnd, _) => return Err(CutError::AfterEnd { line: self.line_at(chunk, at), found }),
            (Place::ArrayOpen | Place::ArrayComma, b',' | b']' | b'}' | b':') => {
                return Err(CutError::MissingValue { line: self.line_at(chunk, at), found });
            }
            (Place::Gap, _) if !can_start(byte) => {
                return Err(CutError::Unexpected { line: self.line_at(chunk, at), found });
            }
            _ => {
                self.value_line = self.line_at(chunk, at);
                self.depth = 0;
                self.place = Place::Value(match byte {
                    b'{' | b'[' | b'"' => Inside::Structure,
                    _ => Inside::Scalar,
                });
                return Ok(at);
            }
        };
        Ok(at + 1)
    }

    /// Where, in these bytes, the value ends that they begin or go on with.
    fn end_of_value(&mut self, mut inside: Inside, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        let end = loop {
            let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else { break None };
            match inside {
                Inside::Structure => {
                    let Some(found) = rest.iter().position(|&byte| is_structural(byte)) else { break None };
                    at += found + 1;
                    match rest.get(found) {
                        Some(b'"') => inside = Inside::String,
                        Some(b'{' | b'[') => self.depth += 1,
                        _ => {
                            self.depth = self.depth.saturating_sub(1);
                            if self.depth == 0 {
                                break Some(at);
                            }
                        }
                    }
                }
                Inside::String => {
                    let Some(found) = memchr2(b'"', b'\\', rest) else { break None };
                    at += found + 1;
                    inside = if rest.get(found) == Some(&b'\\') { Inside::Escape } else { Inside::Structure };
                    if inside == Inside::Structure && self.depth == 0 {
                        break Some(at);
                    }
                }
                Inside::Escape => {
                    at += 1;
                    inside = Inside::String;
                }
                Inside::Scalar => {
                    break rest.iter().position(|&byte| ends_scalar(byte)).map(|found| at + found);
                }
            }
        };
        self.place = Place::Value(inside);
        end
    }

    /// Keeps a part of a value whose end has not come, as far as the limit allows.
    fn hold(&mut self, part: &[u8]) {
        self.held_bytes += part.len() as u64;
        if self.held_bytes <= self.value_bytes_max as u64 {
            self.held.extend_from_slice(part);
        } else {
            self.held.extend(part.iter().take(HEAD_BYTES.saturating_sub(self.held.len())));
            self.held.truncate(HEAD_BYTES);
            self.held.shrink_to(HEAD_BYTES);
        }
    }

    /// Hands out the value that ends with `part`, and goes on behind it.
    fn hand_out(&mut self, part: &[u8], object: Option<Object>, each: &mut dyn FnMut(Cut<'_>)) {
        let line = self.value_line;
        let bytes = self.held_bytes + part.len() as u64;
        if bytes > self.value_bytes_max as u64 {
            self.hold(part);
            each(Cut { line, text: Err(TooLong { bytes, head: std::mem::take(&mut self.held) }), object: None });
        } else if self.held.is_empty() {
            each(Cut { line, text: Ok(part), object });
        } else {
            self.held.extend_from_slice(part);
            each(Cut { line, text: Ok(&self.held), object: whole(&self.held) });
        }
        self.held.clear();
        self.held_bytes = 0;
        self.place = if self.container == Some(Container::Array) { Place::ArrayValue } else { Place::Gap };
    }

    fn not_json(&self) -> CutError {
        CutError::NotJson { head: String::from_utf8_lossy(&self.held).into_owned() }
    }

    /// The line of the byte at `at`; counts the line feeds since it was last asked.
    fn line_at(&mut self, chunk: &[u8], at: usize) -> u64 {
        let since = chunk.get(self.counted..at).unwrap_or_default();
        self.line += memchr_iter(b'\n', since).count() as u64;
        self.counted = self.counted.max(at);
        self.line
    }
}

/// The object that the bytes begin with, if it ends in them.
fn whole(bytes: &[u8]) -> Option<Object> {
    match json_scan::object(bytes) {
        Seen::Object(object) => Some(object),
        Seen::Cut | Seen::Odd => None,
    }
}

/// JSON's white space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn can_start(byte: u8) -> bool {
    matches!(byte, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
}

/// The bytes that matter outside strings. A table, because this is the inner loop.
fn is_structural(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        table[b'"' as usize] = true;
        table[b'{' as usize] = true;
        table[b'}' as usize] = true;
        table[b'[' as usize] = true;
        table[b']' as usize] = true;
        table
    };
    TABLE[byte as usize]
}

fn ends_scalar(byte: u8) -> bool {
    is_space(byte) || byte == b',' || is_structural(byte)
}

#[cfg(test)]
mod tests;
