//! Spending limits: how many page loads may be paid for, by file, day and month, in all and of one collector.
//!
//! One object, the [`Book`], holds what is spent and what is reserved. Before a send its page loads are reserved by compare-and-swap, so
//! that however many send at the same time, no limit is passed; when the attempt is over, what was reserved gives way to what the job log
//! says. An input counts as one page load, or as many as inputs of its collector took lately. Without limits nothing of this is read or
//! written.

mod book;
mod limits;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use book::{Bar, Book, Loads, Reservation, Waiting};
pub(crate) use book::{day_of, month_of};
pub use limits::{Limit, Limits, NotALimit, Per};

use crate::Pipeline;
use crate::keys;
use crate::ledger;
use crate::metrics;
use crate::ports::{PortError, Queues, Store, Tag, Written};
use crate::remind;
use crate::schedule::seconds_between;
use crate::words::{AttemptId, RunId, Slice};

/// Tries to write the book while others do.
const TRIES_MAX: usize = 8;
/// What waits for others that write the book asks again after so many seconds.
const BUSY_SECONDS: u32 = 2;
/// A reservation older than this may be left over: [`clean`] looks whether its attempt is over.
const LEFT_OVER_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 86_400;
/// The longest wait before a limit is asked again; [`let_over`] and [`resume`](crate::pause::resume) do not wait for that.
const ASK_AGAIN_SECONDS: i64 = 3_600;

/// What a send is going to pay for.
pub(crate) struct Wanted<'a> {
    pub(crate) attempt: &'a AttemptId,
    pub(crate) slice: Slice,
    pub(crate) collector: &'a str,
    pub(crate) inputs: u32,
    /// Sends of the same slice that may have started something that nobody found: when they were made.
    pub(crate) abandoned: Vec<Timestamp>,
}

/// Whether a send may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reserved {
    Yes,
    /// Not now; ask again after so many seconds.
    No {
        after: u32,
        why: String,
    },
}

/// What an attempt has paid for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paid {
    /// When something was triggered, and its page loads, by the job log where it is known.
    pub(crate) page_loads: Vec<(Timestamp, u64)>,
    /// Of collections whose log is known: their inputs, and their page loads.
    pub(crate) known: (u64, u64),
}

/// A person lets a run go over the limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverLimitsRecord {
    /// Format version.
    pub v: u32,
    /// Since when.
    pub at: Timestamp,
}

/// Reserves what a send is going to pay for. Asking again for the same slice changes nothing.
pub(crate) async fn reserve(pipeline: &Pipeline, wanted: &Wanted<'_>) -> Result<Reserved, PortError> {
    let (store, limits) = (&*pipeline.store, &pipeline.limits);
    if limits.is_empty() {
        return Ok(Reserved::Yes);
    }
    let mut over = None;
    for _ in 0..TRIES_MAX {
        let now = pipeline.clock.now();
        let (mut book, tag) = load(store, now).await?;
        let refused = match book.reserve(limits, now, wanted, over == Some(true)) {
            Ok(false) => return Ok(Reserved::Yes),
            Ok(true) => None,
            Err(limit) => {
                if over.is_none() {
                    over = Some(ledger::exists(store, &keys::over_limits(&wanted.attempt.run)).await?);
                    if over == Some(true) {
                        continue;
                    }
                }
                let why = limit.words(wanted.inputs, book.estimate(wanted.collector, wanted.inputs));
                let after = ask_again(now);
                if !book.wait(&wanted.attempt.run, now, &limit, &why) {
                    return Ok(Reserved::No { after, why });
                }
                Some((after, why))
            }
        };
        if write(store, &mut book, limits, tag.as_ref()).await? == Written::New {
            return Ok(match refused {
                None => Reserved::Yes,
                Some((after, why)) => {
                    pipeline.count(&metrics::LIMIT_REACHED, 1);
                    tracing::warn!(why, "a spending limit is reached");
                    Reserved::No { after, why }
                }
            });
        }
    }
    Ok(Reserved::No { after: BUSY_SECONDS, why: "many ask for the spending limits at the same time".to_owned() })
}

/// Puts what an attempt has paid for in the place of what it had reserved. Repeating it changes nothing.
pub(crate) async fn settle(pipeline: &Pipeline, attempt: &AttemptId, paid: Paid) -> Result<(), PortError> {
    change(pipeline, |book| book.settle(attempt, &paid)).await
}

/// A run is over: nothing about it has to be known any more.
pub(crate) async fn forget(pipeline: &Pipeline, run: &RunId) -> Result<(), PortError> {
    change(pipeline, |book| book.forget(run)).await
}

/// Gives back what was reserved for an attempt after its end, by a handler that had slept for long.
pub(crate) async fn clean(pipeline: &Pipeline) -> Result<(), PortError> {
    if pipeline.limits.is_empty() {
        return Ok(());
    }
    let now = pipeline.clock.now();
    let (book, _) = load(&*pipeline.store, now).await?;
    for reservation in book.open.iter().filter(|open| seconds_between(open.at, now) > LEFT_OVER_SECONDS) {
        let attempt = &reservation.attempt;
        if ledger::exists(&*pipeline.store, &keys::attempt_end(attempt)).await? {
            change(pipeline, |book| book.drop_of(attempt)).await?;
        }
    }
    Ok(())
}

/// Why a run waits for a limit, if it does.
pub(crate) async fn waiting(pipeline: &Pipeline, run: &RunId) -> Result<Option<Waiting>, PortError> {
    if pipeline.limits.is_empty() {
        return Ok(None);
    }
    Ok(load(&*pipeline.store, pipeline.clock.now()).await?.0.waiting.remove(run))
}

/// The book as it stands, for people; `None` where no limit has ever been asked.
pub async fn book(store: &dyn Store) -> Result<Option<Book>, PortError> {
    ledger::read(store, keys::SPENDING).await
}

/// Lets a run go over the limits, for good, and sets it going. What it pays for still counts. Returns how many batches are not over.
pub async fn let_over(store: &dyn Store, queues: &dyn Queues, now: Timestamp, run: &RunId) -> Result<usize, PortError> {
    let record = OverLimitsRecord { v: ledger::VERSION, at: now };
    ledger::write_once(store, &keys::over_limits(run), &record).await?;
    remind::open_batches(store, queues, now, run).await
}

/// Writes a change; `false` is none.
async fn change(pipeline: &Pipeline, mut change: impl FnMut(&mut Book) -> bool) -> Result<(), PortError> {
    if pipeline.limits.is_empty() {
        return Ok(());
    }
    let store = &*pipeline.store;
    for _ in 0..TRIES_MAX {
        let (mut book, tag) = load(store, pipeline.clock.now()).await?;
        if !change(&mut book) || write(store, &mut book, &pipeline.limits, tag.as_ref()).await? == Written::New {
            return Ok(());
        }
    }
    Err(PortError::new(format!("cannot write {}", keys::SPENDING), "others write it all the time"))
}

async fn load(store: &dyn Store, now: Timestamp) -> Result<(Book, Option<Tag>), PortError> {
    let (mut book, tag) = match store.get(keys::SPENDING).await? {
        // One that cannot be read is an error: whoever began a new one would forget what has been spent.
        Some(stored) => {
            let book = serde_json::from_slice(&stored.body)
                .map_err(|error| PortError::new(format!("cannot read {}", keys::SPENDING), error))?;
            (book, Some(stored.tag))
        }
        None => (Book::default(), None),
    };
    book.turn_over(now);
    Ok((book, tag))
}

async fn write(store: &dyn Store, book: &mut Book, limits: &Limits, tag: Option<&Tag>) -> Result<Written, PortError> {
    book.v = ledger::VERSION;
    book.limits = limits.by_name();
    store.replace(keys::SPENDING, ledger::encode(keys::SPENDING, book)?, tag).await
}

/// A day ends at midnight, UTC; limits may be raised at any time.
fn ask_again(now: Timestamp) -> u32 {
    let left = DAY_SECONDS - now.as_second().rem_euclid(DAY_SECONDS);
    u32::try_from(left.clamp(1, ASK_AGAIN_SECONDS)).unwrap_or(BUSY_SECONDS)
}
