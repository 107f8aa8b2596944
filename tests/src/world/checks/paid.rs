//! What was paid for: every collection that the API accepted, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use dropcollect::simulator::{Job, Produced};
use pipeline::canonical::loose;
use pipeline::keys;
use pipeline::ledger::{CollectionEntry, CollectionRecord, Decision, Delivery, Outcome, ReleaseRecord, SendResult};
use pipeline::manifest::Manifest;
use pipeline::policy::{OnInDoubt, limits};
use pipeline::schedule::seconds_between;
use pipeline::words::{AttemptId, RunId};
use serde_json::Value;

use super::files;
use crate::world::outside::is_strange;
use crate::world::{World, cancelled_at, read};

/// A slice that was sent: its attempt, and its inputs as they were sent.
type Sent = (AttemptId, String);

/// A world's collections, and what the ledger and the manifests say about them.
pub(super) struct Paid<'a> {
    world: &'a World,
    /// The collections that were accepted for each slice.
    accepted: BTreeMap<Sent, Vec<String>>,
    manifests: Vec<Manifest>,
    /// Collections that a manifest or a delivery names, by attempt.
    known: BTreeMap<String, AttemptId>,
}

/// Collections that nothing accounts for.
pub(in crate::world) fn orphans(world: &World) -> Vec<String> {
    Paid::of(world).orphans()
}

impl<'a> Paid<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let mut accepted: BTreeMap<Sent, Vec<String>> = BTreeMap::new();
        for ((name, inputs), ids) in world.accepted_sends() {
            let Some(attempt) = attempt_of(&name) else { continue };
            accepted.entry((attempt, inputs)).or_default().extend(ids);
        }
        let manifest = |key: &str, run: &RunId| read::<Manifest>(world, &keys::manifest(&keys::input_path(key), run));
        let manifests: Vec<Manifest> =
            world.dropped.iter().filter_map(|file| manifest(&file.object.key, &file.object.run())).collect();
        let mut known = BTreeMap::new();
        for manifest in &manifests {
            let run = &manifest.run;
            known.extend(manifest.collections.iter().map(|entry| {
                (entry.id.clone(), AttemptId { run: run.clone(), batch: entry.batch, attempt: entry.attempt })
            }));
        }
        for key in world.store.keys("ledger/runs/") {
            if key.ends_with(".delivery.json")
                && let (Some(attempt), Some(delivery)) = (attempt_of_key(&key), read::<Delivery>(world, &key))
            {
                known.insert(delivery.collection, attempt);
            }
        }
        Self { world, accepted, manifests, known }
    }

    /// No slice is accepted twice without the policy, or a limit that is documented, allowing it; and then it is on record.
    pub(super) fn accepted_once(&self) -> Result<(), String> {
        for (sent, ids) in &self.accepted {
            let extra = ids.len() - 1;
            if extra == 0 {
                continue;
            }
            let (attempt, _) = sent;
            if extra > self.resent(sent) {
                return Err(format!(
                    "{attempt} was accepted {} times: {ids:?}, and the ledger does not say so",
                    ids.len()
                ));
            }
            let excused = ids.iter().filter(|id| self.excused(attempt, id)).count();
            if excused < extra {
                return Err(format!("{attempt} was accepted {} times: {ids:?}", ids.len()));
            }
        }
        Ok(())
    }

    /// The manifest says how many sends were made again after one in doubt.
    pub(super) fn resends_are_counted(&self) -> Result<(), String> {
        for manifest in &self.manifests {
            let sent: Vec<&Sent> = self.accepted.keys().filter(|(attempt, _)| attempt.run == manifest.run).collect();
            let extra: u64 = sent.iter().map(|sent| self.accepted[*sent].len() as u64 - 1).sum();
            if extra > manifest.resent {
                return Err(format!("{extra} collections too many, the manifest counts {} resends", manifest.resent));
            }
        }
        Ok(())
    }

    /// Whoever has asked whether the run is cancelled sends at once or not at all.
    pub(super) fn a_cancelled_run_stops(&self) -> Result<(), String> {
        let service = self.world.outside.service();
        for ((attempt, _), ids) in &self.accepted {
            let Some(at) = cancelled_at(self.world, &attempt.run) else { continue };
            let late =
                |job: &&Job| seconds_between(at, job.at()) > limits::SEND_BY_SECONDS + self.world.outside.longest_way();
            if let Some(job) = service.jobs().filter(|job| ids.iter().any(|id| job.id() == id)).find(late) {
                return Err(format!("{attempt} was triggered at {}, and its run cancelled at {at}", job.at()));
            }
        }
        Ok(())
    }

    pub(super) fn nothing_is_orphaned(&self) -> Result<(), String> {
        match self.orphans().first() {
            None => Ok(()),
            Some(id) => Err(format!("{id} was paid for, and nothing accounts for it")),
        }
    }

    /// Collections that are in no manifest and belong neither to held work nor to a send that was made again.
    fn orphans(&self) -> Vec<String> {
        let mut orphans = Vec::new();
        for (sent, ids) in &self.accepted {
            let (attempt, inputs) = sent;
            let unknown: Vec<&String> = ids.iter().filter(|id| !self.known.contains_key(*id)).collect();
            let mixed_up = self.mixed_up(attempt);
            let replaced = unknown.len() <= self.resent(sent) + mixed_up
                && unknown.iter().all(|id| mixed_up > 0 || self.excused(attempt, id));
            if unknown.is_empty() || replaced || self.held(attempt, inputs) || self.strange(attempt) {
                continue;
            }
            orphans.extend(unknown.into_iter().cloned());
        }
        orphans
    }

    /// Whether a person is told about the slice of these inputs.
    fn held(&self, attempt: &AttemptId, inputs: &str) -> bool {
        let count = inputs.lines().count();
        let keys = self.world.store.keys(&keys::attempt(attempt));
        keys.iter().filter(|key| key.contains(".held-")).any(|key| slice_length(key) == Some(count))
    }

    /// How many collections of other sends the attempt believes to be its own, where nothing in their datasets says otherwise: a
    /// documented limit.
    fn mixed_up(&self, attempt: &AttemptId) -> usize {
        let service = self.world.outside.service();
        let theirs = service.jobs().filter(|job| self.known.get(job.id()) == Some(attempt)).filter(|job| {
            let name = job.query().iter().find(|(name, _)| name == "name").map(|(_, value)| value.as_str());
            name.and_then(attempt_of).as_ref() != Some(attempt)
        });
        theirs.filter(|job| names_nobody(job) || job.status() != "done").count()
    }

    /// Whether the attempt believes a stranger's collection to be its own.
    fn strange(&self, attempt: &AttemptId) -> bool {
        let service = self.world.outside.service();
        let mut strange = service.jobs().filter(|job| is_strange(job.query()));
        strange.any(|job| self.known.get(job.id()) == Some(attempt))
    }

    fn entries(&self) -> impl Iterator<Item = &CollectionEntry> {
        self.manifests.iter().flat_map(|manifest| &manifest.collections)
    }

    /// How many sends of a slice of this size were given up as having started nothing.
    fn resent(&self, (attempt, inputs): &Sent) -> usize {
        let count = inputs.lines().count();
        let keys = self.world.store.keys(&keys::attempt(attempt));
        let outcomes = keys.iter().filter(|key| key.ends_with(".outcome.json") && slice_length(key) == Some(count));
        let given_up = |outcome: &Outcome| matches!(outcome.result, SendResult::NothingStarted | SendResult::Abandoned);
        outcomes.filter_map(|key| read::<Outcome>(self.world, key)).filter(given_up).count()
    }

    /// Whether the policy allows that a collection was not found, or a limit that ARCHITECTURE.md documents.
    fn excused(&self, attempt: &AttemptId, id: &str) -> bool {
        let policy = &self.world.policy;
        let service = self.world.outside.service();
        let jobs = &service.scenario().jobs;
        let window = f64::from(policy.in_doubt_window_seconds);
        let Some(job) = service.jobs().find(|job| job.id() == id) else { return false };
        let unlisted = jobs.unlisted_seconds > window;
        // What the API has forgotten by the time of the next send is in no list.
        let lives = if job.collector() == "c_expired0" { Some(5.0) } else { jobs.expires_seconds };
        let keys = self.world.store.keys(&keys::attempt(attempt));
        let outcomes = keys.iter().filter_map(|key| read::<Outcome>(self.world, key));
        let given_up =
            outcomes.filter(|outcome| outcome.result == SendResult::NothingStarted).map(|outcome| outcome.at).max();
        let age = given_up.map_or(0, |at| seconds_between(job.at(), at)) as f64;
        let expired = lives.is_some_and(|lives| age >= lives);
        let released = keys.iter().filter(|key| key.contains(".released-"));
        let mut decided = released.filter_map(|key| read::<ReleaseRecord>(self.world, key));
        let again = decided.any(|record| record.decision == Decision::Again);
        policy.on_in_doubt == OnInDoubt::Retrigger
            || again
            || unlisted
            || expired
            || self.world.outside.accepted_late().contains(id)
            || (self.given_up(attempt, id) && names_nobody(job))
            || (self.taken_by_another(attempt, id) && (names_nobody(job) || job.status() != "done"))
    }

    /// Whether another attempt believes that it is its own. Nothing in the dataset says otherwise, and this one was too late to be seen as
    /// a rival: a documented limit.
    fn taken_by_another(&self, attempt: &AttemptId, id: &str) -> bool {
        read::<CollectionRecord>(self.world, &keys::collection(id))
            .is_some_and(|record| record.send.attempt != *attempt)
    }

    /// Whether the attempt claimed this collection and gave it up.
    fn given_up(&self, attempt: &AttemptId, id: &str) -> bool {
        let prefix = keys::collection(id).trim_end_matches(".json").to_owned();
        let keys = self.world.store.keys(&prefix);
        let mut renounced = keys.iter().filter(|key| key.ends_with(".renounced.json"));
        renounced
            .any(|key| read::<CollectionRecord>(self.world, key).is_some_and(|record| record.send.attempt == *attempt))
    }

    /// Believed to be ours, although its rows name other inputs.
    pub(super) fn strangers_are_told_apart(&self) -> Result<(), String> {
        let service = self.world.outside.service();
        for entry in self.entries() {
            let Some(job) = service.jobs().find(|job| job.id() == entry.id && is_strange(job.query())) else {
                continue;
            };
            let names = |row: &Produced<'_>| (row.records > 0 || row.error) && row.echo.is_some();
            if job.status() == "done"
                && job.foreign_rows() == 0
                && entry.records > 0
                && job.produced().any(|row| names(&row))
            {
                return Err(format!("batch {} attempt {} has taken {}", entry.batch, entry.attempt, entry.id));
            }
        }
        Ok(())
    }

    /// As many records of each collection as its dataset has, unless it ended without one or was gone.
    pub(super) fn datasets_are_whole(&self) -> Result<(), String> {
        let service = self.world.outside.service();
        let expires = service.scenario().jobs.expires_seconds.is_some();
        for entry in self.entries() {
            let job = service.jobs().find(|job| job.id() == entry.id).ok_or(format!("{} does not exist", entry.id))?;
            let records = job.produced().map(|row| row.records).sum::<u64>() + job.foreign_rows();
            // Results are deleted after sixteen days, and a refused token may stay refused for longer.
            let forgotten = seconds_between(job.at(), entry.ready_at) > 15 * 86_400;
            let gone =
                entry.abandoned || forgotten || job.status() != "done" || expires || job.collector() == "c_expired0";
            if entry.records != records && !(gone && entry.records == 0) {
                return Err(format!("{} has {records} records, the manifest says {}", entry.id, entry.records));
            }
        }
        Ok(())
    }

    /// Inputs that a dataset of ours names with a record have records, and are not given back as failed.
    pub(super) fn records_are_not_failures(&self) -> Result<(), String> {
        let service = self.world.outside.service();
        for manifest in &self.manifests {
            let mut have = BTreeSet::new();
            for entry in manifest.collections.iter().filter(|entry| entry.records > 0) {
                let Some(job) = service.jobs().find(|job| job.id() == entry.id) else { continue };
                let named = job.produced().filter(|row| row.records > 0 && names_itself(row));
                have.extend(named.map(|row| row.input.to_owned()));
            }
            if have.len() as u64 > manifest.inputs.with_records {
                let (have, counted) = (have.len(), manifest.inputs.with_records);
                return Err(format!("{have} inputs have records, the manifest counts {counted}"));
            }
            let Some(key) = manifest.failed.as_ref().and_then(|files| files.key.as_ref()) else { continue };
            let failed = self.world.store.object(key).ok_or("no failed file")?;
            for row in files::rows(key, &failed.body)? {
                let same = |input: &&String| serde_json::from_str::<Value>(input).is_ok_and(|input| input == row);
                if let Some(input) = have.iter().find(same) {
                    return Err(format!("{input} has a record and is in {key}"));
                }
            }
        }
        Ok(())
    }
}

/// A documented limit: rows that name only other inputs disprove a claim, although the collector may have rewritten what it echoes, or
/// the only rows may be another run's.
fn names_nobody(job: &Job) -> bool {
    !job.produced().any(|row| (row.records > 0 || row.error) && names_itself(&row))
}

fn names_itself(row: &Produced<'_>) -> bool {
    let url = |text: &str| serde_json::from_str::<Value>(text).ok().map(|value| value["url"].clone());
    row.echo.as_ref().is_some_and(|echo| url(echo) == url(row.input) && loose(echo).is_ok())
}

/// `dropcollect <run> <batch>.<attempt>`.
pub(super) fn attempt_of(name: &str) -> Option<AttemptId> {
    let mut words = name.split(' ').skip(1);
    let run = RunId::parse(words.next()?)?;
    let (batch, attempt) = words.next()?.split_once('.')?;
    Some(AttemptId { run, batch: batch.parse().ok()?, attempt: attempt.parse().ok()? })
}

/// `ledger/runs/<run>/attempts/<batch>.<attempt>/…`.
fn attempt_of_key(key: &str) -> Option<AttemptId> {
    let mut words = key.split('/').skip(2);
    let run = RunId::parse(words.next()?)?;
    let (batch, attempt) = words.nth(1)?.split_once('.')?;
    Some(AttemptId { run, batch: batch.parse().ok()?, attempt: attempt.parse().ok()? })
}

/// How many inputs the slice of this key has.
fn slice_length(key: &str) -> Option<usize> {
    let (start, end) = key.rsplit('/').next()?.split('.').next()?.split_once('-')?;
    Some(end.parse::<usize>().ok()? - start.parse::<usize>().ok()?)
}
