//! What must hold in every world at rest. Each property has a name, and says what broke it.

use std::collections::BTreeSet;
use std::io::Read;

use pipeline::canonical::canonical;
use pipeline::keys;
use pipeline::ledger::HeldRecord;
use pipeline::manifest::{Manifest, RunState};
use pipeline::policy::OnInDoubt;
use pipeline::status::Status;
use serde_json::Value;

use super::files::Dropped;
pub use super::tally::Tally;
use super::{World, read};

/// A property that does not hold in a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its name, one of [`PROPERTIES`].
    pub property: &'static str,
    /// What broke it.
    pub what: String,
}

impl Broken {
    /// A broken property.
    pub fn new(property: &'static str, what: impl Into<String>) -> Self {
        Self { property, what: what.into() }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.property, self.what)
    }
}

/// Every property: its name, and what it says.
pub const PROPERTIES: &[(&str, &str)] = &[
    ("no_panic", "No handler panics."),
    ("comes_to_rest", "A world whose faults have ended comes to rest."),
    ("status_is_conserved", "Every status that anybody may read accounts for every row."),
    ("no_message_is_left", "No message is left over, dead or expired."),
    ("run_is_conserved", "Every row of every file is accounted for once, in a manifest or as held."),
    ("outputs_hold_the_records", "Output objects hold exactly the records that the manifest counts."),
    (
        "failures_are_listed",
        "The failed file holds the failed inputs, and the error list has one line for each and for each rejected row.",
    ),
    ("accepted_once", "No slice of a batch attempt is accepted twice, except where the policy says so."),
    (
        "nothing_is_orphaned",
        "Every collection that the API accepted is in a manifest, or belongs to work that is held.",
    ),
];

/// Checks a world at rest: the first broken property is the error.
pub fn check(world: &World) -> Result<Tally, Broken> {
    let broken = |property| move |what| Broken::new(property, what);
    no_message_is_left(world).map_err(broken("no_message_is_left"))?;
    for dropped in &world.dropped {
        run_is_conserved(world, dropped)
            .map_err(|broken| Broken { what: format!("{}: {}", dropped.object.key, broken.what), ..broken })?;
    }
    accepted_once(world).map_err(broken("accepted_once"))?;
    nothing_is_orphaned(world).map_err(broken("nothing_is_orphaned"))?;
    Ok(Tally::of(world))
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

/// Every row of the file is accounted for, and the manifest says what the bucket holds.
fn run_is_conserved(world: &World, dropped: &Dropped) -> Result<(), Broken> {
    let broken = |what: String| Broken::new("run_is_conserved", what);
    let run = dropped.object.run();
    let path = keys::input_path(&dropped.object.key);
    let mut held = 0;
    for mark in world.store.keys(&keys::held_marks(&run)) {
        held +=
            u64::from(read::<HeldRecord>(world, &mark).ok_or_else(|| broken("unreadable held mark".into()))?.inputs);
    }
    let Some(manifest) = read::<Manifest>(world, &keys::manifest(&path, &run)) else {
        return if held > 0 { Ok(()) } else { Err(broken("no manifest, and nothing is held".into())) };
    };
    let status: Status = read(world, &keys::status(&path)).ok_or_else(|| broken("no status".into()))?;
    if (status.state, status.inputs) != (manifest.state, manifest.inputs) {
        return Err(broken(format!("the last status is {status:?}")));
    }
    if held > 0 {
        return Err(broken("a manifest although inputs are held".into()));
    }
    let counts = manifest.inputs;
    if !counts.conserved() || counts.pending != 0 || counts.held != 0 {
        return Err(broken(format!("not conserved: {counts:?}")));
    }
    let expected = (dropped.read, dropped.rejected, dropped.duplicates);
    if (counts.read, counts.rejected, counts.duplicates) != expected {
        return Err(broken(format!("rows: {counts:?}, expected {expected:?}")));
    }
    if (manifest.state == RunState::Rejected) != dropped.inputs.is_empty() {
        return Err(broken(format!("state {:?}", manifest.state)));
    }
    outputs_hold_the_records(world, dropped, &manifest)
        .map_err(|what| Broken::new("outputs_hold_the_records", what))?;
    failures_are_listed(world, dropped, &manifest).map_err(|what| Broken::new("failures_are_listed", what))
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
fn accepted_once(world: &World) -> Result<(), String> {
    for ((name, _), ids) in world.accepted_sends() {
        if ids.len() > 1 && world.policy.on_in_doubt != OnInDoubt::Retrigger {
            return Err(format!("{name} was accepted {} times: {ids:?}", ids.len()));
        }
    }
    Ok(())
}

/// Every collection that the API accepted is in a manifest, or belongs to work that is held.
fn nothing_is_orphaned(world: &World) -> Result<(), String> {
    match orphans(world).first() {
        None => Ok(()),
        Some(id) => Err(format!("{id} was paid for and is in no manifest")),
    }
}

/// Collections that the API accepted and that neither a manifest nor held work knows.
pub(super) fn orphans(world: &World) -> Vec<String> {
    let held = world.store.keys("ledger/").iter().any(|key| key.contains("/held/"));
    if held || world.policy.on_in_doubt == OnInDoubt::Retrigger {
        return Vec::new();
    }
    let mut known = BTreeSet::new();
    for dropped in &world.dropped {
        let key = keys::manifest(&keys::input_path(&dropped.object.key), &dropped.object.run());
        let manifest = read::<Manifest>(world, &key);
        known.extend(manifest.into_iter().flat_map(|manifest| manifest.collections).map(|collection| collection.id));
    }
    world.accepted_sends().into_values().flatten().filter(|id| !known.contains(id)).collect()
}
