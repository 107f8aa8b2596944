//! A queue that outlives its process: [`Messages`], with a file for each of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use pipeline::ports::{Clock, PortError, QueueName, Queues};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{DeadLetter, Message, Messages, QueueSettings, Received, check_batch};
use crate::clock::later;
use crate::folder::disk::{PRIVATE, Temporary};
use crate::folder::is_absent;
use crate::lock::FolderLock;

const QUEUES: &str = "queue";
/// Folder for dead letters in that of their queue.
const DEAD: &str = "dead";
/// File with the number of this opening, which begins all message ids.
const OPENED: &str = "opened";

/// A queue in a folder, for the one process that holds it. Nothing expires, and nothing is received too often by itself. A handle:
/// clones are the same queue.
///
/// What is sent is on the disk before [`FolderQueue::send`] returns. After a kill, a message that was being worked on is visible
/// at once; one that its handler gave back keeps its delay.
#[derive(Debug, Clone)]
pub struct FolderQueue(Arc<Opened>);

#[derive(Debug)]
struct Opened {
    lock: FolderLock,
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    messages: Messages,
    opening: i64,
    last: u64,
}

impl FolderQueue {
    /// Opens the queue of this name, or makes it.
    pub fn open(lock: &FolderLock, name: &str, now: Timestamp) -> Result<Self, PortError> {
        let folder = lock.root().join(PRIVATE).join(QUEUES).join(name);
        Self::load(lock, folder, now).map_err(|error| PortError::new(format!("open the queue {name}"), error))
    }

    fn load(lock: &FolderLock, folder: PathBuf, now: Timestamp) -> io::Result<Self> {
        fs::create_dir_all(folder.join(DEAD))?;
        let mut messages = Messages::new(QueueSettings::default());
        for message in read_all::<Message>(&folder)? {
            // The lock proves that its handler is dead.
            let visible_at = if message.in_flight { now.min(message.visible_at) } else { message.visible_at };
            messages.add(Message { visible_at, in_flight: false, ..message });
        }
        read_all::<DeadLetter>(&folder.join(DEAD))?.into_iter().for_each(|letter| messages.add_dead(letter));
        let opening = next_opening(lock, &folder.join(OPENED), now)?;
        let state = Mutex::new(State { messages, opening, last: 0 });
        Ok(Self(Arc::new(Opened { lock: lock.clone(), folder, state })))
    }

    /// Sends a message, visible after `delay` seconds, and says its id. Ids are unique also across restarts, and in order.
    pub fn send(&self, now: Timestamp, body: &str, delay: u32) -> Result<String, PortError> {
        let mut state = self.state();
        state.last += 1;
        let message = Message {
            message_id: format!("{:012x}-{:08}", state.opening, state.last),
            body: body.to_owned(),
            sent_at: now,
            visible_at: later(now, delay),
            receive_count: 0,
            in_flight: false,
        };
        let message_id = message.message_id.clone();
        let path = self.file(&message_id);
        self.write(&path, &message)
            .and_then(|()| Temporary::of(&self.0.lock).sync_folder_of(&path))
            .map_err(self.failed("send to"))?;
        state.messages.add(message);
        Ok(message_id)
    }

    /// Receives the message that has been visible for longest and hides it for `visibility` seconds.
    pub fn receive(&self, now: Timestamp, visibility: u32) -> Result<Option<Received>, PortError> {
        let mut state = self.state();
        let received = state.messages.receive(now, visibility);
        if let Some(received) = &received {
            self.save(&state.messages, &received.receipt).map_err(self.failed("receive from"))?;
        }
        Ok(received)
    }

    /// Hides the message for `seconds` from now, for a handler that goes on working; `false` as in [`Messages::change_visibility`].
    /// It is not written down: after a restart the message is visible at once anyway.
    pub fn change_visibility(&self, now: Timestamp, receipt: &str, seconds: u32) -> bool {
        self.state().messages.change_visibility(now, receipt, seconds)
    }

    /// Delivers the message again after `seconds`, for a handler that has ended.
    pub fn give_back(&self, now: Timestamp, receipt: &str, seconds: u32) -> Result<bool, PortError> {
        let mut state = self.state();
        let changed = state.messages.give_back(now, receipt, seconds);
        if changed {
            self.save(&state.messages, receipt).map_err(self.failed("give back to"))?;
        }
        Ok(changed)
    }

    /// Deletes the message of this delivery; `false` when the receipt is not the newest one.
    pub fn delete(&self, receipt: &str) -> Result<bool, PortError> {
        let mut state = self.state();
        let Some(message_id) = state.messages.message(receipt).map(|message| message.message_id.clone()) else {
            return Ok(false);
        };
        remove(&self.file(&message_id)).map_err(self.failed("delete from"))?;
        Ok(state.messages.delete(receipt).is_some())
    }

    /// Moves the message of this delivery to the dead letters; `false` when the receipt is not the newest one.
    pub fn set_aside(&self, receipt: &str, why: &str) -> Result<bool, PortError> {
        let mut state = self.state();
        let Some(message) = state.messages.message(receipt).cloned() else { return Ok(false) };
        let path = self.file(&message.message_id);
        let letter = DeadLetter { message, why: why.to_owned() };
        let dead = self.0.folder.join(DEAD).join(file_name(&letter.message.message_id));
        self.write(&dead, &letter).and_then(|()| remove(&path)).map_err(self.failed("set aside from"))?;
        Ok(state.messages.set_aside(receipt, why).is_some())
    }

    /// When the next message becomes visible (or did); `None` when there are no messages.
    pub fn next_visible_at(&self) -> Option<Timestamp> {
        self.state().messages.next_visible_at()
    }

    /// All messages that wait or are in flight, in order of sending.
    pub fn messages(&self) -> Vec<Message> {
        self.state().messages.iter().cloned().collect()
    }

    /// The dead letters.
    pub fn dead(&self) -> Vec<DeadLetter> {
        self.state().messages.dead().to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, message_id: &str) -> PathBuf {
        self.0.folder.join(file_name(message_id))
    }

    fn save(&self, messages: &Messages, receipt: &str) -> io::Result<()> {
        messages.message(receipt).map_or(Ok(()), |message| self.write(&self.file(&message.message_id), message))
    }

    fn write(&self, path: &Path, what: &impl Serialize) -> io::Result<()> {
        Temporary::of(&self.0.lock).with(&serde_json::to_vec(what)?)?.rename(path)
    }

    fn failed(&self, call: &str) -> impl FnOnce(io::Error) -> PortError {
        let what = format!("{call} {}", self.0.folder.display());
        |error| PortError::new(what, error)
    }
}

fn file_name(message_id: &str) -> String {
    format!("{message_id}.json")
}

/// What the `.json` files of a folder hold, in order of their names.
fn read_all<T: DeserializeOwned>(folder: &Path) -> io::Result<Vec<T>> {
    let mut paths =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let unreadable = |path: &Path, error| io::Error::other(format!("{}: {error}", path.display()));
    let read = |path: &PathBuf| serde_json::from_slice(&fs::read(path)?).map_err(|error| unreadable(path, error));
    paths.iter().map(read).collect()
}

/// Greater than at any opening before, also after the clock was set back; and when the file is lost, after the clock.
fn next_opening(lock: &FolderLock, path: &Path, now: Timestamp) -> io::Result<i64> {
    let before: Option<i64> = match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().ok(),
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(error),
    };
    let opening = now.as_millisecond().max(before.map_or(0, |before| before + 1));
    Temporary::of(lock).with(opening.to_string().as_bytes())?.rename(path)?;
    Ok(opening)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if is_absent(&error) => Ok(()),
        done => done,
    }
}

/// The two queues that the pipeline sends to.
#[derive(Clone)]
pub struct FolderQueues {
    /// Reminders.
    pub poll: FolderQueue,
    /// Attempts after the first.
    pub retry: FolderQueue,
    clock: Arc<dyn Clock>,
}

impl FolderQueues {
    /// Opens both.
    pub fn open(lock: &FolderLock, clock: Arc<dyn Clock>) -> Result<Self, PortError> {
        let open = |name| FolderQueue::open(lock, name, clock.now());
        Ok(Self { poll: open("poll")?, retry: open("retry")?, clock })
    }

    /// The queue of this name.
    pub fn queue(&self, name: QueueName) -> &FolderQueue {
        match name {
            QueueName::Poll => &self.poll,
            QueueName::Retry => &self.retry,
        }
    }
}

#[async_trait]
impl Queues for FolderQueues {
    async fn send(&self, queue: QueueName, bodies: &[String], delay_seconds: u32) -> Result<(), PortError> {
        let what = format!("send to {queue:?}");
        check_batch(bodies, delay_seconds).map_err(|why| PortError::new(what.clone(), why))?;
        let (queue, bodies, now) = (self.queue(queue).clone(), bodies.to_vec(), self.clock.now());
        let send = move || bodies.iter().try_for_each(|body| queue.send(now, body, delay_seconds).map(drop));
        tokio::task::spawn_blocking(send).await.map_err(|error| PortError::new(what, error))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_restart_keeps_delays_and_shows_what_was_in_flight() {
        let folder = tempfile::tempdir().unwrap();
        let open = |now| FolderQueue::open(&FolderLock::take(folder.path()).unwrap(), "poll", now).unwrap();
        let queue = open(at(0));
        let working = queue.send(at(0), "working", 0).unwrap();
        let given_back = queue.send(at(0), "given back", 0).unwrap();
        let delayed = queue.send(at(0), "delayed", 900).unwrap();
        queue.send(at(0), "deleted", 0).unwrap();
        queue.send(at(0), "set aside", 0).unwrap();
        let received: Vec<_> = std::iter::from_fn(|| queue.receive(at(1), 600).unwrap()).collect();
        assert!(queue.change_visibility(at(1), &received[0].receipt, 700));
        assert!(queue.give_back(at(1), &received[1].receipt, 300).unwrap());
        assert!(queue.delete(&received[2].receipt).unwrap());
        assert!(queue.set_aside(&received[3].receipt, "not JSON").unwrap());
        drop(queue);

        let queue = open(at(-5));
        let seen: Vec<_> = queue.messages().into_iter().map(|one| (one.message_id, one.visible_at)).collect();
        assert_eq!(seen, [(working.clone(), at(-5)), (given_back, at(301)), (delayed, at(900))]);
        assert_eq!(queue.dead()[0].why, "not JSON");
        let again = queue.receive(at(2), 600).unwrap().unwrap();
        assert_eq!((again.message_id, again.receive_count, again.sent_at), (working, 2, at(0)));
        assert!(!queue.delete(&received[0].receipt).unwrap(), "a receipt from before the restart");
        let new = queue.send(at(-5), "new", 0).unwrap();
        assert!(seen.iter().all(|(known, _)| *known < new), "ids stay unique though the clock was set back");
    }
}
