//! The processes that a local AWS runs functions in, as `/proc` shows them, and what is done to them.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The functions that one process has started, and its children.
#[derive(Debug, Clone, Copy)]
pub struct Processes {
    root: u32,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// Name of the function, with its stack's before it.
    pub function: String,
}

impl Processes {
    /// Those below this process.
    pub fn below(root: u32) -> Self {
        Self { root }
    }

    /// All that run a function now: Lambda's variables give its name.
    pub fn all(&self) -> Vec<Process> {
        let mut family = vec![self.root];
        let mut found = Vec::new();
        while let Some(parent) = family.pop() {
            for id in children(parent) {
                let variables = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
                let name =
                    variables.split(|byte| *byte == 0).find_map(|pair| pair.strip_prefix(b"AWS_LAMBDA_FUNCTION_NAME="));
                found.extend(name.map(|name| Process { id, function: String::from_utf8_lossy(name).into_owned() }));
                family.push(id);
            }
        }
        found
    }

    /// Those whose function's name contains this.
    pub fn of(&self, function: &str) -> Vec<Process> {
        self.all().into_iter().filter(|process| process.function.contains(function)).collect()
    }

    /// Kills the one that has a connection from this port of 127.0.0.1.
    pub fn kill_owner(&self, port: u16) -> Option<Process> {
        let socket = format!("socket:[{}]", inode(port)?);
        let owner = self.all().into_iter().find(|process| {
            let open = fs::read_dir(format!("/proc/{}/fd", process.id)).into_iter().flatten().flatten();
            open.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == &*socket))
        })?;
        owner.kill().then_some(owner)
    }
}

impl Process {
    /// Kills it; whether it was still there.
    pub fn kill(&self) -> bool {
        self.signal("-KILL")
    }

    /// Makes it stand still, whatever it is doing; whether it was still there.
    pub fn freeze(&self) -> bool {
        self.signal("-STOP")
    }

    /// Whether it has not ended.
    pub fn is_there(&self) -> bool {
        self.signal("-0")
    }

    /// The program that it runs.
    pub fn program(&self) -> std::io::Result<Vec<u8>> {
        fs::read(format!("/proc/{}/exe", self.id))
    }

    fn signal(&self, signal: &str) -> bool {
        let sent = Command::new("kill").args([signal, &self.id.to_string()]).stderr(Stdio::null()).status();
        sent.is_ok_and(|status| status.success())
    }
}

/// Lets those go on that stand still, for a moment. One command, because on a busy machine two may lie far apart.
pub fn thaw_for(processes: &[Process], moment: Duration) {
    let ids = processes.iter().map(|process| process.id.to_string()).collect::<Vec<_>>().join(" ");
    let script = format!("kill -CONT {ids}; sleep {}; kill -STOP {ids}", moment.as_secs_f64());
    // Some may have ended, which is as good.
    let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
}

/// The processes that this one has started and that have not ended.
fn children(parent: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// What `/proc` calls the socket at this port of 127.0.0.1.
fn inode(port: u16) -> Option<String> {
    let local = format!("0100007F:{port:04X}");
    let sockets = fs::read_to_string("/proc/net/tcp").ok()?;
    let mut fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = fields.find(|fields| fields.get(1) == Some(&local.as_str()))?;
    found.get(9).filter(|inode| **inode != "0").map(|inode| (*inode).to_owned())
}
