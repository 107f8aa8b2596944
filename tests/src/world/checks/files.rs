//! What a run left behind: its manifest, its output, its lists of failures.

use std::collections::BTreeSet;
use std::io::Read;

use pipeline::canonical::canonical;
use pipeline::decisions::codes;
use pipeline::keys;
use pipeline::manifest::{Manifest, RunState};
use pipeline::status::Status;
use serde_json::Value;

use super::Broken;
use crate::world::files::Dropped;
use crate::world::{World, cancelled_at, read};

/// Every row of the file is accounted for, and the manifest says what the bucket holds.
pub(super) fn run_is_conserved(world: &World, dropped: &Dropped) -> Result<(), Broken> {
    let broken = |what: String| Broken::new("run_is_conserved", what);
    let run = dropped.object.run();
    let path = keys::input_path(&dropped.object.key);
    let held = world.held_inputs(&run);
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
    let found = (counts.read, counts.rejected, counts.duplicates);
    if was_cut_short(&manifest) {
        let stopped = cancelled_at(world, &run).is_some();
        if !stopped || found.0 > expected.0 || found.1 > expected.1 || found.2 > expected.2 {
            return Err(broken(format!(
                "rows: {counts:?}, expected at most {expected:?}, of a run that was cancelled"
            )));
        }
    } else {
        if found != expected {
            return Err(broken(format!("rows: {counts:?}, expected {expected:?}")));
        }
        if (manifest.state == RunState::Rejected) != dropped.inputs.is_empty() {
            return Err(broken(format!("state {:?}", manifest.state)));
        }
    }
    outputs_hold_the_records(world, dropped, &manifest)
        .map_err(|what| Broken::new("outputs_hold_the_records", what))?;
    failures_are_listed(world, dropped, &manifest).map_err(|what| Broken::new("failures_are_listed", what))
}

/// Whether the file was not read to its end, because somebody stopped the run.
pub(in crate::world) fn was_cut_short(manifest: &Manifest) -> bool {
    manifest.problem.as_ref().is_some_and(|problem| problem.code == codes::RUN_CANCELLED)
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
    // And rows of another run may name inputs of another batch.
    let mixed = world.outside.service().jobs().any(|job| job.foreign_rows() > 0);
    if !mixed && with_records.len() as u64 > manifest.inputs.with_records {
        return Err(format!(
            "{} inputs have records, the manifest says {}",
            with_records.len(),
            manifest.inputs.with_records
        ));
    }
    Ok(())
}

pub(super) fn rows(key: &str, body: &[u8]) -> Result<Vec<Value>, String> {
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
