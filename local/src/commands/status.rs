//! `dropcollect status`.

use std::path::Path;

use adapters::aws::Aws;
use adapters::config::{Config, Role};
use adapters::s3::S3Store;
use dropcollect::folder::FolderStore;
use dropcollect::report;
use pipeline::ledger::list_all;
use pipeline::ports::Store;
use pipeline::status::Status;

use super::{Failure, StatusArgs, exit, say};

pub(super) async fn status(args: &StatusArgs) -> Result<u8, Failure> {
    let store: Box<dyn Store> = match args.place.strip_prefix("s3://") {
        Some(bucket) => {
            let config = Config::from_env(Role::Local).map_err(|problem| Failure::usage(problem.to_string()))?;
            let aws = Aws::from_env(&config).await;
            Box::new(S3Store::new(aws.s3(), bucket.trim_end_matches('/')))
        }
        None => {
            let root = Path::new(&args.place);
            if !root.is_dir() {
                return Err(Failure::usage(format!("{} is no folder: nothing has been run there", root.display())));
            }
            Box::new(FolderStore::reader(root))
        }
    };
    let failed = |error: pipeline::ports::PortError| Failure::ours(format!("{error}: {}", error.source));
    let mut runs: Vec<Status> = Vec::new();
    for key in list_all(&*store, "status/").await.map_err(failed)? {
        let Some(stored) = store.get(&key).await.map_err(failed)? else { continue };
        match serde_json::from_slice(&stored.body) {
            Ok(status) => runs.push(status),
            Err(error) => eprintln!("{key}: not readable: {error}"),
        }
    }
    runs.sort_by_key(|status| status.started_at);
    if args.json {
        for status in &runs {
            say(&serde_json::to_string(status).unwrap_or_default());
        }
    } else if runs.is_empty() {
        say("no runs");
    } else {
        say(report::table(&runs).trim_end());
    }
    Ok(exit::FINE)
}
