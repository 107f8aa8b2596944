//! What a world cost: looks at collections, calls to AWS.

use std::collections::BTreeSet;

use pipeline::ledger::CancelRecord;
use pipeline::schedule::seconds_between;

use crate::world::{World, read};

/// A collection is looked at as often as the logarithm of its duration says: waits grow by 12 % of its age from 5 s on, to an hour at
/// most. What is cut, delivered twice or worked on twice looks once more each.
pub(super) fn looks_are_bounded(world: &World) -> Result<(), String> {
    let disturbed = disturbances(world);
    let keys = world.store.keys("ledger/runs/");
    let cancels = keys.iter().filter(|key| key.ends_with(".cancel.json"));
    let cancelled: BTreeSet<String> =
        cancels.filter_map(|key| read::<CancelRecord>(world, key)).map(|cancel| cancel.collection).collect();
    let decisions = keys.iter().filter(|key| key.contains(".released-")).count();
    let service = world.outside.service();
    for (id, looks) in world.cuts.looks() {
        let Some(job) = service.jobs().find(|job| job.id() == id) else { continue };
        let seconds = seconds_between(job.at(), looks.last).max(0) as f64;
        let growing = (0.12 * seconds / 5.0 + 1.0).ln() / 1.12_f64.ln();
        // Waiting for a collection to stop that was told to begins with short waits again.
        // So does one that a person decided to go on with.
        let series = if cancelled.contains(&id) { 2.0 } else { 1.0 } + decisions as f64;
        // Slices of one attempt have one message: whoever is due takes the others along.
        let slices = service.jobs().filter(|other| other.query() == job.query()).count().max(1) as f64;
        let bound = 4.0 + series * slices * growing + seconds / 3_600.0 + disturbed as f64;
        if looks.count as f64 > bound {
            return Err(format!("{id} was looked at {} times in {seconds} s, {bound:.0} are enough", looks.count));
        }
    }
    Ok(())
}

/// Calls to AWS by everything that can cause one: runs, batches, attempts, sends and deliveries.
pub(super) fn calls_are_bounded(world: &World) -> Result<(), String> {
    let calls: u64 = world.cuts.effects().iter().filter(|(point, _)| is_aws(point.call)).map(|(_, made)| made).sum();
    let keys = world.store.keys("ledger/runs/");
    let batches = keys.iter().filter(|key| key.contains("/batches/")).count() as u64;
    let sends = keys.iter().filter(|key| key.ends_with(".intent.json")).count() as u64;
    // Every round over the slices of a refused batch asks for the state of each.
    let bound = 60 * (world.dropped.len() as u64 + batches + sends + world.deliveries);
    if calls > bound {
        return Err(format!("{calls} calls for {batches} batches, {sends} sends and {} deliveries", world.deliveries));
    }
    Ok(())
}

fn is_aws(call: &str) -> bool {
    !matches!(call, "api" | "read" | "message")
}

fn disturbances(world: &World) -> u64 {
    let faults: u64 = world.cuts.injected().values().sum();
    let repeats = &world.repeats;
    faults
        + repeats.duplicates
        + repeats.redrives
        + repeats.overlaps
        + repeats.losses
        + repeats.hints
        + 2 * (repeats.sweeps + repeats.cancels + repeats.switches)
}
