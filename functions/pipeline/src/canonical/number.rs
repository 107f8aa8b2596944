//! Numbers as exact decimals.

use std::fmt::Write;

/// Integers that are written with an exponent are written out up to so many digits, as JavaScript does. A limit, because
/// `1e999999` is six bytes.
const WRITTEN_OUT: i64 = 21;

/// A JSON number: `digits` times ten to the power of `exponent`.
#[derive(Debug)]
pub(super) struct Decimal<'a> {
    text: &'a str,
    negative: bool,
    /// Without leading zeros; empty for zero. For a number with a point or an exponent also without trailing zeros.
    digits: String,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// The number that a text is, by JSON's grammar; `None` for anything else (`007`, `+1`, `.5`, `NaN`).
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
        let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
        let is_number = all_digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(all_digits)
            && power.is_none_or(|power| all_digits(power.strip_prefix(['+', '-']).unwrap_or(power)));
        if !is_number {
            return None;
        }
        let fraction_digits = fraction.unwrap_or_default();
        let mut digits = format!("{whole}{fraction_digits}").trim_start_matches('0').to_owned();
        // A power beyond 64 bits is no number that anybody means; it keeps its text.
        let power: i64 = power.map_or(Some(0), |power| power.parse().ok()).unwrap_or(i64::MAX);
        let mut exponent = power.saturating_sub(fraction_digits.len() as i64);
        if whole.len() != unsigned.len() {
            let kept = digits.trim_end_matches('0').len();
            exponent = exponent.saturating_add((digits.len() - kept) as i64);
            digits.truncate(kept);
        }
        Some(Self { text, negative, digits, exponent })
    }

    /// Writes the exact value, always in the same way for the same value.
    pub(super) fn push_exact(&self, out: &mut String) {
        let Self { digits, exponent, .. } = self;
        if digits.is_empty() {
            out.push('0');
            return;
        }
        if self.exponent.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
            out.push_str(&self.text.to_ascii_lowercase());
            return;
        }
        if self.negative {
            out.push('-');
        }
        let length = digits.len() as i64;
        if *exponent == 0 {
            out.push_str(digits);
        } else if *exponent > 0 && length + exponent <= WRITTEN_OUT {
            out.push_str(digits);
            out.extend(std::iter::repeat_n('0', usize::try_from(*exponent).unwrap_or_default()));
        } else if *exponent < 0 && *exponent >= -WRITTEN_OUT {
            push_point(out, digits, usize::try_from(-exponent).unwrap_or_default());
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "{digits}e{exponent}");
        }
    }

    /// Writes the value as a 64-bit floating point number has it; the exact value where that has none.
    pub(super) fn push_rounded(&self, out: &mut String) {
        match self.text.parse::<f64>() {
            // In this range every integer is a floating point number, and the exact text is that number's text.
            Ok(number) if number.is_finite() && number.abs() >= 9_007_199_254_740_992.0 => {
                let _ = write!(out, "{number:e}");
            }
            Ok(number) if number.is_finite() && number != 0.0 => {
                if let Some(rounded) = Decimal::parse(&format!("{number:e}")) {
                    rounded.push_exact(out);
                }
            }
            Ok(0.0) => out.push('0'),
            _ => self.push_exact(out),
        }
    }
}

/// Writes digits with the decimal point before the last `places` of them.
fn push_point(out: &mut String, digits: &str, places: usize) {
    let whole = digits.len().saturating_sub(places);
    let (whole, fraction) = digits.split_at(whole);
    out.push_str(if whole.is_empty() { "0" } else { whole });
    out.push('.');
    out.extend(std::iter::repeat_n('0', places - fraction.len()));
    out.push_str(fraction);
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
