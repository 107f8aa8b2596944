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
use dropcollect::nearest::nearest;
use dropcollect::queue::FolderQueues;
use percent_encoding::percent_decode_str;
use pipeline::keys;
use pipeline::ledger;
use pipeline::manifest::Manifest;
use pipeline::ports::{PortError, Queues, Store};
use pipeline::status::Status;
use pipeline::words::RunId;
use serde_json::{Value, json};

use super::{Failure, SIMULATED};

/// So much of a run's id is looked for.
const ID_BEGINNING: usize = 4;

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

/// Nothing is known of a name; who has mistyped it learns what is there.
pub(super) async fn unknown(store: &dyn Store, named: &str) -> Failure {
    let near = match meant(store, named).await {
        Ok(Some(near)) => format!("did you mean {near}? "),
        // It is a hint, and no reason to tell of another error.
        Ok(None) | Err(_) => String::new(),
    };
    Failure::usage(format!(
        "{named} is neither the id of a run nor an input key that was run here: {near}`dropcollect status` shows what was"
    ))
}

/// The input key or the run that is most like a name.
async fn meant(store: &dyn Store, named: &str) -> Result<Option<String>, PortError> {
    let mut names = Vec::new();
    if named.len() >= ID_BEGINNING && named.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let runs = store.list(&format!("ledger/runs/{}", named.to_lowercase()), None).await?;
        names.extend(runs.keys.iter().filter_map(|key| key.split('/').nth(2)).map(str::to_owned));
    }
    let key = |status: &String| {
        let path = status.strip_prefix(keys::STATUSES)?.strip_suffix(".json")?;
        Some(percent_decode_str(path).decode_utf8_lossy().into_owned())
    };
    names.extend(ledger::list_all(store, keys::STATUSES).await?.iter().filter_map(key));
    Ok(nearest(named, names))
}

/// The folder, if there is one.
pub(super) fn folder(place: &str) -> Result<&Path, Failure> {
    let root = Path::new(place);
    let missing = || {
        // Whoever has tried it out looks for the trial.
        let trial = Path::new(SIMULATED).is_dir() && place != SIMULATED;
        let other = if trial {
            format!(
                "what --simulate made is in {SIMULATED}: name it (`status {SIMULATED}`, `why … --data {SIMULATED}`)"
            )
        } else {
            "name the folder that `run` was given, or a stack (s3://its-dataset-bucket)".to_owned()
        };
        Failure::usage(format!("{place} is no folder: nothing has been run there; {other}"))
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
        Failure::usage(format!("{error}: decide when that has ended (Ctrl-C ends a run; nothing is lost, and the same command goes on with it)"))
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
    match newest {
        Some(status) => Ok(status.run),
        None => Err(unknown(store, named).await),
    }
}
