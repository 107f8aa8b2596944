//! Pauses that all functions share: of one collector that was told to wait, and of a token that was refused.
//!
//! The only mutable objects of the pipeline. Whoever finds a pause over takes one turn to probe by swapping the object; everyone else
//! learns when to come back. Losing or deleting such an object costs a few refused calls, nothing else.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger;
use crate::policy::limits;
use crate::ports::{PortError, Store, Tag, Written};
use crate::schedule::{backoff, later, seconds_between};

/// How long a probe may take before the next one goes.
const PROBE_SECONDS: i64 = 90;
/// When everyone else asks again while a probe is under way: its answer mostly comes within seconds, and a hundred batches that all
/// waited for the longest would stand still after each one that was told to wait.
const PROBING_SECONDS: i64 = 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GateRecord {
    v: u32,
    /// Refusals in a row; 0 means open.
    failures: u32,
    /// Nobody calls before this.
    closed_until: Timestamp,
    /// Whether it is closed only because somebody probes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    probing: bool,
    /// The API's words.
    reason: String,
}

/// What a caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Go on.
    Open,
    /// Go on alone, and report how it went.
    Probe,
    /// Come back after this many seconds.
    Closed {
        /// Seconds, at least 1.
        after: u32,
        /// The API's words.
        reason: String,
    },
}

/// Asks whether calls may be made.
pub async fn ask(store: &dyn Store, key: &str, now: Timestamp) -> Result<Gate, PortError> {
    let Some((record, tag)) = load(store, key).await? else { return Ok(Gate::Open) };
    if record.failures == 0 {
        return Ok(Gate::Open);
    }
    let left = seconds_between(now, record.closed_until);
    if left > 0 {
        let left = if record.probing { left.min(PROBING_SECONDS) } else { left };
        return Ok(Gate::Closed { after: u32::try_from(left).unwrap_or(u32::MAX), reason: record.reason });
    }
    let probing = GateRecord { closed_until: later(now, PROBE_SECONDS), probing: true, ..record.clone() };
    match store.replace(key, ledger::encode(key, &probing)?, Some(&tag)).await? {
        Written::New => Ok(Gate::Probe),
        Written::Kept => Ok(Gate::Closed { after: PROBING_SECONDS as u32, reason: record.reason }),
    }
}

/// Closes after a refusal, for as long as the API asked or for a growing time. Returns the seconds until it may be asked again.
pub async fn close(
    store: &dyn Store,
    key: &str,
    now: Timestamp,
    asked: Option<u32>,
    reason: &str,
) -> Result<u32, PortError> {
    let current = load(store, key).await?;
    let (failures, tag) = current.as_ref().map_or((0, None), |(record, tag)| (record.failures, Some(tag)));
    let failures = failures.saturating_add(1);
    let wait = pause(asked, failures);
    let closed_until = later(now, i64::from(wait));
    let record = GateRecord { v: 1, failures, closed_until, probing: false, reason: reason.to_owned() };
    // Losing the race means that somebody else has just closed it: their time is as good as ours.
    store.replace(key, ledger::encode(key, &record)?, tag).await?;
    Ok(wait)
}

/// An hour at most: a `Retry-After` of years, or a date that a gateway got wrong, must not close a gate for ever.
fn pause(asked: Option<u32>, failures: u32) -> u32 {
    asked.unwrap_or_else(|| backoff(failures)).clamp(1, limits::WAIT_SECONDS_MAX)
}

/// Opens after a success, if it was not open.
pub async fn open(store: &dyn Store, key: &str, now: Timestamp) -> Result<(), PortError> {
    let Some((record, tag)) = load(store, key).await? else { return Ok(()) };
    if record.failures == 0 {
        return Ok(());
    }
    let record = GateRecord { v: 1, failures: 0, closed_until: now, probing: false, reason: String::new() };
    store.replace(key, ledger::encode(key, &record)?, Some(&tag)).await?;
    Ok(())
}

/// Why calls are not made now, for people; `None` when they are.
pub async fn reason(store: &dyn Store, key: &str) -> Result<Option<String>, PortError> {
    Ok(load(store, key).await?.filter(|(record, _)| record.failures > 0).map(|(record, _)| record.reason))
}

async fn load(store: &dyn Store, key: &str) -> Result<Option<(GateRecord, Tag)>, PortError> {
    let Some(stored) = store.get(key).await? else { return Ok(None) };
    // A gate that cannot be read is open: the worst that follows is one refused call.
    let closed_until = Timestamp::UNIX_EPOCH;
    let open = GateRecord { v: 1, failures: 0, closed_until, probing: false, reason: String::new() };
    Ok(Some((serde_json::from_slice(&stored.body).unwrap_or(open), stored.tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pause_is_for_ever() {
        assert_eq!((pause(Some(0), 1), pause(Some(120), 9), pause(Some(u32::MAX), 1)), (1, 120, 3_600));
        assert_eq!((pause(None, 1), pause(None, 99)), (30, 900));
    }
}
