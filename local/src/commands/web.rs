//! `dropcollect status --web`: the status page, written anew, and where it is.

use std::path::PathBuf;
use std::time::Duration;

use adapters::clock::WallClock;
use adapters::s3::S3Store;
use dropcollect::folder::FolderStore;
use dropcollect::lock::{FolderLock, LockError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pipeline::keys;
use pipeline::page;
use pipeline::ports::Clock;

use super::{Failure, exit, place, say};

/// How long the address of the page in a bucket opens it.
const OPENS_FOR: Duration = Duration::from_secs(3_600);
/// What stays as it is in the address of a file.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Prints the address of a file; of a bucket where the page is, and an address that opens it.
pub(super) async fn web(place: &str) -> Result<u8, Failure> {
    if let Some(bucket) = place::bucket(place) {
        let store = S3Store::new(place::aws().await?.1.s3(), bucket);
        page::renew(&store, WallClock.now()).await?;
        say(&format!("s3://{bucket}/{}", keys::PAGE));
        say(&store.address(keys::PAGE, OPENS_FOR).await?);
        return Ok(exit::FINE);
    }
    let file = in_folder(place).await?;
    let file = file.canonicalize().map_err(|error| Failure::ours(format!("{}: {error}", file.display())))?;
    say(&format!("file://{}", utf8_percent_encode(&file.to_string_lossy(), PLAIN)));
    Ok(exit::FINE)
}

async fn in_folder(place: &str) -> Result<PathBuf, Failure> {
    let folder = place::folder(place)?;
    match FolderLock::take(folder) {
        Ok(lock) => {
            let store = FolderStore::open(&lock);
            page::renew(&store, WallClock.now()).await?;
            Ok(store.path(keys::PAGE)?)
        }
        // Whoever works in it keeps the page up to date.
        Err(LockError::Taken { .. }) => Ok(FolderStore::reader(folder).path(keys::PAGE)?),
        Err(error) => Err(Failure::usage(error.to_string())),
    }
}
