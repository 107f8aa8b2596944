//! The `trigger` function: reads a dropped file, records its batches and starts their collections.

use std::collections::BTreeMap;

use tracing::Instrument;

use crate::Pipeline;
use crate::batch::Cutter;
use crate::cancel;
use crate::decisions::codes;
use crate::inputs::{FileFormat, FileProblem, ReadLimits, RowReader};
use crate::keys;
use crate::ledger::{self, BatchRecord, EndRecord, FileReport, RowCounts, RunRecord, VERSION};
use crate::manifest::{self, Manifest};
use crate::messages::{Reminder, Turn, Verdict};
use crate::metrics;
use crate::policy::limits;
use crate::ports::{Inputs, OpenInput, PortError, QueueName, Written};
use crate::schedule::{first_look, later, seconds_between};
use crate::settings::{self, SettingProblem};
use crate::status;
use crate::words::{AttemptId, InputObject};
use crate::work::Work;

/// Left for the last steps of a turn, in seconds: when less remains, the message comes back and goes on from the ledger.
const RESERVE_SECONDS: i64 = 30;
/// Reminders of one request (SQS quota: 10 messages a batch).
const REMINDERS_MAX: u32 = 10;

impl Pipeline {
    /// Works on one dropped object. Safe to repeat, to race and to cut off anywhere.
    pub async fn trigger(&self, inputs: &dyn Inputs, object: &InputObject, turn: &Turn) -> Result<Verdict, PortError> {
        let span = tracing::info_span!("file", run = %object.run(), key = object.key);
        self.trigger_object(inputs, object, turn).instrument(span).await
    }

    async fn trigger_object(
        &self,
        inputs: &dyn Inputs,
        object: &InputObject,
        turn: &Turn,
    ) -> Result<Verdict, PortError> {
        let store = &*self.store;
        let run_id = object.run();
        let now = self.clock.now();
        if object.dropped_at.is_some_and(|at| seconds_between(at, now) > limits::EVENT_AGE_MAX_SECONDS) {
            tracing::error!("the event is so old that its run may be forgotten: drop the file again to run it");
            return Ok(Verdict::Done);
        }
        let known: Option<RunRecord> = ledger::read(store, &keys::run(&run_id)).await?;
        if let Some(run) = &known
            && let Some(end) = ledger::read::<EndRecord>(store, &keys::end(&run_id)).await?
        {
            self.check_run(run, keys::block_of(end.batches)).await?;
            return Ok(Verdict::Done);
        }
        let path = keys::input_path(&object.key);
        if known.is_none()
            && let Some(manifest) = ledger::read::<Manifest>(store, &keys::manifest(&path, &run_id)).await?
        {
            // Rejected before. It stays so when the event comes again, whatever the deployment's settings are by then.
            status::conclude(self, &path, &manifest).await?;
            self.mark_over(&path, &run_id, manifest.started_at).await?;
            return Ok(Verdict::Done);
        }
        if let Some(run) = &known
            && cancel::is_cancelled(store, &run_id).await?
        {
            return self.read_no_further(run, turn).await;
        }
        let Some(open) = inputs.open(object).await? else {
            return self.vanished(object, known.as_ref(), turn).await;
        };
        let run = match known {
            Some(run) => run,
            None => match self.begin(object, &open.object, &open.metadata).await? {
                Ok(run) => run,
                Err(report) => {
                    manifest::reject(self, object, None, report).await?;
                    return Ok(Verdict::Done);
                }
            },
        };
        Cutting::begin(self, turn, run).await?.run(open).await
    }

    /// The run's first record; a report when nothing of the file can be triggered.
    async fn begin(
        &self,
        object: &InputObject,
        opened: &InputObject,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Result<RunRecord, FileReport>, PortError> {
        let format = match FileFormat::from_key(&object.key) {
            Ok(format) => format,
            Err(problem) => return Ok(Err(FileReport::from(&problem))),
        };
        let settings = match settings::settle(&self.policy, &object.key, metadata) {
            Ok(settings) => settings,
            Err(problem) => return Ok(Err(FileReport::from(&problem))),
        };
        let mut policy = self.policy.clone();
        if let Some(inputs) = self.limits.batch_inputs_max(&settings.collector) {
            policy.batch_inputs_max = policy.batch_inputs_max.min(inputs);
        }
        let record = RunRecord {
            v: VERSION,
            run: object.run(),
            object: InputObject { bytes: opened.bytes.or(object.bytes), ..object.clone() },
            metadata: metadata.clone(),
            path: keys::input_path(&object.key),
            format,
            settings,
            policy,
            started_at: self.clock.now(),
        };
        // A sweep finds the run by this mark; without a run record behind it, it means nothing.
        let mark = keys::run_mark(keys::BEGUN, &record.run, record.started_at);
        ledger::write_once(&*self.store, &mark, &serde_json::json!({"v": VERSION})).await?;
        let key = keys::run(&record.run);
        let run = match ledger::write_once(&*self.store, &key, &record).await? {
            Written::New => {
                self.count(&metrics::FILES, 1);
                record
            }
            Written::Kept => ledger::read_known(&*self.store, &key).await?,
        };
        tracing::info!(collector = run.settings.collector, "a run begins");
        Ok(Ok(run))
    }

    /// The object was deleted or replaced before it had been read to its end.
    async fn vanished(&self, object: &InputObject, run: Option<&RunRecord>, turn: &Turn) -> Result<Verdict, PortError> {
        let code = "input_object_gone".to_owned();
        let message =
            "the object was deleted or replaced before it had been read; a replaced object has a run of its own"
                .to_owned();
        let report = FileReport { code, message };
        let Some(run) = run else {
            manifest::reject(self, object, None, report).await?;
            return Ok(Verdict::Done);
        };
        self.end_here(run, report, turn).await
    }

    /// A person has cancelled the run before its file had been read.
    async fn read_no_further(&self, run: &RunRecord, turn: &Turn) -> Result<Verdict, PortError> {
        let (_, rows) = self.recorded(run).await?;
        let message = format!("the run was cancelled when {} rows of the file had been read", rows.read);
        let report = FileReport { code: codes::RUN_CANCELLED.to_owned(), message };
        self.end_here(run, report, turn).await
    }

    /// Reads no further: the batches that are recorded are all that there are.
    async fn end_here(&self, run: &RunRecord, report: FileReport, turn: &Turn) -> Result<Verdict, PortError> {
        let (batches, rows) = self.recorded(run).await?;
        // An empty last batch takes the next number: whoever may still be reading the object cannot put one behind the end.
        let batches = batches.saturating_add(1);
        let (inputs, rejected) = (Vec::new(), Vec::new());
        let last =
            BatchRecord { v: VERSION, batch: batches, rows: RowCounts::default(), until: rows, inputs, rejected };
        let reminder = first_reminder(run, batches, turn);
        self.queues.send(QueueName::Poll, &[reminder], first_look(self.clock.now(), None)).await?;
        let standing = ledger::settle(&*self.store, &keys::batch(&run.run, batches), last).await?;
        if standing.rows.read > 0 {
            let why = "another handler still reads the object".to_owned();
            return Ok(Verdict::Again { after_seconds: 1, why, stopped: false });
        }
        let end = EndRecord { v: VERSION, batches, rows, header: None, problem: Some(report) };
        let end = ledger::settle(&*self.store, &keys::end(&run.run), end).await?;
        self.check_run(run, keys::block_of(end.batches)).await?;
        Ok(Verdict::Done)
    }

    /// The last recorded batch: its number (0 for none) and the rows up to its end.
    pub(crate) async fn recorded(&self, run: &RunRecord) -> Result<(u32, RowCounts), PortError> {
        let keys = ledger::list_all(&*self.store, &keys::batches(&run.run)).await?;
        let Some(last) = keys.last() else { return Ok((0, RowCounts::default())) };
        let record: BatchRecord = ledger::read_known(&*self.store, last).await?;
        Ok((record.batch, record.until))
    }
}

/// One turn of cutting one file.
struct Cutting<'a> {
    pipeline: &'a Pipeline,
    turn: &'a Turn,
    run: RunRecord,
    cutter: Cutter,
    reader: RowReader,
    started: jiff::Timestamp,
    /// Reminders of batches up to this number are on their way.
    reminded: u32,
    /// How many reminders the next request carries.
    group: u32,
    recorded: u32,
}

/// Why cutting ended early.
enum Cut {
    /// Time is up, or another handler cuts the same file: begin again from the ledger.
    Again(&'static str),
    /// The whole file is refused after all.
    Reject(SettingProblem),
}

impl<'a> Cutting<'a> {
    async fn begin(pipeline: &'a Pipeline, turn: &'a Turn, run: RunRecord) -> Result<Cutting<'a>, PortError> {
        let (batches, rows) = pipeline.recorded(&run).await?;
        Ok(Self {
            pipeline,
            turn,
            cutter: Cutter::new(&run.policy, batches, rows),
            reader: RowReader::new(&run.format, ReadLimits::of_rows(&run.policy)),
            run,
            started: pipeline.clock.now(),
            reminded: batches,
            group: 1,
            recorded: batches,
        })
    }

    async fn run(mut self, mut open: OpenInput) -> Result<Verdict, PortError> {
        match self.cut(&mut open).await? {
            Ok(problem) => self.end(problem).await,
            Err(Cut::Again(why)) => Ok(Verdict::Again { after_seconds: 1, why: why.to_owned(), stopped: false }),
            Err(Cut::Reject(problem)) => {
                let begun = Some(self.run.started_at);
                manifest::reject(self.pipeline, &self.run.object, begun, FileReport::from(&problem)).await?;
                Ok(Verdict::Done)
            }
        }
    }

    /// Reads to the end of the file, or to where it cannot be read any further.
    async fn cut(&mut self, open: &mut OpenInput) -> Result<Result<Option<FileProblem>, Cut>, PortError> {
        let mut problem = None;
        while problem.is_none() {
            let chunk = open.body.next().await?;
            let read = match &chunk {
                Some(chunk) => self.reader.push(chunk),
                None => self.reader.finish(),
            };
            problem = read.err();
            if let Err(cut) = self.rows().await? {
                return Ok(Err(cut));
            }
            if chunk.is_none() {
                break;
            }
            if seconds_between(self.pipeline.clock.now(), self.turn.ends_at) < RESERVE_SECONDS {
                return Ok(Err(Cut::Again("the file is longer than one turn")));
            }
        }
        if let Some(batch) = self.cutter.finish()
            && let Err(cut) = self.record(batch).await?
        {
            return Ok(Err(cut));
        }
        Ok(Ok(problem))
    }

    async fn rows(&mut self) -> Result<Result<(), Cut>, PortError> {
        while let Some(row) = self.reader.next_row() {
            let Some(batch) = self.cutter.take(row) else { continue };
            if self.run.settings.confirm_cancel {
                // The first batch comes out only when a second one follows.
                return Ok(Err(Cut::Reject(SettingProblem::CancelsItself)));
            }
            if let Err(cut) = self.record(batch).await? {
                return Ok(Err(cut));
            }
        }
        Ok(Ok(()))
    }

    /// Reminds, records, acts.
    async fn record(&mut self, batch: BatchRecord) -> Result<Result<(), Cut>, PortError> {
        let pipeline = self.pipeline;
        let number = batch.batch;
        self.remind(number).await?;
        let key = keys::batch(&self.run.run, number);
        if ledger::write_once(&*pipeline.store, &key, &batch).await? == Written::Kept {
            let standing: BatchRecord = ledger::read_known(&*pipeline.store, &key).await?;
            if standing.until != batch.until {
                return Ok(Err(Cut::Again("another handler cuts the same file")));
            }
            self.recorded = number;
            return Ok(Ok(()));
        }
        self.recorded = number;
        pipeline.count(&metrics::BATCHES, 1);
        pipeline.count(&metrics::INPUTS, batch.rows.read);
        pipeline.count(&metrics::INPUTS_REJECTED, batch.rows.rejected);
        pipeline.count(&metrics::INPUTS_DUPLICATE, batch.rows.duplicates);
        tracing::info!(batch = number, inputs = batch.inputs.len(), rejected = batch.rejected.len(), "recorded");
        let now = pipeline.clock.now();
        let first = number == 1;
        // Half of the turn is for sending; what is left over goes out from its reminder.
        let sends = seconds_between(self.started, now) * 2 < seconds_between(self.started, self.turn.ends_at);
        let cancelled = if sends {
            let id = AttemptId { run: self.run.run.clone(), batch: number, attempt: 1 };
            let span = id.span();
            let mut work = Work::with_batch(pipeline, self.turn, id, &self.run, batch);
            work.drive().instrument(span).await?;
            work.cancelled
        } else {
            cancel::is_cancelled(&*pipeline.store, &self.run.run).await?
        };
        if cancelled {
            return Ok(Err(Cut::Again("the run was cancelled")));
        }
        status::refresh_rows(pipeline, &self.run, Some(self.cutter.until()), first).await?;
        Ok(Ok(()))
    }

    /// Puts reminders on their way, in growing groups and ahead of the records: they carry names only, and one that finds no batch when
    /// the file has been read to its end just goes.
    async fn remind(&mut self, batch: u32) -> Result<(), PortError> {
        if batch <= self.reminded {
            return Ok(());
        }
        let last = batch + self.group - 1;
        let bodies: Vec<String> = (batch..=last).map(|batch| first_reminder(&self.run, batch, self.turn)).collect();
        let delay = first_look(self.pipeline.clock.now(), None);
        self.pipeline.queues.send(QueueName::Poll, &bodies, delay).await?;
        self.reminded = last;
        self.group = (self.group * 2).min(REMINDERS_MAX);
        Ok(())
    }

    /// Says how many batches there are, and whether that was all.
    async fn end(self, problem: Option<FileProblem>) -> Result<Verdict, PortError> {
        let pipeline = self.pipeline;
        let end = EndRecord {
            v: VERSION,
            batches: self.recorded,
            rows: self.cutter.until(),
            header: self.reader.header().map(ToOwned::to_owned),
            problem: problem.as_ref().map(FileReport::from),
        };
        let end = ledger::settle(&*pipeline.store, &keys::end(&self.run.run), end).await?;
        tracing::info!(batches = end.batches, read = end.rows.read, "the file has been read");
        if !pipeline.check_run(&self.run, keys::block_of(end.batches)).await? {
            status::refresh(pipeline, &self.run, true).await?;
        }
        Ok(Verdict::Done)
    }
}

/// The first reminder of a batch.
fn first_reminder(run: &RunRecord, batch: u32, turn: &Turn) -> String {
    let attempt = AttemptId { run: run.run.clone(), batch, attempt: 1 };
    Reminder::new(attempt, 1, turn.ends_at).encode()
}

/// When a turn that begins now ends, where nobody says so.
pub fn longest_turn(now: jiff::Timestamp) -> jiff::Timestamp {
    later(now, limits::TURN_SECONDS_MAX)
}
