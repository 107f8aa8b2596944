//! One process per folder.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::folder::disk::{PRIVATE, TEMPORARY};
use crate::folder::is_absent;

/// The file that is locked, in [`PRIVATE`].
const LOCK: &str = "lock";

/// Why the folder cannot be used by this process.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process works on it.
    #[error("{} is in use by process {}", root.display(), pid.map_or("(unknown)".to_owned(), |pid| pid.to_string()))]
    Taken {
        /// The folder.
        root: PathBuf,
        /// Process id of the other one, if it has written it down yet.
        pid: Option<u32>,
    },
    /// The folder or the lock file in it cannot be written.
    #[error("{} cannot be used: {source}", root.display())]
    Unusable {
        /// The folder.
        root: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The right to write into a folder, for as long as a clone of this lives. The operating system takes it back from a process that
/// ends in any way, so after a kill nothing has to be cleared by hand.
#[derive(Debug, Clone)]
pub struct FolderLock {
    held: Arc<Held>,
    sync: bool,
}

#[derive(Debug)]
struct Held {
    root: PathBuf,
    _file: File,
}

impl FolderLock {
    /// Takes the folder, which is made if there is none, and clears the temporary files that a killed process left in it.
    pub fn take(root: &Path) -> Result<Self, LockError> {
        let unusable = |source| LockError::Unusable { root: root.to_owned(), source };
        fs::create_dir_all(root.join(PRIVATE)).map_err(unusable)?;
        let path = root.join(PRIVATE).join(LOCK);
        // The file is never removed: whoever holds a removed file open would believe to have the lock.
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(root, &mut file)),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        write_pid(&mut file).map_err(unusable)?;
        clear_temporary(&root.join(PRIVATE).join(TEMPORARY)).map_err(unusable)?;
        Ok(Self { held: Arc::new(Held { root: root.to_owned(), _file: file }), sync: true })
    }

    /// Whether no process has the folder now. Takes nothing and changes nothing; only who begins in the same moment may find the folder in
    /// use.
    pub fn is_free(root: &Path) -> Result<(), LockError> {
        let unusable = |source| LockError::Unusable { root: root.to_owned(), source };
        let mut file = match File::open(root.join(PRIVATE).join(LOCK)) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(unusable(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(taken(root, &mut file)),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// What is opened with this one does not wait for the disk: some milliseconds less for every write. A kill is survived all the
    /// same, a loss of power is not. For tests and for work that costs nothing.
    #[must_use]
    pub fn without_sync(self) -> Self {
        Self { sync: false, ..self }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.held.root
    }

    /// Whether writes wait for the disk.
    pub(crate) fn sync(&self) -> bool {
        self.sync
    }
}

/// Another process has it, which has written down its id.
fn taken(root: &Path, file: &mut File) -> LockError {
    let mut text = String::new();
    let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
    LockError::Taken { root: root.to_owned(), pid }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The lock proves that whoever wrote these files is dead.
fn clear_temporary(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_and_the_second_learns_by_whom() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("new/folder");
        let lock = FolderLock::take(&root).unwrap();
        let error = FolderLock::take(&root).unwrap_err();
        assert!(matches!(error, LockError::Taken { pid, .. } if pid == Some(std::process::id())), "{error}");
        assert!(
            matches!(FolderLock::is_free(&root), Err(LockError::Taken { pid, .. }) if pid == Some(std::process::id()))
        );
        let left = root.join(PRIVATE).join(TEMPORARY).join("left");
        fs::write(&left, "half").unwrap();
        drop(lock);
        let _again = FolderLock::take(&root).unwrap();
        assert!(!left.exists());
    }
}
