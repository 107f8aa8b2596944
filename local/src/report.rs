//! What a person sees of a run: one line while it goes on, a few when it is over.

use std::fmt::Write as _;

use pipeline::manifest::{Manifest, RunState};
use pipeline::status::Status;

/// One line about a run that goes on.
pub fn progress(status: &Status) -> String {
    let counts = &status.inputs;
    let over = counts.with_records + counts.no_record + counts.failed;
    let total = over + counts.pending + counts.held;
    let more = if status.file_read { "" } else { "+" };
    let mut line = format!("{}: {over} of {total}{more} inputs done, {} records", status.input.key, status.records);
    if counts.failed > 0 {
        let _ = write!(line, ", {} failed", counts.failed);
    }
    if counts.held > 0 {
        let _ = write!(line, ", {} held", counts.held);
    }
    if let Some(notice) = &status.notice {
        let _ = write!(line, " ({notice})");
    }
    line
}

/// What became of a run, with the places of its results as `place` gives them.
pub fn summary(manifest: &Manifest, manifest_key: &str, place: &dyn Fn(&str) -> String) -> String {
    let counts = &manifest.inputs;
    let state = match manifest.state {
        RunState::Complete => "complete",
        RunState::CompleteWithFailures => "complete, with failures",
        RunState::Rejected => "rejected",
        RunState::Running => "running",
        RunState::Held => "held",
    };
    let mut text = format!("{}: {state}\n", manifest.input.key);
    if let Some(problem) = &manifest.problem {
        let _ = writeln!(text, "  problem     {} ({})", problem.message, problem.code);
    }
    let _ = writeln!(
        text,
        "  rows        {} read = {} rejected + {} duplicates + {} with records + {} without a record + {} failed",
        counts.read, counts.rejected, counts.duplicates, counts.with_records, counts.no_record, counts.failed
    );
    let _ = writeln!(text, "  records     {} from {} collections", manifest.records, manifest.collections.len());
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
    if let Some(failed) = &manifest.failed {
        if let Some(key) = &failed.key {
            let _ = writeln!(text, "  failed      {}", place(key));
        }
        let _ = writeln!(text, "  errors      {}", place(&failed.errors));
    }
    let _ = write!(text, "  manifest    {}", place(manifest_key));
    text
}

/// A table of runs.
pub fn table(runs: &[Status]) -> String {
    let header = ["state", "rows", "with records", "none", "failed", "pending", "held", "records", "run", "input"];
    let mut rows: Vec<[String; 10]> = vec![header.map(str::to_owned)];
    for status in runs {
        let counts = &status.inputs;
        let state = serde_json::to_string(&status.state).unwrap_or_default();
        rows.push([
            state.trim_matches('"').to_owned(),
            counts.read.to_string(),
            counts.with_records.to_string(),
            counts.no_record.to_string(),
            counts.failed.to_string(),
            counts.pending.to_string(),
            counts.held.to_string(),
            status.records.to_string(),
            status.run.to_string(),
            status.input.key.clone(),
        ]);
    }
    let widths: Vec<usize> =
        (0..header.len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}
