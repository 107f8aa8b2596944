//! The last steps: of an attempt, of a batch, of a run.

use std::ops::Range;

use jiff::Timestamp;

use crate::attempt::{AttemptKeys, Collecting, SliceState};
use crate::decisions::{Decision, codes, decide};
use crate::keys;
use crate::ledger::{
    self, AttemptEnd, BlockRecord, CollectionEntry, CollectionRecord, DeliveredObject, Delivery, DoneRecord, EndRecord,
    FailedInput, Fates, Outcome, OutputEntry, OverRecord, RunRecord, SendResult, Sums, VERSION,
};
use crate::manifest::Manifest;
use crate::messages::RetryOrder;
use crate::notice::RunEnded;
use crate::policy::limits;
use crate::ports::{Completed, PortError, QueueName, Store, Written};
use crate::spending::{self, Paid};
use crate::words::{AttemptId, RunId, Slice};
use crate::work::Work;
use crate::{Pipeline, accounts, manifest, metrics, page, status};

impl Work<'_> {
    /// All slices have settled: makes what they delivered visible and writes the end of the attempt.
    pub(crate) async fn end_attempt(
        &mut self,
        found: &AttemptKeys,
        settled: Vec<(Slice, SliceState)>,
    ) -> Result<AttemptEnd, PortError> {
        let store = &*self.pipeline.store;
        let attempt = self.id.attempt;
        let (_, previous) = self.background().await?;
        let mut fates = previous.map(|end| end.fates.clone()).unwrap_or_default();
        let before: Vec<FailedInput> = std::mem::take(&mut fates.again);
        let mut failures = Vec::new();
        let mut wait = 0;
        let mut abandoned = Vec::new();
        for (slice, state) in settled {
            let sends = found.sends(slice);
            let lost = match &state {
                SliceState::Delivered(collecting, _) => {
                    self.earlier(&mut fates, slice, 1..sends, Some(&collecting.collection)).await?
                }
                SliceState::GivenUp(_) => self.earlier(&mut fates, slice, 1..sends + 1, None).await?,
                _ => self.earlier(&mut fates, slice, 1..sends, None).await?,
            };
            abandoned.extend(lost.into_iter().map(|at| (at, u64::from(slice.len()))));
            match state {
                SliceState::Delivered(collecting, delivery) => {
                    if let Some(object) = &delivery.object {
                        complete(store, object).await?;
                    }
                    // Silent inputs of attempts after the first failed before: an error anywhere outweighs a silence.
                    for position in &delivery.no_record {
                        match before.iter().find(|failed| failed.input == *position) {
                            Some(failed) => fates.failed.push(FailedInput { attempts: attempt, ..failed.clone() }),
                            None => fates.no_record += 1,
                        }
                    }
                    // Unmatched records may belong to any input without one: paying for it again is for a person to decide.
                    let certain = delivery.unmatched_records == 0;
                    failures.extend(delivery.failed.iter().map(|failed| (failed.clone(), certain)));
                    fates.note(&self.id, slice, &collecting, &delivery);
                }
                SliceState::Refused { status, text } => {
                    failures.extend(self.failed(slice, &format!("refused_{status}"), &text).await?);
                }
                SliceState::CalledOff => failures.extend(self.called_off(slice, &before).await?),
                SliceState::GivenUp(held) => {
                    let message = format!("given up by a person: {}", held.message);
                    failures.extend(self.failed(slice, codes::GIVEN_UP, &message).await?);
                }
                _ => {}
            }
        }
        let policy = &self.run.policy;
        for (failed, certain) in failures {
            let decision = decide(&failed.code, policy);
            let attempts_max = policy.attempts_max.min(decision.attempts_max());
            match decision {
                Decision::Again { after, .. } if certain && !self.cancelled && attempt < attempts_max => {
                    wait = wait.max(after).min(limits::DELAY_SECONDS_MAX);
                    *fates.again_codes.entry(failed.code.clone()).or_default() += 1;
                    fates.again.push(failed);
                }
                _ => fates.failed.push(failed),
            }
        }
        fates.again.sort_by_key(|failed| failed.input);
        spending::settle(self.pipeline, &self.id, paid(&fates, attempt, abandoned)).await?;
        let end = AttemptEnd { v: VERSION, at: self.pipeline.clock.now(), retry_after_seconds: wait, fates };
        ledger::settle(store, &keys::attempt_end(&self.id), end).await
    }

    /// All inputs of a slice as failed; certainly so.
    async fn failed(&mut self, slice: Slice, code: &str, message: &str) -> Result<Vec<(FailedInput, bool)>, PortError> {
        let attempts = self.id.attempt;
        let fail = |input: &u32| {
            let (code, message) = (code.to_owned(), message.to_owned());
            (FailedInput { input: *input, code, message, attempts }, true)
        };
        Ok(self.sent(slice).await?.positions.iter().map(fail).collect())
    }

    /// Inputs that were not triggered any more: they failed as they had before, or because the run was cancelled.
    async fn called_off(
        &mut self,
        slice: Slice,
        before: &[FailedInput],
    ) -> Result<Vec<(FailedInput, bool)>, PortError> {
        let message = "the run was cancelled before it was triggered";
        let mut failures = self.failed(slice, codes::RUN_CANCELLED, message).await?;
        for (failure, certain) in &mut failures {
            let known = before.iter().find(|known| known.input == failure.input).cloned();
            *failure = known.unwrap_or(FailedInput { attempts: 0, ..failure.clone() });
            *certain = false;
        }
        Ok(failures)
    }

    /// Notes what became of sends that a slice did not end with: how many were made again after one in doubt, and which collections a
    /// person decided against, other than the one that counts. Returns when sends were made that may have started something all the same.
    async fn earlier(
        &self,
        fates: &mut Fates,
        slice: Slice,
        sends: Range<u32>,
        counts: Option<&str>,
    ) -> Result<Vec<Timestamp>, PortError> {
        let mut lost = Vec::new();
        let store = &*self.pipeline.store;
        for send in sends {
            let outcome: Option<Outcome> = ledger::read(store, &keys::outcome(&self.id, slice, send)).await?;
            match outcome.map(|outcome| (outcome.at, outcome.result)) {
                Some((_, result @ (SendResult::NothingStarted | SendResult::Abandoned))) => {
                    fates.resent += 1;
                    if result == SendResult::Abandoned {
                        lost.push(self.sent_at(slice, send).await?);
                    }
                }
                None => lost.push(self.sent_at(slice, send).await?),
                Some((at, SendResult::Accepted { collection, adopted, .. })) if counts != Some(&collection) => {
                    let known: Option<CollectionRecord> = ledger::read(store, &keys::collection(&collection)).await?;
                    if known.is_some_and(|known| known.send == self.send_id(slice, send)) {
                        fates.collections.push(self.abandoned(slice, collection, at, adopted));
                    }
                }
                _ => {}
            }
        }
        Ok(lost)
    }

    fn abandoned(&self, slice: Slice, id: String, triggered_at: Timestamp, adopted: bool) -> CollectionEntry {
        CollectionEntry {
            id,
            batch: self.id.batch,
            attempt: self.id.attempt,
            inputs: slice.len(),
            records: 0,
            with_records: 0,
            failed: 0,
            pages: None,
            triggered_at,
            ready_at: self.pipeline.clock.now(),
            polls: 0,
            adopted,
            abandoned: true,
            output: None,
        }
    }
}

impl Fates {
    fn note(&mut self, id: &AttemptId, slice: Slice, collecting: &Collecting, delivery: &Delivery) {
        self.with_records += u64::from(delivery.with_records);
        self.records += delivery.records;
        self.unmatched_records += delivery.unmatched_records;
        self.unmatched_errors += delivery.unmatched_errors;
        self.warnings += delivery.warnings;
        self.partial += delivery.partial;
        if let Some(object) = &delivery.object {
            self.outputs.push(OutputEntry { key: object.key.clone(), bytes: object.bytes, records: delivery.records });
        }
        self.collections.push(CollectionEntry {
            id: collecting.collection.clone(),
            batch: id.batch,
            attempt: id.attempt,
            inputs: slice.len(),
            records: delivery.records,
            with_records: delivery.with_records,
            pages: delivery.pages,
            failed: u32::try_from(delivery.failed.len()).unwrap_or(u32::MAX),
            triggered_at: collecting.since,
            ready_at: delivery.at,
            polls: delivery.polls,
            adopted: collecting.adopted,
            abandoned: false,
            output: delivery.object.as_ref().map(|object| object.key.clone()),
        });
    }
}

/// What an attempt has paid for: its collections, and inputs of sends that may have started one that nobody found.
fn paid(fates: &Fates, attempt: u32, lost: Vec<(Timestamp, u64)>) -> Paid {
    let mut paid = Paid { page_loads: lost, known: (0, 0) };
    for entry in fates.collections.iter().filter(|entry| entry.attempt == attempt) {
        paid.page_loads.push((entry.triggered_at, entry.page_loads()));
        if let Some(pages) = entry.pages {
            paid.known = (paid.known.0 + u64::from(entry.inputs), paid.known.1.saturating_add(pages));
        }
    }
    paid
}

/// Makes the delivered object visible; whoever comes second finds that it is.
pub(crate) async fn complete(store: &dyn Store, object: &DeliveredObject) -> Result<(), PortError> {
    if store.complete_upload(&object.key, &object.upload, &object.parts).await? == Completed::Yes {
        return Ok(());
    }
    if ledger::exists(store, &object.key).await? {
        return Ok(());
    }
    // Never silently: the records were paid for, and the ledger says that they were delivered.
    Err(PortError::new(
        format!("the upload of {} was removed before it could be completed", object.key),
        "somebody or a lifecycle rule aborted it; fetch the collection again by hand",
    ))
}

impl Pipeline {
    /// What follows the end of an attempt: the next attempt, or the end of the batch. Safe to repeat.
    pub(crate) async fn after_attempt(
        &self,
        run: &RunRecord,
        id: &AttemptId,
        end: &AttemptEnd,
    ) -> Result<(), PortError> {
        if !end.fates.again.is_empty() {
            let next = AttemptId { attempt: id.attempt + 1, ..id.clone() };
            let again = end.fates.again.len();
            tracing::info!(inputs = again, "failed inputs go to the retry queue");
            // For the status: most inputs of a batch are decided long before its last attempt ends.
            let so_far = BlockRecord { v: VERSION, sums: Sums::of(&end.fates) };
            if ledger::write_once(&*self.store, &keys::partial(id), &so_far).await? == Written::New {
                self.count(&metrics::INPUTS_AGAIN, again as u64);
            }
            let order = RetryOrder { v: crate::messages::VERSION, attempt: next };
            self.queues.send(QueueName::Retry, &[order.encode()], end.retry_after_seconds).await?;
            return status::refresh(self, run, false).await;
        }
        let batch = ledger::read_known::<ledger::BatchRecord>(&*self.store, &keys::batch(&id.run, id.batch)).await?;
        let done = DoneRecord { v: VERSION, rows: batch.rows, fates: end.fates.clone() };
        self.finish_batch(run, id.batch, done).await
    }

    /// Terminal record, then the check whether the run is complete; the message goes after that.
    pub(crate) async fn finish_batch(&self, run: &RunRecord, batch: u32, done: DoneRecord) -> Result<(), PortError> {
        if ledger::write_once(&*self.store, &keys::done(&run.run, batch), &done).await? == Written::New {
            self.count(&metrics::INPUTS_WITH_RECORDS, done.fates.with_records);
            self.count(&metrics::INPUTS_WITHOUT_RECORD, done.fates.no_record);
            for failed in &done.fates.failed {
                self.count_by(&metrics::INPUTS_FAILED, metrics::code(&failed.code), 1);
            }
        }
        if !self.check_run(run, keys::block_of(batch)).await? {
            status::refresh(self, run, false).await?;
        }
        Ok(())
    }

    /// Writes the manifest when every batch is done. Looks at one block of batches, and at the list of blocks only when that one is
    /// complete, so that all checks of a run together are linear in its batches.
    pub(crate) async fn check_run(&self, run: &RunRecord, block: u32) -> Result<bool, PortError> {
        let store = &*self.store;
        let end: Option<EndRecord> = ledger::read(store, &keys::end(&run.run)).await?;
        let batches = end.as_ref().map(|end| end.batches);
        if batches != Some(0) && !self.close_block(&run.run, block, batches).await? {
            return Ok(false);
        }
        let Some(end) = end else { return Ok(false) };
        let blocks = ledger::list_all(store, &keys::blocks(&run.run)).await?.len();
        if blocks < end.batches.div_ceil(keys::BLOCK) as usize {
            return Ok(false);
        }
        manifest::write(self, run, &end).await?;
        self.mark_over(&run.path, &run.run, run.started_at).await?;
        Ok(true)
    }

    /// The last words about a run that has its manifest: whoever wants to know is told, and from here on no sweep looks at it.
    pub(crate) async fn mark_over(&self, path: &str, run: &RunId, started_at: Timestamp) -> Result<(), PortError> {
        let mark = keys::run_mark(keys::OVER, run, started_at);
        if ledger::exists(&*self.store, &mark).await? {
            return Ok(());
        }
        let key = keys::manifest(path, run);
        let manifest: Manifest = ledger::read_known(&*self.store, &key).await?;
        accounts::note(self, &manifest).await?;
        spending::forget(self, run).await?;
        // Before the mark: who is cut off between the two tells it again.
        self.notices.run_ended(&RunEnded::of(manifest.clone(), key)).await?;
        let over = OverRecord { v: VERSION, path: Some(path.to_owned()) };
        ledger::write_once(&*self.store, &mark, &over).await?;
        // Last: nothing waits for it.
        page::ended(self, path, manifest).await;
        Ok(())
    }

    /// Writes the record of a block whose batches are all done. The size of the last block is only known when the file has been read.
    async fn close_block(&self, run: &RunId, block: u32, batches: Option<u32>) -> Result<bool, PortError> {
        let store = &*self.store;
        let first = block * keys::BLOCK;
        let size = match batches {
            Some(batches) => batches.saturating_sub(first).min(keys::BLOCK),
            None => keys::BLOCK,
        };
        let done = ledger::list_all(store, &keys::done_block(run, block)).await?;
        if done.len() < size as usize {
            return Ok(false);
        }
        let key = keys::block(run, block);
        if store.get(&key).await?.is_some() {
            return Ok(true);
        }
        let mut sums = Sums::default();
        for key in done {
            sums.add(&Sums::of(&ledger::read_known::<DoneRecord>(store, &key).await?.fates));
        }
        let written = ledger::write_once(store, &key, &BlockRecord { v: VERSION, sums }).await?;
        tracing::debug!(%run, block, new = written == Written::New, "a block of batches is complete");
        Ok(true)
    }
}
