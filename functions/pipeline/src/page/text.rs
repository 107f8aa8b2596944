//! Words on the page. Markup escapes them (`maud` does so everywhere); what is here keeps them from looking like something else.

use jiff::Timestamp;
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters of a text that somebody else wrote.
pub(super) const TEXT_CHARS_MAX: usize = 300;

/// What stays as it is in an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A text that somebody else wrote, isolated from the direction of what stands around it.
pub(super) fn foreign(text: &str) -> Markup {
    html! { bdi { (visible(text)) } }
}

/// Its characters where all of them can be seen: those that steer a terminal, turn the direction of writing or take no room are spelt out,
/// and what is too long is cut.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (at, char) in text.chars().enumerate() {
        if at == TEXT_CHARS_MAX {
            shown.push('…');
            break;
        }
        match char {
            '\n' | '\r' | '\t' => shown.push(' '),
            char if is_hidden(char) => shown.push_str(&char.escape_unicode().to_string()),
            char => shown.push(char),
        }
    }
    shown
}

/// Control and format characters, and letters without a shape (Unicode categories Cc and Cf, line separators, Hangul fillers).
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(u32::from(char),
            0xAD | 0x034F | 0x061C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F | 0x2028..=0x202E
            | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB | 0x1_D173..=0x1_D17A
            | 0xE_0000..=0xE_0FFF)
}

/// An object as a link from the page, and its key to copy: where only the page may be read, as behind a presigned address, the link does not
/// lead anywhere.
pub(super) fn object(key: &str) -> Markup {
    html! { a href={ "../" (utf8_percent_encode(key, PLAIN)) } { code { (foreign(key)) } } }
}

/// A figure: for people with separators, for programs as it is.
pub(super) fn figure(name: &str, count: u64) -> Markup {
    html! { data value=(count) data-figure=(name) { (grouped(count)) } }
}

/// `1,234,567`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1,234 records`, `1 record`.
pub(super) fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A moment, UTC, to the second.
pub(super) fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (seconds(at)) } }
}

/// `2026-11-26 18:04:05`.
pub(super) fn seconds(at: Timestamp) -> String {
    at.to_string().chars().take(19).map(|char| if char == 'T' { ' ' } else { char }).collect()
}

/// `18:04:05`.
pub(super) fn clock(at: Timestamp) -> String {
    at.to_string().chars().skip(11).take(8).collect()
}

/// `1 h 04 min`, `3 min 20 s`, `5 s`.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A share in percent that says 0 and 100 only where it is nothing and all.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    match part {
        0 => 0,
        part if part >= whole => 100,
        part => (part.saturating_mul(100) / whole).clamp(1, 99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_in_a_text() {
        assert_eq!(visible("a\u{202e}b\u{1b}[2J\nc\u{200b}\u{0}"), "a\\u{202e}b\\u{1b}[2J c\\u{200b}\\u{0}");
        assert_eq!(visible("naïve 漢字 עברית 👩"), "naïve 漢字 עברית 👩");
        assert_eq!(visible(&"x".repeat(1_000)).chars().count(), TEXT_CHARS_MAX + 1);
    }

    #[test]
    fn a_link_stays_below_the_bucket() {
        for (key, href) in [
            ("output/a b/%2E%2E/x.ndjson", "../output/a%20b/%252E%252E/x.ndjson"),
            ("javascript:alert(1)", "../javascript%3Aalert%281%29"),
            ("a\"onfocus='x'<b>", "../a%22onfocus%3D%27x%27%3Cb%3E"),
        ] {
            assert!(object(key).into_string().starts_with(&format!("<a href=\"{href}\">")), "{key}");
        }
    }

    #[test]
    fn numbers_and_times_are_read_by_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5, 200, 3_840, 180_000].map(duration), ["5 s", "3 min 20 s", "1 h 04 min", "2 d 02 h"]);
        assert_eq!(
            [(0, 0), (0, 9), (1, 999), (998, 999), (9, 9)].map(|(part, whole)| percent(part, whole)),
            [0, 0, 1, 99, 100]
        );
        assert_eq!(seconds("2026-01-02T03:04:05.678Z".parse().unwrap()), "2026-01-02 03:04:05");
    }
}
