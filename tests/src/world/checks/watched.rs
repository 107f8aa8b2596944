//! What the pipeline tells about itself: notices of runs that are over, and metrics.

use std::collections::BTreeMap;

use pipeline::keys;
use pipeline::ledger::{BatchRecord, DoneRecord, RunRecord};
use pipeline::manifest::Manifest;
use pipeline::metrics::{self, Metric};
use pipeline::notice::RunEnded;
use pipeline::words::RunId;

use crate::world::points::record;
use crate::world::{World, read};

/// Whoever wants to know is told of every run that is over, and of nothing else; copies say the same.
pub(super) fn runs_are_told(world: &World) -> Result<(), String> {
    let mut told: BTreeMap<RunId, RunEnded> = BTreeMap::new();
    for notice in world.watched.told() {
        if let Some(before) = told.insert(notice.run.clone(), notice.clone())
            && before != notice
        {
            return Err(format!("{before:?} was told before {notice:?}"));
        }
    }
    for file in &world.dropped {
        let run = file.object.run();
        let key = keys::manifest(&keys::input_path(&file.object.key), &run);
        let expected = read::<Manifest>(world, &key).map(|manifest| RunEnded::of(manifest, key));
        let found = told.remove(&run);
        if found != expected {
            return Err(format!("{found:?} was told of {run}, but it is {expected:?}"));
        }
    }
    told.into_values().next().map_or(Ok(()), |strange| Err(format!("{strange:?} was told of no run")))
}

/// Metrics never count more than there is; where no handler was disturbed, they count all of it.
pub(super) fn metrics_are_true(world: &World) -> Result<(), String> {
    let keys = world.store.keys("");
    let all = |kind: &'static str| keys.iter().filter(move |key| record(key) == kind);
    let mut there: BTreeMap<&str, u64> = BTreeMap::new();
    let mut add = |metric: &Metric, more: u64| *there.entry(metric.name).or_default() += more;
    add(&metrics::FILES, all("run").filter(|key| read::<RunRecord>(world, key).is_some()).count() as u64);
    for batch in all("batch").filter_map(|key| read::<BatchRecord>(world, key)).filter(|batch| batch.rows.read > 0) {
        add(&metrics::BATCHES, 1);
        add(&metrics::INPUTS, batch.rows.read);
        add(&metrics::INPUTS_REJECTED, batch.rows.rejected);
        add(&metrics::INPUTS_DUPLICATE, batch.rows.duplicates);
    }
    for done in all("done").filter_map(|key| read::<DoneRecord>(world, key)) {
        add(&metrics::INPUTS_WITH_RECORDS, done.fates.with_records);
        add(&metrics::INPUTS_WITHOUT_RECORD, done.fates.no_record);
        add(&metrics::INPUTS_FAILED, done.fates.failed.len() as u64);
    }
    add(&metrics::RUNS, all("manifest").count() as u64);
    let calm = world.plan.faults == 0 && world.repeats.losses == 0;
    for metric in [
        metrics::FILES,
        metrics::BATCHES,
        metrics::INPUTS,
        metrics::INPUTS_REJECTED,
        metrics::INPUTS_DUPLICATE,
        metrics::INPUTS_WITH_RECORDS,
        metrics::INPUTS_WITHOUT_RECORD,
        metrics::INPUTS_FAILED,
        metrics::RUNS,
    ] {
        let (noted, there) = (world.watched.sum(&metric), there.get(metric.name).copied().unwrap_or_default());
        if noted > there || (calm && noted < there) {
            return Err(format!("{} says {noted}, but there are {there}", metric.name));
        }
    }
    let accepted: usize = world.accepted_sends().into_values().map(|ids| ids.len()).sum();
    let noted = world.watched.noted(&metrics::TRIGGERS, "accepted");
    // The API may lose an answer by itself.
    if noted > accepted as u64 || (calm && world.plan.calm && noted < accepted as u64) {
        return Err(format!("{noted} triggers were accepted by the metric, {accepted} by the API"));
    }
    match world.watched.sum(&metrics::CONSERVATION_BROKEN) {
        0 => Ok(()),
        broken => Err(format!("the counts of a manifest did not add up, {broken} times")),
    }
}
