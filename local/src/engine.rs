//! Runs the pipeline on one machine: the same handlers, fed from queues in a folder.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapters::clock::WallClock;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use pipeline::Pipeline;
use pipeline::gate::{self, Cause};
use pipeline::keys;
use pipeline::ledger::{self, RunRecord};
use pipeline::manifest::{Manifest, RunState};
use pipeline::messages::{Reminder, RetryOrder, Turn, Verdict};
use pipeline::policy::Policy;
use pipeline::ports::{Api, Clock, PortError, QueueName, Store};
use pipeline::spending::Limits;
use pipeline::status::Status;
use pipeline::words::{AttemptId, InputObject, RunId};

use crate::folder::{FolderInputs, FolderStore};
use crate::lock::{FolderLock, LockError};
use crate::queue::{FolderQueues, Received};

/// Handlers that work at the same time.
const HANDLERS_MAX: usize = 8;
/// Of them, those that read files: the others are for messages, so that neither waits for the end of the other, and that what is open
/// does not grow with the number of files.
const READERS_MAX: usize = HANDLERS_MAX / 2;
/// How long a handler may take before its message is given to another one. Handlers of this process are never stopped, so this is only
/// for what hangs.
const TURN_SECONDS: u32 = 6 * 3_600;
/// How long a message rests after an error of the disk.
const ERROR_SECONDS: u32 = 10;
/// Longest sleep between two looks at the queues.
const IDLE: Duration = Duration::from_secs(1);
/// How often progress is reported.
const TICK: Duration = Duration::from_millis(500);

/// Why the engine stopped before everything was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing is left to do, or nothing but what a person has to decide.
    Rest,
    /// Nothing may be paid for, and what was has been delivered: why.
    Stopped(String),
    /// The API refused the token: its words.
    Credentials(String),
}

/// The folder could not be taken, or not be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another process works in it, or it cannot be written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The disk failed.
    #[error("{0}: {source}", source = .0.source)]
    Port(#[from] PortError),
}

/// The pipeline over one folder, held by this process alone.
pub struct Engine {
    /// The store: the folder.
    pub store: FolderStore,
    /// The files that are run.
    pub inputs: FolderInputs,
    pipeline: Arc<Pipeline>,
    queues: FolderQueues,
    /// What each run waited for when its latest message was given back.
    reasons: Mutex<BTreeMap<RunId, String>>,
    /// Messages that wait for a person, or for a spending limit, and why.
    stopped: Mutex<BTreeMap<String, String>>,
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Batches that have a message.
    pub batches: usize,
    /// Seconds until the next of them is looked at.
    pub next: u64,
    /// What the last one that was looked at waits for.
    pub why: Option<String>,
}

type Handler = BoxFuture<'static, (Work, Result<Verdict, PortError>)>;

/// What a handler works on.
enum Work {
    File(InputObject),
    Message(QueueName, Received),
}

impl Engine {
    /// Opens the engine on a folder whose lock is held.
    pub async fn open(
        lock: &FolderLock,
        api: Arc<dyn Api>,
        policy: Policy,
        limits: Limits,
    ) -> Result<Self, EngineError> {
        let clock: Arc<dyn Clock> = Arc::new(WallClock);
        let store = FolderStore::open(lock);
        let queues = FolderQueues::open(lock, clock.clone())?;
        // Whoever starts the program has had the chance to put the token right.
        gate::open(&store, keys::TOKEN_GATE, clock.now()).await?;
        let pipeline = Pipeline {
            store: Arc::new(store.clone()),
            queues: Arc::new(queues.clone()),
            api,
            notices: Arc::new(()),
            metrics: Arc::new(()),
            webhook: None,
            alone_since: Some(clock.now()),
            clock,
            policy,
            limits,
        };
        let inputs = FolderInputs::new("local");
        Ok(Self {
            store,
            inputs,
            pipeline: Arc::new(pipeline),
            queues,
            reasons: Mutex::default(),
            stopped: Mutex::default(),
        })
    }

    /// The folder's path of a key.
    pub fn path(&self, key: &str) -> String {
        self.store.path(key).map_or_else(|_| key.to_owned(), |path| path.display().to_string())
    }

    /// The object of a file: its latest drop, or a new one if that is over and `again` asks for it, or if it was rejected, which cost
    /// nothing. Drops of equal bytes under one key differ in their number, so a run that was cut off is always found again.
    pub async fn object(
        &self,
        path: &Path,
        key: &str,
        metadata: BTreeMap<String, String>,
        again: bool,
    ) -> Result<InputObject, EngineError> {
        let now = self.pipeline.clock.now();
        let file = self.inputs.add(key, path, metadata, now).await?;
        let drop = |number: u32| InputObject { sequencer: Some(format!("{number:08}")), ..file.clone() };
        let mut number = 0;
        while self.has(&keys::run(&drop(number + 1).run())).await? || self.manifest(&drop(number + 1)).await?.is_some()
        {
            number += 1;
        }
        let latest = drop(number);
        let over = self.manifest(&latest).await?;
        let rejected = over.as_ref().is_some_and(|manifest| manifest.state == RunState::Rejected);
        Ok(if rejected || (over.is_some() && again) { drop(number + 1) } else { latest })
    }

    /// The manifest of an object's run, if it is over.
    pub async fn manifest(&self, object: &InputObject) -> Result<Option<Manifest>, EngineError> {
        Ok(ledger::read(&self.store, &keys::manifest(&keys::input_path(&object.key), &object.run())).await?)
    }

    /// What an object's run began with, if it has begun.
    pub async fn record(&self, object: &InputObject) -> Result<Option<RunRecord>, EngineError> {
        Ok(ledger::read(&self.store, &keys::run(&object.run())).await?)
    }

    /// The collector that an object's run would begin with; none where the file would be rejected.
    pub fn would_use(&self, object: &InputObject, metadata: &BTreeMap<String, String>) -> Option<String> {
        let settings = pipeline::settings::settle(&self.pipeline.policy, &object.key, metadata);
        settings.ok().map(|settings| settings.collector)
    }

    /// What is known of an object's run while it goes on.
    pub async fn status(&self, object: &InputObject) -> Result<Option<Status>, EngineError> {
        let status: Option<Status> = ledger::read(&self.store, &keys::status(&keys::input_path(&object.key))).await?;
        Ok(status.filter(|status| status.run == object.run()))
    }

    /// Refreshes the status of an object's run: at the end, when nothing else will.
    pub async fn refresh_status(&self, object: &InputObject) -> Result<(), EngineError> {
        if let Some(record) = self.record(object).await? {
            pipeline::status::refresh(&self.pipeline, &record, true).await?;
        }
        Ok(())
    }

    async fn has(&self, key: &str) -> Result<bool, EngineError> {
        Ok(self.store.get(key).await?.is_some())
    }

    /// What is under way, by run. It looks at every message, so it is asked once for all runs.
    pub fn waiting(&self) -> BTreeMap<RunId, Waiting> {
        let mut found: BTreeMap<RunId, (BTreeSet<u32>, Timestamp)> = BTreeMap::new();
        for (attempt, visible_at) in self.under_way() {
            let (batches, next) = found.entry(attempt.run).or_insert((BTreeSet::new(), Timestamp::MAX));
            batches.insert(attempt.batch);
            *next = visible_at.min(*next);
        }
        let now = self.pipeline.clock.now();
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |(run, (batches, next)): (RunId, (BTreeSet<u32>, Timestamp))| {
            let next = next.duration_since(now).as_millis().max(0).unsigned_abs();
            let next = u64::try_from(next.div_ceil(1_000)).unwrap_or(u64::MAX);
            let why = reasons.get(&run).cloned();
            (run, Waiting { batches: batches.len(), next, why })
        };
        found.into_iter().map(waiting).collect()
    }

    /// Input keys of other runs that were left unfinished in this folder: their work goes on beside that of the objects.
    pub async fn others(&self, objects: &[InputObject]) -> Result<BTreeSet<String>, EngineError> {
        let known: BTreeSet<RunId> = objects.iter().map(InputObject::run).collect();
        let others: BTreeSet<RunId> =
            self.under_way().map(|(attempt, _)| attempt.run).filter(|run| !known.contains(run)).collect();
        let mut named = BTreeSet::new();
        for run in others {
            let record: Option<RunRecord> = ledger::read(&self.store, &keys::run(&run)).await?;
            named.extend(record.map(|record| record.object.key));
        }
        Ok(named)
    }

    /// The attempts that have a message, and when it is due.
    fn under_way(&self) -> impl Iterator<Item = (AttemptId, Timestamp)> {
        QUEUES.into_iter().flat_map(|queue| {
            let messages = self.queues.queue(queue).messages().into_iter();
            messages.filter_map(move |message| Some((attempt(queue, &message.body)?, message.visible_at)))
        })
    }

    /// Works until every one of the runs has its manifest, or nothing goes on without a person. `tick` is called now and then.
    pub async fn run(&self, objects: &[InputObject], mut tick: impl AsyncFnMut()) -> Result<Stopped, EngineError> {
        let mut files: VecDeque<InputObject> = objects.iter().cloned().collect();
        let mut unfinished: VecDeque<&InputObject> = objects.iter().collect();
        let mut handlers: FuturesUnordered<Handler> = FuturesUnordered::new();
        let mut readers = 0;
        let mut ticks = tokio::time::interval(TICK);
        loop {
            while readers < READERS_MAX
                && let Some(file) = files.pop_front()
            {
                readers += 1;
                handlers.push(self.file(file));
            }
            while handlers.len() < HANDLERS_MAX {
                let Some(handler) = self.receive()? else { break };
                handlers.push(handler);
            }
            if handlers.is_empty()
                && let Some(stopped) = self.at_rest(&mut unfinished).await?
            {
                return Ok(stopped);
            }
            tokio::select! {
                _ = ticks.tick() => tick().await,
                Some((work, result)) = handlers.next(), if !handlers.is_empty() => {
                    files.extend(self.done(work, result, &mut readers)?);
                    if let Some((Cause::Credentials, reason)) = gate::reason(&self.store, keys::TOKEN_GATE).await? {
                        while let Some((work, result)) = handlers.next().await {
                            self.done(work, result, &mut readers)?;
                        }
                        return Ok(Stopped::Credentials(reason));
                    }
                }
                () = tokio::time::sleep(self.until_next_message()) => {}
            }
        }
    }

    /// Why nothing is left to do, if so, when no handler works. What has been seen to be over is not looked at again.
    async fn at_rest(&self, unfinished: &mut VecDeque<&InputObject>) -> Result<Option<Stopped>, EngineError> {
        while let Some(object) = unfinished.front() {
            if self.manifest(object).await?.is_none() {
                return Ok(self.rest());
            }
            unfinished.pop_front();
        }
        Ok(Some(Stopped::Rest))
    }

    /// Why no message has to be waited for, if so.
    fn rest(&self) -> Option<Stopped> {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let mut why = None;
        for message in QUEUES.into_iter().flat_map(|queue| self.queues.queue(queue).messages()) {
            why = Some(stopped.get(&message.message_id)?);
        }
        Some(why.map_or(Stopped::Rest, |why| Stopped::Stopped(why.clone())))
    }

    fn file(&self, object: InputObject) -> Handler {
        let (pipeline, inputs) = (self.pipeline.clone(), self.inputs.clone());
        Box::pin(async move {
            let turn = turn("file".to_owned(), pipeline.clock.now(), 1);
            let result = pipeline.trigger(&inputs, &object, &turn).await;
            (Work::File(object), result)
        })
    }

    fn receive(&self) -> Result<Option<Handler>, EngineError> {
        for queue in QUEUES {
            let now = self.pipeline.clock.now();
            let Some(received) = self.queues.queue(queue).receive(now, TURN_SECONDS)? else { continue };
            let pipeline = self.pipeline.clone();
            let turn = turn(received.message_id.clone(), received.sent_at, received.receive_count);
            return Ok(Some(Box::pin(async move {
                let result = match queue {
                    QueueName::Poll => pipeline.poll(&received.body, &turn).await,
                    QueueName::Retry => pipeline.retry(&received.body, &turn).await,
                };
                (Work::Message(queue, received), result)
            })));
        }
        Ok(None)
    }

    /// Tells the queue what became of a message. Returns a file that goes on.
    fn done(
        &self,
        work: Work,
        result: Result<Verdict, PortError>,
        readers: &mut usize,
    ) -> Result<Option<InputObject>, EngineError> {
        match work {
            Work::File(object) => {
                *readers -= 1;
                Ok(matches!(result?, Verdict::Again { .. }).then_some(object))
            }
            Work::Message(queue, received) => self.give_back(queue, &received, result).map(|()| None),
        }
    }

    fn give_back(
        &self,
        name: QueueName,
        received: &Received,
        result: Result<Verdict, PortError>,
    ) -> Result<(), EngineError> {
        let queue = self.queues.queue(name);
        let now = self.pipeline.clock.now();
        match result {
            Ok(Verdict::Done) => drop(queue.delete(&received.receipt)?),
            Ok(Verdict::Again { after_seconds, why, stopped: for_now }) => {
                tracing::debug!(message = received.body, after_seconds, why, "again");
                queue.give_back(now, &received.receipt, after_seconds)?;
                let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
                match for_now {
                    true => drop(stopped.insert(received.message_id.clone(), why.clone())),
                    false => drop(stopped.remove(&received.message_id)),
                }
                if let Some(attempt) = attempt(name, &received.body) {
                    self.reasons.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt.run, why);
                }
            }
            Ok(Verdict::SetAside { why }) => {
                tracing::error!(message = received.body, why, "set aside");
                queue.set_aside(&received.receipt, &why)?;
            }
            Err(error) => {
                tracing::error!(message = received.body, %error, source = %error.source, "will be tried again");
                queue.give_back(now, &received.receipt, ERROR_SECONDS)?;
            }
        }
        Ok(())
    }

    fn until_next_message(&self) -> Duration {
        let now = self.pipeline.clock.now();
        let next = QUEUES.iter().filter_map(|queue| self.queues.queue(*queue).next_visible_at()).min();
        let left = next.map(|next| u64::try_from(next.as_millisecond() - now.as_millisecond()).unwrap_or(0));
        left.map_or(IDLE, Duration::from_millis).clamp(Duration::from_millis(10), IDLE)
    }
}

const QUEUES: [QueueName; 2] = [QueueName::Poll, QueueName::Retry];

fn turn(message_id: String, sent_at: Timestamp, receives: u32) -> Turn {
    Turn { message_id, sent_at, receives, ends_at: pipeline::longest_turn(Timestamp::now()) }
}

/// The attempt that a message names.
fn attempt(queue: QueueName, body: &str) -> Option<AttemptId> {
    match queue {
        QueueName::Poll => Reminder::decode(body).ok().map(|reminder| reminder.attempt),
        QueueName::Retry => RetryOrder::decode(body).ok().map(|order| order.attempt),
    }
}
