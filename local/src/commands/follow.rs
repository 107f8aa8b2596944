//! Files that are run by a deployed stack: dropped into its input bucket, and followed to their end.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

use adapters::s3::{InputBucket, Newest, S3Store};
use bytes::Bytes;
use dropcollect::memory::hash_of;
use dropcollect::report;
use pipeline::keys;
use pipeline::ledger;
use pipeline::manifest::{Manifest, RunState};
use pipeline::ports::{Store, Written};
use pipeline::status::Status;

use super::events::{Event, Places};
use super::progress::Progress;
use super::run::{RunArgs, tell};
use super::{Failure, Told, complain, exit, place, say};

/// Names, in an object's user metadata, the bytes that were dropped: with a key of KMS an ETag does not.
const HASH: &str = "dropcollect-hash";
/// Most that is dropped in one request, in bytes: it is held in memory.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// How often a status is read. The stack rewrites it every few seconds.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// A stack begins with a file within seconds; who waits for so long is told what to look at.
const PATIENCE: Duration = Duration::from_secs(90);
/// With more failures than this, the reasons are left to `errors.ndjson`.
const FAILURES_READ_MAX: u64 = 100_000;

/// A deployed stack, as seen from its two buckets.
pub(super) struct Stack {
    inputs: InputBucket,
    results: S3Store,
    /// `s3://dataset-bucket`.
    place: String,
}

/// A file to drop.
pub(super) struct File {
    /// Its key in the input bucket.
    pub(super) key: String,
    /// Its bytes.
    pub(super) body: Bytes,
    /// The collector and the options of the trigger.
    pub(super) metadata: BTreeMap<String, String>,
}

/// `dropcollect run --to`.
pub(super) async fn drop_files(bucket: &str, args: &RunArgs, named: &[(&Path, String)]) -> Result<u8, Failure> {
    let Some(inputs) = place::bucket(bucket) else {
        return Err(Failure::usage(format!("--to {bucket}: it is the stack's output InputBucket, as s3://…")));
    };
    let data = args.data.as_ref().map(|data| data.display().to_string());
    let stack = Stack::open(inputs, data.as_deref()).await?;
    let mut files = Vec::new();
    for (path, key) in named {
        let (key, metadata) = (key.clone(), args.what.metadata());
        files.push(File { key, body: read(path)?, metadata });
    }
    stack.run(files, args.again, if args.json { Told::Events } else { Told::Text }).await
}

fn read(path: &Path) -> Result<Bytes, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        let message = format!("{} has more than 1 GiB: drop it with `aws s3 cp`, or compress it", path.display());
        return Err(Failure::usage(message));
    }
    fs::read(path).map(Bytes::from).map_err(failed)
}

impl Stack {
    /// The stack of an input bucket. Where results go is said by `data`, by `DATASET_BUCKET`, or by the names that the template gives.
    pub(super) async fn open(inputs: &str, data: Option<&str>) -> Result<Self, Failure> {
        let (config, aws) = place::aws().await?;
        let twin = || Some(format!("dropcollect-dataset-{}", inputs.strip_prefix("dropcollect-input-")?));
        let results = match data {
            Some(data) => Some(place::bucket(data).map(str::to_owned).ok_or_else(|| {
                Failure::usage(format!("--data {data}: with --to it is the stack's output DatasetBucket, as s3://…"))
            })?),
            None => Some(config.dataset_bucket.clone()).filter(|bucket| !bucket.is_empty()).or_else(twin),
        };
        let results = results.ok_or_else(|| {
            Failure::usage(
                "where are the results? --data s3://… names the stack's output DatasetBucket, DATASET_BUCKET as well",
            )
        })?;
        let place = format!("s3://{results}");
        Ok(Self { inputs: InputBucket::new(aws.s3(), inputs), results: S3Store::new(aws.s3(), results), place })
    }

    /// Drops files that have not been dropped before (or all, `again`), and follows every one to its end.
    pub(super) async fn run(&self, files: Vec<File>, again: bool, told: Told) -> Result<u8, Failure> {
        let events = told == Told::Events;
        let mut dropped = Vec::new();
        for file in files {
            let key = file.key.clone();
            dropped.push((key, self.drop_once(file, again, events).await?));
        }
        tokio::select! {
            worst = self.follow(&dropped, told) => worst,
            _ = tokio::signal::ctrl_c() => Err(Failure::interrupted(format!(
                "The stack goes on by itself: `dropcollect status {}` shows how far it is.", self.place
            ))),
        }
    }

    /// Every drop is a run of its own and is paid for, so equal bytes under the same key are not dropped a second time by themselves.
    async fn drop_once(&self, file: File, again: bool, events: bool) -> Result<Newest, Failure> {
        let File { key, body, mut metadata } = file;
        metadata.insert(HASH.to_owned(), hash_of(&body));
        let there = self.inputs.newest(&key).await?;
        if let Some(there) = &there
            && there.metadata.get(HASH) == metadata.get(HASH)
            && !again
        {
            if there.metadata != metadata {
                return Err(Failure::usage(format!(
                    "{key} was dropped before with other options, and a run keeps its own: add --again to run it anew (and pay for it)"
                )));
            }
            let message = "was dropped before: following that run (--again runs it anew, and pays for it again)";
            tell(events, &format!("{key} {message}"));
            return Ok(there.clone());
        }
        let written = self.inputs.drop_file(&key, body, &metadata, there.as_ref()).await?;
        let newest = self.inputs.newest(&key).await?;
        let ours = newest.filter(|newest| written == Written::New && newest.metadata == metadata);
        ours.ok_or_else(|| {
            let bucket = self.inputs.name();
            Failure::usage(format!(
                "somebody else has dropped {key} into {bucket} meanwhile: look at it, then try again"
            ))
        })
    }

    /// Until every run is over, or waits for a person.
    async fn follow(&self, dropped: &[(String, Newest)], told: Told) -> Result<u8, Failure> {
        let events = told == Told::Events;
        let began = Instant::now();
        let progress = Progress::new(dropped.iter().map(|(key, _)| key.as_str()), events);
        let mut ends: Vec<Option<Status>> = vec![None; dropped.len()];
        let mut begun = vec![false; dropped.len()];
        let mut patient = true;
        loop {
            for (at, (key, object)) in dropped.iter().enumerate() {
                if ends[at].is_some() {
                    continue;
                }
                let Some(status) = self.status(key, object).await? else { continue };
                if events && !std::mem::replace(&mut begun[at], true) {
                    Event::Started { run: &status.run, key, collector: status.collector.as_deref() }.say();
                }
                begun[at] = true;
                progress.saw(at, &status, None);
                if status.manifest.is_some() || status.state == RunState::Held {
                    ends[at] = Some(status);
                }
            }
            progress.draw();
            if ends.iter().all(Option::is_some) {
                break;
            }
            if patient && began.elapsed() > PATIENCE && begun.contains(&false) {
                patient = false;
                tell(events, &self.nothing_yet());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        drop(progress);
        let mut worst = exit::FINE;
        for status in ends.iter().flatten() {
            worst = worst.max(self.conclude(status, told).await?);
        }
        Ok(worst)
    }

    fn nothing_yet(&self) -> String {
        let (inputs, place) = (self.inputs.name(), &self.place);
        format!(
            "the stack has not begun with what lies in s3://{inputs}: is that its InputBucket, and {place} its DatasetBucket? \
             `dropcollect doctor --data {place}` looks for what is wrong"
        )
    }

    /// The status of the object's run, once there is one.
    async fn status(&self, key: &str, object: &Newest) -> Result<Option<Status>, Failure> {
        let status: Option<Status> = ledger::read(&self.results, &keys::status(&keys::input_path(key))).await?;
        let versioned = object.version_id.as_deref().is_some_and(|version| version != "null");
        Ok(status.filter(|status| match versioned {
            true => status.input.version_id == object.version_id,
            false => status.input.etag.as_deref() == Some(&object.etag),
        }))
    }

    async fn conclude(&self, status: &Status, told: Told) -> Result<u8, Failure> {
        let (run, input) = (&status.run, &status.input.key);
        let Some(key) = &status.manifest else {
            let message = format!(
                "the rest waits for a person: `dropcollect release {run} --data {}` says what for, and how to decide",
                self.place
            );
            match told {
                Told::Events => Event::Unfinished { run, key: input, message: &message }.say(),
                Told::Text | Told::Object => complain(&format!("{input}: {message}")),
            }
            return Ok(exit::HELD);
        };
        let manifest: Manifest = ledger::read_known(&self.results, key).await?;
        let place = |key: &str| format!("{}/{key}", self.place);
        if told == Told::Object {
            return Ok(exit::of(manifest.state));
        }
        if told == Told::Events {
            let places = Places::of(&manifest, key, place);
            Event::Finished { run, key: input, manifest: &manifest, places }.say();
            return Ok(exit::of(manifest.state));
        }
        let few = manifest.inputs.failed + manifest.inputs.rejected <= FAILURES_READ_MAX;
        let mut reasons = Vec::new();
        if let Some(failed) = manifest.failed.as_ref().filter(|_| few)
            && let Some(errors) = self.results.get(&failed.errors).await?
        {
            // The summary is worth having without them.
            reasons = report::reasons(BufReader::new(&errors.body[..])).unwrap_or_default();
        }
        say(&report::summary(&manifest, key, &reasons, &place));
        Ok(exit::of(manifest.state))
    }
}
