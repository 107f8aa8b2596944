//! A send is in doubt: was a collection started? The job list may tell.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::gate::{self, Gate};
use crate::keys;
use crate::ledger::{self, CollectionRecord, Intent, Outcome, SendResult, VERSION};
use crate::policy::{OnInDoubt, limits};
use crate::ports::{ListedJob, Looked, PortError};
use crate::schedule::{backoff, later, seconds_between};
use crate::words::Slice;
use crate::work::{Step, Work};

/// Pages of the job list that one look reads at most: 10,000 jobs of one collector within the days in question.
const PAGES_MAX: u64 = 20;
/// Jobs of one page (API page `list-jobs`: at most 500).
const PAGE: u64 = 500;

impl Work<'_> {
    /// Looks for the collection of a send that has no outcome.
    pub(crate) async fn reconcile(&self, slice: Slice, send: u32, intent: &Intent) -> Result<Step, PortError> {
        let now = self.pipeline.clock.now();
        // A single process that holds the lock of its folder knows that whoever wrote an earlier intent is dead.
        let dead = self.pipeline.alone_since.is_some_and(|since| intent.at < since);
        let doubt_at = if dead { intent.doubt_at.min(now) } else { intent.doubt_at };
        if now < doubt_at {
            return Ok(Step::wait(wait_until(now, doubt_at), "a send may still be answered"));
        }
        if self.run.policy.on_in_doubt == OnInDoubt::Retrigger {
            return self.conclude(slice, send, SendResult::Abandoned).await;
        }
        if let Gate::Closed { after, reason } = gate::ask(&*self.pipeline.store, keys::TOKEN_GATE, now).await? {
            return Ok(Step::wait(after, reason));
        }
        let jobs = match self.listed(intent, now).await {
            Ok(jobs) => jobs,
            Err(step) => return Ok(step),
        };
        let mut free = Vec::new();
        for job in jobs {
            match self.whose(&job, slice, send).await? {
                Whose::Ours => return self.adopt(slice, send, &job.id, false).await,
                Whose::Claimed => return self.adopt(slice, send, &job.id, true).await,
                Whose::Others => {}
                Whose::Nobodys => free.push(job.id),
            }
        }
        let window_ends = later(intent.doubt_at.min(doubt_at), i64::from(self.run.policy.in_doubt_window_seconds));
        match free.as_slice() {
            [one] => {
                let record = CollectionRecord { v: VERSION, at: now, send: self.send_id(slice, send) };
                let standing = ledger::settle(&*self.pipeline.store, &keys::claim(one), record.clone()).await?;
                if standing.send == record.send {
                    self.adopt(slice, send, one, true).await
                } else {
                    Ok(Step::wait(5, "another send has claimed the collection"))
                }
            }
            [] if now < window_ends => {
                Ok(Step::wait(wait_until(now, window_ends).min(60), "in doubt: waiting for the job list"))
            }
            [] if self.run.policy.on_in_doubt == OnInDoubt::Reconcile => {
                tracing::warn!(run = %self.id.run, batch = self.id.batch, attempt = self.id.attempt, "in doubt, and the job list shows no collection: sending again");
                self.conclude(slice, send, SendResult::NothingStarted).await
            }
            [] => {
                let message = "a trigger got no answer, and the job list shows no collection of it: look in the control panel, then decide".to_owned();
                self.hold(slice, "in_doubt", message).await
            }
            several => {
                let message =
                    format!("a trigger got no answer, and several collections may be it: {}", several.join(", "));
                self.hold(slice, "in_doubt_ambiguous", message).await
            }
        }
    }

    /// Jobs that this send may have started: of its collector, queued while it was under way, with as many inputs.
    async fn listed(&self, intent: &Intent, now: Timestamp) -> Result<Vec<ListedJob>, Step> {
        let earliest = later(intent.at, -limits::CLOCK_SKEW_SECONDS);
        let latest = later(intent.send_by, i64::from(limits::TRIGGER_TIMEOUT_SECONDS) + limits::CLOCK_SKEW_SECONDS);
        let day = |at: Timestamp| TimeZone::UTC.to_datetime(at).date();
        let mut found = Vec::new();
        for page in 0..PAGES_MAX {
            let asked = self.pipeline.api.jobs(
                &self.run.settings.collector,
                day(earliest),
                day(later(now, limits::CLOCK_SKEW_SECONDS)),
                page * PAGE,
            );
            let list = match asked.await {
                Looked::Found(list) => list,
                Looked::Credentials { status, text } => {
                    return Err(Step::wait(300, format!("the API refused the token ({status}): {text}")));
                }
                Looked::Wait { retry_after } => {
                    return Err(Step::wait(retry_after.unwrap_or(60), "the API asked to wait"));
                }
                Looked::Absent => return Err(Step::wait(60, "the job list does not exist")),
                Looked::Refused { status, text } => {
                    return Err(Step::wait(300, format!("the job list was refused ({status}): {text}")));
                }
                Looked::Trouble { why } => {
                    return Err(Step::wait(backoff(1), format!("the job list cannot be had: {why}")));
                }
            };
            let last = list.jobs.is_empty() || (page + 1) * PAGE >= list.total;
            let older = list.jobs.iter().any(|job| job.queued.is_some_and(|queued| queued < earliest));
            found.extend(list.jobs.into_iter().filter(|job| {
                job.queued.is_none_or(|queued| queued >= earliest && queued <= latest)
                    && job.inputs.is_none_or(|inputs| inputs == u64::from(intent.inputs))
            }));
            if last || older {
                break;
            }
        }
        Ok(found)
    }

    async fn whose(&self, job: &ListedJob, slice: Slice, send: u32) -> Result<Whose, PortError> {
        let store = &*self.pipeline.store;
        let me = self.send_id(slice, send);
        if let Some(answered) = ledger::read::<CollectionRecord>(store, &keys::collection(&job.id)).await? {
            return Ok(if answered.send == me { Whose::Ours } else { Whose::Others });
        }
        Ok(match ledger::read::<CollectionRecord>(store, &keys::claim(&job.id)).await? {
            None => Whose::Nobodys,
            Some(claim) if claim.send == me => Whose::Claimed,
            Some(_) => Whose::Others,
        })
    }

    /// Gives a claimed collection up, because it turned out to be another send's: the search goes on as the next send, which is not
    /// sent. Its intent keeps the times of the one that was.
    pub(crate) async fn renounce(&self, slice: Slice, send: u32, why: &str) -> Result<Step, PortError> {
        let store = &*self.pipeline.store;
        tracing::warn!(run = %self.id.run, batch = self.id.batch, attempt = self.id.attempt, "the collection that was claimed is another's ({why}): searching on");
        let intent: Intent = ledger::read_known(store, &keys::intent(&self.id, slice, send)).await?;
        ledger::write_once(store, &keys::intent(&self.id, slice, send.saturating_add(1)), &intent).await?;
        Ok(Step::Next)
    }

    async fn adopt(&self, slice: Slice, send: u32, collection: &str, adopted: bool) -> Result<Step, PortError> {
        tracing::info!(run = %self.id.run, batch = self.id.batch, attempt = self.id.attempt, collection_id = collection, "the collection of a lost answer was found");
        self.conclude(slice, send, SendResult::Accepted { collection: collection.to_owned(), start_eta: None, adopted })
            .await
    }

    async fn conclude(&self, slice: Slice, send: u32, result: SendResult) -> Result<Step, PortError> {
        let outcome = Outcome { v: VERSION, at: self.pipeline.clock.now(), result };
        ledger::write_once(&*self.pipeline.store, &keys::outcome(&self.id, slice, send), &outcome).await?;
        Ok(Step::Next)
    }
}

/// Whose a listed job is, by the ledger.
enum Whose {
    /// Its answer came to this send.
    Ours,
    /// This send has claimed it.
    Claimed,
    /// It belongs to another send.
    Others,
    /// The ledger does not know it.
    Nobodys,
}

fn wait_until(now: Timestamp, then: Timestamp) -> u32 {
    u32::try_from(seconds_between(now, then).max(1)).unwrap_or(u32::MAX)
}
