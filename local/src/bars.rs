//! Progress as it stands on a terminal: a line for each file, never wider than the terminal.

use std::time::Duration;

use console::{measure_text_width, truncate_str};
use pipeline::manifest::RunState;
use pipeline::status::Status;

use crate::engine::Waiting;
use crate::pace::Pace;
use crate::report::{Reached, counted};

/// What a line takes at least of its last part, if it shows a beginning of it.
const REST_MIN: usize = 14;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its input key.
    pub key: String,
    /// Inputs that are done.
    pub done: u64,
    /// Inputs that are known.
    pub total: u64,
    /// Whether the whole file has been read, so that there are no more.
    pub read: bool,
    /// Its further parts, in the order in which they are shown.
    parts: Vec<Part>,
}

/// A part of a line that may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    text: String,
    /// The part with the greatest number is left out first.
    rank: u8,
}

impl Row {
    /// A file that nothing is known of yet.
    pub fn unread(key: &str) -> Self {
        let parts = vec![Part { text: "waits for its turn".to_owned(), rank: 2 }];
        Self { key: shown(key), done: 0, total: 0, read: false, parts }
    }

    /// A file as its status says.
    pub fn of(status: &Status, waiting: Option<&Waiting>, pace: &Pace) -> Self {
        let Reached { done, total } = Reached::of(status);
        let counts = &status.inputs;
        let mut parts = vec![Part { text: counted_u64(status.records, "record", "records"), rank: 5 }];
        for (count, what, rank) in [(counts.failed, "failed", 0), (counts.held, "held", 1)] {
            if count > 0 {
                parts.push(Part { text: format!("{count} {what}"), rank });
            }
        }
        if status.manifest.is_none() {
            parts.extend(pace.per_minute().map(|rate| Part { text: format!("{}/min", number(rate)), rank: 4 }));
        }
        parts.push(Part { text: rest(status, waiting, pace), rank: 3 });
        Self { key: shown(&status.input.key), done, total, read: status.file_read, parts }
    }

    /// Hundredths done; 100 only when everything is.
    fn percent(&self) -> u64 {
        match (self.total, self.read) {
            (0, read) => u64::from(read) * 100,
            (total, true) => self.done * 100 / total,
            (total, false) => (self.done * 100 / total).min(99),
        }
    }

    fn line(&self, name: usize, width: usize) -> String {
        let more = if self.read { "" } else { "+" };
        let bar = bar(self.percent(), bar_width(width));
        let key = padded(&self.key, name);
        let begin = format!("{key}  {bar}{:>3}%  {}/{}{more}", self.percent(), self.done, self.total);
        let mut parts: Vec<&Part> = self.parts.iter().collect();
        loop {
            let line = parts.iter().fold(begin.clone(), |line, part| format!("{line}  {}", part.text));
            let last = parts.last().map_or(0, |part| measure_text_width(&part.text));
            let over = measure_text_width(&line).saturating_sub(width);
            let worst = parts.iter().map(|part| part.rank).max();
            // A long reason is cut, if enough of it is left to be read.
            let cut = worst == parts.last().map(|part| part.rank) && over + REST_MIN <= last;
            if over == 0 || parts.is_empty() || cut {
                return truncate_str(&line, width, "…").into_owned();
            }
            parts.retain(|part| Some(part.rank) != worst);
        }
    }
}

/// What the run waits for, or how it ended.
fn rest(status: &Status, waiting: Option<&Waiting>, pace: &Pace) -> String {
    if status.manifest.is_some() {
        return match status.state {
            RunState::CompleteWithFailures => "complete, with failures".to_owned(),
            RunState::Rejected => "rejected".to_owned(),
            _ => "complete".to_owned(),
        };
    }
    if status.notice.is_none()
        && status.file_read
        && let Some(left) = pace.left(status.inputs.pending)
    {
        return format!("about {} left", span(left));
    }
    let why = status.notice.as_ref().or(waiting.and_then(|waiting| waiting.why.as_ref()));
    let why = why.map(|why| shown(why));
    match (waiting.filter(|waiting| waiting.batches > 0), why) {
        (Some(Waiting { next, .. }), Some(why)) if *next > 0 => format!("next look in {next} s ({why})"),
        (Some(Waiting { next, .. }), None) if *next > 0 => format!("next look in {next} s"),
        (Some(waiting), None) => format!("{} under way", counted(waiting.batches, "batch", "batches")),
        (_, Some(why)) => why,
        (None, None) => "is being read".to_owned(),
    }
}

/// The lines of these rows, for a terminal of this width.
pub fn lines(rows: &[Row], width: usize) -> Vec<String> {
    let longest = rows.iter().map(|row| measure_text_width(&row.key)).max().unwrap_or(0);
    let name = longest.min(width / 3).max(1);
    rows.iter().map(|row| row.line(name, width)).collect()
}

/// What does not get a line of its own.
pub fn others(rows: &[Row], over: usize, width: usize) -> String {
    let (done, total) = rows.iter().fold((0, 0), |(done, total), row| (done + row.done, total + row.total));
    let files = counted(rows.len(), "more file", "more files");
    truncate_str(&format!("and {files}, {over} over: {done}/{total}"), width, "…").into_owned()
}

fn bar_width(width: usize) -> usize {
    match width {
        100.. => 24,
        60.. => 12,
        36.. => 6,
        _ => 0,
    }
}

fn bar(percent: u64, width: usize) -> String {
    if width == 0 {
        return String::new();
    }
    let filled = usize::try_from(percent).unwrap_or(100).min(100) * width / 100;
    format!("{}{} ", "━".repeat(filled), "┄".repeat(width - filled))
}

fn padded(text: &str, width: usize) -> String {
    let text = truncate_str(text, width, "…");
    let fill = width.saturating_sub(measure_text_width(&text));
    format!("{text}{}", " ".repeat(fill))
}

/// Text from outside, without what would move the cursor.
pub fn shown(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect()
}

/// A span of time, roughly.
pub fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds @ 100..6_000 => format!("{} min", (seconds + 30) / 60),
        seconds @ 6_000..172_800 => format!("{} h", (seconds + 1_800) / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A rate, with what of it can be relied on.
pub fn number(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

fn counted_u64(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(key: &str, done: u64, total: u64, read: bool, parts: &[(&str, u8)]) -> Row {
        let part = |(text, rank): &(&str, u8)| Part { text: (*text).to_owned(), rank: *rank };
        Row { key: shown(key), done, total, read, parts: parts.iter().map(part).collect() }
    }

    const PARTS: &[(&str, u8)] = &[
        ("118 records", 5),
        ("3 failed", 0),
        ("2 held", 1),
        ("45/min", 4),
        ("next look in 12 s (the API cannot be reached)", 3),
    ];

    #[test]
    fn what_matters_most_stays_on_a_narrow_terminal() {
        let rows = [row("products.csv", 120, 296, true, PARTS)];
        let at = |width| lines(&rows, width).remove(0);
        assert_eq!(
            at(140),
            "products.csv  ━━━━━━━━━┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄  40%  120/296  118 records  3 failed  2 held  45/min  next look in 12 s (the API cannot be reached)"
        );
        assert_eq!(at(80), "products.csv  ━━━━┄┄┄┄┄┄┄┄  40%  120/296  3 failed  2 held  next look in 12 s (…");
        assert_eq!(at(40), "products.csv  ━━┄┄┄┄  40%  120/296");
    }

    #[test]
    fn a_bar_is_full_only_at_the_end() {
        for (done, total, read, percent) in
            [(999, 1_000, true, 99), (10, 10, false, 99), (10, 10, true, 100), (0, 0, true, 100), (0, 0, false, 0)]
        {
            assert_eq!(row("k", done, total, read, &[]).percent(), percent, "{done}/{total} {read}");
        }
        assert_eq!(bar(99, 12), "━━━━━━━━━━━┄ ");
        assert_eq!(bar(100, 12), "━━━━━━━━━━━━ ");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            keys in prop::collection::vec("\\PC{0,60}|[a-z\\x1b\\n\\t]{0,20}", 1..5), width in 1_usize..200, done in 0_u64..1_000_000
        ) {
            let rows: Vec<Row> = keys.iter().map(|key| row(key, done, 1_000_000, false, PARTS)).collect();
            for line in lines(&rows, width).into_iter().chain([others(&rows, 1, width)]) {
                prop_assert!(measure_text_width(&line) <= width, "{line:?} at {width}");
                prop_assert!(!line.contains(['\n', '\x1b']));
            }
        }
    }
}
