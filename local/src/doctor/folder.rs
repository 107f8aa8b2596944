//! A folder as the place of runs.

use std::io;
use std::path::Path;

use pipeline::ports::Clock;

use super::{Blame, Check, work};
use crate::folder::FolderStore;
use crate::folder::kind::{Kind, Unusable, foreign, try_out};
use crate::lock::{FolderLock, LockError};

/// Names of others that are shown.
const FOREIGN_SHOWN: usize = 3;
const ANOTHER: &str = "choose another folder with --data";

/// The folder, its lock, and what is in it.
pub(super) async fn checks(root: &Path, clock: &dyn Clock) -> Vec<Check> {
    let shown = root.display();
    if !root.exists() {
        return vec![absent(root)];
    }
    if !root.is_dir() {
        return vec![Check::problem("folder", Blame::Setting, format!("{shown} is no folder"), ANOTHER)];
    }
    let usable = match try_out(root) {
        Ok(()) => Check::ok("folder", format!("{shown} can be written; {}", held_by(root))),
        Err(unusable) => unfit(&format!("{shown} {unusable}"), &unusable),
    };
    let mut checks = vec![usable, lock(root), content(root)];
    checks.extend(work::checks(&FolderStore::reader(root), &shown.to_string(), clock).await);
    checks
}

/// Of a folder that is not there, the next one above it says whether it can be made.
fn absent(root: &Path) -> Check {
    let shown = root.display();
    let above = root.ancestors().skip(1).find(|above| above.exists() || above.as_os_str().is_empty());
    let above = above.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match try_out(above) {
        Ok(()) => Check::ok("folder", format!("{shown} is not there yet; the first run makes it")),
        Err(unusable) => unfit(&format!("{shown} cannot be made, {} {unusable}", above.display()), &unusable),
    }
}

fn unfit(seen: &str, unusable: &Unusable) -> Check {
    let fix = match unusable {
        Unusable::NotWritable(_) => "give this user the right to write there, or choose another folder with --data",
        Unusable::NoLinks(_) => {
            "choose a folder on another file system with --data: FAT and some network drives have none"
        }
    };
    Check::problem("folder", Blame::Setting, seen, fix)
}

fn held_by(root: &Path) -> &'static str {
    match Kind::of(root) {
        Kind::Unused => "nothing has been run there",
        Kind::Simulated => "it holds simulated runs, so none against the API can be made there",
        Kind::Real => "it holds real runs, so none with --simulate can be made there",
    }
}

fn lock(root: &Path) -> Check {
    match FolderLock::is_free(root) {
        Ok(()) => Check::ok("lock", "free"),
        Err(taken @ LockError::Taken { .. }) => {
            let fix = "wait for that process, or end it (its work goes on at the next run); one process per folder";
            Check::warning("lock", taken.to_string(), fix)
        }
        Err(LockError::Unusable { source, .. }) => {
            let fix =
                "give this user the right to read it, or choose a folder on a file system that has locks with --data";
            Check::problem("lock", Blame::Setting, format!("cannot be looked at: {source}"), fix)
        }
    }
}

fn content(root: &Path) -> Check {
    let names = |names: Vec<String>| {
        let more = names.len().saturating_sub(FOREIGN_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown = names.into_iter().take(FOREIGN_SHOWN).collect::<Vec<_>>().join(", ");
        let fix = "give runs a folder of their own with --data: that one can be moved or deleted as a whole";
        Check::warning("content", format!("there are things of others in it: {shown}{more}"), fix)
    };
    match foreign(root) {
        Ok(found) if found.is_empty() => Check::ok("content", "nothing but runs"),
        Ok(found) => names(found),
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &io::Error) -> Check {
    let fix = "give this user the right to read it, or choose another folder with --data";
    Check::problem("content", Blame::Setting, format!("cannot be read: {error}"), fix)
}
