//! The live state of the newest run of an input key, for people and dashboards. Rewritten now and then; nothing depends on it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Pipeline;
use crate::gate::{self, Cause};
use crate::held;
use crate::keys;
use crate::ledger::{self, BlockRecord, DoneRecord, EndRecord, FileReport, HeldMark, RowCounts, RunRecord, Sums};
use crate::manifest::{InputCounts, Manifest, ManifestInput, RunState, Spent};
use crate::page;
use crate::pause;
use crate::ports::{PortError, Stored, Written};
use crate::schedule::seconds_between;
use crate::spending;
use crate::words::RunId;

/// Shortest time between two rewrites, in seconds; of a long run, a fiftieth of its age, so that the whole costs O(log T).
const INTERVAL_SECONDS: i64 = 3;
/// Single terminal records that one rewrite reads at most; more of them count as pending until their block is complete.
const OPEN_MAX: usize = 400;

/// `status/<input key>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The run.
    pub run: RunId,
    /// What it is doing.
    pub state: RunState,
    /// The collector, if one was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<String>,
    /// What was dropped.
    pub input: ManifestInput,
    /// When the run began.
    pub started_at: Timestamp,
    /// When this was written.
    pub updated_at: Timestamp,
    /// When nothing was left to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Whether the file has been read to its end: before that, `inputs.read` still grows.
    pub file_read: bool,
    /// What is known of every row that was read.
    pub inputs: InputCounts,
    /// Records delivered so far.
    pub records: u64,
    /// Of them, those whose input could not be told.
    pub unmatched_records: u64,
    /// What was paid for so far, by attempts that are over.
    #[serde(default)]
    pub spent: Spent,
    /// Why work waits, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// Where the manifest is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// What is wrong with the file as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<FileReport>,
}

impl Status {
    /// The last one of a run.
    pub(crate) fn of(path: &str, manifest: &Manifest) -> Self {
        Self {
            run: manifest.run.clone(),
            state: manifest.state,
            collector: manifest.collector.clone(),
            input: manifest.input.clone(),
            started_at: manifest.started_at,
            updated_at: manifest.finished_at,
            finished_at: Some(manifest.finished_at),
            file_read: true,
            inputs: manifest.inputs,
            records: manifest.records,
            unmatched_records: manifest.unmatched_records,
            spent: manifest.spent.clone(),
            notice: None,
            manifest: Some(keys::manifest(path, &manifest.run)),
            problem: manifest.problem.clone(),
        }
    }
}

/// Rewrites the status of a run if it is old enough.
pub async fn refresh(pipeline: &Pipeline, run: &RunRecord, force: bool) -> Result<(), PortError> {
    refresh_rows(pipeline, run, None, force).await
}

/// The same, with the rows that have been read so far.
pub(crate) async fn refresh_rows(
    pipeline: &Pipeline,
    run: &RunRecord,
    rows: Option<RowCounts>,
    force: bool,
) -> Result<(), PortError> {
    let store = &*pipeline.store;
    let key = keys::status(&run.path);
    let now = pipeline.clock.now();
    let mut current = store.get(&key).await?;
    let known = current.as_ref().and_then(decode);
    let mut seen = RowCounts::default();
    if let Some(known) = &known {
        let newer = known.run != run.run && known.started_at > run.started_at;
        let fresh = seconds_between(known.updated_at, now) < interval(run.started_at, now);
        let ours = known.run == run.run;
        if newer || (ours && (known.manifest.is_some() || (fresh && !force))) {
            return Ok(());
        }
        if ours {
            seen = RowCounts {
                read: known.inputs.read,
                rejected: known.inputs.rejected,
                duplicates: known.inputs.duplicates,
            };
        }
    }
    let end: Option<EndRecord> = ledger::read(store, &keys::end(&run.run)).await?;
    if let Some(known) = known.filter(|known| known.run == run.run && !force)
        && end.as_ref().is_none_or(|end| end.batches > keys::BLOCK)
    {
        // Summing a long run up takes many reads: of those that find the status old at the same time, only one does it.
        if write(pipeline, &key, &Status { updated_at: now, ..known }, current.as_ref()).await? == Written::Kept {
            return Ok(());
        }
        current = store.get(&key).await?;
    }
    let rows = match (&end, rows) {
        (Some(end), _) => end.rows,
        (None, Some(rows)) if rows.read >= seen.read => rows,
        (None, _) => seen,
    };
    let mut finished = page::Seen::default();
    let sums = sums(pipeline, run, end.as_ref().map(|end| end.batches), &mut finished).await?;
    let mut inputs = InputCounts::of(&rows, &sums);
    let mut notice = None;
    let marks = held::marks(store, &run.run).await?;
    inputs.held = held::inputs(&marks);
    if let Some(last) = marks.last() {
        notice = Some(ledger::read_known::<HeldMark>(store, last).await?.held.message);
    }
    // A row that is done before the reader has said that it read it is not shown yet, so that the counts always add up.
    let accounted =
        inputs.rejected + inputs.duplicates + inputs.with_records + inputs.no_record + inputs.failed + inputs.held;
    if accounted > inputs.read {
        return Ok(());
    }
    inputs.pending = inputs.read - accounted;
    // What is sent is delivered all the same; what is not waits.
    let mut refused = false;
    let mut stopped = pause::standing(store).await?.map(|switch| switch.words());
    if let Some(waiting) = spending::waiting(pipeline, &run.run).await?.filter(|_| stopped.is_none()) {
        stopped = Some(waiting.why);
    }
    if inputs.pending > 0
        && let Some(words) = stopped
    {
        refused = true;
        notice = Some(words);
    }
    for gate_key in [keys::TOKEN_GATE.to_owned(), keys::collector_gate(&run.settings.collector)] {
        let reason = gate::reason(store, &gate_key).await?;
        refused |= reason.as_ref().is_some_and(|(cause, _)| *cause == Cause::Credentials);
        notice = reason.map(|(_, words)| words).or(notice);
    }
    let waiting = refused || (inputs.pending == 0 && inputs.held > 0);
    let status = Status {
        run: run.run.clone(),
        state: if waiting { RunState::Held } else { RunState::Running },
        collector: Some(run.settings.collector.clone()),
        input: ManifestInput::from(&run.object),
        started_at: run.started_at,
        updated_at: now,
        finished_at: None,
        file_read: end.is_some(),
        inputs,
        records: sums.records,
        unmatched_records: sums.unmatched_records,
        spent: Spent::of(&sums),
        notice,
        manifest: None,
        problem: end.and_then(|end| end.problem),
    };
    // Whoever was quicker knows as much.
    if write(pipeline, &key, &status, current.as_ref()).await? == Written::New {
        page::noted(pipeline, status, finished).await;
    }
    Ok(())
}

/// Whether the status has yet to say that this run is over.
pub(crate) async fn lags(pipeline: &Pipeline, path: &str, run: &RunId) -> Result<bool, PortError> {
    let known = pipeline.store.get(&keys::status(path)).await?;
    Ok(known.as_ref().and_then(decode).is_none_or(|status| status.run == *run && status.manifest.is_none()))
}

/// Writes the last status of a run.
pub(crate) async fn conclude(pipeline: &Pipeline, path: &str, manifest: &Manifest) -> Result<(), PortError> {
    let key = keys::status(path);
    let status = Status::of(path, manifest);
    for _ in 0..5 {
        let current = pipeline.store.get(&key).await?;
        let known = current.as_ref().and_then(decode);
        if known.is_some_and(|known| known.run != status.run && known.started_at > status.started_at) {
            return Ok(());
        }
        if write(pipeline, &key, &status, current.as_ref()).await? == Written::New {
            return Ok(());
        }
    }
    Ok(())
}

async fn write(
    pipeline: &Pipeline,
    key: &str,
    status: &Status,
    current: Option<&Stored>,
) -> Result<Written, PortError> {
    let body =
        serde_json::to_vec_pretty(status).map_err(|error| PortError::new(format!("cannot write {key}"), error))?;
    pipeline.store.replace(key, body.into(), current.map(|stored| &stored.tag)).await
}

fn decode(stored: &Stored) -> Option<Status> {
    serde_json::from_slice(&stored.body).ok()
}

fn interval(started: Timestamp, now: Timestamp) -> i64 {
    (seconds_between(started, now) / 50).max(INTERVAL_SECONDS)
}

async fn sums(
    pipeline: &Pipeline,
    run: &RunRecord,
    batches: Option<u32>,
    seen: &mut page::Seen,
) -> Result<Sums, PortError> {
    let store = &*pipeline.store;
    let mut sums = Sums::default();
    let closed = ledger::list_all(store, &keys::blocks(&run.run)).await?;
    for key in &closed {
        sums.add(&ledger::read_known::<BlockRecord>(store, key).await?.sums);
    }
    let mut budget = OPEN_MAX;
    let mut block = 0;
    // Without the end record nobody knows how many blocks there are: look until one is empty.
    while batches.is_none_or(|batches| block * keys::BLOCK < batches) && budget > 0 {
        if !closed.contains(&keys::block(&run.run, block)) {
            let done = ledger::list_all(store, &keys::done_block(&run.run, block)).await?;
            let partial = ledger::list_all(store, &keys::partial_block(&run.run, block)).await?;
            if done.is_empty() && partial.is_empty() && batches.is_none() {
                break;
            }
            for key in done.iter().take(budget) {
                let fates = ledger::read_known::<DoneRecord>(store, key).await?.fates;
                sums.add(&Sums::of(&fates));
                seen.add(&fates);
            }
            for key in going_on(&partial, &done).into_iter().take(budget.saturating_sub(done.len())) {
                sums.add(&ledger::read_known::<BlockRecord>(store, key).await?.sums);
            }
            budget = budget.saturating_sub((done.len() + partial.len()).max(1));
        }
        block += 1;
    }
    Ok(sums)
}

/// The newest partial record of each batch that has no terminal one.
fn going_on<'a>(partial: &'a [String], done: &[String]) -> Vec<&'a String> {
    let batch = |key: &str| key.rsplit('/').next().and_then(|name| name.get(..6)).map(str::to_owned);
    let over: BTreeSet<Option<String>> = done.iter().map(|key| batch(key)).collect();
    // Keys are in order, so the last one of a batch is that of its newest attempt.
    let newest: BTreeMap<Option<String>, &String> = partial.iter().map(|key| (batch(key), key)).collect();
    newest.into_iter().filter(|(batch, _)| !over.contains(batch)).map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::AttemptId;

    #[test]
    fn a_batch_counts_once() {
        let run = RunId::parse("0123456789abcdef").unwrap();
        let partial = |batch, attempt| keys::partial(&AttemptId { run: run.clone(), batch, attempt });
        let all = [partial(1, 1), partial(1, 2), partial(2, 1), partial(3, 1)];
        assert_eq!(going_on(&all, &[keys::done(&run, 2)]), [&partial(1, 2), &partial(3, 1)]);
    }
}
