//! The cutter of JSON streams, held against `serde_json`.

use pipeline::json_cut::{Container, CutError, Cutter, HEAD_BYTES};
use serde_json::value::RawValue;

use crate::bytes::{Case, chunks, without_bom};

/// A value as it was cut, or its length and beginning when it is too long.
type Value = (u64, Result<Vec<u8>, (u64, Vec<u8>)>);

/// How the stream is cut into chunks, the limit of a value (`0` for none), and the stream.
pub fn json_cut(bytes: &[u8]) {
    let mut case = Case(bytes);
    let (seed, limit) = (case.byte(), case.byte());
    let limit = if limit == b'0' { usize::MAX } else { usize::from(limit) };
    let (values, ending) = cut(case.0, 0, limit);
    assert_eq!(cut(case.0, seed, limit), (values.clone(), ending.clone()), "chunks");
    assert_eq!(cut(case.0, 1, limit), (values.clone(), ending.clone()), "single bytes");
    check_places(&values, case.0, limit);
    if limit < usize::MAX {
        return;
    }
    let values: Vec<Vec<u8>> = values.into_iter().filter_map(|(_, text)| text.ok()).collect();
    check_complete(case.0, &values, ending.as_ref().ok());
    check_cut_off(case.0, seed);
}

fn cut(stream: &[u8], seed: u8, limit: usize) -> (Vec<Value>, Result<Container, CutError>) {
    let mut cutter = Cutter::new(limit);
    let mut values: Vec<Value> = Vec::new();
    let mut each = |cut: pipeline::json_cut::Cut<'_>| {
        if let (Some(object), Ok(text)) = (&cut.object, cut.text.as_ref()) {
            assert_eq!(object.bytes, text.len(), "the object is the value");
            let valid = std::str::from_utf8(text).map(|text| serde_json::from_str::<&RawValue>(text).is_ok());
            assert_ne!(valid, Ok(false), "an object is valid JSON");
        }
        values.push((cut.line, cut.text.map(<[u8]>::to_vec).map_err(|long| (long.bytes, long.head))));
    };
    let mut pushed = Ok(());
    for chunk in chunks(stream, seed) {
        pushed = cutter.push(chunk, &mut each);
        if pushed.is_err() {
            break;
        }
    }
    let ending = cutter.finish(&mut each);
    assert!(pushed.is_ok() || ending == pushed.clone().map(|()| Container::Array), "an error is given again");
    assert_eq!(cutter.push(b" ", &mut |_| {}).is_err(), ending.is_err());
    (values, ending)
}

/// Values stand in the stream one behind the other, on the lines that are told.
fn check_places(values: &[Value], stream: &[u8], limit: usize) {
    let mut at = 0;
    for (line, text) in values {
        let (bytes, length) = match text {
            Ok(bytes) => (bytes, bytes.len()),
            Err((length, head)) => (head, *length as usize),
        };
        assert_eq!(text.is_ok(), length <= limit);
        assert!(text.is_ok() || bytes.len() == length.min(HEAD_BYTES), "a short beginning");
        assert!(!bytes.first().is_none_or(is_space), "without white space before it");
        assert!(text.is_err() || !bytes.last().is_none_or(is_space), "without white space behind it");
        let rest = stream.get(at..).unwrap_or_default();
        let found = rest.windows(bytes.len()).position(|window| window == bytes).expect("as it was written");
        let before = stream.get(..at + found).unwrap_or_default();
        assert!(rest[..found].iter().all(|byte| b" \t\r\n,[\xEF\xBB\xBF".contains(byte)), "nothing is left out");
        assert_eq!(*line, 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64);
        at += found + length;
    }
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// What `serde_json` takes for an array, or for a sequence of objects and arrays, has exactly these values; and the other way round.
pub(crate) fn check_complete(stream: &[u8], values: &[Vec<u8>], container: Option<&Container>) {
    let Ok(text) = std::str::from_utf8(without_bom(stream)) else { return };
    if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(text) {
        assert_eq!(container, Some(&Container::Array));
        assert!(elements.iter().map(|element| element.get().as_bytes()).eq(values.iter().map(Vec::as_slice)));
        return;
    }
    let all_good = values.iter().all(|value| serde_json::from_slice::<&RawValue>(value).is_ok());
    let sequence: Result<Vec<&RawValue>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    match (sequence, text.trim_start().starts_with('[')) {
        (Ok(elements), false) if !elements.is_empty() => {
            assert_eq!(container, Some(&Container::Values));
            assert!(elements.iter().map(|element| element.get().as_bytes()).eq(values.iter().map(Vec::as_slice)));
        }
        (_, true) => assert!(container.is_none() || !all_good, "an array that serde_json does not read"),
        (Err(_), false) => {
            let structured = values.iter().all(|value| matches!(value.first(), Some(b'{' | b'[')));
            assert!(container.is_none() || !all_good || !structured, "values that serde_json does not read");
        }
        (Ok(_), false) => {}
    }
}

/// An array, or a bare object, that is cut off anywhere never ends as it should.
fn check_cut_off(stream: &[u8], seed: u8) {
    let body = without_bom(stream).trim_ascii();
    let one = serde_json::from_slice::<&RawValue>(body).is_ok_and(|value| value.get().starts_with(['[', '{']));
    if one {
        let length = usize::from(seed).wrapping_mul(0x9E37) % body.len();
        assert!(cut(&body[..length], 0, usize::MAX).1.is_err(), "cut behind {length} bytes");
    }
}
