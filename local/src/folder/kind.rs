//! What a folder is for, and whether it can be used, for those who do not take it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::PRIVATE;

/// The simulator of `--simulate` keeps its state here, below the folder.
pub const SIMULATOR: &str = ".dropcollect/simulator";
/// The queues of a folder that work was begun in.
const QUEUE: &str = ".dropcollect/queue";
/// What lies in a folder beside [`PRIVATE`]: the first segments of all keys.
const OWN: [&str; 7] = ["output", "failed", "status", "accounts", "late", "ledger", "control"];

/// A folder is for simulated runs or for real ones: otherwise the result of a trial would stand for a paid one, and work that was begun
/// against the simulator would go on against the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing has been run in it.
    Unused,
    /// What the simulator has answered.
    Simulated,
    /// What the API has answered.
    Real,
}

impl Kind {
    /// What this folder has been used for.
    pub fn of(root: &Path) -> Self {
        match (root.join(SIMULATOR).exists(), root.join(QUEUE).exists()) {
            (true, _) => Self::Simulated,
            (false, true) => Self::Real,
            (false, false) => Self::Unused,
        }
    }
}

/// The names in a folder that are none of ours, in order.
pub fn foreign(root: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(root)?.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| name != PRIVATE && !OWN.contains(&name.as_str()));
    names.sort();
    Ok(names)
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// No file can be made in it.
    #[error("cannot be written: {0}")]
    NotWritable(io::Error),
    /// A file cannot get a second name, or takes one that is not free: what is written once could be written twice.
    #[error("its file system has no hard links: {0}")]
    NoLinks(io::Error),
}

/// Makes a file with two names, as every record of the ledger is made, and removes both.
pub fn try_out(root: &Path) -> Result<(), Unusable> {
    let name = |which: &str| Removed(root.join(format!(".dropcollect-doctor-{}-{which}", std::process::id())));
    let (first, second) = (name("1"), name("2"));
    File::create_new(&first.0).map_err(Unusable::NotWritable)?;
    fs::hard_link(&first.0, &second.0).map_err(Unusable::NoLinks)?;
    match fs::hard_link(&first.0, &second.0) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Unusable::NoLinks(error)),
        Ok(()) => Err(Unusable::NoLinks(io::Error::other("a name was given twice"))),
    }
}

/// A file that goes with this.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // Of the two, one may never have been made.
        let _ = fs::remove_file(&self.0);
    }
}
