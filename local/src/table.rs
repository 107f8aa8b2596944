//! Runs as a table that fits a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use console::{measure_text_width, truncate_str};
use jiff::Timestamp;
use pipeline::manifest::RunState;
use pipeline::status::Status;
use serde::Serialize;

use crate::bars::{shown, span};
use crate::report::Reached;

/// What an input key gets of a line before other columns make room for it.
const KEY_MIN: usize = 16;
/// Columns that make room for it, in this order: age, records, held, failed.
const LEFT_OUT: [usize; 4] = [5, 4, 3, 2];

/// A run of a table.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// Its status.
    #[serde(flatten)]
    pub status: Status,
    /// Since when it is to stop, if somebody has cancelled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<Timestamp>,
}

/// The full table if it fits into so many columns, else a shorter one, with states in colours if they may be had.
pub fn fitting(runs: &[Listed], now: Timestamp, width: usize, colours: bool) -> String {
    let full = full(runs);
    let fits = full.lines().all(|line| measure_text_width(line) <= width) && !full.chars().any(is_moving);
    let text = if fits { full } else { short(runs, now, width) };
    let mut lines = text.lines();
    let mut painted = lines.next().unwrap_or_default().to_owned();
    for (line, listed) in lines.zip(runs) {
        let _ = write!(painted, "\n{}", if colours { paint(line, listed.status.state) } else { line.to_owned() });
    }
    painted
}

/// The table with all columns, for a wide terminal or a pipe.
pub fn full(runs: &[Listed]) -> String {
    let mut header =
        vec!["state", "rows", "with records", "none", "failed", "pending", "held", "records", "run", "input"];
    let cancelled = runs.iter().any(|run| run.cancelled_at.is_some());
    if cancelled {
        header.insert(header.len() - 2, "cancelled");
    }
    let mut rows: Vec<Vec<String>> = vec![header.iter().map(|name| (*name).to_owned()).collect()];
    for Listed { status, cancelled_at } in runs {
        let counts = &status.inputs;
        let state = serde_json::to_string(&status.state).unwrap_or_default();
        let mut row = vec![
            state.trim_matches('"').to_owned(),
            counts.read.to_string(),
            counts.with_records.to_string(),
            counts.no_record.to_string(),
            counts.failed.to_string(),
            counts.pending.to_string(),
            counts.held.to_string(),
            status.records.to_string(),
        ];
        if cancelled {
            row.push(cancelled_at.map(|at| format!("{at:.0}")).unwrap_or_default());
        }
        row.extend([status.run.to_string(), status.input.key.clone()]);
        rows.push(row);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn is_moving(one: char) -> bool {
    one.is_control() && one != '\n'
}

fn short(runs: &[Listed], now: Timestamp, width: usize) -> String {
    let header = ["state", "done", "failed", "held", "records", "age", "input"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(header).chain(runs.iter().map(|listed| row(listed, now))).collect();
    let width_of = |column: usize| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or(0);
    let wanted = width_of(6).min(KEY_MIN);
    let mut columns: Vec<usize> = (0..6).collect();
    let taken = |columns: &[usize]| columns.iter().map(|column| width_of(*column) + 2).sum::<usize>();
    for column in LEFT_OUT {
        if taken(&columns) + wanted > width {
            columns.retain(|kept| *kept != column);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cell = |column: &usize| match column {
            0 => format!("{:<width$}  ", row[0], width = width_of(0)),
            column => format!("{:>width$}  ", row[*column], width = width_of(*column)),
        };
        let line = format!("{}{}", columns.iter().map(cell).collect::<String>(), row[6]);
        let _ = writeln!(text, "{}", truncate_str(&line, width, "…"));
    }
    text
}

fn row(Listed { status, cancelled_at }: &Listed, now: Timestamp) -> [String; 7] {
    let Reached { done, total } = Reached::of(status);
    let more = if status.file_read { "" } else { "+" };
    let age = now.duration_since(status.started_at);
    [
        if cancelled_at.is_some() { "cancelled" } else { word(status.state) }.to_owned(),
        format!("{done}/{total}{more}"),
        status.inputs.failed.to_string(),
        status.inputs.held.to_string(),
        status.records.to_string(),
        span(Duration::try_from(age).unwrap_or_default()),
        shown(&status.input.key),
    ]
}

fn word(state: RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Held => "held",
        RunState::Complete => "complete",
        RunState::CompleteWithFailures => "failures",
        RunState::Rejected => "rejected",
    }
}

/// The first word of a line, which is the state, in its colour.
pub fn paint(line: &str, state: RunState) -> String {
    let colour = match state {
        RunState::Complete => 32,
        RunState::Running | RunState::Held => 33,
        RunState::CompleteWithFailures | RunState::Rejected => 31,
    };
    let (word, rest) = line.split_at(line.find(' ').unwrap_or(line.len()));
    format!("\x1b[{colour}m{word}\x1b[0m{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(key: &str, state: &str, done: u64, pending: u64) -> Listed {
        let status = serde_json::from_value(serde_json::json!({
            "run": "0123456789abcdef", "state": state, "input": {"bucket": "in", "key": key},
            "started_at": "2026-11-26T07:00:00Z", "updated_at": "2026-11-26T07:01:00Z", "file_read": pending == 0,
            "inputs": {"read": done + pending, "rejected": 0, "duplicates": 0, "with_records": done, "no_record": 0, "failed": 0, "pending": pending},
            "records": done, "unmatched_records": 0
        }))
        .unwrap();
        Listed { status, cancelled_at: None }
    }

    #[test]
    fn a_narrow_terminal_gets_the_columns_that_matter() {
        let runs = [
            listed("shop/products.csv", "running", 1_200, 3_400),
            listed("urls.txt", "complete_with_failures", 40, 0),
            listed("a/long/key/of/an/input/file/that/nobody/can/read/at/once.ndjson.gz", "complete", 7, 0),
        ];
        let now: Timestamp = "2026-11-26T07:05:00Z".parse().unwrap();
        let at = |width| fitting(&runs, now, width, false);
        assert_eq!(
            at(80),
            "state           done  failed  held  records    age  input\n\
             running   1200/4600+       0     0     1200  5 min  shop/products.csv\n\
             failures       40/40       0     0       40  5 min  urls.txt\n\
             complete         7/7       0     0        7  5 min  a/long/key/of/an/input/file…"
        );
        assert_eq!(
            at(40),
            "state           done  input\n\
             running   1200/4600+  shop/products.csv\n\
             failures       40/40  urls.txt\n\
             complete         7/7  a/long/key/of/an/…"
        );
        assert_eq!(at(200), full(&runs).trim_end());
        for width in 1..250 {
            let widest = at(width).lines().map(measure_text_width).max();
            assert!(widest <= Some(width), "{width}");
        }
        let painted = fitting(&runs, now, 80, true);
        assert!(painted.contains("\n\x1b[33mrunning\x1b[0m   1200"), "{painted:?}");
        assert!(painted.contains("\n\x1b[31mfailures\x1b[0m ") && painted.contains("\n\x1b[32mcomplete\x1b[0m "));
    }

    #[test]
    fn a_cancelled_run_is_told_from_one_that_failed() {
        let mut cancelled = listed("urls.txt", "complete_with_failures", 40, 0);
        cancelled.cancelled_at = Some("2026-11-26T07:01:02.345Z".parse().unwrap());
        let runs = [cancelled, listed("more.txt", "complete", 7, 0)];
        let now: Timestamp = "2026-11-26T07:05:00Z".parse().unwrap();
        assert_eq!(
            fitting(&runs, now, 60, true),
            "state       done  failed  held  records    age  input\n\
             \x1b[31mcancelled\x1b[0m  40/40       0     0       40  5 min  urls.txt\n\
             \x1b[32mcomplete\x1b[0m     7/7       0     0        7  5 min  more.txt"
        );
        let full = full(&runs);
        assert!(
            full.lines().next().is_some_and(|header| header.contains("  records  cancelled             run  ")),
            "{full}"
        );
        assert!(full.contains("  2026-11-26T07:01:02Z  0123456789abcdef  urls.txt\n"), "{full}");
    }

    #[test]
    fn a_key_cannot_move_the_cursor() {
        let runs = [listed("a\x1b[2Jb", "complete", 1, 0)];
        let text = fitting(&runs, Timestamp::UNIX_EPOCH, 500, false);
        assert!(text.ends_with("a\u{fffd}[2Jb"), "{text:?}");
    }
}
