//! `dropcollect status`.

use std::time::Duration;

use clap::Args;
use console::{Term, truncate_str};
use dropcollect::detail::{NoDetail, detail};
use dropcollect::table::{self, Listed};
use dropcollect::text;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use pipeline::cancel::RunCancelRecord;
use pipeline::keys;
use pipeline::ledger::{self, list_all};
use pipeline::manifest::RunState;
use pipeline::ports::Store;
use pipeline::status::Status;

use super::screen::{self, Screen};
use super::{Failure, complain, exit, place, put, web};

/// Runs that are read at the same time.
const READ_AT_ONCE: usize = 16;

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

pub(super) async fn status(args: &StatusArgs) -> Result<u8, Failure> {
    if args.web {
        return web::web(&args.place).await;
    }
    let store = place::reader(&args.place).await?;
    match args.watch {
        None => say_lines(&text(args, &*store).await?),
        Some(seconds) => watch(args, &*store, Duration::from_secs(seconds)).await?,
    }
    Ok(exit::FINE)
}

/// Until Ctrl-C: in place on a terminal, elsewhere anew whenever something has changed.
async fn watch(args: &StatusArgs, store: &dyn Store, pause: Duration) -> Result<(), Failure> {
    let screen = Screen::open(Term::stdout()).filter(|_| !args.json);
    let mut last = String::new();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let text = tokio::select! {
            text = text(args, store) => text?,
            _ = &mut interrupted => break,
        };
        match &screen {
            Some(screen) => screen.show(fitted(&text, screen.room())),
            None if text != last => say_lines(&text),
            None => {}
        }
        last = text;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = &mut interrupted => break,
        }
    }
    // What was seen last stays.
    if screen.is_some() {
        drop(screen);
        say_lines(&last);
    }
    Ok(())
}

/// No runs are no lines for a program.
fn say_lines(text: &str) {
    if !text.is_empty() {
        put(text);
    }
}

/// As much of a text as there is room for: the newest runs are at its end.
fn fitted(text: &str, (rows, columns): (usize, usize)) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(|line| truncate_str(line, columns, "…").into_owned()).collect();
    if lines.len() > rows {
        let over = lines.len() - rows + 1;
        // The header stays.
        lines.splice(1..=over, [truncate_str(&format!("… {over} lines more"), columns, "…").into_owned()]);
        lines.truncate(rows);
    }
    lines
}

async fn text(args: &StatusArgs, store: &dyn Store) -> Result<String, Failure> {
    let term = Term::stdout();
    let colours = screen::colours(&term);
    if let Some(named) = &args.run {
        let detail = match detail(store, named).await {
            Ok(detail) => detail,
            Err(NoDetail::NoKey(named)) => return Err(place::unknown(store, &named).await),
            Err(NoDetail::Port(error)) => return Err(error.into()),
            Err(none) => return Err(Failure::usage(none.to_string())),
        };
        if args.json {
            return detail.json().map_err(|error| Failure::ours(error.to_string()));
        }
        let text = text::wrapped(&detail.text(&args.place), screen::width(&term));
        return Ok(if colours { paint(&text, detail.state()) } else { text });
    }
    let runs = runs(store).await?;
    if args.json {
        let lines: Vec<String> = runs.iter().map(|run| serde_json::to_string(run).unwrap_or_default()).collect();
        return Ok(lines.join("\n"));
    }
    if runs.is_empty() {
        return Ok(text::wrapped(&format!("no runs in {}", args.place), screen::width(&term)));
    }
    Ok(match screen::width(&term) {
        Some(width) => table::fitting(&runs, Timestamp::now(), width, colours),
        None => table::full(&runs).trim_end().to_owned(),
    })
}

/// The state in the first line, which follows the key.
fn paint(text: &str, state: RunState) -> String {
    let (head, rest) = text.split_once('\n').unwrap_or((text, ""));
    match head.rsplit_once(": ") {
        Some((key, words)) => format!("{key}: {}\n{rest}", table::paint(words, state)),
        None => text.to_owned(),
    }
}

async fn runs(store: &dyn Store) -> Result<Vec<Listed>, Failure> {
    let keys: Vec<String> =
        list_all(store, keys::STATUSES).await?.into_iter().filter(|key| *key != keys::PAGE).collect();
    let read = stream::iter(&keys).map(|key| listed(store, key));
    let mut runs: Vec<Listed> =
        read.buffered(READ_AT_ONCE).try_filter_map(async |listed| Ok(listed)).try_collect().await?;
    runs.sort_by_key(|run| run.status.started_at);
    Ok(runs)
}

/// The run of a status object, if that is there and can be read.
async fn listed(store: &dyn Store, key: &str) -> Result<Option<Listed>, Failure> {
    let Some(stored) = store.get(key).await? else { return Ok(None) };
    let status: Status = match serde_json::from_slice(&stored.body) {
        Ok(status) => status,
        Err(error) => {
            complain(&format!("{key}: not readable: {error}"));
            return Ok(None);
        }
    };
    // What is complete or was rejected had nothing left that could have been stopped.
    let cancelled: Option<RunCancelRecord> = match status.state {
        RunState::Complete | RunState::Rejected => None,
        _ => ledger::read(store, &keys::run_cancel(&status.run)).await?,
    };
    Ok(Some(Listed { status, cancelled_at: cancelled.map(|record| record.at) }))
}
