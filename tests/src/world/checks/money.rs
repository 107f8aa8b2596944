//! What may be paid for: spending limits, the kill switch, and the accounts.

use std::collections::{BTreeMap, BTreeSet};

use dropcollect::simulator::Job;
use jiff::Timestamp;
use pipeline::keys;
use pipeline::ledger::{Intent, Outcome, SendResult};
use pipeline::manifest::Manifest;
use pipeline::policy::limits::{SEND_BY_SECONDS, TRIGGER_TIMEOUT_SECONDS};
use pipeline::schedule::seconds_between;
use pipeline::spending::{Book, Per};
use pipeline::words::{AttemptId, RunId};

use super::paid::attempt_of;
use crate::world::outside::is_strange;
use crate::world::{World, read};

/// A trigger that is reserved before midnight may be accepted so long after it.
const ON_THE_WAY_SECONDS: i64 = SEND_BY_SECONDS + TRIGGER_TIMEOUT_SECONDS as i64 + 300;

/// Of runs that nobody let over the limits, no more was accepted than the limits allow. Sends that the job list is to blame for, because
/// it showed nothing within its window, are not counted: nobody could know of them.
pub(super) fn limits_hold(world: &World) -> Result<(), String> {
    if world.limits.is_empty() {
        return Ok(());
    }
    let service = world.outside.service();
    let mut days: BTreeMap<(String, Option<String>), u64> = BTreeMap::new();
    let mut files: BTreeMap<(RunId, String), u64> = BTreeMap::new();
    for job in paid_for(world, &service.jobs().collect::<Vec<_>>()) {
        let Some(attempt) = named(job) else { continue };
        if world.store.object(&keys::over_limits(&attempt.run)).is_some() {
            continue;
        }
        let (inputs, collector) = (job.texts().len() as u64, job.collector().to_owned());
        *files.entry((attempt.run, collector.clone())).or_default() += inputs;
        if job.at().as_second().rem_euclid(86_400) > ON_THE_WAY_SECONDS {
            let day: String = job.at().to_string().chars().take(10).collect();
            *days.entry((day.clone(), None)).or_default() += inputs;
            *days.entry((day, Some(collector))).or_default() += inputs;
        }
    }
    for collector in service.jobs().map(Job::collector).collect::<BTreeSet<_>>() {
        for limit in world.limits.of(collector) {
            let most = match limit.per {
                Per::File => files.iter().filter(|((_, of), _)| of == collector).map(|(_, sum)| *sum).max(),
                _ => days.iter().filter(|((_, of), _)| *of == limit.collector).map(|(_, sum)| *sum).max(),
            };
            if most.unwrap_or(0) > limit.page_loads {
                return Err(format!(
                    "{most:?} inputs were accepted, the limit is {}={}",
                    limit.name(),
                    limit.page_loads
                ));
            }
        }
    }
    Ok(())
}

/// Nothing stays reserved, and nobody waits, when all runs are over and a sweep has cleaned up.
pub(super) fn nothing_stays_reserved(world: &World) -> Result<(), String> {
    let Some(book) = read::<Book>(world, keys::SPENDING) else { return Ok(()) };
    let over = |run: &RunId| {
        let of = world.dropped.iter().find(|file| file.object.run() == *run);
        of.is_some_and(|file| manifest(world, &file.object.key, run).is_some())
    };
    if let Some(run) = book.waiting.keys().chain(book.runs.keys()).find(|run| over(run)) {
        return Err(format!("{run} is over, and is still in {}", keys::SPENDING));
    }
    // What a handler that slept for long has reserved after the end is swept.
    let swept = world.repeats.sweeps > 0;
    let left = book.open.iter().filter(|open| over(&open.attempt.run)).count() as u64;
    let faults: u64 = world.cuts.injected().values().sum();
    if left > 0 && (!swept && faults == 0 && world.repeats.overlaps == 0) {
        return Err(format!("{left} reservations are left: {:?}", book.open));
    }
    Ok(())
}

/// Triggers by us: of each slice as many as it was known to be sent.
fn paid_for<'a>(world: &World, jobs: &[&'a Job]) -> Vec<&'a Job> {
    let mut by_slice: BTreeMap<(String, String), Vec<&Job>> = BTreeMap::new();
    for job in jobs.iter().filter(|job| !is_strange(job.query())) {
        let name = job.query().iter().find(|(name, _)| name == "name").map(|(_, value)| value.clone());
        let inputs = job.texts().collect::<Vec<_>>().join("\n");
        by_slice.entry((name.unwrap_or_default(), inputs)).or_default().push(job);
    }
    let known = |(slice, jobs): ((String, String), Vec<&'a Job>)| {
        let (abandoned, paid) = attempt_of(&slice.0).map_or((0, 1), |attempt| sends(world, &attempt));
        jobs.into_iter().take(paid.min(1 + abandoned)).collect::<Vec<_>>()
    };
    by_slice.into_iter().flat_map(known).collect()
}

/// Sends of an attempt that were abandoned, and all that may have started something as far as anybody could know.
fn sends(world: &World, attempt: &AttemptId) -> (usize, usize) {
    let keys = world.store.keys(&keys::attempt(attempt));
    let outcomes: Vec<Outcome> =
        keys.iter().filter(|key| key.ends_with(".outcome.json")).filter_map(|key| read(world, key)).collect();
    let of = |result: fn(&SendResult) -> bool| outcomes.iter().filter(|outcome| result(&outcome.result)).count();
    let intents = keys.iter().filter(|key| key.ends_with(".intent.json"));
    let intents = intents.filter(|key| read::<Intent>(world, key).is_some_and(|intent| !intent.called_off)).count();
    let abandoned = of(|result| matches!(result, SendResult::Abandoned));
    let nothing = of(|result| !matches!(result, SendResult::Abandoned | SendResult::Accepted { .. }));
    (abandoned, intents.saturating_sub(nothing))
}

fn named(job: &Job) -> Option<AttemptId> {
    attempt_of(job.query().iter().find(|(name, _)| name == "name").map(|(_, value)| value.as_str())?)
}

/// Whoever has asked whether everything is paused sends at once or not at all.
pub(super) fn a_pause_stops_everything(world: &World) -> Result<(), String> {
    let service = world.outside.service();
    let switches = world.cuts.switches();
    for (index, (at, _)) in switches.iter().enumerate().filter(|(_, (_, paused))| *paused) {
        let until = switches[index..].iter().find(|(_, paused)| !paused).map(|(until, _)| *until);
        let within = |job: &&Job| {
            seconds_between(*at, job.at()) > SEND_BY_SECONDS + world.outside.longest_way()
                && until.is_none_or(|until: Timestamp| job.at() < until)
        };
        if let Some(job) = service.jobs().filter(|job| !is_strange(job.query())).find(within) {
            return Err(format!(
                "{} was triggered at {}, and everything was paused from {at} to {until:?}",
                job.id(),
                job.at()
            ));
        }
    }
    Ok(())
}

/// The accounts of every run are those of the API, and the months' files are the sum of the runs.
pub(super) fn accounts_add_up(world: &World) -> Result<(), String> {
    let service = world.outside.service();
    let mut entered = [0_u64; 4];
    for file in &world.dropped {
        let Some(manifest) = manifest(world, &file.object.key, &file.object.run()) else { continue };
        let ids: BTreeSet<&str> = manifest.collections.iter().map(|entry| entry.id.as_str()).collect();
        let accepted: usize = service.jobs().filter(|job| ids.contains(job.id())).map(|job| job.texts().len()).sum();
        let spent = &manifest.spent;
        if spent.inputs != accepted as u64 || spent.collections != ids.len() as u64 {
            return Err(format!("{}: {accepted} inputs in {} collections, not {spent:?}", file.object.key, ids.len()));
        }
        if spent.for_nothing + manifest.inputs.with_records != spent.inputs {
            return Err(format!("{}: {spent:?} with {:?}", file.object.key, manifest.inputs));
        }
        let again: u64 = spent.again.values().sum();
        let of_attempts: u64 = manifest
            .collections
            .iter()
            .filter(|entry| entry.attempt > 1 && !entry.abandoned)
            .map(|entry| u64::from(entry.inputs))
            .sum();
        if of_attempts > again {
            return Err(format!("{}: {of_attempts} inputs were triggered again, not {again}", file.object.key));
        }
        for (sum, of_run) in
            entered.iter_mut().zip([spent.collections, spent.inputs, spent.page_loads, manifest.records])
        {
            *sum += of_run;
        }
    }
    let mut months = [0_u64; 4];
    for key in world.store.keys("accounts/") {
        let csv = world.store.object(&key).map(|object| String::from_utf8_lossy(&object.body).into_owned());
        for line in csv.unwrap_or_default().lines().skip(1) {
            let cells: Vec<u64> = line.split(',').skip(2).map(|cell| cell.parse().unwrap_or(0)).collect();
            let [collections, inputs, _, _, page_loads, records] = cells[..] else { return Err(line.to_owned()) };
            for (sum, of_line) in months.iter_mut().zip([collections, inputs, page_loads, records]) {
                *sum += of_line;
            }
        }
    }
    if months != entered {
        return Err(format!(
            "collections, inputs, page loads, records: {entered:?} by the manifests, {months:?} by the accounts"
        ));
    }
    Ok(())
}

fn manifest(world: &World, key: &str, run: &RunId) -> Option<Manifest> {
    read(world, &keys::manifest(&keys::input_path(key), run))
}
