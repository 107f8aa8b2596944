//! What must hold in every world at rest. Each property has a name, and says what broke it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use pipeline::canonical::canonical;
use pipeline::keys;
use pipeline::ledger::{DoneRecord, HeldRecord};
use pipeline::manifest::{Manifest, RunState};
use pipeline::policy::OnInDoubt;
use pipeline::status::Status;
use serde_json::Value;

use super::World;
use super::files::Dropped;

/// What a world came to, for totals over many worlds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Worlds.
    pub worlds: u64,
    /// Effects that handlers made.
    pub effects: u64,
    /// Effects that were cut.
    pub faults: u64,
    /// Messages delivered.
    pub deliveries: u64,
    /// Triggers that the API accepted.
    pub accepted: u64,
    /// Of them, those beyond the first of the same slice of a batch attempt.
    pub accepted_again: u64,
    /// Runs that ended with a manifest.
    pub manifests: u64,
    /// Inputs that wait for a person.
    pub held: u64,
    /// Rows of all files.
    pub rows: u64,
    /// Collections of lost answers that were found in the job list.
    pub adopted: u64,
}

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.effects += other.effects;
        self.faults += other.faults;
        self.deliveries += other.deliveries;
        self.accepted += other.accepted;
        self.accepted_again += other.accepted_again;
        self.manifests += other.manifests;
        self.held += other.held;
        self.rows += other.rows;
        self.adopted += other.adopted;
    }
}

/// Checks a world at rest: the first broken property is the error.
pub fn check(world: &World) -> Result<Tally, String> {
    let mut tally = Tally { worlds: 1, deliveries: world.deliveries, ..Tally::default() };
    tally.effects = world.cuts.effects().values().sum();
    tally.faults = world.cuts.injected().values().sum();
    no_message_is_left(world)?;
    let mut known = BTreeSet::new();
    for dropped in &world.dropped {
        tally.rows += dropped.read;
        run_is_conserved(world, dropped, &mut known, &mut tally)
            .map_err(|broken| format!("{}: {broken}", dropped.object.key))?;
    }
    accepted_once(world, &mut tally)?;
    nothing_is_orphaned(world, &known)?;
    Ok(tally)
}

/// What the ledger says, for whoever looks into a broken world.
pub fn story(world: &World) -> String {
    let mut story = format!("policy {:?}\n", world.policy);
    for (key, object) in world.store.snapshot() {
        let told = key.contains("/attempts/") || key.contains("ledger/collections/") || key.contains("/held/");
        if told && !key.contains("poller") {
            let body = String::from_utf8_lossy(&object.body).chars().take(400).collect::<String>();
            story.push_str(&format!("{key}\n    {body}\n"));
        }
    }
    let service = world.service.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for job in service.jobs() {
        let inputs = job.texts().len();
        story.push_str(&format!(
            "job {} at {} inputs {inputs} status {} {:?}\n",
            job.id(),
            job.at(),
            job.status(),
            job.query()
        ));
    }
    story
}

fn no_message_is_left(world: &World) -> Result<(), String> {
    for queue in world.all_queues() {
        if let Some(message) = queue.messages().first() {
            return Err(format!("message left: {}", message.body));
        }
        if let Some(dead) = queue.dead().first() {
            return Err(format!("dead letter: {} because {}", dead.message.body, dead.why));
        }
        if let Some(expired) = queue.expired().first() {
            return Err(format!("expired message: {}", expired.body));
        }
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(world: &World, key: &str) -> Option<T> {
    serde_json::from_slice(&world.store.object(key)?.body).ok()
}

/// Every row of the file is accounted for, and the manifest says what the bucket holds.
fn run_is_conserved(
    world: &World,
    dropped: &Dropped,
    known: &mut BTreeSet<String>,
    tally: &mut Tally,
) -> Result<(), String> {
    let run = dropped.object.run();
    let path = keys::input_path(&dropped.object.key);
    let mut held = 0;
    for mark in world.store.keys(&keys::held_marks(&run)) {
        held += u64::from(read::<HeldRecord>(world, &mark).ok_or("unreadable held mark")?.inputs);
    }
    tally.held += held;
    let Some(manifest) = read::<Manifest>(world, &keys::manifest(&path, &run)) else {
        if held == 0 {
            return Err("no manifest, and nothing is held".into());
        }
        for key in world.store.keys(&format!("ledger/runs/{run}/done/")) {
            let done: DoneRecord = read(world, &key).ok_or("unreadable done record")?;
            known.extend(done.fates.collections.into_iter().map(|collection| collection.id));
        }
        return Ok(());
    };
    tally.manifests += 1;
    let status: Status = read(world, &keys::status(&path)).ok_or("no status")?;
    if (status.state, status.inputs) != (manifest.state, manifest.inputs) {
        return Err(format!("the last status is {status:?}"));
    }
    tally.adopted += manifest.collections.iter().filter(|collection| collection.adopted).count() as u64;
    if held > 0 {
        return Err("a manifest although inputs are held".into());
    }
    let counts = manifest.inputs;
    if !counts.conserved() || counts.pending != 0 || counts.held != 0 {
        return Err(format!("not conserved: {counts:?}"));
    }
    let expected = (dropped.read, dropped.rejected, dropped.duplicates);
    if (counts.read, counts.rejected, counts.duplicates) != expected {
        return Err(format!("rows: {counts:?}, expected {expected:?}"));
    }
    if (manifest.state == RunState::Rejected) != dropped.inputs.is_empty() {
        return Err(format!("state {:?}", manifest.state));
    }
    known.extend(manifest.collections.iter().map(|collection| collection.id.clone()));
    outputs_hold_the_records(world, dropped, &manifest)?;
    failures_are_listed(world, dropped, &manifest)
}

/// The output objects have exactly the records that the manifest counts, and the inputs with records are the ones counted.
fn outputs_hold_the_records(world: &World, dropped: &Dropped, manifest: &Manifest) -> Result<(), String> {
    let mut records = 0;
    let mut with_records = BTreeSet::new();
    for output in &manifest.outputs {
        let object = world.store.object(&output.key).ok_or(format!("missing output {}", output.key))?;
        if object.body.len() as u64 != output.bytes {
            return Err(format!("size of {}", output.key));
        }
        let rows = rows(&output.key, &object.body)?;
        if rows.len() as u64 != output.records {
            return Err(format!("{}: {} records, the manifest says {}", output.key, rows.len(), output.records));
        }
        records += output.records;
        for row in rows {
            let echo = row.get("input").map(|input| canonical(&input.to_string()).unwrap_or_default());
            if let Some(echo) = echo.filter(|echo| dropped.inputs.contains(echo)) {
                with_records.insert(echo);
            }
        }
    }
    if records != manifest.records {
        return Err(format!("{records} records, the manifest says {}", manifest.records));
    }
    // Echoes may be defaulted, respelled or absent: then fewer are recognised here than by the pipeline.
    if with_records.len() as u64 > manifest.inputs.with_records {
        return Err(format!(
            "{} inputs have records, the manifest says {}",
            with_records.len(),
            manifest.inputs.with_records
        ));
    }
    Ok(())
}

fn rows(key: &str, body: &[u8]) -> Result<Vec<Value>, String> {
    let mut text = String::new();
    if key.ends_with(".gz") {
        flate2::read::MultiGzDecoder::new(body).read_to_string(&mut text).map_err(|error| format!("{key}: {error}"))?;
    } else {
        text = String::from_utf8(body.to_vec()).map_err(|error| format!("{key}: {error}"))?;
    }
    let parsed = if key.trim_end_matches(".gz").ends_with(".ndjson") {
        text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()
    } else {
        serde_json::from_str(&text)
    };
    parsed.map_err(|error| format!("{key}: {error}"))
}

/// The failed file holds the failed inputs, and the error list one line for each and for each rejected row.
fn failures_are_listed(world: &World, dropped: &Dropped, manifest: &Manifest) -> Result<(), String> {
    let expected = manifest.inputs.failed + manifest.inputs.rejected;
    let Some(files) = &manifest.failed else {
        return if expected == 0 { Ok(()) } else { Err(format!("{expected} failures and no list of them")) };
    };
    let errors = world.store.object(&files.errors).ok_or("no errors.ndjson")?;
    let lines = rows(&files.errors, &errors.body)?;
    if lines.len() as u64 != expected {
        return Err(format!("{} lines of errors, expected {expected}", lines.len()));
    }
    let failed = match &files.key {
        Some(key) => rows(key, &world.store.object(key).ok_or("no failed file")?.body)?,
        None => Vec::new(),
    };
    let distinct: BTreeSet<String> = failed.iter().map(|row| canonical(&row.to_string()).unwrap_or_default()).collect();
    if distinct.len() as u64 != manifest.inputs.failed || distinct.iter().any(|row| !dropped.inputs.contains(row)) {
        return Err(format!(
            "the failed file has {} inputs, the manifest says {}",
            distinct.len(),
            manifest.inputs.failed
        ));
    }
    Ok(())
}

/// No slice of a batch attempt is accepted twice, except where the policy says so.
fn accepted_once(world: &World, tally: &mut Tally) -> Result<(), String> {
    let service = world.service.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut seen: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for job in service.jobs() {
        tally.accepted += 1;
        let name =
            job.query().iter().find(|(name, _)| name == "name").map(|(_, value)| value.clone()).unwrap_or_default();
        let inputs = job.texts().collect::<Vec<_>>().join("\n");
        seen.entry((name, inputs)).or_default().push(job.id().to_owned());
    }
    for ((name, _), ids) in seen {
        if ids.len() > 1 {
            tally.accepted_again += ids.len() as u64 - 1;
            if world.policy.on_in_doubt != OnInDoubt::Retrigger {
                return Err(format!("{name} was accepted {} times: {ids:?}", ids.len()));
            }
        }
    }
    Ok(())
}

/// Every collection that the API accepted is in a manifest, or belongs to work that is held.
fn nothing_is_orphaned(world: &World, known: &BTreeSet<String>) -> Result<(), String> {
    let service = world.service.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let held = !world.store.keys("ledger/").iter().all(|key| !key.contains("/held/"));
    for job in service.jobs() {
        if !known.contains(job.id()) && !held && world.policy.on_in_doubt != OnInDoubt::Retrigger {
            return Err(format!("{} was paid for and is in no manifest", job.id()));
        }
    }
    Ok(())
}
