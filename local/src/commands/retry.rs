//! `dropcollect retry`: runs the failed inputs of a finished run once more.

use bytes::Bytes;
use clap::Args;
use dropcollect::again::{self, Failed};
use dropcollect::folder::FolderStore;
use pipeline::decisions::{Decision, codes, decide};
use pipeline::keys;
use pipeline::ledger::{self, RunRecord};
use pipeline::ports::{ObjectInfo, Store};
use serde_json::{Value, json};

use super::follow::{File, Stack};
use super::{Failure, Told, answer, complain, exit, place, run, say};

#[derive(Args)]
pub(crate) struct RetryArgs {
    /// Id of a run, or an input key (then its newest run)
    run: String,
    /// Inputs that failed with this code; a code that ends with * stands for all that begin so. May be given several times
    #[arg(long = "code", value_name = "CODE")]
    codes: Vec<String>,
    /// All failed inputs, whatever their codes are
    #[arg(long, conflicts_with = "codes")]
    all: bool,
    /// Also if this was done before: pays again
    #[arg(long)]
    again: bool,
    /// A folder, or s3://dataset-bucket (then the file is dropped into the run's input bucket)
    #[arg(long = "data", default_value = "dropcollect-data")]
    place: String,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// Codes of inputs that failed because something or somebody stopped them.
const STOPPED: [&str; 4] =
    [codes::COLLECTION_CANCELLED, codes::COLLECTION_DEADLINE, codes::RUN_CANCELLED, codes::GIVEN_UP];

pub(super) async fn retry(args: &RetryArgs) -> Result<u8, Failure> {
    let store = place::reader(&args.place).await?;
    let record = finished(&*store, &args.run).await?;
    let failed = again::failed(&*store, &record, |code| args.chooses(code)).await?;
    if failed.codes.is_empty() {
        if args.json {
            return Ok(answer(object(&record, &failed), exit::FINE));
        }
        say(&format!("{}: no input failed", record.object.key));
        return Ok(exit::FINE);
    }
    if !args.all && args.codes.is_empty() {
        match args.json {
            true => drop(answer(object(&record, &failed), exit::FINE)),
            false => say(&offer(args, &record, &failed)),
        }
        return Ok(exit::FINE);
    }
    if failed.chosen == 0 {
        let codes = failed.codes.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(Failure::usage(format!("no input failed with that code; the codes of this run are: {codes}")));
    }
    let key = again::key_of(&record);
    complain(&format!("{} inputs of {} are run again as {key}", failed.chosen, record.object.key));
    let mut object = object(&record, &failed);
    let status = match place::bucket(&args.place) {
        Some(_) => on_stack(args, record, key.clone(), failed).await?,
        None => in_folder(args, record, key.clone(), failed).await?,
    };
    if args.json {
        let (run, path) = (place::run(&*store, &key).await?, keys::input_path(&key));
        let mut retry = json!({"key": key, "run": run});
        place::ended(&*store, &path, &run, &mut retry).await?;
        object["retry"] = retry;
        answer(object, status);
    }
    Ok(status)
}

/// What is known for a program before anything is run.
fn object(record: &RunRecord, failed: &Failed) -> Value {
    let codes: Vec<Value> = failed
        .codes
        .iter()
        .map(|(code, count)| json!({"code": code, "count": count, "may_succeed": matches!(decide(code, &record.policy), Decision::Again { .. })}))
        .collect();
    json!({"run": record.run, "key": record.object.key, "codes": codes, "chosen": failed.chosen, "retry": null})
}

impl RetryArgs {
    fn told(&self) -> Told {
        if self.json { Told::Object } else { Told::Text }
    }

    fn chooses(&self, code: &str) -> bool {
        let fits = |wanted: &String| match wanted.strip_suffix('*') {
            Some(beginning) => code.starts_with(beginning),
            None => code == wanted,
        };
        self.all || self.codes.iter().any(fits)
    }
}

/// The run that is named, if it is over and had inputs.
async fn finished(store: &dyn Store, named: &str) -> Result<RunRecord, Failure> {
    let id = place::run(store, named).await?;
    let record: Option<RunRecord> = ledger::read(store, &keys::run(&id)).await?;
    let record = record.ok_or_else(|| Failure::usage(format!("{id}: its file was rejected, correct it and run it")))?;
    let over = ledger::exists(store, &keys::manifest(&record.path, &id)).await?
        && ledger::exists(store, &keys::end(&id)).await?;
    if !over {
        let message =
            format!("{id} is not over: what fails is triggered again by itself, as often as ATTEMPTS_MAX says");
        return Err(Failure::usage(message));
    }
    Ok(record)
}

/// What can be chosen: every attempt is paid for, so it is for a person to say.
fn offer(args: &RetryArgs, record: &RunRecord, failed: &Failed) -> String {
    let mut text = format!("{}: {} failed inputs\n", record.object.key, failed.codes.values().sum::<u64>());
    let width = failed.codes.keys().map(|code| code.chars().count()).max().unwrap_or(0);
    for (code, count) in &failed.codes {
        let advice = match decide(code, &record.policy) {
            Decision::Final if STOPPED.contains(&code.as_str()) => "was stopped before it could succeed",
            Decision::Final => "would fail again unless something has changed",
            Decision::Again { .. } => "may succeed",
        };
        text.push_str(&format!("  {code:<width$}  {count:>6}  {advice}\n"));
    }
    let (run, place) = (&args.run, &args.place);
    text.push_str(&format!("choose, and pay for them: dropcollect retry {run} --code CODE, or --all (--data {place})"));
    text
}

/// Dropped into the bucket that the run's file came from.
async fn on_stack(args: &RetryArgs, record: RunRecord, key: String, failed: Failed) -> Result<u8, Failure> {
    let stack = Stack::open(&record.object.bucket, Some(&args.place)).await?;
    let file = File { key, body: Bytes::from(failed.file), metadata: settings(record) };
    stack.run(vec![file], args.again, args.told()).await
}

async fn in_folder(args: &RetryArgs, record: RunRecord, key: String, failed: Failed) -> Result<u8, Failure> {
    let root = place::folder(&args.place)?;
    let lock = run::take(root)?;
    let store = FolderStore::open(&lock);
    // Beside the failed file, for whoever wants to see what is run again.
    let file = keys::failed(&record.path, &record.run, &format!("retry.{}", record.format.extension));
    store.put(&file, Bytes::from(failed.file), &ObjectInfo::default()).await?;
    let path = store.path(&file)?;
    let simulated = run::is_simulated(root).then_some(None);
    let (lock, engine) = run::open(lock, simulated, None, None).await?;
    let object = engine.object(&path, &key, settings(record), args.again).await.map_err(run::ours)?;
    run::to_the_end(&lock, &engine, &[object], run::Telling { told: args.told(), file: None }).await
}

/// What the run had, with the collector that it used.
fn settings(record: RunRecord) -> std::collections::BTreeMap<String, String> {
    let mut metadata = record.metadata;
    metadata.insert("collector".to_owned(), record.settings.collector);
    metadata
}
