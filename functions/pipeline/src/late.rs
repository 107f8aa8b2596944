//! Collections that come to light after their send was given up: the job list lagged behind its window, or somebody decided to send
//! again without looking. What they bring was paid for, so it is delivered beside the output, under `late/`, with a note.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Pipeline;
use crate::attempt::AttemptKeys;
use crate::delivery::{self, Fetched, Output, Time};
use crate::finish;
use crate::gate::{self, Gate};
use crate::keys;
use crate::ledger::{self, CollectionRecord, DeliveredObject, Delivery, Intent, Outcome, SendId, SendResult, VERSION};
use crate::messages::Turn;
use crate::ports::{Dataset, ListedJob, Looked, PortError};
use crate::reconcile::{Doubt, Listed, Whose};
use crate::schedule::{later, seconds_between};
use crate::sweep::Swept;
use crate::work::Work;

/// A send in doubt is looked after for so long. A job list that lags by more has never been seen, nor a collection that runs longer
/// and was forgotten.
const LOOKED_AFTER_SECONDS: i64 = 3 * 86_400;

/// `late/<input key>/<run>/<collection>.note.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateNote {
    /// Format version.
    pub v: u32,
    /// When it was written.
    pub at: Timestamp,
    /// The collection.
    pub collection: String,
    /// The send that started it.
    pub send: SendId,
    /// Its records, if there are any and they are this send's beyond doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<DeliveredObject>,
    /// How many records there are.
    pub records: u64,
    /// What happened, and what to do.
    pub message: String,
}

impl Pipeline {
    /// Looks after sends in doubt that nobody waits for any more.
    pub(crate) async fn sweep_doubts(&self, turn: &Turn, swept: &mut Swept) -> Result<(), PortError> {
        let since = later(self.clock.now(), -LOOKED_AFTER_SECONDS).as_millisecond();
        let mut after = None;
        // One request finds the next collector: its name ends where "/" would stand, and "0" is the next character.
        while let Some(first) = self.store.list(keys::DOUBTS, after.as_deref()).await?.keys.first() {
            let Some(prefix) = first.get(..first.rfind('/').map_or(0, |slash| slash + 1)) else { break };
            let mut place = Some(format!("{prefix}{:014}", since.max(0)));
            loop {
                let page = self.store.list(prefix, place.as_deref()).await?;
                for key in &page.keys {
                    if self.out_of_time(turn) {
                        swept.cut_short = true;
                        return Ok(());
                    }
                    match self.look_after_doubt(turn, key).await {
                        Ok(Found::Late) => swept.late += 1,
                        Ok(Found::Nothing) => {}
                        Ok(Found::NotNow) => return Ok(()),
                        Err(error) => {
                            swept.failed += 1;
                            tracing::error!(key, %error, source = %error.source, "a send could not be looked after");
                        }
                    }
                }
                place = page.keys.last().cloned();
                if !page.more || place.is_none() {
                    break;
                }
            }
            after = Some(format!("{}0", prefix.trim_end_matches('/')));
        }
        Ok(())
    }

    /// Looks for the collection of one send in doubt, unless somebody else does.
    async fn look_after_doubt(&self, turn: &Turn, key: &str) -> Result<Found, PortError> {
        let store = &*self.store;
        let doubt: &Doubt = &ledger::read_known(store, key).await?;
        let send = &doubt.send;
        let outcome: Option<Outcome> =
            ledger::read(store, &keys::outcome(&send.attempt, send.slice, send.send)).await?;
        let given_up = match outcome.map(|outcome| outcome.result) {
            Some(SendResult::NothingStarted | SendResult::Abandoned) => true,
            Some(_) => false,
            None => AttemptKeys::load(store, &send.attempt).await?.ended,
        };
        let now = self.clock.now();
        // Whoever sent it may be stopped and wake up late; and the list takes its time.
        if !given_up || seconds_between(doubt.intent.doubt_at, now) < 0 {
            return Ok(Found::Nothing);
        }
        let mut work = Work::begin(self, turn, &send.attempt).await?;
        let Some(jobs) = work.listed_calmly(&doubt.intent, now).await? else { return Ok(Found::NotNow) };
        for job in jobs {
            let proof = match work.whose(&job, send.slice, send.send, &BTreeSet::new()).await? {
                // What was found before and was not this send's was claimed and given up.
                Whose::Nobodys { claim } if claim > 1 && work.has_renounced(send, &job).await? => continue,
                Whose::Nobodys { claim } => Proof::Wanted { claim: Some(claim) },
                Whose::Claimed => Proof::Wanted { claim: None },
                Whose::Ours if work.was_answered(send, &job).await? => Proof::Answered,
                _ => continue,
            };
            if work.deliver_late(doubt, &job, proof).await? {
                return Ok(Found::Late);
            }
        }
        Ok(Found::Nothing)
    }
}

/// What looking after a send came to.
enum Found {
    /// Its collection was delivered now.
    Late,
    /// Nothing.
    Nothing,
    /// The API is not to be asked now.
    NotNow,
}

/// Why a listed job is taken for a send's.
enum Proof {
    /// Its answer was recorded, and the outcome that says so was lost.
    Answered,
    /// Its rows have to say so; it is claimed with this number, if it is not claimed yet.
    Wanted { claim: Option<u32> },
}

impl Work<'_> {
    /// The jobs that a send may have started, or `None` when the API is not to be asked or does not tell.
    async fn listed_calmly(&self, intent: &Intent, now: Timestamp) -> Result<Option<Vec<ListedJob>>, PortError> {
        let store = &*self.pipeline.store;
        let gate = gate::ask(store, keys::TOKEN_GATE, now).await?;
        if matches!(gate, Gate::Closed { .. }) {
            return Ok(None);
        }
        let listed = self.listed(intent, now).await?.ok().map(|Listed { jobs, .. }| jobs);
        match (gate, &listed) {
            (Gate::Probe, Some(_)) => gate::open(store, keys::TOKEN_GATE, now).await?,
            (Gate::Probe, None) => gate::give_back(store, keys::TOKEN_GATE, now).await?,
            _ => {}
        }
        Ok(listed)
    }

    /// Whether exactly this send got this collection as its answer, and nothing has been made of it.
    async fn was_answered(&self, send: &SendId, job: &ListedJob) -> Result<bool, PortError> {
        let store = &*self.pipeline.store;
        let known: Option<CollectionRecord> = ledger::read(store, &keys::collection(&job.id)).await?;
        if known.is_none_or(|known| known.send != *send) {
            return Ok(false);
        }
        let note: Option<LateNote> =
            ledger::read(store, &keys::late_note(&self.run.path, &self.id.run, &job.id)).await?;
        Ok(match note.map(|note| note.object) {
            None => true,
            // Whoever wrote the note may have been cut off before the object was whole.
            Some(Some(object)) => !ledger::exists(store, &object.key).await?,
            Some(None) => false,
        })
    }

    /// Whether a send has claimed a job and given it up.
    async fn has_renounced(&self, send: &SendId, job: &ListedJob) -> Result<bool, PortError> {
        let store = &*self.pipeline.store;
        Ok(match self.own_claim(send, &job.id).await? {
            Some((number, _)) => store.get(&keys::renounced(&job.id, number)).await?.is_some(),
            None => false,
        })
    }

    /// Delivers the collection of a send that was given up, if it is ready and is this send's. Whether it was delivered now.
    async fn deliver_late(&mut self, doubt: &Doubt, job: &ListedJob, proof: Proof) -> Result<bool, PortError> {
        let send = &doubt.send;
        let policy = &self.run.policy;
        let output = Output { format: policy.output_format, compression: policy.output_compression };
        let extension = keys::extension(output.format, output.compression);
        let key = keys::late_records(&self.run.path, &self.id.run, &job.id, &extension);
        let answer = self.asked(self.pipeline.api.dataset(&job.id).await).await?;
        let Looked::Found(Dataset::Ready { content_type, body }) = answer else { return Ok(false) };
        let store = &*self.pipeline.store;
        let time = Time::of(self.pipeline, self.turn.ends_at);
        let sent = self.sent(send.slice).await?;
        let fetched = delivery::fetch(store, key, output, &sent, &content_type, body, time).await?;
        let Fetched::Whole(whole) = fetched else { return Ok(false) };
        if let Proof::Wanted { claim: Some(claim) } = proof
            && !self.claims(send.slice, send.send, job, claim).await?
        {
            whole.abort().await;
            return Ok(false);
        }
        let unproven = whole.is_anothers() || whole.proves_nothing() || whole.names_both();
        if unproven && !matches!(proof, Proof::Answered) {
            if !whole.is_anothers() {
                let message = "this collection has the time and the size of a trigger whose answer was lost, and its rows do not say whose it is: look in the control panel whether it was ours";
                self.note_late(send, &job.id, None, message).await?;
            }
            whole.abort().await;
            self.give_up_claim(send.slice, send.send, &job.id).await?;
            return Ok(false);
        }
        let mut whole = whole;
        let now = self.pipeline.clock.now();
        let sent = self.sent(send.slice).await?;
        let found = whole.describe(&sent, &job.id, now, None).await?;
        let message =
            "a trigger whose answer was lost, and which was made again or given up, had started this collection";
        let note = self.note_late(send, &job.id, Some(&found), message).await?;
        if note.object.as_ref().map(|object| &object.upload) != found.object.as_ref().map(|object| &object.upload) {
            whole.abort().await;
        }
        if let Some(object) = &note.object {
            finish::complete(store, object).await?;
        }
        // Last: from here on no sweep looks at it again.
        let record = CollectionRecord { v: VERSION, at: note.at, send: send.clone() };
        ledger::settle(store, &keys::collection(&job.id), record).await?;
        tracing::error!(
            run = %self.id.run, batch = self.id.batch, attempt = self.id.attempt, collection_id = job.id, records = note.records,
            "{message}"
        );
        Ok(true)
    }

    /// Writes the note, which decides whose fetch counts.
    async fn note_late(
        &self,
        send: &SendId,
        collection: &str,
        found: Option<&Delivery>,
        message: &str,
    ) -> Result<LateNote, PortError> {
        let key = keys::late_note(&self.run.path, &self.id.run, collection);
        let note = LateNote {
            v: VERSION,
            at: self.pipeline.clock.now(),
            collection: collection.to_owned(),
            send: send.clone(),
            object: found.and_then(|found| found.object.clone()),
            records: found.map_or(0, |found| found.records),
            message: message.to_owned(),
        };
        ledger::settle(&*self.pipeline.store, &key, note).await
    }
}
