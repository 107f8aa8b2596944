//! How often a collection is looked at, and how late its end is noticed.

use std::sync::PoisonError;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use pipeline::schedule::{first_look, later, next_look};
use serde_json::{Value, json};

use crate::functions::{InMemory, jobs, on_paused_time, policy};

/// Jobs of these durations, in seconds.
const DURATIONS: [u32; 5] = [10, 60, 600, 3_600, 21_600];
/// Durations around each of them: 90 % to 110 %.
const AROUND: u32 = 2_000;
/// The same, of those that run through the handlers.
const RUN: u32 = 40;

/// A way of waiting: the age of a collection at the look that follows one at this age.
type Schedule<'a> = &'a dyn Fn(f64, Option<u32>) -> f64;

/// What became of one job: when its dataset was ready, how often it was looked at, and how late its end was noticed.
#[derive(Clone, Copy)]
struct Found {
    ready: f64,
    looks: u32,
    late: f64,
}

/// A job: when its dataset is ready, and from when it says so ("try again in …").
#[derive(Clone, Copy)]
struct Job {
    ready: f64,
    building_from: f64,
    hint: u32,
}

pub(crate) fn run() -> Result<Value> {
    let mut rows = Vec::new();
    for duration in DURATIONS {
        let pipeline: Schedule<'_> = &pipeline_schedule;
        let plain = |ready| Job { ready, building_from: f64::INFINITY, hint: 30 };
        // The file of a finished job is built for a tenth of its time, a minute at most, and says so.
        let built = |ready: f64| Job { ready, building_from: ready - (ready / 10.0).min(60.0), hint: 30 };
        rows.push(json!({
            "duration": duration,
            "pipeline": around(duration, pipeline, plain),
            "hinted": around(duration, pipeline, built),
            "fixed 5 s": around(duration, &|age, _| age + 5.0, plain),
            "fixed 60 s": around(duration, &|age, _| age + 60.0, plain),
            "handlers": handlers(duration, 0.0, false)?,
            "handlers, hinted": handlers(duration, (f64::from(duration) / 10.0).min(60.0), false)?,
            "handlers, told": handlers(duration, 0.0, true)?,
            "handlers, told early": handlers(duration, (f64::from(duration) / 10.0).min(60.0), true)?,
        }));
    }
    Ok(json!({"rows": rows, "many": many()?}))
}

/// The pipeline's own functions. Ages are whole seconds there, rounded up, and looks are whole seconds apart.
fn pipeline_schedule(age: f64, hint: Option<u32>) -> f64 {
    let start = Timestamp::UNIX_EPOCH;
    if age == 0.0 {
        return f64::from(first_look(start, None));
    }
    age + f64::from(next_look(start, later(start, age.ceil() as i64), hint))
}

/// Looks at one job until its dataset is there: how many, and how late the last one is.
fn follow(job: Job, schedule: Schedule<'_>) -> Found {
    let (mut age, mut looks) = (schedule(0.0, None), 1);
    while age < job.ready {
        let hint = (age >= job.building_from).then_some(job.hint);
        age = schedule(age, hint);
        looks += 1;
    }
    Found { ready: job.ready, looks, late: age - job.ready }
}

fn around(duration: u32, schedule: Schedule<'_>, job: impl Fn(f64) -> Job) -> Value {
    let found: Vec<_> = durations(duration, AROUND).map(|ready| follow(job(ready), schedule)).collect();
    summary(&found)
}

/// The exact duration, and so many from 90 % to 110 % of it.
fn durations(duration: u32, number: u32) -> impl Iterator<Item = f64> {
    let whole = f64::from(duration);
    let share = move |step| 0.9 + 0.2 * f64::from(step) / f64::from(number);
    std::iter::once(whole).chain((0..=number).map(move |step| whole * share(step)))
}

/// The first is the exact duration.
fn summary(found: &[Found]) -> Value {
    let most = |figure: fn(&Found) -> f64| found.iter().map(figure).fold(f64::MIN, f64::max);
    let mean = |figure: fn(&Found) -> f64| found.iter().map(figure).sum::<f64>() / found.len() as f64;
    let exact = found.first();
    json!({
        "looks": exact.map(|exact| exact.looks),
        "late": exact.map(|exact| exact.late),
        "looks_most": most(|one| f64::from(one.looks)),
        "looks_mean": mean(|one| f64::from(one.looks)),
        "late_most": most(|one| one.late),
        "late_mean": mean(|one| one.late),
        // Above zero where the target is missed.
        "over_target": most(over_target),
        "missed": mean(|one| f64::from(u8::from(over_target(one) > 0.0))),
    })
}

/// How much later than 12 % of the job's duration and 5 s.
fn over_target(found: &Found) -> f64 {
    found.late - (0.12 * found.ready + 5.0)
}

/// The same through the real handlers, with the calls that they make taking their time.
fn handlers(duration: u32, building: f64, told: bool) -> Result<Value> {
    let mut found = Vec::new();
    let mut deliveries = Vec::new();
    for ready in durations(duration, RUN) {
        let (one, delivered) = on_paused_time(one(ready, building, told))?;
        found.push(one);
        deliveries.push(delivered);
    }
    let mut said = summary(&found);
    said["deliveries"] = json!(deliveries.first());
    said["deliveries_mean"] = json!(deliveries.iter().sum::<u32>() as f64 / deliveries.len() as f64);
    Ok(said)
}

/// One collection of one input: looks are calls for its dataset that the API has seen, and it is late until the delivery record is written.
/// Also how often messages about it were delivered.
async fn one(ready: f64, building: f64, told: bool) -> Result<(Found, u32)> {
    let world = InMemory::new(jobs(ready - building, building, 0.0)?, policy(1_000))?;
    let world = if told { world.told_by_the_api()? } else { world };
    let manifest = world.run(&world.drop_file(1)?).await?;
    let service = world.functions.service.lock().unwrap_or_else(PoisonError::into_inner);
    let looks =
        service.calls().iter().filter(|(call, _)| call.contains("/dca/dataset")).map(|(_, count)| *count).sum::<u64>();
    let job = service.jobs().next();
    let [collection] = manifest.collections.as_slice() else { anyhow::bail!("not one collection") };
    ensure!(job.is_some(), "the API has seen no job");
    let late = seconds(collection.triggered_at, collection.ready_at) - ready;
    let received = world.functions.meter.tally().kinds.get("sqs receive poll").copied().unwrap_or_default();
    Ok((Found { ready, looks: u32::try_from(looks)?, late }, u32::try_from(received)?))
}

/// All collections of a file of fifty batches: their reminders go out in groups, ahead of the sends.
fn many() -> Result<Value> {
    let mut rows = Vec::new();
    for duration in DURATIONS {
        let ready = f64::from(duration);
        let found = on_paused_time(async {
            let world = InMemory::new(jobs(ready, 0.0, 0.0)?, policy(10))?;
            let manifest = world.run(&world.drop_file(500)?).await?;
            let late = |one: &pipeline::ledger::CollectionEntry| seconds(one.triggered_at, one.ready_at) - ready;
            Ok(manifest
                .collections
                .iter()
                .map(|one| Found { ready, looks: one.polls, late: late(one) })
                .collect::<Vec<_>>())
        })?;
        let mut said = summary(&found);
        said["duration"] = json!(duration);
        rows.push(said);
    }
    Ok(Value::Array(rows))
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}
