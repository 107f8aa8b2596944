//! The `sweep` function: once in a while, looks for what stands still or was forgotten, and sets it going again. Nothing depends on
//! it as long as no message is lost; running it at any time, and twice at once, does no harm.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Pipeline;
use crate::attempt::{AttemptKeys, SliceState};
use crate::held;
use crate::keys;
use crate::ledger::{self, EndRecord, RunRecord, VERSION};
use crate::manifest;
use crate::messages::{Reminder, Turn};
use crate::metrics;
use crate::page;
use crate::pause;
use crate::policy::Policy;
use crate::ports::{Inputs, PortError, QueueName, Store};
use crate::schedule::{later, seconds_between};
use crate::spending;
use crate::words::{RunId, Slice};

/// A run is left alone for so long after its beginning; after that it is swept whenever its age has doubled, and at least daily.
const FIRST_SECONDS: i64 = 2 * 3_600;
const DAILY_SECONDS: i64 = 86_400;
/// Left for the last steps of a turn, in seconds.
const RESERVE_SECONDS: i64 = 60;
/// Batches that are looked at, at the same time.
const LOOKS_IN_FLIGHT: usize = 16;
/// Messages of one request (SQS quota).
const REMINDERS_MAX: usize = 10;
/// A send in doubt that is older than its window by so much should have been settled.
const OVERDUE_SECONDS: i64 = 3_600;
/// Results are deleted 16 days after the trigger (API page `specifications`); so long before that somebody has to know.
const EXPIRES_SOON_SECONDS: i64 = 14 * 86_400;

/// What a sweep saw and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Runs that are not over.
    pub open_runs: u64,
    /// Age of the oldest of them, in seconds.
    pub oldest_run_seconds: i64,
    /// Of them, those that wait for nobody, and are older than all their attempts may take.
    pub stuck_runs: u64,
    /// Whether the kill switch keeps everything from being triggered.
    #[serde(default)]
    pub paused: bool,
    /// Inputs that wait for a person.
    pub held_inputs: u64,
    /// Batches that were sent a reminder.
    pub reminded: u64,
    /// Files that had not been read to their end, and were read on.
    pub read_on: u64,
    /// Sends in doubt that should have been settled.
    pub overdue: u64,
    /// Collections whose results are deleted soon.
    pub expiring: u64,
    /// Collections that were found after their send had been given up.
    pub late: u64,
    /// Runs, and sends that were given up, that could not be looked at: the log says why.
    pub failed: u64,
    /// Whether time ran out before everything had been looked at.
    pub cut_short: bool,
}

/// How far a sweep of a run came.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SweepRecord {
    v: u32,
    at: Timestamp,
    /// The last batch that was looked at; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reached: Option<u32>,
}

/// What one batch needs.
#[derive(Default)]
struct Found {
    reminder: Option<String>,
    overdue: u64,
    expiring: u64,
}

impl Pipeline {
    /// Looks at every run that is not over, and at sends that were given up.
    pub async fn sweep(&self, inputs: &dyn Inputs, turn: &Turn) -> Result<Swept, PortError> {
        let mut swept = Swept { paused: pause::standing(&*self.store).await?.is_some(), ..Swept::default() };
        spending::clean(self).await?;
        let marks = Marks::read(&*self.store).await?;
        for mark in &marks.open {
            if self.out_of_time(turn) {
                swept.cut_short = true;
                break;
            }
            // What is wrong with one run is not to keep the sweep from the others.
            if let Err(error) = self.sweep_mark(inputs, turn, mark, &mut swept).await {
                swept.failed += 1;
                tracing::error!(mark, %error, source = %error.source, "a run could not be swept");
            }
        }
        if let Err(error) = self.sweep_doubts(turn, &mut swept).await {
            swept.failed += 1;
            tracing::error!(%error, source = %error.source, "sends that were given up could not be looked after");
        }
        if !self.out_of_time(turn) {
            page::swept(self, &marks).await;
        }
        self.watch(&swept);
        tracing::info!(
            open_runs = swept.open_runs,
            oldest_run_seconds = swept.oldest_run_seconds,
            stuck_runs = swept.stuck_runs,
            paused = swept.paused,
            held_inputs = swept.held_inputs,
            reminded = swept.reminded,
            read_on = swept.read_on,
            overdue = swept.overdue,
            expiring = swept.expiring,
            late = swept.late,
            failed = swept.failed,
            cut_short = swept.cut_short,
            "swept"
        );
        Ok(swept)
    }

    /// Every field is a metric, also when it is 0: a level that is not measured stands still.
    fn watch(&self, swept: &Swept) {
        for (metric, value) in [
            (&metrics::OPEN_RUNS, swept.open_runs),
            (&metrics::OLDEST_RUN, u64::try_from(swept.oldest_run_seconds).unwrap_or(0)),
            (&metrics::STUCK_RUNS, swept.stuck_runs),
            (&metrics::PAUSED, u64::from(swept.paused)),
            (&metrics::HELD_INPUTS, swept.held_inputs),
            (&metrics::REMINDED, swept.reminded),
            (&metrics::READ_ON, swept.read_on),
            (&metrics::OVERDUE, swept.overdue),
            (&metrics::EXPIRING, swept.expiring),
            (&metrics::LATE, swept.late),
            (&metrics::SWEEP_FAILURES, swept.failed),
            (&metrics::SWEEP_CUT_SHORT, u64::from(swept.cut_short)),
        ] {
            self.metrics.note(metric, "", value);
        }
    }

    pub(crate) fn out_of_time(&self, turn: &Turn) -> bool {
        seconds_between(self.clock.now(), turn.ends_at) < RESERVE_SECONDS
    }

    async fn sweep_mark(
        &self,
        inputs: &dyn Inputs,
        turn: &Turn,
        mark: &str,
        swept: &mut Swept,
    ) -> Result<(), PortError> {
        let Some(id) = keys::marked_run(mark) else { return Ok(()) };
        match ledger::read::<RunRecord>(&*self.store, &keys::run(&id)).await? {
            Some(run) if keys::run_mark(keys::BEGUN, &run.run, run.started_at) == mark => {
                self.sweep_run(inputs, turn, &run, swept).await
            }
            _ => Ok(()),
        }
    }

    async fn sweep_run(
        &self,
        inputs: &dyn Inputs,
        turn: &Turn,
        run: &RunRecord,
        swept: &mut Swept,
    ) -> Result<(), PortError> {
        let store = &*self.store;
        if manifest::stands(self, run).await? {
            // Whoever wrote it was cut off before the last step.
            return self.mark_over(&run.path, &run.run, run.started_at).await;
        }
        let now = self.clock.now();
        swept.open_runs += 1;
        swept.oldest_run_seconds = swept.oldest_run_seconds.max(seconds_between(run.started_at, now));
        let held = held::inputs(&held::marks(store, &run.run).await?);
        swept.held_inputs += held;
        let waits = held > 0 || swept.paused || spending::waiting(self, &run.run).await?.is_some();
        swept.stuck_runs += u64::from(!waits && seconds_between(run.started_at, now) > longest(&run.policy));
        let last: Option<SweepRecord> = match ledger::list_all(store, &keys::sweeps(&run.run)).await?.last() {
            Some(last) => Some(ledger::read_known(store, last).await?),
            None => None,
        };
        let from = last.as_ref().and_then(|last| last.reached).unwrap_or(0);
        let unfinished = last.as_ref().is_some_and(|last| last.reached.is_some());
        if !unfinished && !due(run.started_at, last.map(|last| last.at), now) {
            return Ok(());
        }
        // First: a run that fails, or kills the function, has its turn again when it is due, and not in every sweep.
        let begun = SweepRecord { v: VERSION, at: now, reached: None };
        ledger::write_once(store, &keys::sweep(&run.run, now), &begun).await?;
        let batches = match ledger::read::<EndRecord>(store, &keys::end(&run.run)).await? {
            Some(end) => end.batches,
            None => {
                tracing::warn!(run = %run.run, key = run.object.key, "the file was not read to its end: reading on");
                swept.read_on += 1;
                self.trigger(inputs, &run.object, turn).await?;
                self.recorded(run).await?.0
            }
        };
        if batches == 0 {
            self.check_run(run, 0).await?;
        }
        let reached = self.remind(turn, run, from..batches, swept).await?;
        if reached.is_some() {
            swept.cut_short = true;
            let at = self.clock.now();
            ledger::write_once(store, &keys::sweep(&run.run, at), &SweepRecord { v: VERSION, at, reached }).await?;
        }
        Ok(())
    }

    /// Sends every unfinished batch behind `range.start` a reminder: if its message is still there, the new one makes the old one end
    /// itself. Returns the last batch that was looked at, if time ran out.
    async fn remind(
        &self,
        turn: &Turn,
        run: &RunRecord,
        range: std::ops::Range<u32>,
        swept: &mut Swept,
    ) -> Result<Option<u32>, PortError> {
        let mut next = range.start;
        while next < range.end {
            if self.out_of_time(turn) {
                return Ok(Some(next));
            }
            let block = next / keys::BLOCK;
            let last = ((block + 1) * keys::BLOCK).min(range.end);
            let done: BTreeSet<String> =
                ledger::list_all(&*self.store, &keys::done_block(&run.run, block)).await?.into_iter().collect();
            let open: Vec<u32> =
                (next + 1..=last).filter(|batch| !done.contains(&keys::done(&run.run, *batch))).collect();
            if open.is_empty() {
                // No batch is left that could be reminded of completing its block, or the run.
                self.check_run(run, block).await?;
            }
            let looks = open.into_iter().map(|batch| self.sweep_batch(turn, run, batch));
            let looks = futures_util::stream::iter(looks);
            let found: Vec<Result<Found, PortError>> = looks.buffered(LOOKS_IN_FLIGHT).collect().await;
            let mut reminders = Vec::new();
            for found in found {
                let found = found?;
                swept.overdue += found.overdue;
                swept.expiring += found.expiring;
                reminders.extend(found.reminder);
            }
            for group in reminders.chunks(REMINDERS_MAX) {
                self.queues.send(QueueName::Poll, group, 0).await?;
                swept.reminded += group.len() as u64;
            }
            next = last;
        }
        Ok(None)
    }

    async fn sweep_batch(&self, turn: &Turn, run: &RunRecord, batch: u32) -> Result<Found, PortError> {
        let store = &*self.store;
        let (id, attempt) = AttemptKeys::newest(store, &run.run, batch).await?;
        let mut found = Found::default();
        let now = self.clock.now();
        let (mut waits, mut goes_on) = (false, attempt.ended || !attempt.begun());
        let mut slices: Vec<Slice> = attempt.whole().into_iter().collect();
        while let Some(slice) = slices.pop() {
            match attempt.state(store, &id, slice).await? {
                SliceState::Split(one, two) => slices.extend([one, two]),
                SliceState::Held { number, held } => {
                    held::mark(store, &id, slice, number, held).await?;
                    waits = true;
                }
                SliceState::Sending { intent, .. } => {
                    let window = i64::from(run.policy.in_doubt_window_seconds) + OVERDUE_SECONDS;
                    found.overdue += u64::from(seconds_between(intent.doubt_at, now) > window);
                    goes_on = true;
                }
                SliceState::Collecting(collecting) => {
                    if seconds_between(collecting.since, now) > EXPIRES_SOON_SECONDS {
                        found.expiring += 1;
                        tracing::error!(run = %run.run, batch, collection_id = collecting.collection, "the API deletes its results soon");
                    }
                    goes_on = true;
                }
                SliceState::Unsent { .. } | SliceState::Released { .. } => goes_on = true,
                SliceState::Refused { .. }
                | SliceState::Delivered(..)
                | SliceState::GivenUp(_)
                | SliceState::CalledOff => {}
            }
        }
        // What only waits for a person has no message; releasing it sends one.
        if goes_on || !waits {
            found.reminder = Some(Reminder::new(id, attempt.generation.max(1), turn.ends_at).encode());
        }
        Ok(found)
    }
}

/// The marks of runs, the oldest first.
pub(crate) struct Marks {
    /// Of those that have begun and are not over.
    pub(crate) open: Vec<String>,
    /// Of those that are over.
    pub(crate) over: Vec<String>,
}

impl Marks {
    pub(crate) async fn read(store: &dyn Store) -> Result<Self, PortError> {
        let over = ledger::list_all(store, keys::OVER).await?;
        let ended: BTreeSet<&str> = over.iter().filter_map(|key| key.strip_prefix(keys::OVER)).collect();
        let mut open = ledger::list_all(store, keys::BEGUN).await?;
        open.retain(|key| !ended.contains(key.trim_start_matches(keys::BEGUN)));
        Ok(Self { open, over })
    }
}

/// Runs that have begun and are not over, the oldest first.
pub async fn open_runs(store: &dyn Store) -> Result<Vec<RunId>, PortError> {
    Ok(Marks::read(store).await?.open.iter().filter_map(|mark| keys::marked_run(mark)).collect())
}

/// How long a run may take that waits for nobody, in seconds: as often as its inputs may be triggered the deadline of a collection, the
/// time for its end, and a day for what the API tells to wait.
fn longest(policy: &Policy) -> i64 {
    let deadline = i64::from(policy.collection_deadline_seconds) + DAILY_SECONDS;
    deadline * i64::from(policy.attempts_max) + DAILY_SECONDS
}

/// Whether a run is looked at now.
fn due(started: Timestamp, last: Option<Timestamp>, now: Timestamp) -> bool {
    let wait = match last {
        None => FIRST_SECONDS,
        Some(last) => seconds_between(started, last).clamp(FIRST_SECONDS, DAILY_SECONDS),
    };
    later(last.unwrap_or(started), wait) <= now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_looked_at_as_often_as_its_age_doubles() {
        let hour = |hour: i64| later(Timestamp::UNIX_EPOCH, hour * 3_600);
        let mut last = None;
        let mut looks = Vec::new();
        for now in 0..=100 {
            if due(hour(0), last, hour(now)) {
                last = Some(hour(now));
                looks.push(now);
            }
        }
        assert_eq!(looks, [2, 4, 8, 16, 32, 56, 80]);
    }
}
