//! The dataset bucket and the input bucket on a disk.
//!
//! An object is a file under its key. What the adapter needs for itself is below `.dropcollect/`: the lock, temporary files, open
//! uploads and the queues.
//!
//! - **Killed at any moment**, the process leaves every key with the old object, the new one or none: bytes go to a temporary
//!   file, which then gets its name in one step (`link` where the key has to be free, `rename` elsewhere).
//! - **Loss of power** is survived as well as the file system allows: a file and the folder that it is in are synced before a
//!   write is reported, folders above it that are new are not.
//! - **One process** writes to a folder ([`FolderLock`]). `replace` relies on it: it compares and renames under a mutex of this
//!   process. `create` does not.
//! - A file system cannot hold `a` and `a/b`; the second of them is refused with an error. Where it takes upper and lower case for the same,
//!   so does the store.
//! - Content type and user metadata are not kept: nothing reads them back through the port, and a file has its extension.

pub(crate) mod disk;
mod inputs;
mod keys;
pub mod kind;
mod pieces;
mod uploads;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::ports::{Completed, Listing, ObjectInfo, PartTag, PortError, Store, Stored, Tag, UploadId, Written};

pub use inputs::FolderInputs;
pub use pieces::FilePieces;

use crate::lock::FolderLock;
use crate::memory::hash_of;
use disk::Temporary;

/// The dataset bucket in a folder. A handle: clones are the same store.
#[derive(Debug, Clone)]
pub struct FolderStore(Arc<Folder>);

#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Nobody writes without it.
    lock: Option<FolderLock>,
    /// Held from comparing to renaming.
    swapping: Mutex<()>,
    /// Held while an upload ends, so that of two that complete it the second finds it gone.
    ending: Mutex<()>,
}

impl FolderStore {
    /// The store of a folder that this process holds.
    pub fn open(lock: &FolderLock) -> Self {
        Self::of(lock.root(), Some(lock.clone()))
    }

    /// A store that can only be read, beside whoever holds the folder. Its other calls are errors.
    pub fn reader(root: &Path) -> Self {
        Self::of(root, None)
    }

    fn of(root: &Path, lock: Option<FolderLock>) -> Self {
        Self(Arc::new(Folder { root: root.to_owned(), lock, swapping: Mutex::default(), ending: Mutex::default() }))
    }

    /// The file of an object, for people to open.
    pub fn path(&self, key: &str) -> Result<PathBuf, PortError> {
        keys::path_of(&self.0.root, key).map_err(|error| PortError::new(format!("path of {key}"), error))
    }

    /// Uploads that were neither completed nor aborted, with their keys. They survive a restart, because a delivery record may name
    /// one that has yet to be completed; whoever knows that none does aborts them.
    pub async fn open_uploads(&self) -> Result<Vec<(UploadId, String)>, PortError> {
        self.call("list uploads".to_owned(), Folder::open_uploads).await
    }

    /// Disks block, so every call leaves the thread that drives the futures. A future that is dropped does not stop the call.
    async fn call<T: Send + 'static>(
        &self,
        what: String,
        work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let folder = self.0.clone();
        match tokio::task::spawn_blocking(move || work(&folder)).await {
            Ok(done) => done.map_err(|error| PortError::new(what, error)),
            Err(error) => Err(PortError::new(what, error)),
        }
    }
}

#[async_trait]
impl Store for FolderStore {
    async fn get(&self, key: &str) -> Result<Option<Stored>, PortError> {
        let key = key.to_owned();
        self.call(format!("get {key}"), move |folder| folder.get(&key)).await
    }

    async fn create(&self, key: &str, body: Bytes, _info: &ObjectInfo) -> Result<Written, PortError> {
        let key = key.to_owned();
        self.call(format!("create {key}"), move |folder| folder.create(&key, &body)).await
    }

    async fn replace(&self, key: &str, body: Bytes, expected: Option<&Tag>) -> Result<Written, PortError> {
        let (key, expected) = (key.to_owned(), expected.cloned());
        self.call(format!("replace {key}"), move |folder| match expected {
            Some(expected) => folder.replace(&key, &body, &expected),
            None => folder.create(&key, &body),
        })
        .await
    }

    async fn put(&self, key: &str, body: Bytes, _info: &ObjectInfo) -> Result<(), PortError> {
        let key = key.to_owned();
        self.call(format!("put {key}"), move |folder| {
            let new = folder.temporary()?.with(&body)?;
            folder.rename(new, &key)
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Listing, PortError> {
        let (prefix, after) = (prefix.to_owned(), after.map(ToOwned::to_owned));
        self.call(format!("list {prefix}"), move |folder| keys::list(&folder.root, &prefix, after.as_deref())).await
    }

    async fn begin_upload(&self, key: &str, _info: &ObjectInfo) -> Result<UploadId, PortError> {
        let key = key.to_owned();
        self.call(format!("begin upload of {key}"), move |folder| folder.begin_upload(&key)).await
    }

    async fn upload_part(&self, key: &str, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, PortError> {
        let (what, key, upload) = (format!("upload part {number} of {key}"), key.to_owned(), upload.clone());
        self.call(what, move |folder| folder.upload_part(&key, &upload, number, &body)).await
    }

    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<Completed, PortError> {
        let (key, upload, parts) = (key.to_owned(), upload.clone(), parts.to_vec());
        self.call(format!("complete upload of {key}"), move |folder| folder.complete_upload(&key, &upload, &parts))
            .await
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), PortError> {
        let (key, upload) = (key.to_owned(), upload.clone());
        self.call(format!("abort upload of {key}"), move |folder| folder.abort_upload(&key, &upload)).await
    }
}

impl Folder {
    fn get(&self, key: &str) -> io::Result<Option<Stored>> {
        let path = keys::path_of(&self.root, key)?;
        match fs::read(&path) {
            Ok(body) => Ok(Some(Stored { tag: Tag(hash_of(&body)), body: body.into() })),
            Err(error) if is_absent(&error) || path.is_dir() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `link` takes a name only if it is free, whoever else tries; `rename` would not notice.
    fn create(&self, key: &str, body: &[u8]) -> io::Result<Written> {
        let path = keys::path_of(&self.root, key)?;
        let temporary = self.temporary()?;
        if path.is_file() {
            return Ok(Written::Kept);
        }
        let new = temporary.with(body)?;
        match disk::in_folder(&path, || fs::hard_link(new.path(), &path)) {
            Ok(()) => temporary.sync_folder_of(&path).map(|()| Written::New),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !path.is_dir() => Ok(Written::Kept),
            Err(error) => Err(explain(error, &path)),
        }
    }

    fn replace(&self, key: &str, body: &[u8], expected: &Tag) -> io::Result<Written> {
        let new = self.temporary()?.with(body)?;
        let _swapping = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.get(key)?.map(|stored| stored.tag).as_ref() != Some(expected) {
            return Ok(Written::Kept);
        }
        self.rename_now(new, key).map(|()| Written::New)
    }

    fn rename(&self, new: disk::NewFile, key: &str) -> io::Result<()> {
        let _swapping = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        self.rename_now(new, key)
    }

    fn rename_now(&self, new: disk::NewFile, key: &str) -> io::Result<()> {
        let path = keys::path_of(&self.root, key)?;
        disk::in_folder(&path, || new.rename(&path)).map_err(|error| explain(error, &path))?;
        self.temporary()?.sync_folder_of(&path)
    }

    fn temporary(&self) -> io::Result<Temporary> {
        match &self.lock {
            Some(lock) => Ok(Temporary::of(lock)),
            None => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the folder was opened for reading")),
        }
    }
}

/// No such file; also not where a folder of the path is a file.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Says what is in the way where the system only says that something is.
fn explain(error: io::Error, path: &Path) -> io::Error {
    let why = if path.is_dir() {
        "is a folder, and a file system cannot hold a file of the same name"
    } else if path.ancestors().skip(1).any(Path::is_file) {
        "is below a file, and a file system cannot hold a folder of the same name"
    } else {
        return error;
    };
    io::Error::new(error.kind(), format!("{} {why}", path.display()))
}

#[cfg(test)]
mod tests;
