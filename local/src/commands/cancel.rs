//! `dropcollect cancel`: stops a run.

use std::sync::Arc;

use adapters::clock::WallClock;
use adapters::s3::S3Store;
use adapters::sqs::SqsQueues;
use clap::Args;
use dropcollect::folder::FolderStore;
use dropcollect::queue::FolderQueues;
use dropcollect::report::counted;
use pipeline::cancel::{self, Cancelled, RunCancelRecord};
use pipeline::keys;
use pipeline::ledger::{self, RunRecord};
use pipeline::ports::{Clock, Queues, Store};

use serde_json::{Value, json};

use super::{Failure, Told, answer, exit, place, run, say};

#[derive(Args)]
pub(crate) struct CancelArgs {
    /// Id of a run, or an input key (then its newest run)
    run: String,
    /// A folder, or s3://dataset-bucket (then POLL_QUEUE_URL names the stack's poll queue)
    #[arg(long = "data", default_value = "dropcollect-data")]
    place: String,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn cancel(args: &CancelArgs) -> Result<u8, Failure> {
    match place::bucket(&args.place) {
        Some(bucket) => on_stack(bucket, args).await,
        None => in_folder(args).await,
    }
}

/// The stack does the rest.
async fn on_stack(bucket: &str, args: &CancelArgs) -> Result<u8, Failure> {
    let (config, aws) = place::aws().await?;
    if config.poll_queue_url.is_empty() {
        return Err(Failure::usage(
            "POLL_QUEUE_URL is not set: it is the output PollQueueUrl of the stack, where every open batch gets a message",
        ));
    }
    let store = S3Store::new(aws.s3(), bucket);
    let queues = SqsQueues::new(aws.sqs(), &config.poll_queue_url, "");
    let (record, mut told) = stop(&store, &queues, args).await?;
    if args.json {
        place::ended(&store, &record.path, &record.run, &mut told).await?;
        return Ok(answer(told, exit::FINE));
    }
    say(&format!("`dropcollect status {} --run {}` shows it come to its end", args.place, record.run));
    Ok(exit::FINE)
}

/// Nobody else works on a folder, so the run is taken to its end from here.
async fn in_folder(args: &CancelArgs) -> Result<u8, Failure> {
    let root = place::folder(&args.place)?;
    let lock = run::take(root)?;
    let (record, mut object) = {
        let queues = FolderQueues::open(&lock, Arc::new(WallClock))?;
        stop(&FolderStore::open(&lock), &queues, args).await?
    };
    let simulated = run::is_simulated(root).then_some(None);
    let (lock, engine) = run::open(lock, simulated, None, None).await?;
    let told = if args.json { Told::Object } else { Told::Text };
    let (path, id) = (record.path, record.run);
    let status = run::to_the_end(&lock, &engine, &[record.object], run::Telling { told, file: None }).await?;
    if args.json {
        place::ended(&engine.store, &path, &id, &mut object).await?;
        return Ok(answer(object, status));
    }
    Ok(status)
}

/// Tells the run to stop; gives its record, and what is known of it for a program.
async fn stop(store: &dyn Store, queues: &dyn Queues, args: &CancelArgs) -> Result<(RunRecord, Value), Failure> {
    let id = place::run(store, &args.run).await?;
    let record: Option<RunRecord> = ledger::read(store, &keys::run(&id)).await?;
    let record = record.ok_or_else(|| Failure::usage(format!("{id} has not begun, or its file was rejected")))?;
    if ledger::exists(store, &keys::manifest(&record.path, &id)).await? {
        return Err(Failure::usage(format!("{id} is over: there is nothing left to cancel")));
    }
    let Cancelled { open_batches, given_up, file_read } = cancel::cancel(store, queues, WallClock.now(), &id).await?;
    if args.json {
        let at = ledger::read::<RunCancelRecord>(store, &keys::run_cancel(&id)).await?.map(|cancelled| cancelled.at);
        let object = json!({
            "run": id, "key": record.object.key, "cancelled_at": at, "open_batches": open_batches, "given_up": given_up, "file_read": file_read,
        });
        return Ok((record, object));
    }
    let rest = if file_read { "" } else { ", and the rest of the file is not read" };
    say(&format!("{}: told to stop {}{rest}", record.object.key, counted(open_batches, "open batch", "open batches")));
    if given_up > 0 {
        say(&format!("  {given_up} inputs that waited for a person are given up"));
    }
    say("  What was triggered is paid for; its records are delivered. A collection may take ten minutes to stop.");
    Ok((record, Value::Null))
}
