//! A large input file: read and cut into batches, and the whole `trigger` with it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapters::clock::WallClock;
use anyhow::bail;
use async_trait::async_trait;
use dropcollect::folder::FilePieces;
use jiff::Timestamp;
use jiff::civil::Date;
use pipeline::Pipeline;
use pipeline::batch::Cutter;
use pipeline::inputs::{FileFormat, ReadLimits, RowReader};
use pipeline::ledger::RowCounts;
use pipeline::messages::{Turn, Verdict};
use pipeline::policy::Policy;
use pipeline::ports::{
    Api, Clock, Dataset, Inputs, JobError, JobLog, JobPage, Looked, OpenInput, PortError, QueueName, Queues,
    SendAnswer, TriggerRequest,
};
use pipeline::spending::Limits;
use pipeline::words::InputObject;

use crate::data;
use crate::delivery::store;

/// `csv FILE ROWS`: writes an input file.
pub(crate) fn write(arguments: &[String]) -> anyhow::Result<()> {
    let [file, rows] = arguments else { bail!("csv FILE ROWS") };
    Ok(std::fs::write(file, data::csv(rows.parse()?))?)
}

/// `cut-rows FILE`: reads rows and cuts batches, and throws them away.
pub(crate) fn cut(arguments: &[String]) -> anyhow::Result<()> {
    let [file] = arguments else { bail!("cut-rows FILE") };
    let mut reader = RowReader::new(&FileFormat::from_key(file)?, ReadLimits::default());
    let mut cutter = Cutter::new(&Policy::default(), 0, RowCounts::default());
    let mut pieces = FilePieces::open(Path::new(file))?;
    let mut batches = 0;
    while let Some(piece) = pieces.read()? {
        reader.push(&piece)?;
        while let Some(row) = reader.next_row() {
            batches += u32::from(cutter.take(row).is_some());
        }
    }
    reader.finish()?;
    while let Some(row) = reader.next_row() {
        batches += u32::from(cutter.take(row).is_some());
    }
    batches += u32::from(cutter.finish().is_some());
    println!(r#"{{"rows":{},"batches":{batches}}}"#, cutter.until().read);
    Ok(())
}

/// `trigger FILE S3`: the whole handler, with a real S3 client; the API and the queue answer at once.
pub(crate) async fn trigger(arguments: &[String]) -> anyhow::Result<()> {
    let [file, s3] = arguments else { bail!("trigger FILE S3") };
    let api = Arc::new(Accepting::default());
    let pipeline = Pipeline {
        store: Arc::new(store(s3).await?),
        queues: Arc::new(Swallowing),
        api: Arc::clone(&api) as Arc<dyn Api>,
        clock: Arc::new(WallClock),
        policy: Policy { default_collector: Some("c_bench00".to_owned()), ..Policy::default() },
        limits: Limits::default(),
        notices: Arc::new(()),
        metrics: Arc::new(()),
        webhook: None,
        alone_since: None,
    };
    let now = WallClock.now();
    let object = InputObject {
        bucket: "in".to_owned(),
        key: "inputs.csv".to_owned(),
        version_id: Some("v1".to_owned()),
        etag: None,
        sequencer: None,
        bytes: None,
        dropped_at: None,
    };
    let turn = Turn { message_id: "m".to_owned(), sent_at: now, receives: 1, ends_at: pipeline::longest_turn(now) };
    let verdict = pipeline.trigger(&File(file.clone()), &object, &turn).await?;
    if verdict != Verdict::Done {
        bail!("the file was not read to its end: {verdict:?}");
    }
    println!(r#"{{"sends":{}}}"#, api.0.load(Ordering::Relaxed));
    Ok(())
}

/// An input bucket with one file.
struct File(String);

#[async_trait]
impl Inputs for File {
    async fn open(&self, object: &InputObject) -> Result<Option<OpenInput>, PortError> {
        let body = FilePieces::open(Path::new(&self.0))?;
        Ok(Some(OpenInput { object: object.clone(), metadata: Default::default(), body: Box::new(body) }))
    }
}

/// Queues that take everything.
struct Swallowing;

#[async_trait]
impl Queues for Swallowing {
    async fn send(&self, _: QueueName, _: &[String], _: u32) -> Result<(), PortError> {
        Ok(())
    }
}

/// An API that accepts every trigger, and counts them.
#[derive(Default)]
struct Accepting(AtomicU64);

#[async_trait]
impl Api for Accepting {
    async fn trigger(&self, _: &TriggerRequest, _: Timestamp) -> SendAnswer {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        SendAnswer::Accepted { collection: format!("j_{number}"), start_eta: None }
    }

    async fn dataset(&self, _: &str) -> Looked<Dataset> {
        Looked::Absent
    }

    async fn log(&self, _: &str) -> Looked<JobLog> {
        Looked::Absent
    }

    async fn errors(&self, _: &str) -> Looked<Vec<JobError>> {
        Looked::Absent
    }

    async fn jobs(&self, _: &str, _: Date, _: Date, _: u64) -> Looked<JobPage> {
        Looked::Absent
    }

    async fn cancel(&self, _: &str) -> Looked<()> {
        Looked::Absent
    }
}
