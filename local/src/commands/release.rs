//! `dropcollect release`: shows what waits for a person, and takes the decision.

use adapters::clock::WallClock;
use clap::Args;
use dropcollect::report::counted;
use pipeline::held::{self, HeldWork};
use pipeline::keys;
use pipeline::ledger::{Decision, HeldMark, RunRecord, read};
use pipeline::ports::{Clock, Store};
use pipeline::spending;
use pipeline::sweep::open_runs;
use pipeline::words::RunId;
use serde_json::{Value, json};

use super::{Failure, answer, exit, place, say};

#[derive(Args)]
pub(crate) struct ReleaseArgs {
    /// Id of a run, or an input key (default: all runs)
    run: Option<String>,
    /// Only this batch
    #[arg(long)]
    batch: Option<u32>,
    /// Only this slice of a batch's attempt, as it is shown
    #[arg(long, requires = "batch")]
    slice: Option<String>,
    /// This collection is the held trigger's: wait for it, and deliver it
    #[arg(long, value_name = "COLLECTION", group = "decision", requires = "run")]
    adopt: Option<String>,
    /// Trigger again, whatever the held trigger may have started: pays again
    #[arg(long, group = "decision", requires = "run")]
    again: bool,
    /// Give the inputs up: they fail, and go to the failed file
    #[arg(long, group = "decision", requires = "run")]
    give_up: bool,
    /// Let the run go over the spending limits
    #[arg(long, group = "decision", requires = "run", conflicts_with = "batch")]
    over_limits: bool,
    /// A folder, or s3://dataset-bucket (then POLL_QUEUE_URL names the stack's poll queue)
    #[arg(long = "data", default_value = "dropcollect-data")]
    place: String,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

impl ReleaseArgs {
    fn decision(&self) -> Option<Decision> {
        if let Some(collection) = &self.adopt {
            return Some(Decision::Adopt { collection: collection.clone() });
        }
        if self.again {
            return Some(Decision::Again);
        }
        self.give_up.then_some(Decision::GiveUp)
    }
}

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
    let mut released = Vec::new();
    for work in &chosen {
        match held::release(&**store, &**queues, WallClock.now(), &work.mark, &decision).await? {
            Ok(()) if args.json => released.push(object(work)),
            Ok(()) => say(&format!("released: {}", name(work))),
            Err(problem) => return Err(Failure::usage(format!("{}: {problem}", name(work)))),
        }
    }
    if args.json {
        return Ok(answer(json!({"released": released, "decision": decision}), exit::FINE));
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
    if args.json {
        return Ok(answer(json!({"run": run, "decision": "over_limits", "open_batches": open}), exit::FINE));
    }
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
    if args.json {
        let status = if held.is_empty() { exit::FINE } else { exit::HELD };
        return Ok(answer(json!({"held": held.iter().map(object).collect::<Vec<_>>()}), status));
    }
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
        return Err(place::unknown(store, key).await);
    }
    Ok(runs)
}

/// Held work for a program.
fn object(work: &HeldWork) -> Value {
    let HeldMark { attempt, slice, held, .. } = &work.mark;
    json!({
        "run": attempt.run, "batch": attempt.batch, "attempt": attempt.attempt, "slice": slice.to_string(), "inputs": held.inputs,
        "at": held.at, "reason": held.reason, "message": held.message, "answered": work.answered,
    })
}

fn name(work: &HeldWork) -> String {
    let mark = &work.mark;
    let (run, batch, slice) = (&mark.attempt.run, mark.attempt.batch, mark.slice);
    format!("{run} batch {batch} attempt {} slice {slice} ({} inputs)", mark.attempt.attempt, mark.held.inputs)
}
