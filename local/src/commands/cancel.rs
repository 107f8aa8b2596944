//! `dropcollect cancel`: stops a run.

use std::sync::Arc;

use adapters::clock::WallClock;
use adapters::s3::S3Store;
use adapters::sqs::SqsQueues;
use dropcollect::folder::FolderStore;
use dropcollect::queue::FolderQueues;
use dropcollect::report::counted;
use pipeline::cancel::{self, Cancelled};
use pipeline::keys;
use pipeline::ledger::{self, RunRecord};
use pipeline::ports::{Clock, Queues, Store};

use super::{CancelArgs, Failure, exit, place, run, say};

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
    let record = stop(&store, &queues, args).await?;
    say(&format!("dropcollect status {} shows it come to its end: {}", args.place, record.run));
    Ok(exit::FINE)
}

/// Nobody else works on a folder, so the run is taken to its end from here.
async fn in_folder(args: &CancelArgs) -> Result<u8, Failure> {
    let root = place::folder(&args.place)?;
    let lock = run::take(root)?;
    let record = {
        let queues = FolderQueues::open(&lock, Arc::new(WallClock))?;
        stop(&FolderStore::open(&lock), &queues, args).await?
    };
    let simulated = run::is_simulated(root).then_some(None);
    let (lock, engine) = run::open(lock, simulated, None, None).await?;
    run::to_the_end(&lock, &engine, &[record.object], run::Telling::default()).await
}

async fn stop(store: &dyn Store, queues: &dyn Queues, args: &CancelArgs) -> Result<RunRecord, Failure> {
    let id = place::run(store, &args.run).await?;
    let record: Option<RunRecord> = ledger::read(store, &keys::run(&id)).await?;
    let record = record.ok_or_else(|| Failure::usage(format!("{id} has not begun, or its file was rejected")))?;
    if ledger::exists(store, &keys::manifest(&record.path, &id)).await? {
        return Err(Failure::usage(format!("{id} is over: there is nothing left to cancel")));
    }
    let Cancelled { open_batches, given_up, file_read } = cancel::cancel(store, queues, WallClock.now(), &id).await?;
    let rest = if file_read { "" } else { ", and the rest of the file is not read" };
    say(&format!("{}: told to stop {}{rest}", record.object.key, counted(open_batches, "open batch", "open batches")));
    if given_up > 0 {
        say(&format!("  {given_up} inputs that waited for a person are given up"));
    }
    say("  What was triggered is paid for; its records are delivered. A collection may take ten minutes to stop.");
    Ok(record)
}
