//! The canonical text of JSON, numbers above all.

use std::cmp::Ordering;

use pipeline::canonical::{NotJson, canonical as exact, fingerprint, loose};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::bytes::Case;

/// Two texts, one a line.
pub fn canonical(bytes: &[u8]) {
    let mut case = Case(bytes);
    let (one, two) = (case.text_until("\n"), case.text());
    check(&one);
    check(&two);
    if let (Some(first), Some(second)) = (Number::read(&one), Number::read(&two)) {
        check_numbers((&one, &first), (&two, &second));
    }
}

fn check(text: &str) {
    let syntax = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let value = serde_json::from_str::<Value>(text);
    let canonical = match exact(text) {
        Ok(canonical) => canonical,
        Err(problem) => {
            assert!(value.is_err() || problem == NotJson::TooDeep, "{problem}, but serde_json reads {text}");
            assert!(problem.to_string().len() <= 200, "a short report");
            return;
        }
    };
    assert!(syntax, "no JSON: {text}");
    assert_eq!(exact(&canonical).as_ref(), Ok(&canonical), "it stays what it is");
    let rounded = loose(text);
    assert_eq!(loose(&canonical), rounded, "types are forgotten afterwards, too");
    if let Ok(rounded) = &rounded {
        assert_eq!(loose(rounded).as_ref(), Ok(rounded), "it stays what it is: {text}");
    }
    let Ok(value) = value else { return };
    // `serde_json` reads fractions a little off the number that they say; numbers have a check of their own.
    if whole_numbers(&value) {
        assert_eq!(serde_json::from_str::<Value>(&canonical).ok().as_ref(), Some(&value), "the same value");
        let pretty = serde_json::to_string_pretty(&value).expect("a value is JSON");
        assert_eq!(exact(&pretty).map(|text| fingerprint(&text)), Ok(fingerprint(&canonical)), "{pretty}");
    }
}

/// `serde_json` writes again only whole numbers of 64 bits as they were.
fn whole_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_u64() || number.is_i64(),
        Value::Array(items) => items.iter().all(whole_numbers),
        Value::Object(fields) => fields.values().all(whole_numbers),
        _ => true,
    }
}

/// A number by JSON's grammar, as digits and the place of the decimal point behind the first of them.
struct Number {
    negative: bool,
    digits: String,
    /// Ten to the power of this times `0.digits`.
    magnitude: i128,
    has_exponent: bool,
}

impl Number {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let lower = unsigned.to_ascii_lowercase();
        let (mantissa, power) = lower.split_once('e').unwrap_or((&lower, "0"));
        let power: i64 = power.parse().ok().filter(|power: &i64| power.unsigned_abs() < 1 << 40)?;
        let whole = mantissa.find('.').unwrap_or(mantissa.len());
        let all = mantissa.replace('.', "");
        let leading = all.len() - all.trim_start_matches('0').len();
        let digits = all.trim_matches('0').to_owned();
        let magnitude = whole as i128 - leading as i128 + i128::from(power);
        let zero = digits.is_empty();
        Some(Self {
            negative: text.starts_with('-') && !zero,
            magnitude: if zero { 0 } else { magnitude },
            digits,
            has_exponent: lower.contains('e'),
        })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let key = |number: &Self| (number.negative, number.magnitude, number.digits.clone());
        key(self).cmp(&key(other))
    }

    /// The documented exception: an integer of more than 21 digits.
    fn long_integer(&self) -> bool {
        self.magnitude > 21 && self.magnitude >= self.digits.len() as i128
    }
}

/// Equal texts mean equal values, and the other way round.
fn check_numbers((one, first): (&str, &Number), (two, second): (&str, &Number)) {
    let equal = first.compare(second) == Ordering::Equal;
    let alike = exact(one) == exact(two);
    if equal && first.long_integer() && first.has_exponent != second.has_exponent {
        return;
    }
    assert_eq!(alike, equal, "{one} and {two}");
    assert!(!equal || loose(one) == loose(two), "{one} and {two}");
}
