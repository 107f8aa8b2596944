//! A process that was killed leaves its folder free.
//!
//! By itself in its binary, because it starts a process: until that runs its own program it holds whatever the other threads have locked.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use dropcollect::lock::{FolderLock, LockError};

/// Where this is set, the test is the process that gets killed.
const TO_HOLD: &str = "DROPCOLLECT_TEST_FOLDER_TO_HOLD";

#[test]
fn a_killed_process_leaves_the_folder_free() {
    if let Some(root) = env::var_os(TO_HOLD) {
        let _lock = FolderLock::take(Path::new(&root)).unwrap();
        thread::sleep(Duration::from_secs(60));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_killed_process_leaves_the_folder_free"])
        .env(TO_HOLD, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid_file = folder.path().join(".dropcollect/lock");
    while fs::read_to_string(&pid_file).unwrap_or_default().trim() != child.id().to_string() {
        assert_eq!(child.try_wait().unwrap(), None, "the other process ended by itself");
        thread::sleep(Duration::from_millis(5));
    }
    let error = FolderLock::take(folder.path()).unwrap_err();
    assert!(matches!(error, LockError::Taken { pid, .. } if pid == Some(child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    FolderLock::take(folder.path()).unwrap();
}
