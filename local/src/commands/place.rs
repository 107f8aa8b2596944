//! Where runs are: a folder, or the dataset bucket of a stack (`s3://…`).

use std::path::Path;
use std::sync::Arc;

use adapters::aws::Aws;
use adapters::clock::WallClock;
use adapters::config::{Config, Role};
use adapters::s3::S3Store;
use adapters::sqs::SqsQueues;
use dropcollect::folder::FolderStore;
use dropcollect::lock::FolderLock;
use dropcollect::queue::FolderQueues;
use pipeline::keys;
use pipeline::ledger;
use pipeline::manifest::Manifest;
use pipeline::ports::{Queues, Store};
use pipeline::status::Status;
use pipeline::words::RunId;
use serde_json::{Value, json};

use super::{Failure, SIMULATED};

/// The bucket that a place names, if it is not a folder.
pub(super) fn bucket(place: &str) -> Option<&str> {
    place.strip_prefix("s3://").map(|bucket| bucket.trim_end_matches('/'))
}

/// Reads what is there.
pub(super) async fn reader(place: &str) -> Result<Box<dyn Store>, Failure> {
    Ok(match bucket(place) {
        Some(bucket) => Box::new(S3Store::new(aws().await?.1.s3(), bucket)),
        None => Box::new(FolderStore::reader(folder(place)?)),
    })
}

/// Said of a name that nothing is known of.
pub(super) fn unknown(named: &str) -> String {
    format!(
        "{named} is neither the id of a run nor an input key that was run here: `dropcollect status` shows what was"
    )
}

/// The folder, if there is one.
pub(super) fn folder(place: &str) -> Result<&Path, Failure> {
    let root = Path::new(place);
    let missing = || {
        // Whoever has tried it out looks for the trial.
        let trial = Path::new(SIMULATED).is_dir() && place != SIMULATED;
        let other =
            if trial { format!("{SIMULATED} is there") } else { "name the one that `run` was given".to_owned() };
        Failure::usage(format!(
            "{place} is no folder: nothing has been run there; {other}, and a stack is s3://its-dataset-bucket"
        ))
    };
    root.is_dir().then_some(root).ok_or_else(missing)
}

/// The account of a stack, as the environment says.
pub(super) async fn aws() -> Result<(Config, Aws), Failure> {
    let config = Config::from_env(Role::Local).map_err(|problem| Failure::usage(problem.to_string()))?;
    let aws = Aws::from_env(&config).await;
    Ok((config, aws))
}

/// Where something is decided: what is written to, and what tells it.
pub(super) struct Acting {
    pub(super) store: Box<dyn Store>,
    pub(super) queues: Box<dyn Queues>,
    /// Held until it is decided: no other process may work in the folder meanwhile.
    lock: Option<FolderLock>,
}

impl Acting {
    /// Whether it is a folder, where nothing goes on by itself.
    pub(super) fn is_folder(&self) -> bool {
        self.lock.is_some()
    }
}

/// Opens a place to decide something in it; `tells` is whether messages follow from that.
pub(super) async fn acting(place: &str, tells: bool) -> Result<Acting, Failure> {
    if let Some(bucket) = bucket(place) {
        let (config, aws) = aws().await?;
        if tells && config.poll_queue_url.is_empty() {
            return Err(Failure::usage(
                "POLL_QUEUE_URL is not set: it is the output PollQueueUrl of the stack, where what goes on gets its message",
            ));
        }
        let queues = SqsQueues::new(aws.sqs(), &config.poll_queue_url, "");
        return Ok(Acting { store: Box::new(S3Store::new(aws.s3(), bucket)), queues: Box::new(queues), lock: None });
    }
    let lock = FolderLock::take(folder(place)?).map_err(|error| {
        Failure::usage(format!("{error}: decide when nothing works in it (Ctrl-C ends a run, which goes on later)"))
    })?;
    let queues = FolderQueues::open(&lock, Arc::new(WallClock))?;
    Ok(Acting { store: Box::new(FolderStore::open(&lock)), queues: Box::new(queues), lock: Some(lock) })
}

/// Adds to an object how a run stands: `state`, and the `manifest` if it is over.
pub(super) async fn ended(store: &dyn Store, path: &str, run: &RunId, object: &mut Value) -> Result<(), Failure> {
    let manifest: Option<Manifest> = ledger::read(store, &keys::manifest(path, run)).await?;
    let status: Option<Status> = ledger::read(store, &keys::status(path)).await?;
    let state = manifest.as_ref().map(|manifest| manifest.state);
    let state = state.or(status.filter(|status| status.run == *run).map(|status| status.state));
    object["state"] = json!(state);
    object["manifest"] = json!(manifest);
    Ok(())
}

/// The run with this id, or the newest one of this input key.
pub(super) async fn run(store: &dyn Store, named: &str) -> Result<RunId, Failure> {
    if let Some(run) = RunId::parse(named) {
        return Ok(run);
    }
    let newest: Option<Status> = ledger::read(store, &keys::status(&keys::input_path(named))).await?;
    let unknown = || Failure::usage(unknown(named));
    newest.map(|status| status.run).ok_or_else(unknown)
}
