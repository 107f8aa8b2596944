//! Files that are run by a deployed stack: dropped into its input bucket, and followed to their end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, IsTerminal, Write};
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

use super::{Failure, RunArgs, exit, place, say};

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
    stack.run(files, args.again).await
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
    pub(super) async fn run(&self, files: Vec<File>, again: bool) -> Result<u8, Failure> {
        let mut dropped = Vec::new();
        for file in files {
            let key = file.key.clone();
            dropped.push((key, self.drop_once(file, again).await?));
        }
        let follow = async {
            let mut worst = exit::FINE;
            for (key, object) in &dropped {
                worst = worst.max(self.follow(key, object).await?);
            }
            Ok(worst)
        };
        tokio::select! {
            worst = follow => worst,
            _ = tokio::signal::ctrl_c() => {
                eprintln!("\nThe stack goes on by itself: `dropcollect status {}` shows how far it is.", self.place);
                Ok(exit::INTERRUPTED)
            }
        }
    }

    /// Every drop is a run of its own and is paid for, so equal bytes under the same key are not dropped a second time by themselves.
    async fn drop_once(&self, file: File, again: bool) -> Result<Newest, Failure> {
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
            eprintln!("{key} was dropped before: following that run (--again runs it anew, and pays for it again)");
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

    async fn follow(&self, key: &str, object: &Newest) -> Result<u8, Failure> {
        let began = Instant::now();
        let (mut hinted, mut shown) = (false, String::new());
        let rewritten = std::io::stderr().is_terminal();
        loop {
            match self.status(key, object).await? {
                Some(status) => {
                    let line = report::progress(&status, None);
                    if line != shown {
                        if rewritten {
                            eprint!("\r\x1b[2K{line}");
                            drop(std::io::stderr().flush());
                        } else {
                            eprintln!("{line}");
                        }
                        shown = line;
                    }
                    if status.state == RunState::Held {
                        eprintln!(
                            "\nthe rest waits for a person: `dropcollect release --data {}` shows it",
                            self.place
                        );
                        return Ok(exit::HELD);
                    }
                    if let Some(manifest) = &status.manifest {
                        if rewritten {
                            eprint!("\r\x1b[2K");
                        }
                        return self.conclude(manifest).await;
                    }
                }
                None if began.elapsed() > PATIENCE && !hinted => {
                    hinted = true;
                    eprintln!(
                        "{key} is in s3://{} and the stack has not begun with it: is that its InputBucket, and {} its DatasetBucket? `dropcollect doctor --data {}` looks for what is wrong",
                        self.inputs.name(),
                        self.place,
                        self.place
                    );
                }
                None => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
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

    async fn conclude(&self, key: &str) -> Result<u8, Failure> {
        let manifest: Manifest = ledger::read_known(&self.results, key).await?;
        let few = manifest.inputs.failed + manifest.inputs.rejected <= FAILURES_READ_MAX;
        let mut reasons = Vec::new();
        if let Some(failed) = manifest.failed.as_ref().filter(|_| few)
            && let Some(errors) = self.results.get(&failed.errors).await?
        {
            // The summary is worth having without them.
            reasons = report::reasons(BufReader::new(&errors.body[..])).unwrap_or_default();
        }
        say(&report::summary(&manifest, key, &reasons, &|key| format!("{}/{key}", self.place)));
        Ok(exit::of(manifest.state))
    }
}
