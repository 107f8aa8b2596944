//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::FolderLock;

/// The folder for what is not an object.
pub(crate) const PRIVATE: &str = ".dropcollect";
/// The folder in it for files without a name yet. It is emptied when the lock is taken.
pub(crate) const TEMPORARY: &str = "tmp";

/// Makes names unique in this process; other processes have another id.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A name that no file of this process had before.
pub(crate) fn fresh_name() -> String {
    format!("{}-{:08}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

/// Makes files that have no name yet.
pub(crate) struct Temporary {
    folder: PathBuf,
    sync: bool,
}

impl Temporary {
    pub(crate) fn of(lock: &FolderLock) -> Self {
        Self { folder: lock.root().join(PRIVATE).join(TEMPORARY), sync: lock.sync() }
    }

    /// A path for something new, on the same file system as the objects.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(fresh_name())
    }

    /// A file with these bytes, which are on the disk when this returns.
    pub(crate) fn with(&self, bytes: &[u8]) -> io::Result<NewFile> {
        self.filled(|file| file.write_all(bytes))
    }

    /// A file that `fill` wrote, on the disk when this returns.
    pub(crate) fn filled(&self, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<NewFile> {
        let path = self.path();
        let mut file = File::create_new(&path)?;
        // From here on the file goes again when something fails.
        let new = NewFile { path };
        fill(&mut file)?;
        if self.sync {
            file.sync_all()?;
        }
        Ok(new)
    }

    /// One more name for a file that is on the disk already.
    pub(crate) fn linked(&self, to: &Path) -> io::Result<NewFile> {
        let path = self.path();
        fs::hard_link(to, &path)?;
        Ok(NewFile { path })
    }

    /// A name is on the disk only when the folder that has it is.
    pub(crate) fn sync_folder_of(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(folder) if self.sync => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Removes a folder in one step for everyone who looks.
    pub(crate) fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        let gone = self.path();
        fs::rename(folder, &gone)?;
        fs::remove_dir_all(gone)
    }
}

/// A whole file under a temporary name, which goes when this does.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
}

impl NewFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, instead of any file that has it.
    pub(crate) fn rename(&self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a rename there is none; what cannot be removed now goes when the lock is taken next.
        let _ = fs::remove_file(&self.path);
    }
}

/// Does what needs the folder of `path`, and makes that folder if it turns out to be missing.
pub(crate) fn in_folder(path: &Path, work: impl Fn() -> io::Result<()>) -> io::Result<()> {
    match work() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            work()
        }
        done => done,
    }
}
