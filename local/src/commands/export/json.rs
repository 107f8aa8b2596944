//! One JSON value, taken apart one level deep: what is inside stays text until somebody asks for it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Fields of an object as they are written, in their order.
pub(super) type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// A value that a column can hold, or [`Value::Other`].
#[derive(Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// A number without fraction and exponent that 64 bits hold.
    Int(i64),
    /// Any other number that a double holds, rounded to the nearest one.
    Double(f64),
    String(Cow<'a, str>),
    List(Vec<&'a RawValue>),
    Object(Members<'a>),
    /// JSON that none of these holds without loss: an integer beyond 64 bits, a number beyond a double, a string with half a surrogate
    /// pair, an object that names a field twice. Also what is no JSON at all.
    Other,
}

/// Takes JSON text apart. It may have white space around it.
pub(super) fn take_apart(text: &str) -> Value<'_> {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => parsed(text, |Object(members)| Value::Object(members)),
        Some(b'[') => parsed(text, Value::List),
        Some(b'"') => parsed(text, |Text(string)| Value::String(string)),
        Some(b't' | b'f') => parsed(text, Value::Bool),
        Some(b'n') => parsed(text, |()| Value::Null),
        _ => number(text.trim()),
    }
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str, value: impl FnOnce(T) -> Value<'a>) -> Value<'a> {
    serde_json::from_str(text).map_or(Value::Other, value)
}

fn number(text: &str) -> Value<'_> {
    // Rust reads more than JSON allows ("+1", "inf"), and the limits of both are not the same.
    if serde_json::from_str::<&RawValue>(text).is_err() {
        return Value::Other;
    }
    // "-0" is a number of its own among the doubles only.
    if text == "-0" || text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return text.parse().ok().filter(|number: &f64| number.is_finite()).map_or(Value::Other, Value::Double);
    }
    text.parse().map_or(Value::Other, Value::Int)
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object whose names are all different.
struct Object<'a>(Members<'a>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(serde::de::Error::custom("a field is named twice"));
        }
        Ok(Object(members))
    }
}
