//! The commands and their exit statuses.

mod cancel;
mod completions;
mod doctor;
mod events;
mod export;
mod follow;
mod man;
mod money;
mod place;
mod plan;
mod progress;
mod release;
mod retry;
mod run;
pub(crate) mod screen;
mod simulate;
mod status;
mod web;
mod why;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use pipeline::ledger::Decision;
use pipeline::ports::PortError;

use self::events::Event;

/// Exit statuses: the worst of all files.
pub(crate) mod exit {
    use pipeline::manifest::RunState;

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

    /// That of a run.
    pub(crate) fn of(state: RunState) -> u8 {
        match state {
            RunState::Complete | RunState::Running => FINE,
            RunState::CompleteWithFailures => FAILURES,
            RunState::Rejected => USAGE,
            RunState::Held => HELD,
        }
    }
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
    /// Look at everything that a run needs, and say how to mend what is wrong; sends nothing that is paid for
    Doctor(doctor::DoctorArgs),
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
    /// Stop a run: nothing more is triggered, what runs is told to stop, and what it has brought is kept
    Cancel(CancelArgs),
    /// Stop everything that costs money, in every run, within seconds; what runs is delivered all the same
    Pause(money::SwitchArgs),
    /// Let everything go on that `pause` has stopped
    Resume(money::ResumeArgs),
    /// Show the spending limits, and what was paid for: by day and collector
    Spending(money::SpendingArgs),
    /// Show what waits for a person, and decide about it
    Release(ReleaseArgs),
    /// Run failed inputs of a finished run once more, chosen by their codes
    Retry(RetryArgs),
    /// Show runs: of a folder, or of a deployed stack (s3://dataset-bucket)
    Status(StatusArgs),
    /// Tell the whole story of one row of a file: its attempts, its collections, its errors, where its records are
    Why(WhyArgs),
    /// Print what makes a shell complete this command
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write one for each command
    Man(man::ManArgs),
}

/// The folder of a trial, where none is named.
const SIMULATED: &str = "dropcollect-simulated";

#[derive(Args)]
#[command(disable_version_flag = true)]
pub(crate) struct RunArgs {
    /// Folder that stands for the buckets and keeps all state; with --to the stack's dataset bucket, s3://…
    /// [default: dropcollect-data, with --simulate dropcollect-simulated]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Drop the files into the input bucket of a deployed stack (s3://…) and follow them there, instead of running them here
    #[arg(long, value_name = "BUCKET", conflicts_with_all = ["simulate", "scenario", "output"])]
    to: Option<String>,
    /// Use the built-in simulator instead of the API: costs nothing, needs no token
    #[arg(long)]
    simulate: bool,
    /// Scenario of the simulator: a name or a TOML file
    #[arg(long, requires = "simulate")]
    scenario: Option<String>,
    /// Run files again that have been run before
    #[arg(long)]
    again: bool,
    /// Print events for programs instead of text: a JSON object a line
    #[arg(long)]
    json: bool,
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
        let default = if self.simulate { SIMULATED } else { "dropcollect-data" };
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
    /// Let the run go over the spending limits
    #[arg(long, group = "decision", requires = "run", conflicts_with = "batch")]
    over_limits: bool,
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
pub(crate) struct CancelArgs {
    /// Id of a run, or an input key (then its newest run)
    run: String,
    /// A folder, or s3://dataset-bucket (then POLL_QUEUE_URL names the stack's poll queue)
    #[arg(long = "data", default_value = "dropcollect-data")]
    place: String,
}

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
}

#[derive(Args)]
pub(crate) struct StatusArgs {
    /// A folder (default: dropcollect-data), or s3://dataset-bucket
    #[arg(default_value = "dropcollect-data")]
    place: String,
    /// Print the status objects as JSON lines; with --run the manifest, or as long as there is none the status
    #[arg(long)]
    json: bool,
    /// Tell everything about one run: its id, or an input key (then its newest run)
    #[arg(long, value_name = "RUN|KEY")]
    run: Option<String>,
    /// Look again every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
    /// Write the status page anew and print where it is: the address of a file, or for an hour that of the object in S3
    #[arg(long, conflicts_with_all = ["json", "run", "watch"])]
    web: bool,
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
    /// Reads the command line; if there is no command in it, what was to be said is said, and the exit status is given.
    pub(crate) fn read() -> Result<Self, u8> {
        Self::try_parse().map_err(|problem| {
            let status = u8::try_from(problem.exit_code()).unwrap_or(exit::USAGE);
            if status != exit::FINE && asks_for_events(std::env::args_os().skip(1)) {
                return Failure { status, message: problem.render().to_string().trim_end().to_owned() }.tell(true);
            }
            // Help goes to standard output, and whoever reads it may stop early.
            drop(problem.print());
            status
        })
    }

    /// Whether what happens is told in events.
    pub(crate) fn events(&self) -> bool {
        matches!(&self.which, Which::Run(args) if args.json)
    }

    /// Runs the command and says the exit status.
    pub(crate) async fn run(self) -> u8 {
        let in_events = self.events();
        let done = match self.which {
            Which::Doctor(args) => doctor::doctor(&args).await,
            Which::Csv(args) => export::export(&args, export::Kind::Csv).await,
            Which::Parquet(args) => export::export(&args, export::Kind::Parquet).await,
            Which::Plan(args) => plan::plan(&args),
            Which::Run(args) => run::run(&args).await,
            Which::Simulate(args) => simulate::simulate(args).await,
            Which::Cancel(args) => cancel::cancel(&args).await,
            Which::Retry(args) => retry::retry(&args).await,
            Which::Pause(args) => money::pause(&args).await,
            Which::Resume(args) => money::resume(&args).await,
            Which::Spending(args) => money::spending(&args).await,
            Which::Release(args) => release::release(&args).await,
            Which::Status(args) => status::status(&args).await,
            Which::Why(args) => why::why(&args).await,
            Which::Completions(args) => completions::completions(&args),
            Which::Man(args) => man::man(&args),
        };
        match done {
            Ok(status) if in_events => events::end(status),
            Ok(status) => status,
            Err(failure) => failure.tell(in_events),
        }
    }
}

/// Whether these arguments, which cannot be read, are those of a `run` that a program reads.
fn asks_for_events(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.next().is_some_and(|command| command == "run") && arguments.any(|argument| argument == "--json")
}

/// Why a command ended, and with which status.
pub(crate) struct Failure {
    status: u8,
    message: String,
}

impl From<PortError> for Failure {
    /// Trouble of the disk, of S3 or of SQS.
    fn from(error: PortError) -> Self {
        Self::ours(format!(
            "{error}: {}\n`dropcollect doctor` looks for what is wrong (a stack's with --data s3://…)",
            error.source
        ))
    }
}

impl Failure {
    /// Says it, and gives the exit status.
    pub(crate) fn tell(&self, events: bool) -> u8 {
        let Self { status, message } = self;
        if events {
            Event::Error { message, status: *status }.say();
            return events::end(*status);
        }
        eprintln!("dropcollect: {message}");
        *status
    }

    fn interrupted(message: impl std::fmt::Display) -> Self {
        Self { status: exit::INTERRUPTED, message: format!("interrupted. {message}") }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { status: exit::USAGE, message: message.into() }
    }

    pub(crate) fn ours(message: impl Into<String>) -> Self {
        Self { status: exit::OURS, message: message.into() }
    }
}

/// Prints a result. Whoever reads it may stop early, as `head` does.
fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}
