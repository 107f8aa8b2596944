//! The `poll` function: takes up what a reminder names, wherever it was left.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::Instrument;

use crate::Pipeline;
use crate::attempt::{AttemptKeys, SliceState};
use crate::held;
use crate::keys;
use crate::ledger::{self, AttemptEnd, EndRecord, RunRecord, VERSION};
use crate::messages::{Hint, Reminder, Turn, Verdict};
use crate::metrics;
use crate::policy::limits;
use crate::ports::{PortError, QueueName};
use crate::schedule::seconds_between;
use crate::words::{AttemptId, Slice};
use crate::work::{Step, Work};

/// Rounds over the slices of an attempt in one turn; halving a thousand inputs takes ten levels.
const ROUNDS_MAX: usize = 40;

/// A message that has polled for so long hands over to a new one: messages die after 14 days, and go to the dead-letter queue after
/// 1,000 deliveries (both SQS), while a collection may take its time and a refused token may stay refused.
const MESSAGE_AGE_MAX_SECONDS: i64 = 7 * 86_400;
/// Reminders of one generation are sent within a turn of each other. One that is sent so much later was moved back from the dead-letter
/// queue, which gives it a new id (SQS: redrive).
const MOVED_AFTER_SECONDS: i64 = 3_600;

/// One delivery in so many leaves a note that its handler came to its end.
const ALIVE_EVERY: u32 = 4;
/// A message is poison when so many deliveries in a row have failed, up to [`ALIVE_EVERY`] good ones before them counted in. They take
/// several minutes, so that short trouble of S3 or SQS does not fill the dead-letter queue; and longer trouble of S3 is not even seen here.
const FAILURES_MAX: u32 = 12;
/// With so many, no handler has lived long enough to say why.
const DEATHS_MAX: u32 = 20;

/// So often a hint looks: the notice may come before the dataset can be had.
const HINTED_LOOKS_MAX: u32 = 6;
/// Seconds from its first look to its second, which double from one to the next.
const HINTED_WAIT_SECONDS: u32 = 5;

/// Which message polls an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PollerRecord {
    v: u32,
    message_id: String,
    at: Timestamp,
}

/// What a message is to its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It polls.
    Poller,
    /// Another message polls.
    Other,
    /// It may be the poller under a new id: the old one is not seen any more.
    Moved,
}

/// How far an attempt has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Driven {
    /// It has ended, and what follows is on its way.
    Ended,
    /// Look again after so many seconds.
    Wait { after: u32, why: String, stopped: bool },
    /// Nothing is left but what a person has to decide.
    Held,
}

impl Pipeline {
    /// Works on one message of the poll queue.
    pub async fn poll(&self, body: &str, turn: &Turn) -> Result<Verdict, PortError> {
        let reminder = match Reminder::decode(body) {
            Ok(reminder) => reminder,
            Err(_) if let Ok(hint) = Hint::decode(body) => {
                return self.look_early(&hint, turn).instrument(hint.attempt.span()).await;
            }
            Err(problem) => return Ok(Verdict::SetAside { why: problem.to_string() }),
        };
        let span = reminder.attempt.span();
        self.poll_reminder(&reminder, turn).instrument(span).await
    }

    /// Looks at what a notice is about. The attempt's reminder stays where it is: whatever becomes of this message, nothing is lost with it,
    /// so it never comes to the dead letters.
    async fn look_early(&self, hint: &Hint, turn: &Turn) -> Result<Verdict, PortError> {
        if turn.receives > HINTED_LOOKS_MAX {
            return Ok(Verdict::Done);
        }
        let found = AttemptKeys::load(&*self.store, &hint.attempt).await?;
        if found.ended || !found.begun() {
            return Ok(Verdict::Done);
        }
        self.count(&metrics::HINTS, 1);
        let mut work = Work::begin(self, turn, &hint.attempt).await?;
        // Whoever knows an address can make us look, and nothing else.
        work.only_looks = true;
        Ok(match work.drive_from(found).await? {
            Driven::Ended | Driven::Held => Verdict::Done,
            Driven::Wait { why, stopped, .. } => {
                let after_seconds = HINTED_WAIT_SECONDS << turn.receives.saturating_sub(1);
                Verdict::Again { after_seconds, why, stopped }
            }
        })
    }

    async fn poll_reminder(&self, reminder: &Reminder, turn: &Turn) -> Result<Verdict, PortError> {
        let found = AttemptKeys::load(&*self.store, &reminder.attempt).await?;
        // A process that is alone was stopped by a person, however often.
        let deliveries = if self.alone_since.is_some() { 0 } else { found.deliveries_since_alive(turn) };
        if deliveries > DEATHS_MAX {
            let why = format!(
                "{deliveries} deliveries in a row came to no end: the handler fails, or dies for want of memory or time; its log says more"
            );
            return Ok(Verdict::SetAside { why });
        }
        match self.poll_attempt(reminder, found, turn).await {
            Err(error) if deliveries > FAILURES_MAX => {
                let why =
                    format!("{deliveries} deliveries in a row failed, the last one so: {error}: {}", error.source);
                Ok(Verdict::SetAside { why })
            }
            Ok(verdict @ Verdict::Again { .. }) => {
                if turn.receives.is_multiple_of(ALIVE_EVERY) {
                    let key = keys::alive(&reminder.attempt, &turn.message_id, turn.receives);
                    let alive = serde_json::json!({"v": VERSION, "at": self.clock.now()});
                    ledger::write_once(&*self.store, &key, &alive).await?;
                }
                Ok(verdict)
            }
            verdict => verdict,
        }
    }

    async fn poll_attempt(&self, reminder: &Reminder, found: AttemptKeys, turn: &Turn) -> Result<Verdict, PortError> {
        let id = &reminder.attempt;
        if !found.begun() && !self.exists(id).await? {
            return self.without_record(reminder).await;
        }
        if found.ended {
            let run: RunRecord = ledger::read_known(&*self.store, &keys::run(&id.run)).await?;
            let end: AttemptEnd = ledger::read_known(&*self.store, &keys::attempt_end(id)).await?;
            self.after_attempt(&run, id, &end).await?;
            return Ok(Verdict::Done);
        }
        match self.role(reminder, &found, turn).await? {
            Role::Poller => {}
            Role::Other => {
                tracing::debug!("another message polls this attempt");
                return Ok(Verdict::Done);
            }
            Role::Moved => return self.hand_over(reminder, turn, 0).await,
        }
        let mut work = Work::begin(self, turn, id).await?;
        Ok(match work.drive_from(found).await? {
            Driven::Ended => Verdict::Done,
            // Held work has no message: messages die after 14 days, a person may take longer.
            Driven::Held => {
                crate::status::refresh(self, &work.run, true).await?;
                Verdict::Done
            }
            Driven::Wait { after, .. } if seconds_between(turn.sent_at, self.clock.now()) > MESSAGE_AGE_MAX_SECONDS => {
                self.hand_over(reminder, turn, after).await?
            }
            Driven::Wait { after, why, stopped } => {
                if stopped {
                    crate::status::refresh(self, &work.run, false).await?;
                }
                Verdict::Again { after_seconds: after.clamp(1, limits::WAIT_SECONDS_MAX), why, stopped }
            }
        })
    }

    /// Sends the reminder of the next generation, which takes the place of every earlier one: chains cannot fork.
    async fn hand_over(&self, reminder: &Reminder, turn: &Turn, after: u32) -> Result<Verdict, PortError> {
        let generation = reminder.generation.saturating_add(1);
        let next = Reminder::new(reminder.attempt.clone(), generation, turn.ends_at);
        self.queues.send(QueueName::Poll, &[next.encode()], after.min(limits::DELAY_SECONDS_MAX)).await?;
        tracing::info!(generation, "another message polls from here on");
        Ok(Verdict::Done)
    }

    /// Whether the records say that there is such an attempt.
    async fn exists(&self, id: &AttemptId) -> Result<bool, PortError> {
        let key = match id.attempt {
            0 | 1 => keys::batch(&id.run, id.batch),
            attempt => keys::attempt_end(&AttemptId { attempt: attempt - 1, ..id.clone() }),
        };
        ledger::exists(&*self.store, &key).await
    }

    /// A reminder is sent before the record that it is about: it waits until its sender must be gone, then it goes.
    async fn without_record(&self, reminder: &Reminder) -> Result<Verdict, PortError> {
        let end: Option<EndRecord> = ledger::read(&*self.store, &keys::end(&reminder.attempt.run)).await?;
        if end.is_some_and(|end| reminder.attempt.batch > end.batches) {
            return Ok(Verdict::Done);
        }
        let left = seconds_between(self.clock.now(), reminder.sender_gone_at);
        Ok(match u32::try_from(left) {
            Ok(left) if left > 0 && self.alone_since.is_none() => {
                let why = "its record is not written yet".to_owned();
                Verdict::Again { after_seconds: left.min(30), why, stopped: false }
            }
            // Whoever goes on with the file sends another one.
            _ => Verdict::Done,
        })
    }

    /// Of several reminders of one attempt one polls, the others end themselves.
    async fn role(&self, reminder: &Reminder, found: &AttemptKeys, turn: &Turn) -> Result<Role, PortError> {
        if reminder.generation < found.generation {
            return Ok(Role::Other);
        }
        let key = keys::poller(&reminder.attempt, reminder.generation);
        let mine = PollerRecord { v: VERSION, message_id: turn.message_id.clone(), at: self.clock.now() };
        let standing: PollerRecord = match found.generation == reminder.generation {
            true => ledger::read_known(&*self.store, &key).await?,
            false => ledger::settle(&*self.store, &key, mine).await?,
        };
        let moved = seconds_between(standing.at, turn.sent_at) > MOVED_AFTER_SECONDS;
        Ok(match standing.message_id == turn.message_id {
            true => Role::Poller,
            false if moved => Role::Moved,
            false => Role::Other,
        })
    }
}

impl Work<'_> {
    /// Takes every slice of the attempt as far as it goes now.
    pub(crate) async fn drive(&mut self) -> Result<Driven, PortError> {
        let found = AttemptKeys::load(&*self.pipeline.store, &self.id).await?;
        self.drive_from(found).await
    }

    async fn drive_from(&mut self, mut found: AttemptKeys) -> Result<Driven, PortError> {
        let mut waits: BTreeMap<Slice, (u32, String, bool)> = BTreeMap::new();
        for _ in 0..ROUNDS_MAX {
            if found.ended {
                break;
            }
            let round = self.round(&found, &mut waits).await?;
            if round.again {
                found = AttemptKeys::load(&*self.pipeline.store, &self.id).await?;
                continue;
            }
            if !waits.is_empty() || round.held {
                self.show(&round.settled).await?;
            }
            let stopped = waits.values().all(|(.., stopped)| *stopped);
            if let Some((after, why, _)) = waits.into_values().min() {
                return Ok(Driven::Wait { after, why, stopped });
            }
            if round.held {
                return Ok(Driven::Held);
            }
            let end = self.end_attempt(&found, round.settled).await?;
            self.pipeline.after_attempt(&self.run, &self.id, &end).await?;
            return Ok(Driven::Ended);
        }
        Ok(Driven::Wait { after: 1, why: "more steps than one turn takes".to_owned(), stopped: false })
    }

    async fn round(
        &mut self,
        found: &AttemptKeys,
        waits: &mut BTreeMap<Slice, (u32, String, bool)>,
    ) -> Result<Round, PortError> {
        let whole = match found.whole() {
            Some(whole) => whole,
            None => self.whole().await?,
        };
        let mut round = Round::default();
        let mut slices = vec![whole];
        while let Some(slice) = slices.pop() {
            if slice.is_empty() || waits.contains_key(&slice) {
                continue;
            }
            let step = match found.state(&*self.pipeline.store, &self.id, slice).await? {
                SliceState::Split(one, two) => {
                    slices.extend([two, one]);
                    continue;
                }
                SliceState::Held { number, held } => {
                    held::mark(&*self.pipeline.store, &self.id, slice, number, held).await?;
                    round.held = true;
                    continue;
                }
                SliceState::Released { held, decision, open } => {
                    held::unmark(&*self.pipeline.store, &self.id, slice, found.holds(slice)).await?;
                    self.follow(slice, &held, &decision, open).await?
                }
                state @ SliceState::GivenUp(_) => {
                    held::unmark(&*self.pipeline.store, &self.id, slice, found.holds(slice)).await?;
                    round.settled.push((slice, state));
                    continue;
                }
                state @ (SliceState::Delivered(..) | SliceState::Refused { .. } | SliceState::CalledOff) => {
                    round.settled.push((slice, state));
                    continue;
                }
                SliceState::Unsent { .. } if self.only_looks => Step::wait(1, "a notice starts nothing"),
                SliceState::Unsent { send } if self.has_time() => {
                    let step = self.send(slice, send).await?;
                    step.calmly(self.turn.sent_at, self.pipeline.clock.now())
                }
                SliceState::Unsent { .. } => Step::wait(1, "not enough time is left for a send"),
                SliceState::Sending { send, intent, holds } => {
                    let step = self.reconcile(slice, send, &intent, holds).await?;
                    step.calmly(intent.doubt_at, self.pipeline.clock.now())
                }
                SliceState::Collecting(collecting) => self.look(slice, &collecting).await?,
            };
            match step {
                Step::Next => round.again = true,
                Step::Wait { after, why, stopped } => drop(waits.insert(slice, (after, why, stopped))),
            }
        }
        Ok(round)
    }

    /// Completes what some slices have delivered while others are not so far: a bucket drops unfinished uploads after some days, and a
    /// person may take longer.
    async fn show(&self, settled: &[(Slice, SliceState)]) -> Result<(), PortError> {
        for (_, state) in settled {
            if let SliceState::Delivered(_, delivery) = state
                && let Some(object) = &delivery.object
            {
                crate::finish::complete(&*self.pipeline.store, object).await?;
            }
        }
        Ok(())
    }

    /// Whether a send that begins now is answered, or given up, within this turn.
    fn has_time(&self) -> bool {
        let needed = limits::SEND_BY_SECONDS + i64::from(limits::TRIGGER_TIMEOUT_SECONDS);
        seconds_between(self.pipeline.clock.now(), self.turn.ends_at) > needed
    }
}

#[derive(Default)]
struct Round {
    /// Some slice has a new state.
    again: bool,
    held: bool,
    settled: Vec<(Slice, SliceState)>,
}
