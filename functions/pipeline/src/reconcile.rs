//! A send is in doubt: was a collection started? The job list may tell.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::attempt::AttemptKeys;
use crate::gate::{self, Gate};
use crate::held::Why;
use crate::keys;
use crate::ledger::{self, CollectionRecord, Intent, Outcome, SendId, SendResult, VERSION};
use crate::metrics;
use crate::policy::{OnInDoubt, limits};
use crate::ports::{JobPage, ListedJob, Looked, PortError, Written};
use crate::schedule::{backoff, later, seconds_between};
use crate::words::Slice;
use crate::work::{Step, Work};

/// Pages of the job list that one look reads at most: 10,000 jobs of one collector within the days in question.
const PAGES_MAX: u64 = 20;
/// Another send has claimed the only collection that may be this one's: after so long, a person has to look.
const UNDECIDED_SECONDS_MAX: i64 = 2 * 86_400;
/// Jobs of one page (API page `list-jobs`: at most 500).
const PAGE: u64 = 500;

impl Work<'_> {
    /// Looks for the collection of a send that has no outcome.
    pub(crate) async fn reconcile(
        &self,
        slice: Slice,
        send: u32,
        intent: &Intent,
        holds: u32,
    ) -> Result<Step, PortError> {
        let now = self.pipeline.clock.now();
        // A single process that holds the lock of its folder knows that whoever wrote an earlier intent was dead when it began.
        let dead_since = self.pipeline.alone_since.filter(|since| intent.at < *since);
        let doubt_at = dead_since.map_or(intent.doubt_at, |since| intent.doubt_at.min(since));
        if now < doubt_at {
            return Ok(Step::wait(wait_until(now, doubt_at), "a send may still be answered"));
        }
        self.doubt(slice, send, intent).await?;
        if self.run.policy.on_in_doubt == OnInDoubt::Retrigger {
            return self.conclude(slice, send, SendResult::Abandoned).await;
        }
        let probing = match gate::ask(&*self.pipeline.store, keys::TOKEN_GATE, now).await? {
            Gate::Closed { after, reason } => return Ok(Step::wait(after, reason)),
            gate => gate == Gate::Probe,
        };
        let Listed { jobs, whole } = match self.listed(intent, now).await? {
            Ok(listed) => listed,
            Err(step) => {
                if probing {
                    gate::give_back(&*self.pipeline.store, keys::TOKEN_GATE, now).await?;
                }
                return Ok(step);
            }
        };
        if probing {
            gate::open(&*self.pipeline.store, keys::TOKEN_GATE, now).await?;
        }
        // A send follows its intent at once, so of several free jobs the one queued nearest to it is the likeliest.
        let distance = |job: &ListedJob| {
            job.queued.map_or(i64::MAX, |queued| (queued.as_millisecond() - intent.at.as_millisecond()).abs())
        };
        let mut free: Option<(ListedJob, u32)> = None;
        let mut undecided = false;
        let (mut stuck, mut rival) = (None, None);
        let tried = self.tried(slice, send).await?;
        for job in jobs {
            match self.whose(&job, slice, send, &tried).await? {
                Whose::Ours => return self.adopt(slice, send, &job.id, false).await,
                Whose::Claimed => return self.adopt(slice, send, &job.id, true).await,
                Whose::Others => {}
                Whose::ClaimedByAnother { held } => {
                    undecided = true;
                    if held {
                        stuck = Some(job.id);
                    } else {
                        rival = Some(job.id);
                    }
                }
                Whose::Nobodys { claim } => {
                    if free.as_ref().is_none_or(|(nearest, _)| distance(&job) < distance(nearest)) {
                        free = Some((job, claim));
                    }
                }
            }
        }
        if let Some((job, number)) = free {
            return self.claim(slice, send, &job, number).await;
        }
        let window_ends = later(doubt_at, i64::from(self.run.policy.in_doubt_window_seconds));
        if now < window_ends {
            return Ok(Step::wait(wait_until(now, window_ends).min(60), "in doubt: waiting for the job list"));
        }
        let stuck = stuck.or(rival.filter(|_| seconds_between(window_ends, now) >= UNDECIDED_SECONDS_MAX));
        if let Some(id) = stuck {
            return self.hold_ambiguous(slice, send, &id, holds).await;
        }
        if undecided {
            // The other claim may be wrong; its dataset will tell.
            return Ok(Step::wait(60, "in doubt: another send has claimed a collection that may be the one"));
        }
        if self.run.policy.on_in_doubt == OnInDoubt::Reconcile && whole {
            tracing::warn!("in doubt, and the job list shows no collection: sending again");
            return self.conclude(slice, send, SendResult::NothingStarted).await;
        }
        let message = match whole {
            true => {
                "a trigger got no answer, and the job list shows no collection of it: look in the control panel, then decide"
            }
            false => {
                "a trigger got no answer, and the job list is too long to be sure that it has no collection of it: look in the control panel, then decide"
            }
        };
        self.hold(slice, Why { reason: "in_doubt", message: message.to_owned(), send, collection: None, holds }).await
    }

    /// Says that a send is in doubt. Whoever finds a collection that may be its sees that it has a rival, and a sweep looks for the
    /// collection when nobody else does any more.
    pub(crate) async fn doubt(&self, slice: Slice, send: u32, intent: &Intent) -> Result<(), PortError> {
        let collector = &self.run.settings.collector;
        let key = keys::doubt(collector, intent.at.as_millisecond(), &self.id, slice, send);
        let doubt = Doubt { v: VERSION, send: self.send_id(slice, send), intent: intent.clone() };
        if ledger::write_once(&*self.pipeline.store, &key, &doubt).await? == Written::New {
            self.pipeline.count(&metrics::SENDS_IN_DOUBT, 1);
        }
        Ok(())
    }

    /// Claims a listed job that nobody else has claimed, or whose claim was given up.
    async fn claim(&self, slice: Slice, send: u32, job: &ListedJob, number: u32) -> Result<Step, PortError> {
        if !self.claims(slice, send, job, number).await? {
            return Ok(Step::wait(5, "another send has claimed the collection"));
        }
        self.adopt(slice, send, &job.id, true).await
    }

    /// Writes a claim; whether it is this send that has it.
    pub(crate) async fn claims(
        &self,
        slice: Slice,
        send: u32,
        job: &ListedJob,
        number: u32,
    ) -> Result<bool, PortError> {
        let me = self.send_id(slice, send);
        let owner = CollectionRecord { v: VERSION, at: self.pipeline.clock.now(), send: me.clone() };
        let claim = Claim { queued: job.queued, owner };
        let standing = ledger::settle(&*self.pipeline.store, &keys::claim(&job.id, number), claim).await?;
        Ok(standing.owner.send == me)
    }

    /// Jobs that this send may have started: of its collector, queued while it was under way, with as many inputs.
    pub(crate) async fn listed(&self, intent: &Intent, now: Timestamp) -> Result<Result<Listed, Step>, PortError> {
        let earliest = later(intent.at, -limits::CLOCK_SKEW_SECONDS);
        let latest = later(intent.send_by, i64::from(limits::TRIGGER_TIMEOUT_SECONDS) + limits::CLOCK_SKEW_SECONDS);
        let day = |at: Timestamp| TimeZone::UTC.to_datetime(at).date();
        let mut found = Listed { jobs: Vec::new(), whole: false };
        for page in 0..PAGES_MAX {
            let asked = self.pipeline.api.jobs(
                &self.run.settings.collector,
                day(earliest),
                day(later(now, limits::CLOCK_SKEW_SECONDS)),
                page * PAGE,
            );
            let list = match self.asked(asked.await).await? {
                Looked::Found(list) => list,
                other => return Ok(Err(unlisted(other))),
            };
            let last = list.jobs.is_empty() || (page + 1) * PAGE >= list.total;
            let older = list.jobs.iter().any(|job| job.queued.is_some_and(|queued| queued < earliest));
            found.jobs.extend(list.jobs.into_iter().filter(|job| {
                job.queued.is_none_or(|queued| queued >= earliest && queued <= latest)
                    && job.inputs.is_none_or(|inputs| inputs == u64::from(intent.inputs))
            }));
            found.whole = last || older;
            if found.whole {
                break;
            }
        }
        Ok(Ok(found))
    }

    /// Whose a listed job is. One listing tells whether anything is known about it at all, and mostly nothing is.
    ///
    /// `tried` are the collections that earlier searches of this slice have claimed.
    pub(crate) async fn whose(
        &self,
        job: &ListedJob,
        slice: Slice,
        send: u32,
        tried: &BTreeSet<String>,
    ) -> Result<Whose, PortError> {
        let store = &*self.pipeline.store;
        let known = ledger::list_all(store, &keys::known_of(&job.id)).await?;
        if known.contains(&keys::collection(&job.id)) {
            let answered: CollectionRecord = ledger::read_known(store, &keys::collection(&job.id)).await?;
            // An answer that was recorded, and whose outcome was not: this send may be the search for it.
            let ours = answered.send.attempt == self.id && answered.send.slice == slice && answered.send.send <= send;
            return Ok(if ours { Whose::Ours } else { Whose::Others });
        }
        if tried.contains(&job.id) && known.iter().any(|key| key.ends_with(".renounced.json")) {
            return Ok(Whose::Others);
        }
        for number in 1.. {
            let key = keys::claim(&job.id, number);
            if !known.contains(&key) {
                return Ok(Whose::Nobodys { claim: number });
            }
            if known.contains(&keys::renounced(&job.id, number)) {
                continue;
            }
            let Claim { owner: claim, .. } = ledger::read_known(store, &key).await?;
            let ours = claim.send.attempt == self.id && claim.send.slice == slice;
            if ours && claim.send.send == send {
                return Ok(Whose::Claimed);
            }
            // Whoever claimed it may have died before the outcome, or not have known of one, and come to something else.
            if self.has_another(&claim.send, &job.id).await? {
                continue;
            }
            if ours {
                return Ok(Whose::Others);
            }
            let found = AttemptKeys::load(store, &claim.send.attempt).await?;
            return Ok(Whose::ClaimedByAnother { held: found.waits_for_a_person(claim.send.slice) });
        }
        Ok(Whose::Others)
    }

    /// The collections that sends of a slice before this one have claimed.
    async fn tried(&self, slice: Slice, send: u32) -> Result<BTreeSet<String>, PortError> {
        let mut tried = BTreeSet::new();
        for earlier in 1..send {
            let key = keys::outcome(&self.id, slice, earlier);
            let outcome: Option<Outcome> = ledger::read(&*self.pipeline.store, &key).await?;
            if let Some(SendResult::Accepted { collection, adopted: true, .. }) = outcome.map(|outcome| outcome.result)
            {
                tried.insert(collection);
            }
        }
        Ok(tried)
    }

    /// Whether a send has come to something else than this collection.
    async fn has_another(&self, send: &SendId, id: &str) -> Result<bool, PortError> {
        let key = keys::outcome(&send.attempt, send.slice, send.send);
        let outcome: Option<Outcome> = ledger::read(&*self.pipeline.store, &key).await?;
        Ok(match outcome.map(|outcome| outcome.result) {
            None => false,
            Some(SendResult::Accepted { collection, .. }) => collection != id,
            Some(_) => true,
        })
    }

    /// Gives a claimed collection up, because it turned out to be another send's: the search goes on as the next send, which is not
    /// sent. Its intent keeps the times of the one that was.
    pub(crate) async fn renounce(&self, slice: Slice, send: u32, id: &str, why: &str) -> Result<Step, PortError> {
        let store = &*self.pipeline.store;
        self.give_up_claim(slice, send, id).await?;
        tracing::warn!(collection_id = id, "the collection that was claimed is another's ({why}): searching on");
        let intent: Intent = ledger::read_known(store, &keys::intent(&self.id, slice, send)).await?;
        ledger::write_once(store, &keys::intent(&self.id, slice, send.saturating_add(1)), &intent).await?;
        Ok(Step::Next)
    }

    pub(crate) async fn give_up_claim(&self, slice: Slice, send: u32, id: &str) -> Result<(), PortError> {
        if let Some((number, claim)) = self.own_claim(&self.send_id(slice, send), id).await? {
            let record = CollectionRecord { at: self.pipeline.clock.now(), ..claim.owner };
            ledger::write_once(&*self.pipeline.store, &keys::renounced(id, number), &record).await?;
        }
        Ok(())
    }

    pub(crate) async fn own_claim(&self, me: &SendId, id: &str) -> Result<Option<(u32, Claim)>, PortError> {
        for number in 1.. {
            match ledger::read::<Claim>(&*self.pipeline.store, &keys::claim(id, number)).await? {
                Some(claim) if claim.owner.send == *me => return Ok(Some((number, claim))),
                Some(_) => {}
                None => break,
            }
        }
        Ok(None)
    }

    /// A claimed collection names no input at all, so nothing but its time and its size say whose it is. It is believed when no other send
    /// was in doubt that could have started it, and that is only known when every such send must have shown itself.
    pub(crate) async fn contest(&self, slice: Slice, send: u32, id: &str) -> Result<Contest, PortError> {
        let me = self.send_id(slice, send);
        let Some((_, claim)) = self.own_claim(&me, id).await? else { return Ok(Contest::Alone) };
        let Some(queued) = claim.queued else { return Ok(Contest::Others) };
        let longest = limits::SEND_BY_SECONDS + i64::from(limits::TRIGGER_TIMEOUT_SECONDS) + limits::CLOCK_SKEW_SECONDS;
        let all_known = later(queued, limits::TURN_SECONDS_MAX + longest + 120);
        let now = self.pipeline.clock.now();
        if now < all_known && self.pipeline.alone_since.is_none() {
            return Ok(Contest::Wait(wait_until(now, all_known)));
        }
        let store = &*self.pipeline.store;
        let collector = &self.run.settings.collector;
        let mut after = Some(keys::doubts_from(collector, later(queued, -longest).as_millisecond()));
        loop {
            let page = store.list(&keys::doubts(collector), after.as_deref()).await?;
            for key in &page.keys {
                let doubt: Doubt = ledger::read_known(store, key).await?;
                if doubt.intent.at > later(queued, limits::CLOCK_SKEW_SECONDS) {
                    return Ok(Contest::Alone);
                }
                let rival = doubt.send.attempt != me.attempt || doubt.send.slice != me.slice;
                if rival && doubt.intent.inputs == slice.len() && !self.resolved(&doubt.send).await? {
                    return Ok(Contest::Others);
                }
            }
            after = page.keys.last().cloned();
            if !page.more || after.is_none() {
                return Ok(Contest::Alone);
            }
        }
    }

    /// Whether it is certain what became of another send in doubt.
    async fn resolved(&self, send: &SendId) -> Result<bool, PortError> {
        let store = &*self.pipeline.store;
        let outcome: Option<Outcome> =
            ledger::read(store, &keys::outcome(&send.attempt, send.slice, send.send)).await?;
        let Some(outcome) = outcome else { return Ok(false) };
        let collection = match outcome.result {
            SendResult::Accepted { collection, .. } => collection,
            // Given up: whatever it may have started has not been found.
            SendResult::NothingStarted | SendResult::Abandoned => return Ok(false),
            _ => return Ok(true),
        };
        let known: Option<CollectionRecord> = ledger::read(store, &keys::collection(&collection)).await?;
        Ok(known.is_some_and(|record| record.send == *send))
    }

    /// Leaves to a person what cannot be told apart.
    pub(crate) async fn hold_ambiguous(
        &self,
        slice: Slice,
        send: u32,
        id: &str,
        holds: u32,
    ) -> Result<Step, PortError> {
        let message = format!(
            "several triggers got no answer at the same time, and nothing tells whether {id} belongs to this one: look in the control panel, then decide"
        );
        let collection = Some(id.to_owned());
        self.hold(slice, Why { reason: "in_doubt_ambiguous", message, send, collection, holds }).await
    }

    async fn adopt(&self, slice: Slice, send: u32, collection: &str, adopted: bool) -> Result<Step, PortError> {
        tracing::info!(collection_id = collection, "the collection of a lost answer was found");
        self.conclude(slice, send, SendResult::Accepted { collection: collection.to_owned(), start_eta: None, adopted })
            .await
    }

    async fn conclude(&self, slice: Slice, send: u32, result: SendResult) -> Result<Step, PortError> {
        let outcome = Outcome { v: VERSION, at: self.pipeline.clock.now(), result };
        ledger::write_once(&*self.pipeline.store, &keys::outcome(&self.id, slice, send), &outcome).await?;
        Ok(Step::Next)
    }
}

/// A claim of a listed job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Claim {
    #[serde(flatten)]
    owner: CollectionRecord,
    /// When the job list says that it was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queued: Option<Timestamp>,
}

/// A send that was in doubt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Doubt {
    v: u32,
    pub(crate) send: SendId,
    pub(crate) intent: Intent,
}

/// What the job list shows of a send in doubt.
pub(crate) struct Listed {
    /// Jobs that it may have started.
    pub(crate) jobs: Vec<ListedJob>,
    /// The list was read to where such jobs end: what is not in it was not started.
    pub(crate) whole: bool,
}

/// Whether a claim that nothing proves has rivals.
pub(crate) enum Contest {
    /// No other send can have started the collection.
    Alone,
    /// Another send can have started it.
    Others,
    /// That is only known after so many seconds.
    Wait(u32),
}

/// Whose a listed job is, by the ledger.
pub(crate) enum Whose {
    /// Its answer came to this send.
    Ours,
    /// This send has claimed it.
    Claimed,
    /// It belongs to another send, or this slice has given it up.
    Others,
    /// Another send has claimed it, and nothing has shown yet whether rightly.
    ClaimedByAnother {
        /// That one waits for a person.
        held: bool,
    },
    /// It is free; its next claim has this number.
    Nobodys { claim: u32 },
}

/// When to ask for the job list again that could not be had.
fn unlisted(answer: Looked<JobPage>) -> Step {
    match answer {
        Looked::Credentials { status, text } => {
            Step::wait(300, format!("the API refused the token ({status}): {text}"))
        }
        Looked::Wait { retry_after } => Step::wait(retry_after.unwrap_or(60), "the API asked to wait"),
        Looked::Refused { status, text } => Step::wait(300, format!("the job list was refused ({status}): {text}")),
        Looked::Trouble { why } => Step::wait(backoff(1), format!("the job list cannot be had: {why}")),
        Looked::Absent | Looked::Found(_) => Step::wait(60, "the job list does not exist"),
    }
}

fn wait_until(now: Timestamp, then: Timestamp) -> u32 {
    u32::try_from(seconds_between(now, then).max(1)).unwrap_or(u32::MAX)
}
