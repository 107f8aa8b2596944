//! What survives the process: accepted jobs and their cancels, pauses and resumes, one JSON line each. Everything else
//! follows from them and the scenario.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::job::Accepted;

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    Accepted(Accepted),
    Control { at: Timestamp, id: String, action: Action },
}

/// Run control that changes a job.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Cancel,
    Pause,
    Resume,
}

impl Event {
    pub(super) fn at(&self) -> Timestamp {
        match self {
            Self::Accepted(accepted) => accepted.at,
            Self::Control { at, .. } => *at,
        }
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
}

impl Journal {
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<Event>)> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("journal.ndjson");
        let mut text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        // A line without its end was being written when the process died, so its request was not answered.
        text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(text.len() as u64)?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events = lines.map(|line| serde_json::from_slice(line).map_err(io::Error::from));
        Ok((Self { file }, events.collect::<io::Result<_>>()?))
    }

    /// Hands the line to the operating system in one write, which SIGKILL cannot take back.
    pub(super) fn append(&mut self, event: &Event) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.flush());
        if written.is_err() {
            // Half a line (the disk is full) must not spoil the next one.
            self.file.set_len(before)?;
        }
        written
    }
}
