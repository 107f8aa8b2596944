//! One handler's work on one attempt: what it needs is read when it is needed, and once.

use jiff::Timestamp;

use crate::Pipeline;
use crate::cancel;
use crate::delivery::Sent;
use crate::gate::{self, Cause, Refusal};
use crate::keys;
use crate::ledger::{self, AttemptEnd, BatchRecord, InputRow, RunRecord, SendId};
use crate::messages::Turn;
use crate::ports::{Looked, PortError};
use crate::schedule::next_look;
use crate::words::{AttemptId, Slice};

/// What follows a step on a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The ledger says more now: derive the state again.
    Next,
    /// Nothing to do before so many seconds; `stopped` as in [`Verdict::Again`](crate::messages::Verdict::Again).
    Wait { after: u32, why: String, stopped: bool },
}

impl Step {
    pub(crate) fn wait(after: u32, why: impl Into<String>) -> Self {
        Self::Wait { after, why: why.into(), stopped: false }
    }

    /// The same where nothing may be paid for.
    pub(crate) fn stopped(after: u32, why: String) -> Self {
        Self::Wait { after, why, stopped: true }
    }

    /// What has been waited for since `since` is waited for in steps that grow with its age, so that waiting for ever costs little.
    pub(crate) fn calmly(self, since: Timestamp, now: Timestamp) -> Self {
        match self {
            Self::Wait { after, why, stopped } => {
                Self::Wait { after: after.max(next_look(since, now, None)), why, stopped }
            }
            Self::Next => Self::Next,
        }
    }
}

pub(crate) struct Work<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) turn: &'a Turn,
    pub(crate) id: AttemptId,
    pub(crate) run: RunRecord,
    /// When this turn's work on the attempt began.
    pub(crate) began: Timestamp,
    /// Whether a person has cancelled the run, as far as this turn knows.
    pub(crate) cancelled: bool,
    /// It only looks: nothing is triggered in this turn.
    pub(crate) only_looks: bool,
    loaded: Option<Loaded>,
}

/// The inputs of an attempt.
struct Loaded {
    batch: BatchRecord,
    positions: Vec<u32>,
    previous: Option<AttemptEnd>,
}

impl<'a> Work<'a> {
    pub(crate) async fn begin(pipeline: &'a Pipeline, turn: &'a Turn, id: &AttemptId) -> Result<Work<'a>, PortError> {
        let run = ledger::read_known(&*pipeline.store, &keys::run(&id.run)).await?;
        let mut work = Self::with(pipeline, turn, id.clone(), run, None);
        work.ask_whether_cancelled().await?;
        Ok(work)
    }

    /// With a batch that is at hand already: the one that `trigger` has just cut.
    pub(crate) fn with_batch(
        pipeline: &'a Pipeline,
        turn: &'a Turn,
        id: AttemptId,
        run: &RunRecord,
        batch: BatchRecord,
    ) -> Self {
        let positions = (0..).take(batch.inputs.len()).collect();
        let loaded = Some(Loaded { batch, positions, previous: None });
        Self::with(pipeline, turn, id, run.clone(), loaded)
    }

    fn with(pipeline: &'a Pipeline, turn: &'a Turn, id: AttemptId, run: RunRecord, loaded: Option<Loaded>) -> Self {
        let began = pipeline.clock.now();
        Self { pipeline, turn, id, run, began, cancelled: false, only_looks: false, loaded }
    }

    /// Whether a person has cancelled the run by now.
    pub(crate) async fn ask_whether_cancelled(&mut self) -> Result<bool, PortError> {
        self.cancelled = self.cancelled || cancel::is_cancelled(&*self.pipeline.store, &self.id.run).await?;
        Ok(self.cancelled)
    }

    async fn load(&mut self) -> Result<&Loaded, PortError> {
        let loaded = match self.loaded.take() {
            Some(loaded) => loaded,
            None => {
                let store = &*self.pipeline.store;
                let batch: BatchRecord = ledger::read_known(store, &keys::batch(&self.id.run, self.id.batch)).await?;
                match self.id.attempt.checked_sub(1).filter(|previous| *previous > 0) {
                    None => Loaded { positions: (0..).take(batch.inputs.len()).collect(), batch, previous: None },
                    Some(attempt) => {
                        let before = AttemptId { attempt, ..self.id.clone() };
                        let previous: AttemptEnd = ledger::read_known(store, &keys::attempt_end(&before)).await?;
                        let positions = previous.fates.again.iter().map(|failed| failed.input).collect();
                        Loaded { batch, positions, previous: Some(previous) }
                    }
                }
            }
        };
        Ok(self.loaded.insert(loaded))
    }

    /// The whole attempt as a slice.
    pub(crate) async fn whole(&mut self) -> Result<Slice, PortError> {
        let inputs = self.load().await?.positions.len();
        Ok(Slice { start: 0, end: u32::try_from(inputs).unwrap_or(u32::MAX) })
    }

    /// The inputs of a slice.
    pub(crate) async fn sent(&mut self, slice: Slice) -> Result<Sent<'_>, PortError> {
        let attempt = self.id.attempt;
        let loaded = self.load().await?;
        let positions: Vec<u32> =
            loaded.positions.iter().skip(slice.start as usize).take(slice.len() as usize).copied().collect();
        let inputs: Vec<&InputRow> =
            positions.iter().filter_map(|position| loaded.batch.inputs.get(*position as usize)).collect();
        if inputs.len() != positions.len() || inputs.len() != slice.len() as usize {
            let what = format!("the records of batch {} contradict each other", loaded.batch.batch);
            return Err(PortError::new(what, "a slice names inputs that do not exist"));
        }
        Ok(Sent { inputs, positions, attempt })
    }

    /// Rows of the batch, and what the attempts before this one came to.
    pub(crate) async fn background(&mut self) -> Result<(&BatchRecord, Option<&AttemptEnd>), PortError> {
        let loaded = self.load().await?;
        Ok((&loaded.batch, loaded.previous.as_ref()))
    }

    pub(crate) fn send_id(&self, slice: Slice, send: u32) -> SendId {
        SendId { attempt: self.id.clone(), slice, send }
    }

    /// A question was told to wait (429): everybody does, because an address that gets too many of these answers is blocked. Returns the
    /// seconds.
    pub(crate) async fn told_to_wait(&self, retry_after: Option<u32>) -> Result<u32, PortError> {
        let refusal = Refusal { cause: Cause::Limit, retry_after, reason: "the API asked to wait" };
        gate::close(&*self.pipeline.store, keys::TOKEN_GATE, self.pipeline.clock.now(), refusal).await
    }

    /// An answer to a question, noted if it was to wait.
    pub(crate) async fn asked<T>(&self, answer: Looked<T>) -> Result<Looked<T>, PortError> {
        if let Looked::Wait { retry_after } = answer {
            self.told_to_wait(retry_after).await?;
        }
        Ok(answer)
    }
}
