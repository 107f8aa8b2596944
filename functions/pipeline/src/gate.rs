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

/// After a refusal for want of room, callers go one at a time for so long, and refusals of this time count: an address that gets 25
/// answers of 429 within five minutes is blocked (API sheet, rule of a sibling product).
const MEMORY_SECONDS: i64 = 300;
/// With so many refusals in that time, nobody calls before the oldest of them is forgotten.
const REFUSALS_MAX: usize = 8;
/// Attempts to note a refusal while others note theirs.
const NOTES_MAX: usize = 5;

/// Why callers were turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The token is not accepted.
    Credentials,
    /// Too much at a time.
    Limit,
}

/// An answer that turned a caller away.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// Why.
    pub cause: Cause,
    /// For how long, in seconds, where the API says so.
    pub retry_after: Option<u32>,
    /// The API's words.
    pub reason: &'a str,
}

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
    cause: Cause,
    /// The API's words.
    reason: String,
    /// When callers were turned away for want of room lately.
    #[serde(default)]
    refused: Vec<Timestamp>,
}

impl GateRecord {
    fn open(now: Timestamp) -> Self {
        let (closed_until, reason) = (now, String::new());
        Self { v: 1, failures: 0, closed_until, probing: false, cause: Cause::Limit, reason, refused: Vec::new() }
    }

    /// Without the refusals that are forgotten.
    fn at(mut self, now: Timestamp) -> Self {
        self.refused.retain(|refused| seconds_between(*refused, now) < MEMORY_SECONDS);
        self
    }

    /// After another refusal: those who were under way when it closed do not close it for longer, but all of them count.
    fn refused(self, now: Timestamp, refusal: &Refusal<'_>) -> Self {
        let late = self.failures > 0 && !self.probing && self.closed_until > now;
        let failures = if late { self.failures } else { self.failures.saturating_add(1) };
        let asked = later(now, i64::from(pause(refusal.retry_after, failures)));
        let mut closed_until = if late { self.closed_until } else { asked };
        let mut refused = self.refused;
        if refusal.cause == Cause::Limit {
            refused.push(now);
            if let Some(oldest) = refused.len().checked_sub(REFUSALS_MAX).and_then(|over| refused.get(over)) {
                closed_until = closed_until.max(later(*oldest, MEMORY_SECONDS));
            }
        }
        let (cause, reason) = (refusal.cause, refusal.reason.to_owned());
        Self { v: 1, failures, closed_until, probing: false, cause, reason, refused }
    }
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
    let Some((record, tag)) = load(store, key, now).await? else { return Ok(Gate::Open) };
    let left = seconds_between(now, record.closed_until);
    if record.failures == 0 && record.refused.is_empty() {
        return Ok(Gate::Open);
    }
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
pub async fn close(store: &dyn Store, key: &str, now: Timestamp, refusal: Refusal<'_>) -> Result<u32, PortError> {
    let mut wait = pause(refusal.retry_after, 1);
    for _ in 0..NOTES_MAX {
        let (record, tag) = load(store, key, now).await?.unzip();
        let record = record.unwrap_or_else(|| GateRecord::open(now)).refused(now, &refusal);
        wait = u32::try_from(seconds_between(now, record.closed_until).max(1)).unwrap_or(u32::MAX);
        if store.replace(key, ledger::encode(key, &record)?, tag.as_ref()).await? == Written::New {
            break;
        }
    }
    Ok(wait)
}

/// An hour at most: a `Retry-After` of years, or a date that a gateway got wrong, must not close a gate for ever.
fn pause(asked: Option<u32>, failures: u32) -> u32 {
    asked.unwrap_or_else(|| backoff(failures)).clamp(1, limits::WAIT_SECONDS_MAX)
}

/// Opens after a success, if it was not open.
pub async fn open(store: &dyn Store, key: &str, now: Timestamp) -> Result<(), PortError> {
    let Some((record, tag)) = load(store, key, now).await? else { return Ok(()) };
    if record.failures == 0 && !record.probing {
        return Ok(());
    }
    let record = GateRecord { refused: record.refused, ..GateRecord::open(now) };
    store.replace(key, ledger::encode(key, &record)?, Some(&tag)).await?;
    Ok(())
}

/// Gives a turn to probe back that was not used, or that taught nothing: the next caller takes it.
pub async fn give_back(store: &dyn Store, key: &str, now: Timestamp) -> Result<(), PortError> {
    let Some((record, tag)) = load(store, key, now).await?.filter(|(record, _)| record.probing) else { return Ok(()) };
    let record = GateRecord { probing: false, closed_until: now, ..record };
    store.replace(key, ledger::encode(key, &record)?, Some(&tag)).await?;
    Ok(())
}

/// A gate that is not open, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Why callers were turned away.
    pub cause: Cause,
    /// When the next caller may try; in the past if nobody has tried since.
    pub until: Timestamp,
    /// The API's words.
    pub reason: String,
}

/// The pause that callers are under; `None` when calls are made.
pub async fn paused(store: &dyn Store, key: &str) -> Result<Option<Pause>, PortError> {
    let record = load(store, key, Timestamp::UNIX_EPOCH).await?.map(|(record, _)| record);
    let pause = |GateRecord { cause, closed_until, reason, .. }| Pause { cause, until: closed_until, reason };
    Ok(record.filter(|record| record.failures > 0).map(pause))
}

/// Why calls are not made now, for people; `None` when they are.
pub async fn reason(store: &dyn Store, key: &str) -> Result<Option<(Cause, String)>, PortError> {
    Ok(paused(store, key).await?.map(|pause| (pause.cause, pause.reason)))
}

async fn load(store: &dyn Store, key: &str, now: Timestamp) -> Result<Option<(GateRecord, Tag)>, PortError> {
    let Some(stored) = store.get(key).await? else { return Ok(None) };
    // A gate that cannot be read is open: the worst that follows is one refused call.
    let record: Option<GateRecord> = serde_json::from_slice(&stored.body).ok();
    Ok(Some((record.unwrap_or_else(|| GateRecord::open(now)).at(now), stored.tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Refusal<'_> = Refusal { cause: Cause::Limit, retry_after: None, reason: "full" };

    fn second(second: i64) -> Timestamp {
        later(Timestamp::UNIX_EPOCH, second)
    }

    #[test]
    fn no_pause_is_for_ever() {
        assert_eq!((pause(Some(0), 1), pause(Some(120), 9), pause(Some(u32::MAX), 1)), (1, 120, 3_600));
        assert_eq!((pause(None, 1), pause(None, 99)), (30, 900));
    }

    #[test]
    fn those_who_were_under_way_close_it_once() {
        let once = GateRecord::open(second(0)).refused(second(0), &FULL);
        let twice = once.clone().refused(second(1), &FULL);
        assert_eq!((once.failures, twice.failures), (1, 1));
        assert_eq!((once.closed_until, twice.closed_until, twice.refused.len()), (second(30), second(30), 2));
        assert_eq!(once.refused(second(31), &FULL).failures, 2);
    }

    #[test]
    fn many_refusals_close_it_until_they_are_forgotten() {
        let crowd = (0..8).fold(GateRecord::open(second(0)), |gate, at| gate.refused(second(at), &FULL));
        assert_eq!(crowd.closed_until, second(MEMORY_SECONDS));
        assert_eq!(crowd.clone().refused(second(9), &FULL).closed_until, second(MEMORY_SECONDS + 1));
        assert_eq!(crowd.at(second(MEMORY_SECONDS + 3)).refused.len(), 4);
    }
}
