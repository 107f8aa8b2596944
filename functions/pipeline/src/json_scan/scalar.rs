//! Numbers and words.

/// Whether a valid number or word stands here, up to white space or punctuation; `None` when the bytes end before it does.
#[inline]
pub(super) fn is_valid(bytes: &[u8]) -> Option<bool> {
    match bytes.first()? {
        b't' => word(bytes, b"true"),
        b'f' => word(bytes, b"false"),
        b'n' => word(bytes, b"null"),
        _ => number(bytes),
    }
}

fn word(bytes: &[u8], word: &[u8]) -> Option<bool> {
    match bytes.strip_prefix(word) {
        Some(rest) => rest.first().map(|&byte| ends(byte)),
        None if word.starts_with(bytes) => None,
        None => Some(false),
    }
}

/// `-`, digits without a leading zero, a fraction, an exponent (RFC 8259, section 6).
fn number(bytes: &[u8]) -> Option<bool> {
    let mut at = usize::from(bytes.first()? == &b'-');
    let zero = bytes.get(at)? == &b'0';
    let whole = digits(bytes, &mut at);
    if whole == 0 || (zero && whole > 1) {
        return Some(false);
    }
    if bytes.get(at)? == &b'.' {
        at += 1;
        if digits(bytes, &mut at) == 0 {
            return bytes.get(at).map(|_| false);
        }
    }
    if matches!(bytes.get(at)?, b'e' | b'E') {
        at += 1;
        at += usize::from(matches!(bytes.get(at)?, b'+' | b'-'));
        if digits(bytes, &mut at) == 0 {
            return bytes.get(at).map(|_| false);
        }
    }
    bytes.get(at).map(|&byte| ends(byte))
}

/// Steps over digits; how many there were.
fn digits(bytes: &[u8], at: &mut usize) -> usize {
    let begin = *at;
    while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
        *at += 1;
    }
    *at - begin
}

fn ends(byte: u8) -> bool {
    matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')
}
