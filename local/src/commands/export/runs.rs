//! Which runs are meant, and their outputs, from a folder or a bucket.

use adapters::s3::{S3Inputs, S3Store};
use dropcollect::folder::{FilePieces, FolderStore};
use pipeline::keys;
use pipeline::ledger::{OutputEntry, RunRecord, list_all, read};
use pipeline::manifest::{Manifest, RunState};
use pipeline::ports::{Chunks, Inputs, Store};
use pipeline::status::Status;
use pipeline::words::{InputObject, RunId};

use super::super::{Failure, complain, place};
use super::records::{Each, Records};

/// Where the runs are.
pub(super) enum Runs {
    Folder(FolderStore),
    Bucket { name: String, store: S3Store, objects: S3Inputs },
}

impl Runs {
    /// Opens a folder, or a bucket (`s3://…`).
    pub(super) async fn open(place: &str) -> Result<Self, Failure> {
        let Some(name) = place::bucket(place) else {
            return Ok(Self::Folder(FolderStore::reader(place::folder(place)?)));
        };
        let (_, aws) = place::aws().await?;
        Ok(Self::Bucket {
            name: name.to_owned(),
            store: S3Store::new(aws.s3(), name),
            objects: S3Inputs::new(aws.s3()),
        })
    }

    fn store(&self) -> &dyn Store {
        match self {
            Self::Folder(store) => store,
            Self::Bucket { store, .. } => store,
        }
    }

    /// The run with this id, the newest one of this input key, or the newest one of every key; each with its name in the output folder.
    pub(super) async fn chosen(&self, key: Option<&str>, run: Option<&RunId>) -> Result<Vec<Manifest>, Failure> {
        match (run, key) {
            (Some(run), _) => {
                let path = self.path_of(run, key).await?;
                Ok(vec![self.finished(&path, run, key.unwrap_or(&path)).await?])
            }
            (None, Some(key)) => {
                let path = keys::input_path(key);
                let status: Option<Status> = read(self.store(), &keys::status(&path)).await?;
                let status = status.ok_or_else(|| {
                    Failure::usage(format!(
                        "{key} is no input key that was run there: `dropcollect status` shows what was"
                    ))
                })?;
                Ok(vec![self.finished(&path, &status.run, key).await?])
            }
            (None, None) => self.newest().await,
        }
    }

    /// The input key of a run as a part of other keys. Where the key is told, the ledger, which may have expired, is not asked.
    async fn path_of(&self, run: &RunId, key: Option<&str>) -> Result<String, Failure> {
        if let Some(key) = key {
            return Ok(keys::input_path(key));
        }
        let record: Option<RunRecord> = read(self.store(), &keys::run(run)).await?;
        let path = record.map(|record| record.path);
        path.ok_or_else(|| Failure::usage(format!("no record of the run {run}: name its input key, too")))
    }

    async fn finished(&self, path: &str, run: &RunId, key: &str) -> Result<Manifest, Failure> {
        let manifest: Option<Manifest> = read(self.store(), &keys::manifest(path, run)).await?;
        let Some(manifest) = manifest else {
            return Err(Failure::usage(format!(
                "{key} has no manifest of the run {run}: it is not over (`dropcollect status --run {run}` tells), or is none of it"
            )));
        };
        if manifest.state == RunState::Rejected {
            return Err(Failure::usage(format!("{key} was rejected: its run {run} has no records")));
        }
        Ok(manifest)
    }

    async fn newest(&self) -> Result<Vec<Manifest>, Failure> {
        let mut found = Vec::new();
        for status in list_all(self.store(), keys::STATUSES).await?.into_iter().filter(|key| *key != keys::PAGE) {
            let Some(status): Option<Status> = read(self.store(), &status).await? else { continue };
            let key = &status.input.key;
            match self.finished(&keys::input_path(key), &status.run, key).await {
                Ok(manifest) => found.push(manifest),
                Err(failure) => complain(&format!("left out: {}", failure.message)),
            }
        }
        if found.is_empty() {
            return Err(Failure::usage(
                "no run with records is over there: `dropcollect status` shows how far they are",
            ));
        }
        Ok(found)
    }

    /// Reads the records of an output, which are as many as the manifest says.
    pub(super) async fn read(
        &self,
        output: &OutputEntry,
        each: &mut (dyn FnMut(&str) -> Result<(), String> + Send),
    ) -> Result<(), Failure> {
        let failed = |problem: String| Failure::ours(format!("{}: {problem}", output.key));
        let unknown = || failed("this release does not read outputs of this name".to_owned());
        let mut records = Records::of(&output.key).ok_or_else(unknown)?;
        let mut count = 0;
        let mut counted = |record: &str| {
            count += 1;
            each(record)
        };
        let each: &mut Each<'_> = &mut counted;
        let mut body = self.body(&output.key).await?;
        while let Some(chunk) = body.next().await? {
            records.push(&chunk, each).map_err(failed)?;
            // A file is always there to be read: without this, nobody would see that the command is interrupted.
            tokio::task::yield_now().await;
        }
        records.finish(each).map_err(failed)?;
        if count != output.records {
            return Err(failed(format!(
                "it has {count} records, and {} by the manifest: it was changed",
                output.records
            )));
        }
        Ok(())
    }

    async fn body(&self, key: &str) -> Result<Box<dyn Chunks>, Failure> {
        let missing = || {
            Failure::ours(format!(
                "{key} is named by the manifest, and not there: was it moved or deleted? `dropcollect run --again` pays for it anew"
            ))
        };
        match self {
            Self::Folder(store) => Ok(Box::new(FilePieces::open(&store.path(key)?)?)),
            Self::Bucket { name, objects, .. } => {
                let object = InputObject {
                    bucket: name.clone(),
                    key: key.to_owned(),
                    version_id: None,
                    etag: None,
                    sequencer: None,
                    bytes: None,
                    dropped_at: None,
                };
                Ok(objects.open(&object).await?.ok_or_else(missing)?.body)
            }
        }
    }
}
