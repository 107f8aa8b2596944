//! The manifest: what became of every input of a run. Written last, and once.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Pipeline;
use crate::failures::{Failures, Tally};
use crate::inputs::SourceWriter;
use crate::keys;
use crate::ledger::{
    self, BatchRecord, CollectionEntry, DoneRecord, EndRecord, FileReport, OutputEntry, RowCounts, RunRecord, Sums,
};
use crate::metrics;
use crate::policy::OutputCompression;
use crate::ports::{Completed, ObjectInfo, PortError, Store, Written};
use crate::schedule::seconds_between;
use crate::status;
use crate::upload::Upload;
use crate::words::{InputObject, RunId};

/// Records that are read at the same time.
const READS_IN_FLIGHT: usize = 16;

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Only in a status: work goes on.
    Running,
    /// Only in a status: work waits for a person, or for a token that is accepted.
    Held,
    /// Every input has records, or legitimately none.
    Complete,
    /// Some inputs failed for good, or some records could not be tied to their input.
    CompleteWithFailures,
    /// Nothing could be triggered.
    Rejected,
}

/// `read = rejected + duplicates + with_records + no_record + failed + pending + held`, exactly, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputCounts {
    /// Rows of the file.
    pub read: u64,
    /// Rows that are no valid input.
    pub rejected: u64,
    /// Inputs that stand in the file more than once, counted without the first.
    pub duplicates: u64,
    /// Inputs with at least one record.
    pub with_records: u64,
    /// Inputs whose collection ended without a record or an error.
    pub no_record: u64,
    /// Inputs that failed for good.
    pub failed: u64,
    /// Inputs under way; 0 in a manifest.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pending: u64,
    /// Inputs that wait for a person; 0 in a manifest.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held: u64,
}

impl InputCounts {
    /// Whether every row is accounted for.
    pub fn conserved(&self) -> bool {
        let fates =
            [self.rejected, self.duplicates, self.with_records, self.no_record, self.failed, self.pending, self.held];
        self.read == fates.iter().sum::<u64>()
    }

    pub(crate) fn of(rows: &RowCounts, sums: &Sums) -> Self {
        Self {
            read: rows.read,
            rejected: rows.rejected,
            duplicates: rows.duplicates,
            with_records: sums.with_records,
            no_record: sums.no_record,
            failed: sums.failed,
            ..Self::default()
        }
    }
}

/// What was paid for, and what it brought. An input counts as often as it was triggered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Collections.
    pub collections: u64,
    /// Inputs that they were triggered with.
    pub inputs: u64,
    /// Page loads by their job logs, which is what the API charges; where there was no log, one for each input.
    pub page_loads: u64,
    /// Of the inputs, those that brought no record.
    pub for_nothing: u64,
    /// Inputs that were triggered again, by the code of the failure before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub again: BTreeMap<String, u64>,
}

impl Spent {
    pub(crate) fn of(sums: &Sums) -> Self {
        // An input with a record is not triggered again, so each has brought one once.
        let for_nothing = sums.sent.saturating_sub(sums.with_records);
        let (collections, inputs, page_loads) = (sums.collections, sums.sent, sums.page_loads);
        Self { collections, inputs, page_loads, for_nothing, again: BTreeMap::new() }
    }
}

/// Where the failures are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedFiles {
    /// The inputs that failed, in the format of the input file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// One line for each of them, and for each rejected row.
    pub errors: String,
}

/// The input object as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestInput {
    /// Bucket.
    pub bucket: String,
    /// Key.
    pub key: String,
    /// Version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// ETag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl From<&InputObject> for ManifestInput {
    fn from(object: &InputObject) -> Self {
        Self {
            bucket: object.bucket.clone(),
            key: object.key.clone(),
            version_id: object.version_id.clone(),
            etag: object.etag.clone(),
            bytes: object.bytes,
        }
    }
}

/// `output/<input key>/<run>/manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub state: RunState,
    /// The collector, if one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<String>,
    /// What was dropped.
    pub input: ManifestInput,
    /// When the run began.
    pub started_at: Timestamp,
    /// When nothing was left to do.
    pub finished_at: Timestamp,
    /// What became of every row.
    pub inputs: InputCounts,
    /// Records of all outputs.
    pub records: u64,
    /// Of them, those whose input could not be told.
    pub unmatched_records: u64,
    /// Records with a warning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub warnings: u64,
    /// Inputs with a record and an error row beside it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub partial: u64,
    /// Sends that were made again after one in doubt: if the first did start something after all, it was paid for twice.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resent: u64,
    /// What was paid for, and what it brought.
    #[serde(default)]
    pub spent: Spent,
    /// Inputs that failed for good, told apart by code and by host.
    #[serde(default, skip_serializing_if = "Failures::is_empty")]
    pub failures: Failures,
    /// Every collection that was paid for.
    pub collections: Vec<CollectionEntry>,
    /// Every output object.
    pub outputs: Vec<OutputEntry>,
    /// Where the failures are, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedFiles>,
    /// What is wrong with the file as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<FileReport>,
}

impl Manifest {
    /// The manifest of a run that starts and ends now, without anything.
    fn rejected(object: &InputObject, now: Timestamp) -> Self {
        Self {
            run: object.run(),
            state: RunState::Rejected,
            collector: None,
            input: ManifestInput::from(object),
            started_at: now,
            finished_at: now,
            inputs: InputCounts::default(),
            records: 0,
            unmatched_records: 0,
            warnings: 0,
            partial: 0,
            resent: 0,
            spent: Spent::default(),
            failures: Failures::default(),
            collections: Vec::new(),
            outputs: Vec::new(),
            failed: None,
            problem: None,
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One line of `errors.ndjson`.
#[derive(Serialize)]
struct ErrorLine<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a serde_json::value::RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<&'a str>,
    code: &'a str,
    message: &'a str,
    attempts: u32,
}

/// Writes failed file, errors and manifest of a run whose batches are all done. Safe to repeat and to race: everything follows from
/// ledger records, and the manifest is created once.
pub(crate) async fn write(pipeline: &Pipeline, run: &RunRecord, end: &EndRecord) -> Result<(), PortError> {
    let store = &*pipeline.store;
    if stands(pipeline, run).await? {
        return Ok(());
    }
    let mut manifest = Manifest {
        state: RunState::Complete,
        collector: Some(run.settings.collector.clone()),
        started_at: run.started_at,
        problem: end.problem.clone(),
        ..Manifest::rejected(&run.object, pipeline.clock.now())
    };
    let mut reports = Reports::new(store, run, end);
    let mut sums = Sums::default();
    let keys = (1..=end.batches).map(|batch| (batch, keys::done(&run.run, batch)));
    let mut records =
        futures_util::stream::iter(keys)
            .map(|(batch, key)| async move {
                Ok::<_, PortError>((batch, ledger::read_known::<DoneRecord>(store, &key).await?))
            })
            .buffered(READS_IN_FLIGHT);
    while let Some(done) = records.next().await {
        let (batch, done) = done?;
        sums.add(&Sums::of(&done.fates));
        manifest.warnings += done.fates.warnings;
        manifest.partial += done.fates.partial;
        manifest.resent += u64::from(done.fates.resent);
        for (code, inputs) in &done.fates.again_codes {
            *manifest.spent.again.entry(code.clone()).or_default() += inputs;
        }
        if !done.fates.failed.is_empty() || done.rows.rejected > 0 {
            reports.add(batch, &done).await?;
        }
        manifest.collections.extend(done.fates.collections);
        manifest.outputs.extend(done.fates.outputs);
    }
    manifest.failures = std::mem::take(&mut reports.tally).finish();
    manifest.failed = reports.finish().await?;
    manifest.inputs = InputCounts::of(&end.rows, &sums);
    manifest.records = sums.records;
    manifest.unmatched_records = sums.unmatched_records;
    manifest.spent = Spent { again: manifest.spent.again, ..Spent::of(&sums) };
    manifest.state = state(&manifest, end);
    if !manifest.inputs.conserved() {
        pipeline.count(&metrics::CONSERVATION_BROKEN, 1);
        return Err(PortError::new(
            format!("the counts of run {} do not add up", run.run),
            format!("{:?}", manifest.inputs),
        ));
    }
    publish(pipeline, run, manifest).await
}

/// Whether a run has its manifest. Whoever wrote it may have been cut off before the last words: these are made up for.
pub(crate) async fn stands(pipeline: &Pipeline, run: &RunRecord) -> Result<bool, PortError> {
    let store = &*pipeline.store;
    let key = keys::manifest(&run.path, &run.run);
    let stands = ledger::exists(store, &key).await?;
    if stands && status::lags(pipeline, &run.path, &run.run).await? {
        status::conclude(pipeline, &run.path, &ledger::read_known(store, &key).await?).await?;
    }
    Ok(stands)
}

fn state(manifest: &Manifest, end: &EndRecord) -> RunState {
    let flawless = manifest.inputs.failed == 0 && manifest.unmatched_records == 0 && end.problem.is_none();
    match end.rows.inputs() {
        0 => RunState::Rejected,
        _ if flawless => RunState::Complete,
        _ => RunState::CompleteWithFailures,
    }
}

/// A file that starts nothing: no collector, a bad setting, an unreadable file. `begun` is when its run began, if it did.
pub(crate) async fn reject(
    pipeline: &Pipeline,
    object: &InputObject,
    begun: Option<Timestamp>,
    report: FileReport,
) -> Result<(), PortError> {
    tracing::warn!(code = report.code, "rejected: {}", report.message);
    let now = pipeline.clock.now();
    let started_at = begun.unwrap_or(now);
    let manifest = Manifest { problem: Some(report), started_at, ..Manifest::rejected(object, now) };
    let path = keys::input_path(&object.key);
    let standing = create(pipeline, &path, object, manifest).await?;
    pipeline.mark_over(&path, &standing.run, standing.started_at).await
}

async fn publish(pipeline: &Pipeline, run: &RunRecord, manifest: Manifest) -> Result<(), PortError> {
    let manifest = create(pipeline, &run.path, &run.object, manifest).await?;
    tracing::info!(
        run = %run.run, key = run.object.key, state = ?manifest.state, read = manifest.inputs.read, with_records = manifest.inputs.with_records,
        failed = manifest.inputs.failed, records = manifest.records, "the run is over"
    );
    Ok(())
}

/// Writes the manifest of an object's run if it has none yet; gives the one that stands.
async fn create(
    pipeline: &Pipeline,
    path: &str,
    object: &InputObject,
    manifest: Manifest,
) -> Result<Manifest, PortError> {
    let key = keys::manifest(path, &manifest.run);
    let body =
        serde_json::to_vec_pretty(&manifest).map_err(|error| PortError::new(format!("cannot write {key}"), error))?;
    let written = pipeline.store.create(&key, body.into(), &ObjectInfo::of("application/json")).await?;
    tracing::debug!(key, new = written == Written::New, "manifest");
    let standing = match written {
        Written::New => {
            let dropped_at = object.dropped_at.unwrap_or(manifest.started_at);
            let took = u64::try_from(seconds_between(dropped_at, manifest.finished_at)).unwrap_or(0);
            pipeline.count_by(&metrics::RUNS, metrics::state(manifest.state), 1);
            pipeline.metrics.note(&metrics::RUN_SECONDS, "", took);
            manifest
        }
        Written::Kept => ledger::read_known(&*pipeline.store, &key).await?,
    };
    status::conclude(pipeline, path, &standing).await?;
    Ok(standing)
}

/// `failed.<ext>` and `errors.ndjson`, written while the batches are read.
struct Reports<'a> {
    store: &'a dyn Store,
    run: &'a RunRecord,
    header: Option<&'a str>,
    failed: Option<(Upload<'a>, SourceWriter)>,
    errors: Option<Upload<'a>>,
    tally: Tally,
}

impl<'a> Reports<'a> {
    fn new(store: &'a dyn Store, run: &'a RunRecord, end: &'a EndRecord) -> Self {
        Self { store, run, header: end.header.as_deref(), failed: None, errors: None, tally: Tally::default() }
    }

    async fn add(&mut self, batch: u32, done: &DoneRecord) -> Result<(), PortError> {
        let record: BatchRecord = ledger::read_known(self.store, &keys::batch(&self.run.run, batch)).await?;
        let mut lines: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut failed: Vec<&ledger::FailedInput> = done.fates.failed.iter().collect();
        failed.sort_by_key(|failed| failed.input);
        for failed in failed {
            let Some(input) = record.inputs.get(failed.input as usize) else { continue };
            self.tally.add(&failed.code, Some(&input.json));
            let line = ErrorLine {
                line: input.line,
                input: serde_json::from_str(&input.json).ok(),
                row: None,
                code: &failed.code,
                message: &failed.message,
                attempts: failed.attempts,
            };
            lines.push((input.line, serde_json::to_vec(&line).unwrap_or_default()));
            let (upload, writer) = self.failed_file();
            writer.row(input.source());
            upload.take(&writer.take());
            upload.flush().await?;
        }
        for row in &record.rejected {
            let line = ErrorLine {
                line: row.line,
                input: None,
                row: Some(&row.source),
                code: &row.code,
                message: &row.message,
                attempts: 0,
            };
            lines.push((row.line, serde_json::to_vec(&line).unwrap_or_default()));
        }
        lines.sort_by_key(|(line, _)| *line);
        let (store, run) = (self.store, self.run);
        let errors = self.errors.get_or_insert_with(|| {
            let info = ObjectInfo::of("application/x-ndjson");
            Upload::new(store, keys::errors(&run.path, &run.run), info, OutputCompression::None)
        });
        for (_, line) in lines {
            errors.take(&line);
            errors.take(b"\n");
        }
        errors.flush().await
    }

    fn failed_file(&mut self) -> &mut (Upload<'a>, SourceWriter) {
        let (store, run, header) = (self.store, self.run, self.header);
        self.failed.get_or_insert_with(|| {
            // With the metadata of the input object, dropping the file again means the same collector and settings.
            let info =
                ObjectInfo { content_type: "application/octet-stream".to_owned(), metadata: run.metadata.clone() };
            let key = keys::failed(&run.path, &run.run, &run.format.extension);
            (Upload::new(store, key, info, OutputCompression::None), SourceWriter::new(&run.format, header))
        })
    }

    async fn finish(self) -> Result<Option<FailedFiles>, PortError> {
        let Some(errors) = self.errors else { return Ok(None) };
        let errors = complete(self.store, errors).await?;
        let key = match self.failed {
            Some((mut upload, writer)) => {
                upload.take(&writer.finish());
                Some(complete(self.store, upload).await?)
            }
            None => None,
        };
        Ok(Some(FailedFiles { key, errors }))
    }
}

/// Racing writers write the same bytes, so the last one to complete changes nothing.
async fn complete(store: &dyn Store, mut upload: Upload<'_>) -> Result<String, PortError> {
    let object = upload.finish().await?;
    match store.complete_upload(&object.key, &object.upload, &object.parts).await? {
        Completed::Yes => Ok(object.key),
        Completed::Gone => Err(PortError::new(
            format!("the upload of {} was removed before it could be completed", object.key),
            "it is made again",
        )),
    }
}
