//! What a person sees of a run: one line while it goes on, a few when it is over.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead};

use pipeline::manifest::{Manifest, RunState, Spent};
use pipeline::status::Status;
use serde::Deserialize;

use crate::engine::Waiting;

/// Reasons of failures that a summary shows.
const REASONS_SHOWN: usize = 5;
/// Codes for which inputs were triggered again that it shows.
const CODES_SHOWN: usize = 3;

/// How far the inputs of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Inputs that are done, in whichever way.
    pub done: u64,
    /// Inputs that are known.
    pub total: u64,
}

impl Reached {
    /// As a status says.
    pub fn of(status: &Status) -> Self {
        let counts = &status.inputs;
        let done = counts.with_records + counts.no_record + counts.failed;
        Self { done, total: done + counts.pending + counts.held }
    }
}

/// One line about a run that goes on, and about what is under way.
pub fn progress(status: &Status, waiting: Option<&Waiting>) -> String {
    let counts = &status.inputs;
    let Reached { done, total } = Reached::of(status);
    let more = if status.file_read { "" } else { "+" };
    let mut line = format!("{}: {done} of {total}{more} inputs done, {} records", status.input.key, status.records);
    if counts.failed > 0 {
        let _ = write!(line, ", {} failed", counts.failed);
    }
    if counts.held > 0 {
        let _ = write!(line, ", {} held", counts.held);
    }
    if let Some(waiting) = waiting.filter(|waiting| waiting.batches > 0) {
        let _ = write!(line, "; {} under way", counted(waiting.batches, "batch", "batches"));
        if waiting.next > 0 {
            let _ = write!(line, ", next look in {} s", waiting.next);
        }
    }
    if let Some(why) = status.notice.as_ref().or(waiting.and_then(|waiting| waiting.why.as_ref())) {
        let _ = write!(line, " ({why})");
    }
    line
}

/// A number of things.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Why inputs failed or rows were rejected: one entry for each code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The code.
    pub code: String,
    /// The message of the first of them.
    pub message: String,
    /// Its line in the file.
    pub line: u64,
    /// How many there are.
    pub count: u64,
}

/// Reads what `errors.ndjson` says, most frequent first.
pub fn reasons(errors: impl BufRead) -> io::Result<Vec<Reason>> {
    #[derive(Deserialize)]
    struct Line {
        line: u64,
        code: String,
        message: String,
    }
    let mut found = Reasons::default();
    for line in errors.lines() {
        let Line { line, code, message } = serde_json::from_str(&line?)?;
        found.add(line, &code, || message);
    }
    Ok(found.sorted())
}

/// Collects reasons, one row after the other.
#[derive(Default)]
pub struct Reasons(BTreeMap<String, Reason>);

impl Reasons {
    /// Counts a row; the message is asked for once for each code.
    pub fn add(&mut self, line: u64, code: &str, message: impl FnOnce() -> String) {
        match self.0.get_mut(code) {
            Some(reason) => reason.count += 1,
            None => {
                let first = Reason { code: code.to_owned(), message: message(), line, count: 1 };
                self.0.insert(code.to_owned(), first);
            }
        }
    }

    /// Most frequent first.
    pub fn sorted(self) -> Vec<Reason> {
        let mut found: Vec<Reason> = self.0.into_values().collect();
        found.sort_by(|one, other| other.count.cmp(&one.count).then(one.line.cmp(&other.line)));
        found
    }
}

/// What became of a run and why, with the places of its results as `place` gives them.
pub fn summary(manifest: &Manifest, manifest_key: &str, reasons: &[Reason], place: &dyn Fn(&str) -> String) -> String {
    let counts = &manifest.inputs;
    let state = match manifest.state {
        RunState::Complete => "complete",
        RunState::CompleteWithFailures => "complete, with failures",
        RunState::Rejected => "rejected, nothing was triggered",
        RunState::Running => "running",
        RunState::Held => "held",
    };
    let mut text = format!("{}: {state}\n", manifest.input.key);
    if let Some(problem) = &manifest.problem {
        let _ = writeln!(text, "  problem     {} ({})", problem.message, problem.code);
    }
    if manifest.state != RunState::Rejected || counts.read > 0 {
        let _ = writeln!(
            text,
            "  rows        {} read = {} rejected + {} duplicates + {} with records + {} without a record + {} failed",
            counts.read, counts.rejected, counts.duplicates, counts.with_records, counts.no_record, counts.failed
        );
        let collections = counted(manifest.collections.len(), "collection", "collections");
        let _ = writeln!(text, "  records     {} from {collections}", manifest.records);
        paid(&mut text, &manifest.spent);
    }
    if manifest.unmatched_records > 0 {
        let _ = writeln!(text, "  unmatched   {} records could not be tied to their input", manifest.unmatched_records);
    }
    match manifest.outputs.as_slice() {
        [] => {}
        [only] => drop(writeln!(text, "  output      {}", place(&only.key))),
        [first, ..] => {
            let folder = first.key.rsplit_once('/').map_or(first.key.as_str(), |(folder, _)| folder);
            let _ = writeln!(text, "  output      {} ({} files)", place(folder), manifest.outputs.len());
        }
    }
    why(&mut text, reasons);
    if let Some(failed) = &manifest.failed {
        if let Some(key) = &failed.key {
            let _ = writeln!(text, "  failed      {} (correct it, and run it)", place(key));
        }
        let _ = writeln!(text, "  errors      {}", place(&failed.errors));
    }
    let _ = write!(text, "  manifest    {}", place(manifest_key));
    text
}

/// What was paid for. Runs of releases that kept no account have nothing to say.
pub(crate) fn paid(text: &mut String, spent: &Spent) {
    if spent.collections == 0 {
        return;
    }
    let loads = if spent.page_loads == 1 { "page load" } else { "page loads" };
    let inputs = if spent.inputs == 1 { "input" } else { "inputs" };
    let _ = write!(text, "  paid        {} {loads} for {} {inputs}", spent.page_loads, spent.inputs);
    if !spent.again.is_empty() {
        let mut codes: Vec<(&String, &u64)> = spent.again.iter().collect();
        codes.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
        let again: u64 = spent.again.values().sum();
        let shown: Vec<String> =
            codes.iter().take(CODES_SHOWN).map(|(code, count)| format!("{code} {count}")).collect();
        let more = if codes.len() > CODES_SHOWN { ", …" } else { "" };
        let _ = write!(text, ", {again} of them again ({}{more})", shown.join(", "));
    }
    let _ = writeln!(text, "; {} brought no record", spent.for_nothing);
}

pub(crate) fn why(text: &mut String, reasons: &[Reason]) {
    let mut title = "because";
    for Reason { code, message, line, count } in reasons.iter().take(REASONS_SHOWN) {
        let from = if *count == 1 { format!("line {line}") } else { format!("{count} times, from line {line}") };
        let hint = match code.as_str() {
            "refused_404" => {
                " — is the collector's id right, and does it belong to this account? `dropcollect doctor --collector` looks for free"
            }
            "refused_422" => " — these inputs do not fit the collector's input schema",
            _ => "",
        };
        let _ = writeln!(text, "  {title:<12}{code} ({from}): {message}{hint}");
        title = "";
    }
    if let Some(more) = reasons.len().checked_sub(REASONS_SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  {:<12}and {}", "", counted(more, "other code", "other codes"));
    }
}
