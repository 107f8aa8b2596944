//! `dropcollect release`: shows what waits for a person, and takes the decision.

use adapters::clock::WallClock;
use dropcollect::report::counted;
use pipeline::held::{self, HeldWork};
use pipeline::keys;
use pipeline::ledger::{Decision, RunRecord, read};
use pipeline::ports::{Clock, Store};
use pipeline::spending;
use pipeline::sweep::open_runs;
use pipeline::words::RunId;

use super::{Failure, ReleaseArgs, exit, place, say};

pub(super) async fn release(args: &ReleaseArgs) -> Result<u8, Failure> {
    if args.over_limits {
        return over_limits(args).await;
    }
    let Some(decision) = args.decision() else { return show(args).await };
    let acting = place::acting(&args.place, true).await?;
    let (store, queues) = (&acting.store, &acting.queues);
    let chosen = chosen(&**store, args).await?;
    if chosen.is_empty() {
        return Err(Failure::usage("nothing of it is held: `dropcollect release` without a decision shows what is"));
    }
    if matches!(decision, Decision::Adopt { .. }) && chosen.len() > 1 {
        return Err(Failure::usage(format!(
            "a collection belongs to one of the {} that are held: say which, with the run, --batch and perhaps --slice",
            chosen.len()
        )));
    }
    for work in &chosen {
        match held::release(&**store, &**queues, WallClock.now(), &work.mark, &decision).await? {
            Ok(()) => say(&format!("released: {}", name(work))),
            Err(problem) => return Err(Failure::usage(format!("{}: {problem}", name(work)))),
        }
    }
    if acting.is_folder() {
        say("`dropcollect run` with the same file goes on with it");
    }
    Ok(exit::FINE)
}

/// The run pays for what it needs, whatever the limits are; what it pays for still counts.
async fn over_limits(args: &ReleaseArgs) -> Result<u8, Failure> {
    let acting = place::acting(&args.place, true).await?;
    let named = args.run.as_deref().unwrap_or_default();
    let run = place::run(&*acting.store, named).await?;
    if !open_runs(&*acting.store).await?.contains(&run) {
        return Err(Failure::usage(format!("{named} is not under way: there is nothing to let go over the limits")));
    }
    let open = spending::let_over(&*acting.store, &*acting.queues, WallClock.now(), &run).await?;
    say(&format!(
        "{run} may go over the spending limits: going on with {}",
        counted(open, "open batch", "open batches")
    ));
    if acting.is_folder() {
        say("`dropcollect run` with the same file goes on with it");
    }
    Ok(exit::FINE)
}

async fn show(args: &ReleaseArgs) -> Result<u8, Failure> {
    let store = place::reader(&args.place).await?;
    let held = chosen(&*store, args).await?;
    if held.is_empty() {
        say("nothing is held");
        return Ok(exit::FINE);
    }
    for work in &held {
        let held = &work.mark.held;
        say(&format!("{}: {} since {}\n    {}", name(work), held.reason, held.at, held.message));
        if let Some(collection) = &work.answered {
            say(&format!("    its answer came after all: it started {collection}"));
        }
    }
    say("\ndecide with: dropcollect release RUN --batch N and one of --adopt j_…, --again (pays again), --give-up");
    Ok(exit::HELD)
}

/// The held work that the arguments name.
async fn chosen(store: &dyn Store, args: &ReleaseArgs) -> Result<Vec<HeldWork>, Failure> {
    let mut chosen = Vec::new();
    for run in runs(store, args.run.as_deref()).await? {
        chosen.extend(held::list(store, &run).await?);
    }
    chosen.retain(|work| {
        args.batch.is_none_or(|batch| batch == work.mark.attempt.batch)
            && args.slice.as_ref().is_none_or(|slice| *slice == work.mark.slice.to_string())
    });
    Ok(chosen)
}

/// The run with this id, or the runs of this input key that are not over; of all keys if none is named.
async fn runs(store: &dyn Store, named: Option<&str>) -> Result<Vec<RunId>, Failure> {
    if let Some(run) = named.and_then(RunId::parse) {
        return Ok(vec![run]);
    }
    let open = open_runs(store).await?;
    let Some(key) = named else { return Ok(open) };
    let mut runs = Vec::new();
    for run in open {
        let record: Option<RunRecord> = read(store, &keys::run(&run)).await?;
        runs.extend(record.filter(|record| record.object.key == key).map(|record| record.run));
    }
    if runs.is_empty() && store.get(&keys::status(&keys::input_path(key))).await?.is_none() {
        return Err(Failure::usage(place::unknown(key)));
    }
    Ok(runs)
}

fn name(work: &HeldWork) -> String {
    let mark = &work.mark;
    let (run, batch, slice) = (&mark.attempt.run, mark.attempt.batch, mark.slice);
    format!("{run} batch {batch} attempt {} slice {slice} ({} inputs)", mark.attempt.attempt, mark.held.inputs)
}
