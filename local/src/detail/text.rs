//! A run in detail, for a person.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use pipeline::ledger::HeldMark;
use pipeline::manifest::{InputCounts, RunState};
use pipeline::status::Status;

use super::{Attempt, Detail};
use crate::bars::span;
use crate::report;

/// Codes that are told.
const CODES_SHOWN: usize = 5;

impl Detail {
    /// The state that is told.
    pub fn state(&self) -> RunState {
        let known = self.manifest.as_ref().map(|manifest| manifest.state);
        known.or(self.status.as_ref().map(|status| status.state)).unwrap_or(RunState::Running)
    }

    /// Everything, with what to do next. `root` is the folder or the bucket (`s3://…`) that it was read from.
    pub fn text(&self, root: &str) -> String {
        let place = |key: &str| format!("{}/{key}", root.trim_end_matches('/'));
        let mut text = match &self.manifest {
            Some(manifest) => {
                let key = pipeline::keys::manifest(&self.path, &self.run);
                report::summary(manifest, &key, &self.reasons, &place) + "\n"
            }
            None => self.so_far(&place),
        };
        let head = text.find('\n').map_or(text.len(), |end| end + 1);
        text.insert_str(head, &self.times());
        for (number, attempt) in &self.attempts {
            let _ = writeln!(text, "  attempt {number:<4}{}", attempt.text());
        }
        if self.manifest.is_none() && !self.reasons.is_empty() {
            self.failures(&mut text);
        }
        self.held_work(&mut text);
        if !self.unseen.is_empty() {
            let _ = writeln!(text, "  left out    {}: too many to be read for this", self.unseen.join(", "));
        }
        let mut title = "next";
        for next in self.next(root, &place) {
            let _ = writeln!(text, "  {title:<12}{next}");
            title = "";
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn times(&self) -> String {
        let status = self.status.as_ref();
        let collector = self.manifest.as_ref().map(|manifest| manifest.collector.as_ref());
        let collector = collector.or(status.map(|status| status.collector.as_ref())).flatten();
        let collector = collector.or(self.record.as_ref().map(|record| &record.settings.collector));
        let collector = collector.map(|collector| format!(", collector {collector}")).unwrap_or_default();
        let mut text = format!("  run         {}{collector}\n", self.run);
        if let Some(manifest) = &self.manifest {
            let (from, to) = (manifest.started_at, manifest.finished_at);
            let _ = writeln!(text, "  started     {from:.0}, finished {to:.0}, took {}", between(from, to));
        } else if let Some(status) = status {
            let (from, to) = (status.started_at, status.updated_at);
            let _ = writeln!(text, "  started     {from:.0}, known up to {to:.0}, {} later", between(from, to));
        } else if let Some(record) = &self.record {
            let _ = writeln!(text, "  started     {:.0}", record.started_at);
        }
        if let Some(at) = self.cancelled_at {
            let _ = writeln!(text, "  cancelled   {at:.0}");
        }
        text
    }

    /// What is told of a run that is not over, in the place of its summary.
    fn so_far(&self, place: &dyn Fn(&str) -> String) -> String {
        let Some(status) = &self.status else {
            return format!("{}: not over, and not the newest run of its key, so that nobody counts it\n", self.key);
        };
        let InputCounts { read, rejected, duplicates, with_records, no_record, failed, pending, held } = status.inputs;
        let state = if status.state == RunState::Held { "held" } else { "running" };
        let more = if status.file_read { "" } else { " so far" };
        let mut text = format!("{}: {state}\n", self.key);
        let _ = writeln!(
            text,
            "  rows        {read} read{more} = {rejected} rejected + {duplicates} duplicates + {with_records} with records + {no_record} without a record + {failed} failed + {pending} pending + {held} held"
        );
        let _ = writeln!(text, "  records     {}", status.records);
        report::paid(&mut text, &status.spent);
        if status.records > 0 {
            let _ = writeln!(text, "  output      {} (so far)", place(&format!("output/{}/{}", self.path, self.run)));
        }
        let _ = writeln!(text, "  waits for   {}", self.waits_for(status));
        text
    }

    fn waits_for(&self, status: &Status) -> String {
        let sum = |of: fn(&Attempt) -> u64| self.attempts.values().map(of).sum::<u64>();
        let (running, unanswered) = (sum(|attempt| attempt.running), sum(|attempt| attempt.unanswered));
        if let Some(notice) = &status.notice {
            return notice.clone();
        }
        if let (1.., Some(oldest)) = (running, self.oldest) {
            return format!("{}, the oldest since {oldest:.0}", counted(running, "collection", "collections"));
        }
        match (unanswered, status.file_read) {
            (1.., _) => format!("the answer to {}", counted(unanswered, "trigger", "triggers")),
            (0, false) => "the file to be read".to_owned(),
            (0, true) => "its next step".to_owned(),
        }
    }

    /// Why inputs failed so far: the ledger knows their batches, and their lines only when the run is over.
    fn failures(&self, text: &mut String) {
        let mut title = "because";
        for reason in self.reasons.iter().take(CODES_SHOWN) {
            let inputs = counted(reason.count, "input", "inputs");
            let _ = writeln!(
                text,
                "  {title:<12}{} ({inputs}, from batch {}): {}",
                reason.code, reason.line, reason.message
            );
            title = "";
        }
    }

    fn held_work(&self, text: &mut String) {
        let mut title = "held";
        for HeldMark { attempt, slice, held, .. } in &self.held {
            let _ = writeln!(
                text,
                "  {title:<12}batch {} attempt {} slice {slice}, {} since {:.0} ({}): {}",
                attempt.batch,
                attempt.attempt,
                counted(held.inputs.into(), "input", "inputs"),
                held.at,
                held.reason,
                held.message
            );
            title = "";
        }
        if self.held_in_all > self.held.len() {
            let _ = writeln!(text, "  {title:<12}and {} more", self.held_in_all - self.held.len());
        }
    }

    /// What to do, as commands where one helps.
    fn next(&self, root: &str, place: &dyn Fn(&str) -> String) -> Vec<String> {
        let stack = root.starts_with("s3://");
        let data = if root == "dropcollect-data" { String::new() } else { format!(" --data {}", quoted(root)) };
        let key = quoted(&self.key);
        let failed = self.manifest.as_ref().and_then(|manifest| manifest.failed.as_ref()?.key.as_deref());
        let again = if stack { "drop it into the input bucket again" } else { "run it again" };
        let mut next = Vec::new();
        match self.state() {
            RunState::Complete => next.push(format!("dropcollect parquet {} {key}", quoted(root))),
            RunState::CompleteWithFailures => {
                next.extend(
                    self.reasons.first().map(|first| format!("dropcollect why {} {}{data}", self.run, first.line)),
                );
                next.extend(failed.map(|_| {
                    format!("dropcollect retry {}{data}    (says what failed, and what may succeed)", self.run)
                }));
                next.extend(failed.map(|failed| match stack {
                    true => format!("aws s3 cp {} .    (correct it, {again})", quoted(&place(failed))),
                    false => format!("dropcollect run {}    (once it is corrected)", quoted(&place(failed))),
                }));
            }
            RunState::Rejected => {
                next.push(format!("nothing was paid for: correct the file as the problem says, and {again}"))
            }
            _ if self.held_in_all > 0 => {
                let set = if stack { "POLL_QUEUE_URL=… " } else { "" };
                for decision in ["--adopt j_…", "--again", "--give-up"] {
                    next.push(format!("{set}dropcollect release {}{data} {decision}", self.run));
                }
            }
            RunState::Held if stack => {
                next.push("put a token that is accepted into the secret of the stack: it goes on by itself".to_owned())
            }
            RunState::Held => next
                .push("set BRIGHT_DATA_API_TOKEN to a key that is accepted, and run the same command again".to_owned()),
            RunState::Running if stack => next.push("nothing: it goes on by itself".to_owned()),
            RunState::Running => {
                next.push(
                    "nothing, as long as `dropcollect run` works on it; if none does, run the same command again"
                        .to_owned(),
                );
            }
        }
        next
    }
}

impl Attempt {
    fn text(&self) -> String {
        let Self { fetched, running, unanswered, unsent, records, failed } = *self;
        let mut text = format!("{} fetched", counted(fetched, "collection", "collections"));
        for (count, what) in [(running, "running"), (unanswered, "without an answer"), (unsent, "to be sent")] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        let _ = write!(text, "; {}", counted(records, "record", "records"));
        if failed > 0 {
            let _ = write!(text, ", {} failed", counted(failed, "input", "inputs"));
        }
        text
    }
}

fn between(from: Timestamp, to: Timestamp) -> String {
    span(Duration::try_from(to.duration_since(from)).unwrap_or_default())
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let plain = |one: char| one.is_ascii_alphanumeric() || "-_./:=@%+,".contains(one);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("s3://bucket/a-b_c.csv"), "s3://bucket/a-b_c.csv");
        assert_eq!(quoted("it's a file"), r"'it'\''s a file'");
        assert_eq!(quoted(""), "''");
    }
}
