//! What became of one row of a file, and why: its whole story, read from the ledger.

use std::fmt::Write as _;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use pipeline::attempt::{AttemptKeys, SliceState};
use pipeline::cancel;
use pipeline::decisions::{Decision, codes, decide};
use pipeline::keys;
use pipeline::ledger::{self, AttemptEnd, BatchRecord, Delivery, EndRecord, InputRow, RejectedRow, RunRecord};
use pipeline::policy::Policy;
use pipeline::ports::{PortError, Store};
use pipeline::words::{AttemptId, RunId, Slice};
use serde::Serialize;

use crate::report::counted;

/// Batch records that are read at the same time.
const READ_AT_ONCE: usize = 16;

/// Which row is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The row that begins on this line of the file, from 1.
    Line(u64),
    /// The first row that has this text in it.
    Text(String),
}

/// One row's story.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    /// The run.
    pub run: RunId,
    /// Its input key.
    pub key: String,
    /// The row's line in the file.
    pub line: u64,
    /// The row as it was written.
    pub row: String,
    /// Its batch.
    pub batch: u32,
    /// What became of it.
    pub fate: Fate,
    /// Its attempts, in order.
    pub attempts: Vec<Chapter>,
}

/// What became of a row, as far as it is known now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// It is no valid input, and was not sent.
    Rejected {
        /// Why.
        code: String,
        /// For people.
        message: String,
    },
    /// It has at least one record.
    WithRecords,
    /// Its collection ended with neither a record nor an error for it.
    NoRecord,
    /// It failed, and is not triggered again.
    Failed {
        /// Why.
        code: String,
        /// For people.
        message: String,
    },
    /// It failed, and is about to be triggered again.
    Again {
        /// Why it failed.
        code: String,
    },
    /// It waits for a person.
    Held {
        /// Why.
        reason: String,
        /// What to decide.
        message: String,
    },
    /// It has not been sent, or its answer or its collection is waited for.
    Pending,
}

/// What one attempt brought.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chapter {
    /// Its number.
    pub attempt: u32,
    /// The collection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// When that was triggered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triggered_at: Option<Timestamp>,
    /// When its dataset was fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Timestamp>,
    /// Where the records of the collection are, if the row has some there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What came of it, for people.
    pub said: String,
}

/// Why there is no story.
#[derive(Debug, thiserror::Error)]
pub enum NoStory {
    /// There is no such run.
    #[error("there is no record of the run {0}")]
    NoRun(RunId),
    /// The line holds no input of its own.
    #[error(
        "line {0} holds no input of its own: it is blank, a comment or a header, lies inside of another row, or is equal to an earlier row \
         (equal rows are sent once)"
    )]
    NoLine(u64),
    /// The line has not been read.
    #[error("line {0} has not been read yet, or the file is not that long")]
    NotRead(u64),
    /// No row has the text.
    #[error("no row has {0:?} in it, of those that have been read")]
    NoText(String),
    /// Trouble of the disk or of S3.
    #[error("{0}: {source}", source = .0.source)]
    Port(#[from] PortError),
}

/// Reads a row's story.
pub async fn story(store: &dyn Store, run: &RunId, asked: &Asked) -> Result<Story, NoStory> {
    let record: RunRecord = match ledger::read(store, &keys::run(run)).await? {
        Some(record) => record,
        None => return Err(NoStory::NoRun(run.clone())),
    };
    let batches: Vec<String> = ledger::list_all(store, &keys::batches(run)).await?;
    let (batch, place) = match asked {
        Asked::Line(line) => on_line(store, run, &batches, *line).await?,
        Asked::Text(text) => with_text(store, &batches, text).await?,
    };
    let told = |line, row: &str, fate, attempts| Story {
        run: run.clone(),
        key: record.object.key.clone(),
        line,
        row: row.to_owned(),
        batch: batch.batch,
        fate,
        attempts,
    };
    match place {
        Place::Rejected(index) => {
            let RejectedRow { line, code, message, source } = &batch.rejected[index];
            let fate = Fate::Rejected { code: code.clone(), message: message.clone() };
            Ok(told(*line, source, fate, Vec::new()))
        }
        Place::Input(index) => {
            let input = &batch.inputs[index];
            let position = u32::try_from(index).unwrap_or(u32::MAX);
            let (fate, attempts) = attempts(store, &record, &batch, position).await?;
            Ok(told(input.line, input.source(), fate, attempts))
        }
    }
}

/// Where a row is in its batch record.
enum Place {
    Input(usize),
    Rejected(usize),
}

/// Rows are in batches in the order of the file, so a few records are enough.
async fn on_line(
    store: &dyn Store,
    run: &RunId,
    batches: &[String],
    line: u64,
) -> Result<(BatchRecord, Place), NoStory> {
    let (mut from, mut to) = (0, batches.len());
    while from < to {
        let middle = from + (to - from) / 2;
        let batch: BatchRecord = ledger::read_known(store, &batches[middle]).await?;
        if let Some(place) = find(&batch, |at, _| at == line) {
            return Ok((batch, place));
        }
        match lines(&batch) {
            Some((_, last)) if last < line => from = middle + 1,
            Some((first, _)) if first <= line => return Err(NoStory::NoLine(line)),
            // Only the last batch may have no rows of its own.
            _ => to = middle,
        }
    }
    let end: Option<EndRecord> = ledger::read(store, &keys::end(run)).await?;
    Err(if end.is_some() { NoStory::NoLine(line) } else { NoStory::NotRead(line) })
}

/// The first and the last line on which a row of the batch begins.
fn lines(batch: &BatchRecord) -> Option<(u64, u64)> {
    let lines = || batch.inputs.iter().map(|row| row.line).chain(batch.rejected.iter().map(|row| row.line));
    lines().min().zip(lines().max())
}

async fn with_text(store: &dyn Store, batches: &[String], text: &str) -> Result<(BatchRecord, Place), NoStory> {
    let read = stream::iter(batches).map(|key| ledger::read_known::<BatchRecord>(store, key));
    let mut records = std::pin::pin!(read.buffered(READ_AT_ONCE));
    while let Some(batch) = records.try_next().await? {
        if let Some(place) = find(&batch, |_, row| row.contains(text)) {
            return Ok((batch, place));
        }
    }
    Err(NoStory::NoText(text.to_owned()))
}

fn find(batch: &BatchRecord, is_it: impl Fn(u64, &str) -> bool) -> Option<Place> {
    let asked = |row: &InputRow| is_it(row.line, row.source());
    let rejected = || batch.rejected.iter().position(|row| is_it(row.line, &row.source)).map(Place::Rejected);
    batch.inputs.iter().position(asked).map(Place::Input).or_else(rejected)
}

/// The attempts of an input of a batch, and what they came to.
async fn attempts(
    store: &dyn Store,
    RunRecord { run, policy, .. }: &RunRecord,
    batch: &BatchRecord,
    position: u32,
) -> Result<(Fate, Vec<Chapter>), PortError> {
    let (mut fate, mut chapters) = (Fate::Pending, Vec::new());
    // Where the input stands among those of the attempt.
    let mut index = position;
    for attempt in 1..=policy.attempts_max {
        let id = AttemptId { run: run.clone(), batch: batch.batch, attempt };
        let found = AttemptKeys::load(store, &id).await?;
        let Some(whole) = found.whole() else { break };
        let (mut chapter, now) = chapter(store, &id, &found, whole, index, position).await?;
        fate = now;
        let end: Option<AttemptEnd> = match found.ended {
            true => Some(ledger::read_known(store, &keys::attempt_end(&id)).await?),
            false => None,
        };
        let fates = end.as_ref().map(|end| &end.fates);
        let again = fates.and_then(|fates| fates.again.iter().position(|failed| failed.input == position));
        if let (Some(end), Some(again)) = (&end, again) {
            fate = Fate::Again { code: end.fates.again[again].code.clone() };
            let _ = write!(chapter.said, ", triggered again {}", after(end.retry_after_seconds));
            index = u32::try_from(again).unwrap_or(u32::MAX);
            chapters.push(chapter);
            continue;
        }
        if let Some(failed) = fates.and_then(|fates| fates.failed.iter().find(|failed| failed.input == position)) {
            fate = Fate::Failed { code: failed.code.clone(), message: failed.message.clone() };
            // Of a refusal and of what a person decided, enough is said.
            if chapter.fetched_at.is_some() {
                let why = match cancel::is_cancelled(store, run).await? {
                    true => "the run was cancelled".to_owned(),
                    false => why_not(&failed.code, attempt, policy),
                };
                let _ = write!(chapter.said, ", not triggered again: {why}");
            }
        }
        chapters.push(chapter);
        break;
    }
    Ok((fate, chapters))
}

/// Why an input that failed is not triggered again.
fn why_not(code: &str, attempt: u32, policy: &Policy) -> String {
    let decision = decide(code, policy);
    let most = policy.attempts_max.min(decision.attempts_max());
    match decision {
        Decision::Again { .. } if attempt < most => {
            "there are records that may belong to any input without one, and paying again is for a person to decide"
                .to_owned()
        }
        Decision::Again { .. } => format!("this was the last of {}", counted(most as usize, "attempt", "attempts")),
        Decision::Final => format!("{code} would fail again"),
    }
}

fn after(seconds: u32) -> String {
    if seconds == 0 { "at once".to_owned() } else { format!("after {seconds} s") }
}

/// What one attempt did with the input that is the `index`-th of it: `slice` is the whole of it, and is split where a part was sent by itself.
async fn chapter(
    store: &dyn Store,
    id: &AttemptId,
    found: &AttemptKeys,
    mut slice: Slice,
    index: u32,
    position: u32,
) -> Result<(Chapter, Fate), PortError> {
    let mut chapter = Chapter {
        attempt: id.attempt,
        collection: None,
        triggered_at: None,
        fetched_at: None,
        output: None,
        said: String::new(),
    };
    let fate = loop {
        let state = found.state(store, id, slice).await?;
        break match state {
            SliceState::Split(one, two) => {
                slice = if holds(one, index) { one } else { two };
                continue;
            }
            SliceState::Unsent { .. } => {
                chapter.said = "nothing has been started for it yet".to_owned();
                Fate::Pending
            }
            SliceState::CalledOff => {
                chapter.said = "not triggered: the run was cancelled".to_owned();
                Fate::Failed { code: codes::RUN_CANCELLED.to_owned(), message: String::new() }
            }
            SliceState::Sending { intent, .. } => {
                chapter.triggered_at = Some(intent.at);
                chapter.said = "triggered, without an answer so far".to_owned();
                Fate::Pending
            }
            SliceState::Collecting(collecting) => {
                chapter.collection = Some(collecting.collection);
                chapter.triggered_at = Some(collecting.since);
                chapter.said = match collecting.cancel {
                    Some(_) => "the collection took too long and was told to stop".to_owned(),
                    None => "the collection runs, or its dataset has not been fetched yet".to_owned(),
                };
                Fate::Pending
            }
            SliceState::Delivered(collecting, delivery) => {
                chapter.collection = Some(collecting.collection);
                chapter.triggered_at = Some(collecting.since);
                chapter.fetched_at = Some(delivery.at);
                delivered(&mut chapter, &delivery, position)
            }
            SliceState::Refused { status, text } => {
                chapter.said = format!("the trigger was refused with {status}: {text}");
                Fate::Failed { code: format!("refused_{status}"), message: text }
            }
            SliceState::Held { held, .. } => {
                chapter.collection = held.collection;
                chapter.said = format!("waits for a person since {}", held.at);
                Fate::Held { reason: held.reason, message: held.message }
            }
            SliceState::Released { decision, .. } => {
                chapter.said = format!("a person has decided ({decision:?}), and nothing has followed yet");
                Fate::Pending
            }
            SliceState::GivenUp(held) => {
                chapter.said = "given up by a person".to_owned();
                Fate::Failed { code: codes::GIVEN_UP.to_owned(), message: held.message }
            }
        };
    };
    Ok((chapter, fate))
}

fn holds(slice: Slice, index: u32) -> bool {
    (slice.start..slice.end).contains(&index)
}

fn delivered(chapter: &mut Chapter, delivery: &Delivery, position: u32) -> Fate {
    if let Some(failed) = delivery.failed.iter().find(|failed| failed.input == position) {
        chapter.said = format!("{}: {}", failed.code, failed.message);
        return Fate::Failed { code: failed.code.clone(), message: failed.message.clone() };
    }
    if delivery.no_record.contains(&position) {
        chapter.said = "neither a record nor an error".to_owned();
        return Fate::NoRecord;
    }
    chapter.output = delivery.object.as_ref().map(|object| object.key.clone());
    chapter.said = "has records".to_owned();
    Fate::WithRecords
}

impl Story {
    /// For a person; `place` shows where an object is.
    pub fn text(&self, place: &dyn Fn(&str) -> String) -> String {
        let fate = match &self.fate {
            Fate::Rejected { code, .. } => format!("rejected, not sent ({code})"),
            Fate::WithRecords => "has records".to_owned(),
            Fate::NoRecord => "ended without a record and without an error".to_owned(),
            Fate::Failed { code, .. } => format!("failed for good ({code})"),
            Fate::Again { code } => format!("failed ({code}), is triggered again"),
            Fate::Held { reason, .. } => format!("waits for a person ({reason})"),
            Fate::Pending => "under way".to_owned(),
        };
        let mut text = format!("{} line {}: {fate}\n", self.key, self.line);
        let _ = writeln!(text, "  row         {}", self.row);
        match &self.fate {
            Fate::Rejected { message, .. } => drop(writeln!(text, "  because     {message}")),
            Fate::Held { message, .. } => drop(writeln!(text, "  to decide   {message}")),
            _ => {}
        }
        let _ = writeln!(text, "  run         {}, batch {}", self.run, self.batch);
        for chapter in &self.attempts {
            let _ = write!(text, "  attempt {:<4}", chapter.attempt);
            if let (Some(collection), Some(at)) = (&chapter.collection, chapter.triggered_at) {
                let _ = write!(text, "{collection}, triggered {at:.0}");
                if let Some(at) = chapter.fetched_at {
                    let _ = write!(text, ", fetched {at:.0}");
                }
                text.push_str(": ");
            }
            let _ = writeln!(text, "{}", chapter.said);
            if let Some(output) = &chapter.output {
                let _ = writeln!(text, "  records     among those of {}", place(output));
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}
