//! The kill switch: while it is off nothing is triggered, in no run; collections that run are delivered all the same.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::keys;
use crate::ledger;
use crate::ports::{PortError, Queues, Store, Tag, Written};
use crate::remind;
use crate::sweep::open_runs;

/// How long a send waits before it asks again, at first; [`resume`] does not wait for that.
pub(crate) const ASK_AGAIN_SECONDS: u32 = 60;
/// Tries to set the switch while others set it.
const TRIES_MAX: usize = 8;

/// The switch, `control/pause.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Format version.
    pub v: u32,
    /// Whether nothing is triggered.
    pub paused: bool,
    /// Since when.
    pub at: Timestamp,
    /// Why, in the words of whoever set it.
    #[serde(default)]
    pub reason: String,
}

impl Switch {
    /// Why a send waits.
    pub fn words(&self) -> String {
        let reason = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        format!("paused by a person since {}{reason}: `dropcollect resume` goes on", self.at)
    }
}

/// What a resumption set going.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Runs that are not over.
    pub runs: usize,
    /// Batches of them that were sent a message.
    pub batches: usize,
}

/// The pause that holds now. An object that cannot be read holds, too: whoever put it there, by hand perhaps, wanted to stop something.
pub async fn standing(store: &dyn Store) -> Result<Option<Switch>, PortError> {
    Ok(load(store).await?.map(|(switch, _)| switch).filter(|switch| switch.paused))
}

/// Stops everything that costs money. A send that is under way leaves within
/// [`SEND_BY_SECONDS`](crate::policy::limits::SEND_BY_SECONDS), and none after that. Returns the pause that holds: an earlier one stays as
/// it is.
pub async fn pause(store: &dyn Store, now: Timestamp, reason: &str) -> Result<Switch, PortError> {
    set(store, Switch { v: ledger::VERSION, paused: true, at: now, reason: reason.to_owned() }).await
}

/// Lets everything go on, at once. Safe to repeat, and finishes what was cut off.
pub async fn resume(store: &dyn Store, queues: &dyn Queues, now: Timestamp) -> Result<Resumed, PortError> {
    if load(store).await?.is_some() {
        set(store, Switch { v: ledger::VERSION, paused: false, at: now, reason: String::new() }).await?;
    }
    let mut resumed = Resumed::default();
    for run in open_runs(store).await? {
        resumed.runs += 1;
        resumed.batches += remind::open_batches(store, queues, now, &run).await?;
    }
    Ok(resumed)
}

async fn set(store: &dyn Store, switch: Switch) -> Result<Switch, PortError> {
    for _ in 0..TRIES_MAX {
        let (standing, tag) = load(store).await?.unzip();
        if let Some(standing) = standing.filter(|standing| standing.paused == switch.paused) {
            return Ok(standing);
        }
        let body = ledger::encode(keys::PAUSE, &switch)?;
        if store.replace(keys::PAUSE, body, tag.as_ref()).await? == Written::New {
            return Ok(switch);
        }
    }
    Err(PortError::new(format!("cannot write {}", keys::PAUSE), "others write it all the time"))
}

async fn load(store: &dyn Store) -> Result<Option<(Switch, Tag)>, PortError> {
    let Some(stored) = store.get(keys::PAUSE).await? else { return Ok(None) };
    let unreadable = || Switch {
        v: ledger::VERSION,
        paused: true,
        at: Timestamp::UNIX_EPOCH,
        reason: format!("{} cannot be read", keys::PAUSE),
    };
    Ok(Some((serde_json::from_slice(&stored.body).unwrap_or_else(|_| unreadable()), stored.tag)))
}
