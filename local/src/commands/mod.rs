//! The commands and their exit statuses.

mod completions;
mod export;
mod man;
mod place;
mod plan;
mod release;
mod run;
mod simulate;
mod status;
mod why;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use pipeline::ledger::Decision;
use pipeline::ports::PortError;

/// Exit statuses: the worst of all files.
pub(crate) mod exit {
    /// Every input has records, or legitimately none.
    pub(crate) const FINE: u8 = 0;
    /// Some inputs failed for good.
    pub(crate) const FAILURES: u8 = 1;
    /// Wrong usage, or a rejected file.
    pub(crate) const USAGE: u8 = 2;
    /// The API refused the credentials; work is held.
    pub(crate) const CREDENTIALS: u8 = 3;
    /// Work is held for a person.
    pub(crate) const HELD: u8 = 4;
    /// Our own error.
    pub(crate) const OURS: u8 = 70;
    /// Interrupted.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Collects datasets for files of inputs with Bright Data Scraper Studio.
#[derive(Parser)]
#[command(name = "dropcollect", version, about, max_term_width = 100)]
#[command(after_help = "RUST_LOG=info shows every step.")]
pub(crate) struct Command {
    #[command(subcommand)]
    which: Which,
}

#[derive(Subcommand)]
enum Which {
    /// Write the records of finished runs as CSV files
    #[command(after_help = export::FORMULAS)]
    Csv(export::ExportArgs),
    /// Write the records of finished runs as Parquet files
    Parquet(export::ExportArgs),
    /// Read and check files as `run` would, and say what running them takes; sends nothing, pays nothing
    Plan(Box<PlanArgs>),
    /// Run files of inputs on this machine, to the end; run again, it goes on where it was
    Run(Box<RunArgs>),
    /// Serve a simulator of the API, for trying things out without paying
    Simulate(SimulateArgs),
    /// Show what waits for a person, and decide about it
    Release(ReleaseArgs),
    /// Show runs: of a folder, or of a deployed stack (s3://dataset-bucket)
    Status(StatusArgs),
    /// Tell the whole story of one row of a file: its attempts, its collections, its errors, where its records are
    Why(WhyArgs),
    /// Print what makes a shell complete this command
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write one for each command
    Man(man::ManArgs),
}

#[derive(Args)]
#[command(disable_version_flag = true)]
pub(crate) struct RunArgs {
    /// Folder that stands for the buckets and keeps all state
    /// [default: dropcollect-data, with --simulate dropcollect-simulated]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Use the built-in simulator instead of the API: costs nothing, needs no token
    #[arg(long)]
    simulate: bool,
    /// Scenario of the simulator: a name or a TOML file
    #[arg(long, requires = "simulate")]
    scenario: Option<String>,
    /// Run files again that have been run before
    #[arg(long)]
    again: bool,
    /// Format of the outputs (ndjson, json; default: OUTPUT_FORMAT), or a file of all records of a run, FILE.RUN.csv or FILE.RUN.parquet,
    /// besides them
    #[arg(long, value_name = "FORMAT")]
    output: Option<export::Output>,
    // Last: the heading of its last options would be that of all that follow.
    #[command(flatten)]
    what: What,
}

/// What is run, and how it is triggered.
#[derive(Args)]
struct What {
    /// Files of inputs: .txt, .csv, .tsv, .json, .ndjson, .jsonl, each also .gz or .zst
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Collector id, c_… (or a folder of the key, or BRIGHT_DATA_COLLECTOR_ID)
    #[arg(long)]
    collector: Option<String>,
    /// Input key that the results are filed under (default: the file's name); only with a single file
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    options: Options,
}

impl What {
    /// What stands for the metadata that an object in S3 would have.
    fn metadata(&self) -> BTreeMap<String, String> {
        let options = self.options.given().map(|(name, value)| (name.to_owned(), value));
        options.chain(self.collector.iter().map(|collector| ("collector".to_owned(), collector.clone()))).collect()
    }
}

#[derive(Args)]
#[command(disable_version_flag = true)]
pub(crate) struct PlanArgs {
    /// Dollars for 1,000 page loads, as your account pays
    #[arg(long, value_parser = plan::rate)]
    rate: Option<f64>,
    /// Print a JSON line for each file
    #[arg(long)]
    json: bool,
    // Last, as in `run`.
    #[command(flatten)]
    what: What,
}

impl RunArgs {
    /// The folder. A trial has its own: its results must not stand for paid ones.
    fn folder(&self) -> &Path {
        let default = if self.simulate { "dropcollect-simulated" } else { "dropcollect-data" };
        self.data.as_deref().unwrap_or(Path::new(default))
    }
}

/// The trigger's options, as an object's metadata names them.
#[derive(Args)]
#[command(next_help_heading = "Options of the trigger")]
struct Options {
    /// Version of the collector, such as dev
    #[arg(long)]
    version: Option<String>,
    /// Name of the collections in the control panel
    #[arg(long)]
    name: Option<String>,
    /// Queue: collections with the same queue run one after another
    #[arg(long)]
    queue: Option<String>,
    /// 1 (default) or 0
    #[arg(long)]
    queue_next: Option<String>,
    /// Cancel the collector's running job first; only for a file that makes one batch
    #[arg(long, num_args = 0..=1, default_missing_value = "1")]
    confirm_cancel: Option<String>,
    /// Let the API stop a collection after a time such as 1h, 30m, 45s
    #[arg(long)]
    deadline: Option<String>,
    /// Download no media files
    #[arg(long, num_args = 0..=1, default_missing_value = "1")]
    no_downloads: Option<String>,
    /// Run although the output schema has changed
    #[arg(long, num_args = 0..=1, default_missing_value = "1")]
    override_incompatible_schema: Option<String>,
    /// Run although the input schema has changed
    #[arg(long, num_args = 0..=1, default_missing_value = "1")]
    override_incompatible_input_schema: Option<String>,
}

impl Options {
    /// The options that were given.
    fn given(&self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("version", &self.version),
            ("name", &self.name),
            ("queue", &self.queue),
            ("queue-next", &self.queue_next),
            ("confirm-cancel", &self.confirm_cancel),
            ("deadline", &self.deadline),
            ("no-downloads", &self.no_downloads),
            ("override-incompatible-schema", &self.override_incompatible_schema),
            ("override-incompatible-input-schema", &self.override_incompatible_input_schema),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.clone().map(|value| (name, value)))
    }
}

#[derive(Args)]
pub(crate) struct SimulateArgs {
    /// Address to serve on, such as 127.0.0.1:8080; port 0 picks a free one
    #[arg(long)]
    listen: std::net::SocketAddr,
    /// Scenario: a name or a TOML file
    #[arg(long, default_value = "default")]
    scenario: String,
    /// Seed, instead of the scenario's
    #[arg(long)]
    seed: Option<u64>,
    /// Folder that keeps the accepted jobs, so that they survive the process
    #[arg(long)]
    data: Option<PathBuf>,
}

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
    /// A folder, or s3://dataset-bucket (then POLL_QUEUE_URL names the stack's poll queue)
    #[arg(long = "data", default_value = "dropcollect-data")]
    place: String,
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

#[derive(Args)]
pub(crate) struct StatusArgs {
    /// A folder (default: dropcollect-data), or s3://dataset-bucket
    #[arg(default_value = "dropcollect-data")]
    place: String,
    /// Print the status objects as JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct WhyArgs {
    /// Id of a run, or an input key (then its newest run)
    run: String,
    /// Line of the file, from 1; or a text, such as a URL, for the first row that has it
    row: String,
    /// A folder, or s3://dataset-bucket
    #[arg(long = "data", default_value = "dropcollect-data")]
    place: String,
    /// Print the story as JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Runs the command and says the exit status.
    pub(crate) async fn run(self) -> u8 {
        let done = match self.which {
            Which::Csv(args) => export::export(&args, export::Kind::Csv).await,
            Which::Parquet(args) => export::export(&args, export::Kind::Parquet).await,
            Which::Plan(args) => plan::plan(&args),
            Which::Run(args) => run::run(&args).await,
            Which::Simulate(args) => simulate::simulate(args).await,
            Which::Release(args) => release::release(&args).await,
            Which::Status(args) => status::status(&args).await,
            Which::Why(args) => why::why(&args).await,
            Which::Completions(args) => completions::completions(&args),
            Which::Man(args) => man::man(&args),
        };
        done.unwrap_or_else(|failure| {
            eprintln!("dropcollect: {}", failure.message);
            failure.status
        })
    }
}

/// Why a command ended, and with which status.
pub(crate) struct Failure {
    status: u8,
    message: String,
}

impl From<PortError> for Failure {
    /// Trouble of the disk, of S3 or of SQS.
    fn from(error: PortError) -> Self {
        Self::ours(format!("{error}: {}", error.source))
    }
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self { status: exit::USAGE, message: message.into() }
    }

    fn ours(message: impl Into<String>) -> Self {
        Self { status: exit::OURS, message: message.into() }
    }
}

/// Prints a result. Whoever reads it may stop early, as `head` does.
fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}
