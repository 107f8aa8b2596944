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
mod what;
mod why;

use std::ffi::OsString;
use std::io::Write;

use clap::{Parser, Subcommand};
use console::Term;
use dropcollect::text;
use pipeline::ports::PortError;
use serde_json::{Value, json};

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
    Plan(Box<plan::PlanArgs>),
    /// Run files of inputs on this machine, to the end; run again, it goes on where it was
    Run(Box<run::RunArgs>),
    /// Serve a simulator of the API, for trying things out without paying
    Simulate(simulate::SimulateArgs),
    /// Stop a run: nothing more is triggered, what runs is told to stop, and what it has brought is kept
    Cancel(cancel::CancelArgs),
    /// Stop everything that costs money, in every run, within seconds; what runs is delivered all the same
    Pause(money::SwitchArgs),
    /// Let everything go on that `pause` has stopped
    Resume(money::ResumeArgs),
    /// Show the spending limits, and what was paid for: by day and collector
    Spending(money::SpendingArgs),
    /// Show what waits for a person, and decide about it
    Release(release::ReleaseArgs),
    /// Run failed inputs of a finished run once more, chosen by their codes
    Retry(retry::RetryArgs),
    /// Show runs: of a folder, or of a deployed stack (s3://dataset-bucket)
    Status(status::StatusArgs),
    /// Tell the whole story of one row of a file: its attempts, its collections, its errors, where its records are
    Why(why::WhyArgs),
    /// Print what makes a shell complete this command
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write one for each command
    Man(man::ManArgs),
}

/// The folder of a trial, where none is named.
const SIMULATED: &str = "dropcollect-simulated";

impl Command {
    /// Reads the command line; if there is no command in it, what was to be said is said, and the exit status is given.
    pub(crate) fn read() -> Result<Self, u8> {
        Self::try_parse().map_err(|problem| {
            let status = u8::try_from(problem.exit_code()).unwrap_or(exit::USAGE);
            let told = asked(std::env::args_os().skip(1));
            if status != exit::FINE && told != Told::Text {
                return Failure { status, message: problem.render().to_string().trim_end().to_owned() }.tell(told);
            }
            // Help goes to standard output, and whoever reads it may stop early.
            drop(problem.print());
            status
        })
    }

    /// How what happens is told.
    pub(crate) fn told(&self) -> Told {
        let (json, told) = match &self.which {
            Which::Run(args) => (args.json, Told::Events),
            Which::Cancel(args) => (args.json, Told::Object),
            Which::Retry(args) => (args.json, Told::Object),
            Which::Release(args) => (args.json, Told::Object),
            Which::Pause(args) => (args.json(), Told::Object),
            Which::Resume(args) => (args.json, Told::Object),
            Which::Spending(args) => (args.json, Told::Object),
            _ => (false, Told::Text),
        };
        if json { told } else { Told::Text }
    }

    /// Runs the command and says the exit status.
    pub(crate) async fn run(self) -> u8 {
        let told = self.told();
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
            Ok(status) if told == Told::Events => events::end(status),
            Ok(status) => status,
            Err(failure) => failure.tell(told),
        }
    }
}

/// How a command tells what happens.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Told {
    /// For a person.
    #[default]
    Text,
    /// A JSON object for each thing that happens.
    Events,
    /// One JSON object for all of it; what else there is to say goes to standard error.
    Object,
}

/// What these arguments, which cannot be read, ask for.
fn asked(mut arguments: impl Iterator<Item = OsString>) -> Told {
    let command = arguments.next().unwrap_or_default();
    match command.to_str() {
        _ if !arguments.any(|argument| argument == "--json") => Told::Text,
        Some("run") => Told::Events,
        Some("cancel" | "retry" | "release" | "pause" | "resume" | "spending") => Told::Object,
        _ => Told::Text,
    }
}

/// Prints the object of a command that tells one; gives the exit status, which is in it too.
fn answer(mut object: Value, status: u8) -> u8 {
    object["status"] = status.into();
    put(&object.to_string());
    status
}

/// Why a command ended, and with which status.
pub(crate) struct Failure {
    status: u8,
    message: String,
}

impl From<PortError> for Failure {
    /// Trouble of the disk, of S3 or of SQS.
    fn from(error: PortError) -> Self {
        let look = "`dropcollect doctor` looks for what is wrong (a stack's with --data s3://…)";
        let said = error.source.to_string();
        let Some(fix) = doctor::advice(&said) else { return Self::ours(format!("{error}: {said}\n{look}")) };
        // What follows the first line is where the SDK has looked for credentials, place by place.
        let short = said.lines().next().unwrap_or_default().trim_end_matches(" Attempted:");
        let message = format!("{error}: {}\n{fix}; {look}", short.trim_start_matches("dispatch failure: other: "));
        // The network may be back in a moment; everything else is a setting.
        if fix.contains("network") { Self::ours(message) } else { Self::usage(message) }
    }
}

impl Failure {
    /// Says it, and gives the exit status.
    pub(crate) fn tell(&self, told: Told) -> u8 {
        let Self { status, message } = self;
        match told {
            Told::Text => complain(&format!("dropcollect: {message}")),
            Told::Events => {
                Event::Error { message, status: *status }.say();
                events::end(*status);
            }
            Told::Object => drop(answer(json!({"error": message}), *status)),
        }
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

/// Prints a result for a person: as wide as the terminal, if it is one.
fn say(result: &str) {
    put(&text::wrapped(result, screen::width(&Term::stdout())));
}

/// Prints what is for a program, or has its layout already. Whoever reads it may stop early, as `head` does.
fn put(result: &str) {
    drop(writeln!(std::io::stdout(), "{result}"));
}

/// Tells a person something that is no result.
fn complain(message: &str) {
    eprintln!("{}", text::wrapped(message, screen::width(&Term::stderr())));
}
