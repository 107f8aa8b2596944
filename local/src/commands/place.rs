//! Where runs are: a folder, or the dataset bucket of a stack (`s3://…`).

use std::path::Path;

use adapters::aws::Aws;
use adapters::config::{Config, Role};
use adapters::s3::S3Store;
use dropcollect::folder::FolderStore;
use pipeline::keys;
use pipeline::ledger;
use pipeline::ports::Store;
use pipeline::status::Status;
use pipeline::words::RunId;

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

/// The run with this id, or the newest one of this input key.
pub(super) async fn run(store: &dyn Store, named: &str) -> Result<RunId, Failure> {
    if let Some(run) = RunId::parse(named) {
        return Ok(run);
    }
    let newest: Option<Status> = ledger::read(store, &keys::status(&keys::input_path(named))).await?;
    let unknown = || Failure::usage(unknown(named));
    newest.map(|status| status.run).ok_or_else(unknown)
}
